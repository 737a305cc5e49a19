"""What every function shares: health, readiness, metrics, limits, errors as problem+json."""

from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import orjson
from flask import Flask, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from werkzeug.exceptions import HTTPException

from model_store.environment import number

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

JSON = "application/json"
PROBLEM_JSON = "application/problem+json"
MAX_BODY_BYTES = int(number("MAX_BODY_BYTES", 32 * 1024 * 1024, least=1))
MAX_TEXT_CHARACTERS = 100_000
MAX_BATCH_TEXTS = 10_000
RETRY_AFTER_SECONDS = 2


class Problem(Exception):
    """An answer that is an error (RFC 9457): a status, and a detail that tells the client what to do."""

    def __init__(self, status: int, detail: str, **headers: str) -> None:
        """`headers` are sent with the answer; an underscore in a name stands for a dash."""
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}

    def response(self) -> Response:
        """Return the answer."""
        return problem_response(self.status, self.detail, self.headers)


def json_response(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Answer with `body` as JSON."""
    return Response(orjson.dumps(body), status, headers, content_type=JSON)


def problem_response(status: int, detail: str, headers: dict[str, str] | None = None) -> Response:
    """Answer with an error as RFC 9457 describes it."""
    body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    return Response(orjson.dumps(body), status, headers, content_type=PROBLEM_JSON)


def create_app(name: str, *, not_ready: Callable[[], str | None]) -> Flask:
    """Return a Flask app with /_/health, /_/ready and /metrics.

    not_ready: returns why the function can't answer yet, None once it can.
    """
    app = Flask(name, static_folder=None)

    @app.get("/_/health")
    def health() -> Response:
        return json_response({"status": "alive"})

    @app.get("/_/ready")
    def ready() -> Response:
        if reason := not_ready():
            return problem_response(503, reason, {"Retry-After": str(RETRY_AFTER_SECONDS)})
        return json_response({"status": "ready"})

    @app.get("/metrics")
    def metrics() -> Response:
        return Response(generate_latest(), content_type=CONTENT_TYPE_LATEST)

    @app.errorhandler(Problem)
    def problem(error: Problem) -> Response:
        return error.response()

    @app.errorhandler(HTTPException)
    def http_error(error: HTTPException) -> Response:
        headers = {key: value for key, value in error.get_headers() if key == "Allow"}
        return problem_response(error.code or 500, error.description or "", headers)

    return app


def read_body(environ: "WSGIEnvironment") -> bytes:
    """Return the body of a request; raises Problem 413 where it is larger than MAX_BODY_BYTES."""
    if int(environ.get("CONTENT_LENGTH") or 0) <= MAX_BODY_BYTES:
        body: bytes = environ["wsgi.input"].read(MAX_BODY_BYTES + 1)
        if len(body) <= MAX_BODY_BYTES:
            return body
    raise Problem(413, f"The body is larger than {MAX_BODY_BYTES} bytes; send it in parts.")


def read_json(body: bytes, expected: str) -> dict[str, Any]:
    """Parse a JSON object; raises Problem 400 that says what is `expected` instead."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Problem(400, f"The body is not valid JSON ({error}); send {expected}.") from error
    if not isinstance(value, dict):
        raise Problem(400, f"The body is JSON but not an object; send {expected}.")
    return value
