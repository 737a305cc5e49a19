"""The process of predict on real servers: start, answers, records, hot swap, outages, end."""

import http.client
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families
from pymongo import MongoClient

from contracts.codec import to_document
from deploy import ports, runner, servers
from deploy.runner import wait_until
from model_store.layout import Current, next_promotion
from model_store.publishing import ModelStore
from model_store.publishing.objects import client as s3_client
from model_store.settings import Settings
from sentiment.artifact import TRIE_PART, Artifact, scorer_of
from sentiment.model import Model
from sentiment.packing import pack, unpack
from tests.models import ABOUT
from tests.running import running
from tests.system import ROOT, promote, python_service

TEXTS = ("I love it", "I hate it", "nothing known", "")


def artifact(love: float, hate: float) -> Artifact:
    """A model that has seen `love` and `hate` so often in positive texts, and 10 times in negative ones."""
    model = Model(("hate", "love"), np.array([[10.0, 10.0], [hate, love]]), np.array([2.0, 2.0]))
    return pack(model, ABOUT)


LOVING, HATING = artifact(love=90, hate=1), artifact(love=1, hate=90)


@dataclass
class Predict:
    """A running predict, and a client of it."""

    port: int
    process: "subprocess.Popen[bytes]"
    seconds_to_ready: float
    log: Path

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)

    def request(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Mapping[str, str], bytes]:
        connection = self.connect()
        try:
            connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
            response = connection.getresponse()
            return response.status, dict(response.getheaders()), response.read()
        finally:
            connection.close()

    def ask(self, body: object, query: str = "") -> dict[str, Any]:
        """Send JSON, and return the answer of a request that was answered."""
        status, _, content = self.request("POST", f"/{query}", json.dumps(body))
        assert status == 200, content
        answer: dict[str, Any] = json.loads(content)
        return answer

    def metric(self, name: str) -> float:
        content = self.request("GET", "/metrics")[2].decode()
        return sum(
            sample.value
            for family in text_string_to_metric_families(content)
            for sample in family.samples
            if sample.name == name
        )

    def terminate(self, timeout_seconds: float = 30) -> int:
        """Ask it to end; returns its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout_seconds)


@contextmanager
def predicting(folder: Path, environment: Mapping[str, str]) -> Iterator[Predict]:
    service = python_service("functions.predict", folder, {"POLL_SECONDS": "0.2", **environment})
    started = time.monotonic()
    with running(service) as process:
        yield Predict(int(service.variables["PORT"]), process, time.monotonic() - started, service.log)


def report(figure: str) -> None:
    """Show a figure where pytest runs with -s, or with the test that failed."""
    sys.stdout.write(f"{figure}\n")


@pytest.fixture
def predictions(environment: dict[str, str]) -> Iterator[Any]:
    """The collection that records go to."""
    client: MongoClient[dict[str, Any]] = MongoClient(environment["MONGODB_URL"], tz_aware=True)
    yield client.get_default_database()["predictions"]
    client.close()


def expected(version: Artifact, texts: Sequence[str] = TEXTS) -> list[dict[str, Any]]:
    return [*map(to_document, map(scorer_of(version.manifest, version.parts).score, texts))]


def test_predict_imports_no_numerical_library() -> None:
    code = "import functions.predict.__main__, sys; print({'numpy', 'scipy', 'sklearn', 'pandas'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_it_is_ready_in_seconds_with_a_hundred_thousand_words(environment: dict[str, str], tmp_path: Path) -> None:
    words = tuple(f"word{number:06}" for number in range(121_000))
    counts = np.random.default_rng(1).integers(0, 50, (2, len(words))).astype(np.float64)
    large = pack(Model(words, counts, np.array([12_500.0, 12_500.0])), ABOUT)
    promote(large)
    text = "word000000 word060000 WORD120999! word121000"
    with predicting(tmp_path, environment) as predict:
        report(f"ready after {predict.seconds_to_ready:.2f} s")
        assert predict.seconds_to_ready < 10
        answer = predict.ask({"text": text})
        assert answer["probability"] == pytest.approx(unpack(large).scorer().probability(text), rel=0, abs=1e-12)


def test_it_answers_as_the_model_does(environment: dict[str, str], tmp_path: Path) -> None:
    version = promote(LOVING)
    with predicting(tmp_path, environment) as predict:
        assert predict.ask({"texts": TEXTS}) == {"predictions": expected(LOVING), "model": version}
        assert predict.ask({"text": "love"}) == {**expected(LOVING, ["love"])[0], "model": version}
        status, headers, content = predict.request("POST", "/", "I love “it”".encode(), Content_Type="text/plain")
        assert (status, headers["x-model-version"]) == (200, version)
        assert json.loads(content)["prediction"] == "positive"
        status, headers, content = predict.request("GET", "/")
        assert (status, json.loads(content)["model"], json.loads(content)["trainer"]) == (200, version, "test")


def test_it_takes_bodies_in_chunks_and_bounds_all(environment: dict[str, str], tmp_path: Path) -> None:
    promote(LOVING)
    with predicting(tmp_path, {**environment, "MAX_BODY_BYTES": "1000"}) as predict:
        assert predict.request("POST", "/", iter([b'{"text": ', b'"love"}']))[0] == 200
        for body in (b"x" * 1001, iter([b"x" * 500] * 3)):
            status, headers, _ = predict.request("POST", "/", body, Content_Type="text/plain")
            assert (status, headers["content-type"]) == (413, "application/problem+json")
        assert predict.request("POST", "/", b"x" * 1000, Content_Type="text/plain")[0] == 200


def test_without_a_model_it_lives_and_waits_for_one(environment: dict[str, str], tmp_path: Path) -> None:
    ModelStore.from_environment().ensure_bucket()
    service = python_service("functions.predict", tmp_path, {**environment, "POLL_SECONDS": "0.2"}, until="/_/health")
    with running(service) as process:
        predict = Predict(int(service.variables["PORT"]), process, 0, service.log)
        for method, path in (("POST", "/"), ("GET", "/"), ("GET", "/_/ready")):
            status, headers, _ = predict.request(method, path, '{"text": "love"}')
            assert (status, headers["content-type"]) == (503, "application/problem+json")
            assert int(headers["retry-after"]) > 0
        promote(LOVING)
        assert wait_until(lambda: predict.request("GET", "/_/ready")[0] == 200, timeout_seconds=5)
        assert predict.ask({"text": "love"})["prediction"] == "positive"


def test_texts_and_answers_are_recorded_in_the_background(
    environment: dict[str, str], predictions: Any, tmp_path: Path
) -> None:
    version = promote(LOVING)
    begin = datetime.now(UTC) - timedelta(milliseconds=1)
    with predicting(tmp_path, environment) as predict:
        predict.ask({"text": "I love “it” 🙂"})
        predict.ask({"texts": ["hate", None]}, "?synthetic=true")
        predict.ask({"text": "not to be kept"}, "?record=false")
        predict.request("POST", "/", "malformed")
        assert wait_until(lambda: predictions.count_documents({}) >= 2, timeout_seconds=5)
        assert wait_until(lambda: predict.metric("predict_records_written_total") == 2, timeout_seconds=5)
        assert predict.terminate() == 0
    first, second = predictions.find().sort("synthetic", 1)
    for document in (first, second):
        assert begin <= document.pop("received_at") <= document.pop("scored_at") <= datetime.now(UTC)
        assert isinstance(document.pop("_id"), str)
    common = {"model": version, "source": "http"}
    (love,), (hate,) = expected(LOVING, ["love it"]), expected(LOVING, ["hate"])
    assert first == {"text": "I love “it” 🙂", **love, **common, "synthetic": False}
    assert second == {"text": "hate", **hate, **common, "synthetic": True}


# --- load ---


@dataclass
class Load:
    """Threads that ask until they are told to stop, or until the server is gone: what they saw."""

    predict: Predict
    name: str = "load"
    threads: int = 4
    answered: list[tuple[str, list[str]]] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    wrong: list[object] = field(default_factory=list)
    cut_off: list[BaseException] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def running(self) -> Iterator["Load"]:
        threads = [threading.Thread(target=self._run, args=(number,)) for number in range(self.threads)]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()

    def _run(self, thread: int) -> None:
        connection = self.predict.connect()
        number = 0
        try:
            while not self._stop.is_set():
                number += 1
                texts = [f"{text} {self.name} {thread} {number}" for text in TEXTS]
                connection.request("POST", "/", json.dumps({"texts": texts}))
                response = connection.getresponse()
                content = response.read()
                if response.status != 200 or response.headers["X-Model-Version"] != json.loads(content)["model"]:
                    self.wrong.append((response.status, content))
                else:
                    self.bodies.append(json.loads(content))
                    self.answered.append((self.bodies[-1]["model"], texts))
        except (OSError, http.client.HTTPException) as error:
            self.cut_off.append(error)
        finally:
            connection.close()

    def versions(self) -> set[str]:
        return {body["model"] for body in list(self.bodies)}

    def wait_for(self, version: str, timeout_seconds: float) -> bool:
        """Wait until an answer came from `version`."""
        return wait_until(lambda: bool(self.bodies) and self.bodies[-1]["model"] == version, timeout_seconds)


def test_a_model_is_swapped_under_load_without_a_failed_or_mixed_answer(
    environment: dict[str, str], tmp_path: Path
) -> None:
    models = {promote(LOVING): LOVING}
    with predicting(tmp_path, {**environment, "POLL_SECONDS": "1"}) as predict, Load(predict).running() as load:
        for model in (HATING, LOVING):
            assert wait_until(lambda: len(load.bodies) > 50, timeout_seconds=10)
            promoted = promote(model) if model is HATING else _promote_again(next(iter(models)))
            begin = time.monotonic()
            models[promoted] = model
            assert load.wait_for(promoted, timeout_seconds=5)
            report(f"swapped {time.monotonic() - begin:.2f} s after the promotion, {len(load.bodies)} requests so far")
    assert load.wrong == load.cut_off == []
    assert load.versions() == set(models)
    answers = {version: [answer["prediction"] for answer in expected(model)] for version, model in models.items()}
    probabilities = {
        version: [answer["probability"] for answer in expected(model)] for version, model in models.items()
    }
    for body in load.bodies:
        assert [answer["prediction"] for answer in body["predictions"]] == answers[body["model"]]
        assert [answer["probability"] for answer in body["predictions"]] == probabilities[body["model"]]


def _promote_again(version: str) -> str:
    store = ModelStore.from_environment()
    return store.promote(version, expected=store.current(), by="test", reason="back").version


def point_at(version: str, bucket: str) -> None:
    """Write current.json as nobody should: without a look at the version."""
    promotion = next_promotion(None, version=version, by="vandal", reason="test")
    s3_client(Settings()).put_object(Bucket=bucket, Key="current.json", Body=Current.to_bytes(promotion))


def test_a_broken_version_is_refused_and_the_old_one_stays(environment: dict[str, str], tmp_path: Path) -> None:
    bucket = environment["S3_BUCKET"]
    good = promote(LOVING)
    store = ModelStore.from_environment()
    wrong_part, half_written = store.publish(HATING, "wrong-part"), "half-written"
    client = s3_client(Settings())
    content = bytearray(HATING.parts[TRIE_PART])
    content[-1] ^= 1
    client.put_object(Bucket=bucket, Key=f"versions/{wrong_part}/{TRIE_PART}", Body=bytes(content))
    client.put_object(Bucket=bucket, Key=f"versions/{half_written}/{TRIE_PART}", Body=LOVING.parts[TRIE_PART])
    with predicting(tmp_path, environment) as predict:
        for refused, version in enumerate((wrong_part, half_written), start=1):
            point_at(version, bucket)
            assert wait_until(lambda: predict.metric("predict_model_refused_total") == refused, 5)  # noqa: B023 - called at once
            assert predict.ask({"texts": TEXTS}) == {"predictions": expected(LOVING), "model": good}
            assert predict.request("GET", "/_/ready")[0] == 200
        assert f"{TRIE_PART} has another SHA-256" in predict.log.read_text()
        point_at(store.publish(HATING, "mended"), bucket)
        assert wait_until(lambda: predict.ask({"text": "love"})["model"] == "mended", timeout_seconds=5)
        assert predict.ask({"text": "love"})["prediction"] == "negative"


# --- MongoDB away ---


@pytest.fixture
def own_mongodb(environment: dict[str, str], tmp_path: Path) -> runner.Service:
    """A MongoDB that a test may stop; not started, and named to predict in `environment`."""
    service = servers.mongodb(tmp_path / "mongodb", ports.free_port)
    environment["MONGODB_URL"] = service.variables["MONGODB_URL"] + "/away"
    return service


def test_while_mongodb_is_away_it_answers_as_long_as_records_have_room_and_loses_none_of_what_it_answered(
    environment: dict[str, str], own_mongodb: runner.Service, tmp_path: Path
) -> None:
    promote(LOVING)
    batch = {"texts": ["I love it"] * 2_000}
    answered = 0
    client: MongoClient[dict[str, Any]] = MongoClient(environment["MONGODB_URL"])
    records = client["away"]["predictions"]
    with ExitStack() as stack:
        stack.callback(client.close)
        mongodb = stack.enter_context(ExitStack())
        mongodb.enter_context(running(own_mongodb))
        predict = stack.enter_context(predicting(tmp_path, {**environment, "RECORD_WAIT_SECONDS": "0.2"}))
        predict.ask({"text": "I love it"})
        assert wait_until(lambda: records.count_documents({}) == 1, timeout_seconds=5)
        mongodb.close()
        while (found := predict.request("POST", "/", json.dumps(batch)))[0] == 200:
            answered += 1
            assert answered < 50, "a queue that never fills is not bounded"
        status, headers, content = found
        assert (status, headers["content-type"]) == (503, "application/problem+json")
        assert int(headers["retry-after"]) > 0
        assert b"Nothing can be recorded now" in content
        assert predict.metric("predict_records_refused_total") == 1
        assert predict.metric("predict_records_waiting") == answered * 2_000
        assert predict.request("GET", "/_/ready")[0] == 200
        predict.ask(batch, "?record=false")
        stack.enter_context(running(own_mongodb))
        # It goes on by itself.
        assert wait_until(lambda: predict.request("POST", "/", json.dumps(batch))[0] == 200, timeout_seconds=30)
        answered += 1
        assert predict.terminate() == 0
        assert records.count_documents({}) == 1 + answered * 2_000


def test_what_was_answered_is_recorded_by_the_next_process_where_one_was_killed(
    environment: dict[str, str], own_mongodb: runner.Service, tmp_path: Path
) -> None:
    promote(LOVING)
    environment["RECORD_SPOOL_DIR"] = str(tmp_path / "spool")
    client: MongoClient[dict[str, Any]] = MongoClient(environment["MONGODB_URL"])
    with client, ExitStack() as stack:
        for count in (1, 300):
            with predicting(tmp_path, environment) as predict:
                predict.ask({"texts": ["I love it"] * count})
                predict.process.kill()
                predict.process.wait()
        stack.enter_context(running(own_mongodb))
        stack.enter_context(predicting(tmp_path, environment))
        assert wait_until(lambda: client["away"]["predictions"].count_documents({}) == 301, timeout_seconds=20)
        assert wait_until(lambda: [*(tmp_path / "spool").iterdir()] == [], timeout_seconds=5)


def test_it_ends_in_bounded_time_when_mongodb_is_away_for_good(
    environment: dict[str, str], own_mongodb: runner.Service, tmp_path: Path
) -> None:
    assert own_mongodb.variables
    promote(LOVING)
    with predicting(tmp_path, environment) as predict:
        predict.ask({"texts": TEXTS})
        begin = time.monotonic()
        assert predict.terminate() == 0
        report(f"ended {time.monotonic() - begin:.1f} s after SIGTERM")
        assert "4 records could not be written" in predict.log.read_text()


# --- the end ---


def test_sigterm_under_load_answers_what_is_in_hand_and_records_all(
    environment: dict[str, str], predictions: Any, tmp_path: Path
) -> None:
    promote(LOVING)
    # Long enough for the signal to come while it is being scored.
    large = json.dumps({"texts": ["I a " * 200] * 10_000})
    answer: list[dict[str, Any]] = []
    with predicting(tmp_path, environment) as predict:
        with Load(predict).running() as load:
            assert wait_until(lambda: len(load.bodies) > 100, timeout_seconds=10)
        used = cpu_seconds(predict)
        in_hand = threading.Thread(target=lambda: answer.append(predict.ask(json.loads(large), "?record=false")))
        in_hand.start()
        assert wait_until(lambda: cpu_seconds(predict) - used > 0.1, timeout_seconds=10)
        with Load(predict, "late").running() as late:
            exit_code = predict.terminate()
            in_hand.join()
        assert exit_code == 0
    assert [len(found["predictions"]) for found in answer] == [10_000]
    assert load.wrong == load.cut_off == late.wrong == []
    recorded = {document["text"] for document in predictions.find({}, {"text": 1})}
    answered = {text for _, texts in load.answered + late.answered for text in texts}
    assert len(answered) == len(TEXTS) * len(load.answered + late.answered)
    assert answered <= recorded


def cpu_seconds(predict: Predict) -> float:
    times = psutil.Process(predict.process.pid).cpu_times()
    return float(times.user + times.system)
