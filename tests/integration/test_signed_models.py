"""Who can write to the bucket and has no key changes nothing that is served: versions and promotions are signed."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import urllib3
from prometheus_client.parser import text_string_to_metric_families

from contracts.codec import to_document
from contracts.manifest import MANIFEST
from deploy import key_pair
from deploy.runner import Service, wait_until
from functions.drift.references import References
from functions.drift.settings import Settings as DriftSettings
from functions.retrain.settings import Settings as RetrainSettings
from functions.retrain.trainer import Trainer
from model_store.__main__ import main
from model_store.errors import CurrentRefused, StoreError, VersionDistrusted
from model_store.layout import Current, next_promotion, version_key
from model_store.publishing import ModelStore
from model_store.publishing.objects import client
from model_store.serving import CurrentPoller, ModelWatcher, Refusal, StoreReader, load_scorer
from model_store.settings import Settings
from model_store.signatures import KeyHolder
from model_store.trust import UNSIGNED, Signer, trust
from records import Records
from records.drift import DriftRecords
from records.labels import Label, Labels
from sentiment.artifact import TRIE_PART, Artifact
from sentiment.model import Model
from sentiment.packing import pack, unpack
from tests.models import ABOUT
from tests.running import running
from tests.system import python_service

POLL_SECONDS = 0.05


def pair() -> dict[str, str]:
    """A key pair as settings."""
    signing_key = key_pair.signing_key()
    return {"MODEL_SIGNING_KEY": signing_key, "MODEL_PUBLIC_KEY": key_pair.public_key(signing_key)}


def holder(keys: Mapping[str, str]) -> KeyHolder:
    return KeyHolder(bytes.fromhex(keys["MODEL_SIGNING_KEY"]))


@pytest.fixture
def records(environment: dict[str, str]) -> Iterator[Records]:
    assert environment
    found = Records.from_environment()
    yield found
    found.close()


def artifact(love: float, hate: float) -> Artifact:
    model = Model(("hate", "love"), np.array([[10.0, 10.0], [hate, love]]), np.array([2.0, 2.0]))
    return pack(model, ABOUT)


LOVING, HATING = artifact(love=90, hate=1), artifact(love=1, hate=90)
LOVED = to_document(unpack(LOVING).scorer().score("love"))


@dataclass(frozen=True)
class Bucket:
    """The bucket as those see it who may write to it: the operator, who has the key, and an attacker with another."""

    name: str
    operator: ModelStore
    key: KeyHolder
    attacker: KeyHolder

    def get(self, key: str) -> bytes:
        return client(Settings()).get_object(Bucket=self.name, Key=key)["Body"].read()

    def put(self, key: str, content: bytes) -> None:
        client(Settings()).put_object(Bucket=self.name, Key=key, Body=content)

    def move(self, name: str, version: str, to: str) -> None:
        self.put(version_key(to, name), self.get(version_key(version, name)))

    def names(self, version: str) -> list[str]:
        """The files of a version."""
        prefix = f"versions/{version}/"
        listed = client(Settings()).list_objects_v2(Bucket=self.name, Prefix=prefix)["Contents"]
        return [entry["Key"].removeprefix(prefix) for entry in listed]

    def publish(self, content: Artifact, version: str, signer: Signer | None) -> None:
        """Write a version in somebody's name."""
        ModelStore(client(Settings()), self.name, signer=signer or UNSIGNED).publish(content, version)

    def point_at(self, version: str, signer: Signer | None) -> None:
        """Write current.json in somebody's name, without a look at the version."""
        promotion = next_promotion(None, version=version, by="vandal", reason="test")
        self.put("current.json", Current.to_bytes(promotion, signer or UNSIGNED))

    def promote(self, version: str) -> Current:
        return self.operator.promote(version, expected=self.operator.current(), by="operator", reason="test")


@pytest.fixture
def keys(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The operator's pair, which the environment has."""
    made = pair()
    for name, value in made.items():
        monkeypatch.setenv(name, value)
    environment |= made
    return made


@pytest.fixture
def bucket(keys: dict[str, str], bucket: str) -> Bucket:
    """A bucket in which the signed version `good` is served."""
    operator = ModelStore.from_environment()
    operator.ensure_bucket()
    operator.publish(LOVING, "good")
    found = Bucket(bucket, operator, holder(keys), holder(pair()))
    found.promote("good")
    return found


def an_unsigned_promotion(bucket: Bucket) -> None:
    bucket.operator.publish(HATING, "bad")
    bucket.point_at("bad", None)


def a_promotion_signed_by_another_key(bucket: Bucket) -> None:
    bucket.operator.publish(HATING, "bad")
    bucket.point_at("bad", bucket.attacker)


def a_promotion_that_was_altered(bucket: Bucket) -> None:
    """It names another version, which is signed itself."""
    bucket.operator.publish(HATING, "bad")
    document = json.loads(bucket.get("current.json"))
    document["version"] = document["promotion"]["to"] = "bad"
    document["promotion"]["at"] = "2099-01-01T00:00:00+00:00"
    bucket.put("current.json", json.dumps(document).encode())


def a_promotion_with_the_signature_of_a_version(bucket: Bucket) -> None:
    bucket.operator.publish(HATING, "bad")
    (name,) = (name for name in bucket.names("bad") if name.endswith(".sig"))
    document = json.loads(bucket.get("current.json"))
    document["version"] = document["promotion"]["to"] = "bad"
    document["signature"] = bucket.get(version_key("bad", name)).decode().strip()
    bucket.put("current.json", json.dumps(document).encode())


def an_unsigned_version(bucket: Bucket) -> None:
    bucket.publish(HATING, "bad", None)
    bucket.point_at("bad", bucket.key)


def a_version_signed_by_another_key(bucket: Bucket) -> None:
    bucket.publish(HATING, "bad", bucket.attacker)
    bucket.point_at("bad", bucket.key)


def a_version_signed_anew_by_another_key(bucket: Bucket) -> None:
    """What the other key signed stands where the signature of the right key should."""
    bucket.publish(HATING, "bad", bucket.attacker)
    (theirs,) = bucket.attacker.sign_version("bad", b"")
    (ours,) = bucket.key.sign_version("bad", b"")
    bucket.put(version_key("bad", ours), bucket.get(version_key("bad", theirs)))
    bucket.point_at("bad", bucket.key)


def a_version_that_was_altered(bucket: Bucket) -> None:
    """Its parts are others, and its manifest has their hashes."""
    bucket.publish(LOVING, "bad", bucket.key)
    for name, content in HATING.parts.items():
        bucket.put(version_key("bad", name), content)
    bucket.put(version_key("bad", MANIFEST), HATING.manifest.to_bytes())
    bucket.point_at("bad", bucket.key)


def a_version_under_the_name_of_another(bucket: Bucket) -> None:
    """Whole and signed, but for another id."""
    bucket.operator.publish(HATING, "withdrawn")
    for name in bucket.names("withdrawn"):
        bucket.move(name, "withdrawn", to="bad")
    bucket.point_at("bad", bucket.key)


FORGED_PROMOTIONS = [
    an_unsigned_promotion,
    a_promotion_signed_by_another_key,
    a_promotion_that_was_altered,
    a_promotion_with_the_signature_of_a_version,
]
FORGED_VERSIONS = [
    an_unsigned_version,
    a_version_signed_by_another_key,
    a_version_signed_anew_by_another_key,
    a_version_that_was_altered,
    a_version_under_the_name_of_another,
]
Attack = Callable[[Bucket], None]


class Following:
    """Follows the store as predict does, in this process."""

    def __init__(self) -> None:
        reader, trusted = StoreReader(), trust()
        self.refusals: list[Refusal] = []
        self.watcher = ModelWatcher(
            CurrentPoller(reader, trusted),
            partial(load_scorer, reader.get, trust=trusted),
            poll_seconds=POLL_SECONDS,
            on_refusal=self.refusals.append,
        )

    def serves(self, version: str) -> bool:
        return wait_until(lambda: self.watcher.served is not None and self.watcher.served.version == version, 20)

    def refuses(self, count: int) -> bool:
        return wait_until(lambda: len(self.refusals) == count, 20)


@pytest.fixture
def predict(bucket: Bucket) -> Iterator[Following]:
    assert bucket
    following = Following()
    following.watcher.start()
    assert following.serves("good")
    yield following
    following.watcher.stop()


@pytest.mark.parametrize("attack", FORGED_PROMOTIONS + FORGED_VERSIONS)
def test_predict_refuses_what_was_forged_once_and_serves_on(
    bucket: Bucket, predict: Following, attack: Attack, caplog: pytest.LogCaptureFixture
) -> None:
    attack(bucket)
    assert predict.refuses(1)
    assert not wait_until(lambda: len(predict.refusals) > 1, timeout_seconds=10 * POLL_SECONDS)
    assert predict.refusals[0].untrusted
    assert f"{predict.refusals[0]}; still serving: good" in caplog.text
    bucket.operator.publish(HATING, "better")
    bucket.operator.serve("better", by="operator", reason="after the attack")
    assert predict.serves("better")
    assert len(predict.refusals) == 1


def test_predict_refuses_a_promotion_that_is_replayed(bucket: Bucket, predict: Following) -> None:
    replayed = bucket.get("current.json")
    bucket.promote(bucket.operator.publish(HATING, "better"))
    assert predict.serves("better")
    bucket.put("current.json", replayed)
    assert predict.refuses(1)
    assert predict.refusals[0].untrusted
    assert "is a replay" in str(predict.refusals[0])
    assert predict.serves("better")


def test_an_old_promotion_that_the_operator_put_back_is_taken_once_it_is_signed_anew(
    bucket: Bucket, predict: Following
) -> None:
    backup = bucket.get("current.json")
    bucket.promote(bucket.operator.publish(HATING, "better"))
    assert predict.serves("better")
    bucket.put("current.json", backup)
    assert predict.refuses(1)
    assert main(["sign"]) == 0
    assert predict.serves("good")


def test_predict_refuses_a_replay_after_current_was_removed(bucket: Bucket, predict: Following) -> None:
    replayed = bucket.get("current.json")
    bucket.promote(bucket.operator.publish(HATING, "better"))
    assert predict.serves("better")
    client(Settings()).delete_object(Bucket=bucket.name, Key="current.json")
    bucket.put("current.json", replayed)
    assert predict.refuses(1)
    assert predict.serves("better")


def test_a_rollback_is_a_new_promotion_and_no_replay(bucket: Bucket, predict: Following) -> None:
    bucket.promote(bucket.operator.publish(HATING, "better"))
    assert predict.serves("better")
    assert bucket.operator.rollback(by="operator", reason="worse").version == "good"
    assert predict.serves("good")
    assert predict.refusals == []


@pytest.fixture
def trainer(bucket: Bucket, records: Records) -> Trainer:
    assert bucket
    return Trainer(ModelStore.from_environment(), Labels(records), RetrainSettings())


@pytest.fixture
def references(bucket: Bucket, records: Records) -> References:
    assert bucket
    return References(ModelStore.from_environment(), DriftRecords(records), DriftSettings())


@pytest.mark.parametrize("attack", FORGED_PROMOTIONS)
def test_retrain_and_drift_refuse_a_forged_promotion(
    bucket: Bucket, trainer: Trainer, references: References, attack: Attack
) -> None:
    attack(bucket)
    with pytest.raises(CurrentRefused):
        trainer.run(by="test")
    with pytest.raises(CurrentRefused):
        references.watched()


@pytest.mark.parametrize("attack", FORGED_VERSIONS)
def test_retrain_and_drift_refuse_a_forged_version(
    bucket: Bucket, trainer: Trainer, references: References, attack: Attack
) -> None:
    attack(bucket)
    with pytest.raises(VersionDistrusted):
        trainer.run(by="test")
    with pytest.raises(VersionDistrusted):
        references.watched()
    bucket.operator.serve("good", by="operator", reason="after the attack")
    with pytest.raises(VersionDistrusted):
        trainer.roll_back("bad", by="somebody who believes the bucket")
    assert trainer.run(by="test").model == "good"


def test_retrain_and_drift_refuse_a_promotion_that_is_replayed(
    bucket: Bucket, trainer: Trainer, references: References
) -> None:
    replayed = bucket.get("current.json")
    bucket.promote(bucket.operator.publish(HATING, "better"))
    assert trainer.run(by="test").model == "better"
    watched = references.watched()
    assert watched
    assert watched.version == "better"
    bucket.put("current.json", replayed)
    with pytest.raises(CurrentRefused, match="is a replay"):
        trainer.run(by="test")
    with pytest.raises(CurrentRefused, match="is a replay"):
        references.watched()


def test_a_version_that_retrain_makes_is_served(bucket: Bucket, trainer: Trainer, predict: Following) -> None:
    learned = trainer.learn([Label("love", 1, "test", None), Label("hate", 0, "test", None)], by="test")
    assert learned.promoted
    assert learned.model
    assert predict.serves(learned.model)
    assert bucket.operator.load(learned.model).manifest.parent == "good"


def test_retrain_rolls_back_over_a_current_that_is_refused(
    bucket: Bucket, trainer: Trainer, predict: Following
) -> None:
    bucket.promote(bucket.operator.publish(HATING, "worse"))
    assert predict.serves("worse")
    bucket.point_at("worse", bucket.attacker)
    assert predict.refuses(1)
    with pytest.raises(CurrentRefused):
        trainer.roll_back(None, by="operator")
    assert trainer.roll_back("good", by="operator").model == "good"
    assert predict.serves("good")


def test_a_reader_takes_what_is_signed_by_either_of_two_keys(
    bucket: Bucket, keys: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """So keys are changed without a stop: the readers know both, then the new one signs, then the old one goes."""
    new = pair()
    monkeypatch.setenv("MODEL_PUBLIC_KEY", f"{keys['MODEL_PUBLIC_KEY']} {new['MODEL_PUBLIC_KEY']}")
    monkeypatch.setenv("MODEL_SIGNING_KEY", new["MODEL_SIGNING_KEY"])
    both = ModelStore.from_environment()
    current = both.current()
    assert current
    assert current.version == "good"
    assert main(["sign"]) == 0
    monkeypatch.setenv("MODEL_PUBLIC_KEY", new["MODEL_PUBLIC_KEY"])
    after = ModelStore.from_environment()
    current = after.current()
    assert current
    assert current.version == "good"
    assert after.load("good") == LOVING
    with pytest.raises(CurrentRefused):
        bucket.operator.current()


def test_what_is_served_and_refused_is_not_signed_without_its_name(
    bucket: Bucket, capsys: pytest.CaptureFixture[str]
) -> None:
    bucket.publish(HATING, "bad", bucket.attacker)
    bucket.point_at("bad", bucket.attacker)
    assert main(["sign"]) == 1
    assert "current.json is refused" in capsys.readouterr().err
    with pytest.raises(VersionDistrusted):
        bucket.operator.load("bad")


def test_an_operator_signs_what_an_earlier_release_left(
    bucket: Bucket, predict: Following, capsys: pytest.CaptureFixture[str]
) -> None:
    bucket.publish(HATING, "earlier", None)
    assert main(["promote", "earlier"]) == 1
    said = capsys.readouterr().err
    assert "no key of MODEL_PUBLIC_KEY has signed it" in said
    assert "`python -m model_store sign earlier` signs it" in said
    assert main(["sign", "earlier"]) == 0
    assert main(["sign", "earlier"]) == 0  # signing it again changes nothing
    assert main(["promote", "earlier"]) == 0
    assert predict.serves("earlier")


def test_what_is_damaged_is_not_signed(bucket: Bucket, capsys: pytest.CaptureFixture[str]) -> None:
    bucket.publish(HATING, "damaged", None)
    bucket.put(version_key("damaged", TRIE_PART), b"other")
    assert main(["sign", "damaged"]) == 1
    assert "has another SHA-256" in capsys.readouterr().err
    assert not any(name.endswith(".sig") for name in bucket.names("damaged"))


def test_the_operator_sees_what_is_refused_and_puts_it_right(
    bucket: Bucket, predict: Following, capsys: pytest.CaptureFixture[str]
) -> None:
    bucket.publish(HATING, "bad", bucket.attacker)
    bucket.point_at("bad", bucket.attacker)
    assert predict.refuses(1)
    assert main(["list"]) == 0
    refused, *versions = capsys.readouterr().out.splitlines()
    bad, good = sorted(versions)
    assert refused.startswith("current.json is refused: it is signed by no key of MODEL_PUBLIC_KEY")
    assert good.startswith("  good ")
    assert "version bad is not trusted" in bad
    assert main(["rollback"]) == 1
    assert "current.json is refused" in capsys.readouterr().err
    assert main(["history"]) == 0
    assert "none -> good" in capsys.readouterr().out
    assert main(["promote", "good"]) == 0
    current = bucket.operator.current()
    assert current
    assert current.version == "good"
    # What was refused has left no trace in the log.
    assert [promotion.version for promotion in bucket.operator.history()] == ["good", "good"]


def test_who_has_no_signing_key_can_neither_publish_nor_promote(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.operator.publish(HATING, "better")
    monkeypatch.delenv("MODEL_SIGNING_KEY")
    reader = ModelStore.from_environment()
    for forbidden in (
        lambda: reader.publish(HATING, "new"),
        lambda: reader.serve("better", by="reader", reason="test"),
        lambda: reader.sign("better"),
    ):
        with pytest.raises(StoreError, match="set MODEL_SIGNING_KEY"):
            forbidden()
    current = reader.current()
    assert current
    assert current.version == "good"


# --- the processes ---


def ask(service: Service, method: str, path: str = "/", body: object = None) -> tuple[int, dict[str, Any]]:
    content = b"" if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"} if content else {}
    url = service.variables["URL"] + path
    answer = urllib3.request(method, url, body=content, headers=headers, retries=False)
    return answer.status, json.loads(answer.data)


def metric(service: Service, name: str) -> float:
    content = urllib3.request("GET", f"{service.variables['URL']}/metrics").data.decode()
    families = text_string_to_metric_families(content)
    (value,) = (sample.value for family in families for sample in family.samples if sample.name == name)
    return float(value)


def test_the_functions_refuse_a_forged_promotion_and_the_operator_rolls_back(
    bucket: Bucket, environment: dict[str, str], tmp_path: Path
) -> None:
    readers = {name: value for name, value in environment.items() if name != "MODEL_SIGNING_KEY"}
    predict = python_service("functions.predict", tmp_path, {**readers, "POLL_SECONDS": "0.1"})
    drift = python_service("functions.drift", tmp_path, {**readers, "RABBITMQ_URL": ""})
    retrain = python_service("functions.retrain", tmp_path, environment)
    bucket.publish(HATING, "bad", bucket.attacker)
    with ExitStack() as stack:
        for service in (predict, drift, retrain):
            stack.enter_context(running(service))
        assert ask(predict, "POST", body={"text": "love"})[1]["model"] == "good"
        bucket.point_at("bad", bucket.attacker)
        assert wait_until(lambda: metric(predict, "predict_model_untrusted_total") == 1, 20)
        assert metric(predict, "predict_model_refused_total") == 1
        assert "current.json is refused: it is signed by no key of MODEL_PUBLIC_KEY" in predict.log.read_text()
        assert ask(predict, "POST", body={"text": "love"})[1] == {**LOVED, "model": "good"}
        for status, problem in (ask(drift, "POST"), ask(retrain, "POST", "/?now=true")):
            assert status == 500
            assert "current.json is refused" in problem["detail"]
        assert ask(retrain, "POST", "/rollback", {"to": "bad"})[0] == 500
        assert ask(retrain, "POST", "/rollback", {"to": "good"})[0] == 200
        assert ask(drift, "POST")[0] == 200
        assert ask(predict, "POST", body={"text": "love"})[1]["model"] == "good"
