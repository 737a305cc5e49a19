"""How a serving process follows the store: polling, fetching in a child process, swapping."""

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import psutil
import pytest
from model_store.documents import CURRENT_KEY
from model_store.reader import read
from model_store.signing import Signer

from deploy.runner import wait_until
from model_store import (
    Current,
    CurrentPoller,
    InvalidDocument,
    ModelStore,
    ModelWatcher,
    Promotion,
    Served,
    Settings,
    StoreDenied,
    StoreError,
    StoreUnavailable,
    Unchanged,
    VersionRefused,
    client_from_environment,
    fetch_scorer,
)
from model_store import poller as polling
from model_store.settings import Keys
from sentiment.artifact import Artifact, pack, unpack
from sentiment.model import Model
from tests.conftest import S3Server

TEXT = "a lovely, lovely film that is not awful"
POLL_SECONDS = 0.05
SETTINGS = Settings("models", "us-east-1", endpoint_url=None, keys=Keys("key", "secret"))


def artifact(alpha: float = 1.0) -> Artifact:
    model = Model(("awful", "film", "lovely"), np.array([[7.0, 3.0, 1.0], [2.0, 4, 9.0]]), np.array([5.0, 5.0]), alpha)
    return pack(model, trainer="test")


def probability(version: Artifact) -> float:
    return unpack(version).scorer().probability(TEXT)


@pytest.fixture
def models(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch, bucket: str) -> ModelStore:
    """A store with an empty bucket, which the environment describes, also to child processes."""
    for name, value in {**s3_server.environment, "S3_BUCKET": bucket}.items():
        monkeypatch.setenv(name, value)
    models = ModelStore.from_environment()
    models.ensure_bucket()
    return models


def promoted(models: ModelStore, version: str) -> Current:
    return models.promote(version, expected=models.current(), by="tester", reason="test")


def poller_of(settings: Settings) -> CurrentPoller:
    """Return a poller that signs here, not in a child process."""
    return CurrentPoller(lambda: Signer(settings).url(CURRENT_KEY))


def point_at(version: str, bucket: str) -> None:
    """Write current.json as nobody should: without looking at the version."""
    promotion = Promotion.after(None, version=version, by="vandal", reason="test")
    client_from_environment().put_object(Bucket=bucket, Key="current.json", Body=Current.to_bytes(promotion))


class Observed:
    """A watcher on the real store, and what it told."""

    def __init__(self) -> None:
        self.swaps: list[Served] = []
        self.refusals: list[VersionRefused] = []
        self.outages: list[StoreError] = []
        self.fetches: list[str] = []
        self.watcher = ModelWatcher(
            CurrentPoller(),
            self.fetch,
            poll_seconds=POLL_SECONDS,
            on_swap=self.swaps.append,
            on_refusal=self.refusals.append,
            on_outage=self.outages.append,
        )

    def fetch(self, version: str, *, cancelled: threading.Event) -> tuple[Any, dict[str, Any]]:
        self.fetches.append(version)
        return fetch_scorer(version, cancelled=cancelled)

    @property
    def version(self) -> str | None:
        served = self.watcher.served
        return served.version if served else None

    def serves(self, version: str) -> bool:
        return wait_until(lambda: self.version == version, timeout_seconds=20)

    def refuses(self, count: int = 1) -> bool:
        return wait_until(lambda: len(self.refusals) == count, timeout_seconds=20)


@pytest.fixture
def observed(models: ModelStore) -> Iterator[Observed]:  # noqa: ARG001  # it sets the environment
    observed = Observed()
    observed.watcher.start()
    yield observed
    observed.watcher.stop()
    assert not any("model_store.fetch" in child.cmdline() for child in psutil.Process().children())


@contextmanager
def answering(answer: bytes) -> Iterator[str]:
    """Run a server that gives every request the same bytes, then closes; yields its address."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(65536)
            self.request.sendall(answer)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@contextmanager
def silent_server() -> Iterator[str]:
    """Run a server that takes connections and never answers."""
    with socketserver.TCPServer(("127.0.0.1", 0), socketserver.BaseRequestHandler) as server:
        yield f"http://127.0.0.1:{server.server_address[1]}"


def test_polling_tells_what_is_served_once_and_then_only_changes(models: ModelStore) -> None:
    poller = CurrentPoller()
    assert poller.poll() is None
    one, two = models.publish(artifact()), models.publish(artifact(2))
    first = promoted(models, one)
    assert poller.poll() == first
    assert poller.poll() == Unchanged()
    assert poller.poll() == Unchanged()
    second = promoted(models, two)
    assert poller.poll() == second
    assert poller.poll() == Unchanged()


def test_polling_notices_that_current_was_removed_and_written_again(models: ModelStore, bucket: str) -> None:
    poller = CurrentPoller()
    first = promoted(models, models.publish(artifact()))
    assert poller.poll() == first
    client_from_environment().delete_object(Bucket=bucket, Key="current.json")
    assert poller.poll() is None
    client_from_environment().put_object(Bucket=bucket, Key="current.json", Body=Current.to_bytes(first.promotion))
    assert poller.poll() == first


def test_polling_a_bucket_that_is_not_there_finds_nothing(models: ModelStore) -> None:
    assert models.current() is None
    settings = replace(Settings.from_environment(), bucket="no-such-bucket-here")
    assert poller_of(settings).poll() is None


def test_polling_refuses_a_current_that_is_none_until_it_is_one(models: ModelStore, bucket: str) -> None:
    poller = CurrentPoller()
    for content in (b"", b"oops", b"[]", b'{"version": "../v"}', b'{"version": "v1", "promotion": {"to": "v1"}}'):
        client_from_environment().put_object(Bucket=bucket, Key="current.json", Body=content)
        for _ in range(2):
            with pytest.raises(InvalidDocument, match=r"current\.json"):
                poller.poll()
    client_from_environment().delete_object(Bucket=bucket, Key="current.json")
    current = promoted(models, models.publish(artifact()))
    assert poller.poll() == current


def test_polling_with_wrong_keys_says_so(models: ModelStore, monkeypatch: pytest.MonkeyPatch) -> None:
    assert models.current() is None
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(StoreDenied, match=r"403 SignatureDoesNotMatch .*check the keys"):
        CurrentPoller().poll()


def test_polling_without_keys_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    with pytest.raises(StoreDenied, match="set AWS_ACCESS_KEY_ID"):
        CurrentPoller().poll()


def test_polling_signs_once_and_again_when_refused(models: ModelStore) -> None:
    signed: list[str] = []

    def sign(settings: Settings) -> str:
        signed.append(Signer(settings).url(CURRENT_KEY))
        return signed[-1]

    right = Settings.from_environment()
    wrong = replace(right, keys=Keys("nobody", "wrong"))
    keys = [right]
    poller = CurrentPoller(lambda: sign(keys[0]))
    first = promoted(models, models.publish(artifact()))
    assert [poller.poll(), poller.poll()] == [first, Unchanged()]
    assert len(signed) == 1
    signed_before, poller._url = poller._url, Signer(wrong).url(CURRENT_KEY)  # as if the keys had been replaced
    assert poller.poll() == Unchanged()
    assert len(signed) == 2
    poller._url, keys[0] = signed_before, wrong
    assert poller.poll() == Unchanged()  # what was signed with the old keys still holds
    poller._url = signed[0].replace("X-Amz-Signature=", "X-Amz-Signature=0")
    for number in (3, 4):  # refused even when signed anew: each poll tries, and says so
        with pytest.raises(StoreDenied, match="403"):
            poller.poll()
        assert len(signed) == number


def test_polling_signs_anew_before_the_signature_ends(models: ModelStore, monkeypatch: pytest.MonkeyPatch) -> None:
    assert models.current() is None
    signed: list[str] = []

    def sign() -> str:
        signed.append(Signer(Settings.from_environment()).url(CURRENT_KEY))
        return signed[-1]

    monkeypatch.setattr(polling, "SIGN_AGAIN_AFTER_SECONDS", 0)
    poller = CurrentPoller(sign)
    assert [poller.poll(), poller.poll()] == [None, None]
    assert len(signed) == 2


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 503 Slow Down\r\nContent-Length: 30\r\n\r\n<Error><Code>SlowDown</Code>..",
        b'HTTP/1.1 200 OK\r\nETag: "1"\r\nContent-Length: 100\r\n\r\n{',
        b'HTTP/1.1 200 OK\r\nETag: "1"\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{',
        b"",
        b"not HTTP\r\n\r\n",
    ],
    ids=["503", "cut off", "chunk cut off", "closed", "no HTTP"],
)
def test_a_store_that_fails_is_unavailable(answer: bytes) -> None:
    with answering(answer) as url, pytest.raises(StoreUnavailable):
        poller_of(replace(SETTINGS, endpoint_url=url)).poll()
    with pytest.raises(StoreUnavailable, match="can't be reached"):
        poller_of(replace(SETTINGS, endpoint_url=url)).poll()  # where nobody listens any more


def test_an_object_that_is_too_large_is_not_read_to_its_end() -> None:
    head = b'HTTP/1.1 200 OK\r\nETag: "1"\r\nContent-Length: 1000000000\r\n\r\n'
    with answering(head + bytes(100_000)) as url, pytest.raises(StoreError, match="larger than the 1000 bytes"):
        read(url, "big", 1000)


def test_a_version_is_fetched_as_it_was_published(models: ModelStore) -> None:
    published = artifact()
    scorer, manifest = fetch_scorer(models.publish(published))
    assert scorer == unpack(published).scorer()
    assert manifest == published.manifest


def test_a_bad_version_is_refused_with_its_reason(models: ModelStore, bucket: str) -> None:
    with pytest.raises(VersionRefused, match="no whole version nope") as missing:
        fetch_scorer("nope")
    version = models.publish(artifact())
    client_from_environment().put_object(Bucket=bucket, Key=f"versions/{version}/model.npz", Body=b"damaged")
    with pytest.raises(VersionRefused, match=r"model\.npz has another SHA-256") as damaged:
        fetch_scorer(version)
    assert not missing.value.passing
    assert not damaged.value.passing


def test_a_store_that_is_away_refuses_only_for_now(models: ModelStore, monkeypatch: pytest.MonkeyPatch) -> None:
    version = models.publish(artifact())
    monkeypatch.setenv("S3_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(VersionRefused, match="can't be reached") as refused:
        fetch_scorer(version)
    assert refused.value.passing


def test_a_fetch_that_takes_too_long_or_is_cancelled_or_killed_leaves_no_process(
    models: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = models.publish(artifact())

    def fetching() -> list[psutil.Process]:
        return [child for child in psutil.Process().children() if "model_store.fetch" in child.cmdline()]

    def kill() -> None:
        assert wait_until(lambda: bool(fetching()), timeout_seconds=10)
        fetching()[0].kill()

    cancelled = threading.Event()
    with silent_server() as url:
        monkeypatch.setenv("S3_ENDPOINT_URL", url)
        with pytest.raises(VersionRefused, match=r"not done within 0\.3 s"):
            fetch_scorer(version, timeout_seconds=0.3)
        cancelled.set()
        with pytest.raises(VersionRefused, match="no longer wanted"):
            fetch_scorer(version, cancelled=cancelled)
        killer = threading.Thread(target=kill)
        killer.start()
        with pytest.raises(VersionRefused, match="ended by signal 9") as killed:
            fetch_scorer(version)
        killer.join()
    assert killed.value.passing
    assert not fetching()


def test_a_promotion_is_followed_while_the_old_model_serves(models: ModelStore, observed: Observed) -> None:
    assert observed.watcher.served is None
    assert not observed.watcher.wait_until_ready(0.2)
    one, two = artifact(), artifact(2)
    promoted(models, models.publish(one, "v1"))
    assert observed.watcher.wait_until_ready(20)
    before = observed.watcher.served
    promoted(models, models.publish(two, "v2"))
    assert observed.serves("v2")
    after = observed.watcher.served
    assert before is not None
    assert after is not None
    assert (before.version, before.scorer.probability(TEXT)) == ("v1", probability(one))
    assert (after.version, after.scorer.probability(TEXT)) == ("v2", probability(two))
    assert [served.version for served in observed.swaps] == ["v1", "v2"]
    models.rollback(by="tester", reason="test")
    assert observed.serves("v1")
    assert not observed.refusals
    assert not observed.outages


@pytest.mark.parametrize("fault", ["half-written", "missing part", "wrong hash", "wrong canary", "no model"])
def test_a_bad_version_is_refused_once_and_the_old_one_stays(
    models: ModelStore, observed: Observed, bucket: str, fault: str
) -> None:
    promoted(models, models.publish(artifact(), "good"))
    assert observed.serves("good")
    client = client_from_environment()
    bad = artifact(2)
    if fault == "wrong canary":
        examples = [{"text": TEXT, "probability": probability(bad) + 2e-6}]
        bad = replace(bad, manifest={**bad.manifest, "canary": examples})
    if fault == "no model":
        bad = pack(unpack(bad), {"model.npz": b"nothing"})
    models.publish(bad, "bad")
    if fault == "half-written":
        client.delete_object(Bucket=bucket, Key="versions/bad/manifest.json")
    if fault == "missing part":
        client.delete_object(Bucket=bucket, Key="versions/bad/model.npz")
    if fault == "wrong hash":
        client.put_object(Bucket=bucket, Key="versions/bad/model.npz", Body=b"changed")
    point_at("bad", bucket)
    assert observed.refuses()
    # Wrong content is not tried again: some polls later there was still one try.
    assert not wait_until(lambda: len(observed.fetches) > 2, timeout_seconds=10 * POLL_SECONDS)
    assert observed.version == "good"
    assert not observed.refusals[0].passing
    promoted(models, models.publish(artifact(3), "better"))
    assert observed.serves("better")
    assert len(observed.refusals) == 1


def test_a_current_that_makes_no_sense_keeps_the_old_model(models: ModelStore, observed: Observed, bucket: str) -> None:
    first = promoted(models, models.publish(artifact(), "v1"))
    assert observed.serves("v1")
    client_from_environment().put_object(Bucket=bucket, Key="current.json", Body=b"oops")
    assert wait_until(lambda: bool(observed.outages), timeout_seconds=10)
    assert observed.version == "v1"
    assert isinstance(observed.outages[0], InvalidDocument)
    client_from_environment().put_object(Bucket=bucket, Key="current.json", Body=Current.to_bytes(first.promotion))
    promoted(models, models.publish(artifact(2), "v2"))
    assert observed.serves("v2")


def test_a_removed_current_keeps_the_old_model(models: ModelStore, observed: Observed, bucket: str) -> None:
    promoted(models, models.publish(artifact(), "v1"))
    assert observed.serves("v1")
    client_from_environment().delete_object(Bucket=bucket, Key="current.json")
    assert not wait_until(lambda: observed.version != "v1", timeout_seconds=10 * POLL_SECONDS)
    promoted(models, models.publish(artifact(2), "v2"))
    assert observed.serves("v2")
