"""What MongoDB is asked, among a million records: the time of each question, and the server's memory after it.

    python -m benchmarks.records [--records 1000000] [--labels 100000]

Fills the local stack's MongoDB, starts it anew, asks what the functions and the bridge ask, by the same code, and then
has drift answer over HTTP. Needs Linux's /proc. Prints a table in Markdown.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from statistics import median

import numpy as np
import urllib3

from benchmarks.figures import note
from benchmarks.processes import memory, tree
from contracts.drift import DriftReport, State
from contracts.records import PredictionRecord, StoredOffset
from deploy import ports, servers
from deploy.runner import Service
from functions.console.hour import LastHour
from records import Records, now
from records.drift import DriftRecords, GeneratedTexts
from records.labels import Label, Labels
from records.recent import Recent
from sentiment.text import Corpus
from sentiment.training import train_artifact
from tests.running import running
from tests.system import promote, python_service

BATCH = 1_000
WORDS = tuple(f"word{number}" for number in range(5_000))
WORDS_OF_A_TEXT = 15
TIMES = 5
BEGIN = datetime(2026, 1, 2, tzinfo=UTC)
STREAM = "reviews"
Question = tuple[str, str, Callable[[], object]]


def main() -> int:
    """Fill, ask, and print the table; returns 0."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--labels", type=int, default=100_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        store = servers.s3(folder / "s3", ports.free_port, "benchmark", "benchmark-key")
        stack.enter_context(running(store))
        os.environ.update(store.variables)
        texts = Texts()
        version = promote(train_artifact(texts.corpus(2_000), holdout_share=0.5))
        with running(mongodb(folder)):
            records = Records.from_environment()
            fill(records, texts, version, arguments.records)
            fill_labels(records, texts, arguments.labels)
            records.close()
        # Anew, so that its memory is that of the questions.
        process = stack.enter_context(running(mongodb(folder)))
        records = Records.from_environment()
        print(f"{arguments.records:,} predictions, {arguments.labels:,} labels\n")
        print("| who asks | what | ms, median | server, MB |\n| --- | --- | --- | --- |")
        for who, what, ask in questions(records, texts, version, arguments.records):
            print(row(who, what, [milliseconds(ask) for _ in range(TIMES)], process.pid), flush=True)
        drift = python_service("functions.drift", folder, dict(os.environ))
        stack.enter_context(running(drift))
        later = iter(range(5 * arguments.records, 6 * arguments.records, 500))
        for method in ("GET", "POST"):
            found = []
            for _ in range(TIMES):
                # Of another window each time.
                records.insert_predictions(predictions(texts, version, next(later), 500))
                found.append(milliseconds(lambda: asked(method, drift.variables["URL"])))  # noqa: B023 - at once
            print(row("HTTP", f"`{method} drift`", found, process.pid), flush=True)
        records.close()
    return 0


def mongodb(folder: Path) -> Service:
    """Return MongoDB with what `folder` holds, which the environment finds from now on."""
    service = servers.mongodb(folder / "mongodb", ports.free_port)
    os.environ.update(service.variables)
    return service


class Texts:
    """Texts of words by chance, of which each model leans to one side by every other one."""

    def __init__(self) -> None:
        self._random = np.random.default_rng(1)

    def __iter__(self) -> Iterator[str]:
        """Yield texts without end."""
        while True:
            for row in self._random.integers(0, len(WORDS), (BATCH, WORDS_OF_A_TEXT)).tolist():
                yield " ".join(WORDS[number] for number in row)

    def corpus(self, number: int) -> Corpus:
        """Return so many texts with labels."""
        texts = [*islice(self, number)]
        return Corpus("benchmark", texts, [number % 2 for number in range(len(texts))])


def predictions(
    texts: Texts,
    version: str,
    first: int,
    number: int,
    *,
    synthetic: bool = False,
    begin: datetime = BEGIN,
    apart: timedelta = timedelta(milliseconds=10),
) -> list[PredictionRecord]:
    """Return records from the first one on, of which number 0 is scored at `begin`, and each next one `apart` later."""
    return [
        PredictionRecord(
            id=f"{STREAM}:{first + place}",
            text=text,
            prediction="positive",
            probability=0.5,
            model=version,
            source="stream",
            received_at=(at := begin + apart * (first + place)),
            scored_at=at,
            synthetic=synthetic,
        )
        for place, text in enumerate(islice(texts, number))
    ]


def fill(records: Records, texts: Texts, version: str, number: int) -> None:
    """Write predictions as the bridge does."""
    DriftRecords(records).ensure_indexes()
    GeneratedTexts(records).ensure_index()
    started = time.perf_counter()
    for first in range(0, number, BATCH):
        records.insert_predictions(predictions(texts, version, first, BATCH))
    note(f"{number / (time.perf_counter() - started):,.0f} predictions/s written")


def fill_labels(records: Records, texts: Texts, number: int) -> None:
    """Write labels that a model has learned, but for a hundred."""
    Labels(records).ensure_indexes()
    collection = records.database["labels"]
    for first in range(0, number, BATCH):
        collection.insert_many(
            {
                "_id": f"label {place}",
                "text": text,
                "label": place % 2,
                "source": "http",
                "client_id": f"client {place}",
                "received_at": BEGIN + timedelta(seconds=place),
                "text_sha256": f"{place:032x}",
                "conflict": False,
                "state": "pending" if (pending := place >= number - 100) else "used",
                "model": None if pending else "v1",
            }
            for place, text in enumerate(islice(texts, BATCH), first)
        )


def questions(records: Records, texts: Texts, version: str, count: int) -> Iterator[Question]:
    """Yield each question, after what it needs is there."""
    drift, generated, labels = DriftRecords(records), GeneratedTexts(records), Labels(records)
    window = [scoring.id for scoring in drift.newest(500)]
    written = iter(range(count, 2 * count, 250))
    yield "all", "whether the indexes are there", drift.ensure_indexes
    yield (
        "predict, bridge",
        "250 records to write",
        lambda: records.insert_predictions(predictions(texts, version, next(written), 250)),
    )
    again = predictions(texts, version, count // 2, 250)
    yield "bridge", "the same, which are there", lambda: records.insert_predictions(again)
    yield "bridge", "when a message was received", lambda: records.received_at(f"{STREAM}:{count // 3}")
    yield "bridge", "to take an offset", lambda: records.take_offset(STREAM, "benchmark")
    stored = StoredOffset(id=STREAM, offset=1, stored_at=now())
    yield "bridge", "to store it", lambda: records.store_offset(stored, "benchmark", None)
    yield "drift", "the newest 500 of predictions", lambda: drift.newest(500)
    yield "drift", "the newest 1,000", lambda: drift.newest(1_000)
    yield "drift", "when the 250th newest was scored", lambda: drift.scored_at(250)
    yield "drift", "500 texts", lambda: [*drift.texts(window)]
    yield "drift", "when 500 texts were scored", lambda: drift.times(window)
    yield (
        "drift",
        "the newest 500 labels that no model has learned",
        lambda: [*drift.unlearned_labels(500, since=BEGIN)],
    )
    yield "drift", "to keep a report", lambda: drift.append_report(report)
    yield "drift", "the last report", drift.last_report
    yield "drift", "the last 100", lambda: drift.reports(100)
    yield "drift", "alerts to be sent", lambda: drift.undelivered("webhook")
    yield "generate-drift", "the last 250 ordinary texts", lambda: [*generated.ordinary(250)]
    made = iter(range(3 * count, 4 * count, 500))

    def make_and_delete() -> None:
        records.insert_predictions(predictions(texts, version, next(made), 500, synthetic=True))
        generated.delete()

    yield "generate-drift", "how many are synthetic", generated.count
    yield "generate-drift", "500 to write and to delete", make_and_delete
    repeated = [Label(text, 1, "ann") for text in islice(texts, 100)]
    labels.add(repeated)
    yield "retrain", "how many labels are pending", labels.waiting
    yield "retrain", "how many are learned", lambda: labels.counts().used
    yield "retrain", "the oldest 1,000 pending", lambda: [*labels.pending(maximum=1_000)]
    yield "retrain", "the 200 that were learned last", lambda: [*labels.accepted(["v1"], 200)]
    yield "retrain", "100 to store, which are there", lambda: labels.add(repeated)
    yield "retrain", "texts that came with both labels", labels.conflicts
    yield "retrain", "a label by its client's id", lambda: labels.find("client 5")
    recent, last = Recent(records), drift.newest(1)[0].scored_at
    yield "console", "the last 20 texts", lambda: recent.texts(20)
    yield "console", "the last 20 rejected messages", lambda: recent.rejected(20)
    yield "console", "how many labels are pending", recent.pending
    yield "console", "the first look at the last hour", lambda: LastHour(recent).look(last)
    yield "console", "the least sure of 2,000, without those labelled", lambda: unsure(recent)


def unsure(recent: Recent) -> None:
    """Ask what the console asks for texts to label."""
    for _ in islice(recent.unlabelled(recent.unsure(2_000)), 50):
        pass


def report(number: int, last: DriftReport | None) -> DriftReport:
    """Return the report after the `last` one."""
    assert last is None or last.number == number - 1
    return DriftReport(number=number, drift=False, status="ok", model=None, checked_at=now(), state=State(), confirm=2)


def asked(method: str, url: str) -> None:
    """Ask drift."""
    response = urllib3.request(method, url)
    assert response.status == 200, response.data


def milliseconds(ask: Callable[[], object]) -> float:
    """Return how long a question takes."""
    started = time.perf_counter()
    ask()
    return 1000 * (time.perf_counter() - started)


def row(who: str, what: str, found: Sequence[float], server: int) -> str:
    """Return one line of the table: a question's times in milliseconds, and the server's memory now."""
    return f"| {who} | {what} | {median(found):.1f} | {memory(tree(server)).rss:.0f} |"


if __name__ == "__main__":
    sys.exit(main())
