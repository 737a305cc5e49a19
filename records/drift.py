"""The texts that drift checks, its reports in `drift_reports`, and the texts that generate-drift made."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pymongo.collection import Collection
from pymongo.errors import DuplicateKeyError

from contracts.codec import to_document
from contracts.drift import DriftReport
from records.mongo import Document, Records, read, read_valid, unavailable
from records.pieces import in_pieces

# At a check every five minutes, ten weeks: reports can't fill the database, however often somebody asks.
MAX_REPORTS = 20_000


@dataclass(frozen=True)
class Scoring:
    """By which model a text was scored, when, and whether generate-drift made it."""

    model: str
    scored_at: datetime
    synthetic: bool


class ScoredTexts:
    """Texts of predictions, the same ones each time they are read, which is a few at a time: they may be large.

    scorings: of each text, in the same order. Reading raises RecordsUnavailable; what is deleted meanwhile is left out.
    """

    def __init__(self, predictions: "Collection[Document]", found: Iterable[Document]) -> None:
        """found: the documents, without their texts."""
        self._predictions = predictions
        self._ids: list[Any] = []
        self.scorings: list[Scoring] = []
        for document in found:
            self._ids.append(document["_id"])
            self.scorings.append(Scoring(document["model"], document["scored_at"], bool(document.get("synthetic"))))

    def __iter__(self) -> Iterator[str]:
        """Read the texts."""
        for document in in_pieces(self._predictions, self._ids, {"text": 1}):
            yield document["text"]


class DriftRecords:
    """Texts to check and the reports of checks. Every method raises RecordsUnavailable while MongoDB can't answer.

    Reports are numbered without gaps, and a report's `_id` is its number in twelve digits: as text it sorts alike in
    every server.

    Times that texts are asked for by are best whole seconds: nx-27017 compares no finer.
    """

    def __init__(self, records: Records) -> None:
        self._records = records
        self._predictions = records.database["predictions"]
        self._labels = records.database["labels"]
        self._reports = records.database["drift_reports"]

    def ensure_indexes(self) -> None:
        """Create the indexes of all records, and those that only these questions need."""
        self._records.ensure_indexes()
        with unavailable():
            self._predictions.create_index([("scored_at", -1)])
            self._reports.create_index("undelivered", sparse=True)

    def last_texts(self, limit: int, *, since: datetime | None = None) -> ScoredTexts:
        """Return the texts scored last, newest first, at most `limit`, and none from before `since`."""
        return self._texts(_scored(since), -1, limit)

    def live_texts(self, limit: int, *, since: datetime, model: str) -> ScoredTexts:
        """Return the first texts, at most `limit`, that `model` scored from `since` on and that nobody generated."""
        return self._texts(_scored(since, model), 1, limit)

    def _texts(self, query: Mapping[str, Any], direction: int, limit: int) -> ScoredTexts:
        fields = {"model": 1, "scored_at": 1, "synthetic": 1}
        with unavailable():
            found = self._predictions.find(query, fields).sort("scored_at", direction).limit(limit)
            return ScoredTexts(self._predictions, found)

    def count_texts(self, at_most: int, *, since: datetime | None, live_of: str | None = None) -> int:
        """Return how many texts `last_texts`, or `live_texts` of a model, would return; counting stops at `at_most`."""
        # Not count_documents, which nx-27017 answers by reading all of them.
        with unavailable():
            return sum(1 for _ in self._predictions.find(_scored(since, live_of), {"_id": 1}).limit(at_most))

    def unlearned_labels(self, limit: int, *, since: datetime) -> Iterator[tuple[str, int]]:
        """Yield the newest labelled texts that came in from `since` on and that no model has been trained on."""
        query = {"model": None, "received_at": {"$gte": since}}
        with unavailable():
            newest = self._labels.find(query, {"_id": 1}).sort("received_at", -1).limit(limit)
            ids = [document["_id"] for document in newest]
        for document in in_pieces(self._labels, ids, {"text": 1, "label": 1}):
            yield document["text"], document["label"]

    def last_report(self) -> DriftReport | None:
        """Return the newest report, None before the first; raises InvalidRecord where it can't be read."""
        with unavailable():
            document = self._reports.find_one(sort=[("_id", -1)])
        return None if document is None else read(document, DriftReport)

    def reports(self, limit: int) -> list[DriftReport]:
        """Return the last reports, newest first, without those that can't be read."""
        with unavailable():
            return [*read_valid(self._reports.find().sort("_id", -1).limit(limit), DriftReport)]

    def append_report(self, make: Callable[[int, DriftReport | None], DriftReport]) -> DriftReport:
        """Store the report that `make` makes of its number and of the report before it; returns it.

        Of two that append at once one is first, and the other's `make` is called again with that one's report: so
        each state follows from the one before, whoever checks. Raises InvalidRecord where the last one can't be read:
        going on without its state would announce what has been announced.
        """
        while True:
            last = self.last_report()
            report = make(last.number + 1 if last else 1, last)
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

    def count(self) -> int:
        """Return how many are recorded."""
        with unavailable():
            return sum(1 for _ in self._predictions.find({"synthetic": True}, {"_id": 1}))

    def delete(self) -> int:
        """Delete them; returns how many they were."""
        with unavailable():
            return self._predictions.delete_many({"synthetic": True}).deleted_count

    def ordinary(self, limit: int) -> Iterator[str]:
        """Yield the last texts, at most `limit`, that came from elsewhere, newest first."""
        query = {"synthetic": {"$ne": True}}
        with unavailable():
            newest = self._predictions.find(query, {"_id": 1}).sort("scored_at", -1).limit(limit)
            ids = [document["_id"] for document in newest]
        for document in in_pieces(self._predictions, ids, {"text": 1}):
            yield document["text"]


def _scored(since: datetime | None, live_of: str | None = None) -> Mapping[str, Any]:
    live = {"model": live_of, "synthetic": {"$ne": True}} if live_of else {}
    return {**live, "scored_at": {"$gte": since}} if since else live


def _id(number: int) -> str:
    return f"{number:012}"
