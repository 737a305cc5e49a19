"""The HTTP interface of predict; see docs/http.md."""

from collections.abc import Awaitable, Callable
from functools import partial
from urllib.parse import parse_qs

from flask import Response
from msgspec import UNSET, Raw

from contracts.limits import MAX_TEXT_CHARACTERS, TextTooLong
from contracts.predict import Answers, PredictRequest, Scored, read_request
from functions.predict.service import NoModel, Predictor
from process.answers import RETRY_AFTER_SECONDS, Answer, Overloaded, Problem, json_answer
from process.front import Request
from process.turns import NoTurn
from process.web import FunctionApp, json_response, parse
from records import RecordsFull, now

MOST_TEXT_BYTES = 12 * MAX_TEXT_CHARACTERS + 100_000
"""How large the body of a single text can be: JSON writes a character in at most 12 bytes; and some room around it."""
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
        if request.path != "/" or request.method in ("GET", "HEAD", "OPTIONS"):
            return None
        if request.method != "POST":
            raise Problem(405, "Send the text with POST.", Allow="GET, HEAD, OPTIONS, POST")
        options = parse_qs(request.query) if request.query else {}
        record, synthetic = options.get("record") != ["false"], options.get("synthetic") == ["true"]
        try:
            text = _only_text(request)
            if text is None:
                return self._later(partial(_texts, request.body), record, synthetic)
            if record and not self._predictor.has_room():
                return self._later(text, record, synthetic)
            return _answer(self._predictor.score(text, record=record, synthetic=synthetic))
        except REFUSALS as error:
            raise _problem(error) from error

    async def _later(self, asked: str | Callable[[], list[Raw]], record: bool, synthetic: bool) -> Answer:
        """Answer a text, or a batch that is read once it is its turn; raises Problem."""
        try:
            if not isinstance(asked, str):
                try:
                    return _answer(await self._predictor.score_batch(asked, record=record, synthetic=synthetic))
                except _OneText as found:
                    asked = found.text
            received_at = now()
            if record:
                await self._predictor.room()
            return _answer(self._predictor.score(asked, record=record, synthetic=synthetic, received_at=received_at))
        except REFUSALS as error:
            raise _problem(error) from error


class _OneText(Exception):
    """A request that is as large as one of many texts has only one."""

    def __init__(self, text: str) -> None:
        self.text = text


def _only_text(request: Request) -> str | None:
    """Return the text of a request, None where it has many, or may have; raises Problem, UnicodeDecodeError.

    What is larger than a text can be is read once it is its turn, and a batch only then in full: while it waits, its
    items would take many times their bytes.
    """
    if request.content_type.partition(";")[0].strip().lower() == "text/plain":
        return request.body.decode()
    if len(request.body) > MOST_TEXT_BYTES:
        return None
    found = _request(request.body)
    return None if found.text is UNSET else found.text


def _texts(body: bytes | bytearray) -> list[Raw]:
    """Return the texts of a request that has many, as JSON; raises Problem, _OneText."""
    found = _request(body)
    if found.text is not UNSET:
        raise _OneText(found.text)
    return [] if found.texts is UNSET else found.texts


def _request(body: bytes | bytearray) -> PredictRequest:
    """Return a request that has either a text or many; raises Problem."""
    found = parse(read_request, body, EXPECTED)
    if (found.text is UNSET) == (found.texts is UNSET):
        raise Problem(400, f"The object must have either text or texts; send {EXPECTED}.")
    return found


def _answer(scored: Scored | Answers) -> Answer:
    return json_answer(scored, headers={"x-model-version": scored.model})


REFUSALS = (UnicodeDecodeError, TextTooLong, NoModel, RecordsFull, NoTurn)


def _problem(refusal: Exception) -> Problem:
    """Return what a client is told of one of REFUSALS."""
    match refusal:
        case UnicodeDecodeError():
            return Problem(400, f"The text is not UTF-8 ({refusal.reason} at byte {refusal.start}).")
        case TextTooLong():
            return Problem(413, f"The text {refusal}.")
        case NoTurn():
            return Overloaded("Too many batches wait already; send this one again.")
    return Overloaded(str(refusal))
