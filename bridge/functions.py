"""Invocations of functions through the gateway, and what their answers mean."""

import logging
from collections.abc import Sequence
from email.utils import parsedate_to_datetime
from typing import Any

import orjson
import urllib3

from records import now

logger = logging.getLogger(__name__)

CONNECT_TIMEOUT_SECONDS = 3.0
# Statuses that speak of this very request; every other one but success is a bad moment of the system: no
# function ready (404, 502, 503), a wrong token (401), too many requests (429), a bug (500).
REFUSALS = (400, 413, 422)


class FunctionUnavailable(Exception):
    """The function did not answer as it should; trying again later is right."""

    def __init__(self, message: str, retry_after_seconds: float | None = None) -> None:
        """retry_after_seconds: how long the function asked to be left alone."""
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class RequestRefused(Exception):
    """The function says that this request can never be answered."""


class Function:
    """One function behind the gateway, called with JSON. Threads may share it."""

    def __init__(self, gateway_url: str, name: str, *, connections: int, timeout_seconds: float) -> None:
        """Call `<gateway_url>/function/<name>`."""
        self.url = f"{gateway_url.rstrip('/')}/function/{name}"
        self._name = name
        self._pool = urllib3.PoolManager(
            maxsize=connections,
            block=True,
            retries=False,
            timeout=urllib3.Timeout(connect=CONNECT_TIMEOUT_SECONDS, read=timeout_seconds),
        )

    def post(self, body: Any, *, query: str = "", headers: dict[str, str] | None = None) -> dict[str, Any]:
        """Return the JSON object that answers `body`; raises FunctionUnavailable or RequestRefused."""
        try:
            response = self._pool.request(
                "POST",
                self.url + query,
                body=orjson.dumps(body),
                headers={"Content-Type": "application/json", **(headers or {})},
            )
        except urllib3.exceptions.HTTPError as error:
            raise FunctionUnavailable(f"{self._name} can't be reached: {error}") from error
        if response.status in REFUSALS:
            raise RequestRefused(f"{self._name} refused it: {_detail(response.data)}")
        if not 200 <= response.status < 300:
            raise FunctionUnavailable(
                f"{self._name} answered {response.status}: {_detail(response.data)}",
                _retry_after_seconds(response.headers.get("Retry-After")),
            )
        try:
            answer = orjson.loads(response.data)
        except orjson.JSONDecodeError as error:
            raise FunctionUnavailable(f"{self._name} answered no JSON") from error
        if not isinstance(answer, dict):
            raise FunctionUnavailable(f"{self._name} answered no JSON object")
        return answer


def predict(function: Function, texts: Sequence[str]) -> tuple[list[dict[str, Any]], str | None]:
    """Return an answer a text, {"prediction", "probability"} or {"error"}, and the model.

    Raises FunctionUnavailable.

    Where predict refuses the whole batch, its halves are tried, so that one bad text never fails its neighbours.
    """
    try:
        answer = function.post({"texts": texts}, query="?record=false")
    except RequestRefused as error:
        if len(texts) == 1:
            return [{"error": str(error)}], None
        middle = len(texts) // 2
        (first, model), (second, other_model) = (
            predict(function, texts[:middle]),
            predict(function, texts[middle:]),
        )
        if model and other_model and model != other_model:
            raise FunctionUnavailable("the model was swapped between two halves of a batch") from error
        return first + second, model or other_model
    match answer:
        case {"predictions": list(predictions), "model": str(model)} if len(predictions) == len(texts):
            return predictions, model
    raise FunctionUnavailable(f"{function.url} did not answer as predict does: is it the right function?")


def _detail(body: bytes) -> str:
    try:
        return str(orjson.loads(body)["detail"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return body[:200].decode(errors="replace").strip() or "no reason given"


def _retry_after_seconds(value: str | None) -> float | None:
    if not value:
        return None
    try:
        return float(value)
    except ValueError:
        pass
    try:
        return (parsedate_to_datetime(value) - now()).total_seconds()
    except ValueError:
        return None
