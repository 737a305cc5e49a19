"""Drift and generate-drift on real servers: noticed, named, announced once, cleared once."""

import json
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self, TypeVar

import pytest
import urllib3
from msgspec import UNSET, UnsetType
from pika.exceptions import ChannelClosedByBroker
from prometheus_client.parser import text_string_to_metric_families
from pymongo import MongoClient, monitoring

from contracts.drift import DriftReport, Findings, ModelShare, State
from contracts.manifest import Period
from contracts.names import ALERTS, CLASSES
from contracts.records import PredictionRecord
from deploy import ports, servers
from deploy.openfaas.__main__ import ASKED, REFUSALS
from deploy.runner import wait_until
from functions.drift.alerts import Courier, Webhook
from functions.drift.checker import Checker
from functions.drift.references import References
from functions.drift.settings import LIVE, Settings
from functions.generate_drift.generator import Generator
from model_store.errors import InvalidDocument
from model_store.publishing import ModelStore, Statistics
from model_store.publishing.objects import client
from model_store.settings import Settings as StoreSettings
from records import Records, now
from records.drift import DriftRecords, GeneratedTexts
from records.labels import Label, Labels
from sentiment.text import Corpus
from sentiment.training import train_artifact
from tests.conftest import RabbitMQNode
from tests.running import running
from tests.system import Client, promote, python_service
from tests.unit.drift_texts import WORDS, make_texts

T = TypeVar("T")

# Each word leans to one side, so that a model has something to learn.
LEANING = {word: number % 2 for number, word in enumerate(WORDS)}
PERIOD = Period("2026-01-02T03:04:05+00:00", "2026-01-02T03:04:06+00:00")
OTHER_WORDS = tuple(f"other{number:03}" for number in range(400))


def label(text: str) -> int:
    return int(2 * sum(LEANING[word] for word in text.split()) > len(text.split()))


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    texts = make_texts(2_000, seed=1)
    return Corpus("test", texts, [label(text) for text in texts])


@pytest.fixture
def version(environment: Mapping[str, str], corpus: Corpus) -> str:
    assert environment
    return promote(train_artifact(corpus, holdout_share=0.5))


@pytest.fixture
def all_records(environment: Mapping[str, str]) -> Iterator[Records]:
    assert environment
    records = Records.from_environment()
    yield records
    records.close()


@pytest.fixture
def records(all_records: Records) -> DriftRecords:
    return DriftRecords(all_records)


def known(value: T | UnsetType | None) -> T:
    """A figure that the report must have."""
    assert value is not UNSET
    assert value is not None
    return value


class Scored:
    """Writes predictions as predict does, a millisecond from one to the next."""

    def __init__(self, records: Records, model: str) -> None:
        self._records = records
        self._model = model
        self._clock = now()
        self._count = 0

    def later(self) -> None:
        """Go on in another second."""
        self._clock += timedelta(seconds=2)

    def __call__(self, texts: list[str], *, model: str | None = None, synthetic: bool = False) -> None:
        records = []
        for text in texts:
            self._count += 1
            self._clock = max(now(), self._clock + timedelta(milliseconds=1))
            records.append(
                PredictionRecord(
                    id=f"test:{self._count}",
                    text=text,
                    prediction="positive",
                    probability=0.5,
                    model=model or self._model,
                    source="http",
                    received_at=self._clock,
                    scored_at=self._clock,
                    synthetic=synthetic,
                )
            )
        self._records.insert_predictions(records)


@pytest.fixture
def scored(all_records: Records, version: str) -> Scored:
    return Scored(all_records, version)


NewChecker = Callable[..., Checker]


def counted(checker: Checker) -> DriftReport:
    """The report of a check that must count."""
    report = checker.check()
    assert isinstance(report, DriftReport), report
    return report


@pytest.fixture
def new_checker(store: ModelStore, records: DriftRecords) -> NewChecker:
    """Makes a checker, as each process has one."""

    def make(webhooks: tuple[str, ...] = (), **changes: Any) -> Checker:
        settings = Settings(**changes)
        couriers = [Courier(records, Webhook(url), settings.alert_timeout_seconds) for url in webhooks]
        return Checker(records, References(store, records, settings), settings, couriers)

    return make


def test_without_a_model_there_is_not_enough_data(store: ModelStore, new_checker: NewChecker) -> None:
    store.ensure_bucket()
    for found in (new_checker().look(), new_checker().check()):
        assert (found.status, found.drift, found.model) == ("not-enough-data", False, None)
        assert found.message == "no model is promoted yet"


def test_with_too_few_texts_there_is_not_enough_data(version: str, scored: Scored, new_checker: NewChecker) -> None:
    scored(make_texts(199, seed=2, words=OTHER_WORDS))
    report = new_checker().check()
    assert (report.status, report.drift, report.model) == ("not-enough-data", False, version)
    assert report.window.documents == 199
    scored(make_texts(1, seed=3, words=OTHER_WORDS))
    assert new_checker().check().status == "drift"


def test_a_model_without_holdout_has_no_reference_and_says_so(
    environment: Mapping[str, str], all_records: Records, corpus: Corpus, new_checker: NewChecker
) -> None:
    assert environment
    scored = Scored(all_records, promote(train_artifact(corpus)))
    scored(make_texts(300, seed=2))
    report = new_checker(window_texts=200).check()
    assert report.status == "not-enough-data"
    assert "trained without a holdout, and only 100 of 1000 live texts" in str(report.message)


def test_the_window_is_of_the_last_texts_whoever_scored_them(
    version: str, scored: Scored, new_checker: NewChecker
) -> None:
    scored(make_texts(300, seed=2, words=OTHER_WORDS))
    scored(make_texts(100, seed=3), model="before", synthetic=True)
    scored(make_texts(400, seed=4))
    report = new_checker().look()
    assert report.status == "ok"
    window = report.window
    assert (window.documents, window.synthetic) == (500, 100)
    assert window.models == [ModelShare(version, 400), ModelShare("before", 100)]
    assert known(window.last_scored_at) - known(window.first_scored_at) >= timedelta(milliseconds=499)
    assert (report.reference.kind, report.reference.documents) == ("holdout", 1000)
    assert report.reference.labelled == 1000


def test_a_state_outlives_the_process_that_confirms_it(scored: Scored, new_checker: NewChecker) -> None:
    found = []
    for seed in range(3):
        scored(make_texts(500, seed=seed, words=OTHER_WORDS))
        found.append(counted(new_checker(reference="holdout")))
    assert [(report.drift, report.status) for report in found] == [(True, "drift")] * 3
    assert [report.state.drift for report in found] == [False, True, True]
    assert [report.alert for report in found] == [None, "detected", None]
    assert [report.state.since for report in found] == [None, found[1].checked_at, found[1].checked_at]
    assert [report.number for report in found] == [1, 2, 3]
    assert found[1].tests["words"].drift
    assert {word.word for word in found[1].words} <= {*OTHER_WORDS, *WORDS}


def test_a_hundred_looks_change_nothing_and_say_what_the_window_says(
    scored: Scored, all_records: Records, store: ModelStore, version: str, hook: "Hook", new_checker: NewChecker
) -> None:
    scored(make_texts(2_000, seed=2, words=OTHER_WORDS))
    checker = new_checker(webhooks=(hook.url,), confirm_checks=1)
    for each in [checker] * 100 + [new_checker()]:
        found = each.look()
        assert (found.drift, found.status, found.state) == (True, "drift", State())
    assert {*all_records.database.list_collection_names()} <= {"predictions"}
    assert {*all_records.database["predictions"].index_information()} <= {"_id_"}
    assert store.statistics(version, LIVE) is None
    assert hook.attempts == 0


def test_two_checks_of_one_window_are_one(
    scored: Scored, records: DriftRecords, all_records: Records, new_checker: NewChecker
) -> None:
    scored(make_texts(500, seed=2, words=OTHER_WORDS))
    first = counted(new_checker())
    sample = all_records.database["drift_sample"]
    drawn = [*sample.find()]
    for _ in range(2):
        again = new_checker().check()
        assert not isinstance(again, DriftReport)
        assert (again.drift, again.state) == (True, first.state)
    assert records.reports(10) == [first]
    assert [*sample.find()] == drawn
    scored(make_texts(249, seed=3, words=OTHER_WORDS))
    assert not isinstance(new_checker().check(), DriftReport), "less than half is new"
    scored(make_texts(1, seed=4, words=OTHER_WORDS))
    assert counted(new_checker()).alert == "detected"


def test_what_a_look_found_is_kept_until_half_of_the_window_is_new_or_gone(
    scored: Scored, all_records: Records, new_checker: NewChecker
) -> None:
    checker = new_checker()
    assert checker.look().window.documents == 0
    scored(make_texts(400, seed=2))
    kept = checker.look()
    assert kept.window.documents == 400
    scored(make_texts(199, seed=3, words=OTHER_WORDS), synthetic=True)
    assert checker.look() is kept
    scored(make_texts(50, seed=4, words=OTHER_WORDS), synthetic=True)
    kept = checker.look()
    assert (kept.window.documents, kept.status) == (500, "drift")
    all_records.database["predictions"].delete_many({"synthetic": True})
    assert checker.look().status == "ok"


def test_what_a_look_found_is_kept_for_some_seconds_alone(
    scored: Scored, new_checker: NewChecker, monkeypatch: pytest.MonkeyPatch
) -> None:
    scored(make_texts(400, seed=2))
    checker = new_checker()
    kept = checker.look()
    scored(make_texts(1, seed=3))
    assert checker.look() is kept
    monkeypatch.setattr("functions.drift.checker.KEPT_SECONDS", 0)
    assert checker.look().window.documents == 401


def test_who_asks_during_a_look_shares_what_it_finds(scored: Scored, new_checker: NewChecker) -> None:
    scored(make_texts(400, seed=2))
    checker = new_checker()
    found: list[Findings] = []
    threads = [threading.Thread(target=lambda: found.append(checker.look())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(found) == 8
    assert all(each is found[0] for each in found)


def test_not_enough_data_neither_counts_nor_breaks_the_row(
    scored: Scored, records: DriftRecords, all_records: Records, new_checker: NewChecker
) -> None:
    scored(make_texts(500, seed=2, words=OTHER_WORDS))
    first = counted(new_checker())
    all_records.database["predictions"].delete_many({})
    report = new_checker().check()
    assert (report.status, report.state) == ("not-enough-data", first.state)
    scored(make_texts(500, seed=3, words=OTHER_WORDS))
    assert counted(new_checker()).alert == "detected"
    assert len(records.reports(10)) == 2


def test_of_checks_at_the_same_time_one_changes_the_state(scored: Scored, new_checker: NewChecker) -> None:
    scored(make_texts(300, seed=2, words=OTHER_WORDS))
    new_checker().check()
    scored(make_texts(300, seed=3, words=OTHER_WORDS))
    found: list[Findings] = []
    checkers = [new_checker(webhooks=("http://127.0.0.1:9/",)) for _ in range(4)]
    threads = [threading.Thread(target=lambda checker=checker: found.append(checker.check())) for checker in checkers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    (report,) = [each for each in found if isinstance(each, DriftReport)]
    assert (report.number, report.alert) == (2, "detected")
    assert len(found) == 4
    assert all(each.state == report.state for each in found)


def test_past_nine_reports_the_last_is_still_the_last(scored: Scored, new_checker: NewChecker) -> None:
    checker = new_checker(window_texts=200)
    numbers = []
    for seed in range(12):
        scored(make_texts(200, seed=seed))
        numbers.append(counted(checker).number)
    assert numbers == list(range(1, 13))


def test_an_emptied_database_has_its_indexes_again_after_a_check(
    scored: Scored, all_records: Records, new_checker: NewChecker
) -> None:
    checker = new_checker()
    scored(make_texts(300, seed=2))
    checker.check()
    indexed = {*all_records.database["predictions"].index_information()}
    all_records.database.drop_collection("predictions")
    scored(make_texts(300, seed=3))
    checker.check()
    assert {*all_records.database["predictions"].index_information()} == indexed > {"_id_"}


def test_texts_that_have_left_the_window_become_the_reference(
    version: str, scored: Scored, store: ModelStore, new_checker: NewChecker
) -> None:
    # What production sends looks nothing like the holdout.
    settings: Mapping[str, Any] = {"reference_texts": 400, "minimum_texts": 200, "window_texts": 300}
    scored(make_texts(100, seed=3), synthetic=True)
    scored(make_texts(200, seed=2, words=OTHER_WORDS))
    scored(make_texts(300, seed=4, words=OTHER_WORDS))
    checker = new_checker(**settings)
    report = checker.check()
    assert (report.status, report.reference.kind) == ("drift", "holdout")
    assert "only 200 of 400 live texts" in str(report.message)
    scored(make_texts(300, seed=5, words=OTHER_WORDS))
    for found in (checker.check(), new_checker(**settings).look()):
        assert (found.status, found.message) == ("ok", None)
        assert (found.reference.kind, found.reference.documents) == ("live", 400)
        assert found.window.documents == 300
        assert known(found.window.first_scored_at) > datetime.fromisoformat(known(found.reference.last_scored_at))
    kept = store.statistics(version, LIVE)
    assert kept is not None
    assert "word" not in str(kept.about), "statistics, no text"


def test_who_sends_first_is_the_reference_no_longer_once_others_send(
    scored: Scored, records: DriftRecords, new_checker: NewChecker
) -> None:
    settings: Mapping[str, Any] = {"reference_texts": 200, "minimum_texts": 100, "window_texts": 200}
    checker = new_checker(**settings)
    # A burst of one kind, before anybody else.
    scored(make_texts(5_000, seed=2, words=OTHER_WORDS))
    assert checker.check().reference.kind == "live"
    statuses, references = [], set()
    for seed in range(3, 15):
        scored(make_texts(200, seed=seed))
        report = checker.check()
        statuses.append(report.status)
        references.add(report.reference.last_scored_at)
    assert statuses[0] == "drift"
    assert len(references) in range(3, 7), "at each doubling"
    # Another process reads the reference that this one has made last.
    assert new_checker(**settings).look().reference == report.reference
    sample = records.sample()
    assert sample is not None
    # Of the 13 windows seen two were of the burst: 31 of 200 texts are expected, with a standard deviation of 5.
    assert sum(int(identifier.split(":")[1]) <= 5_000 for identifier in sample.ids) < 56


def test_texts_of_the_sample_that_are_gone_are_replaced_before_a_reference_is_made(
    scored: Scored, all_records: Records, new_checker: NewChecker
) -> None:
    checker = new_checker(reference_texts=200, minimum_texts=100, window_texts=100)
    scored(make_texts(200, seed=2))
    checker.check()
    all_records.database["predictions"].delete_many({})
    scored(make_texts(200, seed=3))
    found = checker.check()
    assert found.reference.kind == "holdout"
    assert "only 100 of 200 live texts" in str(found.message)
    scored(make_texts(100, seed=4))
    assert checker.check().reference.documents == 200


def test_the_settings_can_ask_for_one_reference_alone(scored: Scored, new_checker: NewChecker) -> None:
    settings: Mapping[str, Any] = {"minimum_texts": 200, "window_texts": 200}
    scored(make_texts(600, seed=2, words=OTHER_WORDS))
    found = new_checker(reference="live", reference_texts=400, **settings).check()
    assert (found.status, found.reference.documents) == ("not-enough-data", UNSET)
    assert "only 200 of 400 live texts" in str(found.message)
    scored(make_texts(200, seed=3, words=OTHER_WORDS))
    assert new_checker(reference="live", reference_texts=400, **settings).check().status == "ok"
    assert new_checker(reference="holdout", reference_texts=400, **settings).check().status == "drift"


def test_statistics_go_with_their_version(version: str, store: ModelStore, corpus: Corpus) -> None:
    store.put_statistics(version, LIVE, Statistics(b"numbers", PERIOD))
    store.put_statistics(version, LIVE, Statistics(b"others", PERIOD))
    kept = store.statistics(version, LIVE)
    assert kept == Statistics(b"others", PERIOD), "in the place of those before"
    for number in range(2):
        promote(train_artifact(Corpus("test", corpus.texts[number:], corpus.labels[number:])))
    assert version in store.prune(keep=0)
    assert store.statistics(version, LIVE) is None


def test_damaged_statistics_are_refused_and_named(version: str, store: ModelStore, bucket: str) -> None:
    store.put_statistics(version, LIVE, Statistics(b"numbers", PERIOD))
    s3 = client(StoreSettings())
    (key,) = (
        entry["Key"]
        for entry in s3.list_objects_v2(Bucket=bucket, Prefix=f"references/{version}/")["Contents"]
        if entry["Key"].endswith(".npz")
    )
    s3.put_object(Bucket=bucket, Key=key, Body=b"number5")
    with pytest.raises(InvalidDocument, match=rf"references/{version}/live\.json names statistics that are .* damaged"):
        store.statistics(version, LIVE)


def test_labels_that_contradict_the_model_are_drift_and_learned_ones_do_not_count(
    version: str, scored: Scored, all_records: Records, new_checker: NewChecker
) -> None:
    scored(make_texts(500, seed=2))
    labels = Labels(all_records)
    learned = [Label(text, 1 - label(text), "test") for text in make_texts(100, seed=5)]
    labels.mark_used(labels.add(learned), version, 1.0)
    assert "error_rate" not in new_checker().check().tests
    labels.add([Label(text, label(text), "test") for text in make_texts(60, seed=6)])
    report = new_checker().check()
    assert (report.status, report.window.labelled) == ("ok", 60)
    labels.add([Label(text, 1 - label(text), "test") for text in make_texts(60, seed=7)])
    report = new_checker().check()
    assert report.status == "drift"
    assert [name for name, test in report.tests.items() if test.drift] == ["error_rate"]
    assert known(report.window.error_rate) > 0.4
    assert report.expected_accuracy is not None
    assert report.expected_accuracy.accuracy is None
    assert str(report.expected_accuracy.reason).startswith("labels contradict the probabilities: ")


class Hook:
    """A webhook that people run: takes JSON by POST, or refuses it with a status."""

    def __init__(self) -> None:
        self.received: list[dict[str, Any]] = []
        self.attempts = 0
        self.status = 200
        self.refused = ""  # an event
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                hook.attempts += 1
                status = 400 if json.loads(body)["event"] == hook.refused else hook.status
                if status == 200:
                    hook.received.append(json.loads(body))
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the standard library's name
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/services/secret"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def hook() -> Iterator[Hook]:
    with Hook() as server:
        yield server


@pytest.fixture
def broker(rabbitmq: RabbitMQNode, stream_name: str) -> Iterator[Client]:
    """A client with the queue `stream_name` bound to all alerts, from an exchange that is not there before."""
    client = Client(rabbitmq.amqp_url)
    client.channel.exchange_delete(ALERTS)
    client.channel.exchange_declare(ALERTS, "topic", durable=True)
    client.declare(stream_name)
    client.channel.queue_bind(stream_name, ALERTS, "drift.*")
    yield client
    client.channel.queue_delete(stream_name)
    client.close()


@dataclass
class System:
    """Predict, drift and generate-drift behind a gateway."""

    url: str
    version: str
    processes: Mapping[str, "subprocess.Popen[bytes]"]
    own_urls: Mapping[str, str]
    http: urllib3.PoolManager = field(default_factory=lambda: urllib3.PoolManager(retries=False, timeout=30))

    def call(self, method: str, function: str, body: object = None) -> tuple[int, dict[str, Any]]:
        data = None if body is None else json.dumps(body).encode()
        response = self.http.request(method, f"{self.url}/function/{function}", body=data)
        return response.status, json.loads(response.data)

    def check(self) -> dict[str, Any]:
        """Check, as the schedule does."""
        status, report = self.call("POST", "drift")
        assert status == 200, report
        return report

    def look(self) -> dict[str, Any]:
        status, findings = self.call("GET", "drift")
        assert status == 200, findings
        return findings

    def metric(self, function: str, name: str, **labels: str) -> float:
        content = self.http.request("GET", f"{self.own_urls[function]}/metrics").data.decode()
        return sum(
            sample.value
            for family in text_string_to_metric_families(content)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def alerts_sent(self) -> dict[str, float]:
        return {
            channel: self.metric("drift", "drift_alerts_sent_total", channel=channel)
            for channel in ("rabbitmq", "webhook")
        }


NewSystem = Callable[..., System]


@pytest.fixture
def start(environment: Mapping[str, str], version: str, tmp_path: Path) -> Iterator[NewSystem]:
    """Starts the functions; `settings` are those of drift and generate-drift."""
    with ExitStack() as stack:

        def begin(settings: Mapping[str, str], *, predict: bool = True) -> System:
            everything = {**environment, **settings, "POLL_SECONDS": "0.2"}
            everything["GATEWAY_URL"] = f"http://127.0.0.1:{(port := ports.free_port())}"
            names = ("predict", "drift", "generate_drift") if predict else ("drift", "generate_drift")
            functions = {name.replace("_", "-"): name for name in names}
            processes = {
                name: python_service(f"functions.{module}", tmp_path, everything) for name, module in functions.items()
            }
            upstreams = {name: int(process.variables["PORT"]) for name, process in processes.items()}
            stack.enter_context(running(servers.gateway(tmp_path, port, upstreams)))
            started = {name: stack.enter_context(running(process)) for name, process in processes.items()}
            own_urls = {name: process.variables["URL"] for name, process in processes.items()}
            return System(everything["GATEWAY_URL"], version, started, own_urls)

        yield begin


def confirmed(system: System, scored: Scored) -> list[bool]:
    """The states after each of two windows of other texts."""
    states = []
    for seed in (2, 3):
        scored(make_texts(300, seed=seed, words=OTHER_WORDS))
        states.append(system.check()["state"]["drift"])
    return states


def test_drift_is_noticed_named_and_announced_once_and_cleared_once(
    start: NewSystem, rabbitmq: RabbitMQNode, broker: Client, stream_name: str, hook: Hook, all_records: Records
) -> None:
    system = start(
        {
            "RABBITMQ_URL": rabbitmq.amqp_url,
            "ALERT_WEBHOOK_URL": hook.url,
            "ENABLE_GENERATE_DRIFT": "true",
            "DRIFT_REFERENCE": "holdout",
        }
    )
    predictions = all_records.database["predictions"]
    assert system.call("POST", "predict", {"texts": make_texts(600, seed=11)})[0] == 200
    assert wait_until(lambda: predictions.count_documents({}) == 600, 10)
    report = system.look()
    assert (report["drift"], report["status"], report["model"]) == (False, "ok", system.version)
    assert report["reference"]["kind"] == "holdout"
    # Nobody has sent a label, and yet it knows how many answers are right.
    expected = report["expected_accuracy"]
    newest = [*predictions.find().sort("scored_at", -1).limit(500)]
    right = sum(each["prediction"] == CLASSES[label(each["text"])] for each in newest) / 500
    assert (expected["texts"], expected["reason"]) == (500, None)
    assert expected["low"] < expected["accuracy"] < expected["high"]
    assert right == pytest.approx(expected["accuracy"], abs=0.05)

    def generate(seed: int) -> dict[str, Any]:
        status, made = system.call("GET", f"generate-drift?seed={seed}")
        assert status == 200, made
        return made

    made = generate(7)
    assert (made["generated"], made["shifted"], made["ordinary"], made["seed"]) == (500, 250, 250, 7)
    assert made["model"] == system.version
    assert sum(made["kinds"].values()) == 250
    assert predictions.count_documents({"synthetic": True}) == 500
    looked = system.look()
    assert (looked["drift"], looked["status"], looked["state"]["drift"]) == (True, "drift", False), "at once"
    assert looked["window"]["synthetic"] == 500
    assert {word["word"] for word in looked["words"]} & {"the", "and", "with", "for", "to"}
    answers = [system.check() for _ in range(3)]
    generate(8)
    answers += [system.check() for _ in range(3)]
    assert [answer["drift"] for answer in answers] == [True] * 6
    assert [answer["state"]["drift"] for answer in answers] == [False] * 3 + [True] * 3, "a window is no second one"
    assert [answer.get("alert") for answer in answers] == [None] * 3 + ["detected", None, None]
    # Alerts go in the background: both channels have theirs, and stay at one.
    assert wait_until(lambda: len(hook.received) == 1 and broker.depth(stream_name) == 1, 10)

    assert system.call("DELETE", "generate-drift") == (200, {"deleted": 1000})
    assert predictions.count_documents({}) == 600
    for number in (1, 2):
        system.call("POST", "predict", {"texts": make_texts(500, seed=11 + number)})
        assert wait_until(lambda: predictions.count_documents({}) == 600 + 500 * number, 10)  # noqa: B023 - at once
        answers = [system.check() for _ in range(2)]
    assert [answer["state"]["drift"] for answer in answers] == [False] * 2
    assert [answer.get("alert") for answer in answers] == ["cleared", None]
    assert wait_until(lambda: len(hook.received) == 2 and broker.depth(stream_name) == 2, 10)

    messages = [json.loads(body) for _, body in broker.drain(stream_name)]
    assert messages == hook.received
    detected, cleared = messages
    assert (detected["event"], detected["drift"], detected["id"]) == ("drift.detected", True, "drift-2")
    assert (cleared["event"], cleared["drift"], cleared["id"]) == ("drift.cleared", False, "drift-4")
    assert detected["words"][0]["word"] in detected["text"]
    assert wait_until(lambda: system.alerts_sent() == {"rabbitmq": 2, "webhook": 2}, 10)
    assert system.metric("drift", "drift_checks_total", status="drift") == 6
    assert system.metric("drift", "drift_state") == 0
    assert system.metric("drift", "drift_p_value", test="words") > 0
    history = system.call("GET", "drift/reports?limit=3")[1]["reports"]
    assert [entry["number"] for entry in history] == [4, 3, 2]
    assert (history[0]["alert"], history[0]["undelivered"]) == ("cleared", [])


def test_the_exchange_is_there_before_the_first_alert(start: NewSystem, rabbitmq: RabbitMQNode, broker: Client) -> None:
    broker.channel.exchange_delete(ALERTS)
    start({"RABBITMQ_URL": rabbitmq.amqp_url}, predict=False)

    def exists() -> bool:
        channel = broker.connection.channel()
        try:
            channel.exchange_declare(ALERTS, passive=True)
        except ChannelClosedByBroker:
            return False
        channel.close()
        return True

    assert wait_until(exists, 10)


def test_a_webhook_that_is_down_changes_no_answer_and_gets_its_alert_later(
    start: NewSystem, scored: Scored, hook: Hook
) -> None:
    hook.status = 503
    system = start({"ALERT_WEBHOOK_URL": hook.url, "ALERT_TIMEOUT_SECONDS": "0.1"}, predict=False)
    assert confirmed(system, scored) == [False, True]
    assert wait_until(lambda: system.metric("drift", "drift_alerts_failed_total", channel="webhook") > 0, 10)
    assert (system.check()["state"]["drift"], hook.received) == (True, [])
    hook.status = 200
    assert wait_until(lambda: bool(hook.received) or not system.check(), 10)
    assert wait_until(lambda: system.call("GET", "drift/reports")[1]["reports"][0].get("undelivered") == [], 10)
    assert [alert["event"] for alert in hook.received] == ["drift.detected"]


def test_a_webhook_is_tried_again_within_the_time_limit(start: NewSystem, scored: Scored, hook: Hook) -> None:
    hook.status = 503
    system = start({"ALERT_WEBHOOK_URL": hook.url}, predict=False)
    assert confirmed(system, scored) == [False, True]
    assert wait_until(lambda: hook.attempts >= 2, 10)
    hook.status = 200
    assert wait_until(lambda: len(hook.received) == 1, 15)
    assert system.metric("drift", "drift_alerts_failed_total", channel="webhook") == 0


def test_an_alert_that_a_killed_process_left_is_sent_at_the_next_start(
    start: NewSystem, scored: Scored, hook: Hook, rabbitmq: RabbitMQNode, broker: Client, stream_name: str
) -> None:
    hook.status = 503
    nobody = f"amqp://127.0.0.1:{ports.free_port()}/"
    first = start({"ALERT_WEBHOOK_URL": hook.url, "RABBITMQ_URL": nobody}, predict=False)
    assert confirmed(first, scored) == [False, True]
    first.processes["drift"].kill()
    first.processes["drift"].wait(10)
    hook.status = 200
    second = start({"ALERT_WEBHOOK_URL": hook.url, "RABBITMQ_URL": rabbitmq.amqp_url}, predict=False)
    assert wait_until(lambda: len(hook.received) == 1 and broker.depth(stream_name) == 1, 10)
    assert wait_until(lambda: second.alerts_sent() == {"rabbitmq": 1, "webhook": 1}, 10)
    assert second.metric("drift", "drift_state") == 1, "known from the last report, before any check"
    assert second.check()["state"]["drift"] is True
    assert (len(hook.received), broker.depth(stream_name)) == (1, 1)


def test_without_channels_there_is_nothing_to_deliver(scored: Scored, new_checker: NewChecker) -> None:
    scored(make_texts(300, seed=2, words=OTHER_WORDS))
    assert counted(new_checker(confirm_checks=1)).undelivered == []


def test_an_alert_that_is_refused_for_good_holds_up_no_other(
    scored: Scored, records: DriftRecords, hook: Hook, new_checker: NewChecker
) -> None:
    hook.refused = "drift.detected"
    checker = new_checker(webhooks=(hook.url,), confirm_checks=1)
    scored(make_texts(500, seed=2, words=OTHER_WORDS))
    assert counted(checker).alert == "detected"
    scored(make_texts(500, seed=3))
    assert counted(checker).alert == "cleared"
    courier = Courier(records, Webhook(hook.url), 10)
    courier.start()
    assert wait_until(lambda: [alert["event"] for alert in hook.received] == ["drift.cleared"], 10)
    hook.refused = ""
    courier.wake()
    assert wait_until(lambda: [alert["event"] for alert in hook.received] == ["drift.cleared", "drift.detected"], 10)
    courier.close()
    assert records.undelivered("webhook") == []


def test_generate_drift_is_off_unless_enabled_and_says_how(start: NewSystem, all_records: Records) -> None:
    system = start({"ENABLE_GENERATE_DRIFT": ""})
    for method in ("GET", "DELETE"):
        status, problem = system.call(method, "generate-drift")
        assert status == 403
        assert "ENABLE_GENERATE_DRIFT=true" in problem["detail"]
    assert all_records.database["predictions"].count_documents({}) == 0


def test_the_newest_texts_are_told_by_an_index_before_the_first_check(start: NewSystem, all_records: Records) -> None:
    start({}, predict=False)
    indexes = all_records.database["predictions"].index_information().values()
    assert "scored_at" in [index["key"][0][0] for index in indexes]


def test_generate_drift_sends_what_it_is_asked_for(start: NewSystem, all_records: Records) -> None:
    system = start({"ENABLE_GENERATE_DRIFT": "true"})
    status, made = system.call("GET", "generate-drift?count=40&share=0.25&seed=1")
    assert (status, made["generated"], made["shifted"], made["ordinary"]) == (200, 10, 10, 0), "none to repeat yet"
    for query, word in (("count=0", "count"), ("count=10001", "count"), ("share=2", "share"), ("seed=x", "seed")):
        status, problem = system.call("GET", f"generate-drift?{query}")
        assert status == 400
        assert problem["detail"].startswith("The query does not fit")
        assert problem["detail"].endswith(f"`$.{word}`.")
    texts = {document["text"] for document in all_records.database["predictions"].find()}
    assert set(made["examples"].values()) <= texts


class Handed(monitoring.CommandListener):
    """How many documents MongoDB has handed over."""

    documents = 0

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        pass

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        cursor = event.reply.get("cursor", {})
        self.documents += len(cursor.get("firstBatch") or cursor.get("nextBatch") or ())

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        pass


def test_generate_drift_reads_once_what_was_made_before_however_often_it_looks_for_more(
    start: NewSystem, scored: Scored, environment: Mapping[str, str]
) -> None:
    scored(make_texts(1_000, seed=2), synthetic=True)
    system, handed = start({}), Handed()
    with MongoClient[dict[str, Any]](environment["MONGODB_URL"], event_listeners=[handed]) as mongodb:
        texts = GeneratedTexts(Records(mongodb, mongodb.get_default_database().name))
        assert Generator(texts, system.url).generate(count=100, share=1, seed=1).generated == 100
    assert handed.documents == 1_000 + 100


def test_generate_drift_says_that_predict_is_away(start: NewSystem) -> None:
    system = start({"ENABLE_GENERATE_DRIFT": "true"}, predict=False)
    status, problem = system.call("GET", "generate-drift?count=10")
    assert (status, problem["detail"].startswith("predict")) == (503, True)
    assert system.call("DELETE", "generate-drift") == (200, {"deleted": 0})


def test_reports_are_bounded_and_a_bad_limit_is_refused(start: NewSystem, scored: Scored) -> None:
    scored(make_texts(300, seed=2))
    system = start({}, predict=False)
    assert system.check()["number"] == 1
    assert "number" not in system.look()
    assert [report["number"] for report in system.call("GET", "drift/reports")[1]["reports"]] == [1]
    for limit in ("0", "1001", "x", "-1"):
        assert system.call("GET", f"drift/reports?limit={limit}")[0] == 400


def test_a_stranger_has_it_check_no_more_often_than_the_schedule_would(
    environment: Mapping[str, str], scored: Scored, tmp_path: Path, all_records: Records
) -> None:
    scored(make_texts(300, seed=2))
    everywhere = {"LISTEN_HOST": "0.0.0.0", "DRIFT_PACE_SECONDS": "3600"}  # noqa: S104
    service = python_service("functions.drift", tmp_path, {**environment, **everywhere})
    with running(service):
        answers = [urllib3.request("POST", service.variables["URL"])]
        scored(make_texts(300, seed=3))
        answers += [urllib3.request(method, service.variables["URL"]) for method in ("POST", "GET") * 10]
    assert {answer.status for answer in answers} == {200}
    assert [json.loads(answer.data).get("number") for answer in answers] == [1] + [None] * 20
    assert all_records.database["drift_reports"].count_documents({}) == 1


def test_deploy_sh_sees_through_the_gateway_which_functions_answer_and_changes_nothing(
    start: NewSystem, scored: Scored, all_records: Records
) -> None:
    assert scored
    system = start({"LISTEN_HOST": "0.0.0.0"})  # noqa: S104
    asked = {name: f"{system.url}/function/{name}{ASKED[name]}" for name in ("predict", "drift", "generate-drift")}
    assert {name: ports.wrong_at(url, REFUSALS) for name, url in asked.items()} == dict.fromkeys(asked)
    assert all_records.database["drift_reports"].count_documents({}) == 0
    assert str(ports.wrong_at(f"{system.url}/function/retrain{ASKED['retrain']}", REFUSALS)).startswith("502")
