"""Labels in, a better model out: the retrain function on real MongoDB and S3 servers."""

import json
import threading
from collections.abc import Iterator, Mapping
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import pytest
import urllib3
from msgspec import UNSET

from contracts.manifest import Bound
from deploy import runner
from functions.retrain.settings import Settings
from functions.retrain.trainer import Trainer, UnknownLabel
from model_store.publishing import ModelStore
from model_store.publishing.objects import client as s3_client
from model_store.settings import Settings as StoreSettings
from process.exclusive import Busy
from process.settings import SettingsError
from records.labels import AmbiguousLabel, Label, Labels
from sentiment.artifact import HOLDOUT_PART, LABELS_PART, scorer_of
from sentiment.calibrating import calibrate
from sentiment.counts import count_texts
from sentiment.model import Model
from sentiment.packing import Holdout, unpack
from sentiment.text import Corpus
from sentiment.trainers.multinomial_nb import train
from sentiment.training import train_artifact
from tests.models import equal
from tests.running import running
from tests.system import promote, python_service

WORDS = {0: ["awful", "dull", "bore", "hate", "poor"], 1: ["great", "lovely", "fun", "love", "superb"]}
TOKEN = "a-token-for-tests"


def corpus(count: int = 400) -> Corpus:
    """Sentences of two sentiment words and a neutral one, so that a model learns them perfectly."""
    texts, labels = [], []
    for number in range(count):
        label = number % 2
        words = WORDS[label]
        texts.append(f"film{number % 7} {words[number % 5]} {words[number // 5 % 5]}")
        labels.append(label)
    return Corpus("test", texts, labels)


@pytest.fixture
def champion(environment: Mapping[str, str]) -> str:
    assert environment
    return promote(train_artifact(corpus(), holdout_share=0.25))


def settings(**changes: Any) -> Settings:
    return Settings(
        **{
            "retrain_after": 100,
            "label_weight": 1.0,
            "max_labels_per_principal": 0,
            "max_labels_per_run": 10_000,
            "max_run_bytes": 100_000_000,
            "max_vocabulary_words": 500_000,
            "max_pending_labels": 1_000,
            "gate": "on",
            "gate_level": 0.01,
            "keep_versions": 10,
            "token": None,
            **changes,
        }
    )


@pytest.fixture
def trainer(store: ModelStore, labels: Labels) -> Trainer:
    return Trainer(store, labels, settings())


def honest(count: int, start: int = 0) -> list[Label]:
    return [
        Label(f"gem{number} brilliant {WORDS[number % 2][number % 5]}", number % 2, "test")
        for number in range(start, start + count)
    ]


def noise(count: int) -> list[Label]:
    """Both classes get the same words: nobody can learn that."""
    return [Label(f"great awful {number}", number // 2 % 2, "test") for number in range(count)]


def test_a_look_costs_the_store_few_requests_however_many_versions_and_promotions_there_are(
    champion: str, labels: Labels, environment: Mapping[str, str]
) -> None:
    client = s3_client(StoreSettings())
    store = ModelStore(client, environment["S3_BUCKET"])
    for number in range(12):
        store.publish(store.load(champion), f"v{number}")
        store.serve(f"v{number}", by="test", reason="test")
    trainer, requests = Trainer(store, labels, settings()), list[str]()
    client.meta.events.register("before-send.s3", lambda request, **_: requests.append(request.url))
    first = trainer.overview(with_texts=False)
    assert (len(first.versions), len(first.promotions)) == (13, 13)
    requests.clear()
    assert trainer.overview(with_texts=False) == first
    assert len(requests) <= 4, requests


def test_an_honest_batch_is_learned_promoted_and_used_once(
    champion: str, trainer: Trainer, store: ModelStore, labels: Labels
) -> None:
    labels.add(honest(60))
    before = unpack(store.load(champion))
    outcome = trainer.run(by="test")
    assert (outcome.retrained, outcome.promoted) == (True, True), outcome.reason
    current = store.current()
    assert current is not None
    assert outcome.model == current.version == outcome.challenger.model
    artifact = store.load(current.version)
    texts, truth = [label.text for label in honest(60)], [label.label for label in honest(60)]
    assert equal(unpack(artifact), before.added(count_texts(texts), truth))
    assert artifact.manifest.parent == champion
    assert artifact.manifest.ancestors == [champion]
    assert sorted(artifact.parts[LABELS_PART].decode().split()) == sorted(label.id for label in honest(60))
    assert (labels.counts().pending, labels.counts().used) == (0, 60)
    assert trainer.run(by="test").reason == "no labels are pending"
    assert store.history()[0].reason.startswith("learned 60 labels")


def test_noise_is_refused_with_a_reason_and_does_not_spoil_the_next_run(
    champion: str, trainer: Trainer, store: ModelStore, labels: Labels
) -> None:
    labels.add(noise(200))
    outcome = trainer.run(by="test")
    assert outcome.promoted is False
    assert "look like noise" in outcome.reason
    current = store.current()
    assert current is not None
    assert current.version == champion
    assert (labels.counts().pending, labels.counts().refused) == (0, 200)
    labels.add(honest(60))
    assert trainer.run(by="test").promoted is True
    assert labels.counts().used == 60


def test_the_gate_can_be_turned_off_and_says_so(champion: str, store: ModelStore, labels: Labels) -> None:
    labels.add(noise(200))
    outcome = Trainer(store, labels, settings(gate="off")).run(by="test")
    assert outcome.promoted is True
    assert outcome.model != champion
    assert outcome.reason.startswith("GATE=off")


def test_a_principal_that_floods_is_capped_in_each_run(champion: str, store: ModelStore, labels: Labels) -> None:
    assert champion
    labels.add(honest(60))
    labels.add([Label(label.text, label.label, "other") for label in honest(10, start=60)])
    Trainer(store, labels, settings(max_labels_per_principal=20)).run(by="test")
    assert (labels.counts().used, labels.counts().pending) == (30, 40)


def test_the_same_label_counts_once_whatever_source_and_id_the_sender_makes_up(labels: Labels) -> None:
    first = Label("good", 1, "ann", "one")
    assert labels.add([first, first]) == [first.id]
    assert labels.add([Label("good", 1, "ann", f"t-{number}", f"desk {number}") for number in range(100)]) == []
    assert labels.add([Label("good", 1, "bob")]) == []
    found = labels.find(first.id)
    assert found is not None
    assert found.vouchers == {"ann", "bob"}
    assert labels.counts().pending == 1


def test_of_a_text_with_both_labels_neither_is_learned_until_one_has_more_principals(labels: Labels) -> None:
    good, bad = Label("film", 1, "ann"), Label("film", 0, "bob")
    labels.add([good, bad, Label("other", 1, "ann")])
    assert [label.text for label in labels.pending(maximum=10)] == ["other"]
    assert labels.waiting()[1] == 1
    (conflict,) = labels.conflicts()
    assert conflict.text == "film"
    assert {(each.label, *each.principals) for each in conflict.labels} == {(1, "ann"), (0, "bob")}
    labels.add([Label("film", 0, "bob", source=f"source {number}") for number in range(1_000)])
    assert labels.waiting()[1] == 1, "one principal is one, however many sources it names"
    labels.add([Label("film", 0, "eve")])
    assert {(label.text, label.label) for label in labels.pending(maximum=10)} == {("film", 0), ("other", 1)}
    assert labels.conflicts() == [], "two against one"
    labels.add([Label("film", 1, "eve")])
    assert labels.waiting()[1] == 1, "two against two"
    assert [conflict.text for conflict in labels.conflicts()] == ["film"]


def test_a_refused_label_waits_again_once_somebody_else_vouches_for_it(labels: Labels) -> None:
    (identifier,) = labels.add([Label("film", 1, "eve")])
    labels.mark_refused([identifier], "run", "noise")
    labels.add([Label("film", 1, "eve")])
    assert (labels.counts().refused, labels.counts().pending) == (1, 0)
    labels.add([Label("film", 1, "ann")])
    assert (labels.counts().refused, labels.counts().pending) == (0, 1)


def test_a_strangers_id_keeps_no_label_out_and_names_no_other(champion: str, trainer: Trainer, labels: Labels) -> None:
    assert champion
    mine = Label("good", 1, "support", "t-17")
    by_my_id = Label("mine is older", 1, "stranger", mine.id)
    labels.add([Label("nonsense", 0, "stranger", "t-17"), by_my_id])
    assert labels.add([mine]) == [mine.id]
    with pytest.raises(AmbiguousLabel, match=f"the id 't-17': .*{mine.id}"):
        trainer.take_back("t-17", by="test")
    assert trainer.take_back(mine.id, by="test").deleted == mine.id
    assert labels.find(by_my_id.id) is not None
    assert trainer.take_back("t-17", by="test").deleted == Label("nonsense", 0, "stranger").id


def test_a_label_that_was_learned_is_subtracted_exactly(
    champion: str, trainer: Trainer, store: ModelStore, labels: Labels
) -> None:
    before = unpack(store.load(champion))
    labels.add(honest(60))
    trainer.run(by="test")
    taken = honest(60)[7]
    taken_back = trainer.take_back(taken.id, by="test")
    assert (taken_back.deleted, taken_back.subtracted) == (taken.id, True)
    assert taken_back.model is not None
    rest = [label for label in honest(60) if label != taken]
    expected = before.added(count_texts(label.text for label in rest), [label.label for label in rest])
    assert equal(unpack(store.load(taken_back.model)), expected)
    assert labels.find(taken.id) is None
    with pytest.raises(UnknownLabel):
        trainer.take_back(taken.id, by="test")


def test_a_pending_label_is_taken_back_without_a_new_version(champion: str, trainer: Trainer, labels: Labels) -> None:
    assert champion
    (identifier,) = labels.add(honest(1))
    taken_back = trainer.take_back(identifier, by="test")
    assert (taken_back.subtracted, taken_back.model) == (False, None)
    assert labels.counts().pending == 0


def test_weight_counts_a_label_that_often(champion: str, store: ModelStore, labels: Labels) -> None:
    before = unpack(store.load(champion))
    labels.add(honest(60))
    outcome = Trainer(store, labels, settings(label_weight=2.5)).run(by="test")
    texts, truth = [label.text for label in honest(60)], [label.label for label in honest(60)]
    assert outcome.model
    assert equal(unpack(store.load(outcome.model)), before.added(count_texts(texts), truth, weight=2.5))


def test_every_version_is_calibrated_anew_on_the_holdout(
    champion: str, trainer: Trainer, store: ModelStore, labels: Labels
) -> None:
    found = [store.load(champion)]
    (first, *_) = labels.add(honest(60))
    learned = trainer.run(by="test").model
    assert learned is not None
    taken_back = trainer.take_back(first, by="test").model
    assert taken_back is not None
    found += [store.load(learned), store.load(taken_back)]
    for artifact in found:
        holdout = Holdout.from_bytes(artifact.parts[HOLDOUT_PART])
        fitted = calibrate(holdout.texts, unpack(artifact).scorer(), holdout.labels.tolist())
        assert (artifact.manifest.calibration, artifact.manifest.metrics) == fitted
        assert scorer_of(artifact.manifest, artifact.parts).calibration == fitted.calibration
    assert len({artifact.manifest.calibration for artifact in found}) == 3


def test_rollback_serves_the_version_before_and_is_logged(
    champion: str, trainer: Trainer, store: ModelStore, labels: Labels
) -> None:
    labels.add(honest(60))
    trainer.run(by="test")
    assert trainer.roll_back(None, by="test").model == champion
    assert store.history()[0].version == champion
    assert (labels.counts().used, labels.counts().pending) == (60, 0)
    assert trainer.run(by="test").reason == "no labels are pending"


def test_rollback_can_have_the_labels_learned_anew(
    champion: str, trainer: Trainer, store: ModelStore, labels: Labels
) -> None:
    labels.add(honest(60))
    first = trainer.run(by="test").model
    labels.add(honest(20, start=60))
    trainer.run(by="test")
    rolled_back = trainer.roll_back(first, by="test", requeue=True)
    assert (rolled_back.model, rolled_back.requeued, labels.counts().pending) == (first, 20, 20)
    outcome = trainer.run(by="test")
    everything = honest(80)
    expected = unpack(store.load(champion)).added(
        count_texts(label.text for label in everything), [label.label for label in everything]
    )
    assert outcome.model
    assert equal(unpack(store.load(outcome.model)), expected)


def test_only_the_last_versions_are_kept(champion: str, store: ModelStore, labels: Labels) -> None:
    assert champion
    trainer = Trainer(store, labels, settings(keep_versions=2))
    for number in range(4):
        labels.add(honest(10, start=10 * number))
        assert trainer.run(by="test").promoted is True
    current = store.current()
    assert current is not None
    # The served one and the one before it always stay, beside the newest two.
    assert len(store.versions()) <= 4
    assert current.version in {info.version for info in store.versions()}


def test_without_a_model_the_labels_make_the_first(store: ModelStore, labels: Labels, trainer: Trainer) -> None:
    store.ensure_bucket()
    labels.add([Label("good", 1, "test")])
    assert "all of one class" in trainer.run(by="test").reason
    labels.add([Label("bad", 0, "test")])
    outcome = trainer.run(by="test")
    assert outcome.promoted is True
    current = store.current()
    assert current is not None
    assert unpack(store.load(current.version)).vocabulary == ("bad", "good")


def test_a_run_takes_what_memory_has_room_for_and_the_next_ones_take_the_rest(
    champion: str, store: ModelStore, labels: Labels
) -> None:
    labels.add(honest(60))
    before = unpack(store.load(champion))
    trainer = Trainer(store, labels, settings(max_run_bytes=5_000, gate="off"))
    used = [0]
    while labels.counts().pending:
        outcome = trainer.run(by="test")
        assert outcome.promoted, outcome.reason
        used.append(labels.counts().used)
    assert len(used) > 3
    assert all(earlier < later < 61 for earlier, later in pairwise(used))
    texts, truth = [label.text for label in honest(60)], [label.label for label in honest(60)]
    assert outcome.model is not None
    assert equal(unpack(store.load(outcome.model)), before.added(count_texts(texts), truth))


def test_a_label_that_memory_has_no_room_for_beside_others_is_learned_alone(
    champion: str, store: ModelStore, labels: Labels
) -> None:
    assert champion
    labels.add(honest(2))
    outcome = Trainer(store, labels, settings(max_run_bytes=1, gate="off")).run(by="test")
    assert outcome.promoted, outcome.reason
    assert (labels.counts().used, labels.counts().pending) == (1, 1)


def test_labels_that_would_give_the_model_too_many_words_are_refused_and_say_why(
    champion: str, store: ModelStore, labels: Labels
) -> None:
    labels.add(honest(60))
    words = len(unpack(store.load(champion)).vocabulary)
    outcome = Trainer(store, labels, settings(max_vocabulary_words=words + 10)).run(by="test")
    assert (outcome.promoted, outcome.model) == (False, champion)
    assert f"more than MAX_VOCABULARY_WORDS ({words + 10})" in outcome.reason
    assert (labels.counts().refused, labels.counts().pending) == (60, 0)
    assert Trainer(store, labels, settings()).run(by="test", refused=True).promoted


def test_a_first_model_learns_as_many_labels_as_memory_has_room_for(store: ModelStore, labels: Labels) -> None:
    store.ensure_bucket()
    labels.add(honest(60))
    outcome = Trainer(store, labels, settings(max_run_bytes=5_000)).run(by="test")
    assert outcome.model is not None
    artifact = store.load(outcome.model)
    learned = artifact.parts[LABELS_PART].decode().split()
    assert 1 < len(learned) < 60
    assert (labels.counts().used, labels.counts().pending) == (len(learned), 60 - len(learned))
    by_id = {label.id: label for label in honest(60)}
    known = [by_id[identifier] for identifier in learned]
    assert equal(unpack(artifact), train([label.text for label in known], [label.label for label in known]))


def test_of_two_runs_at_once_one_works_and_the_other_says_so(champion: str, trainer: Trainer, labels: Labels) -> None:
    assert champion
    labels.add(honest(60))
    entered, leave = threading.Event(), threading.Event()

    class Slow(Labels):
        def pending(self, **options: Any) -> Any:
            entered.set()
            leave.wait(10)
            return super().pending(**options)

    trainer._labels.__class__ = Slow
    thread = threading.Thread(target=trainer.run, kwargs={"by": "first"})
    thread.start()
    assert entered.wait(10)
    with pytest.raises(Busy, match="another run is under way since"):
        trainer.run(by="second")
    leave.set()
    thread.join(30)
    assert labels.counts().used == 60


@pytest.fixture
def retrain_url(champion: str, environment: Mapping[str, str], tmp_path: Path) -> Iterator[str]:
    assert champion
    service = python_service(
        "functions.retrain", tmp_path, {**environment, "RETRAIN_TOKEN": TOKEN, "RETRAIN_AFTER": "40"}
    )
    with running(service):
        yield service.variables["URL"]


def call(method: str, url: str, body: object = None, token: str | None = TOKEN) -> tuple[int, dict[str, Any]]:
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    data = b"" if body is None else json.dumps(body).encode()
    response = urllib3.request(method, url, body=data, headers=headers, retries=False)
    return response.status, json.loads(response.data)


def test_over_http_labels_are_durable_and_enough_of_them_set_off_a_run(retrain_url: str) -> None:
    examples = [{"text": label.text, "label": label.label} for label in honest(60)]
    status, answer = call("POST", retrain_url, examples[0])
    assert (status, answer["accepted"], answer["pending"], answer["retrained"]) == (202, 1, 1, False)
    status, answer = call("POST", retrain_url, {"examples": examples})
    assert (status, answer["accepted"], answer["repeated"], answer["retrained"]) == (202, 59, 1, True)
    assert runner.wait_until(lambda: call("GET", retrain_url)[1]["used"] == 60, 30)
    state = call("GET", retrain_url)[1]
    assert state["pending"] == 0
    assert state["last_run"]["promoted"] is True
    assert len(state["versions"]) == 2
    assert state["promotions"][0]["to"] == state["model"]
    status, answer = call("POST", f"{retrain_url}/rollback")
    assert (status, answer["promotion"]["from"]) == (200, state["model"])
    for to in ("no-such-version", "", "../current", "a\n", "x" * 101):
        status, answer = call("POST", f"{retrain_url}/rollback", {"to": to})
        assert (status, repr(to)[1:-1] in answer["detail"]) == (404, True), answer
    assert call("POST", f"{retrain_url}/rollback", {"to": 7})[0] == 400


def test_over_http_an_empty_body_and_now_train_at_once(retrain_url: str) -> None:
    assert call("POST", retrain_url)[1]["reason"] == "no labels are pending"
    call("POST", retrain_url, {"examples": [{"text": label.text, "label": label.label} for label in honest(20)]})
    status, answer = call("POST", f"{retrain_url}/?now=true")
    assert (status, answer["retrained"], answer["promoted"]) == (200, True, True)
    assert answer["champion"]["metrics"]["accuracy"] <= 1
    assert answer["challenger"]["model"] == answer["model"]


def test_what_changes_the_model_wants_the_token(retrain_url: str) -> None:
    for method, path in (("POST", ""), ("POST", "/?now=true"), ("POST", "/rollback"), ("DELETE", "/labels/x")):
        for token in (None, "wrong"):
            status, answer = call(method, retrain_url + path, {"text": "a", "label": 1}, token)
            assert (status, answer["status"]) == (401, 401)
            assert "Bearer" in answer["detail"]
    assert call("POST", f"{retrain_url}/?now=true", token=None)[0] == 401


def test_texts_of_labels_are_for_whoever_has_the_token(retrain_url: str) -> None:
    for label in (0, 1):
        call("POST", retrain_url, {"text": "a private text", "label": label})
    assert call("GET", retrain_url)[1]["conflicts"][0]["text"] == "a private text"
    status, answer = call("GET", retrain_url, token=None)
    assert (status, "conflicts" in answer, "a private text" in str(answer)) == (200, False, False)


def test_a_stranger_has_it_run_no_more_often_than_the_schedule_would(
    champion: str, environment: Mapping[str, str], tmp_path: Path
) -> None:
    assert champion
    everywhere = {"RETRAIN_TOKEN": TOKEN, "LISTEN_HOST": "0.0.0.0", "RETRAIN_PACE_SECONDS": "3600"}  # noqa: S104
    service = python_service("functions.retrain", tmp_path, {**environment, **everywhere})
    url = service.variables["URL"]
    with running(service):
        answers = [urllib3.request("POST", url, retries=False) for _ in range(10)]
        assert [answer.status for answer in answers] == [200] + [429] * 9
        assert 3500 < int(answers[-1].headers["Retry-After"]) <= 3600
        content = urllib3.request("GET", f"{url}/metrics").data.decode()
        assert 'retrain_runs_total{outcome="nothing-to-do"} 1.0' in content
        assert call("POST", url)[0] == 200, "with the token"


def test_a_body_that_is_not_said_to_be_json_is_refused(retrain_url: str) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "text/plain"}
    response = urllib3.request("POST", retrain_url, body=b'{"text": "a", "label": 1}', headers=headers)
    assert (response.status, "Content-Type" in json.loads(response.data)["detail"]) == (415, True)
    assert call("GET", retrain_url)[1]["pending"] == 0


OF_ANOTHER_ORIGIN: list[dict[str, str]] = [
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://localhost:1"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Host": "evil.example"},
]


def test_a_page_of_another_origin_changes_nothing(
    champion: str, environment: Mapping[str, str], tmp_path: Path
) -> None:
    """There is no token here, as on somebody's own machine."""
    service = python_service("functions.retrain", tmp_path, environment)
    url = service.variables["URL"]
    with running(service):
        for headers, (method, path, body) in product(
            OF_ANOTHER_ORIGIN,
            (
                ("POST", "/", b'{"text": "a", "label": 1}'),
                ("POST", "/", b""),
                ("POST", "/rollback", b""),
            ),
        ):
            sent = {"Content-Type": "application/json", **headers}
            response = urllib3.request(method, url + path, body=body, headers=sent, retries=False)
            assert (response.status, json.loads(response.data)["status"]) == (403, 403), (headers, path)
        own = {"Origin": url, "Sec-Fetch-Site": "same-origin"}
        assert urllib3.request("GET", url, headers=own).status == 200
        state = call("GET", url, token=None)[1]
        assert (state["model"], state["pending"], state["last_run"]) == (champion, 0, None)
        elsewhere = {"Host": "evil.example"}
        assert urllib3.request("GET", url, headers=elsewhere, retries=False).status == 403


@pytest.mark.parametrize("token", [{}, {"RETRAIN_TOKEN": ""}, {"RETRAIN_TOKEN": "  "}], ids=str)
def test_without_a_token_it_listens_to_its_own_machine_alone(
    token: Mapping[str, str], environment: Mapping[str, str], tmp_path: Path
) -> None:
    service = python_service("functions.retrain", tmp_path, {**environment, **token, "LISTEN_HOST": "::"})
    with (
        pytest.raises(runner.ServiceError, match=r"ended with status 2\n(?s:.*)retrain-token.*must be set"),
        running(service),
    ):
        pass


def test_the_schedule_needs_no_token(retrain_url: str) -> None:
    assert call("POST", retrain_url, token=None)[1]["reason"] == "no labels are pending"


BAD_LABELS: list[tuple[object, int, str]] = [
    ({"text": "a"}, 400, "missing required field `label`"),
    ({"text": "a", "label": "maybe"}, 400, "label must be"),
    ({"text": "a", "label": 1.5}, 400, "`$.label`"),
    ({"text": 5, "label": 1}, 400, "Expected `str`, got `int` - at `$.text`; send"),
    ({"examples": [{"text": "a", "label": 1}, {"label": 1}]}, 400, "`$.examples[1]`; send"),
    (
        {"examples": [{"text": "a", "label": 1}, {"text": "a", "label": 2}]},
        400,
        "$.examples[1].label: the label must be",
    ),
    ({"examples": [{"text": "x" * 100_001, "label": 1}]}, 413, "$.examples[0].text has 100001 characters"),
    ({"examples": "a"}, 400, "`$.examples`; send"),
    ({}, 400, "missing required field `text`; send"),
    ([], 400, "send"),
    ({"text": "x" * 100_001, "label": 1}, 413, "100000 are allowed"),
    ({"examples": [{"text": "a", "label": 1}] * 10_001}, 413, "length <= 10000"),
    ({"text": "a", "label": 1, "source": ""}, 400, "source"),
    ({"text": "a", "label": 1, "id": []}, 400, "`$.id`"),
]


def test_bad_labels_get_a_clear_error_and_none_of_the_request_counts(retrain_url: str) -> None:
    for body, status, words in BAD_LABELS:
        found, answer = call("POST", retrain_url, body)
        assert found == status
        assert words in answer["detail"]
    body = b'{"more": ' + b"[" * 100_000
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    nested = urllib3.request("POST", retrain_url, body=body, headers=headers)
    assert (nested.status, "nested too deeply" in json.loads(nested.data)["detail"]) == (400, True)
    assert call("GET", retrain_url)[1]["pending"] == 0


def test_a_label_is_taken_back_over_http(retrain_url: str) -> None:
    call("POST", retrain_url, {"text": "good", "label": "positive", "id": "mine"})
    assert call("DELETE", f"{retrain_url}/labels/mine")[0] == 200
    assert call("DELETE", f"{retrain_url}/labels/mine")[0] == 404
    assert call("GET", retrain_url)[1]["pending"] == 0


def test_of_a_mixed_run_the_guilty_principal_is_refused_with_the_reason_and_the_others_are_learned(
    champion: str, trainer: Trainer, store: ModelStore, labels: Labels
) -> None:
    before, good = unpack(store.load(champion)), honest(60)
    labels.add(good)
    bad = [Label(label.text, label.label, "eve") for label in noise(100)]
    labels.add(bad)
    outcome = trainer.run(by="test")
    assert outcome.promoted is True, outcome.reason
    assert outcome.refused != UNSET
    assert [(each.principal, each.labels) for each in outcome.refused] == [("eve", 100)]
    assert "look like noise" in outcome.refused[0].reason
    assert (labels.counts().used, labels.counts().refused, labels.counts().pending) == (60, 100, 0)
    refused = labels.find(bad[0].id)
    assert refused is not None
    assert "look like noise" in str(refused.reason)
    current = store.current()
    assert current is not None
    expected = before.added(count_texts(label.text for label in good), [label.label for label in good])
    assert equal(unpack(store.load(current.version)), expected)


def test_the_words_that_moved_most_are_in_the_answer_the_manifest_and_the_log(
    champion: str, trainer: Trainer, store: ModelStore, labels: Labels, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="functions.retrain")
    labels.add([Label(f"brilliant film{number % 7} superb number{number}", 1, "ann") for number in range(40)])
    labels.add([Label(f"tedious film{number % 7} dull number{number}", 0, "ann") for number in range(40)])
    outcome = trainer.run(by="test")
    assert outcome.promoted, outcome.reason
    assert outcome.moved != UNSET
    assert len(outcome.moved) == 20
    assert {"brilliant", "tedious"} <= {each.word for each in outcome.moved[:4]}
    assert outcome.model is not None
    manifest = store.load(outcome.model).manifest
    assert manifest.moved == outcome.moved
    assert manifest.anchor is not None
    assert manifest.anchor.model == champion
    assert manifest.label_bound == Bound(words=3, times=2)
    first = outcome.moved[0]
    assert f"{first.word} {first.before:+.2f} to {first.after:+.2f}" in caplog.text


def test_a_long_label_counts_as_a_text_of_usual_length_and_is_taken_back_as_exactly(
    champion: str, trainer: Trainer, store: ModelStore, labels: Labels
) -> None:
    before = unpack(store.load(champion))
    long = Label("superb " * 1_000 + "lovely fun love great brilliant", 0, "eve")
    labels.add([long])
    outcome = trainer.run(by="test")
    assert outcome.model not in (None, champion), outcome.reason
    assert outcome.model is not None
    after = unpack(store.load(outcome.model))
    assert isinstance(before, Model)
    assert isinstance(after, Model)
    assert after.counts[0].sum() - before.counts[0].sum() <= 3
    place = after.vocabulary.index("superb")
    assert after.counts[0, place] - before.counts[0, before.vocabulary.index("superb")] < 1
    # A weight or a bound that has changed meanwhile is not what the label was counted with.
    taken_back = Trainer(store, labels, settings(label_weight=3.0)).take_back(long.id, by="test")
    assert taken_back.model is not None
    assert equal(unpack(store.load(taken_back.model)), before)


def test_the_schedule_starts_no_run_on_a_few_labels_and_an_operator_does(
    champion: str, trainer: Trainer, labels: Labels
) -> None:
    assert champion
    labels.add(honest(49))
    outcome = trainer.run(by="schedule", scheduled=True)
    assert (outcome.retrained, outcome.reason) == (False, "49 labels are pending, fewer than RETRAIN_LEAST (50)")
    labels.add(honest(1, start=49))
    assert trainer.run(by="schedule", scheduled=True).promoted
    labels.add(honest(1, start=50))
    assert trainer.run(by="test").promoted


def test_labels_that_others_contradict_start_no_run(champion: str, store: ModelStore, labels: Labels) -> None:
    assert champion
    trainer = Trainer(store, labels, settings(retrain_after=10))
    both = [Label(label.text, side, ("ann", "bob")[side]) for label in honest(20) for side in (0, 1)]
    taken = trainer.take(both)
    assert (taken.accepted, taken.pending, taken.retrained) == (40, 40, False)
    assert trainer.run(by="test").reason == "no labels are pending"


@pytest.fixture
def several_senders_url(champion: str, environment: Mapping[str, str], tmp_path: Path) -> Iterator[str]:
    assert champion
    tokens = {"RETRAIN_TOKEN": TOKEN, "LABEL_TOKENS": "support s-1\nstream s-2\n\n,support s-3,"}
    service = python_service("functions.retrain", tmp_path, {**environment, **tokens})
    with running(service):
        yield service.variables["URL"]


def test_whose_a_label_is_the_token_says_and_not_the_sender(several_senders_url: str, labels: Labels) -> None:
    body = {"text": "film", "label": 1, "source": "operator"}
    for token in ("s-1", "s-2", "s-3", "s-1", TOKEN):
        assert call("POST", several_senders_url, body, token)[0] == 202
    (label,) = labels.pending(maximum=10)
    assert label.principals == ["support", "stream", "operator"]
    assert label.source == "operator"


def test_a_token_for_labels_sends_labels_and_does_no_more(several_senders_url: str) -> None:
    label = {"text": "a private text", "label": 1}
    for method, path, body in (
        ("POST", "/?now=true", label),
        ("POST", "/?now=true", None),
        ("POST", "/?refused=true", None),
        ("POST", "/rollback", {}),
        ("DELETE", "/labels/x", None),
    ):
        status, answer = call(method, several_senders_url + path, body, "s-1")
        assert (status, "retrain-token" in answer["detail"]) == (403, True), (method, path)
    assert call("POST", several_senders_url, label, "s-1")[0] == 202
    assert call("POST", several_senders_url, {"text": "a private text", "label": 0}, "s-2")[0] == 202
    assert "conflicts" not in call("GET", several_senders_url, token="s-1")[1]
    assert call("GET", several_senders_url)[1]["conflicts"][0]["text"] == "a private text"
    assert call("POST", several_senders_url, None, "s-1")[0] == 200, "what the schedule may, everybody may"


@pytest.mark.parametrize("line", ["just-one-word", "operator s-1", "a b c", "support s-1\nother s-1"])
def test_a_line_of_label_tokens_that_names_nobody_is_named_and_not_shown(
    line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LABEL_TOKENS", f"first token-of-first\n{line}")
    with pytest.raises(SettingsError, match=r"entry [23] of the secret label-tokens must be a name") as caught:
        Settings()
    assert "s-1" not in str(caught.value)
