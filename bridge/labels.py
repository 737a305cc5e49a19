"""What the bridge does with a batch of labels: hand them to retrain, which stores them before it answers."""

from collections.abc import Callable, Sequence
from typing import Any

from bridge.broker import Message, Publisher
from bridge.invoke import Function, FunctionUnavailable, RequestRefused
from bridge.retry import Retry
from bridge.reviews import BadMessage, park, parse_object
from records import Records
from sentiment.data import parse_label

DEFAULT_SOURCE = "stream"


def parse(message: Message) -> dict[str, Any]:
    """Read a message, a JSON object with `text` and `label`; raises BadMessage."""
    value = parse_object(message.body)
    if not isinstance(value.get("text"), str):
        raise BadMessage("no text: the JSON object needs a string in `text`")
    try:
        parse_label(value.get("label"))
    except ValueError as error:
        raise BadMessage(str(error)) from error
    return {"source": DEFAULT_SOURCE, **value}


class LabelHandler:
    """Handles batches of labels, for a Pipeline. A label handed over twice counts once, so repeats do no harm."""

    def __init__(
        self,
        function: Function,
        records: Records,
        publisher: Publisher,
        retry: Retry,
        *,
        token: str | None,
        on_done: Callable[[str, int], None] = lambda outcome, count: None,
    ) -> None:
        """token: what retrain wants as bearer, None if it wants none; on_done is told how many were taken, rejected."""
        self._function = function
        self._records = records
        self._publisher = publisher
        self._retry = retry
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._on_done = on_done

    def __call__(self, messages: list[Message]) -> frozenset[int]:
        """Handle a batch; returns the positions of the bad messages; raises bridge.retry.Abandoned."""
        good: list[tuple[Message, dict[str, Any]]] = []
        bad: list[tuple[Message, str]] = []
        for message in messages:
            try:
                good.append((message, parse(message)))
            except BadMessage as error:
                bad.append((message, str(error)))
        bad += self._hand_over(good)
        park(bad, self._records, self._publisher, self._retry)
        self._on_done("labelled", len(messages) - len(bad))
        self._on_done("rejected", len(bad))
        return frozenset(message.position for message, _ in bad)

    def _hand_over(self, labels: Sequence[tuple[Message, dict[str, Any]]]) -> list[tuple[Message, str]]:
        """Have retrain take the labels; returns those that it refuses, found by halving."""
        if not labels:
            return []
        body = {"examples": [example for _, example in labels]}
        try:
            self._retry(lambda: self._function.post(body, headers=self._headers), FunctionUnavailable)
        except RequestRefused as error:
            if len(labels) == 1:
                return [(labels[0][0], str(error))]
            middle = len(labels) // 2
            return self._hand_over(labels[:middle]) + self._hand_over(labels[middle:])
        return []
