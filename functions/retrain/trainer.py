"""Retrain's service: takes labels in, trains on them, takes them back, rolls back.

The order of a run is what makes it safe to kill at any step:

1. The champion, the served version, is loaded, and the labels are repaired: those that it has learned, which the
   version itself names, are marked as used, and those that it took back are deleted.
2. Pending labels are read, as many as memory has room for, and their counts added to the champion's.
3. The gate compares. If it refuses, the labels are marked as refused, and nothing else happens.
4. The challenger is published, then promoted by one conditional write that fails if anything else was promoted
   since the champion was read. A version that was published and not promoted is never served.
5. The labels are marked as used.
"""

import logging
import threading
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache

from msgspec import UNSET
from msgspec.structs import asdict, replace
from prometheus_client import Counter

from contracts.codec import extended
from contracts.manifest import Contender
from contracts.retrain import (
    LabelsLearned,
    LabelsStored,
    LabelsTaken,
    LastRun,
    Overview,
    Progress,
    RolledBack,
    RunOutcome,
    TakenBack,
)
from functions.retrain.lesson import Lesson
from functions.retrain.settings import Settings
from functions.retrain.versions import Champion, first_version, summary
from model_store.errors import PromotionConflict, StoreError
from model_store.layout import Current
from model_store.publishing import ModelStore
from process.exclusive import Busy, Exclusive
from records import RecordsUnavailable, now
from records.labels import Label, Labels
from sentiment import gate
from sentiment.artifact import Artifact, ArtifactError
from sentiment.counts import count_texts

logger = logging.getLogger(__name__)

VERSIONS_SHOWN = 50
LABELS = Counter("retrain_labels", "Labels that came in, by whether they were new", ["outcome"])
RUNS = Counter("retrain_runs", "Training runs, by outcome", ["outcome"])


class TooManyPending(Exception):
    """Labels can't be taken before some of those that wait are learned."""


class UnknownLabel(Exception):
    """There is no label of that id."""


class Trainer:
    """Takes labels at any time, and does one thing at a time that moves the served model.

    Every method raises RecordsUnavailable or StoreError where MongoDB or the store can't answer, and those that move
    the model ArtifactError where the served version is damaged.
    """

    def __init__(self, store: ModelStore, labels: Labels, settings: Settings) -> None:
        self._store = store
        self._labels = labels
        self._settings = settings
        self._ensure_indexes = cache(labels.ensure_indexes)  # until it has worked once: errors are not kept
        self._exclusive = Exclusive("another run is under way")
        self._last_run: LastRun | None = None
        self._progress: Progress | None = None

    def overview(self, *, with_texts: bool) -> Overview:
        """Return the labels, what runs do and did, the versions and their promotions; with_texts: of labels, too."""
        return Overview(
            model=self._served(),
            pending=self._labels.count("pending"),
            used=self._labels.count("used"),
            refused=self._labels.count("refused"),
            conflicts=self._labels.conflicts() if with_texts else UNSET,
            running=self._progress,
            last_run=self._last_run,
            versions=[summary(info) for info in self._store.versions(VERSIONS_SHOWN)[::-1]],
            promotions=self._store.history(),
        )

    def take(self, labels: Sequence[Label]) -> LabelsTaken:
        """Store labels; where enough are pending then, a run starts in the background. Raises TooManyPending."""
        stored = self._keep(labels)
        due = stored.pending >= self._settings.retrain_after and self._progress is None
        if due:
            threading.Thread(target=self._run_in_background, name="training", daemon=True).start()
        return extended(stored, LabelsTaken, model=self._served(), retrained=due)

    def learn(self, labels: Sequence[Label], *, by: str) -> LabelsLearned:
        """Store labels, and run on all that are pending; raises TooManyPending, Busy."""
        stored = asdict(self._keep(labels))
        return extended(self.run(by=by), LabelsLearned, **stored)

    def run(self, *, by: str, refused: bool = False) -> RunOutcome:
        """Train on what is pending, and return what came of it; raises Busy.

        by: who has it run. refused: on labels that the gate has refused before, too.
        """
        with self._working(by):
            champion = self._champion()
            pending = self._labels.pending(
                maximum=self._settings.max_labels_per_run,
                maximum_per_source=self._settings.max_labels_per_source,
                refused=refused,
            )
            lesson = Lesson.read(pending, self._settings.max_run_bytes)
            nobody = Contender(None, None)
            before = champion.as_contender() if champion else nobody
            outcome = RunOutcome(model=before.model, champion=before, challenger=nobody, reason="no labels are pending")
            if len(lesson):
                outcome = self._learn(champion, lesson, by, outcome)
            RUNS.labels("promoted" if outcome.promoted else "refused" if outcome.retrained else "nothing-to-do").inc()
            finished_at = now().isoformat(timespec="seconds")
            self._last_run = extended(outcome, LastRun, by=by, labels=len(lesson), finished_at=finished_at)
            return outcome

    def take_back(self, identifier: str, *, by: str) -> TakenBack:
        """Forget a label, and subtract it from the served model if that has learned it.

        Raises UnknownLabel, AmbiguousLabel, Busy, and PromotionConflict where something else was promoted meanwhile.
        """
        with self._working(by):
            champion = self._champion()
            label = self._labels.find(identifier)
            if label is None:
                raise UnknownLabel(f"There is no label {identifier}")
            version = None
            if champion and label.model and label.model in champion.lineage:
                model = champion.model.added(count_texts([label.text]), [label.label], weight=-label.counted)
                reason = f"label {label.id} was taken back"
                artifact = champion.successor(model, self._settings.label_weight, reason, taken_back=[label.id])
                version = self._promote(artifact, champion.current, by, reason)
            self._labels.delete(label.id)
            return TakenBack(label.id, version is not None, version)

    def roll_back(self, to: str | None, *, by: str, requeue: bool = False) -> RolledBack:
        """Serve version `to`, None for the one served before.

        requeue: labels that what is served from now on has not learned, only versions that were left behind, are
        learned anew by the next run. Without it they stay out: they may be why one rolls back.
        Raises Busy, VersionNotFound.
        """
        with self._working(by):
            current = self._store.rollback(to, by=by, reason="rolled back by request")
            requeued = 0
            if requeue:
                ancestors = self._store.load(current.version).manifest.ancestors
                requeued = self._labels.requeue([*ancestors, current.version])
            return RolledBack(current.version, current.promotion, requeued)

    def _keep(self, labels: Sequence[Label]) -> LabelsStored:
        self._ensure_indexes()
        waiting = self._labels.count("pending")
        if waiting + len(labels) > self._settings.max_pending_labels:
            raise TooManyPending(f"{waiting} labels are pending already; try again when they are learned")
        new = self._labels.add(labels)
        repeated = len(labels) - len(new)
        LABELS.labels("accepted").inc(len(new))
        LABELS.labels("repeated").inc(repeated)
        return LabelsStored(accepted=len(new), repeated=repeated, pending=waiting + len(new), ids=new)

    def _run_in_background(self) -> None:
        """Run because enough labels are pending; if it fails, the next label or the schedule tries again."""
        try:
            with suppress(Busy):
                self.run(by="pending labels")
        except (RecordsUnavailable, StoreError, ArtifactError) as error:
            logger.error("training failed: %s", error)

    @contextmanager
    def _working(self, by: str) -> Iterator[None]:
        """Hold the right to move the model, and show who does; raises Busy."""
        with self._exclusive() as started_at:
            self._progress = Progress(by, started_at, "starting")
            try:
                yield
            finally:
                self._progress = None

    def _say(self, step: str, labels: int) -> None:
        if self._progress is not None:
            self._progress = replace(self._progress, step=step, labels=labels)
        logger.info("%s %d labels", step, labels)

    def _served(self) -> str | None:
        current = self._store.current()
        return current.version if current else None

    def _champion(self) -> Champion | None:
        champion = Champion.load(self._store)
        if champion:
            champion.repair(self._labels)
        return champion

    def _learn(self, champion: Champion | None, lesson: Lesson, by: str, outcome: RunOutcome) -> RunOutcome:
        """Train on labels, promote what comes of it, and return `outcome` with what came of that."""
        self._say("training", len(lesson))
        if champion:
            artifact, outcome = self._challenge(champion, lesson, outcome)
            if artifact is None:
                return outcome
        elif len(set(lesson.labels.tolist())) < 2:
            return replace(outcome, reason="there is no model yet, and the pending labels are all of one class")
        else:
            artifact = first_version(self._labels.texts(lesson.ids), lesson)
            outcome = replace(outcome, retrained=True, reason="the first model, with nothing to compare it with")
        try:
            reason = f"learned {len(lesson)} labels: {outcome.reason}"
            version = self._promote(artifact, champion.current if champion else None, by, reason)
        except PromotionConflict as error:
            return replace(outcome, reason=f"not promoted: {error}; the labels stay pending for the next run")
        self._labels.mark_used(lesson.ids, version, artifact.manifest.label_weight)
        return replace(outcome, promoted=True, model=version, challenger=replace(outcome.challenger, model=version))

    def _challenge(self, champion: Champion, lesson: Lesson, outcome: RunOutcome) -> tuple[Artifact | None, RunOutcome]:
        """Return the challenger, None where the gate refuses it, and `outcome` with what the gate found."""
        weight = self._settings.label_weight
        challenger = champion.model.added(lesson.texts, lesson.labels.tolist(), weight=weight)
        words, most = len(challenger.vocabulary), self._settings.max_vocabulary_words
        if words > max(most, len(champion.model.vocabulary)):
            reason = f"refused: the model would have {words} words, more than MAX_VOCABULARY_WORDS ({most})"
            logger.warning("challenger %s", reason)
            self._labels.mark_refused(lesson.ids, uuid.uuid4().hex)
            return None, replace(outcome, retrained=True, reason=reason)
        self._say("comparing", len(lesson))
        verdict = gate.decide(
            gate.on_holdout(champion.model, challenger, champion.holdout, champion.holdout_labels),
            gate.on_recent(champion.model, lesson.texts, lesson.labels, weight=weight),
            level=self._settings.gate_level,
        )
        reason = verdict.reason
        found = champion.calibrated(challenger)
        figures = Contender(None, found.metrics if found else None)
        outcome = replace(outcome, retrained=True, challenger=figures, reason=reason, tests=verdict.tests)
        if not verdict.promote:
            logger.warning("challenger %s", reason)
            if self._settings.gate == "on":
                self._labels.mark_refused(lesson.ids, uuid.uuid4().hex)
                return None, outcome
            reason = f"GATE=off, else {reason}"
        self._say("publishing", len(lesson))
        reason_for_all = f"learned {len(lesson)} labels: {reason}"
        artifact = champion.successor(challenger, weight, reason_for_all, learned=lesson.ids)
        return artifact, replace(outcome, reason=reason)

    def _promote(self, artifact: Artifact, expected: Current | None, by: str, reason: str) -> str:
        version = self._store.publish(artifact)
        self._store.promote(version, expected=expected, by=by, reason=reason)
        self._store.prune(self._settings.keep_versions)
        logger.info("promoted %s: %s", version, reason)
        return version
