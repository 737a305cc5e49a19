"""One suite for the model store, over moto and over a real S3 server."""

import itertools
import json
import secrets
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest
from moto import mock_aws

from contracts.manifest import FORMAT
from model_store.__main__ import main
from model_store.errors import (
    ConditionalWritesIgnored,
    InvalidDocument,
    ObjectTooLarge,
    PromotionConflict,
    StoreDenied,
    StoreError,
    StoreUnavailable,
    VersionExists,
    VersionNotFound,
)
from model_store.layout import Current
from model_store.publishing import ModelStore, store
from model_store.publishing.objects import client as s3_client
from model_store.settings import Settings
from sentiment.artifact import Artifact, ArtifactError
from sentiment.evaluation import evaluate
from sentiment.model import Model
from sentiment.packing import pack, unpack
from tests.conftest import S3Server
from tests.models import ABOUT, equal

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


class Killed(BaseException):
    """Stands for kill -9: nothing catches it."""


METRICS = evaluate([1.0] * 13 + [-1.0] * 3, [1] * 16)


def artifact(alpha: float = 1.0, **about: Any) -> Artifact:
    model = Model(("awful", "lovely"), np.array([[7.0, 1.0], [2.0, 9.0]]), np.array([5.0, 5.0]), alpha)
    return pack(model, msgspec.structs.replace(ABOUT, **about), {"holdout.npz": b"texts"})


@pytest.fixture(params=["moto", "seaweedfs"])
def client(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, bucket: str) -> Iterator["S3Client"]:
    monkeypatch.setenv("S3_BUCKET", bucket)
    if request.param == "moto":
        monkeypatch.delenv("S3_ENDPOINT_URL", raising=False)
        with mock_aws():
            yield s3_client(Settings())
    else:
        server: S3Server = request.getfixturevalue("s3_server")
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        yield s3_client(Settings())


@pytest.fixture
def models(client: "S3Client", bucket: str) -> ModelStore:
    """A store with an empty bucket."""
    found = ModelStore(client, bucket)
    found.ensure_bucket()
    return found


def promoted(models: ModelStore, version: str) -> Current:
    return models.promote(version, expected=models.current(), by="tester", reason="test")


def killed_at(client: "S3Client", key_part: str, *, writes_before: int = 0) -> None:
    """Make the client end its process, so to speak, where it would write a key with this in it."""
    writes = itertools.count()

    def kill(params: dict[str, Any], **_: Any) -> None:
        if key_part in params["Key"] and next(writes) == writes_before:
            raise Killed

    client.meta.events.register("before-parameter-build.s3.PutObject", kill, unique_id="kill")


def alive_again(client: "S3Client") -> None:
    client.meta.events.unregister("before-parameter-build.s3.PutObject", unique_id="kill")


def test_a_published_version_loads_as_it_was(models: ModelStore) -> None:
    published = artifact()
    version = models.publish(published)
    loaded = models.load(version)
    assert loaded == published
    assert unpack(loaded).scorer().score("lovely").prediction == "positive"


def test_version_ids_are_the_time_and_a_hash_of_the_content(models: ModelStore) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    one, other = models.publish(artifact()), models.publish(artifact(alpha=2))
    stamp, digest = one.split("-")
    assert before <= datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC) <= datetime.now(UTC)
    assert len(digest) == 8
    assert digest != other.split("-")[1]


def test_making_the_bucket_again_keeps_what_is_in_it(models: ModelStore) -> None:
    version = models.publish(artifact())
    models.ensure_bucket()
    assert models.load(version) == artifact()


def test_a_half_written_version_is_refused_and_publishing_it_again_completes_it(
    models: ModelStore, client: "S3Client"
) -> None:
    killed_at(client, "manifest.json")
    with pytest.raises(Killed):
        models.publish(artifact(), "half")
    with pytest.raises(VersionNotFound, match="no whole version half"):
        models.load("half")
    with pytest.raises(VersionNotFound):
        promoted(models, "half")
    assert models.current() is None
    assert [info.problem for info in models.versions()] == ["half-written: no manifest.json"]
    alive_again(client)
    assert models.publish(artifact(), "half") == "half"
    assert models.load("half") == artifact()
    assert [info.problem for info in models.versions()] == [None]


def test_a_version_never_changes(models: ModelStore) -> None:
    models.publish(artifact(), "fixed")
    models.publish(artifact(), "fixed")
    with pytest.raises(VersionExists, match="is there already"):
        models.publish(artifact(alpha=2), "fixed")
    assert models.load("fixed") == artifact()


def test_a_longer_part_under_a_taken_id_is_refused_too(models: ModelStore) -> None:
    short = artifact()
    models.publish(short, "fixed")
    content = b"te"
    with pytest.raises(VersionExists, match="with other content"):
        models.publish(pack(unpack(short), short.manifest, {"holdout.npz": content}), "fixed")


def test_an_artifact_that_is_not_whole_is_not_published(models: ModelStore) -> None:
    whole = artifact()
    with pytest.raises(ArtifactError, match=r"holdout\.npz is missing"):
        models.publish(
            replace(whole, parts={name: content for name, content in whole.parts.items() if name != "holdout.npz"})
        )
    assert models.versions() == []


@pytest.mark.parametrize("content", [b"TEXTS", b"text", b"texts and more"], ids=["changed", "shorter", "longer"])
def test_a_part_with_other_content_is_refused(
    models: ModelStore, client: "S3Client", bucket: str, content: bytes
) -> None:
    version = models.publish(artifact())
    client.put_object(Bucket=bucket, Key=f"versions/{version}/holdout.npz", Body=content)
    with pytest.raises((ArtifactError, ObjectTooLarge), match=r"holdout\.npz"):
        models.load(version)
    with pytest.raises((ArtifactError, ObjectTooLarge), match=r"holdout\.npz"):
        promoted(models, version)
    assert models.current() is None


def test_a_missing_part_is_refused(models: ModelStore, client: "S3Client", bucket: str) -> None:
    version = models.publish(artifact())
    client.delete_object(Bucket=bucket, Key=f"versions/{version}/model.npz")
    with pytest.raises(ArtifactError, match=rf"model\.npz of version {version} is missing"):
        models.load(version)


def whole_with(change: dict[str, Any]) -> bytes:
    """A manifest that is whole but for a change."""
    return json.dumps({**json.loads(artifact().manifest.to_bytes()), **change}).encode()


@pytest.mark.parametrize(
    ("manifest", "reason"),
    [
        (b"{", "not valid JSON"),
        (b"[]", "Expected `object`"),
        (b'{"format": 2}', "missing required field"),
        (whole_with({"parts": {"model.npz": {"size_bytes": "1", "sha256": ""}}}), "Expected `int`"),
        (whole_with({"parts": {"a": {"size_bytes": 9000000000, "sha256": ""}}}), "9000000000 bytes, more"),
        (whole_with({"parts": {"../x": {"size_bytes": 1, "sha256": ""}}}), "is not a name"),
        (whole_with({"format": FORMAT + 1, "parts": {}}), f"format {FORMAT + 1}"),
    ],
)
def test_a_manifest_that_makes_no_sense_is_refused(
    models: ModelStore, client: "S3Client", bucket: str, manifest: bytes, reason: str
) -> None:
    client.put_object(Bucket=bucket, Key="versions/odd/manifest.json", Body=manifest)
    with pytest.raises((ArtifactError, StoreError), match=reason):
        models.load("odd")


def as_the_first_format(client: "S3Client", bucket: str, version: str) -> None:
    """Make a version what the release before 0.2 wrote: without a table, {} for no figures."""
    key = f"versions/{version}/manifest.json"
    document = json.loads(client.get_object(Bucket=bucket, Key=key)["Body"].read())
    document["parts"] = {name: document["parts"][name] for name in ("model.npz", "holdout.npz")}
    del document["bias"]
    client.put_object(Bucket=bucket, Key=key, Body=json.dumps({**document, "format": 1, "metrics": {}}).encode())
    for name in ("table.trie", "table.weights"):
        client.delete_object(Bucket=bucket, Key=f"versions/{version}/{name}")


def test_a_version_of_the_first_format_is_served_by_its_successor(
    models: ModelStore, client: "S3Client", bucket: str
) -> None:
    old = models.publish(artifact(), "old")
    current = promoted(models, old)
    assert models.upgrade(current, by="tester") is None
    as_the_first_format(client, bucket, old)
    with pytest.raises(ArtifactError, match="earlier release"):
        models.load(old)
    upgraded = models.upgrade(current, by="tester")
    assert upgraded is not None
    assert models.current() == upgraded
    loaded = models.load(upgraded.version)
    assert equal(unpack(loaded), unpack(artifact()))
    assert loaded.parts["holdout.npz"] == b"texts"
    assert (loaded.manifest.parent, loaded.manifest.ancestors) == (old, [old])
    assert models.upgrade(upgraded, by="tester") is None
    # Going back to the old one serves what it says, in the form of today.
    back = models.rollback(old, by="tester", reason="test")
    assert equal(unpack(models.load(back.version)), unpack(artifact()))


def test_names_that_would_leave_their_folder_are_refused(models: ModelStore) -> None:
    for name in ("", "../current", "a/b", ".hidden", "a" * 101):
        with pytest.raises(StoreError, match="is not a name"):
            models.load(name)


def test_promotion_moves_what_is_served_and_is_logged(models: ModelStore, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = models.publish(artifact()), models.publish(artifact(alpha=2))
    assert models.current() is None
    first = models.promote(one, expected=None, by="ann", reason="first model")
    second = models.promote(two, expected=first, by="bob", reason="better")
    assert models.current() == second
    assert (second.version, second.promotion.previous, second.promotion.by) == (two, one, "bob")
    assert models.history() == [second.promotion, first.promotion]
    monkeypatch.setattr(store, "PROMOTIONS_SHOWN", 1)
    assert models.history() == [second.promotion]


def test_looking_again_reads_only_what_is_new_or_was_changed(
    models: ModelStore, client: "S3Client", bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "PROMOTIONS_SHOWN", 3)
    ids = [models.publish(artifact(alpha=alpha), f"v{alpha}") for alpha in range(1, 6)]
    for version in ids:
        promoted(models, version)
    read: list[str] = []
    client.meta.events.register("before-parameter-build.s3.GetObject", lambda params, **_: read.append(params["Key"]))

    def look() -> tuple[list[str], list[str], list[str]]:
        """Return what was read, the versions, and what the log says."""
        read.clear()
        versions = [info.version + (info.problem or "") for info in models.versions(3)]
        return read.copy(), versions, [promotion.version for promotion in models.history()]

    assert look() == ([f"versions/{version}/manifest.json" for version in ids[2:]], ids[2:], ids[:1:-1])
    assert look() == ([], ids[2:], ids[:1:-1])
    assert read == ["current.json"]
    promoted(models, models.publish(artifact(alpha=9), "v9"))
    assert look() == (["versions/v9/manifest.json"], ["v4", "v5", "v9"], ["v9", "v5", "v4"])
    client.put_object(Bucket=bucket, Key="versions/v5/manifest.json", Body=b"{")
    assert look()[0] == ["versions/v5/manifest.json"]
    client.delete_object(Bucket=bucket, Key="versions/v9/manifest.json")
    assert any("half-written" in each for each in look()[1])


def test_the_log_is_in_order_even_when_the_clock_goes_back(models: ModelStore, client: "S3Client", bucket: str) -> None:
    one, two = models.publish(artifact()), models.publish(artifact(alpha=2))
    first = promoted(models, one)
    ahead = msgspec.structs.replace(first.promotion, at=(datetime.now(UTC) + timedelta(hours=1)).isoformat())
    client.put_object(Bucket=bucket, Key="current.json", Body=Current.to_bytes(ahead))
    second = promoted(models, two)
    assert models.history()[:2] == [second.promotion, ahead]


def test_of_two_promoters_the_second_is_told_who_won(models: ModelStore) -> None:
    one, two = models.publish(artifact()), models.publish(artifact(alpha=2))
    models.promote(one, expected=None, by="ann", reason="first")
    with pytest.raises(PromotionConflict, match=f"{one} is served, promoted by ann") as told:
        models.promote(two, expected=None, by="bob", reason="first too")
    assert told.value.winner == models.current()
    assert len(models.history()) == 1


def test_promoting_over_a_current_that_was_removed_is_a_conflict(
    models: ModelStore, client: "S3Client", bucket: str
) -> None:
    one, two = models.publish(artifact()), models.publish(artifact(alpha=2))
    first = promoted(models, one)
    client.delete_object(Bucket=bucket, Key="current.json")
    with pytest.raises(PromotionConflict, match=r"current\.json is gone"):
        models.promote(two, expected=first, by="bob", reason="test")


def test_promoting_what_is_served_changes_nothing(models: ModelStore) -> None:
    one, two = models.publish(artifact()), models.publish(artifact(alpha=2))
    first = promoted(models, one)
    assert promoted(models, one) == first
    assert models.history() == [first.promotion]
    promoted(models, two)
    with pytest.raises(PromotionConflict):
        models.promote(one, expected=first, by="ann", reason="stale")


def test_a_write_whose_answer_was_lost_is_known_as_ones_own(models: ModelStore, client: "S3Client") -> None:
    version = models.publish(artifact())
    sent = []

    def lose_the_first_answer(request_dict: dict[str, Any], **_: Any) -> int | None:
        if "current.json" not in request_dict["url_path"]:
            return None
        sent.append(request_dict["url_path"])
        return 0 if len(sent) == 1 else None  # seconds to wait before it is sent again

    # The stubs know no handler that returns something; one that returns seconds makes the client wait and retry.
    client.meta.events.register_first("needs-retry.s3.PutObject", lose_the_first_answer)  # type: ignore[arg-type]
    assert promoted(models, version).version == version
    assert len(sent) == 2


def test_a_promotion_cut_off_before_the_log_is_logged_by_the_next_reader_or_promoter(
    models: ModelStore, client: "S3Client"
) -> None:
    one, two, three = (models.publish(artifact(alpha=alpha)) for alpha in (1, 2, 3))
    killed_at(client, "promotions/")
    with pytest.raises(Killed):
        promoted(models, one)
    alive_again(client)
    first = models.current()
    assert first is not None
    assert models.history() == [first.promotion]

    # A promotion sees to its predecessor's entry first.
    killed_at(client, "promotions/", writes_before=1)
    with pytest.raises(Killed):
        promoted(models, two)
    alive_again(client)
    second = models.current()
    assert second is not None
    assert second.version == two
    promoted(models, three)
    assert [promotion.version for promotion in models.history()] == [three, two, one]


def test_rollback_serves_the_version_before_or_a_chosen_one(models: ModelStore) -> None:
    one, two, three = (models.publish(artifact(alpha=alpha)) for alpha in (1, 2, 3))
    for version in (one, two, three):
        promoted(models, version)
    back = models.rollback(by="ann", reason="worse")
    assert (back.version, back.promotion.previous, back.promotion.reason) == (two, three, "worse")
    assert models.rollback(one, by="ann", reason="older").version == one
    assert models.current() == models.rollback(one, by="ann", reason="again")


def test_rollback_without_a_version_before_says_so(models: ModelStore) -> None:
    with pytest.raises(VersionNotFound, match="no version was served before"):
        models.rollback(by="ann", reason="test")
    promoted(models, models.publish(artifact()))
    with pytest.raises(VersionNotFound, match="no version was served before"):
        models.rollback(by="ann", reason="test")


def test_pruning_keeps_the_newest_the_served_and_the_one_before(models: ModelStore) -> None:
    versions = [models.publish(artifact(alpha=number), f"v{number}") for number in range(1, 7)]
    promoted(models, "v2")
    promoted(models, "v1")
    assert sorted(models.prune(keep=2)) == ["v3", "v4"]
    assert sorted(info.version for info in models.versions()) == ["v1", "v2", "v5", "v6"]
    for version in set(versions) - {"v3", "v4"}:
        models.load(version)
    assert sorted(models.prune(keep=0)) == ["v5", "v6"]
    assert models.rollback(by="ann", reason="still there").version == "v2"
    with pytest.raises(ValueError, match="0 or more"):
        models.prune(keep=-1)


def test_pruning_cut_off_leaves_a_version_that_does_not_count(models: ModelStore, client: "S3Client") -> None:
    models.publish(artifact(), "old")

    def kill(params: dict[str, Any], **_: Any) -> None:
        if not params["Key"].endswith("manifest.json"):
            raise Killed

    client.meta.events.register("before-parameter-build.s3.DeleteObject", kill)
    with pytest.raises(Killed):
        models.prune(keep=0)
    with pytest.raises(VersionNotFound):
        models.load("old")


def test_pruning_removes_half_written_versions_only_when_nobody_can_be_writing_them(
    models: ModelStore, client: "S3Client", monkeypatch: pytest.MonkeyPatch
) -> None:
    killed_at(client, "manifest.json")
    with pytest.raises(Killed):
        models.publish(artifact(), "half")
    assert models.prune() == []
    monkeypatch.setattr(store, "ABANDONED_AFTER", timedelta(seconds=-60))
    assert models.prune() == ["half"]
    assert models.versions() == []


def test_pruning_touches_nothing_when_it_cannot_tell_what_is_served(
    models: ModelStore, client: "S3Client", bucket: str
) -> None:
    models.publish(artifact(), "old")
    client.put_object(Bucket=bucket, Key="current.json", Body=b"oops")
    with pytest.raises(InvalidDocument, match=r"current\.json is refused: it is not valid JSON"):
        models.prune(keep=0)
    models.load("old")


def test_a_store_that_ignores_conditions_is_found_and_named(models: ModelStore, client: "S3Client") -> None:
    def ignore(request: Any, **_: Any) -> None:
        del request.headers["If-None-Match"], request.headers["If-Match"]

    client.meta.events.register("before-sign.s3.PutObject", ignore)
    with pytest.raises(ConditionalWritesIgnored, match=r"4 of 4 writers .* Use a store that does \(SeaweedFS 4"):
        models.check_conditional_writes()


@pytest.mark.parametrize("header", ["If-None-Match", "If-Match"])
def test_a_store_that_ignores_one_condition_one_after_another_is_found(
    models: ModelStore, client: "S3Client", header: str
) -> None:
    """Side by side it behaves, so the check has to try both."""

    def ignore(request: Any, **_: Any) -> None:
        if request.data.getvalue() in (b"second", b"stale"):
            del request.headers[header]

    client.meta.events.register("before-sign.s3.PutObject", ignore)
    with pytest.raises(ConditionalWritesIgnored, match=f"wrote over an object despite .*{header}"):
        models.check_conditional_writes()


def test_a_store_that_races_is_found(models: ModelStore, client: "S3Client") -> None:
    """It honours conditions one after another, and forgets them for writes that come together."""

    def race(request: Any, **_: Any) -> None:
        if request.data.getvalue().startswith(b"writer"):
            del request.headers["If-None-Match"]

    client.meta.events.register("before-sign.s3.PutObject", race)
    with pytest.raises(ConditionalWritesIgnored, match="4 of 4 writers with the same If-None-Match"):
        models.check_conditional_writes()


def test_the_probe_leaves_nothing_behind(models: ModelStore, client: "S3Client", bucket: str) -> None:
    models.check_conditional_writes()
    assert client.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def test_promoters_side_by_side_have_one_winner(models: ModelStore) -> None:
    versions = [models.publish(artifact(alpha=number), f"v{number}") for number in range(1, 5)]

    def promote(version: str, expected: Current | None, start: threading.Barrier) -> str | None:
        start.wait(timeout=30)
        try:
            return models.promote(version, expected=expected, by=version, reason="race").version
        except PromotionConflict as conflict:
            assert conflict.winner is not None
            return None

    expected = None
    for race in range(1, 4):
        rivals = [version for version in versions if expected is None or version != expected.version]
        start = threading.Barrier(len(rivals))
        with ThreadPoolExecutor(len(rivals)) as pool:
            runs = [pool.submit(promote, version, expected, start) for version in rivals]
        expected = models.current()
        assert expected is not None
        assert [run.result() for run in runs if run.result()] == [expected.version]
        assert len(models.history()) == race


def test_a_bucket_that_is_not_there_is_said(client: "S3Client") -> None:
    with pytest.raises(StoreError, match="NoSuchBucket"):
        ModelStore(client, "no-such-bucket-here").current()


def test_wrong_keys_are_said(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch, bucket: str) -> None:
    for name, value in {**s3_server.environment, "AWS_SECRET_ACCESS_KEY": secrets.token_hex(8)}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(StoreDenied, match="check the keys"):
        ModelStore(s3_client(Settings()), bucket).current()


def test_a_store_that_is_away_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("S3_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(StoreUnavailable, match="can't be reached"):
        ModelStore.from_environment().current()


def test_the_command_line_lists_promotes_and_rolls_back(models: ModelStore, capsys: pytest.CaptureFixture[str]) -> None:
    def run(*arguments: str) -> Any:
        assert main([*arguments, "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    one, two = (models.publish(artifact(alpha=alpha, metrics=METRICS), f"v{alpha}") for alpha in (1, 2))
    assert run("check") == {"conditional_writes": True}
    run("promote", one)
    moved = run("promote", two, "--by", "ann", "--reason", "better")
    assert (moved["from"], moved["to"], moved["by"], moved["reason"]) == (one, two, "ann", "better")
    assert {entry["version"]: entry["served"] for entry in run("list")} == {one: False, two: True}
    assert run("show", one)["metrics"]["accuracy"] == 0.8125
    assert run("rollback")["to"] == one
    assert run("rollback", two)["to"] == two
    assert [entry["to"] for entry in run("history")] == [two, one, two, one]


def test_the_command_line_describes_a_version_and_those_it_was_learned_from(
    models: ModelStore, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["card"]) == 1
    assert capsys.readouterr().err == "model_store: no version is served\n"
    models.publish(artifact(metrics=METRICS), "v1")
    models.publish(artifact(metrics=METRICS, parent="v1", ancestors=["v0", "v1"], reason="the gate's words"), "v2")
    assert main(["promote", "v2"]) == 0
    assert main(["card", "v1"]) == 0
    first = capsys.readouterr().out.partition("\n")[2]
    assert first.startswith("# Model v1\n")
    assert main(["card"]) == 0
    *_, before, parent, served = capsys.readouterr().out.splitlines()
    assert before == "| v0 | no longer kept |  |  |  |"
    assert parent.startswith("| v1 | 20")
    assert parent.endswith(" | 0 | 81.2% |  |")
    assert served.startswith("| v2 | 20")
    assert served.endswith(" | 81.2% | the gate's words |")


def test_the_command_line_answers_in_lines_and_says_what_is_wrong_in_one(
    models: ModelStore, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["list"]) == 0
    assert main(["history"]) == 0
    assert capsys.readouterr().out.splitlines() == ["no versions", "no promotions"]
    models.publish(artifact(metrics=METRICS), "v1")
    assert main(["promote", "v1"]) == 0
    assert main(["list"]) == 0
    promoted_line, listed = capsys.readouterr().out.splitlines()
    assert promoted_line == "serving v1"
    assert listed.startswith("* v1 ")
    assert listed.endswith(" bytes  test, accuracy 81.2%")
    assert main(["promote", "v2"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("model_store: there is no whole version v2")
    assert said.count("\n") == 1
