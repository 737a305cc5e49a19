"""The parts of the model store that need no server."""

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from contracts.codec import Malformed
from contracts.manifest import FORMAT, CanaryText, ClassTexts, Manifest, read_promotion
from deploy.runner import wait_until
from model_store.errors import CurrentRefused, StoreError, StoreUnavailable, VersionRefused
from model_store.layout import Current, next_promotion, promotion_key, to_bytes
from model_store.publishing.objects import client
from model_store.serving import ModelWatcher, Refusal
from model_store.serving.loader import check_canary
from model_store.serving.reader import Unchanged
from model_store.serving.watcher import Poller
from model_store.settings import Settings
from process.settings import read_secret
from sentiment.scorer import Scorer, Weights

SCORER = Scorer(Weights({"awful": -1.5, "naïve": 0.25, "świetny": 0.25, "好的": 1 / 3}).__getitem__, bias=-0.1)
MANIFEST = Manifest(
    format=FORMAT,
    trained_at="2026-01-02T03:04:05+00:00",
    trainer="tést\n",
    data=None,
    examples=1,
    vocabulary_size=4,
    documents=ClassTexts(1, 1),
    canary=[],
    parts={},
)


def test_a_secret_comes_from_its_file_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRETS_DIR", str(tmp_path))
    monkeypatch.setenv("TOKEN", "from the environment")
    assert read_secret("token", "TOKEN") == "from the environment"
    (tmp_path / "token").write_text("from the file\n")
    assert read_secret("token", "TOKEN") == "from the file"
    (tmp_path / "token").write_text("\n")
    assert read_secret("token", "TOKEN") is None
    assert read_secret("other") is None
    monkeypatch.setenv("TOKEN", "")
    assert read_secret("other", "TOKEN") is None


def test_the_secret_of_a_part_comes_before_that_of_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRETS_DIR", str(tmp_path))
    monkeypatch.setenv("SECRETS_PREFIX", "predict-")
    (tmp_path / "mongodb-url").write_text("of all")
    (tmp_path / "drift-mongodb-url").write_text("of drift")
    assert read_secret("mongodb-url") == "of all"
    (tmp_path / "predict-mongodb-url").write_text("of predict")
    assert read_secret("mongodb-url") == "of predict"


def test_a_secret_that_cannot_be_read_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRETS_DIR", str(tmp_path))
    (tmp_path / "token").mkdir()
    with pytest.raises(IsADirectoryError):
        read_secret("token")


def test_keys_come_from_secret_files_before_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRETS_DIR", str(tmp_path))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "environment")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "environment")
    (tmp_path / "s3-access-key").write_text("file-key\n")
    (tmp_path / "s3-secret-key").write_text("file-secret\n")
    monkeypatch.setenv("S3_ENDPOINT_URL", "http://127.0.0.1:9")
    keys = Settings().keys
    assert keys is not None
    assert keys[:2] == ("file-key", "file-secret")
    assert "file-secret" not in repr(Settings())
    url = client(Settings()).generate_presigned_url("get_object", Params={"Bucket": "b", "Key": "k"})
    assert url.startswith("http://127.0.0.1:9/b/k?")
    assert "file-key" in url


def test_without_settings_the_store_is_amazons_and_the_bucket_models(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("S3_BUCKET", "S3_ENDPOINT_URL", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID"):
        monkeypatch.delenv(name, raising=False)
    assert Settings() == Settings("models", "us-east-1", endpoint_url=None, keys=None)


def test_a_canary_that_scores_as_when_it_was_packed_passes() -> None:
    check_canary(SCORER, [])
    check_canary(SCORER, [CanaryText("awful", SCORER.probability("awful") + 5e-7)])


@pytest.mark.parametrize(
    ("probability", "reason"), [(0.5, "'awful' scored 0.16"), (float("nan"), "when it was packed")]
)
def test_a_canary_that_scores_otherwise_is_refused(probability: float, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        check_canary(SCORER, [CanaryText("awful", probability)])


def test_a_model_that_gives_no_probability_is_refused() -> None:
    with pytest.raises(ValueError, match="no probability"):
        check_canary(Scorer(Weights(love=float("nan")).__getitem__, 0.0), [])


def test_a_promotion_survives_json_and_comes_after_the_last() -> None:
    first = next_promotion(None, version="v1", by="ann", reason="é")
    second = next_promotion(first, version="v2", by="bob", reason="")
    assert read_promotion(to_bytes(first)) == first
    assert (second.previous, second.version) == ("v1", "v2")
    assert (second.at, promotion_key(second)) > (first.at, promotion_key(first))
    assert b'"from": "v1"' in to_bytes(second)


@pytest.mark.parametrize("at", ["yesterday", "2026-01-02T03:04:05", ""])
def test_a_promotion_without_a_time_and_its_zone_is_refused(at: str) -> None:
    with pytest.raises(Malformed, match="does not fit"):
        read_promotion(to_bytes({"id": "1", "at": at, "by": "ann", "from": None, "to": "v1", "reason": ""}))


class Script(Poller):
    """A poller that gives what it is told, in order, and the last for ever; a StoreError is raised."""

    def __init__(self, *answers: Current | Unchanged | StoreError | None) -> None:
        self.answers = list(answers)
        self.polls = 0

    def poll(self) -> Current | Unchanged | None:
        self.polls += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, StoreError):
            raise answer
        return answer


def current(version: str) -> Current:
    return Current(version, version, next_promotion(None, version=version, by="ann", reason="test"))


def load(version: str) -> tuple[Scorer, Manifest]:
    assert version
    return SCORER, MANIFEST


def test_a_watcher_without_a_model_keeps_its_pace_through_an_outage() -> None:
    outages: list[StoreError] = []
    poller = Script(*[StoreUnavailable("away")] * 20, current("v1"), Unchanged())
    watcher = ModelWatcher(poller, load, poll_seconds=0.01, on_outage=outages.append)
    watcher.start()
    assert wait_until(lambda: watcher.served is not None, 5)
    watcher.stop()
    assert len(outages) == 20
    assert watcher.served is not None
    assert watcher.served.version == "v1"


@pytest.mark.parametrize(
    "refused",
    [StoreUnavailable("away"), CurrentRefused("is damaged", etag="1", version=None, untrusted=False)],
    ids=lambda error: type(error).__name__,
)
def test_a_watcher_awaits_the_first_model_until_it_has_one_or_the_store_says_that_there_is_none(
    refused: StoreError,
) -> None:
    may_answer, polled = threading.Event(), threading.Event()

    class Held(Script):
        def poll(self) -> Current | Unchanged | None:
            if self.polls == 1:
                polled.set()
                may_answer.wait(5)
            return super().poll()

    watcher = ModelWatcher(Held(refused, None, Unchanged()), load, poll_seconds=0.01)
    assert watcher.awaits_first
    watcher.start()
    assert polled.wait(5)
    assert watcher.awaits_first
    may_answer.set()
    assert wait_until(lambda: not watcher.awaits_first, 5)
    watcher.stop()
    assert watcher.served is None

    serving = ModelWatcher(Script(current("v1"), None, Unchanged()), load, poll_seconds=0.01)
    serving.start()
    assert wait_until(lambda: serving.served is not None, 5)
    serving.stop()
    assert not serving.awaits_first


def test_a_load_that_failed_in_passing_is_tried_again_and_told_once() -> None:
    failures = [VersionRefused("v1", "away", passing=True)] * 3
    refusals: list[Refusal] = []

    def flaky(version: str) -> tuple[Scorer, Manifest]:
        if failures:
            raise failures.pop()
        return load(version)

    watcher = ModelWatcher(Script(current("v1"), Unchanged()), flaky, poll_seconds=0.01, on_refusal=refusals.append)
    watcher.start()
    assert wait_until(lambda: watcher.served is not None, 5)
    watcher.stop()
    assert len(refusals) == 1


def test_the_same_version_promoted_again_is_not_loaded_again() -> None:
    loaded: list[str] = []

    def counted(version: str) -> tuple[Scorer, Manifest]:
        loaded.append(version)
        return load(version)

    swapped = threading.Event()
    watcher = ModelWatcher(
        Script(current("v1"), current("v1"), current("v2"), Unchanged()),
        counted,
        poll_seconds=0.01,
        on_swap=lambda served: swapped.set() if served.version == "v2" else None,
    )
    watcher.start()
    assert swapped.wait(5)
    watcher.stop()
    assert loaded == ["v1", "v2"]


def test_an_error_that_nobody_foresaw_is_logged_and_the_watcher_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    bugs = [RuntimeError("a bug"), ValueError("another")]

    def buggy(version: str) -> tuple[Scorer, Manifest]:
        if bugs:
            raise bugs.pop(0)
        return load(version)

    watcher = ModelWatcher(Script(current("v1"), Unchanged()), buggy, poll_seconds=0.01)
    watcher.start()
    assert wait_until(lambda: watcher.served is not None, 5)
    watcher.stop()
    assert [str(record.exc_info[1]) for record in caplog.records if record.exc_info] == ["a bug", "another"]


def test_a_stopped_watcher_polls_no_more_and_goes_on_serving() -> None:
    poller = Script(current("v1"), Unchanged())
    watcher = ModelWatcher(poller, load, poll_seconds=60)
    watcher.start()
    assert wait_until(lambda: watcher.served is not None, 5)
    before = time.monotonic()
    watcher.stop()
    assert time.monotonic() - before < 5
    assert poller.polls == 1
    assert not any(thread.name == "model-watcher" for thread in threading.enumerate())
    assert watcher.served is not None


def test_a_serving_process_loads_neither_numpy_nor_the_s3_client() -> None:
    """Together they would double the memory of predict."""
    program = (
        "import sys, functions.predict.__main__;"
        "print({'numpy', 'boto3', 'sklearn', 'scipy', 'pika', 'datasets', 'botocore.client'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
