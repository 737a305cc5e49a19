"""What the bridge does with a batch of labels: hand them to retrain, which stores them before it answers."""

from collections.abc import Callable, Sequence

from bridge.functions import Function, FunctionUnavailable, by_halves
from bridge.rejected import park, part
from contracts.codec import Malformed
from contracts.labels import LabelExample, parse_label, read_label_example
from contracts.limits import within_limit
from contracts.retrain import LabelsRequest, read_labels_taken
from messages.ports import Message, Publisher
from process.retry import Retry
from records import Records

DEFAULT_SOURCE = "stream"
EXPECTED = '{"text": "...", "label": 0 or 1, "negative" or "positive"}'


def parse(message: Message) -> LabelExample:
    """Read a message, a JSON object with `text` and `label`; raises Malformed."""
    try:
        found = read_label_example(message.body)
        parse_label(found.label)
        return LabelExample(within_limit(found.text), found.label, found.source or DEFAULT_SOURCE, found.id)
    except ValueError as error:
        raise Malformed(f"{error}; send {EXPECTED}") from error


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
        """Handle a batch; returns the positions of the bad messages; raises Abandoned."""
        good, bad = part(messages, parse)
        bad += [(labels[0][0], str(refusal)) for labels, refusal in by_halves(good, self._hand_over) if refusal]
        park(bad, self._records, self._publisher, self._retry)
        self._on_done("labelled", len(messages) - len(bad))
        self._on_done("rejected", len(bad))
        return frozenset(message.position for message, _ in bad)

    def _hand_over(self, labels: Sequence[tuple[Message, LabelExample]]) -> None:
        body = LabelsRequest([example for _, example in labels])
        self._retry(lambda: self._function.post(body, read_labels_taken, headers=self._headers), FunctionUnavailable)
