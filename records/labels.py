"""Labels: what people say a text is, from which source, and which model has learned it."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pymongo import UpdateOne
from pymongo.collection import Collection

from contracts.codec import extended, to_documents
from contracts.records import LabelRecord
from contracts.retrain import Conflict, ConflictingLabel
from records.mongo import Document, Records, now, read, read_valid, unavailable
from records.pieces import in_pieces

CONFLICTS_SHOWN = 20
SAME_NAME_SHOWN = 5


class AmbiguousLabel(Exception):
    """Several labels have what their senders call the same id; says which."""


@dataclass(frozen=True)
class Label:
    """A text and its label, 0 negative or 1 positive, as they come in.

    client_id: the id that the sender gave it, None where it gave none.
    """

    text: str
    label: int
    source: str
    client_id: str | None = None

    @property
    def id(self) -> str:
        """The label's id: the same for the same text, label and source, which has no NUL (`contracts.retrain`)."""
        return _digest(f"{self.label}\0{self.source}\0{self.text}")


@dataclass(frozen=True)
class _Texts:
    """The texts of labels, by their ids."""

    collection: "Collection[Document]"
    ids: Sequence[str]

    def __iter__(self) -> Iterator[str]:
        for document in in_pieces(self.collection, self.ids, {"text": 1}):
            yield document["text"]


class Labels:
    """The collection `labels`. Every method raises RecordsUnavailable while MongoDB can't answer."""

    def __init__(self, records: Records) -> None:
        self._collection = records.database["labels"]

    def ensure_indexes(self) -> None:
        """Create the indexes that the questions below need."""
        with unavailable():
            for field in ("state", "text_sha256", "client_id", "model"):
                self._collection.create_index(field)

    def add(self, labels: Sequence[Label]) -> list[str]:
        """Store labels, each once; returns the ids of those that were not there yet.

        A label is there already if one of the same text, label and source is. A client_id decides nothing: whoever
        guesses one could else keep somebody's label out.
        """
        by_id = {label.id: label for label in labels}
        with unavailable():
            known = {found["_id"] for found in self._collection.find({"_id": {"$in": [*by_id]}}, {"_id": 1})}
        received_at = now()
        new = [
            extended(label, LabelRecord, received_at=received_at, text_sha256=_digest(label.text))
            for label in by_id.values()
            if label.id not in known
        ]
        if new:
            documents = to_documents(new)
            writes = [UpdateOne({"_id": each.pop("_id")}, {"$setOnInsert": each}, upsert=True) for each in documents]
            with unavailable():
                self._collection.bulk_write(writes, ordered=False)
            self._mark_conflicts({label.text_sha256 for label in new})
        return [label.id for label in new]

    def _mark_conflicts(self, keys: set[str]) -> None:
        """Mark the labels of texts that have both; keys: the hashes of texts that have got a new one."""
        seen: dict[str, set[int]] = {}
        with unavailable():
            query = {"text_sha256": {"$in": sorted(keys)}}
            for document in self._collection.find(query, {"text_sha256": 1, "label": 1}):
                seen.setdefault(document["text_sha256"], set()).add(document["label"])
            if conflicting := [key for key, found in seen.items() if len(found) > 1]:
                self._collection.update_many({"text_sha256": {"$in": conflicting}}, {"$set": {"conflict": True}})

    def count(self, state: str) -> int:
        """Return how many labels are `pending`, `used` or `refused`."""
        with unavailable():
            return self._collection.count_documents({"state": state})

    def conflicts(self) -> list[Conflict]:
        """Return texts that came with both labels, with those labels; at most 20 labels in all."""
        by_text: dict[str, Conflict] = {}
        with unavailable():
            for found in read_valid(self._collection.find({"conflict": True}).limit(CONFLICTS_SHOWN), LabelRecord):
                conflict = by_text.setdefault(found.text_sha256, Conflict(found.text, []))
                conflict.labels.append(ConflictingLabel(found.id, found.label, found.source))
        return [*by_text.values()]

    def pending(self, *, maximum: int, maximum_per_source: int = 0, refused: bool = False) -> Iterator[LabelRecord]:
        """Yield the oldest labels that no model has used, at most so many; they are read a few at a time.

        maximum_per_source: how many of one source, 0 for any number. refused: those that the gate refused too.
        """
        states = ["pending", "refused"] if refused else ["pending"]
        by_source: Counter[str] = Counter()

        def is_full(source: str) -> bool:
            return 0 < maximum_per_source <= by_source[source]

        with unavailable():
            oldest = self._collection.find({"state": {"$in": states}}, {"source": 1})
            found = [(each["_id"], str(each.get("source"))) for each in oldest.sort([("received_at", 1), ("_id", 1)])]
        ids = (identifier for identifier, source in found if not is_full(source))
        for label in read_valid(in_pieces(self._collection, ids), LabelRecord):
            if not is_full(label.source):
                by_source[label.source] += 1
                yield label
            if by_source.total() == maximum:
                break

    def texts(self, ids: Sequence[str]) -> Iterable[str]:
        """Return the texts of these labels, which are read a few at a time, each time that they are iterated over."""
        return _Texts(self._collection, ids)

    def mark_used(self, ids: Sequence[str], model: str, weight: float) -> None:
        """Note that a version has learned these labels, each counted `weight` times."""
        self._mark(ids, {"state": "used", "model": model, "weight": weight})

    def mark_refused(self, ids: Sequence[str], run: str) -> None:
        """Note that the gate refused what was learned from these labels, in this run."""
        self._mark(ids, {"state": "refused", "run": run})

    def requeue(self, learned_by: Sequence[str]) -> int:
        """Make labels pending again that none of these versions has learned, other ones have; returns how many."""
        with unavailable():
            return self._collection.update_many(
                {"state": "used", "model": {"$nin": list(learned_by)}}, {"$set": {"state": "pending", "model": None}}
            ).modified_count

    def _mark(self, ids: Sequence[str], values: Mapping[str, Any]) -> None:
        with unavailable():
            for start in range(0, len(ids), 1000):
                self._collection.update_many({"_id": {"$in": list(ids[start : start + 1000])}}, {"$set": dict(values)})

    def find(self, identifier: str) -> LabelRecord | None:
        """Return the label of this id, else of this client_id, None if there is none.

        Raises AmbiguousLabel where several labels have that client_id, InvalidRecord.
        """
        with unavailable():
            found = [*self._collection.find({"_id": identifier})]
            found = found or [*self._collection.find({"client_id": identifier}).limit(SAME_NAME_SHOWN)]
        if len(found) > 1:
            ids = ", ".join(str(each["_id"]) for each in found)
            raise AmbiguousLabel(f"Several labels came with the id {identifier!r}: {ids}")
        return read(found[0], LabelRecord) if found else None

    def delete(self, identifier: str) -> None:
        """Forget a label."""
        with unavailable():
            self._collection.delete_one({"_id": identifier})


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]
