"""What was recorded last, for people to look at: texts, messages that could not be used, labels that wait."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import takewhile

from contracts.records import PredictionRecord, RejectedRecord
from records.labels import Label
from records.mongo import Document, Records, read_valid, unavailable
from records.pieces import in_pieces


class Recent:
    """The newest of each collection. Every method raises RecordsUnavailable while MongoDB can't answer.

    As in records.drift no question compares a time.
    """

    def __init__(self, records: Records) -> None:
        self._predictions = records.database["predictions"]
        self._rejected = records.database["rejected"]
        self._labels = records.database["labels"]

    def scored(self, limit: int, *, since: datetime) -> Iterator[Document]:
        """Yield source, prediction and time of the texts scored from `since` on, newest first, at most `limit`."""
        fields = {"_id": 0, "source": 1, "prediction": 1, "scored_at": 1}
        with unavailable():
            newest = self._predictions.find({}, fields).sort("scored_at", -1).limit(limit)
            yield from takewhile(lambda document: document["scored_at"] >= since, newest)

    def texts(self, limit: int) -> list[PredictionRecord]:
        """Return the texts that were scored last, newest first."""
        with unavailable():
            ids = [each["_id"] for each in self._predictions.find({}, {"_id": 1}).sort("scored_at", -1).limit(limit)]
        return [*read_valid(in_pieces(self._predictions, ids), PredictionRecord)]

    def rejected(self, limit: int) -> list[RejectedRecord]:
        """Return the messages that could not be used last, newest first."""
        with unavailable():
            ids = [each["_id"] for each in self._rejected.find({}, {"_id": 1}).sort("received_at", -1).limit(limit)]
        return [*read_valid(in_pieces(self._rejected, ids), RejectedRecord)]

    def pending(self) -> int:
        """Return how many labels wait for a run."""
        with unavailable():
            return sum(1 for _ in self._labels.find({"state": "pending"}, {"_id": 1}))

    def unsure(self, among: int) -> list[str]:
        """Return the ids of the texts scored last, `among` so many, that the model was least sure of, those first."""
        fields = {"probability": 1, "synthetic": 1}
        with unavailable():
            newest = self._predictions.find({}, fields).sort("scored_at", -1).limit(among)
            found = [(abs(each["probability"] - 0.5), each["_id"]) for each in newest if not each.get("synthetic")]
        return [identifier for _, identifier in sorted(found)]

    def unlabelled(self, ids: Sequence[str]) -> Iterator[PredictionRecord]:
        """Yield those of these texts that have no label, each text once."""
        seen = set[str]()
        for record in read_valid(in_pieces(self._predictions, ids), PredictionRecord):
            label = Label(record.text, 0, "")
            if label.id in seen:
                continue
            seen.add(label.id)
            with unavailable():
                has_label = self._labels.find_one({"_id": {"$in": [label.id, label.opposite_id]}}, {"_id": 1})
            if has_label is None:
                yield record
