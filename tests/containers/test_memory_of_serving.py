"""Predict and the bridge in the memory that they are given, with the worst that is sent to them: none is killed."""

import json
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
import urllib3
import yaml
from pika.exceptions import ChannelClosedByBroker
from pymongo import MongoClient

from contracts.names import PREDICTIONS, REJECTED
from deploy.ports import free_port
from deploy.runner import wait_until
from deploy.servers import gateway
from process.server import MOST_CONNECTIONS
from sentiment.packing import pack
from tests.conftest import RabbitMQNode
from tests.containers.conftest import Servers
from tests.containers.engine import Container, memory_limit, run
from tests.containers.worst import ascii_text, four_byte_text
from tests.models import ABOUT, IMDB_VOCABULARY_WORDS, sized
from tests.project import ROOT
from tests.running import running
from tests.system import Client, promote

MAX_BODY_BYTES = 8 * 2**20
SIDE_BY_SIDE = 8
BRIDGE_MEMORY = str(yaml.safe_load((ROOT / "compose.yml").read_text())["services"]["bridge"]["mem_limit"])
Measured = Callable[[str], None]


def body(text: str, count: int) -> bytes:
    return json.dumps({"texts": [text] * count}, ensure_ascii=False).encode()


BODIES = {
    "10,000 texts": (body("word " * 165, 10_000), {200}),
    "one text": (json.dumps({"text": "x" * (MAX_BODY_BYTES - 20)}).encode(), {413}),
    "characters of four bytes": (body(four_byte_text(1)[:99_000], 21), {200}),
    "too many items": (b'{"texts": [' + b"1," * (MAX_BODY_BYTES // 2 - 10) + b"1]}", {413}),
    "items that are no texts": (b'{"texts": [' + b",".join([b"[" * 400 + b"]" * 400] * 10_000) + b"]}", {413}),
}


@pytest.fixture
def predict(images: dict[str, str], servers: Servers, store_environment: None) -> Iterator[Container]:  # noqa: ARG001 - for its effect
    promote(pack(sized(IMDB_VOCABULARY_WORDS), ABOUT))
    with run(images["predict"], servers.environment, secrets=servers.secrets, memory=memory_limit("predict")) as found:
        found.wait_for("/_/ready")
        yield found


def post(url: str, content: bytes) -> int:
    with urllib3.PoolManager(retries=False) as pool:
        return pool.request("POST", url, body=content, headers={"Content-Type": "application/json"}, timeout=120).status


@pytest.mark.parametrize("kind", BODIES)
def test_predict_answers_or_refuses_the_largest_bodies_side_by_side(
    kind: str, predict: Container, measured: Measured
) -> None:
    content, expected = BODIES[kind]
    assert len(content) <= MAX_BODY_BYTES
    with ThreadPoolExecutor(SIDE_BY_SIDE) as executor:
        statuses = [*executor.map(lambda _: post(predict.url, content), range(4 * SIDE_BY_SIDE))]
    predict.assert_alive()
    measured(f"{predict.peak_bytes() / 2**20:.0f} MiB at the peak")
    # 503: too much at once, try again.
    assert {*statuses} <= expected | {503}
    assert post(predict.url, b'{"text": "good"}') == 200


def test_predict_answers_beside_thousands_of_unfinished_requests(predict: Container, measured: Measured) -> None:
    headers = b"".join(b"%d:%d\r\n" % (each, each) for each in range(95))
    begun = b"POST / HTTP/1.1\r\nHost: localhost\r\n%bContent-Length: 8191\r\nX: %b\r\n\r\n" % (headers, b"x" * 6_000)
    host, port = predict.url.removeprefix("http://").split(":")
    with ExitStack() as stack:
        for _ in range(MOST_CONNECTIONS + 500):
            opened = stack.enter_context(socket.create_connection((host, int(port)), timeout=20))
            opened.sendall(begun)
            opened.sendall(b"x" * 8_190)
        predict.assert_alive()
        assert post(predict.url, b'{"text": "good"}') == 200
    measured(f"{predict.peak_bytes() / 2**20:.0f} MiB at the peak")


def escaped_text(number: int) -> str:
    """The longest body of a text: twelve bytes a character."""
    return json.dumps({"text": chr(0x20000 + number) * 100_000})


def accepted() -> Iterator[bytes]:
    """More bytes than the bridge may take, of all kinds side by side."""
    for number in range(40):
        for make, times in ((ascii_text, 6), (four_byte_text, 2), (escaped_text, 6)):
            yield from (make(times * number + each).encode() for each in range(times))


def refused() -> Iterator[bytes]:
    """Messages of which one or two are as large as what the bridge may take; RabbitMQ takes 128 MiB, 4.0 takes 16."""
    yield from [b"x" * 100 * 2**20] * 3


# All of what is sent ends in one stream, and is in the database then.
MESSAGES = {PREDICTIONS: (accepted, 40 * (6 + 2 + 6)), REJECTED: (refused, 3)}


@pytest.mark.parametrize("kind", ["stream", "queue"])
@pytest.mark.parametrize("output", MESSAGES)
def test_the_bridge_carries_or_rejects_the_largest_messages(
    output: str,
    kind: str,
    images: dict[str, str],
    predict: Container,
    servers: Servers,
    rabbitmq: RabbitMQNode,
    stream_name: str,
    tmp_path: Path,
    measured: Measured,
) -> None:
    messages, count = MESSAGES[output]
    front = gateway(tmp_path, free_port(), {"predict": predict.port})
    environment = {"GATEWAY_URL": front.variables["GATEWAY_URL"], "BRIDGE_SOURCE": f"{kind}:{stream_name}"}
    with closing(Client(rabbitmq.amqp_url)) as client:
        client.channel.queue_delete(output)
        client.declare(stream_name, "stream" if kind == "stream" else "quorum")
        client.publish(stream_name, messages())
        try:
            # A quorum queue loses what is not confirmed yet when its sender goes.
            assert wait_until(lambda: client.depth(stream_name) == count, 30), client.depth(stream_name)
        except ChannelClosedByBroker as error:
            pytest.skip(f"this RabbitMQ takes no message so large: {error}")
        database: MongoClient[dict[str, object]] = MongoClient(servers.secrets["mongodb-url"])
        with (
            database,
            running(front),
            run(images["bridge"], environment, secrets=servers.secrets, memory=BRIDGE_MEMORY) as bridge,
        ):
            bridge.wait_for("/_/ready")
            started = time.monotonic()
            done = wait_until(lambda: client.depth(output) >= count, 180)
            seconds = time.monotonic() - started
            bridge.assert_alive()
            predict.assert_alive()
            measured(f"{bridge.peak_bytes() / 2**20:.0f} MiB at the peak, {count / seconds:.0f} messages/s")
            assert done, f"{client.depth(output)} of {count}\n{bridge.logs()[-2000:]}"
            assert database.get_default_database()[output].estimated_document_count() == count
        client.channel.queue_delete(stream_name)
