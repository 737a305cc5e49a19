"""What the bridge does with labels: hand them to retrain, which stores them before it answers."""

from collections.abc import Sequence

from bridge.functions import FunctionUnavailable, by_halves
from bridge.handler import BadMessage, BatchHandler, rejected
from contracts.labels import LabelExample, parse_label, read_label_example
from contracts.limits import within_limit
from contracts.retrain import LabelsRequest, read_labels_taken
from contracts.stream import Rejected
from messages.ports import Message, Outgoing

DEFAULT_SOURCE = "stream"


class LabelHandler(BatchHandler[LabelExample]):
    """Handles batches of labels. A label handed over twice counts once, so repeats do no harm."""

    outcome = "labelled"
    expected = '{"text": "...", "label": 0 or 1, "negative" or "positive"}'

    def parse(self, message: Message) -> LabelExample:
        """Read a message, a JSON object with `text` and `label`."""
        found = read_label_example(message.body)
        try:
            parse_label(found.label)
        except ValueError as error:
            raise BadMessage(str(error)) from error
        return LabelExample(within_limit(found.text), found.label, found.source or DEFAULT_SOURCE, found.id)

    def use(self, good: Sequence[tuple[Message, LabelExample]]) -> tuple[list[Rejected], list[Outgoing]]:
        """Hand the labels over; returns those that retrain refuses."""
        return [rejected(part[0][0], str(refusal)) for part, refusal in by_halves(good, self._hand_over) if refusal], []

    def _hand_over(self, labels: Sequence[tuple[Message, LabelExample]]) -> None:
        body = LabelsRequest([example for _, example in labels])
        self.retry(lambda: self.function.post(body, read_labels_taken), FunctionUnavailable)
