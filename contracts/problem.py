"""Errors over HTTP (RFC 9457), and what the probes say."""

from http import HTTPStatus

from msgspec import Struct

from contracts.codec import Reader


class ProblemDetails(Struct, frozen=True):
    """An error: its status, and a detail that tells the client what to do."""

    type: str
    title: str
    status: int
    detail: str

    @classmethod
    def of(cls, status: int, detail: str) -> "ProblemDetails":
        """Return the body of an error without a type of its own."""
        return cls("about:blank", HTTPStatus(status).phrase, status, detail)


class ProbeStatus(Struct, frozen=True):
    """The answer of /_/health and /_/ready."""

    status: str


class ProblemDetail(Struct, frozen=True):
    """What is read of an error that another function answers."""

    detail: str


read_problem = Reader(ProblemDetail)
