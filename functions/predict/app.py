"""The HTTP interface of predict; see docs/http.md."""

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
from records import RecordsFull

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

    Flask's contexts, routing and request and response objects take 60 of the 75 microseconds of a request, and
    scoring a short text takes 2. Every other request goes on to Flask.
    """

    def __init__(self, predictor: Predictor) -> None:
        """Answer with what `predictor` says."""
        self._predictor = predictor

    async def __call__(self, request: Request) -> Answer | None:
        """Answer one request, or return None where it is for Flask; raises Problem."""
        if request.path not in ("/", "") or request.method in ("GET", "HEAD", "OPTIONS"):
            return None
        if request.method != "POST":
            raise Problem(405, "Send the text with POST.", Allow="GET, HEAD, OPTIONS, POST")
        options = parse_qs(request.query) if request.query else {}
        record, synthetic = options.get("record") != ["false"], options.get("synthetic") == ["true"]
        try:
            if request.content_type.partition(";")[0].strip().lower() == "text/plain":
                return _answer(await self._predictor.score(request.body.decode(), record=record, synthetic=synthetic))
            # What is larger than a text can be is read once it is its turn, and a batch only then in full: while it
            # waits, its items would take many times their bytes.
            text = _text(request.body) if len(request.body) <= MOST_TEXT_BYTES else None
            if text is None:
                read = partial(_texts, request.body)
                try:
                    return _answer(await self._predictor.score_batch(read, record=record, synthetic=synthetic))
                except _OneText as found:
                    text = found.text
            return _answer(await self._predictor.score(text, record=record, synthetic=synthetic))
        except UnicodeDecodeError as error:
            raise Problem(400, f"The text is not UTF-8 ({error.reason} at byte {error.start}).") from error
        except TextTooLong as error:
            raise Problem(413, f"The text {error}.") from error
        except (NoModel, RecordsFull) as error:
            raise Overloaded(str(error)) from error
        except NoTurn as error:
            raise Overloaded("Too many batches wait already; send this one again.") from error


class _OneText(Exception):
    """A request that is as large as one of many texts has only one."""

    def __init__(self, text: str) -> None:
        self.text = text


def _text(body: bytes | bytearray) -> str | None:
    """Return the one text of a request, None where it has many; raises Problem."""
    found = _request(body)
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
