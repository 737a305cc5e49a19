"""This project against its peers, in one run on one machine: predict over HTTP, and stream to reply.

    python -m benchmarks.system [--peers ../shared/peers] [--imdb ../shared/imdb]
                                [--rounds 5] [--seconds 6] [--only http stream] [--trainer nb-logistic]

Needs wrk on PATH. Prints a table in Markdown; the ratios are what can be compared between machines: over HTTP, the
median of those of the rounds, in which all are measured in turn.

Only answers of 200 count. A figure with recording counts only where each of them has its record: after each run it is
waited until predict has written what waits, and the records in MongoDB are counted; the clock runs until then, too. A
run with a record too few, or with answers that are neither 200 nor 503, is shown as invalid, without a figure.
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
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from benchmarks.figures import note, ratio
from benchmarks.lean import as_deployed
from benchmarks.load import CONNECTIONS, Outcome, Peer, Predict, wait_until_written
from benchmarks.processes import listening_on, memory
from benchmarks.servers import http_peer, servers
from datasets import load_corpus
from deploy import runner
from messages.topology import declare_streams
from records import Records
from sentiment.trainers import DEFAULT_TRAINER, TRAINERS
from sentiment.training import train_artifact
from tests.running import running
from tests.system import ROOT, Client, promote, python_service, through_gateway

PARTS = ("http", "stream")
SHORT_TEXT = "I love you"
STREAM_TEXT = "I love this movie, the acting is great"
NAIVE_MESSAGES = 4_000
BRIDGE_MESSAGES = 40_000


HEADER = """\
| what | peer | this project | ratio, median and from to | answered 503 | records |
| --- | --- | --- | --- | --- | --- |"""


def main() -> int:
    """Run all and print the table; returns 0, 1 where a run is invalid, or 2 where something needed is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=Path, default=ROOT.parent / "shared" / "peers")
    parser.add_argument("--imdb", type=Path, default=ROOT.parent / "shared" / "imdb")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=6, help="of each run over HTTP")
    parser.add_argument("--trainer", choices=TRAINERS, default=DEFAULT_TRAINER)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="which figures (default: all)")
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
        promote(train_artifact(corpus, trainer=arguments.trainer))
        del corpus
        peer = stack.enter_context(http_peer(arguments.peers, training_data, folder))
        predict = python_service("functions.predict", folder, environment)
        predict = as_deployed(predict, folder)
        with running(predict):
            pass  # compiles its bytecode, which is in the image: compiling costs a process 3 MB for as long as it lives
        gateway_url = stack.enter_context(through_gateway(folder / "gateway", {"predict": predict}))
        print(f"{os.cpu_count()} cores, Python {sys.version.split()[0]}, {CONNECTIONS} connections, ", end="")
        print(f"{arguments.rounds} rounds of {arguments.seconds} s\n\n{HEADER}")
        valid = True
        if "http" in arguments.only:
            for what, text in (
                ("short text", SHORT_TEXT),
                (f"median review, {len(median_review)} characters", median_review),
            ):
                body = folder / "body.json"
                body.write_text(json.dumps({"text": text}))
                valid &= print_http(arguments, peer, predict, what, body)
            print(memory_row(peer, predict))
        if "stream" in arguments.only:
            print(stream_row(arguments.peers, folder, peer, gateway_url, environment))
    return 0 if valid else 1


def print_http(
    arguments: argparse.Namespace, peer: runner.Service, predict: runner.Service, what: str, body: Path
) -> bool:
    """Measure all over HTTP, turn and turn about, and print what predict comes to; returns whether all runs count."""
    records = Records.from_environment().database["predictions"]
    theirs = Peer(f"{peer.variables['URL']}/predict")
    ours = [
        Predict(predict, None, f"predict over HTTP, {what}"),
        Predict(predict, records, f"the same, recorded in MongoDB (the peer records nothing), {what}"),
    ]
    contestants: list[Peer | Predict] = [theirs, *ours]
    found: dict[str, list[Outcome]] = {}
    for number in range(arguments.rounds):
        for contestant in contestants:
            outcome = contestant.measure(arguments.peers, body, arguments.seconds)
            found.setdefault(contestant.name, []).append(outcome)
            note(f"round {number + 1}: {contestant.name} {outcome.invalid or f'{outcome.rate:,.0f} requests/s'}")
    for each in ours:
        print(http_row(each.name, found[theirs.name], found[each.name]))
    return not any(outcome.invalid for outcomes in found.values() for outcome in outcomes)


def http_row(what: str, theirs: Sequence[Outcome], ours: Sequence[Outcome]) -> str:
    """Return a row of Markdown: medians of rates and ratios, sums of the rest; with one invalid run, no figure."""
    rate, compared = f"{median(each.rate for each in ours):,.0f} requests/s", ""
    if reasons := [each.invalid for each in (*theirs, *ours) if each.invalid]:
        rate = f"**invalid**: {'; '.join(reasons)}"
    else:
        compared = ratio([our.rate / their.rate for our, their in zip(ours, theirs, strict=True)])
    kept, records = "none are kept", [each.records for each in ours if each.records is not None]
    if records:
        kept = f"{sum(records):,} for {sum(each.answered for each in ours):,} answers"
    peer = f"{median(each.rate for each in theirs):,.0f} requests/s"
    return f"| {what} | {peer} | {rate} | {compared} | {sum(each.refused for each in ours):,} | {kept} |"


def memory_row(peer: runner.Service, predict: runner.Service) -> str:
    """Return a row of Markdown: what both take after all that."""
    wait_until_written(predict)
    time.sleep(1)  # the memory is given back just after the last write, which has no sign of its own
    theirs, ours = (memory(listening_on(int(each.variables["PORT"]))).pss for each in (peer, predict))
    what = "memory afterwards, proportional set size of all its processes"
    return f"| {what} | {theirs:,.0f} MB | {ours:,.0f} MB | **{theirs / ours:.2f}** | | |"


def stream_row(
    peers: Path, folder: Path, peer: runner.Service, gateway_url: str, environment: Mapping[str, str]
) -> str:
    """Measure the naive consumer and the bridge on the same short texts, brokers and databases; a row of Markdown."""
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
    naive = float(found[1])
    what = "stream to MongoDB to reply, short texts"
    kept = f"{documents:,} for {BRIDGE_MESSAGES:,} messages"
    return f"| {what} | {naive:,.0f} messages/s | {rate:,.0f} messages/s | **{rate / naive:.2f}** | | {kept} |"


if __name__ == "__main__":
    sys.exit(main())
