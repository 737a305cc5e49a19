"""Bridges that tests start, kill and pause, and what is found of their work in streams, records and metrics."""

import asyncio
import json
import secrets
import signal
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import urllib3
from prometheus_client.parser import text_string_to_metric_families
from rstream import AMQPMessage, Consumer, ConsumerOffsetSpecification, MessageContext, OffsetType, Producer, RawMessage
from rstream.amqp import amqp_decoder

from deploy.ports import free_port
from deploy.runner import Service, wait_until
from deploy.servers import gateway
from messages.topology import declare_streams
from records import Records
from sentiment.artifact import Artifact
from sentiment.model import Model
from sentiment.packing import pack
from sentiment.trainers.multinomial_nb import train
from tests.conftest import RabbitMQNode
from tests.models import ABOUT
from tests.running import Part, running
from tests.system import Client, promote, python_service, through_gateway

TIMEOUT_SECONDS = 60
STREAMS = ("predictions", "rejected")
PRAISE = ("love", "great", "wonderful", "charming")
BLAME = ("hate", "awful", "dull", "bore")


def opposite_models() -> list[Model]:
    """Two models, of which one calls good what the other calls bad."""
    texts = [f"I {word} it, a {word} film" for word in (*PRAISE, *BLAME)]
    labels = [1] * len(PRAISE) + [0] * len(BLAME)
    return [train(texts, labels), train(texts, [1 - label for label in labels])]


def packed(model: Model) -> Artifact:
    return pack(model, ABOUT)


class Bridge(Part):
    """A process of the bridge."""

    @classmethod
    def of(cls, environment: Mapping[str, str], gateway_url: str, folder: Path) -> "Bridge":
        own = {"BRIDGE_LABELS": "", **environment, "GATEWAY_URL": gateway_url}
        return cls(python_service("bridge", folder, own))

    def end(self) -> None:
        """Terminate it; it must have nothing to complain of."""
        assert self.terminate() == 0, self.log()

    def metric(self, name: str) -> dict[str, int]:
        """Return a metric by source, of which outcomes are added up."""
        found: Counter[str] = Counter()
        metrics = urllib3.request(
            "GET", f"{self.service.variables['URL']}/metrics", timeout=TIMEOUT_SECONDS
        ).data.decode()
        for family in text_string_to_metric_families(metrics):
            for sample in family.samples:
                if sample.name == name:
                    found[sample.labels["source"]] += int(sample.value)
        return dict(found)

    def done(self) -> dict[str, int]:
        """Return how many messages of each stream this process has handled, those of none left out."""
        return {source: count for source, count in self.metric("bridge_messages_total").items() if count}


@contextmanager
def bridges(*found: Bridge) -> Iterator[None]:
    """Start bridges, and end those that still run."""
    with ExitStack() as stack:
        for bridge in found:
            stack.callback(bridge.close)
            bridge.start()
        yield


@contextmanager
def predict(environment: Mapping[str, str], folder: Path) -> Iterator[str]:
    """Run predict behind the gateway with a model; yields the gateway's URL."""
    promote(packed(opposite_models()[0]))
    with through_gateway(folder, {"predict": python_service("functions.predict", folder, environment)}) as url:
        yield url


@contextmanager
def gateway_before(environment: Mapping[str, str], folder: Path) -> Iterator[tuple[str, Service]]:
    """Run a gateway; yields its URL, and predict, which does not run yet, with a model."""
    promote(packed(opposite_models()[0]))
    function = python_service("functions.predict", folder, environment)
    front = gateway(folder / "gateway", free_port(), {"predict": int(function.variables["PORT"])})
    with running(front):
        yield front.variables["GATEWAY_URL"], function


def entries(url: str, stream: str, end: int | None = None) -> dict[int, bytes]:
    """Return what a stream that nobody else writes to holds, by offset.

    A mark is written, and all is read that comes before it: so nothing is missed, on whichever replica. Where `end` is
    given, all before that offset is read instead, and nothing written.
    """
    mark = f"the end {secrets.token_hex(8)}".encode()
    address = urlsplit(url)
    host, port, login = str(address.hostname), address.port or 0, (str(address.username), str(address.password))

    async def read() -> dict[int, bytes]:
        if end is None:
            async with Producer(host, port, username=login[0], password=login[1]) as producer:
                await producer.send_wait(stream, RawMessage(mark), timeout=TIMEOUT_SECONDS)
        found: dict[int, bytes] = {}
        complete = asyncio.Event()

        def take(entry: AMQPMessage, context: MessageContext) -> None:
            assert isinstance(entry, bytes)
            if entry == mark:
                complete.set()
            elif not entry.startswith(b"the end ") and not complete.is_set():
                found[context.offset] = entry
            if context.offset + 1 == end:
                complete.set()

        async with Consumer(host, port, username=login[0], password=login[1]) as consumer:
            first = ConsumerOffsetSpecification(OffsetType.FIRST, None)
            await consumer.subscribe(stream, take, offset_specification=first)
            await asyncio.wait_for(complete.wait(), TIMEOUT_SECONDS * 2)
        return found

    return asyncio.run(read())


class Answer(NamedTuple):
    """What was said of a message."""

    prediction: str
    probability: float
    model: str


def key_and_answer(correlation_id: str, body: bytes) -> tuple[str, Answer]:
    """Return which message is answered, `<stream>:<offset>`, where the correlation id is `<stream>/<anything>`."""
    found = json.loads(body)
    key = f"{correlation_id.partition('/')[0]}:{found['offset']}"
    return key, Answer(found["prediction"], found["probability"], found["model"])


def appended(url: str) -> list[tuple[str, Answer]]:
    """Return all answers in the stream `predictions`, in their order."""
    messages = [amqp_decoder(entry) for entry in entries(url, "predictions").values()]
    return [key_and_answer(text(message.properties.correlation_id), bytes(message.body)) for message in messages]


def replied(client: Client, queue: str) -> dict[str, list[Answer]]:
    """Take all answers of a reply queue."""
    found: dict[str, list[Answer]] = defaultdict(list)
    for properties, body in client.read_queue(queue):
        key, answer = key_and_answer(properties.correlation_id or "", body)
        found[key].append(answer)
    return found


def recorded(records: Records) -> dict[str, Answer]:
    """Return the answers in the records, by message."""
    return {
        document["_id"]: Answer(document["prediction"], document["probability"], document["model"])
        for document in records.database["predictions"].find()
    }


def parked(records: Records) -> set[str]:
    return {document["_id"] for document in records.database["rejected"].find({}, {"_id": 1})}


def text(value: str | bytes | None) -> str:
    return value.decode() if isinstance(value, bytes) else value or ""


def forget(client: Client, streams: Iterable[str], super_streams: Sequence[str] = ()) -> None:
    """Delete what a test has declared."""
    for name in streams:
        client.channel.queue_delete(name)
    for name in super_streams:
        client.channel.exchange_delete(name)


def two_bridges_do_the_work_of_one_stream_once(
    node: RabbitMQNode,
    environment: Mapping[str, str],
    records: Records,
    stream: str,
    folder: Path,
    says: str,
) -> None:
    """See that one of them works, that the other is ready and `says` so, and goes on when the first is killed."""
    count = 8_000
    queue = f"{stream}-replies"
    own = {**environment, **node.environment, "BRIDGE_SOURCE": f"stream:{stream}", "BRIDGE_BATCH_MESSAGES": "10"}
    declare_streams(node.amqp_url, [*STREAMS, stream], 1_000_000_000)
    client = Client(node.amqp_url)
    client.declare(queue)
    with ExitStack() as stack:
        stack.callback(client.close)
        stack.callback(forget, client, [*STREAMS, stream, queue])
        url = stack.enter_context(predict(environment, folder))
        first, second = Bridge.of(own, url, folder), Bridge.of(own, url, folder)
        # `start` returns when they are ready.
        with bridges(first, second):
            # It says so half a second after it is ready, in which a fast machine could be done.
            assert wait_until(lambda: says in second.log(), TIMEOUT_SECONDS), second.log()
            client.publish(stream, [b"great"] * count, reply_to=queue)
            assert wait_until(lambda: (records.offset(stream) or 0) > count // 10, TIMEOUT_SECONDS)
            first.signal(signal.SIGSTOP)
            stopped_at = records.offset(stream)
            assert second.log().count(says) == 1, second.log()
            assert second.done() == {}
            first.kill()
            assert wait_until(lambda: records.offset(stream) == count - 1, TIMEOUT_SECONDS), second.log()
        assert stopped_at is not None
        assert stopped_at < count - 1, "it was killed too late to tell anything"
        known = recorded(records)
        assert known.keys() == {f"{stream}:{number}" for number in range(count)}
        found = [json.loads(amqp_decoder(entry).body) for entry in entries(node.stream_url, "predictions").values()]
        assert [answer["offset"] for answer in found] == list(range(count))
        replies = [json.loads(body) for _, body in client.read_queue(queue)]
        assert {answer["offset"] for answer in replies} == set(range(count))
        for answer in (*found, *replies):
            assert known[f"{stream}:{answer['offset']}"] == (
                answer["prediction"], answer["probability"], answer["model"]
            )  # fmt: skip
