"""The project's own processes, as tests and benchmarks start them on servers that run already."""

import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pika
from pika.delivery_mode import DeliveryMode
from pika.exceptions import AMQPError

from deploy.ports import free_port, http_status
from deploy.runner import Service
from deploy.servers import gateway
from messages.amqp import parameters
from model_store.publishing import ModelStore
from sentiment.artifact import Artifact
from tests.running import running

ROOT = Path(__file__).parents[1]


def python_service(module: str, folder: Path, environment: Mapping[str, str], *, until: str = "/_/ready") -> Service:
    """Return a process of this project, `python -m module`, on a free port; ready when `until` answers 200."""
    port = free_port()
    return Service(
        name=module,
        folder=folder,
        command=(sys.executable, "-m", module),
        ready=lambda: http_status(port, until) == 200,
        log=folder / f"{module}.{port}.log",
        environment={**environment, "LISTEN_PORT": str(port), "PYTHONPATH": str(ROOT)},
        variables={"URL": f"http://127.0.0.1:{port}", "PORT": str(port)},
    )


@contextmanager
def through_gateway(folder: Path, functions: Mapping[str, Service]) -> Iterator[str]:
    """Run functions and a gateway before them; yields the gateway's URL."""
    with ExitStack() as stack:
        for service in functions.values():
            stack.enter_context(running(service))
        ports = {name: int(service.variables["PORT"]) for name, service in functions.items()}
        front = gateway(folder, free_port(), ports)
        stack.enter_context(running(front))
        yield front.variables["GATEWAY_URL"]


def promote(artifact: Artifact, *, reason: str = "test") -> str:
    """Publish and promote a model in the store that the environment names; returns its version."""
    store = ModelStore.from_environment()
    store.ensure_bucket()
    version = store.publish(artifact)
    store.promote(version, expected=store.current(), by="test", reason=reason)
    return version


@dataclass
class Client:
    """A client of the broker for tests: publishes, counts, reads streams from their beginning."""

    url: str
    connection: pika.BlockingConnection = field(init=False)

    def __post_init__(self) -> None:
        self.connection = pika.BlockingConnection(parameters(self.url))
        self.channel = self.connection.channel()

    def publish(
        self, queue: str, bodies: Iterable[bytes], *, reply_to: str | None = None, persistent: bool = False
    ) -> None:
        """Publish messages with message_id and correlation_id counted from 0."""
        mode = DeliveryMode.Persistent if persistent else DeliveryMode.Transient
        for number, body in enumerate(bodies):
            properties = pika.BasicProperties(
                message_id=str(number), correlation_id=str(number), reply_to=reply_to, delivery_mode=mode
            )
            self.channel.basic_publish("", queue, body, properties)

    def declare(self, queue: str, kind: str = "classic") -> None:
        """Declare a durable queue or stream."""
        self.channel.queue_declare(queue, durable=True, arguments={"x-queue-type": kind})

    def depth(self, queue: str) -> int:
        """Return the number of messages ready in a queue."""
        return int(self.channel.queue_declare(queue, passive=True).method.message_count)

    def drain(self, queue: str) -> list[tuple[pika.BasicProperties, bytes]]:
        """Take all messages of a queue."""
        found: list[tuple[pika.BasicProperties, bytes]] = []
        while True:
            method, properties, body = self.channel.basic_get(queue, auto_ack=True)
            if method is None or properties is None or body is None:
                return found
            found.append((properties, body))

    def read_stream(self, stream: str, *, idle_seconds: float = 1.0) -> list[tuple[pika.BasicProperties, bytes]]:
        """Read a stream from its beginning, until nothing more comes for `idle_seconds`."""
        return self._read(stream, idle_seconds, {"x-stream-offset": "first"})

    def read_queue(self, queue: str, *, idle_seconds: float = 1.0) -> list[tuple[pika.BasicProperties, bytes]]:
        """Take all messages of a queue, until nothing more comes: far faster than `drain` where they are many."""
        return self._read(queue, idle_seconds)

    def _read(
        self, queue: str, idle_seconds: float, arguments: Mapping[str, str] | None = None
    ) -> list[tuple[pika.BasicProperties, bytes]]:
        channel = self.connection.channel()
        channel.basic_qos(prefetch_count=1000)
        found = []
        for method, properties, body in channel.consume(
            queue, inactivity_timeout=idle_seconds, arguments=dict(arguments or {})
        ):
            if method is None or method.delivery_tag is None or properties is None or body is None:
                break
            channel.basic_ack(method.delivery_tag)
            found.append((properties, body))
        channel.close()
        return found

    def close(self) -> None:
        """Close the connection, which a fault test may have broken."""
        with suppress(AMQPError):
            self.connection.close()
