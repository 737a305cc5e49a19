"""A retraining run that is killed at any step: nothing half is served, and no label is lost or used twice."""

import multiprocessing
import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any

import pytest

from functions.retrain.trainer import Trainer
from model_store.publishing import ModelStore
from records import Records
from records.labels import Labels
from sentiment.counts import count_texts
from sentiment.packing import unpack
from tests.integration.test_retrain import champion, honest, settings
from tests.models import equal

__all__ = ["champion"]  # a fixture


def die(*_: object, **__: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True)
class Kill:
    """Where a process ends: before or after call number `call` of a method of the store, its objects or the labels."""

    owner: str
    method: str
    before: bool
    call: int = 1

    def arm(self, trainer: Trainer) -> None:
        """Put the kill in its place."""
        target = {"store": trainer._store, "objects": trainer._store._objects, "labels": trainer._labels}[self.owner]
        original = getattr(target, self.method)
        calls = count(1)

        def deadly(*arguments: Any, **options: Any) -> Any:
            last = next(calls) == self.call
            if last and self.before:
                die()
            result = original(*arguments, **options)
            if last:
                die()
            return result

        pytest.MonkeyPatch().setattr(target, self.method, deadly)


def run_and_die(kill: Kill, taken_back: str | None) -> None:
    """Run, or take a label back, in a process of its own, which kills itself."""
    labels = Labels(Records.from_environment())
    trainer = Trainer(ModelStore.from_environment(), labels, settings())
    kill.arm(trainer)
    if taken_back is None:
        trainer.run(by="killed")
    else:
        trainer.take_back(taken_back, by="killed")


def killed(kill: Kill, taken_back: str | None = None) -> None:
    process = multiprocessing.get_context("spawn").Process(target=run_and_die, args=(kill, taken_back))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL


@pytest.mark.parametrize(
    ("kill", "promoted"),
    [
        pytest.param(Kill("objects", "put_if", before=True, call=2), False, id="between two parts"),
        pytest.param(Kill("store", "publish", before=False), False, id="after publish"),
        pytest.param(Kill("store", "promote", before=True), False, id="before promote"),
        pytest.param(Kill("store", "promote", before=False), True, id="after promote"),
        pytest.param(Kill("store", "prune", before=False), True, id="before the labels are marked"),
        pytest.param(Kill("labels", "mark_used", before=False, call=2), True, id="at the very end"),
    ],
)
def test_the_next_run_ends_well(
    kill: Kill,
    promoted: bool,
    champion: str,
    store: ModelStore,
    labels: Labels,
    environment: Mapping[str, str],
) -> None:
    assert environment
    before = unpack(store.load(champion))
    first, second = honest(60), honest(20, start=60)
    labels.add(first)
    killed(kill)
    current = store.current()
    assert current is not None
    assert (current.version != champion) == promoted
    store.load(current.version)  # what is served is whole

    labels.add(second)
    outcome = Trainer(store, labels, settings()).run(by="next")
    assert outcome.promoted is True, outcome.reason
    everything = first + second
    expected = before.added(count_texts(label.text for label in everything), [label.label for label in everything])
    assert outcome.model
    assert equal(unpack(store.load(outcome.model)), expected), "each label is learned exactly once"
    assert (labels.counts().pending, labels.counts().used) == (0, 80)


def test_a_label_is_not_subtracted_twice(
    champion: str, store: ModelStore, labels: Labels, environment: Mapping[str, str]
) -> None:
    assert environment
    before = unpack(store.load(champion))
    labels.add(honest(60))
    trainer = Trainer(store, labels, settings())
    trainer.run(by="test")
    killed(Kill("labels", "delete", before=True), taken_back=honest(60)[7].id)
    assert trainer.run(by="next").reason == "no labels are pending"
    assert labels.find(honest(60)[7].id) is None
    current = store.current()
    assert current is not None
    rest = [label for label in honest(60) if label != honest(60)[7]]
    expected = before.added(count_texts(label.text for label in rest), [label.label for label in rest])
    assert equal(unpack(store.load(current.version)), expected)
