"""Labels: what people say a text is, who says so, and which model has learned it.

Who says so is a *principal*: the name of the credential that a label came with. What the sender calls its source is
kept, and decides nothing.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, NamedTuple

from pymongo import UpdateOne
from pymongo.collection import Collection

from contracts.codec import extended, to_document
from contracts.manifest import Bound
from contracts.records import LabelRecord
from contracts.retrain import Conflict, ConflictingLabel
from records.mongo import Document, Records, now, read, read_valid, unavailable
from records.pieces import in_pieces

CONFLICTS_SHOWN = 10
_ALL_BUT_THE_TEXT = ("text_sha256", "label", "source", "principals", "state", "received_at")
_PENDING = {"state": "pending"}
SAME_NAME_SHOWN = 5
PIECE_IDS = 1_000


class AmbiguousLabel(Exception):
    """Several labels have what their senders call the same id; says which."""


@dataclass(frozen=True)
class Label:
    """A text and its label, 0 negative or 1 positive, as they come in.

    principal: the name of the credential it came with. source: where it comes from, as the sender says.
    client_id: the id that the sender gave it, None where it gave none.
    """

    text: str
    label: int
    principal: str
    client_id: str | None = None
    source: str = ""

    @property
    def id(self) -> str:
        """The label's id: the same for the same text and label, whoever sends them."""
        return _digest(f"{self.label}\0{self.text}")

    @property
    def opposite_id(self) -> str:
        """The id of the other label of the same text."""
        return _digest(f"{1 - self.label}\0{self.text}")


class LabelCounts(NamedTuple):
    """How many labels there are of each state."""

    pending: int
    used: int
    refused: int


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
        """Create the indexes that the questions below need: of one field each, since nx-27017 uses no others."""
        with unavailable():
            for field in ("state", "client_id", "model", "received_at"):
                self._collection.create_index(field)

    def add(self, labels: Sequence[Label]) -> list[str]:
        """Store labels, each once; returns the ids of those that were not there yet.

        A label is there already if one of the same text and label is: then whoever sends it vouches for that one, too,
        and where the gate has refused it from others, it waits again. A client_id decides nothing: whoever guesses one
        could else keep somebody's label out.
        """
        by_id: dict[str, Label] = {}
        for label in labels:
            by_id.setdefault(label.id, label)
        known = self._known(by_id)
        new, received_at, writes = list[str](), now(), list[UpdateOne]()
        for identifier, label in by_id.items():
            vouch: dict[str, Any] = {"$addToSet": {"principals": label.principal}}
            if record := known.get(identifier):
                if label.principal not in record.vouchers:
                    again = {"$set": {"state": "pending"}} if record.state == "refused" else {}
                    writes.append(UpdateOne({"_id": identifier}, vouch | again))
                continue
            document = to_document(
                extended(label, LabelRecord, received_at=received_at, text_sha256=_digest(label.text))
            )
            del document["_id"], document["principals"]
            new.append(identifier)
            writes.append(UpdateOne({"_id": identifier}, {"$setOnInsert": document} | vouch, upsert=True))
        if writes:
            with unavailable():
                self._collection.bulk_write(writes, ordered=False)
            self._mark_conflicts([(identifier, label.opposite_id) for identifier, label in by_id.items()])
        return new

    def _known(self, ids: Iterable[str]) -> dict[str, LabelRecord]:
        """Return the labels of these ids that are there, without their texts."""
        found, remaining, fields = dict[str, LabelRecord](), iter(ids), dict.fromkeys(_ALL_BUT_THE_TEXT, 1)
        while piece := [*islice(remaining, PIECE_IDS)]:
            with unavailable():
                documents = [{**each, "text": ""} for each in self._collection.find({"_id": {"$in": piece}}, fields)]
            found |= {record.id: record for record in read_valid(documents, LabelRecord)}
        return found

    def _mark_conflicts(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Mark those of a pair of labels of one text, by their ids, that no more principals say than the other."""
        known = self._known({identifier for pair in pairs for identifier in pair})
        sides = {
            one: len(known[one].vouchers) - len(known[other].vouchers)
            for pair in pairs
            for one, other in (pair, pair[::-1])
            if one in known and other in known
        }
        for conflict in (True, False):
            self._mark([one for one, more in sides.items() if (more <= 0) is conflict], {"conflict": conflict})

    def counts(self) -> LabelCounts:
        """Return how many labels there are of each state."""
        with unavailable():
            pending, refused = (count_labels(self._collection, state) for state in ("pending", "refused"))
            # Most are used.
            used = max(self._collection.estimated_document_count() - pending - refused, 0)
        return LabelCounts(pending, used, refused)

    def waiting(self) -> tuple[int, int]:
        """Return how many labels are pending, and from how many of them a run would learn: those without a conflict."""
        with unavailable():
            conflicts = [bool(each.get("conflict")) for each in self._collection.find(_PENDING, {"conflict": 1})]
        return len(conflicts), conflicts.count(False)

    def conflicts(self) -> list[Conflict]:
        """Return texts that came with both labels, and neither from more principals; at most CONFLICTS_SHOWN."""
        ids = defaultdict[str, list[str]](list)
        with unavailable():
            for each in self._collection.find({"conflict": True}, {"text_sha256": 1}):
                ids[each.get("text_sha256", "")].append(each["_id"])
        # Where more say one of the labels, the other alone is marked.
        undecided = islice((both for both in ids.values() if len(both) > 1), CONFLICTS_SHOWN)
        by_text: dict[str, Conflict] = {}
        for found in read_valid(in_pieces(self._collection, chain.from_iterable(undecided)), LabelRecord):
            conflict = by_text.setdefault(found.text_sha256, Conflict(found.text, []))
            who = sorted(found.vouchers)
            conflict.labels.append(ConflictingLabel(found.id, found.label, found.source, who))
        return [*by_text.values()]

    def pending(self, *, maximum: int, maximum_per_principal: int = 0, refused: bool = False) -> Iterator[LabelRecord]:
        """Yield the oldest labels that no model has used, at most so many; they are read a few at a time.

        maximum_per_principal: how many of one principal, the first that sent them; 0 for any number. refused: those
        that the gate refused too. Labels that others contradict, and as many principals or more, wait.
        """
        # Of one state an index tells nx-27017, too.
        query = {"state": {"$in": ["pending", "refused"]}} if refused else _PENDING
        by_principal: Counter[str] = Counter()

        def is_full(principal: str) -> bool:
            return 0 < maximum_per_principal <= by_principal[principal]

        with unavailable():
            fields = {"source": 1, "principals": 1, "conflict": 1}
            oldest = self._collection.find(query, fields).sort([("received_at", 1), ("_id", 1)])
            found = [
                (each["_id"], str((each.get("principals") or [each.get("source")])[0]))
                for each in oldest
                if not each.get("conflict")
            ]
        ids = (identifier for identifier, principal in found if not is_full(principal))
        for label in read_valid(in_pieces(self._collection, ids), LabelRecord):
            principal = (label.principals or [label.source])[0]
            if not is_full(principal):
                by_principal[principal] += 1
                yield label
            if by_principal.total() == maximum:
                break

    def accepted(self, learned_by: Sequence[str], maximum: int) -> Iterator[LabelRecord]:
        """Yield labels that these versions have learned, at most so many; they are read a few at a time.

        They are the newest, among five times as many that came last.
        """
        versions = {*learned_by}
        with unavailable():
            newest = self._collection.find({}, {"state": 1, "model": 1}).sort("received_at", -1).limit(5 * maximum)
            ids = [each["_id"] for each in newest if each.get("state") == "used" and each.get("model") in versions]
        return read_valid(in_pieces(self._collection, ids[:maximum]), LabelRecord)

    def texts(self, ids: Sequence[str]) -> Iterable[str]:
        """Return the texts of these labels, which are read a few at a time, each time that they are iterated over."""
        return _Texts(self._collection, ids)

    def mark_used(self, ids: Sequence[str], model: str, weight: float, bound: Bound | None = None) -> None:
        """Note that a version has learned these labels, each counted `weight` times, and within `bound`."""
        self._mark(ids, {"state": "used", "model": model, "weight": weight, "bound": bound and to_document(bound)})

    def mark_refused(self, ids: Sequence[str], run: str, reason: str) -> None:
        """Note that the gate refused what was learned from these labels, in this run, and why."""
        self._mark(ids, {"state": "refused", "run": run, "reason": reason})

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
        """Forget a label, where it is there; one of the same text is not contradicted by it any more."""
        with unavailable():
            found = self._collection.find_one({"_id": identifier}, {"text": 1, "label": 1})
            if found is not None:
                self._mark([Label(found["text"], found["label"], "").opposite_id], {"conflict": False})
                self._collection.delete_one({"_id": identifier})


def count_labels(collection: Collection[Any], state: str) -> int:
    """Return how many labels of a collection have a state; raises PyMongoError."""
    # Not count_documents, which nx-27017 answers by reading all labels that there are.
    return sum(1 for _ in collection.find({"state": state}, {"_id": 1}))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]
