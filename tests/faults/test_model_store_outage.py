"""A serving process whose model store goes away and comes back."""

import secrets
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from deploy import ports, runner, servers
from model_store.errors import StoreError, StoreUnavailable
from model_store.publishing import ModelStore
from model_store.serving import CurrentPoller, ModelWatcher, StoreReader, load_scorer, watcher
from sentiment.artifact import Artifact
from sentiment.model import Model
from sentiment.packing import pack
from tests.models import ABOUT
from tests.running import running


def artifact(alpha: float) -> Artifact:
    return pack(Model(("awful", "lovely"), np.array([[7.0, 1.0], [2.0, 9.0]]), np.array([5.0, 5.0]), alpha), ABOUT)


def test_the_old_model_serves_through_an_outage_and_the_next_promotion_is_followed(
    tmp_path: Path, bucket: str, monkeypatch: pytest.MonkeyPatch, s3_server: object
) -> None:
    assert s3_server  # is installed, or this test is skipped
    store = servers.s3(tmp_path, ports.free_port, "key", secrets.token_hex(8))
    for name, value in {**store.variables, "S3_BUCKET": bucket}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(watcher, "LONGEST_WAIT_SECONDS", 1.0)
    outages: list[StoreError] = []
    reader = StoreReader()
    watching = ModelWatcher(
        CurrentPoller(reader), partial(load_scorer, reader.get), poll_seconds=0.1, on_outage=outages.append
    )
    watching.start()  # before there is a store
    try:
        assert runner.wait_until(lambda: len(outages) > 2, timeout_seconds=10)
        with running(store):
            models = ModelStore.from_environment()
            models.ensure_bucket()
            first = models.promote(models.publish(artifact(1)), expected=None, by="test", reason="first")
            assert runner.wait_until(lambda: watching.served is not None, 20)
        outages.clear()
        assert runner.wait_until(lambda: len(outages) > 1, timeout_seconds=30)
        assert all(isinstance(outage, StoreUnavailable) for outage in outages)
        assert watching.served is not None
        assert watching.served.version == first.version
        with running(store):
            second = models.promote(models.publish(artifact(2)), expected=models.current(), by="test", reason="next")
            assert runner.wait_until(
                lambda: watching.served is not None and watching.served.version == second.version,
                timeout_seconds=30,
            )
    finally:
        watching.stop()
