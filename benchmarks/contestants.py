"""Who is measured on streams: the batched consumer, and bridges of this project; each checked at every run."""

import asyncio
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from itertools import count, cycle, islice
from math import nan
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import urlopen

import pika
from pymongo import MongoClient
from pymongo.database import Database
from rstream import AMQPMessage, Producer, Properties

from benchmarks.cases import Case, require
from benchmarks.lean import as_deployed
from benchmarks.processes import Processes, Reading, listening_on, memory, tree
from contracts.names import PREDICTIONS
from contracts.records import PredictionRecord
from deploy.runner import Service, tail
from records import Records, now
from tests.running import running
from tests.system import ROOT, Client, python_service

LONE_WARM_UP = 20
LONE_PAUSE_SECONDS = 0.02
POLL_SECONDS = 0.02
PATIENCE_SECONDS = 900
BATCH_RECORDS = 1_000

Answer = tuple[str, float, str]
"""Prediction, probability, model: what record, answer and reply have in common."""


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
    name: str = "batched consumer"

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
class RecordsAlone:
    """The records of a case written to the database and nothing else done: what no bridge can be faster than here."""

    ground: Ground
    name: str = "writing the records alone"

    def measure(self, case: Case) -> Figures:
        """Write them as a bridge does, two batches at a time; raises BrokenPromiseError."""
        database, time_of_all = self.ground.new_name(), now()
        made = [
            PredictionRecord(
                id=f"{database}:{number}",
                text=case.texts.texts[number % len(case.texts.texts)],
                prediction=score.prediction,
                probability=score.probability,
                log_odds=score.log_odds,
                model="20261126T000000Z-00000000",
                source="stream",
                received_at=time_of_all,
                scored_at=time_of_all,
            )
            for number, score in zip(range(case.messages), cycle(case.texts.scores), strict=False)
        ]
        batches = [made[first : first + BATCH_RECORDS] for first in range(0, len(made), BATCH_RECORDS)]
        records = Records(self.ground.database, database)
        services = {"database": self.ground.services["database"]}
        before, began = Reading.now(services), time.perf_counter()
        with ThreadPoolExecutor(2) as pool:
            known = list(pool.map(records.insert_predictions, batches))
        seconds = time.perf_counter() - began
        used = before.microseconds_until(Reading.now(services), case.messages)
        require(not any(known), "a record was there already")
        written = self.ground.database[database]["predictions"].count_documents({})
        require(written == case.messages, f"{written} of {case.messages} records are there")
        self.ground.forget(database)
        return Figures(case.messages / seconds, case.messages / seconds, used)


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
            # -1 says that somebody reads and nothing is done.
            yield (offset := None if document is None or document["offset"] < 0 else int(document["offset"]))
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

    def check(self, case: Case, run: Run, replies: "Messages | None" = None) -> None:
        """Raise BrokenPromiseError unless each message has one record, one answer and one reply, all of them right.

        replies: those that were taken already; without it they are in their queue.
        """
        recorded: dict[int, Answer] = {}
        records = 0
        for document in run.database["predictions"].find():
            stream, _, offset = document["_id"].rpartition(":")
            require(stream == run.stream, f"{document['_id']} is not of the stream {run.stream}")
            case.check_text(int(offset), document["text"])
            case.check_prediction(int(offset), document["prediction"], document["probability"])
            recorded[int(offset)] = answer_in(document)
            records += 1
        case.check_numbers("records", range(records), recorded)
        with self.ground.client() as client:
            check_answers("answers", case, client.read_stream(PREDICTIONS), recorded)
            replies = client.read_queue(run.replies) if replies is None else replies
        if case.replies:
            check_answers("replies", case, replies, recorded)
        else:
            require(not replies, f"nobody asked for a reply, and {len(replies)} came")

    def latencies(self, case: Case) -> list[float]:
        """Return the milliseconds from sending a message to its reply, each sent when the last has come.

        The first ones are not counted.
        """
        milliseconds: list[float] = []
        replies: list[tuple[pika.BasicProperties, bytes]] = []
        with self.reading(lambda *_: None) as run, self.ground.client() as client:
            client.channel.basic_consume(run.replies, lambda _, __, *reply: replies.append(reply), auto_ack=True)
            for number, body in enumerate(case.texts.bodies(case.messages)):
                time.sleep(LONE_PAUSE_SECONDS)
                properties = pika.BasicProperties(
                    message_id=str(number), correlation_id=str(number), reply_to=run.replies
                )
                started = time.perf_counter()
                client.channel.basic_publish("", run.stream, body, properties)
                while len(replies) <= number and time.perf_counter() < started + 30:
                    client.connection.process_data_events(time_limit=1)
                milliseconds.append((time.perf_counter() - started) * 1e3)
                require(len(replies) == number + 1, f"message {number} brought the replies to {len(replies)}")
            for _ in run.offsets(case.messages - 1):
                pass
            self.check(case, run, replies)
        return milliseconds[LONE_WARM_UP:]

    def peak_memory(self, case: Case, publish: "Publish") -> float:
        """Return the largest proportional set size, in MB, while it takes the messages of a case."""
        with self.reading(lambda *at: publish(case, *at)) as run:
            peak = max(memory(tree(run.process.pid)).pss for _ in run.offsets(case.messages - 1))
            self.check(case, run)
        return peak


Messages = Sequence[tuple[pika.BasicProperties, bytes]]


def check_answers(what: str, case: Case, found: Messages, recorded: Mapping[int, Answer]) -> None:
    """Raise BrokenPromiseError unless each message has one of these answers, and that says what its record does."""
    answers: dict[int, Answer] = {}
    for properties, body in found:
        content, number = json.loads(body), int(properties.correlation_id or -1)
        require(content["offset"] == number, f"an answer to message {number} has the offset {content['offset']}")
        answers[number] = answer_in(content)
    case.check_numbers(what, range(len(found)), answers)
    require(answers == recorded, f"records and {what} disagree")


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
