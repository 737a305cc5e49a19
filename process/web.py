"""What every function shares over HTTP: probes, bodies within the limit, errors as problem+json."""

from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, TypeVar

from flask import Flask, Response
from werkzeug.exceptions import HTTPException

from contracts.codec import Malformed, Reader, TooMany, encode
from contracts.limits import MAX_BODY_BYTES
from contracts.problem import ProblemDetails
from process.probes import JSON, PROBLEM_JSON, Probes
from process.settings import listen_address, number

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

T = TypeVar("T")


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
        body = encode(ProblemDetails.of(self.status, self.detail))
        return Response(body, self.status, self.headers, content_type=PROBLEM_JSON)


def json_response(body: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Answer with a structure as JSON."""
    return Response(encode(body), status, headers, content_type=JSON)


class FunctionApp(Flask):
    """A Flask app with probes, metrics, and bodies of MAX_BODY_BYTES at most."""

    def __init__(self, name: str, *, not_ready: Callable[[], str | None]) -> None:
        """not_ready: returns why the function can't answer yet, None once it can. Raises SettingsError."""
        super().__init__(name, static_folder=None)
        self.address = listen_address(8080)
        self._max_body_bytes = int(number("MAX_BODY_BYTES", MAX_BODY_BYTES, least=1))
        self.wsgi_app = Probes(not_ready, self.wsgi_app)  # type: ignore[method-assign]  # Flask's documented way to put a WSGI app in front

        self.register_error_handler(Problem, lambda error: error.response())
        self.register_error_handler(HTTPException, _http_error)

    def answer_errors(self, status: int, *kinds: type[Exception], then: str = ".", **headers: str) -> None:
        """Answer errors of these kinds with `status`, and in words with what they say, and `then` what to do."""

        def respond(error: Exception) -> Response:
            if status == HTTPStatus.INTERNAL_SERVER_ERROR:
                self.logger.error("%s", error)
            return Problem(status, f"{error}{then}", **headers).response()

        for kind in kinds:
            self.register_error_handler(kind, respond)

    def read_body(self, environ: "WSGIEnvironment") -> bytes:
        """Return the body of a request; raises Problem 413 where it is too large."""
        if int(environ.get("CONTENT_LENGTH") or 0) <= self._max_body_bytes:
            body: bytes = environ["wsgi.input"].read(self._max_body_bytes + 1)
            if len(body) <= self._max_body_bytes:
                return body
        raise Problem(413, f"The body is larger than {self._max_body_bytes} bytes; send it in parts.")


def _http_error(error: HTTPException) -> Response:
    headers = {key: value for key, value in error.get_headers() if key == "Allow"}
    return Problem(error.code or 500, error.description or "", **headers).response()


def ready_if(*checks: Callable[[], object], errors: tuple[type[Exception], ...]) -> Callable[[], str | None]:
    """Return a `not_ready` that makes all checks, and says what the first that raises one of `errors` says."""

    def not_ready() -> str | None:
        try:
            for check in checks:
                check()
        except errors as error:
            return str(error)
        return None

    return not_ready


def parse(reader: Reader[T], body: bytes, expected: str) -> T:
    """Return what a body holds; raises Problem 400, 413 for a list too long, that says what is `expected` instead."""
    try:
        return reader(body)
    except Malformed as error:
        status = 413 if isinstance(error, TooMany) else 400
        raise Problem(status, f"The body {error}; send {expected}.") from error
