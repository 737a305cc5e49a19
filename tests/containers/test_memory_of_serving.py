"""Predict in the memory that it is given, with the worst that it accepts: it is not killed."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import urllib3

from sentiment.packing import pack
from tests.containers.conftest import Servers
from tests.containers.engine import Container, memory_limit, run
from tests.containers.test_images import IMDB_VOCABULARY_WORDS, model
from tests.containers.worst import four_byte_text
from tests.models import ABOUT
from tests.system import promote

MAX_BODY_BYTES = 8 * 2**20
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
