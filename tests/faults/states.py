"""What befalls the state that servers keep: disks, the database, streams, the model store, and the clock."""

import os
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import urllib3

from contracts.manifest import MANIFEST, Promotion
from deploy.runner import wait_until
from messages.topology import declare_streams
from model_store.layout import CURRENT_KEY, MAX_DOCUMENT_BYTES, Current, version_key
from sentiment.artifact import MODEL_PART, WEIGHTS_PART
from tests.cluster.bridges import entries
from tests.faults.history import Sender
from tests.faults.stage import MAX_BYTES, Stage, end_of
from tests.running import Part
from tests.system import Client

DISK_BYTES = 256_000_000
SMALL_STREAM_BYTES = 8_000_000
FILLING = "filling"
BLOCK = bytes(4096)
MAX_MANIFEST_BYTES = 10_000_000


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """Have a folder on a disk of DISK_BYTES, which takes root."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "none", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def full(stage: Stage, part: Part, left_bytes: int) -> Iterator[None]:
    """The disk of a server has no more than so many bytes left; it is started again whenever it dies of that."""
    assert stage.disk
    stage.supervise(part)
    filling = stage.disk / FILLING
    free = os.statvfs(stage.disk)
    blocks = max(free.f_bavail * free.f_frsize - left_bytes, 0) // len(BLOCK) + 1
    with filling.open("wb", buffering=0) as file, suppress(OSError):
        for _ in range(blocks):
            file.write(BLOCK)
    try:
        yield
    finally:
        filling.unlink()


@contextmanager
def emptied(stage: Stage) -> Iterator[None]:
    """The database is dropped; of what came by streams nothing is lost that the broker has."""
    with stage.askers.paused():
        stage.records.database.client.drop_database(stage.records.database.name)
        stage.history.texts.clear()
        stage.history.labels.clear()
    # What the model has learned of labels that are gone can't be told any more.
    stage.knows_labels = False
    yield


@contextmanager
def made_anew(stage: Stage) -> Iterator[None]:
    """The stream of reviews is deleted once it is done, and another one takes its name."""
    assert stage.recovery_seconds(60) is not None
    url = stage.environment["RABBITMQ_STREAM_URL"]
    stage.earlier |= entries(url, stage.name, end=end_of(url, stage.name))
    client = Client(stage.environment["RABBITMQ_URL"])
    client.channel.queue_delete(stage.name)
    client.close()
    declare_streams(stage.environment["RABBITMQ_URL"], [stage.name], MAX_BYTES)
    stage.is_anew = True
    yield


@contextmanager
def truncated(stage: Stage) -> Iterator[None]:
    """While the bridge is away, so much comes that the broker drops what was not read yet; the bridge counts that."""
    url, name = stage.environment["RABBITMQ_STREAM_URL"], stage.name
    assert stage.traffic.wait(60)
    stage.bridge.kill()
    done = stage.offset()
    before = entries(url, name, end=end_of(url, name))
    sender = Sender(stage.environment["RABBITMQ_URL"], stage.replies, stage.history)
    large = [sender.publish(name, "great " * 10_000) for _ in range(2 * SMALL_STREAM_BYTES // 60_000)]
    sender.close()
    yield
    held = entries(url, name, end=end_of(url, name))
    first = min(held)
    assert first > done + 1, "nothing was dropped that was not read yet"
    stage.earlier |= held | {offset: entry for offset, entry in before.items() if offset <= done}
    stage.gone |= {offset: entry for offset, entry in before.items() if done < offset < first}
    stage.may_be_gone |= set(large)
    stage.bridge.start()
    expected = {name: first - done - 1}
    assert wait_until(lambda: stage.bridge.metric("bridge_missed_messages_total") == expected, 60), expected


@contextmanager
def bad_versions(stage: Stage) -> Iterator[None]:
    """One version after the other is served that is half written, changed, or not even there."""
    objects = stage.model_store._objects
    with served_by_hand(stage) as serve:
        before = stage.model_store.current()
        assert before
        artifact = stage.model_store.load(before.version)
        stored = objects.get(version_key(before.version, MANIFEST), MAX_MANIFEST_BYTES)
        assert stored
        manifest = stored.content
        for name, without in (("half", MANIFEST), ("halves", WEIGHTS_PART), ("forged", ""), ("pickled", "")):
            version = f"{name}-{time.time_ns()}"
            parts = dict(artifact.parts)
            if name == "forged":
                parts[WEIGHTS_PART] = bytes(len(parts[WEIGHTS_PART]))
            if name == "pickled":
                # Predict does not read this one, and may serve the rest, which is as it was.
                parts[MODEL_PART] = b"cos\nsystem\n(S'exit 1'\ntR."
                stage.copies[version] = before.version
            parts[MANIFEST] = manifest
            for part, content in parts.items():
                if part != without:
                    assert objects.put_if(version_key(version, part), content, etag=None)
            serve(version)
            wait_until_refused(stage)
        serve("nowhere")
        yield


@contextmanager
def served_by_hand(stage: Stage) -> Iterator["Hand"]:
    """Write current.json as somebody with the keys would; at the end it is as it was."""
    objects = stage.model_store._objects
    before = objects.get(CURRENT_KEY, MAX_DOCUMENT_BYTES)
    assert before
    hand = Hand(stage)
    try:
        yield hand
    finally:
        now = objects.get(CURRENT_KEY, MAX_DOCUMENT_BYTES)
        assert now
        assert objects.put_if(CURRENT_KEY, before.content, etag=now.etag)


class Hand:
    """Writes current.json past the project's own code."""

    def __init__(self, stage: Stage) -> None:
        self._objects = stage.model_store._objects

    def __call__(self, version: str) -> None:
        promotion = Promotion("0" * 32, "2026-01-01T00:00:00+00:00", "test", None, version, "forged")
        while True:
            now = self._objects.get(CURRENT_KEY, MAX_DOCUMENT_BYTES)
            assert now
            if self._objects.put_if(CURRENT_KEY, Current.to_bytes(promotion), etag=now.etag):
                return


def wait_until_refused(stage: Stage) -> None:
    """Return when predict has had time to look at what is served now."""
    time.sleep(3 * float(stage.environment["POLL_SECONDS"]))


@contextmanager
def trained_again_and_again(stage: Stage) -> Iterator[None]:
    """Each retrain is asked to train all the time, side by side."""
    end = threading.Event()

    def ask(part: Part) -> None:
        pool = urllib3.PoolManager(retries=False, timeout=30)
        while not end.is_set():
            pool.request("POST", f"{part.service.variables['URL']}/")

    threads = [threading.Thread(target=ask, args=(part,)) for part in stage.all_retrain]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        end.set()
        for thread in threads:
            thread.join()


@contextmanager
def jumped(stage: Stage, seconds: int) -> Iterator[None]:
    """The clock of the project's own processes is wrong."""
    stage.clock.write_text(f"{seconds:+d}\n")
    try:
        yield
    finally:
        stage.clock.write_text("+0\n")
