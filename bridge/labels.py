"""What the bridge does with labels: hand them to retrain, which stores them before it answers."""

from collections.abc import Sequence

from bridge.functions import FunctionUnavailable, by_halves
from bridge.handler import BatchHandler
from bridge.rejected import Bad, BadMessage
from contracts.codec import Malformed
from contracts.labels import LabelExample, parse_label, read_label_example
from contracts.limits import TextTooLong, within_limit
from contracts.retrain import LabelsRequest, read_labels_taken
from messages.ports import Message, Outgoing

DEFAULT_SOURCE = "stream"
EXPECTED = '{"text": "...", "label": 0 or 1, "negative" or "positive"}'


def parse(message: Message) -> LabelExample:
    """Read a message, a JSON object with `text` and `label`; raises BadMessage."""
    try:
        found = read_label_example(message.body)
    except Malformed as error:
        raise BadMessage(f"the body {error}; send {EXPECTED}") from error
    try:
        text = within_limit(found.text)
        parse_label(found.label)
    except TextTooLong as error:
        raise BadMessage(f"the text {error}") from error
    except ValueError as error:
        raise BadMessage(str(error)) from error
    return LabelExample(text, found.label, found.source or DEFAULT_SOURCE, found.id)


class LabelHandler(BatchHandler[LabelExample]):
    """Handles batches of labels. A label handed over twice counts once, so repeats do no harm."""

    outcome = "labelled"
    parse = staticmethod(parse)

    def use(self, good: Sequence[tuple[Message, LabelExample]]) -> tuple[list[Bad], list[Outgoing]]:
        """See BatchHandler."""
        return [(part[0][0], str(refusal)) for part, refusal in by_halves(good, self._hand_over) if refusal], []

    def _hand_over(self, labels: Sequence[tuple[Message, LabelExample]]) -> None:
        body = LabelsRequest([example for _, example in labels])
        self.retry(lambda: self.function.post(body, read_labels_taken), FunctionUnavailable)
