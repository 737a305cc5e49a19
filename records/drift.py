"""The texts that drift checks, its reports in `drift_reports`, its sample, and the texts that generate-drift made."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from pymongo.collection import Collection
from pymongo.errors import DuplicateKeyError

from contracts.codec import to_document
from contracts.drift import DriftReport, Findings, LiveSample
from records.mongo import Document, Records, read, read_valid, unavailable
from records.pieces import in_pieces

# At a check every five minutes, ten weeks: reports can't fill the database, however often somebody asks.
MAX_REPORTS = 20_000
DELETED_AT_ONCE = 1_000
SAMPLE = "live"


@dataclass(frozen=True)
class Scoring:
    """The id of a text, by which model it was scored, what it found, when, and whether generate-drift made the text."""

    id: str
    model: str
    probability: float
    scored_at: datetime
    synthetic: bool


class Texts:
    """Texts of predictions, the same ones each time they are read, which is a few at a time: they may be large.

    Reading raises RecordsUnavailable; what is deleted meanwhile is left out.
    """

    def __init__(self, predictions: "Collection[Document]", ids: Sequence[str]) -> None:
        self._predictions = predictions
        self._ids = ids

    def __iter__(self) -> Iterator[str]:
        """Read the texts."""
        for document in in_pieces(self._predictions, self._ids, {"text": 1}):
            yield document["text"]


class DriftRecords:
    """Texts to check and the reports of checks. Every method raises RecordsUnavailable while MongoDB can't answer.

    Reports are numbered without gaps, and a report's `_id` is its number in twelve digits: as text it sorts alike in
    every server.

    No question compares a time: nx-27017 answers that by reading all that match, before any limit. It reads the newest
    by an index as MongoDB does, and whoever asks stops where they are too old.
    """

    def __init__(self, records: Records) -> None:
        self._records = records
        self._predictions = records.database["predictions"]
        self._labels = records.database["labels"]
        self._reports = records.database["drift_reports"]
        self._sample = records.database["drift_sample"]

    def ensure_indexes(self) -> None:
        """Create the indexes of all records, and those that only these questions need."""
        self._records.ensure_indexes()
        with unavailable():
            self._predictions.create_index([("scored_at", -1)])
            self._reports.create_index("undelivered", sparse=True)

    def newest(self, limit: int) -> list[Scoring]:
        """Return the scorings of the texts that were scored last, newest first, at most `limit`."""
        fields = {"model": 1, "probability": 1, "scored_at": 1, "synthetic": 1}
        with unavailable():
            found = self._predictions.find({}, fields).sort("scored_at", -1).limit(limit)
            return [
                Scoring(
                    document["_id"],
                    document["model"],
                    document["probability"],
                    document["scored_at"],
                    bool(document.get("synthetic")),
                )
                for document in found
            ]

    def scored_at(self, place: int) -> datetime | None:
        """Return when the text was scored that `place` others have come after, None without such a text."""
        with unavailable():
            found = self._predictions.find({}, {"scored_at": 1}).sort("scored_at", -1).skip(place).limit(1)
            return next((document["scored_at"] for document in found), None)

    def texts(self, ids: Sequence[str]) -> Texts:
        """Return the texts of these ids."""
        return Texts(self._predictions, ids)

    def times(self, ids: Sequence[str]) -> dict[str, datetime]:
        """Return when these texts were scored, by their ids, without those that are gone."""
        found = in_pieces(self._predictions, ids, {"scored_at": 1})
        return {document["_id"]: document["scored_at"] for document in found}

    def unlearned_labels(self, limit: int, *, since: datetime) -> Iterator[tuple[str, int]]:
        """Yield the newest labelled texts that came in from `since` on and that no model has been trained on."""
        with unavailable():
            newest = self._labels.find({"model": None}, {"received_at": 1}).sort("received_at", -1).limit(limit)
            ids = [document["_id"] for document in newest if document["received_at"] >= since]
        for document in in_pieces(self._labels, ids, {"text": 1, "label": 1}):
            yield document["text"], document["label"]

    def sample(self) -> LiveSample | None:
        """Return the sample of live texts, None before the first; raises InvalidRecord where it can't be read."""
        with unavailable():
            document = self._sample.find_one({"_id": SAMPLE})
        return None if document is None else read(document, LiveSample)

    def keep_sample(self, sample: LiveSample) -> None:
        """Keep a sample in the place of the one before."""
        # Where it inserts what is to replace something, nx-27017 makes up an id.
        with unavailable():
            self._sample.update_one({"_id": SAMPLE}, {"$set": to_document(sample)}, upsert=True)

    def last_report(self) -> DriftReport | None:
        """Return the newest report, None before the first; raises InvalidRecord where it can't be read."""
        with unavailable():
            document = self._reports.find_one(sort=[("_id", -1)])
        return None if document is None else read(document, DriftReport)

    def reports(self, limit: int) -> list[DriftReport]:
        """Return the last reports, newest first, without those that can't be read."""
        with unavailable():
            return [*read_valid(self._reports.find().sort("_id", -1).limit(limit), DriftReport)]

    def append_report(self, make: Callable[[int, DriftReport | None], Findings]) -> Findings:
        """Store the report that `make` makes of its number and of the report before it; returns it.

        What `make` returns is not stored where it is no report.

        Of two that append at once one is first, and the other's `make` is called again with that one's report: so
        each state follows from the one before, whoever checks. Raises InvalidRecord where the last one can't be read:
        going on without its state would announce what has been announced.
        """
        while True:
            last = self.last_report()
            report = make(last.number + 1 if last else 1, last)
            if not isinstance(report, DriftReport):
                return report
            with unavailable():
                try:
                    self._reports.insert_one({"_id": _id(report.number), **to_document(report)})
                except DuplicateKeyError:
                    continue
                self._reports.delete_many({"_id": {"$lte": _id(max(report.number - MAX_REPORTS, 0))}})
            return report

    def undelivered(self, channel: str) -> list[DriftReport]:
        """Return the reports whose alert has not been sent by `channel`, oldest first."""
        # With an index on a list, nx-27017 finds its items by $in alone.
        with unavailable():
            return [*read_valid(self._reports.find({"undelivered": {"$in": [channel]}}).sort("_id", 1), DriftReport)]

    def mark_delivered(self, number: int, channel: str) -> None:
        """Note that the alert of a report has been sent by `channel`."""
        with unavailable():
            self._reports.update_one({"_id": _id(number)}, {"$pull": {"undelivered": channel}})


class GeneratedTexts:
    """The texts that generate-drift made. Every method raises RecordsUnavailable while MongoDB can't answer."""

    def __init__(self, records: Records) -> None:
        self._predictions = records.database["predictions"]

    def ensure_index(self) -> None:
        """Create the index that finds them: only where any are made, for each index costs every insert its time."""
        with unavailable():
            self._predictions.create_index("synthetic", partialFilterExpression={"synthetic": True})

    def count(self, known: int = 0) -> int:
        """Return how many are recorded; known: how many of them are not read again, since they were counted before."""
        with unavailable():
            return known + sum(1 for _ in self._predictions.find({"synthetic": True}, {"_id": 1}).skip(known))

    def delete(self) -> int:
        """Delete them; returns how many they were."""
        deleted = 0
        # By their ids: for another question nx-27017 looks at every record when it deletes.
        with unavailable():
            while found := [*self._predictions.find({"synthetic": True}, {"_id": 1}).limit(DELETED_AT_ONCE)]:
                ids = [document["_id"] for document in found]
                deleted += self._predictions.delete_many({"_id": {"$in": ids}}).deleted_count
        return deleted

    def ordinary(self, limit: int) -> Iterator[str]:
        """Yield the last texts, at most `limit`, that came from elsewhere, newest first."""
        query = {"synthetic": {"$ne": True}}
        with unavailable():
            newest = self._predictions.find(query, {"_id": 1}).sort("scored_at", -1).limit(limit)
            ids = [document["_id"] for document in newest]
        for document in in_pieces(self._predictions, ids, {"text": 1}):
            yield document["text"]


def _id(number: int) -> str:
    return f"{number:012}"
