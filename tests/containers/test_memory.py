"""Each part in the memory that stack.yml gives it, with the worst input that it accepts: none is killed."""

import json
from collections.abc import Callable, Iterator
from datetime import timedelta

import numpy as np
import pytest
import urllib3

from contracts.limits import MAX_BODY_BYTES
from contracts.records import PredictionRecord
from deploy.runner import wait_until
from records import Records, now
from sentiment.text import Corpus
from sentiment.training import train_artifact
from tests.containers.conftest import RETRAIN_TOKEN, Servers
from tests.containers.engine import Container, memory_limit, run
from tests.containers.worst import MAX_CHARACTERS, ascii_text, four_byte_text
from tests.system import promote

VOCABULARY_WORDS = 121_000  # as many as IMDB's
WINDOW_TEXTS = 500
Measured = Callable[[str], None]


@pytest.fixture
def version(store_environment: None) -> str:  # noqa: ARG001 - for its effect
    """A model of as many words as IMDB's, with a holdout, in the store; returns its version."""
    vocabulary, generator = [f"word{number}" for number in range(VOCABULARY_WORDS)], np.random.default_rng(1)
    texts = [" ".join(vocabulary[start : start + 1_000]) for start in range(0, VOCABULARY_WORDS, 1_000)]
    drawn = (VOCABULARY_WORDS * generator.random((2_000, 200)) ** 3).astype(int)
    texts += [" ".join(vocabulary[word] for word in row) for row in drawn.tolist()]
    return promote(train_artifact(Corpus("test", texts, [n % 2 for n in range(len(texts))]), holdout_share=0.1))


@pytest.fixture
def records(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> Iterator[Records]:
    monkeypatch.setenv("MONGODB_URL", servers.secrets["mongodb-url"])
    found = Records.from_environment()
    yield found
    found.close()


@pytest.fixture
def drift(images: dict[str, str], servers: Servers) -> Iterator[Container]:
    environment = {**servers.environment, "DRIFT_REFERENCE_TEXTS": str(WINDOW_TEXTS)}
    with run(images["drift"], environment, secrets=servers.secrets, memory=memory_limit("drift")) as container:
        container.wait_for("/_/ready", 60)
        yield container


@pytest.fixture
def retrain(images: dict[str, str], servers: Servers) -> Iterator[Container]:
    with run(
        images["retrain"], servers.environment, secrets=servers.secrets, memory=memory_limit("retrain")
    ) as container:
        container.wait_for("/_/ready", 60)
        yield container


def call(method: str, url: str, body: bytes = b"", timeout_seconds: float = 600) -> tuple[int, dict[str, object]]:
    with urllib3.PoolManager(retries=False) as pool:
        headers = {"Authorization": f"Bearer {RETRAIN_TOKEN}", "Content-Type": "application/json"}
        response = pool.request(method, url, body=body, headers=headers, timeout=timeout_seconds)
        return response.status, response.json()


def test_drift_checks_a_window_of_the_worst_texts_and_makes_a_reference_of_them(
    version: str, drift: Container, records: Records, measured: Measured
) -> None:
    begin = now() + timedelta(seconds=1)
    for start in range(0, 2 * WINDOW_TEXTS, 10):
        records.insert_predictions(
            [
                PredictionRecord(
                    id=f"test:{number}",
                    text=four_byte_text(number),
                    prediction="positive",
                    probability=0.5,
                    model=version,
                    source="http",
                    received_at=begin,
                    scored_at=begin + timedelta(milliseconds=number),
                )
                for number in range(start, start + 10)
            ]
        )
    status, report = call("POST", drift.url)
    drift.assert_alive()
    measured(f"{drift.peak_bytes() / 2**20:.0f} MiB at the peak")
    assert (status, report["window"]["documents"]) == (200, WINDOW_TEXTS)  # type: ignore[index]  # JSON
    assert "live texts are the reference" in drift.logs()


@pytest.mark.usefixtures("version")
@pytest.mark.parametrize("make", [ascii_text, four_byte_text])
def test_retrain_learns_or_refuses_the_worst_labels(
    make: Callable[[int], str], retrain: Container, measured: Measured
) -> None:
    size_bytes = len(make(0).encode()) + 100
    in_a_body, bodies = MAX_BODY_BYTES // size_bytes, 4
    count = bodies * in_a_body
    for first in range(0, count, in_a_body):
        examples = [{"text": make(number), "label": number % 2} for number in range(first, first + in_a_body)]
        assert all(len(example["text"]) <= MAX_CHARACTERS for example in examples)  # type: ignore[arg-type]  # a text
        status, answer = call("POST", retrain.url, json.dumps({"examples": examples}, ensure_ascii=False).encode())
        assert (status, answer["accepted"]) == (202, in_a_body)
    for _ in range(4):
        # 409: the run that so many labels have started goes on.
        assert wait_until(lambda: call("POST", f"{retrain.url}/?now=true")[0] == 200, 300)
    retrain.assert_alive()
    measured(f"{retrain.peak_bytes() / 2**20:.0f} MiB at the peak")
    status, overview = call("GET", retrain.url)
    assert (status, sum(int(str(overview[state])) for state in ("pending", "used", "refused"))) == (200, count)
