"""What was recorded last, for people to look at: texts, messages that could not be used, labels that wait."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

from contracts.records import PredictionRecord, RejectedRecord
from records.labels import Label, count_labels
from records.mongo import Records, read_valid, unavailable
from records.pieces import in_pieces

READ_AT_ONCE = 500


class Scored(NamedTuple):
    """Where a text came from, what was said of it, and when."""

    source: str
    prediction: str
    at: datetime


class Recent:
    """The newest of each collection. Every method raises RecordsUnavailable while MongoDB can't answer.

    As in records.drift no question compares a time.
    """

    def __init__(self, records: Records) -> None:
        self._predictions = records.database["predictions"]
        self._rejected = records.database["rejected"]
        self._labels = records.database["labels"]

    def scored(self, skipped: int) -> Iterator[Scored]:
        """Yield source, prediction and time of the texts that were scored, newest first, without the first ones.

        They are read as they are asked for, READ_AT_ONCE at a time, each by a question of its own: nx-27017 reads all
        that a cursor could ever give at once. skipped: how many are left out.
        """
        fields = {"source": 1, "prediction": 1, "scored_at": 1}
        before = set[str]()
        while True:
            with unavailable():
                newest = self._predictions.find({}, fields).sort("scored_at", -1).skip(skipped).limit(READ_AT_ONCE)
                found = {each["_id"]: each for each in newest}
            for identifier, each in found.items():
                if identifier not in before:  # what has come in meanwhile moves the others on
                    yield Scored(each["source"], each["prediction"], each["scored_at"])
            if len(found) < READ_AT_ONCE:
                return
            before = {*found}
            skipped += READ_AT_ONCE

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
            return count_labels(self._labels, "pending")

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
