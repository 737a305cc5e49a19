"""Compares what senders were told with what is in streams, queues, records and models, as sets."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field
from functools import cache
from typing import NamedTuple

from rstream.amqp import amqp_decoder

from model_store.publishing import ModelStore
from records import Records
from sentiment.artifact import scorer_of
from sentiment.counts import count_texts
from sentiment.influence import within
from sentiment.packing import unpack
from sentiment.scorer import Scorer
from tests.cluster.bridges import Answer, recorded, text
from tests.cluster.traffic import Review
from tests.faults.history import History
from tests.models import equal
from tests.system import Client

SHOWN = 5


class Place(NamedTuple):
    """Which message is spoken of: its correlation id, and its offset. A sender may have sent it more than once."""

    id: str
    offset: int


@dataclass
class Verdict:
    """What is wrong, as names of what it is wrong with; all of them empty where nothing is.

    lost: confirmed, and not there. doubled: there more than once. unexpected: there, and nobody sent it. wrong: not
    what the model says that is named beside it, or not the same everywhere. unanswered: without a reply. unfinished:
    what did not come to an end in time.
    """

    confirmed: int = 0
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    unanswered: list[str] = field(default_factory=list)
    unfinished: list[str] = field(default_factory=list)
    repeated_replies: int = 0

    def problems(self) -> dict[str, list[str]]:
        """Return what is wrong, the first SHOWN of each kind."""
        kinds = ("lost", "doubled", "unexpected", "wrong", "unanswered", "unfinished")
        return {kind: found[:SHOWN] for kind in kinds if (found := getattr(self, kind))}


@dataclass
class Checker:
    """Checks one system, whose bridges have ended."""

    amqp_url: str
    records: Records
    store: ModelStore
    replies: str

    def messages(
        self,
        held: Mapping[str, tuple[Place, Review]],
        gone: Mapping[str, tuple[Place, Review]],
        confirmed: Iterable[str],
        predictions: Iterable[bytes],
        rejected: Iterable[bytes],
        bad_labels: Set[str],
        verdict: Verdict,
    ) -> None:
        """Check what came of messages; predictions, rejected: the entries of these streams.

        gone: were dropped by the broker, maybe before they were done. bad_labels: may be parked, too.
        """
        self._same(verdict.lost, "in no stream", {*confirmed} - {place.id for place, _ in held.values()})
        parked = {document["_id"] for document in self.records.database["rejected"].find({}, {"_id": 1})}
        known = recorded(self.records)
        bad = {key for key, (_, review) in held.items() if review.bad or (review.either and key in parked)}
        good = {key: review for key, (_, review) in held.items() if key not in bad}
        of_stream = {key for key in known if not key.startswith("http:")}
        self._same(verdict.lost, "no record", good.keys() - known.keys())
        self._same(verdict.unexpected, "a record", of_stream - good.keys() - gone.keys())
        self._same(verdict.lost, "not parked", bad - parked)
        self._same(verdict.unexpected, "parked", parked - bad - bad_labels - gone.keys())
        told = {str(json.loads(amqp_decoder(entry).body).get("id")) for entry in rejected}
        self._same(verdict.lost, "not in rejected", bad - told)
        self._same(verdict.unexpected, "in rejected", told - bad - bad_labels - gone.keys())
        places = {place: key for key, (place, _) in held.items() if key in good}
        places_of_all = places | {place: key for key, (place, _) in gone.items()}
        appended = Counter[Place]()
        for entry in predictions:
            message = amqp_decoder(entry)
            place, answer = _answer(text(message.properties.correlation_id), bytes(message.body))
            appended[place] += 1
            self._agrees("predictions", place, answer, places_of_all, known, verdict)
        self._same(verdict.lost, "no answer in predictions", [str(place) for place in places.keys() - appended.keys()])
        self._same(verdict.doubled, "in predictions", [str(place) for place, count in appended.items() if count > 1])
        self._check_replies(places_of_all, good, known, verdict)

    def _check_replies(
        self,
        places: Mapping[Place, str],
        good: Mapping[str, Review],
        known: Mapping[str, Answer],
        verdict: Verdict,
    ) -> None:
        client = Client(self.amqp_url)
        replied = defaultdict[Place, int](int)
        for properties, body in client.read_queue(self.replies):
            place, answer = _answer(properties.correlation_id or "", body)
            replied[place] += 1
            self._agrees("a reply", place, answer, places, known, verdict)
        client.close()
        asking = {place for place, key in places.items() if key in good and good[key].reply_to == self.replies}
        self._same(verdict.unanswered, "no reply", [str(place) for place in asking - replied.keys()])
        verdict.repeated_replies += sum(replied.values()) - len(replied)

    def _agrees(
        self,
        where: str,
        place: Place,
        answer: Answer,
        places: Mapping[Place, str],
        known: Mapping[str, Answer],
        verdict: Verdict,
    ) -> None:
        key = places.get(place)
        if key is None:
            verdict.unexpected.append(f"{where}: {place}")
        elif key in known and known[key] != answer:
            verdict.wrong.append(f"{where}: {place} says {answer}, its record {known[key]}")

    def texts(self, history: History, copies: Mapping[str, str], verdict: Verdict) -> None:
        """Check what came of texts that were sent over HTTP, and each record against its model.

        copies: versions that say what another one does.
        """
        score = Scores(self.store, copies)
        by_text: dict[str, list[Answer]] = defaultdict(list)
        for document in self.records.database["predictions"].find():
            answer = Answer(document["prediction"], document["probability"], document["model"])
            if document["source"] == "http":
                by_text[document["text"]].append(answer)
            if answer != score(document["text"], answer.model):
                verdict.wrong.append(f"record {document['_id']}: {answer}, which its model does not say")
        self._same(verdict.lost, "no record of the text", history.texts.keys() - by_text.keys())
        self._same(verdict.unexpected, "a record of the text", by_text.keys() - history.asked)
        # Who got no answer may have asked again; who got one asked once.
        self._same(verdict.doubled, "records of the text", [name for name, found in by_text.items() if len(found) > 1])
        for name, scored in history.texts.items():
            if by_text[name] and Answer(scored.prediction, scored.probability, scored.model) not in by_text[name]:
                verdict.wrong.append(f"the record of {name!r} is not what was answered")

    def labels(
        self, confirmed: Iterable[str], asked: Iterable[str], first_version: str | None, verdict: Verdict
    ) -> None:
        """Check that each label is stored, and learned once since that version."""
        documents = list(self.records.database["labels"].find())
        stored = Counter(document["text"] for document in documents)
        self._same(verdict.lost, "no label", {*confirmed} - stored.keys())
        self._same(verdict.unexpected, "a label", stored.keys() - {*asked})
        self._same(verdict.doubled, "labels", [name for name, count in stored.items() if count > 1])
        current = self.store.current()
        assert current
        used = [document for document in documents if document["state"] == "used"]
        # What its sender has given up may come after the last run: the database's time limit is the longer one.
        learned = {document["text"] for document in used}
        self._same(verdict.unfinished, "not learned", ({*confirmed} & stored.keys()) - learned)
        if first_version is None:
            return
        first = self.store.load(first_version)
        counted = within(count_texts(document["text"] for document in used), first.manifest.label_bound)
        expected = unpack(first).added(counted, [document["label"] for document in used])
        if used and not equal(unpack(self.store.load(current.version)), expected):
            verdict.wrong.append(f"{current.version} is not what follows of {len(used)} labels, each learned once")

    def offset(self, stream: str, last: int, verdict: Verdict) -> None:
        """Check that a stream is done to its end."""
        if (stored := self.records.offset(stream)) != last:
            verdict.unfinished.append(f"{stream}: done to offset {stored} of {last}")

    @staticmethod
    def _same(found: list[str], what: str, names: Iterable[str]) -> None:
        found += sorted(f"{what}: {name}" for name in names)


def held(
    found: Mapping[int, bytes], key_prefix: str, sent: Mapping[str, Review], verdict: Verdict
) -> dict[str, tuple[Place, Review]]:
    """Return which messages the entries of a stream are, by the ids of the records that there should be."""
    raw = {review.entry: review for review in sent.values() if review.entry}
    known: dict[str, tuple[Place, Review]] = {}
    for offset, entry in found.items():
        if review := raw.get(entry) or sent.get(correlation_id(entry)):
            known[f"{key_prefix}:{offset}"] = Place(review.id, offset), review
        else:
            verdict.unexpected.append(f"in the stream: {key_prefix}:{offset}")
    return known


class Scores:
    """What each version says of a text."""

    def __init__(self, store: ModelStore, copies: Mapping[str, str]) -> None:
        self._scorer = cache(lambda version: _scorer(store, copies.get(version, version)))

    def __call__(self, text: str, version: str) -> Answer:
        score = self._scorer(version).score(text)
        return Answer(score.prediction, score.probability, version)


def _scorer(store: ModelStore, version: str) -> Scorer:
    artifact = store.load(version)
    return scorer_of(artifact.manifest, artifact.parts)


def correlation_id(entry: bytes) -> str:
    """Return the correlation id of a message, by whomever it was encoded."""
    return text(amqp_decoder(entry).properties.correlation_id)


def _answer(correlation: str, body: bytes) -> tuple[Place, Answer]:
    found = json.loads(body)
    return Place(correlation, found["offset"]), Answer(found["prediction"], found["probability"], found["model"])
