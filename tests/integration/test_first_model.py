"""deploy.first_model on a real store: it trains where there is nothing to serve, and says what it did."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from deploy.key_pair import public_key, signing_key
from model_store.publishing import ModelStore
from model_store.publishing.objects import client
from model_store.settings import Settings
from tests.integration.test_model_store import artifact, as_the_first_format
from tests.project import ROOT
from tests.system import promote


@pytest.fixture
def reviews(tmp_path: Path) -> str:
    """A file of forty labelled texts."""
    rows = [f"a lovely film number {n},1\nan awful film number {n},0\n" for n in range(20)]
    path = tmp_path / "reviews.csv"
    path.write_text("text,label\n" + "".join(rows))
    return str(path)


def first_model(environment: Mapping[str, str], data: str, *, status: int = 0) -> str:
    """Run the command against the store that the environment names; return what it says."""
    result = subprocess.run(
        [sys.executable, "-m", "deploy.first_model"],
        cwd=ROOT,
        env={**os.environ, **environment, "TRAIN_DATA": data, "PROMOTED_BY": "a test"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert result.returncode == status, result.stdout
    return result.stdout


def test_a_store_without_a_model_gets_one_and_the_log_names_who_promoted_it(
    environment: dict[str, str], store: ModelStore, reviews: str
) -> None:
    assert f"training the first model on {reviews} ..." in first_model(environment, reviews)
    current = store.current()
    assert current is not None
    assert (current.promotion.by, current.promotion.reason) == ("a test", "the first model")
    assert first_model(environment, reviews) == f"model {current.version} is there: no training\n"


def test_a_model_of_an_older_format_is_packed_again_and_one_line_says_so(
    environment: dict[str, str], store: ModelStore, bucket: str
) -> None:
    old = promote(artifact())
    as_the_first_format(client(Settings()), bucket, old)
    said = first_model(environment, "not needed")
    current = store.current()
    assert current is not None
    assert current.version != old
    assert current.promotion.by == "a test"
    assert said == (
        f"model {old} is of an older format: packed again as {current.version}\n"
        f"model {current.version} is there: no training\n"
    )


def test_a_model_is_trained_anew_where_trainer_names_another_than_that_of_the_served_one(
    environment: dict[str, str], store: ModelStore, reviews: str
) -> None:
    first_model(environment, reviews)
    old = store.current()
    assert old is not None
    assert store.algorithm(old.version) == "multinomial-nb"
    logistic = {**environment, "TRAINER": "nb-logistic"}
    said = first_model(logistic, reviews).splitlines()
    assert said[0] == f"model {old.version} is of multinomial-nb, and TRAINER asks for nb-logistic"
    new = store.current()
    assert new is not None
    assert store.algorithm(new.version) == "nb-logistic"
    assert new.promotion.reason == "TRAINER=nb-logistic: trained anew"
    for same in (logistic, environment):
        assert first_model(same, reviews) == f"model {new.version} is there: no training\n"


def test_a_trainer_that_does_not_exist_is_one_clear_line(environment: dict[str, str], reviews: str) -> None:
    said = first_model({**environment, "TRAINER": "oracle"}, reviews, status=1)
    assert said == "no first model: TRAINER must be multinomial-nb or nb-logistic, not 'oracle'\n"


@pytest.fixture
def keys() -> dict[str, str]:
    secret = signing_key()
    return {"MODEL_SIGNING_KEY": secret, "MODEL_PUBLIC_KEY": public_key(secret)}


def test_the_first_model_is_signed_where_there_is_a_key(
    environment: dict[str, str], store: ModelStore, reviews: str, keys: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "training the first model" in first_model({**environment, **keys}, reviews)
    monkeypatch.setenv("MODEL_PUBLIC_KEY", keys["MODEL_PUBLIC_KEY"])
    reader = ModelStore.from_environment()
    current = reader.current()
    assert current is not None
    assert current == store.current()
    reader.load(current.version)


def test_a_model_that_was_not_signed_is_signed_on_the_users_word_alone(
    environment: dict[str, str], store: ModelStore, keys: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    store.ensure_bucket()
    old = promote(artifact())
    said = first_model({**environment, **keys}, "not needed", status=1).splitlines()
    assert said == [
        f"where you know who made {old}, SIGN_SERVED=yes signs it",
        "no first model: current.json is refused: it is not signed",
    ]
    said = first_model({**environment, **keys, "SIGN_SERVED": "yes"}, "not needed").splitlines()
    assert said == [f"model {old} was not signed: signed", f"model {old} is there: no training"]
    monkeypatch.setenv("MODEL_PUBLIC_KEY", keys["MODEL_PUBLIC_KEY"])
    reader = ModelStore.from_environment()
    assert [promotion.version for promotion in reader.history()] == [old, old]
    reader.load(old)


def test_an_unsigned_model_of_an_older_format_is_signed_and_packed_again(
    environment: dict[str, str], bucket: str, keys: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    old = promote(artifact())
    as_the_first_format(client(Settings()), bucket, old)
    first_model({**environment, **keys, "SIGN_SERVED": "yes"}, "not needed")
    monkeypatch.setenv("MODEL_PUBLIC_KEY", keys["MODEL_PUBLIC_KEY"])
    reader = ModelStore.from_environment()
    current = reader.current()
    assert current is not None
    assert reader.load(current.version).manifest.parent == old


def test_keys_that_are_no_pair_are_one_clear_line(environment: dict[str, str], keys: dict[str, str]) -> None:
    wrong = {**keys, "MODEL_PUBLIC_KEY": public_key(signing_key())}
    said = first_model({**environment, **wrong}, "not needed", status=1)
    assert said == "no first model: MODEL_PUBLIC_KEY is not the other half of MODEL_SIGNING_KEY\n"
