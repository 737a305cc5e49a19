"""This project against its peers, in one run on one machine: predict over HTTP, and stream to reply.

    python -m benchmarks.system [--peers ../shared/peers] [--imdb ../shared/imdb]

Needs wrk on PATH. Prints a table in Markdown; the ratios are what can be compared between machines.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from urllib.request import urlopen

from benchmarks.lean import as_deployed
from benchmarks.processes import listening_on, memory
from benchmarks.servers import http_peer, servers
from datasets import load_corpus
from deploy import runner
from messages.topology import declare_streams
from records import Records
from sentiment.training import train_artifact
from tests.running import running
from tests.system import ROOT, Client, promote, python_service, through_gateway

CONNECTIONS = 8
SECONDS = 6
ROUNDS = 3
SHORT_TEXT = "I love you"
STREAM_TEXT = "I love this movie, the acting is great"
NAIVE_MESSAGES = 4_000
BRIDGE_MESSAGES = 40_000


@dataclass(frozen=True)
class Figure:
    """One line of the table."""

    what: str
    peer: float
    ours: float
    unit: str
    less_is_better: bool = False

    def row(self) -> str:
        """Return it as a row of Markdown."""
        ratio = self.peer / self.ours if self.less_is_better else self.ours / self.peer
        return f"| {self.what} | {self.peer:,.0f} {self.unit} | {self.ours:,.0f} {self.unit} | **{ratio:.1f} times** |"


def main() -> int:
    """Run all and print the table; returns 0, or 2 where something needed is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=Path, default=ROOT.parent / "shared" / "peers")
    parser.add_argument("--imdb", type=Path, default=ROOT.parent / "shared" / "imdb")
    arguments = parser.parse_args()
    training_data = arguments.imdb / "aclImdb_train.tar.gz"
    for needed in (arguments.peers, training_data):
        if not needed.exists():
            print(f"{needed} is not there; say where it is with --peers or --imdb", file=sys.stderr)
            return 2
    if not shutil.which("wrk"):
        print("wrk is not installed: apt-get install wrk", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        environment = stack.enter_context(servers(folder))
        corpus = load_corpus(str(training_data))
        median_review = sorted(corpus.texts, key=len)[len(corpus.texts) // 2]
        promote(train_artifact(corpus))
        peer = stack.enter_context(http_peer(arguments.peers, training_data, folder))
        predict = python_service("functions.predict", folder, environment)
        predict = as_deployed(predict, folder)
        with running(predict):
            pass  # compiles its bytecode, which is in the image: compiling costs a process 3 MB for as long as it lives
        gateway_url = stack.enter_context(through_gateway(folder / "gateway", {"predict": predict}))
        figures = http_figures(arguments.peers, folder, peer, predict, median_review)
        figures.append(stream_figure(arguments.peers, folder, peer, gateway_url, environment))
    print(f"{os.cpu_count()} cores, Python {sys.version.split()[0]}, {CONNECTIONS} connections\n")
    print("| what | peer | this project | ratio |\n| --- | --- | --- | --- |")
    print("\n".join(figure.row() for figure in figures))
    return 0


def http_figures(
    peers: Path, folder: Path, peer: runner.Service, predict: runner.Service, median_review: str
) -> list[Figure]:
    """Measure both over HTTP, turn and turn about, and their memory afterwards."""
    figures = []
    peer_url, our_url = f"{peer.variables['URL']}/predict", f"{predict.variables['URL']}/"
    for what, text in (("short text", SHORT_TEXT), (f"median review, {len(median_review)} characters", median_review)):
        body = folder / "body.json"
        body.write_text(json.dumps({"text": text}))
        rates: dict[str, list[float]] = {peer_url: [], our_url + "?record=false": [], our_url: []}
        for _ in range(ROUNDS):
            for url, found in rates.items():
                found.append(wrk(peers, url, body))
        theirs, unrecorded, recorded = (median(found) for found in rates.values())
        figures.append(Figure(f"predict over HTTP, {what}", theirs, unrecorded, "requests/s"))
        figures.append(
            Figure(f"the same, recorded in MongoDB (the peer records nothing), {what}", theirs, recorded, "requests/s")
        )
    wait_until_recorded(predict)
    figures.append(
        Figure(
            "memory afterwards, proportional set size of all its processes",
            memory(listening_on(int(peer.variables["PORT"]))).pss,
            memory(listening_on(int(predict.variables["PORT"]))).pss,
            "MB",
            less_is_better=True,
        )
    )
    return figures


def wait_until_recorded(predict: runner.Service) -> None:
    """Wait until predict has written what waits and given the memory back; raises ValueError where it does not."""
    if not runner.wait_until(lambda: b"predict_records_waiting 0.0" in get(predict, "/metrics"), 60):
        raise ValueError(f"the records were not written: {runner.tail(predict.log)}")
    time.sleep(1)  # the memory is given back just after the last write, which has no sign of its own


def get(service: runner.Service, path: str) -> bytes:
    """Return what a service answers to a GET."""
    with urlopen(service.variables["URL"] + path) as answer:  # noqa: S310 - our own process
        return bytes(answer.read())


def wrk(peers: Path, url: str, body: Path) -> float:
    """Return requests per second; raises ValueError where a request failed."""
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s", "-s", str(peers / "predict.lua"), url]
    output = subprocess.run(
        command, env={**os.environ, "REVIEW": str(body)}, capture_output=True, text=True, check=True
    ).stdout
    found = re.search(r"Requests/sec: +([\d.]+)", output)
    if found is None or "Non-2xx" in output or "Socket errors" in output:
        raise ValueError(f"{url}: {output}")
    return float(found[1])


def stream_figure(
    peers: Path, folder: Path, peer: runner.Service, gateway_url: str, environment: Mapping[str, str]
) -> Figure:
    """Measure the naive consumer and the bridge on the same short texts, brokers and databases."""
    command = [
        sys.executable, str(peers / "naive_consumer.py"), "--messages", str(NAIVE_MESSAGES),
        "--predict", f"{peer.variables['URL']}/predict",
        "--rabbitmq", environment["RABBITMQ_URL"], "--mongodb", environment["MONGODB_URL"],
    ]  # fmt: skip
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r"(\d+) messages/s", output)
    if found is None:
        raise ValueError(output)

    client = Client(environment["RABBITMQ_URL"])
    declare_streams(environment["RABBITMQ_URL"], ["reviews"], 5_000_000_000)
    client.declare("benchmark-replies")
    client.publish(
        "reviews", [json.dumps({"text": STREAM_TEXT}).encode()] * BRIDGE_MESSAGES, reply_to="benchmark-replies"
    )
    bridge = python_service("bridge", folder, {**environment, "GATEWAY_URL": gateway_url}, until="/_/health")
    records = Records.from_environment()
    with running(bridge):
        runner.wait_until(lambda: records.offset("reviews") is not None, 30)
        started, first = time.perf_counter(), records.offset("reviews") or 0
        if not runner.wait_until(lambda: records.offset("reviews") == BRIDGE_MESSAGES - 1, 300):
            raise ValueError(f"the bridge did not finish: {runner.tail(bridge.log)}")
        seconds = time.perf_counter() - started
    replies, documents = (
        client.depth("benchmark-replies"),
        records.database["predictions"].count_documents({"source": "stream"}),
    )
    client.close()
    if (replies, documents) != (BRIDGE_MESSAGES, BRIDGE_MESSAGES):
        raise ValueError(f"{BRIDGE_MESSAGES} messages gave {replies} replies and {documents} records")
    rate = (BRIDGE_MESSAGES - 1 - first) / seconds
    return Figure("stream to MongoDB to reply, short texts", float(found[1]), rate, "messages/s")


if __name__ == "__main__":
    sys.exit(main())
