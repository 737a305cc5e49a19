"""The whole system in processes of its own, with a proxy between any two parts that a fault is to come between."""

import itertools
import json
import queue
import random
import secrets
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest
import urllib3
from pika.exceptions import AMQPError

from deploy import servers
from deploy.ports import free_port
from deploy.runner import ServiceError, wait_until
from messages.ports import BrokerUnavailable
from messages.stream_client import LAST, StreamConnection
from messages.stream_connection import Subscription
from messages.topology import declare_streams
from model_store.publishing import ModelStore
from records import Records, RecordsUnavailable
from records.labels import Labels
from sentiment.text import Corpus
from sentiment.training import train_artifact
from tests.cluster.bridges import BLAME, PRAISE, STREAMS, Bridge, forget
from tests.cluster.traffic import Review, Traffic, reviews
from tests.faults.history import SOURCE, Askers, History
from tests.faults.proxy import Proxy
from tests.running import Part
from tests.system import Client, promote, python_service

MAX_BYTES = 2_000_000_000
LABELS_EVERY = 50
TIMEOUT_SECONDS = 120
END_TIMEOUT_SECONDS = 5
LINKS = (
    "bridge-broker", "bridge-streams", "bridge-database", "bridge-gateway", "gateway-predict", "gateway-retrain",
    "predict-database", "predict-store", "retrain-database", "retrain-store",
)  # fmt: skip


class Servers:
    """A broker, a database and a model store, which rows use one after the other."""

    def __init__(self, folder: Path, disks: Mapping[str, Path] | None = None) -> None:
        """Prepare them in a folder, those in `disks` in one of their own; raises MissingServerError."""
        folders = {name: folder / name for name in ("broker", "database")} | dict(disks or {})
        self.broker = Part(servers.rabbitmq(folders["broker"], free_port, "faults", secrets.token_hex(8)))
        self.database = Part(servers.mongodb(folders["database"], free_port))
        keys = secrets.token_hex(8), secrets.token_hex(16)
        self.store = Part(servers.s3(folder / "store", free_port, *keys))
        # A client of the stream protocol goes to the address that the broker says it has.
        self.streams_port = port_of(self.broker.service.variables["RABBITMQ_STREAM_URL"])
        self.streams = Proxy(free_port("streams"), self.streams_port, random.Random(0))
        settings = folders["broker"] / "conf.d"
        settings.mkdir()
        (settings / "proxy.conf").write_text(f"stream.advertised_port = {self.streams.port}\n")

    @contextmanager
    def running(self) -> Iterator[None]:
        with ExitStack() as stack:
            stack.enter_context(self.streams)
            for part in self.parts():
                stack.callback(part.close)
                part.start()
            yield

    def restore(self) -> None:
        """Have all of them run, whatever a row has left behind."""
        for part in self.parts():
            if part.process is None or part.process.poll() is not None:
                part.close()
                part.start()
            part.signal(signal.SIGCONT)

    def parts(self) -> tuple[Part, ...]:
        return self.broker, self.database, self.store


@dataclass
class Stage:
    """The system as one row has it, with its own streams, database and bucket, and what is sent to it.

    link_names: between which parts there are proxies, of LINKS. settings: added to the environment of all parts.
    max_bytes: what the broker keeps of the reviews.
    bridges, retrains: how many. disk: where the server is whose disk is small. faked_clock: whether `clock` tells the
    processes by how much theirs is wrong.
    """

    servers: Servers
    folder: Path
    chance: random.Random
    link_names: Iterable[str] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    max_bytes: int = MAX_BYTES
    bridges: int = 1
    retrains: int = 1
    faked_clock: bool = False
    disk: Path | None = None

    def __post_init__(self) -> None:
        self.name = f"faults-{secrets.token_hex(4)}"
        self.labels, self.replies = f"{self.name}-labels", f"{self.name}-replies"
        self.links: dict[str, Proxy] = {}
        self.history = History()
        self.clock = self.folder / "clock"
        # What a row has made of it.
        self.also_forget: list[str] = []
        self.unfair: list[str] = []
        self.earlier: dict[int, bytes] = {}
        self.gone: dict[int, bytes] = {}
        self.may_be_gone: set[str] = set()
        self.is_anew = False
        self.copies: dict[str, str] = {}
        self.knows_labels = True
        self._stack = ExitStack()
        database, store = self.servers.database.service, self.servers.store.service
        self.environment = {
            **store.variables,
            **self.servers.broker.service.variables,
            "S3_BUCKET": self.name,
            "MONGODB_URL": f"{database.variables['MONGODB_URL']}/{self.name}",
            "BRIDGE_SOURCE": f"stream:{self.name}",
            "BRIDGE_LABELS": self.labels,
            # So that there is always something in hand.
            "BRIDGE_BATCH_MESSAGES": "50",
            "POLL_SECONDS": "0.5",
            "RETRAIN_AFTER": "20",
            "RETRAIN_LEAST": "1",
            "KEEP_VERSIONS": "10000",
            "GATE": "off",
            "RECORD_SPOOL_DIR": str(self.folder / "spool"),
            **self.settings,
        }
        if self.faked_clock:
            self.clock.write_text("+0\n")
            self.environment |= {
                "LD_PRELOAD": faketime() or "",
                "FAKETIME_TIMESTAMP_FILE": str(self.clock),
                "FAKETIME_CACHE_DURATION": "1",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            }

    @contextmanager
    def running(self) -> Iterator["Stage"]:
        """Run all of it, and traffic, while the block runs."""
        with self._stack as stack:
            patch = stack.enter_context(pytest.MonkeyPatch.context())
            for name in ("S3_ENDPOINT_URL", "S3_BUCKET", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "MONGODB_URL"):
                patch.setenv(name, self.environment[name])
            self._declare()
            self.records = Records.from_environment()
            stack.callback(self.records.close)
            self.model_store = ModelStore.from_environment()
            self.first_version = promote(train_artifact(corpus()))
            self._start()
            address = [(self.environment["RABBITMQ_URL"], self.environment["RABBITMQ_STREAM_URL"])]
            source = reviews([self.name], self.replies, self.chance.randrange(2**32))
            self.traffic = Traffic(address, with_labels(source, self.labels))
            stack.enter_context(self.traffic.running())
            others = [part.service.variables["URL"] for part in self.all_retrain[1:]]
            retrain_urls = [f"{self.gateway_url}/function/retrain", *others]
            self.askers = Askers(f"{self.gateway_url}/function/predict", retrain_urls, self.history)
            stack.callback(self.askers.stop)
            self.askers.start()
            yield self

    def _declare(self) -> None:
        url = self.environment["RABBITMQ_URL"]
        declare_streams(url, [*STREAMS, self.labels], MAX_BYTES)
        declare_streams(url, [self.name], self.max_bytes)
        client = Client(url)
        client.declare(self.replies)
        client.close()
        self._stack.callback(self._forget)

    def _forget(self) -> None:
        # A broker that has not come back is what the verdict speaks of.
        with suppress(AMQPError, OSError):
            client = Client(self.environment["RABBITMQ_URL"])
            forget(client, [*STREAMS, self.name, self.labels, self.replies, *self.also_forget])
            client.close()

    def _start(self) -> None:
        broker = self.servers.broker.service.variables
        database, store = self.environment["MONGODB_URL"], self.environment["S3_ENDPOINT_URL"]

        def function(name: str) -> Part:
            own = {
                "MONGODB_URL": self._through(f"{name}-database", database),
                "S3_ENDPOINT_URL": self._through(f"{name}-store", store),
            }
            return Part(python_service(f"functions.{name}", self.folder, {**self.environment, **own}))

        self.predict = function("predict")
        self.all_retrain = [function("retrain") for _ in range(self.retrains)]
        self.retrain = self.all_retrain[0]
        upstreams = {
            name: port_of(self._through(f"gateway-{name}", part.service.variables["URL"]))
            for name, part in (("predict", self.predict), ("retrain", self.retrain))
        }
        self.gateway = Part(servers.gateway(self.folder / "gateway", free_port("gateway"), upstreams))
        self.gateway_url = self.gateway.service.variables["GATEWAY_URL"]
        self.links["bridge-streams"] = self.servers.streams
        own = {
            "RABBITMQ_URL": self._through("bridge-broker", broker["RABBITMQ_URL"]),
            "RABBITMQ_STREAM_URL": with_port(broker["RABBITMQ_STREAM_URL"], self.servers.streams.port),
            "MONGODB_URL": self._through("bridge-database", database),
        }
        gateway_url = self._through("bridge-gateway", self.gateway_url)
        environment = {**self.environment, **own}
        self.all_bridges = [Bridge.of(environment, gateway_url, self.folder) for _ in range(self.bridges)]
        self.bridge = self.all_bridges[0]
        parts: list[Part] = [self.predict, *self.all_retrain, self.gateway, *self.all_bridges]
        for part in parts:
            self._stack.callback(part.close)
        with ThreadPoolExecutor() as pool:
            list(pool.map(Part.start, parts))

    def _through(self, link: str, url: str) -> str:
        """Return an address as the one side of a link is to have it."""
        if link not in self.link_names:
            return url
        proxy = self.links[link] = self.links.get(link) or self._proxy(link, port_of(url))
        return with_port(url, proxy.port)

    def _proxy(self, link: str, target: int) -> Proxy:
        return self._stack.enter_context(Proxy(free_port(link), target, self.chance))

    def supervise(self, part: Part) -> None:
        """Start a part again whenever it dies by itself, as an orchestrator does, until this ends."""
        end = threading.Event()

        def restart() -> None:
            while not end.wait(0.2):
                if part.process is None or part.process.poll() is not None:
                    part.close()
                    with suppress(ServiceError):
                        part.start()

        thread = threading.Thread(target=restart)
        self._stack.callback(thread.join)
        self._stack.callback(end.set)
        thread.start()

    # What is sent, and how far it is done.

    def offset(self) -> int:
        """Return the last offset that is done, -1 before the first."""
        return done_to(self.records, self.name)

    def backlog(self, count: int) -> None:
        """Have so many more messages confirmed before the bridge goes on."""
        for bridge in self.all_bridges:
            bridge.signal(signal.SIGSTOP)
        self.traffic.burst(count)
        complete = self.traffic.wait(TIMEOUT_SECONDS)
        for bridge in self.all_bridges:
            bridge.signal(signal.SIGCONT)
        assert complete, self.traffic.problems[-5:]

    def wait_for_share(self, share: float, count: int) -> None:
        """Return amid the work: when this share of `count` messages beyond what is done is done, too."""
        goal = self.offset() + 1 + share * count
        assert wait_until(lambda: self.offset() >= goal, TIMEOUT_SECONDS), (self.offset(), goal)

    def recovery_seconds(self, limit_seconds: float) -> float | None:
        """Return how long it takes until all that was asked for is done, and a text and a label over HTTP.

        None where it is not done in time.
        """
        began = time.monotonic()
        deadline = began + limit_seconds
        url = self.environment["RABBITMQ_STREAM_URL"]

        def done(stream: str) -> bool:
            return done_to(self.records, stream) >= end_of(url, stream) - 1

        steps: list[Callable[[], bool]] = [
            lambda: self.traffic.wait(0),
            lambda: done(self.name),
            lambda: done(self.labels),
            self.askers.ask_text,
            self.askers.ask_label,
        ]

        def step() -> bool:
            with suppress(RecordsUnavailable, BrokerUnavailable):
                while steps and steps[0]():
                    steps.pop(0)
            return not steps

        return time.monotonic() - began if wait_until(step, deadline - began) else None

    def finish(self) -> None:
        """End the system once all that was sent is done with, and the labels are learned; AssertionError where not."""
        seconds = self.recovery_seconds(TIMEOUT_SECONDS)
        self.askers.stop()
        learned = wait_until(self._learned, TIMEOUT_SECONDS)
        parts: list[Part] = [*self.all_bridges, self.predict, *self.all_retrain]
        with ThreadPoolExecutor() as pool:
            statuses = dict(
                zip((part.service.log.name for part in parts), pool.map(Part.terminate, parts), strict=True)
            )
        self.history.messages |= self.traffic.confirmed()
        assert seconds is not None, "what was sent was not done in time"
        assert learned, "labels were not learned in time"
        assert set(statuses.values()) == {0}, f"not ended well: {statuses}"

    def _learned(self) -> bool:
        """Have retrain learn what is pending; return whether nothing is."""
        with suppress(urllib3.exceptions.HTTPError):
            urllib3.request("POST", f"{self.retrain.service.variables['URL']}/", timeout=60)
        return Labels(self.records).counts().pending == 0


def faketime() -> str | None:
    """Return the library of Debian's package libfaketime that fakes the clock, None where it is not installed."""
    return next(iter(map(str, Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))), None)


def done_to(records: Records, stream: str) -> int:
    """Return the last offset of a stream that is done, -1 before the first; raises RecordsUnavailable."""
    offset = records.offset(stream)
    return -1 if offset is None else offset


def end_of(url: str, stream: str) -> int:
    """Return the offset behind the last message of a stream that is not empty; raises BrokerUnavailable."""
    ends: queue.Queue[int] = queue.Queue()
    connection = StreamConnection(url, stream, "faults", lambda _: None)
    try:
        connection.subscribe(0, LAST, Subscription(lambda chunk: ends.put(chunk.end), only_heads=True), 1)
        return ends.get(timeout=END_TIMEOUT_SECONDS)
    except queue.Empty as error:
        raise BrokerUnavailable(f"{stream}: no answer") from error
    finally:
        connection.close()


def corpus() -> Corpus:
    """Return texts of which a model learns what the words of the traffic mean."""
    words = ([*BLAME], [*PRAISE])
    labels = [number % 2 for number in range(200)]
    texts = [f"film{n % 7} {words[n % 2][n // 2 % 4]} {words[n % 2][n // 8 % 4]}" for n in range(200)]
    return Corpus("faults", texts, labels)


def label(stream: str, name: str) -> Review:
    """Return a message that is a label of a text of that name."""
    body = json.dumps({"text": name, "label": 1, "source": SOURCE})
    return Review(f"{stream}/{name}", stream, body.encode(), "application/json", "")


def with_labels(source: Iterator[Review], stream: str) -> Iterator[Review]:
    """Yield what the source does, and a label after every LABELS_EVERY of them."""
    for number in itertools.count():
        yield from itertools.islice(source, LABELS_EVERY)
        yield label(stream, f"a great film, of the label {number} in the stream")


def port_of(url: str) -> int:
    port = urlsplit(url).port
    assert port
    return port


def with_port(url: str, port: int) -> str:
    parts = urlsplit(url)
    before, _, _ = parts.netloc.rpartition(":")
    return urlunsplit(parts._replace(netloc=f"{before}:{port}"))


def label_text(body: bytes) -> str:
    """Return the text of such a message."""
    found: str = json.loads(body)["text"]
    return found
