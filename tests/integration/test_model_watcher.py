"""How a serving process follows the store: polling, loading, swapping."""

import gzip
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import msgspec
import numpy as np
import pytest

from contracts.manifest import CanaryText, Manifest
from deploy.runner import wait_until
from model_store.errors import (
    CurrentRefused,
    InvalidDocument,
    StoreDenied,
    StoreError,
    StoreUnavailable,
    VersionRefused,
)
from model_store.layout import Current, next_promotion
from model_store.publishing import ModelStore
from model_store.publishing.objects import client
from model_store.serving import CurrentPoller, ModelWatcher, Refusal, Served, StoreReader, load_scorer, reader
from model_store.serving.reader import Unchanged
from model_store.settings import Settings
from sentiment.artifact import TRIE_PART, WEIGHTS_PART, Artifact, part_of
from sentiment.model import Model
from sentiment.packing import pack, unpack
from sentiment.scorer import Scorer
from tests.conftest import S3Server
from tests.models import ABOUT

TEXT = "a lovely, lovely film that is not awful"
POLL_SECONDS = 0.05


def artifact(alpha: float = 1.0) -> Artifact:
    model = Model(("awful", "film", "lovely"), np.array([[7.0, 3.0, 1.0], [2.0, 4, 9.0]]), np.array([5.0, 5.0]), alpha)
    return pack(model, ABOUT)


def probability(version: Artifact) -> float:
    return unpack(version).scorer().probability(TEXT)


@pytest.fixture
def models(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch, bucket: str) -> ModelStore:
    """A store with an empty bucket, which the environment describes."""
    for name, value in {**s3_server.environment, "S3_BUCKET": bucket}.items():
        monkeypatch.setenv(name, value)
    models = ModelStore.from_environment()
    models.ensure_bucket()
    return models


def promoted(models: ModelStore, version: str) -> Current:
    return models.promote(version, expected=models.current(), by="tester", reason="test")


def poller() -> CurrentPoller:
    return CurrentPoller(StoreReader())


def load(version: str) -> tuple[Scorer, Manifest]:
    return load_scorer(StoreReader().get, version)


def put(bucket: str, key: str, content: bytes) -> None:
    client(Settings()).put_object(Bucket=bucket, Key=key, Body=content)


def delete(bucket: str, key: str) -> None:
    client(Settings()).delete_object(Bucket=bucket, Key=key)


def point_at(version: str, bucket: str) -> None:
    """Write current.json as nobody should: without looking at the version."""
    promotion = next_promotion(None, version=version, by="vandal", reason="test")
    put(bucket, "current.json", Current.to_bytes(promotion))


class Observed:
    """A watcher on the real store, and what it told."""

    def __init__(self) -> None:
        self.swaps: list[Served] = []
        self.refusals: list[Refusal] = []
        self.outages: list[StoreError] = []
        self.loads: list[str] = []
        self.reader = StoreReader()
        self.watcher = ModelWatcher(
            CurrentPoller(self.reader),
            self.load,
            poll_seconds=POLL_SECONDS,
            on_swap=self.swaps.append,
            on_refusal=self.refusals.append,
            on_outage=self.outages.append,
        )

    def load(self, version: str) -> tuple[Scorer, Manifest]:
        self.loads.append(version)
        return load_scorer(self.reader.get, version)

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
    polled = poller()
    assert polled.poll() is None
    one, two = models.publish(artifact()), models.publish(artifact(2))
    first = promoted(models, one)
    assert polled.poll() == first
    assert polled.poll() == Unchanged()
    assert polled.poll() == Unchanged()
    second = promoted(models, two)
    assert polled.poll() == second
    assert polled.poll() == Unchanged()


def test_polling_notices_that_current_was_removed_and_written_again(models: ModelStore, bucket: str) -> None:
    polled = poller()
    first = promoted(models, models.publish(artifact()))
    assert polled.poll() == first
    delete(bucket, "current.json")
    assert polled.poll() is None
    put(bucket, "current.json", Current.to_bytes(first.promotion))
    assert polled.poll() == first


def test_polling_a_bucket_that_is_not_there_finds_nothing(models: ModelStore, monkeypatch: pytest.MonkeyPatch) -> None:
    assert models.current() is None
    monkeypatch.setenv("S3_BUCKET", "no-such-bucket-here")
    assert poller().poll() is None


def test_polling_refuses_a_current_that_is_none_until_it_is_one(models: ModelStore, bucket: str) -> None:
    polled = poller()
    for content in (b"", b"oops", b"[]", b'{"version": "../v"}', b'{"version": "v1", "promotion": {"to": "v1"}}'):
        put(bucket, "current.json", content)
        for _ in range(2):
            with pytest.raises(InvalidDocument, match=r"current\.json"):
                polled.poll()
    delete(bucket, "current.json")
    current = promoted(models, models.publish(artifact()))
    assert polled.poll() == current


def test_polling_with_wrong_keys_says_so(models: ModelStore, monkeypatch: pytest.MonkeyPatch) -> None:
    assert models.current() is None
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(StoreDenied, match=r"403 SignatureDoesNotMatch .*check the keys"):
        poller().poll()


def test_polling_without_keys_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    with pytest.raises(StoreDenied, match="set AWS_ACCESS_KEY_ID"):
        poller().poll()


def test_keys_that_were_changed_are_read_again_once_the_old_ones_are_refused(
    models: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = promoted(models, models.publish(artifact()))
    polled = poller()
    assert polled.poll() == first
    right = Settings()
    assert right.keys is not None
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    assert polled.poll() == Unchanged()  # the keys at hand still hold
    polled = poller()
    for _ in range(2):  # each poll tries, and says so
        with pytest.raises(StoreDenied, match="403"):
            polled.poll()
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", right.keys[1])
    assert polled.poll() == first


def test_keys_that_are_refused_are_read_again_within_the_same_poll(
    models: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = promoted(models, models.publish(artifact()))
    store_reader = StoreReader()
    right = Settings()
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "old")
    with pytest.raises(StoreDenied):
        store_reader.get("current.json", 1000)
    store_reader._signer = reader.Signer(Settings())  # as keys that held until now
    assert right.keys is not None
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", right.keys[1])
    stored = store_reader.get("current.json", 10_000)
    assert stored is not None
    assert Current.from_bytes(stored.content, stored.etag) == first


@pytest.fixture
def any_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")


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
@pytest.mark.usefixtures("any_keys")
def test_a_store_that_fails_is_unavailable(answer: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    with answering(answer) as url:
        monkeypatch.setenv("S3_ENDPOINT_URL", url)
        with pytest.raises(StoreUnavailable):
            poller().poll()
    with pytest.raises(StoreUnavailable, match="can't be reached"):
        poller().poll()  # where nobody listens any more


@pytest.mark.usefixtures("any_keys")
def test_an_object_that_is_too_large_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    head = b'HTTP/1.1 200 OK\r\nETag: "1"\r\nContent-Length: 1000000000\r\n\r\n'
    with answering(head + bytes(100_000)) as url, pytest.raises(StoreError, match="larger than the 1000 bytes"):
        monkeypatch.setenv("S3_ENDPOINT_URL", url)
        StoreReader().get("big", 1000)


def test_an_object_that_says_it_is_compressed_is_taken_as_it_is(models: ModelStore, bucket: str) -> None:
    """Who wrote it could have said so: 300 kB would become 300 MB."""
    assert models.current() is None
    content = gzip.compress(bytes(1_000_000))
    client(Settings()).put_object(Bucket=bucket, Key="packed", Body=content, ContentEncoding="gzip")
    stored = StoreReader().get("packed", 10_000)
    assert stored is not None
    assert stored.content == content


def test_a_version_is_loaded_as_it_was_published(models: ModelStore) -> None:
    published = artifact()
    scorer, manifest = load(models.publish(published))
    expected = unpack(published).scorer()
    assert [scorer.log_odds(text) for text in (TEXT, "awful", "")] == [
        expected.log_odds(text) for text in (TEXT, "awful", "")
    ]
    assert manifest == published.manifest


def test_a_bad_version_is_refused_with_its_reason(models: ModelStore, bucket: str) -> None:
    with pytest.raises(VersionRefused, match="no whole version nope") as missing:
        load("nope")
    version = models.publish(artifact())
    put(bucket, f"versions/{version}/{TRIE_PART}", b"damaged")
    with pytest.raises(VersionRefused, match=r"table\.trie has another SHA-256") as damaged:
        load(version)
    assert not missing.value.passing
    assert not damaged.value.passing


def test_a_store_that_is_away_refuses_only_for_now(models: ModelStore, monkeypatch: pytest.MonkeyPatch) -> None:
    version = models.publish(artifact())
    monkeypatch.setenv("S3_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(VersionRefused, match="can't be reached") as refused:
        load(version)
    assert refused.value.passing


def test_a_store_that_does_not_answer_is_waited_for_only_so_long(
    models: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = models.publish(artifact())
    monkeypatch.setattr(reader, "READ_TIMEOUT_SECONDS", 0.3)
    with silent_server() as url:
        monkeypatch.setenv("S3_ENDPOINT_URL", url)
        with pytest.raises(VersionRefused, match="timed out") as refused:
            load(version)
    assert refused.value.passing


def test_a_watcher_that_waits_for_the_store_can_be_stopped(
    models: ModelStore, observed: Observed, monkeypatch: pytest.MonkeyPatch
) -> None:
    promoted(models, models.publish(artifact(), "v1"))
    assert observed.serves("v1")
    with silent_server() as url:
        monkeypatch.setenv("S3_ENDPOINT_URL", url)
        observed.reader._signer = None  # as after keys were refused: the address is read again
        assert wait_until(lambda: observed.reader._signer is not None, timeout_seconds=10)
        observed.watcher.stop(0.5)
    assert observed.version == "v1"


def test_a_promotion_is_followed_while_the_old_model_serves(models: ModelStore, observed: Observed) -> None:
    assert observed.watcher.served is None
    assert not wait_until(lambda: observed.watcher.served is not None, 0.2)
    one, two = artifact(), artifact(2)
    promoted(models, models.publish(one, "v1"))
    assert wait_until(lambda: observed.watcher.served is not None, 20)
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


@pytest.mark.parametrize(
    "fault", ["half-written", "missing part", "wrong hash", "wrong canary", "no trie", "fewer weights"]
)
def test_a_bad_version_is_refused_once_and_the_old_one_stays(
    models: ModelStore, observed: Observed, bucket: str, fault: str
) -> None:
    promoted(models, models.publish(artifact(), "good"))
    assert observed.serves("good")
    bad = artifact(2)
    if fault == "wrong canary":
        examples = [CanaryText(TEXT, probability(bad) + 2e-6)]
        bad = replace(bad, manifest=msgspec.structs.replace(bad.manifest, canary=examples))
    if fault in ("no trie", "fewer weights"):
        name, content = (TRIE_PART, b"nothing") if fault == "no trie" else (WEIGHTS_PART, bytes(16))
        parts = {**bad.manifest.parts, name: part_of(content)}
        bad = Artifact(msgspec.structs.replace(bad.manifest, parts=parts), {**bad.parts, name: content})
    models.publish(bad, "bad")
    if fault == "half-written":
        delete(bucket, "versions/bad/manifest.json")
    if fault == "missing part":
        delete(bucket, f"versions/bad/{TRIE_PART}")
    if fault == "wrong hash":
        put(bucket, f"versions/bad/{WEIGHTS_PART}", b"changed")
    point_at("bad", bucket)
    assert observed.refuses()
    # Wrong content is not tried again: some polls later there was still one try.
    assert not wait_until(lambda: len(observed.loads) > 2, timeout_seconds=10 * POLL_SECONDS)
    assert observed.version == "good"
    refusal = observed.refusals[0]
    assert isinstance(refusal, VersionRefused)
    assert not refusal.passing
    promoted(models, models.publish(artifact(3), "better"))
    assert observed.serves("better")
    assert len(observed.refusals) == 1


def test_a_current_that_makes_no_sense_keeps_the_old_model(models: ModelStore, observed: Observed, bucket: str) -> None:
    first = promoted(models, models.publish(artifact(), "v1"))
    assert observed.serves("v1")
    put(bucket, "current.json", b"oops")
    assert observed.refuses()
    # It is said once: some polls later there was still one refusal.
    assert not wait_until(lambda: len(observed.refusals) > 1, timeout_seconds=10 * POLL_SECONDS)
    assert observed.version == "v1"
    assert isinstance(observed.refusals[0], CurrentRefused)
    assert not observed.outages
    put(bucket, "current.json", Current.to_bytes(first.promotion))
    promoted(models, models.publish(artifact(2), "v2"))
    assert observed.serves("v2")


def test_a_removed_current_keeps_the_old_model(models: ModelStore, observed: Observed, bucket: str) -> None:
    promoted(models, models.publish(artifact(), "v1"))
    assert observed.serves("v1")
    delete(bucket, "current.json")
    assert not wait_until(lambda: observed.version != "v1", timeout_seconds=10 * POLL_SECONDS)
    promoted(models, models.publish(artifact(2), "v2"))
    assert observed.serves("v2")
