"""Invocations of functions through the gateway, and what their answers mean."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TypeVar

import urllib3
from msgspec import Struct

from bridge.halves import by_halves
from contracts.codec import Malformed, Reader, encode
from contracts.predict import Answer, Answers, TextsRequest, read_answers
from contracts.problem import read_problem
from process import tracing
from process.answers import PROBLEM_JSON
from process.tls import explained

# Statuses that speak of this very request, where a function says so itself; every other one but success is a bad
# moment of the system: no function ready (404, 502, 503), a wrong token (401), too many requests (429), a bug (500).
REFUSALS = (400, 413, 422)
MAX_SHOWN_BYTES = 200

T = TypeVar("T")


class FunctionUnavailable(Exception):
    """The function did not answer as it should; trying again later is right."""

    def __init__(self, message: str, retry_after_seconds: float | None = None) -> None:
        """Say what is wrong, and for how long the function asked to be left alone."""
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class RequestRefused(Exception):
    """The function says that this request can never be answered."""


class Function:
    """One function behind the gateway, called with JSON. Threads may share it."""

    def __init__(
        self, gateway_url: str, name: str, *, connections: int, timeout_seconds: float, token: str | None = None
    ) -> None:
        """Call `<gateway_url>/function/<name>`; token: what it wants as bearer, None if it wants none."""
        self.url = f"{gateway_url.rstrip('/')}/function/{name}"
        self._name = name
        self._headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
        self._pool = urllib3.PoolManager(
            maxsize=connections,
            block=True,
            retries=False,
            timeout=urllib3.Timeout(connect=3, read=timeout_seconds),
        )

    def post(self, body: Struct, read: Reader[T], *, query: str = "") -> T:
        """Return what `read` finds in the answer to `body`; raises FunctionUnavailable or RequestRefused."""
        try:
            response = self._pool.request(
                "POST", self.url + query, body=encode(body), headers=self._headers | tracing.headers(), redirect=False
            )
        except urllib3.exceptions.HTTPError as error:
            words = explained(error, authorities="SSL_CERT_FILE", address="GATEWAY_URL")
            raise FunctionUnavailable(f"{self._name} can't be reached: {words}") from error
        if not 200 <= response.status < 300:
            problem = _problem(response)
            if problem is not None and response.status in REFUSALS:
                raise RequestRefused(f"{self._name} refused it: {problem}")
            detail = problem or response.data[:MAX_SHOWN_BYTES].decode(errors="replace").strip() or "no reason given"
            raise FunctionUnavailable(
                f"{self._name} answered {response.status}: {detail}",
                _retry_after_seconds(response.headers.get("Retry-After", "")),
            )
        try:
            return read(response.data)
        except Malformed as error:
            raise FunctionUnavailable(f"{self.url} did not answer as {self._name} does: what came {error}") from error


def predict(function: Function, texts: Sequence[str], *, explain: bool = False) -> Answers:
    """Return an answer for each text, a score or an error, and the model (empty if none was scored).

    explain: the answers name the words that decided. Raises FunctionUnavailable.
    """
    query = "?record=false&explain=true" if explain else "?record=false"

    def score(part: Sequence[str]) -> Answers:
        answer = function.post(TextsRequest(part), read_answers, query=query)
        if len(answer.predictions) != len(part):
            raise FunctionUnavailable(f"{function.url} gave {len(answer.predictions)} answers for {len(part)} texts")
        return answer

    predictions: list[Answer] = []
    models: set[str] = set()
    for _, answer in by_halves(texts, score, RequestRefused):
        if isinstance(answer, RequestRefused):
            predictions.append(Answer(error=str(answer)))
        else:
            predictions += answer.predictions
            models.add(answer.model)
    if len(models) > 1:
        raise FunctionUnavailable("the model was swapped between two halves of a batch")
    return Answers(predictions, models.pop() if models else "")


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
