"""The whole system in processes of its own, with a proxy between any two parts that a fault is to come between."""

import itertools
import json
import random
import secrets
import signal
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest
import urllib3
from pymongo.errors import PyMongoError

from deploy import servers
from deploy.ports import free_port
from deploy.runner import Service, wait_until
from messages.topology import declare_streams
from model_store.publishing import ModelStore
from records import Records
from records.labels import Labels
from sentiment.text import Corpus
from sentiment.training import train_artifact
from tests.cluster.bridges import BLAME, PRAISE, STREAMS, forget
from tests.cluster.traffic import Review, Traffic, reviews
from tests.faults.history import SOURCE, Askers, History
from tests.faults.proxy import Proxy
from tests.running import Part
from tests.system import Client, promote, python_service

MAX_BYTES = 2_000_000_000
LABELS_EVERY = 50
TIMEOUT_SECONDS = 120
LINKS = (
    "bridge-broker", "bridge-streams", "bridge-database", "bridge-gateway", "gateway-predict", "gateway-retrain",
    "predict-database", "predict-store", "retrain-database", "retrain-store",
)  # fmt: skip


class Servers:
    """A broker, a database and a model store, which rows use one after the other."""

    def __init__(self, folder: Path) -> None:
        """Prepare them in a folder; raises MissingServerError."""
        self.broker = Part(servers.rabbitmq(folder / "broker", free_port, "faults", secrets.token_hex(8)))
        self.database = Part(servers.mongodb(folder / "database", free_port))
        keys = secrets.token_hex(8), secrets.token_hex(16)
        self.store = Part(servers.s3(folder / "store", free_port, *keys))
        # A client of the stream protocol goes to the address that the broker says it has.
        self.streams_port = port_of(self.broker.service.variables["RABBITMQ_STREAM_URL"])
        self.streams = Proxy(free_port("streams"), self.streams_port, random.Random(0))
        settings = folder / "broker" / "conf.d"
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

    def parts(self) -> tuple[Part, ...]:
        return self.broker, self.database, self.store


@dataclass
class Stage:
    """The system as one row has it, with its own streams, database and bucket, and what is sent to it.

    links: between which parts there are proxies; see LINKS.
    """

    servers: Servers
    folder: Path
    chance: random.Random
    link_names: Iterable[str] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    bridges: int = 1
    retrains: int = 1

    def __post_init__(self) -> None:
        self.name = f"faults-{secrets.token_hex(4)}"
        self.labels, self.replies = f"{self.name}-labels", f"{self.name}-replies"
        self.links: dict[str, Proxy] = {}
        self.history = History()
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
            "KEEP_VERSIONS": "10000",
            "GATE": "off",
            **self.settings,
        }

    @contextmanager
    def running(self) -> Iterator["Stage"]:
        """Run all of it, and traffic, while the block runs."""
        with self._stack as stack:
            patch = stack.enter_context(pytest.MonkeyPatch.context())
            for name, value in self.environment.items():
                patch.setenv(name, value)
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
            self.askers = Askers(self.gateway_url, self.history, pause_seconds=0.02)
            stack.callback(self.askers.stop)
            self.askers.start()
            yield self

    def _declare(self) -> None:
        url = self.environment["RABBITMQ_URL"]
        declare_streams(url, [*STREAMS, self.name, self.labels], MAX_BYTES)
        client = Client(url)
        client.declare(self.replies)
        client.close()
        self._stack.callback(self._forget)

    def _forget(self) -> None:
        client = Client(self.environment["RABBITMQ_URL"])
        forget(client, [*STREAMS, self.name, self.labels, self.replies])
        client.close()

    def _start(self) -> None:
        broker = self.servers.broker.service.variables
        database = {"MONGODB_URL": self.environment["MONGODB_URL"]}
        store = {"S3_ENDPOINT_URL": self.environment["S3_ENDPOINT_URL"]}
        (self.predict,) = self._functions("predict", 1, database, store)
        self.all_retrain = self._functions("retrain", self.retrains, database, store)
        self.retrain = self.all_retrain[0]
        upstreams = {
            name: port_of(self._through(f"gateway-{name}", part.service.variables["URL"]))
            for name, part in (("predict", self.predict), ("retrain", self.retrain))
        }
        self.gateway = self._part(servers.gateway(self.folder / "gateway", free_port("gateway"), upstreams))
        self.gateway_url = self.gateway.service.variables["GATEWAY_URL"]
        self.links["bridge-streams"] = self.servers.streams
        own = {
            **self.environment,
            "RABBITMQ_URL": self._through("bridge-broker", broker["RABBITMQ_URL"]),
            "RABBITMQ_STREAM_URL": with_port(broker["RABBITMQ_STREAM_URL"], self.servers.streams.port),
            "MONGODB_URL": self._through("bridge-database", database["MONGODB_URL"]),
            "GATEWAY_URL": self._through("bridge-gateway", self.gateway_url),
        }
        self.all_bridges = [self._part(python_service("bridge", self.folder, own)) for _ in range(self.bridges)]
        self.bridge = self.all_bridges[0]

    def _functions(self, name: str, count: int, database: Mapping[str, str], store: Mapping[str, str]) -> list[Part]:
        own = {
            **self.environment,
            **{variable: self._through(f"{name}-database", url) for variable, url in database.items()},
            **{variable: self._through(f"{name}-store", url) for variable, url in store.items()},
        }
        return [self._part(python_service(f"functions.{name}", self.folder, own)) for _ in range(count)]

    def _part(self, service: Service) -> Part:
        part = Part(service)
        self._stack.callback(part.close)
        part.start()
        return part

    def _through(self, link: str, url: str) -> str:
        """Return an address as the one side of a link is to have it."""
        if link not in self.link_names:
            return url
        proxy = self.links[link] = self.links.get(link) or self._proxy(link, port_of(url))
        return with_port(url, proxy.port)

    def _proxy(self, link: str, target: int) -> Proxy:
        return self._stack.enter_context(Proxy(free_port(link), target, self.chance))

    # What is sent, and how far it is done.

    def offset(self) -> int:
        offset = self.records.offset(self.name)
        return -1 if offset is None else offset

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
        """Return how long it takes until what is sent from now on is done: a message, a text, and labels both ways.

        None where it is not done in time.
        """
        began = time.monotonic()
        mark = f"the mark of {secrets.token_hex(4)}"
        message = Review(f"{self.name}/{mark}", self.name, mark.encode(), "text/plain", self.replies)
        self.traffic.write([message, label(self.labels, mark)])
        waiting = [
            lambda: self.records.database["predictions"].find_one({"text": mark}) is not None,
            lambda: self.records.database["labels"].find_one({"text": mark}) is not None,
            self.askers.ask_text,
            self.askers.ask_label,
        ]

        def done() -> bool:
            with suppress(PyMongoError):
                while waiting and waiting[0]():
                    waiting.pop(0)
            return not waiting

        return time.monotonic() - began if wait_until(done, limit_seconds) else None

    def finish(self) -> bool:
        """Have all that was sent done with, and the labels learned; then end the system. Returns whether it was done."""
        complete = (
            self.traffic.wait(TIMEOUT_SECONDS)
            # What was read before the last message is in hand by now, and is finished before the bridge ends.
            and self.recovery_seconds(TIMEOUT_SECONDS) is not None
        )
        self.askers.stop()
        complete = complete and wait_until(self._learned, TIMEOUT_SECONDS)
        for part in (*self.all_bridges, self.predict, *self.all_retrain):
            assert part.terminate() == 0, part.log()[-3000:]
        self.history.messages |= self.traffic.confirmed()
        return complete

    def _learned(self) -> bool:
        """Have retrain learn what is pending; return whether nothing is."""
        urllib3.request("POST", f"{self.retrain.service.variables['URL']}/", timeout=60)
        return Labels(self.records).count("pending") == 0


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
