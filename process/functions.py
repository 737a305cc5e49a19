"""Invocations of functions through the gateway, and what their answers mean."""

import re
from collections.abc import Callable, Container
from datetime import UTC, datetime
from typing import TypeVar

import urllib3
from msgspec import Struct

from contracts.codec import Malformed, Reader, encode
from contracts.problem import read_problem
from process import tracing
from process.answers import JSON, PROBLEM_JSON
from process.tls import explained

# Statuses that speak of this very request, where a function says so itself; every other one but success is a bad
# moment of the system: no function ready (404, 502, 503), a wrong token (401), too many requests (429), a bug (500).
REFUSALS = (400, 413, 422)
MAX_SHOWN_BYTES = 200

T = TypeVar("T")


class FunctionUnavailable(Exception):
    """The function did not answer as it should; trying again later is right."""

    def __init__(self, message: str, retry_after_seconds: float | None = None, status: int | None = None) -> None:
        """Say what is wrong, for how long the function asked to be left alone, and the status that it answered with."""
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds
        self.status = status


class RequestRefused(Exception):
    """The function says that this request can never be answered."""

    def __init__(self, message: str, status: int) -> None:
        """Say why, and by which status."""
        super().__init__(message)
        self.status = status


class Function:
    """One function behind the gateway, called with JSON. Threads may share it."""

    def __init__(
        self,
        gateway_url: str,
        name: str,
        *,
        connections: int,
        timeout_seconds: float,
        token: str | None = None,
        refusals: Container[int] = REFUSALS,
    ) -> None:
        """Call `<gateway_url>/function/<name>`.

        token: what it wants as bearer, None if it wants none. refusals: the statuses after which a caller does not try
        again, where the function itself says them.
        """
        self.url = f"{gateway_url.rstrip('/')}/function/{name}"
        self._name = name
        self._refusals = refusals
        self._headers = {"Content-Type": JSON} | ({"Authorization": f"Bearer {token}"} if token else {})
        self._pool = urllib3.PoolManager(
            maxsize=connections,
            block=True,
            retries=False,
            timeout=urllib3.Timeout(connect=3, read=timeout_seconds),
        )

    def post(self, body: Struct, read: Reader[T], *, query: str = "") -> T:
        """Return what `read` finds in the answer to `body`; raises FunctionUnavailable or RequestRefused."""
        return self.call("POST", read, body=encode(body), query=query)

    def call(self, method: str, read: Callable[[bytes], T], *, path: str = "", query: str = "", body: bytes = b"") -> T:
        """Return what `read`, which raises Malformed, finds in the answer; raises FunctionUnavailable, RequestRefused.

        path: begins with a slash, or is empty. query: begins with a question mark, or is empty.
        """
        try:
            headers = self._headers | tracing.headers()
            response = self._pool.request(method, self.url + path + query, body=body, headers=headers, redirect=False)
        except urllib3.exceptions.HTTPError as error:
            words = explained(error, authorities="SSL_CERT_FILE", address="GATEWAY_URL")
            raise FunctionUnavailable(f"{self._name} can't be reached: {words}") from error
        if not 200 <= response.status < 300:
            problem = _problem(response)
            if problem is not None and response.status in self._refusals:
                raise RequestRefused(f"{self._name} refused it: {problem}", response.status)
            detail = problem or response.data[:MAX_SHOWN_BYTES].decode(errors="replace").strip() or "no reason given"
            raise FunctionUnavailable(
                f"{self._name} answered {response.status}: {detail}",
                _retry_after_seconds(response.headers.get("Retry-After", "")),
                response.status,
            )
        try:
            return read(response.data)
        except Malformed as error:
            raise FunctionUnavailable(f"{self.url} did not answer as {self._name} does: what came {error}") from error

    def close(self) -> None:
        """Close the connections that are kept."""
        self._pool.clear()


def _problem(response: urllib3.BaseHTTPResponse) -> str | None:
    """Return the detail of an answer that is a problem (RFC 9457), None where it is none: a proxy's page, say."""
    if response.headers.get("Content-Type", "").partition(";")[0].strip().lower() != PROBLEM_JSON:
        return None
    try:
        return read_problem(response.data).detail
    except Malformed:
        return None


def _retry_after_seconds(value: str) -> float | None:
    """Return the seconds that a `Retry-After` asks for (RFC 9110), None where it is neither a number nor a date."""
    if re.fullmatch(r"[0-9]+", value):
        return float(value)
    try:
        # The one form that may be sent; others that may be read are of servers of the last century.
        at = datetime.strptime(value, "%a, %d %b %Y %H:%M:%S GMT")
    except ValueError:
        return None
    return max((at.replace(tzinfo=UTC) - datetime.now(UTC)).total_seconds(), 0.0)
