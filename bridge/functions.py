"""Invocations of functions through the gateway, and what their answers mean."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import urllib3
from msgspec import Struct

from contracts.codec import Malformed, Reader, encode
from contracts.predict import Answer, Answers, TextsRequest, read_answers
from contracts.problem import read_problem

# Statuses that speak of this very request; every other one but success is a bad moment of the system: no
# function ready (404, 502, 503), a wrong token (401), too many requests (429), a bug (500).
REFUSALS = (400, 413, 422)

Item = TypeVar("Item")
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
            response = self._pool.request("POST", self.url + query, body=encode(body), headers=self._headers)
        except urllib3.exceptions.HTTPError as error:
            raise FunctionUnavailable(f"{self._name} can't be reached: {error}") from error
        if response.status in REFUSALS:
            raise RequestRefused(f"{self._name} refused it: {_detail(response.data)}")
        if not 200 <= response.status < 300:
            raise FunctionUnavailable(
                f"{self._name} answered {response.status}: {_detail(response.data)}", _retry_after_seconds(response)
            )
        try:
            return read(response.data)
        except Malformed as error:
            raise FunctionUnavailable(f"{self.url} did not answer as {self._name} does: what came {error}") from error


def by_halves(
    items: Sequence[Item], call: Callable[[Sequence[Item]], T]
) -> Iterator[tuple[Sequence[Item], T | RequestRefused]]:
    """Call with all items, and with halves of what is refused, so that a bad one never fails its neighbours.

    Yields parts of the items, in their order, and the answer to each; of a single one that is refused, the refusal.
    """
    try:
        yield items, call(items)
    except RequestRefused as refusal:
        if len(items) == 1:
            yield items, refusal
        else:
            middle = len(items) // 2
            yield from by_halves(items[:middle], call)
            yield from by_halves(items[middle:], call)


def predict(function: Function, texts: Sequence[str]) -> Answers:
    """Return an answer for each text, a score or an error, and the model (empty if none was scored).

    Raises FunctionUnavailable.
    """

    def score(part: Sequence[str]) -> Answers:
        answer = function.post(TextsRequest(part), read_answers, query="?record=false")
        if len(answer.predictions) != len(part):
            raise FunctionUnavailable(f"{function.url} gave {len(answer.predictions)} answers for {len(part)} texts")
        return answer

    predictions: list[Answer] = []
    models: set[str] = set()
    for _, answer in by_halves(texts, score):
        if isinstance(answer, RequestRefused):
            predictions.append(Answer(error=str(answer)))
        else:
            predictions += answer.predictions
            models.add(answer.model)
    if len(models) > 1:
        raise FunctionUnavailable("the model was swapped between two halves of a batch")
    return Answers(predictions, models.pop() if models else "")


def _detail(body: bytes) -> str:
    try:
        return read_problem(body).detail
    except Malformed:
        return body[:200].decode(errors="replace").strip() or "no reason given"


def _retry_after_seconds(response: urllib3.BaseHTTPResponse) -> float | None:
    try:
        return urllib3.Retry().get_retry_after(response)
    except urllib3.exceptions.InvalidHeader:
        return None
