"""The whole story of a correction: labels by HTTP and by stream, a run by itself, a swap without a failed request."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import urllib3

from deploy import runner
from sentiment.training import train_artifact
from tests.integration.test_bridge import client, environment
from tests.integration.test_retrain import call, corpus
from tests.running import running
from tests.system import Client, promote, python_service, through_gateway

__all__ = ["client", "environment"]  # fixtures
SENTENCE = "the lamplighter was superb"
CONNECTIONS = 8


@dataclass
class Load:
    """Clients that send one sentence over and over, and what they were told."""

    url: str
    answers: dict[str, set[tuple[str, float]]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    requests: int = 0

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._pool = urllib3.PoolManager(maxsize=CONNECTIONS, retries=False)
        self._threads = [threading.Thread(target=self._send) for _ in range(CONNECTIONS)]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _send(self) -> None:
        body = json.dumps({"text": SENTENCE}).encode()
        while not self._stop.is_set():
            try:
                response = self._pool.request("POST", self.url, body=body)
            except urllib3.exceptions.HTTPError as error:
                self._note(str(error), None)
                continue
            answer = json.loads(response.data)
            whole = response.status == 200 and answer["model"] == response.headers["X-Model-Version"]
            self._note(f"{response.status} {answer}", answer if whole else None)

    def _note(self, what: str, answer: dict[str, Any] | None) -> None:
        with self._lock:
            self.requests += 1
            if answer is None:
                self.failures.append(what)
            else:
                told = self.answers.setdefault(answer["model"], set())
                told.add((answer["prediction"], answer["probability"]))


@pytest.fixture
def gateway_url(environment: Mapping[str, str], tmp_path: Path) -> Iterator[str]:
    """Run predict, retrain, the gateway and the bridge on a small model."""
    promote(train_artifact(corpus(), holdout_share=0.25))
    environment = {**environment, "BRIDGE_LABELS": f"{environment['BRIDGE_SOURCE'].partition(':')[2]}-labels"}
    functions = {
        "predict": python_service("functions.predict", tmp_path, environment),
        "retrain": python_service("functions.retrain", tmp_path, environment),
    }
    with ExitStack() as stack:
        url = stack.enter_context(through_gateway(tmp_path / "gateway", functions))
        bridge = python_service("bridge", tmp_path, {**environment, "GATEWAY_URL": url})
        stack.enter_context(running(bridge))
        yield url


def predict(gateway_url: str) -> dict[str, Any]:
    return call("POST", f"{gateway_url}/function/predict", {"text": SENTENCE})[1]


def holds(condition: Callable[[], bool], timeout_seconds: float) -> bool:
    return runner.wait_until(condition, timeout_seconds)


def test_two_hundred_labels_change_the_answer_without_a_failed_request(
    gateway_url: str, client: Client, environment: Mapping[str, str]
) -> None:
    before = predict(gateway_url)
    assert before["prediction"] == "positive"
    labels = [{"text": f"{SENTENCE}, night {number}", "label": "negative"} for number in range(200)]
    retrain = f"{gateway_url}/function/retrain"
    with Load(f"{gateway_url}/function/predict") as load:
        stream = f"{environment['BRIDGE_SOURCE'].partition(':')[2]}-labels"
        client.publish(stream, [json.dumps(label).encode() for label in labels[:100]])
        for start in range(100, 200, 20):
            assert call("POST", retrain, {"examples": labels[start : start + 20]})[0] == 202
        # Nobody asks for a run: enough pending labels set it off.
        assert holds(lambda: call("GET", retrain)[1]["model"] != before["model"], 30)
        # A second run may follow at once, on labels that came during the first.
        assert holds(lambda: predict(gateway_url)["model"] == call("GET", retrain)[1]["model"], 5)
        after = predict(gateway_url)
        assert after["prediction"] == "negative"
        promoted = after["model"]
        assert holds(lambda: call("GET", retrain)[1]["used"] + call("GET", retrain)[1]["pending"] == 200, 30)
        assert call("POST", f"{retrain}/rollback", {"to": before["model"]})[0] == 200
        assert holds(lambda: predict(gateway_url)["model"] == before["model"], 5)
        assert predict(gateway_url) == before
    assert load.failures == []
    assert load.requests > 1_000
    assert load.answers.keys() >= {before["model"], promoted}
    # Each version gave one answer, so none was mixed of two.
    assert all(len(told) == 1 for told in load.answers.values())
    client.channel.queue_delete(stream)
