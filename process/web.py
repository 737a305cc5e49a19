"""What functions share whose requests Flask answers: errors as problem+json, bodies that are parsed."""

import hmac
import logging
from collections.abc import Callable, Mapping
from http import HTTPStatus
from io import BytesIO
from typing import TypeVar

import flask
from flask import Flask, Response
from werkzeug.exceptions import HTTPException
from werkzeug.test import EnvironBuilder, run_wsgi_app

from contracts.codec import Malformed, TooMany
from process.answers import Answer, Problem, json_answer
from process.front import Request
from process.guard import is_loopback
from process.settings import SettingsError

T = TypeVar("T")

logger = logging.getLogger("http")


def json_response(body: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Answer with a structure as JSON."""
    return _response(json_answer(body, status, headers))


class FunctionApp(Flask):
    """A Flask app behind a Front, whose errors are problem+json."""

    def __init__(self, name: str) -> None:
        """Name it as its function."""
        super().__init__(name, static_folder=None)
        self.register_error_handler(Problem, lambda problem: _response(problem.answer()))
        self.register_error_handler(HTTPException, _http_error)

    def answer(self, request: Request) -> Answer:
        """Answer a request of the front."""
        # Of a body that came in chunks, which are put together here, Flask would read nothing.
        sent = {name: value for name, value in request.headers.items() if name != "transfer-encoding"}
        environ = EnvironBuilder(
            path=request.path,
            query_string=request.query,
            method="GET" if request.method == "HEAD" else request.method,  # whose body the front leaves out
            input_stream=BytesIO(request.body),
            content_length=len(request.body),
            headers=sent.items(),
        ).get_environ()
        body, status, headers = run_wsgi_app(self, environ, buffered=True)
        kept = [(name.lower(), value) for name, value in headers if name.lower() != "content-length"]
        return Answer(int(status.split()[0]), kept, b"".join(body))

    def has_token(self, token: str | None) -> bool:
        """Return whether the request that is answered brings the token; where there is none, each does."""
        given = flask.request.headers.get("Authorization", "")
        return token is None or hmac.compare_digest(given.encode(), f"Bearer {token}".encode())

    def answer_errors(self, status: int, *kinds: type[Exception], then: str = ".", **headers: str) -> None:
        """Answer errors of these kinds with `status`, and in words with what they say, and `then` what to do."""

        def respond(error: Exception) -> Response:
            if status == HTTPStatus.INTERNAL_SERVER_ERROR:
                self.logger.error("%s", error)
            return _response(Problem(status, f"{error}{then}", **headers).answer())

        for kind in kinds:
            self.register_error_handler(kind, respond)


def _response(answer: Answer) -> Response:
    return Response(answer.body, answer.status, answer.headers)


def _http_error(error: HTTPException) -> Response:
    headers = {key: value for key, value in error.get_headers() if key == "Allow"}
    return _response(Problem(error.code or 500, error.description or "", **headers).answer())


def no_token(name: str, what: str) -> Problem:
    """Return the answer to who does not bring the token of that name; what: what it would do."""
    return Problem(401, f"{what}: send Authorization: Bearer <{name}>.", WWW_Authenticate="Bearer")


def check_token_is_set(token: str | None, name: str, address: str) -> None:
    """Raise SettingsError where a process without its token would listen to more than this machine; else say so."""
    if token is None and is_loopback(address):
        logger.warning("there is no secret %s: whoever is on this machine may change what this process keeps", name)
    elif token is None:
        variable = name.upper().replace("-", "_")
        raise SettingsError(
            f"the secret {name}, or {variable}, must be set, since LISTEN_HOST is {address}: without it, whoever "
            "reaches this process could change what it keeps"
        )


def ready_if(*checks: Callable[[], object], errors: tuple[type[Exception], ...]) -> Callable[[], str | None]:
    """Return a `not_ready` that makes all checks, and says what the first that raises one of `errors` says.

    It logs it, too, the first time that it is so.
    """
    ready = True

    def not_ready() -> str | None:
        nonlocal ready
        was_ready, ready = ready, False
        try:
            for check in checks:
                check()
        except errors as error:
            if was_ready:
                logger.warning("not ready: %s", error)
            return str(error)
        ready = True
        return None

    return not_ready


def parse(reader: Callable[[bytes | bytearray], T], body: bytes | bytearray, expected: str) -> T:
    """Return what a body holds; raises the Problem of `malformed`."""
    try:
        return reader(body)
    except Malformed as error:
        raise malformed(error, expected) from error


def asked(reader: Callable[[str], T]) -> T:
    """Return what the query of the request that is answered holds; raises Problem 400."""
    return parse_query(reader, flask.request.query_string.decode("latin-1"))


def parse_query(reader: Callable[[str], T], query: str) -> T:
    """Return what a query holds; raises Problem 400."""
    try:
        return reader(query)
    except Malformed as error:
        raise Problem(400, f"The query {error}.") from error


def malformed(error: Malformed, expected: str) -> Problem:
    """Return Problem 400, 413 for a list too long, that says what is `expected` instead."""
    return Problem(413 if isinstance(error, TooMany) else 400, f"The body {error}; send {expected}.")
