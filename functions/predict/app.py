"""The HTTP interface of predict; see docs/http.md."""

from collections.abc import Awaitable, Callable, Generator
from functools import lru_cache, partial

from flask import Response

from contracts.codec import Malformed
from contracts.large import Texts, is_large, reading
from contracts.limits import TextTooLong
from contracts.predict import Answers, PredictQuery, Scored, read_query, read_request
from functions.predict.service import NoModel, Predictor, TooMuchToExplain
from process.answers import RETRY_AFTER_SECONDS, Answer, Overloaded, Problem, json_answer
from process.front import Request
from process.turns import NoTurn
from process.web import FunctionApp, json_response, malformed, parse, parse_query
from records import RecordsFull, now

METHODS = "GET, HEAD, OPTIONS, POST"
EXPECTED = '{"text": "..."} or {"texts": ["...", ...]}, or the text itself as text/plain'


def build(predictor: Predictor) -> FunctionApp:
    """Return the app for what is not the hot route."""
    app = FunctionApp("predict")
    app.answer_errors(503, NoModel, then="", Retry_After=str(RETRY_AFTER_SECONDS))

    @app.get("/")
    def describe() -> Response:
        model = predictor.model()
        return json_response(model, headers={"X-Model-Version": model.model})

    return app


class Scoring:
    """The one hot route, `POST /`, on the event loop.

    Flask's contexts, routing and request and response objects take 60 microseconds, and scoring a short text takes 1.
    Every other request goes on to Flask.
    """

    def __init__(self, predictor: Predictor) -> None:
        """Answer with what `predictor` says."""
        self._predictor = predictor

    def __call__(self, request: Request) -> Answer | Awaitable[Answer] | None:
        """Answer a text at once where there is room for its record, what else there is later; None is for Flask.

        Both raise Problem.
        """
        if request.path != "/" or request.method in ("GET", "HEAD"):
            return None
        if request.method == "OPTIONS":
            return Answer(200, [("allow", METHODS)], b"")
        if request.method != "POST":
            raise Problem(405, "Send the text with POST.", Allow=METHODS)
        query = _query(request.query)
        try:
            text = _only_text(request)
            if text is None:
                return self._later(partial(_texts, request.body), query)
            if query.record and not self._predictor.has_room():
                return self._later(text, query)
            return _answer(self._predictor.score(text, query))
        except REFUSALS as error:
            raise _problem(error) from error

    async def _later(self, asked: str | Callable[[], Generator[None, None, Texts]], query: PredictQuery) -> Answer:
        """Answer a text, or a batch that is read once it is its turn; raises Problem."""
        try:
            if not isinstance(asked, str):
                try:
                    return _answer(await self._predictor.score_batch(asked, query))
                except _OneText as found:
                    asked = found.text
            received_at = now()
            if query.record:
                await self._predictor.room()
            return _answer(self._predictor.score(asked, query, received_at=received_at))
        except REFUSALS as error:
            raise _problem(error) from error


@lru_cache(maxsize=16)  # nearly all requests have the same
def _query(query: str) -> PredictQuery:
    """Return what a query asks for; raises Problem."""
    return parse_query(read_query, query)


class _OneText(Exception):
    """A request that is as large as one of many texts has only one."""

    def __init__(self, text: str) -> None:
        self.text = text


def _only_text(request: Request) -> str | None:
    """Return the text of a request, None where it has many, or may have; raises Problem, UnicodeDecodeError.

    A batch, and what is as large, is read once it is its turn: while it waits, its items would take many times their
    bytes.
    """
    if request.content_type.partition(";")[0].strip().lower() == "text/plain":
        return request.body.decode()
    if is_large(request.body):
        return None
    found = parse(read_request, request.body, EXPECTED)
    return found if isinstance(found, str) else None


def _texts(body: bytes | bytearray) -> Generator[None, None, Texts]:
    """Read the texts of a request that has many, in steps; raises Problem, _OneText."""
    try:
        found = yield from reading(body)
    except Malformed as error:
        raise malformed(error, EXPECTED) from error
    if isinstance(found, str):
        raise _OneText(found)
    return found


def _answer(scored: Scored | Answers) -> Answer:
    return json_answer(scored, headers={"x-model-version": scored.model})


REFUSALS = (UnicodeDecodeError, TextTooLong, TooMuchToExplain, NoModel, RecordsFull, NoTurn)


def _problem(refusal: Exception) -> Problem:
    """Return what a client is told of one of REFUSALS."""
    match refusal:
        case UnicodeDecodeError():
            return Problem(400, f"The text is not UTF-8 ({refusal.reason} at byte {refusal.start}).")
        case TextTooLong():
            return Problem(413, f"The text {refusal}.")
        case TooMuchToExplain():
            return Problem(413, str(refusal))
        case NoTurn():
            return Overloaded("Too many batches wait already; send this one again.")
    return Overloaded(str(refusal))
