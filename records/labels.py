"""Labels: what people say a text is, from which source, and which model has learned it."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pymongo import UpdateOne

from records.mongo import Records, now, unavailable

CONFLICTS_SHOWN = 20


@dataclass(frozen=True)
class Label:
    """A text and its label, 0 negative or 1 positive.

    client_id: the id that the sender gave it, None where it gave none.
    """

    text: str
    label: int
    source: str
    client_id: str | None = None

    @property
    def id(self) -> str:
        """The label's id: the same for the same text, label and source."""
        return _digest(f"{self.label}\0{self.source}\0{self.text}")


@dataclass(frozen=True)
class StoredLabel:
    """A label as it is kept. weight: how many times the model that used it counted it."""

    id: str
    text: str
    label: int
    source: str
    model: str | None
    weight: float


class Labels:
    """The collection `labels`. Every method raises RecordsUnavailable while MongoDB can't answer.

    A document's `state` is `pending`, `used` (by the version in `model`) or `refused` (by the gate, in `run`).
    """

    def __init__(self, records: Records) -> None:
        """Keep labels beside the other records."""
        self._collection = records.database["labels"]

    def ensure_indexes(self) -> None:
        """Create the indexes that the questions below need."""
        with unavailable():
            for field in ("state", "text_sha256", "client_id", "model"):
                self._collection.create_index(field)

    def add(self, labels: Sequence[Label]) -> list[str]:
        """Store labels, each once; returns the ids of those that were not there yet.

        A label is there already if one of the same text, label and source is, or one of the same client_id.
        """
        by_id = {label.id: label for label in labels}
        client_ids = [label.client_id for label in by_id.values() if label.client_id is not None]
        with unavailable():
            known_ids = {document["_id"] for document in self._collection.find({"_id": {"$in": [*by_id]}}, {"_id": 1})}
            known_client_ids = {
                document["client_id"]
                for document in self._collection.find({"client_id": {"$in": client_ids}}, {"client_id": 1})
            }
        new: dict[str, Label] = {}
        for identifier, label in by_id.items():
            if identifier in known_ids or (label.client_id is not None and label.client_id in known_client_ids):
                continue
            if label.client_id is not None:
                known_client_ids.add(label.client_id)
            new[identifier] = label
        if new:
            received_at = now()
            with unavailable():
                self._collection.bulk_write(
                    [
                        UpdateOne(
                            {"_id": identifier},
                            {
                                "$setOnInsert": {
                                    "text": label.text,
                                    "label": label.label,
                                    "source": label.source,
                                    "client_id": label.client_id,
                                    "received_at": received_at,
                                    "text_sha256": _digest(label.text),
                                    "state": "pending",
                                    "model": None,
                                }
                            },
                            upsert=True,
                        )
                        for identifier, label in new.items()
                    ],
                    ordered=False,
                )
            self._mark_conflicts(list(new.values()))
        return list(new)

    def _mark_conflicts(self, labels: Sequence[Label]) -> None:
        keys = sorted({_digest(label.text) for label in labels})
        seen: dict[str, set[int]] = {}
        with unavailable():
            query = {"text_sha256": {"$in": keys}}
            for document in self._collection.find(query, {"text_sha256": 1, "label": 1}):
                seen.setdefault(document["text_sha256"], set()).add(document["label"])
            if conflicting := [key for key, found in seen.items() if len(found) > 1]:
                self._collection.update_many({"text_sha256": {"$in": conflicting}}, {"$set": {"conflict": True}})

    def count(self, state: str) -> int:
        """Return how many labels are `pending`, `used` or `refused`."""
        with unavailable():
            return self._collection.count_documents({"state": state})

    def conflicts(self) -> list[dict[str, Any]]:
        """Return texts that came with both labels: the text, and each label with its source; at most 20 labels."""
        by_text: dict[str, dict[str, Any]] = {}
        with unavailable():
            for document in self._collection.find({"conflict": True}).limit(CONFLICTS_SHOWN):
                shown = by_text.setdefault(document["text_sha256"], {"text": document["text"], "labels": []})
                shown["labels"].append(
                    {"id": document["_id"], "label": document["label"], "source": document["source"]}
                )
        return list(by_text.values())

    def pending(
        self, *, maximum: int, maximum_per_source: int | None = None, refused: bool = False
    ) -> list[StoredLabel]:
        """Return the oldest labels that no model has used, at most so many, and so many of each source.

        refused: those that the gate refused as well.
        """
        states = ["pending", "refused"] if refused else ["pending"]
        chosen: list[StoredLabel] = []
        by_source: dict[str, int] = {}
        with unavailable():
            for document in self._collection.find({"state": {"$in": states}}).sort([("received_at", 1), ("_id", 1)]):
                taken = by_source.get(document["source"], 0)
                if maximum_per_source is not None and taken >= maximum_per_source:
                    continue
                by_source[document["source"]] = taken + 1
                chosen.append(_stored(document))
                if len(chosen) == maximum:
                    break
        return chosen

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

    def find(self, identifier: str) -> StoredLabel | None:
        """Return the label of this id, or of this client_id; None if there is none."""
        with unavailable():
            document = self._collection.find_one({"_id": identifier}) or self._collection.find_one(
                {"client_id": identifier}
            )
        return _stored(document) if document else None

    def delete(self, identifier: str) -> None:
        """Forget a label."""
        with unavailable():
            self._collection.delete_one({"_id": identifier})


def _stored(document: Mapping[str, Any]) -> StoredLabel:
    return StoredLabel(
        document["_id"],
        document["text"],
        document["label"],
        document["source"],
        document.get("model"),
        document.get("weight", 1.0),
    )


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]
