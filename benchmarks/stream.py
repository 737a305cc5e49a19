"""The bridge against a batched consumer, its peer, and against itself as it was: stream to MongoDB to reply.

    python -m benchmarks.stream [--peers ../shared/peers] [--imdb ../shared/imdb] [--before GIT_WORKTREE]
                                [--rounds 5] [--messages 20000] [--only throughput latency memory]

All on the same servers, turn and turn about, each message published before it is read. A figure is printed only once
it was checked that each message has its record, its answer in `predictions` and its reply, and that all three say what
the model says. Needs Linux's /proc. Prints tables in Markdown; a ratio is the median of those of the rounds.

The clock of the peer is its own: from its first batch at hand to the last one done. That of a bridge runs from when it
begins to read to its last offset stored, over all messages; "from the first offset" counts from its first offset
stored, and only what was done since. The peer always replies, once a message and unconfirmed; a bridge publishes to
`predictions`, to `reply_to` where there is one, and waits until both are confirmed.
"""

import argparse
import asyncio
import io
import json
import os
import platform
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from itertools import count, cycle, islice
from math import nan
from pathlib import Path
from statistics import median, quantiles
from typing import Any
from urllib.parse import urlsplit
from urllib.request import urlopen

import pika
from pymongo import MongoClient
from pymongo.database import Database
from rstream import AMQPMessage, Producer, Properties

from benchmarks.lean import as_deployed
from benchmarks.processes import Processes, Reading, listening_on, memory, tree
from benchmarks.servers import http_peer, servers
from contracts.names import PREDICTIONS
from contracts.predict import Score
from datasets import load_corpus
from deploy.runner import Service, tail
from deploy.servers import rabbitmq_server
from sentiment.packing import unpack
from sentiment.scorer import Scorer
from sentiment.training import train_artifact
from tests.running import running
from tests.system import ROOT, Client, promote, python_service, through_gateway

DIFFERENT_TEXTS = 5_000
LONE_MESSAGES = 300
LONE_WARM_UP = 20
LONE_PAUSE_SECONDS = 0.02
LARGE_MESSAGES = 3_000
LARGE_CHARACTERS = 100_000
LARGE_TEXTS = 50
POLL_SECONDS = 0.02
PATIENCE_SECONDS = 900
PARTS = ("throughput", "latency", "memory")
PEER = "batched consumer"
BEFORE = "before"
OURS = "this project"
SERVICES = ("reader", "model", "gateway", "broker", "database")
SENTENCE = [
    ["The", "This", "That", "Their", "His", "Her"],
    ["whole", "first", "second", "final", "new", "old", "long", "short", "early", "late"],
    ["film", "movie", "plot", "cast", "ending", "scene", "music", "script", "story", "picture", "acting", "sequel"],
    ["really", "simply", "rather", "quite", "utterly", "almost", "truly", "never"],
    ["great", "awful", "boring", "moving", "funny", "stupid", "lovely", "dull", "superb", "cheap", "brilliant", "weak"],
    ["to watch", "for us", "this time", "all along", "as ever", "for once", "by far", "to me"],
]

Answer = tuple[str, float, str]
"""Prediction, probability, model: what record, answer and reply have in common."""


class BrokenPromiseError(ValueError):
    """Something was lost, doubled or wrong, so that its figure means nothing."""


def require(condition: bool, what: str) -> None:
    if not condition:
        raise BrokenPromiseError(what)


@dataclass(frozen=True, eq=False)
class Texts:
    """Different texts, what the model says of each, and a file of them as bodies, one a line."""

    name: str
    texts: Sequence[str]
    scores: Sequence[Score]
    file: Path

    @classmethod
    def of(cls, name: str, texts: Sequence[str], scorer: Scorer, folder: Path) -> "Texts":
        require(len(set(texts)) == len(texts), f"{name}: a text comes twice")
        file = folder / f"{name}.jsonl"
        file.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
        return cls(name, texts, [scorer.score(text) for text in texts], file)

    def bodies(self, messages: int) -> Iterator[bytes]:
        """Yield the lines of the file, round and round."""
        return islice(cycle(self.file.read_bytes().splitlines()), messages)


@dataclass(frozen=True, eq=False)
class Case:
    """So many messages with these texts in turn, and whether each asks for a reply."""

    texts: Texts
    messages: int
    replies: bool = True

    @property
    def name(self) -> str:
        return f"{self.texts.name}, {'a reply to each' if self.replies else 'to `predictions` alone'}"

    def check_text(self, number: int, text: str) -> None:
        require(text == self.texts.texts[number % len(self.texts.texts)], f"message {number} has another text")

    def check_prediction(self, number: int, prediction: str) -> None:
        right = self.texts.scores[number % len(self.texts.scores)].prediction
        require(prediction == right, f"message {number} is {prediction}, the model says {right}")

    def check_numbers(self, what: str, found: Collection[int], distinct: Collection[int]) -> None:
        """Raise BrokenPromiseError unless `found` are as many as messages, each with a number of its own."""
        complete = len(found) == self.messages and set(distinct) == set(range(self.messages))
        require(complete, f"{self.messages} messages gave {len(found)} {what}, {len(set(distinct))} distinct")


@dataclass(frozen=True)
class Figures:
    """What was measured in one round: messages/s, and microseconds of processor time a message by service."""

    rate: float
    from_first_offset: float
    microseconds: Mapping[str, float]


@dataclass(frozen=True)
class Ground:
    """What all are measured on: servers, gateway and predict; `services` are those whose processor time is noted."""

    environment: Mapping[str, str]
    services: Mapping[str, Processes]
    database: "MongoClient[dict[str, Any]]"
    numbers: Iterator[int] = field(default_factory=count)

    def new_name(self) -> str:
        """Return a name that no stream, queue or database has had."""
        return f"round-{next(self.numbers)}"

    def client(self) -> "closing[Client]":
        """Connect to the broker: anew each time, since an idle connection is closed after a minute."""
        return closing(Client(self.environment["RABBITMQ_URL"]))

    def forget(self, database: str, *queues: str) -> None:
        """Delete a database, queues and streams."""
        self.database.drop_database(database)
        with self.client() as client:
            for queue in queues:
                client.channel.queue_delete(queue)


@dataclass(frozen=True)
class Peer:
    """The batched consumer with its own HTTP model."""

    ground: Ground
    script: Path
    http: Service
    name: str = PEER

    def measure(self, case: Case) -> Figures:
        """Have it take the messages of a case; raises BrokenPromiseError."""
        stream = self.ground.new_name()
        predict = f"{self.http.variables['URL']}/predict_batch"
        command = [
            sys.executable, "-m", "benchmarks.held", str(self.script), "--messages", str(case.messages),
            "--texts", str(case.texts.file), "--stream", stream, "--predict", predict,
            "--rabbitmq", self.ground.environment["RABBITMQ_URL"], "--mongodb", self.ground.environment["MONGODB_URL"],
        ]  # fmt: skip
        services = {**self.ground.services, "model": listening_on(int(self.http.variables["PORT"]))}
        del services["gateway"]
        readings: list[Reading] = []
        with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdin
            assert process.stdout
            services["reader"] = tree(process.pid)
            output = ""
            for line in process.stdout:
                output += line
                if line.strip() in ("reading", "done"):
                    readings.append(Reading.now(services))
                    process.stdin.write("\n")
                    process.stdin.flush()
        found = re.search(r"(\d+) messages in ([\d.]+) s", output)
        if found is None or len(readings) != 2:
            raise ValueError(f"the batched consumer ended with {process.returncode}: {output}")
        require(int(found[1]) == case.messages, f"it took {found[1]} messages")
        self._check(case, f"{stream}-replies")
        self.ground.forget("peer", stream, f"{stream}-replies")
        used = readings[0].microseconds_until(readings[1], case.messages)
        rate = case.messages / float(found[2])
        return Figures(rate, rate, used)

    def _check(self, case: Case, replies: str) -> None:
        numbers = []
        for document in self.ground.database["peer"]["batched"].find():
            numbers.append(int(document["_id"]))
            case.check_text(numbers[-1], document["text"])
            case.check_prediction(numbers[-1], document["prediction"])
        case.check_numbers("records", numbers, numbers)
        numbers = []
        with self.ground.client() as client:
            for properties, body in client.read_queue(replies):
                numbers.append(int(properties.correlation_id or -1))
                case.check_prediction(numbers[-1], json.loads(body)["prediction"])
        case.check_numbers("replies", numbers, numbers)


@dataclass(frozen=True)
class Run:
    """A bridge that reads: what it reads, where it replies and records, when it began."""

    process: subprocess.Popen[bytes]
    service: Service
    stream: str
    database: Database[dict[str, Any]]
    began: float

    @property
    def replies(self) -> str:
        return f"{self.stream}-replies"

    def offsets(self, last: int, poll_seconds: float = POLL_SECONDS) -> Iterator[int | None]:
        """Yield the offset that is stored, None before the first, until it is the last one."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            document = self.database["offsets"].find_one({"_id": self.stream})
            yield (offset := None if document is None else int(document["offset"]))
            if offset == last:
                return
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise ValueError(f"the bridge stopped at offset {offset} of {last}: {tail(self.service.log)}")
            time.sleep(poll_seconds)


@dataclass(frozen=True)
class Bridge:
    """A bridge of this project, ours or an earlier one: `service` but for what it reads and where it records."""

    ground: Ground
    name: str
    service: Service

    @classmethod
    def of(cls, ground: Ground, name: str, worktree: Path, folder: Path, gateway_url: str) -> "Bridge":
        """Return the bridge of a worktree, with the packages of its own lock file."""
        folder.mkdir()
        environment = {**ground.environment, "GATEWAY_URL": gateway_url}
        service = python_service("bridge", folder, environment, until="/_/health")
        service = replace(service, folder=worktree, environment={**service.environment, "PYTHONPATH": str(worktree)})
        return cls(ground, name, as_deployed(service, folder, worktree / "requirements" / "bridge.lock"))

    @contextmanager
    def reading(self, publish: Callable[[Client, str, str], None]) -> Iterator[Run]:
        """Declare a stream and a queue for replies, publish to them, then run the bridge; forgets all of it after."""
        stream = self.ground.new_name()
        database, replies = f"bridge-{stream}", f"{stream}-replies"
        with self.ground.client() as client:
            client.declare(stream, "stream")
            client.declare(replies)
            publish(client, stream, replies)
        began = Began(self.service, stream)
        settings = {
            "BRIDGE_SOURCE": f"stream:{stream}",
            "MONGODB_URL": f"{self.ground.environment['MONGODB_URL']}/{database}",
        }
        service = replace(self.service, environment={**self.service.environment, **settings}, ready=began)
        try:
            with running(service) as process:
                yield Run(process, service, stream, self.ground.database[database], began.at)
        finally:
            # All bridges answer there.
            self.ground.forget(database, stream, replies, PREDICTIONS)

    def measure(self, case: Case) -> Figures:
        """Have it take the messages of a case; raises BrokenPromiseError."""
        with self.reading(lambda *at: publish_by_amqp(case, *at)) as run:
            services = {**self.ground.services, "reader": tree(run.process.pid)}
            started = Reading.now(services)
            stored = [(time.perf_counter(), offset) for offset in run.offsets(case.messages - 1) if offset is not None]
            ended = Reading.now(services)
            self.check(case, run)
        (first_at, first), (last_at, last) = stored[0], stored[-1]
        return Figures(
            case.messages / (last_at - run.began),
            (last - first) / (last_at - first_at) if last > first else nan,
            started.microseconds_until(ended, case.messages),
        )

    def check(self, case: Case, run: Run) -> None:
        """Raise BrokenPromiseError unless each message has one record, one answer and one reply, all of them right."""
        recorded: dict[int, Answer] = {}
        records = 0
        for document in run.database["predictions"].find():
            stream, _, offset = document["_id"].rpartition(":")
            require(stream == run.stream, f"{document['_id']} is not of the stream {run.stream}")
            case.check_text(int(offset), document["text"])
            case.check_prediction(int(offset), document["prediction"])
            right = case.texts.scores[int(offset) % len(case.texts.scores)].probability
            wrong = abs(document["probability"] - right) > 1e-9
            require(
                not wrong, f"message {offset} has the probability {document['probability']}, the model says {right}"
            )
            recorded[int(offset)] = answer_in(document)
            records += 1
        case.check_numbers("records", range(records), recorded)
        with self.ground.client() as client:
            answers, replies = client.read_stream(PREDICTIONS), client.read_queue(run.replies)
        self._check_answers("answers", case, answers, recorded)
        if case.replies:
            self._check_answers("replies", case, replies, recorded)
        else:
            require(not replies, f"nobody asked for a reply, and {len(replies)} came")

    def _check_answers(
        self,
        what: str,
        case: Case,
        found: Sequence[tuple[pika.BasicProperties, bytes]],
        recorded: Mapping[int, Answer],
    ) -> None:
        answers: dict[int, Answer] = {}
        for properties, body in found:
            content, number = json.loads(body), int(properties.correlation_id or -1)
            require(content["offset"] == number, f"an answer to message {number} has the offset {content['offset']}")
            answers[number] = answer_in(content)
        case.check_numbers(what, range(len(found)), answers)
        require(answers == recorded, f"records and {what} disagree")

    def latencies(self, case: Case) -> list[float]:
        """Return the milliseconds from sending a message to its reply, each sent when the last has come."""
        milliseconds = []
        with self.reading(lambda *_: None) as run, self.ground.client() as client:
            came: list[str | None] = []
            client.channel.basic_consume(
                run.replies, lambda _, __, properties, ___: came.append(properties.correlation_id), auto_ack=True
            )
            for number, body in enumerate(case.texts.bodies(LONE_WARM_UP + case.messages)):
                time.sleep(LONE_PAUSE_SECONDS)
                properties = pika.BasicProperties(
                    message_id=str(number), correlation_id=str(number), reply_to=run.replies
                )
                started = time.perf_counter()
                client.channel.basic_publish("", run.stream, body, properties)
                while not came and time.perf_counter() < started + 30:
                    client.connection.process_data_events(time_limit=1)
                milliseconds.append((time.perf_counter() - started) * 1e3)
                require(came == [str(number)], f"message {number} got the replies {came}")
                came.clear()
        return milliseconds[LONE_WARM_UP:]

    def peak_memory(self, case: Case, publish: "Publish") -> float:
        """Return the largest proportional set size, in MB, while it takes the messages of a case."""
        with self.reading(lambda *at: publish(case, *at)) as run:
            sizes = [memory(tree(run.process.pid)).pss for _ in run.offsets(case.messages - 1)]
            self.check(case, run)
            return max(*sizes, memory(tree(run.process.pid)).pss)


def answer_in(content: Mapping[str, Any]) -> Answer:
    return content["prediction"], content["probability"], content["model"]


@dataclass
class Began:
    """Whether a bridge reads its stream; `at`: when it was last asked in vain, which is just before it began to."""

    service: Service
    stream: str
    at: float = 0.0

    def __call__(self) -> bool:
        """Ask often once it answers at all: whoever waits for this looks every 50 ms only."""
        until = time.perf_counter() + 5
        while (asked := time.perf_counter()) < until:
            try:
                with urlopen(f"{self.service.variables['URL']}/metrics", timeout=2) as answer:  # noqa: S310 - ours
                    if f'bridge_connected{{source="{self.stream}"}} 1.0' in answer.read().decode():
                        return True
            except OSError:
                self.at = asked
                return False
            self.at = asked
            time.sleep(0.003)
        return False


Publish = Callable[[Case, Client, str, str], None]


def publish_by_amqp(case: Case, client: Client, stream: str, replies: str) -> None:
    bodies = list(case.texts.bodies(case.messages))
    client.publish(stream, bodies, reply_to=replies if case.replies else None)
    client.depth(stream)  # answered after all that was published on the same channel


def publish_by_stream_protocol(case: Case, client: Client, stream: str, replies: str) -> None:
    """Publish with RabbitMQ's client for streams, ten messages a frame, which may hold a megabyte."""
    del client
    asyncio.run(_publish_by_stream_protocol(case, os.environ["RABBITMQ_STREAM_URL"], stream, replies))


async def _publish_by_stream_protocol(case: Case, url: str, stream: str, replies: str) -> None:
    address = urlsplit(url)
    confirmed = 0

    def confirm(status: Any) -> None:
        nonlocal confirmed
        require(status.is_confirmed, f"message {status.message_id} was not confirmed")
        confirmed += 1

    async with Producer(
        address.hostname or "", address.port or 0, username=address.username or "", password=address.password or ""
    ) as producer:
        numbered = enumerate(case.texts.bodies(case.messages))
        while batch := [
            AMQPMessage(
                body=body, properties=Properties(message_id=str(number), correlation_id=str(number), reply_to=replies)
            )
            for number, body in islice(numbered, 10)
        ]:
            await producer.send_batch(stream, batch, on_publish_confirm=confirm)
        deadline = time.monotonic() + 60
        while confirmed < case.messages and time.monotonic() < deadline:
            await asyncio.sleep(0.01)
    require(confirmed == case.messages, f"{confirmed} of {case.messages} messages were confirmed")


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
        scorer = unpack(artifact).scorer()
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
            bridge.measure(Case(short, 2_000))  # compiles its bytecode, which is in the image
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
            peer.measure(Case(short, 2_000))
            print_throughput([peer, *bridges], cases, arguments.rounds)
        if "latency" in arguments.only:
            print_latency(bridges, Case(short, LONE_MESSAGES), arguments.rounds)
        if "memory" in arguments.only:
            print_memory(bridges, Case(large, LARGE_MESSAGES))
    return 0


def print_throughput(contestants: Sequence[Peer | Bridge], cases: Sequence[Case], rounds: int) -> None:
    """Measure, turn and turn about, and print the rates and what they cost."""
    found: dict[tuple[Case, str], list[Figures]] = {}
    for case in cases:
        for number in range(rounds):
            for contestant in contestants:
                figures = contestant.measure(case)
                found.setdefault((case, contestant.name), []).append(figures)
                note(f"{case.name}, round {number + 1}: {contestant.name} {figures.rate:,.0f} messages/s")
    print(f"\n{DIFFERENT_TEXTS:,} different texts of a kind, all checked\n")
    print("| case | messages | who | messages/s | from the first offset | ours to it | from the first offset |")
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
    print(f"\nA lone message to its reply, {case.messages} one after the other, medians of {rounds} rounds\n")
    print("| who | median, ms | 99th percentile, ms | ours to it | 99th percentile |\n| --- | --- | --- | --- | --- |")
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


def ratio(found: Sequence[float]) -> str:
    """Return the median of ratios, and between which they were."""
    return f"**{median(found):.2f}** ({min(found):.2f} to {max(found):.2f})"


def note(what: str) -> None:
    """Say on standard error how far it is."""
    print(what, file=sys.stderr, flush=True)


def short_texts(number: int) -> Sequence[str]:
    """Return different sentences of about 40 characters, the same each time."""
    draw = random.Random(number)
    found: dict[str, None] = {}
    while len(found) < number:
        words = [draw.choice(choices) for choices in SENTENCE]
        found[f"{words[0]} {words[1]} {words[2]} was {words[3]} {words[4]} {words[5]}"] = None
    return list(found)


def some_reviews(archive: Path, number: int) -> Sequence[str]:
    """Return different reviews of both labels, the same each time."""
    texts = dict.fromkeys(load_corpus(str(archive)).texts)
    return random.Random(number).sample(list(texts), number)


def large_texts(number: int, characters: int) -> Sequence[str]:
    """Return different texts of so many characters, made of the short ones."""
    sentences, draw = short_texts(DIFFERENT_TEXTS), random.Random(number)
    return [". ".join(draw.choices(sentences, k=characters // 20))[:characters] for _ in range(number)]


def rabbitmq_version() -> str:
    """Return the version of the RabbitMQ that is installed."""
    command = [str(Path(rabbitmq_server()).with_name("rabbitmqctl")), "version"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
