"""Whom clients are told to trust: a secret, else the environment's variables, of which an empty one is none."""

import os
from pathlib import Path

import pytest
import trustme

from process.tls import VARIABLES, trust_authorities


@pytest.fixture(autouse=True)
def secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of secrets, with none in it; the environment names another file of certificates."""
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(str(other))
    for name in VARIABLES:
        monkeypatch.setenv(name, str(other))
    folder = tmp_path / "secrets"
    folder.mkdir()
    monkeypatch.setenv("SECRETS_DIR", str(folder))
    return folder


def told() -> set[str | None]:
    trust_authorities()
    return {os.environ.get(name) for name in VARIABLES}


def test_a_secret_comes_before_the_environment(secrets: Path) -> None:
    secret = secrets / "ca-certificates"
    trustme.CA().cert_pem.write_to_path(str(secret))
    assert told() == {str(secret)}


def test_a_secret_of_a_line_feed_is_none(secrets: Path, tmp_path: Path) -> None:
    (secrets / "ca-certificates").write_text("\n")
    assert told() == {str(tmp_path / "other.pem")}


def test_an_empty_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.setenv(name, "")
    assert told() == {None}
