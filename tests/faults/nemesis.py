"""What befalls the system amid its work: each fault as a context, whose end is the end of the fault."""

import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from deploy.runner import ServiceError
from tests.cluster.bridges import entries
from tests.faults.checker import Checker, Verdict, held
from tests.faults.stage import Servers, Stage, label_text
from tests.faults.states import small_disk

RECOVERY_SECONDS = 60
PORTIONS = 3

Fault = Callable[[Stage], AbstractContextManager[object]]
"""Lasts as long as the context, amid which the row waits."""


@dataclass(frozen=True)
class Row:
    """A fault, for how long it lasts, how often it comes, and what the system is meanwhile.

    in_ci: whether pytest runs it. disk: which server is on a small disk. missing: says why it can't run here, else "".
    """

    name: str
    fault: Fault
    seconds: float = 1.0
    times: int = 1
    in_ci: bool = False
    stage: dict[str, Any] = field(default_factory=dict)
    disk: Literal["", "broker", "database"] = ""
    missing: Callable[[], str] = lambda: ""


@dataclass
class Outcome:
    """What came of a row. recovery_seconds: the longest of its faults, None where it did not recover in time."""

    row: Row
    verdict: Verdict
    recovery_seconds: float | None
    refused: dict[int, int]

    @property
    def good(self) -> bool:
        return self.recovery_seconds is not None and not self.verdict.problems()


def run(row: Row, servers: Servers, folder: Path, messages: int, seed: int) -> Outcome:
    """Run a row on servers that run already, or its own, and check what came of it."""
    chance = random.Random(f"{seed} {row.name}")
    servers.restore()
    with ExitStack() as stack:
        disk = None
        if row.disk:
            disk = stack.enter_context(small_disk(folder / "disk"))
            servers = Servers(folder / "servers", {row.disk: disk})
            stack.enter_context(servers.running())
        stage = Stage(servers, folder, chance, disk=disk, **row.stage)
        stack.enter_context(stage.running())
        verdict = Verdict()
        recovery = None
        try:
            recovery = _befall(row, stage, messages, chance)
            stage.finish()
        except (AssertionError, ServiceError) as problem:
            verdict.unfinished.append(str(problem))
        verdict.unanswered += stage.unfair
        check(stage, verdict)
        return Outcome(row, verdict, recovery, stage.history.refused)


def _befall(row: Row, stage: Stage, messages: int, chance: random.Random) -> float | None:
    """Have the fault come amid the work, as often as the row says; returns the longest recovery."""
    portion = messages // (PORTIONS * row.times)
    longest = 0.0
    for _ in range(row.times):
        stage.backlog(portion)
        stage.wait_for_share(chance.uniform(0.05, 0.5), portion)
        with row.fault(stage):
            stage.traffic.burst(portion)
            # How long it lasts is what is tested.
            time.sleep(row.seconds)
        ended = time.monotonic()
        stage.traffic.burst(portion)
        if stage.recovery_seconds(RECOVERY_SECONDS) is None:
            return None
        longest = max(longest, time.monotonic() - ended)
    return longest


def check(stage: Stage, verdict: Verdict) -> None:
    """Check all that a stage has sent."""
    url = stage.environment["RABBITMQ_STREAM_URL"]
    checker = Checker(stage.environment["RABBITMQ_URL"], stage.records, stage.model_store, stage.replies)
    history, confirmed = stage.history, stage.history.messages
    verdict.confirmed = len(confirmed) + len(history.texts) + len(history.labels)
    names = stage.name, stage.labels, "predictions", "rejected"
    with ThreadPoolExecutor() as pool:
        messages, labelled, predictions, rejected = pool.map(lambda name: entries(url, name), names)
    held_messages = held(stage.earlier, stage.name, confirmed, verdict)
    held_messages |= held(messages, _key_prefix(stage), confirmed, verdict)
    gone = held(stage.gone, stage.name, confirmed, verdict)
    present = {place.id for place, _ in held_messages.values()}
    for key in (stage.may_be_gone | {place.id for place, _ in gone.values()}) - present:
        del confirmed[key]
    held_labels = held(labelled, stage.labels, confirmed, verdict)
    bad_labels = {key for key, (_, review) in held_labels.items() if review.bad or review.either}
    reviews = {key for key, review in confirmed.items() if review.partition == stage.name}
    missing = {key for key, review in confirmed.items() if review.partition == stage.labels}
    missing -= {place.id for place, _ in held_labels.values()}
    verdict.lost += [f"in no stream: {key}" for key in missing]
    checker.messages(held_messages, gone, reviews, predictions.values(), rejected.values(), bad_labels, verdict)
    checker.texts(history, stage.copies, verdict)
    labels = [review for review in confirmed.values() if review.partition == stage.labels and not review.bad]
    taken = {label_text(review.body) for review in labels}
    accepted = history.labels | {label_text(review.body) for review in labels if not review.either}
    first_version = stage.first_version if stage.knows_labels else None
    checker.labels(accepted, history.asked | taken, first_version, verdict)
    for name, found in ((stage.name, messages), (stage.labels, labelled)):
        checker.offset(name, max(found), verdict)


def _key_prefix(stage: Stage) -> str:
    """Return what the ids of records of the stream begin with; only the bridge knows, where it was made anew."""
    if not stage.is_anew:
        return stage.name
    document = stage.records.database["offsets"].find_one({"_id": stage.name})
    return str(document and document["key_prefix"])
