"""The bridge against a batched consumer, its peer, and against itself as it was: stream to MongoDB to reply.

    python -m benchmarks.stream [--peers ../shared/peers] [--imdb ../shared/imdb] [--before GIT_WORKTREE]
                                [--rounds 5] [--messages 20000] [--only throughput latency memory]

All on the same servers, turn and turn about, each message published before it is read. A figure is printed only once
it was checked that each message has its record, its answer in `predictions` and its reply, and that all three say what
the model says. Needs Linux's /proc. Prints tables in Markdown; a ratio is the median of those of the rounds.

The clock of the peer is its own: from its first batch at hand to the last one done. That of a bridge runs from when it
begins to read to its last offset stored, over all messages; "from the first offset" counts from its first offset
stored, and only what was done since. The peer always replies, once a message and unconfirmed; a bridge publishes to
`predictions`, to `reply_to` where there is one, and waits until both are confirmed. "Writing the records alone" is what
the database does with the same records and nothing else to do: a rate that no bridge can pass.
"""

import argparse
import io
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median, quantiles
from urllib.parse import urlsplit

from pymongo import MongoClient

from benchmarks.cases import DIFFERENT_TEXTS, Case, Texts, large_texts, short_texts, some_reviews
from benchmarks.contestants import (
    LONE_WARM_UP,
    Bridge,
    Figures,
    Ground,
    Peer,
    RecordsAlone,
    publish_by_amqp,
    publish_by_stream_protocol,
)
from benchmarks.figures import note, ratio
from benchmarks.lean import as_deployed
from benchmarks.processes import listening_on
from benchmarks.servers import http_peer, servers
from datasets import load_corpus
from deploy.servers import rabbitmq_server
from sentiment.artifact import scorer_of
from sentiment.training import train_artifact
from tests.system import ROOT, promote, python_service, through_gateway

LONE_MESSAGES = 300
LARGE_MESSAGES = 3_000
LARGE_CHARACTERS = 100_000
LARGE_TEXTS = 50
WARM_UP_MESSAGES = 2_000
PARTS = ("throughput", "latency", "memory")
BEFORE = "before"
OURS = "this project"
SERVICES = ("reader", "model", "gateway", "broker", "database")


def main() -> int:
    """Run all and print the tables; returns 0, or 2 where something needed is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=Path, default=ROOT.parent / "shared" / "peers")
    parser.add_argument("--imdb", type=Path, default=ROOT.parent / "shared" / "imdb")
    parser.add_argument("--before", type=Path, help="a worktree of an earlier commit, whose bridge is measured too")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--messages", type=int, default=20_000, help="short ones; of reviews there are half as many")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="which tables (default: all)")
    arguments = parser.parse_args()
    training_data, reviews = (arguments.imdb / f"aclImdb_{part}.tar.gz" for part in ("train", "dev"))
    for needed in (arguments.peers, training_data, reviews, *filter(None, [arguments.before])):
        if not needed.exists():
            print(f"{needed} is not there; say where it is with --peers, --imdb or --before", file=sys.stderr)
            return 2
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # it takes long, and each line is to be seen once it is known
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        environment = stack.enter_context(servers(folder))
        artifact = train_artifact(load_corpus(str(training_data)))
        promote(artifact)
        scorer = scorer_of(artifact.manifest, artifact.parts)
        del artifact
        short = Texts.of("short texts", short_texts(DIFFERENT_TEXTS), scorer, folder)
        long = Texts.of("reviews", some_reviews(reviews, DIFFERENT_TEXTS), scorer, folder)
        large = Texts.of("large texts", large_texts(LARGE_TEXTS, LARGE_CHARACTERS), scorer, folder)
        predict = as_deployed(python_service("functions.predict", folder, environment), folder)
        gateway_url = stack.enter_context(through_gateway(folder / "gateway", {"predict": predict}))
        ground = Ground(
            environment,
            {
                "model": listening_on(int(predict.variables["PORT"])),
                "gateway": listening_on(urlsplit(gateway_url).port or 0),
                "broker": listening_on(urlsplit(environment["RABBITMQ_URL"]).port or 0),
                "database": listening_on(urlsplit(environment["MONGODB_URL"]).port or 0),
            },
            stack.enter_context(MongoClient(environment["MONGODB_URL"])),
        )
        bridges = [Bridge.of(ground, OURS, ROOT, folder / "ours", gateway_url)]
        if arguments.before:
            before = arguments.before.resolve()
            bridges.insert(0, Bridge.of(ground, BEFORE, before, folder / "before", gateway_url))
        print(
            f"{os.cpu_count()} cores, Python {platform.python_version()}, RabbitMQ {rabbitmq_version()}, "
            f"{arguments.rounds} rounds"
        )
        for bridge in bridges:
            bridge.measure(Case(short, WARM_UP_MESSAGES))  # compiles its bytecode, which is in the image
        if "throughput" in arguments.only:
            peer = Peer(
                ground,
                arguments.peers.resolve() / "batched_consumer.py",
                stack.enter_context(http_peer(arguments.peers, training_data, folder)),
            )
            cases = [
                Case(texts, messages, replies)
                for replies in (True, False)
                for texts, messages in ((short, arguments.messages), (long, arguments.messages // 2))
            ]
            peer.measure(Case(short, WARM_UP_MESSAGES))
            print_throughput([peer, RecordsAlone(ground), *bridges], cases, arguments.rounds)
        if "latency" in arguments.only:
            print_latency(bridges, Case(short, LONE_WARM_UP + LONE_MESSAGES), arguments.rounds)
        if "memory" in arguments.only:
            print_memory(bridges, Case(large, LARGE_MESSAGES))
    return 0


def print_throughput(contestants: Sequence[Peer | RecordsAlone | Bridge], cases: Sequence[Case], rounds: int) -> None:
    """Measure, turn and turn about, and print the rates and what they cost."""
    found: dict[tuple[Case, str], list[Figures]] = {}
    for case in cases:
        for number in range(rounds):
            for contestant in contestants:
                figures = contestant.measure(case)
                found.setdefault((case, contestant.name), []).append(figures)
                note(f"{case.name}, round {number + 1}: {contestant.name} {figures.rate:,.0f} messages/s")
    print(f"\n{DIFFERENT_TEXTS:,} different texts of a kind, all checked\n")
    print("| case | messages | who | messages/s | from the first offset | ours : theirs | from the first offset |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for (case, name), theirs in found.items():
        pairs = list(zip(found[case, OURS], theirs, strict=True))
        print(
            f"| {case.name} | {case.messages:,} | {name} | {median(each.rate for each in theirs):,.0f} "
            f"| {median(each.from_first_offset for each in theirs):,.0f} "
            f"| {ratio([our.rate / their.rate for our, their in pairs])} "
            f"| {ratio([our.from_first_offset / their.from_first_offset for our, their in pairs])} |"
        )
    print("\nProcessor time of each process, µs a message; the reader is the bridge or the consumer\n")
    print(f"| case | who | {' | '.join(SERVICES)} | all |\n|{' --- |' * (len(SERVICES) + 3)}")
    for (case, name), theirs in found.items():
        used = [median(each.microseconds.get(service, 0) for each in theirs) for service in SERVICES]
        print(f"| {case.name} | {name} | {' | '.join(f'{each:.0f}' for each in used)} | {sum(used):.0f} |")


def print_latency(bridges: Sequence[Bridge], case: Case, rounds: int) -> None:
    """Measure, turn and turn about, and print what a lone message waits for its reply."""
    found: dict[str, list[tuple[float, float]]] = {}
    for number in range(rounds):
        for bridge in bridges:
            milliseconds = bridge.latencies(case)
            found.setdefault(bridge.name, []).append((median(milliseconds), quantiles(milliseconds, n=100)[98]))
            note(f"latency, round {number + 1}: {bridge.name} {found[bridge.name][-1][0]:.1f} ms")
    print(f"\nA lone message to its reply, {LONE_MESSAGES} one after the other, medians of {rounds} rounds\n")
    print(
        "| who | median, ms | 99th percentile, ms | ours : theirs | 99th percentile |\n| --- | --- | --- | --- | --- |"
    )
    for name, theirs in found.items():
        figures = [median(column) for column in zip(*theirs, strict=True)]
        ratios = [
            ratio([our[index] / their[index] for our, their in zip(found[OURS], theirs, strict=True)])
            for index in (0, 1)
        ]
        print(f"| {name} | {' | '.join(f'{figure:.1f}' for figure in figures)} | {' | '.join(ratios)} |")


def print_memory(bridges: Sequence[Bridge], case: Case) -> None:
    """Measure and print the largest memory of each bridge under large messages."""
    print(f"\nLargest proportional set size under {case.messages:,} messages of {LARGE_CHARACTERS:,} characters\n")
    print("| published by | who | MB |\n| --- | --- | --- |")
    for how, publish in (("AMQP", publish_by_amqp), ("the stream protocol", publish_by_stream_protocol)):
        for bridge in bridges:
            print(f"| {how} | {bridge.name} | {bridge.peak_memory(case, publish):.0f} |")


def rabbitmq_version() -> str:
    """Return the version of the RabbitMQ that is installed."""
    command = [str(Path(rabbitmq_server()).with_name("rabbitmqctl")), "version"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
