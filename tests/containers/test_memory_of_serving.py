"""Predict and the bridge in the memory that they are given, with the worst that they accept: none is killed."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import urllib3
from pymongo import MongoClient

from deploy.ports import free_port
from deploy.runner import wait_until
from deploy.servers import gateway
from sentiment.packing import pack
from tests.conftest import RabbitMQNode
from tests.containers.conftest import Servers
from tests.containers.engine import Container, memory_limit, run
from tests.containers.test_images import IMDB_VOCABULARY_WORDS, model
from tests.containers.worst import ascii_text, four_byte_text
from tests.models import ABOUT
from tests.running import running
from tests.system import Client, promote

MAX_BODY_BYTES = 8 * 2**20
MESSAGES = 3_000
SIDE_BY_SIDE = 8
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
    promote(pack(model(IMDB_VOCABULARY_WORDS), ABOUT))
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


@pytest.mark.parametrize("kind", ["stream", "queue"])
def test_the_bridge_carries_the_longest_messages(
    kind: str,
    images: dict[str, str],
    predict: Container,
    servers: Servers,
    rabbitmq: RabbitMQNode,
    stream_name: str,
    tmp_path: Path,
    measured: Measured,
) -> None:
    front = gateway(tmp_path, free_port(), {"predict": predict.port})
    environment = {"GATEWAY_URL": front.variables["GATEWAY_URL"], "BRIDGE_SOURCE": f"{kind}:{stream_name}"}
    client = Client(rabbitmq.amqp_url)
    client.declare(stream_name, "stream" if kind == "stream" else "quorum")
    client.publish(stream_name, [ascii_text(number).encode() for number in range(MESSAGES)])
    client.close()
    database: MongoClient[dict[str, object]] = MongoClient(servers.secrets["mongodb-url"])
    with (
        database,
        running(front),
        run(images["bridge"], environment, secrets=servers.secrets, memory="256m") as bridge,
    ):
        stored = database.get_default_database()["predictions"]
        # To look for a field, all of the texts would be read each time.
        before = stored.estimated_document_count()
        bridge.wait_for("/_/ready")
        done = wait_until(lambda: stored.estimated_document_count() - before == MESSAGES, 200)
        measured(f"{bridge.peak_bytes() / 2**20:.0f} MiB at the peak")
        bridge.assert_alive()
        predict.assert_alive()
        assert done, bridge.logs()[-2000:]
