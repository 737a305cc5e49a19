"""The HTTP interface of predict; see docs/http.md."""

from collections.abc import Iterable
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from flask import Response
from msgspec import UNSET

from contracts.codec import encode
from contracts.limits import MAX_BATCH_TEXTS, TextTooLong
from contracts.predict import Answers, Scored, read_request
from functions.predict.service import NoModel, Predictor
from process.probes import JSON, RETRY_AFTER_SECONDS
from process.web import FunctionApp, Problem, json_response, parse

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

EXPECTED = '{"text": "..."} or {"texts": ["...", ...]}, or the text itself as text/plain'
RETRY_AFTER = str(RETRY_AFTER_SECONDS)


def build(predictor: Predictor) -> FunctionApp:
    """Return the app; raises SettingsError."""
    app = FunctionApp("predict", not_ready=predictor.not_ready)
    app.answer_errors(503, NoModel, then="", Retry_After=RETRY_AFTER)

    @app.get("/")
    def describe() -> Response:
        model = predictor.model()
        return json_response(model, headers={"X-Model-Version": model.model})

    app.wsgi_app = Scoring(app, predictor)  # type: ignore[method-assign]  # Flask's documented way to put a WSGI app in front
    return app


class Scoring:
    """The one hot route, `POST /`, as a WSGI app before Flask's.

    Flask's contexts, routing and request and response objects take 60 of the 75 microseconds of a request, and
    scoring a short text takes 2. Every other request goes on to Flask.
    """

    def __init__(self, app: FunctionApp, predictor: Predictor) -> None:
        self._others = app.wsgi_app
        self._read_body = app.read_body
        self._predictor = predictor

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Answer one request."""
        method = environ["REQUEST_METHOD"]
        if environ["PATH_INFO"] not in ("/", "") or method in ("GET", "HEAD", "OPTIONS"):
            return self._others(environ, start_response)
        try:
            if method != "POST":
                raise Problem(405, "Send the text with POST.", Allow="GET, HEAD, OPTIONS, POST")
            answer = self._answer(environ)
        except Problem as problem:
            return problem.response()(environ, start_response)
        body = encode(answer)
        headers = [("Content-Type", JSON), ("Content-Length", str(len(body))), ("X-Model-Version", answer.model)]
        start_response("200 OK", headers)
        return [body]

    def _answer(self, environ: "WSGIEnvironment") -> Scored | Answers:
        body = self._read_body(environ)
        query = environ.get("QUERY_STRING")
        options = parse_qs(query) if query else {}
        record, synthetic = options.get("record") != ["false"], options.get("synthetic") == ["true"]
        try:
            if environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower() == "text/plain":
                return self._predictor.score(body.decode(), record=record, synthetic=synthetic)
            request = parse(read_request, body, EXPECTED)
            text, texts = request.text, request.texts
            if text is not UNSET and texts is UNSET:
                return self._predictor.score(text, record=record, synthetic=synthetic)
            if texts is not UNSET and text is UNSET:
                if len(texts) > MAX_BATCH_TEXTS:
                    raise Problem(413, f"At most {MAX_BATCH_TEXTS} texts a request; these are {len(texts)}.")
                return self._predictor.score_batch(texts, record=record, synthetic=synthetic)
            raise Problem(400, f"The object must have either text or texts; send {EXPECTED}.")
        except UnicodeDecodeError as error:
            raise Problem(400, f"The text is not UTF-8 ({error.reason} at byte {error.start}).") from error
        except TextTooLong as error:
            raise Problem(413, f"The text {error}.") from error
        except NoModel as error:
            raise Problem(503, str(error), Retry_After=RETRY_AFTER) from error
