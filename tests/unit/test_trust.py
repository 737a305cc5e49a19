"""Whom readers believe, as the environment tells, and what they remember."""

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from contracts.codec import Malformed, compact, encode
from contracts.manifest import Promotion
from deploy import key_pair
from model_store.current import CurrentReader
from model_store.errors import CurrentRefused
from model_store.layout import Current, next_promotion
from model_store.signatures import KeyHolder, KeyHolders
from model_store.trust import EVERYBODY, UNSIGNED, signer, trust
from model_store.versions import StoredObject
from process.settings import SettingsError
from tests.project import ROOT

SIGNING_KEY = key_pair.signing_key()
PUBLIC_KEY = key_pair.public_key(SIGNING_KEY)
HOLDER = KeyHolder(bytes.fromhex(SIGNING_KEY))
OTHER_KEY = key_pair.signing_key()


@pytest.fixture(autouse=True)
def no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MODEL_PUBLIC_KEY", raising=False)
    monkeypatch.delenv("MODEL_SIGNING_KEY", raising=False)


def written(promotion: Promotion, by: KeyHolder = HOLDER) -> StoredObject:
    """current.json as the store gives it."""
    return StoredObject(Current.to_bytes(promotion, by), '"etag"')


def promoted(version: str, last: Promotion | None = None) -> Promotion:
    return next_promotion(last, version=version, by="ann", reason="naïve “reason” 🙂 \\ \n")


def test_without_keys_everybody_is_believed_and_nothing_signed(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    assert trust() is EVERYBODY
    assert "MODEL_PUBLIC_KEY is not set" in caplog.text
    assert signer() is UNSIGNED
    unsigned = Current.to_bytes(promoted("v1"))
    assert "signature" not in json.loads(unsigned)
    assert Current.from_bytes(unsigned, '"etag"').version == "v1"


def test_without_a_public_key_a_signed_promotion_is_read_too() -> None:
    stored = written(promoted("v1"))
    assert Current.from_bytes(stored.content, stored.etag, trust()).version == "v1"


def test_with_keys_what_they_sign_is_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODEL_PUBLIC_KEY", f" {PUBLIC_KEY}\n")
    monkeypatch.setenv("MODEL_SIGNING_KEY", SIGNING_KEY)
    promotion = promoted("v1")
    content = Current.to_bytes(promotion, signer())
    assert Current.from_bytes(content, '"etag"', trust()) == Current("v1", '"etag"', promotion)


def test_white_space_between_the_values_of_current_is_not_signed() -> None:
    promotion = promoted("v1")
    content = json.dumps(json.loads(written(promotion).content), ensure_ascii=False, indent=7).encode()
    assert Current.from_bytes(content, "", KeyHolders([HOLDER.public_key])).promotion == promotion


@pytest.mark.parametrize("field", ["id", "at", "by", "from", "to", "reason", "more"])
def test_each_field_of_a_promotion_is_signed(field: str) -> None:
    document = json.loads(written(promoted("v1")).content)
    document["promotion"][field] = "2026-01-02T03:04:05+00:00" if field == "at" else "v2"
    document["version"] = document["promotion"]["to"]
    with pytest.raises(CurrentRefused, match="or was altered") as refused:
        Current.from_bytes(json.dumps(document).encode(), "", KeyHolders([HOLDER.public_key]))
    assert refused.value.untrusted


@pytest.mark.parametrize("signature", ["", "00", "x" * 128, "0" * 128, "é" * 128, "00" * 10_000, 5, None, ["a"]])
def test_what_is_no_signature_is_refused(signature: object) -> None:
    document = {**json.loads(written(promoted("v1")).content), "signature": signature}
    with pytest.raises(CurrentRefused):
        Current.from_bytes(json.dumps(document).encode(), "", KeyHolders([HOLDER.public_key]))


def test_a_key_that_nobody_can_sign_with_believes_nothing() -> None:
    with pytest.raises(CurrentRefused):
        Current.from_bytes(written(promoted("v1")).content, "", KeyHolders([bytes(32)]))


@pytest.mark.parametrize("key", ["0", PUBLIC_KEY[:-1], PUBLIC_KEY + "0", "x" * 64, PUBLIC_KEY.upper() + "A"])
@pytest.mark.parametrize("variable", ["MODEL_PUBLIC_KEY", "MODEL_SIGNING_KEY"])
def test_a_key_that_is_none_is_a_wrong_setting_that_is_not_shown(
    variable: str, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, key)
    with pytest.raises(SettingsError, match=f"{variable} must be 64 digits from 0 to f") as wrong:
        signer()
    assert key == "0" or key not in str(wrong.value)


def test_keys_that_are_no_pair_are_a_wrong_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODEL_PUBLIC_KEY", PUBLIC_KEY)
    monkeypatch.setenv("MODEL_SIGNING_KEY", OTHER_KEY)
    with pytest.raises(SettingsError, match="not the other half"):
        signer()
    monkeypatch.setenv("MODEL_PUBLIC_KEY", f"{PUBLIC_KEY} {key_pair.public_key(OTHER_KEY)}")
    assert signer().sign_promotion(b"{}")


def test_a_promotion_older_than_one_that_was_read_is_a_replay() -> None:
    reader = CurrentReader(KeyHolders([HOLDER.public_key]))
    first = promoted("v1")
    second = promoted("v2", first)
    for promotion in (first, first, second, second):
        assert reader.read(written(promotion), reader.newest).promotion == promotion
    with pytest.raises(CurrentRefused, match="is a replay") as refused:
        reader.read(written(first), reader.newest)
    assert refused.value.untrusted
    same_time = msgspec.structs.replace(first, at=second.at)
    with pytest.raises(CurrentRefused, match="is a replay"):
        reader.read(written(same_time), reader.newest)
    assert reader.newest == second


def test_times_are_compared_whatever_their_zones() -> None:
    reader = CurrentReader(KeyHolders([HOLDER.public_key]))
    first = msgspec.structs.replace(promoted("v1"), at="2026-01-02T03:00:00+00:00")
    later = msgspec.structs.replace(promoted("v2"), at="2026-01-02T01:00:00-05:00")
    reader.read(written(first), reader.newest)
    assert reader.read(written(later), reader.newest).version == "v2"


def test_what_was_asked_for_before_a_newer_one_was_read_is_no_replay() -> None:
    """Two threads: the first asks and is slow, the second asks later and is answered first."""
    reader = CurrentReader(KeyHolders([HOLDER.public_key]))
    first = promoted("v1")
    second = promoted("v2", first)
    known_to_the_first = reader.newest
    reader.read(written(second), reader.newest)
    assert reader.read(written(first), known_to_the_first).version == "v1"
    assert reader.newest == second


def test_without_a_public_key_an_older_promotion_is_read() -> None:
    reader = CurrentReader(EVERYBODY)
    first = promoted("v1")
    reader.read(written(promoted("v2", first)), reader.newest)
    assert reader.read(written(first), reader.newest).version == "v1"


def test_a_promotion_follows_the_newest_that_was_read_even_when_the_clock_goes_back() -> None:
    ahead = msgspec.structs.replace(promoted("v1"), at=(datetime.now(UTC) + timedelta(days=1)).isoformat())
    assert datetime.fromisoformat(promoted("v2", ahead).at) > datetime.fromisoformat(ahead.at)


def test_compact_json_is_what_was_encoded() -> None:
    promotion = promoted("v1")
    assert compact(msgspec.Raw(msgspec.json.format(encode(promotion), indent=3))) == encode(promotion)
    with pytest.raises(Malformed):
        compact(msgspec.Raw(b"{"))


@pytest.mark.parametrize(("environment", "imported"), [({}, False), ({"MODEL_PUBLIC_KEY": PUBLIC_KEY}, True)])
def test_libsodium_is_in_a_process_that_has_a_key_and_in_no_other(environment: dict[str, str], imported: bool) -> None:
    code = """
import sys
from functions.predict.__main__ import trust
trust()
print("nacl" in sys.modules, "cryptography" in sys.modules, "numpy" in sys.modules)
"""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(imported), "False", "False"]
