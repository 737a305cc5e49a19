"""deploy.first_model on a real store: it trains where there is nothing to serve, and says what it did."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

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


def first_model(environment: Mapping[str, str], data: str) -> str:
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
    assert result.returncode == 0, result.stdout
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
    assert said == f"model {old} is of an older format: packed again as {current.version}\n"
