"""What goes out over HTTP: answers, and errors as problem+json (RFC 9457)."""

from collections.abc import Mapping
from math import ceil
from typing import NamedTuple

from contracts.codec import encode
from contracts.problem import ProblemDetails

JSON = "application/json"
PROBLEM_JSON = "application/problem+json"
RETRY_AFTER_SECONDS = 2


class Answer(NamedTuple):
    """A whole answer: status, headers, body."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


class Problem(Exception):
    """An answer that is an error: a status, and a detail that tells the client what to do."""

    def __init__(self, status: int, detail: str, **headers: str) -> None:
        """`headers` are sent with the answer; an underscore in a name stands for a dash."""
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = {name.replace("_", "-").lower(): value for name, value in headers.items()}

    def answer(self) -> Answer:
        """Return the answer."""
        headers = [("content-type", PROBLEM_JSON), *self.headers.items()]
        return Answer(self.status, headers, encode(ProblemDetails.of(self.status, self.detail)))


class Overloaded(Problem):
    """503, with the wish to come again soon."""

    def __init__(self, detail: str) -> None:
        """`detail` says of what there is too much."""
        super().__init__(503, detail, Retry_After=str(RETRY_AFTER_SECONDS))


class TooSoon(Problem):
    """429, with the wish to come again later."""

    def __init__(self, detail: str, seconds_to_wait: float) -> None:
        """`detail` says what was done too short a time ago."""
        super().__init__(429, detail, Retry_After=str(ceil(seconds_to_wait)))


def json_answer(body: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    """Answer with a structure as JSON."""
    return Answer(status, [("content-type", JSON), *(headers or {}).items()], encode(body))
