"""A load on an HTTP server, by wrk: how many requests are answered, and whether each answer has its record."""

import os
import re
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from prometheus_client.parser import text_string_to_metric_families
from pymongo.collection import Collection

from deploy.runner import Service, tail, wait_until

CONNECTIONS = 8
# A request that waits for room for its record is answered late, and is no error of the connection.
ANSWER_TIMEOUT_SECONDS = 30
PATIENCE_SECONDS = 60
# The front's, where it has no room for a request, and the recorder's: a request of one text has one record.
REFUSALS = ("http_requests_refused_total", "predict_records_refused_total")


@dataclass(frozen=True)
class Load:
    """What became of the requests of one run: how many got 200, how many another status; how long it took."""

    answered: int
    others: int
    seconds: float


@dataclass(frozen=True)
class Outcome:
    """What one run comes to.

    rate: answers of 200, a second. refused: answers of 503, which count for nothing.
    records: of those answers, None where none were to be kept. invalid: why the rate means nothing, if it does.
    """

    answered: int
    rate: float
    refused: int = 0
    records: int | None = None
    invalid: str | None = None


@dataclass(frozen=True)
class Peer:
    """A server of others: it records nothing, and answers 200 or the run is no run."""

    url: str
    name: str = "peer"

    def measure(self, peers: Path, body: Path, seconds: int) -> Outcome:
        """Load it with one body."""
        load = wrk(peers, self.url, body, seconds)
        return judge(load, refused=0, records=None)


@dataclass(frozen=True)
class Predict:
    """Predict of this project; `records` is where each of its answers must have one, None for `record=false`.

    With records the clock runs on until the last is written: what waits in memory is not done.
    """

    service: Service
    records: Collection[dict[str, Any]] | None
    name: str

    def measure(self, peers: Path, body: Path, seconds: int) -> Outcome:
        """Load it with one body, and count its records."""
        refusals, known = self._refusals(), self._count()
        url = f"{self.service.variables['URL']}/{'?record=false' if self.records is None else ''}"
        began = time.perf_counter()
        load = wrk(peers, url, body, seconds)
        if self.records is None:
            return judge(load, refused=self._refusals() - refusals, records=None)
        wait_until_written(self.service)
        load = Load(load.answered, load.others, time.perf_counter() - began)
        return judge(load, refused=self._refusals() - refusals, records=self._count() - known)

    def _refusals(self) -> int:
        return int(sum(metric(self.service, name) for name in REFUSALS))

    def _count(self) -> int:
        return 0 if self.records is None else self.records.count_documents({})


def judge(load: Load, *, refused: int, records: int | None) -> Outcome:
    """Return what a run comes to; `refused` is how often the server says that it answered 503.

    wrk goes without the last answers of its connections, so there may be one more a connection than it has seen.
    """
    invalid = None
    if not load.others <= refused <= load.others + CONNECTIONS:
        invalid = f"{load.others:,} answers are not 200, {refused:,} are 503"
    elif records is not None and records < load.answered:
        invalid = f"{load.answered - records:,} of {load.answered:,} records are lost"
    elif records is not None and records > load.answered + CONNECTIONS:
        invalid = f"{load.answered:,} answers have {records:,} records"
    return Outcome(load.answered, load.answered / load.seconds, load.others, records, invalid)


def wrk(peers: Path, url: str, body: Path, seconds: int) -> Load:
    """Send one body again and again for so long; raises ValueError where a connection failed."""
    command = [
        "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", f"--timeout={ANSWER_TIMEOUT_SECONDS}s",
        "-s", str(peers / "predict.lua"), url,
    ]  # fmt: skip
    environment = {**os.environ, "REVIEW": str(body)}
    return load_in(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)


def load_in(output: str) -> Load:
    """Return what wrk printed; raises ValueError where a connection failed."""
    found = re.search(r"(\d+) requests in ([\d.]+)(s|ms|m),", output)
    if found is None or "Socket errors" in output:
        raise ValueError(output)
    others = re.search(r"Non-2xx or 3xx responses: (\d+)", output)
    not_200 = int(others[1]) if others else 0
    seconds = float(found[2]) * {"ms": 0.001, "s": 1, "m": 60}[found[3]]
    return Load(int(found[1]) - not_200, not_200, seconds)


def wait_until_written(predict: Service) -> None:
    """Wait until predict has written what waits; raises ValueError where it does not."""
    if not wait_until(lambda: metric(predict, "predict_records_waiting") == 0, PATIENCE_SECONDS):
        raise ValueError(f"the records were not written: {tail(predict.log)}")


def metric(service: Service, name: str) -> float:
    """Return the sum of a metric over its labels; 0 where there is none."""
    families = text_string_to_metric_families(get(service, "/metrics").decode())
    return sum(sample.value for family in families for sample in family.samples if sample.name == name)


def get(service: Service, path: str) -> bytes:
    """Return what a service answers to a GET."""
    with urlopen(service.variables["URL"] + path) as answer:  # noqa: S310 - our own process
        return bytes(answer.read())
