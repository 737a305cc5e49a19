"""Retrain's service: takes labels in, trains on them, takes them back, rolls back.

The order of a run is what makes it safe to kill at any step:

1. The champion, the served version, is loaded, and the labels are repaired: those that it has learned, which the
   version itself names, are marked as used, and those that it took back are deleted.
2. Pending labels are read, as many as memory has room for, and their counts added to the champion's.
3. The gate compares. If it refuses, it is asked again without the labels of each principal in turn. Labels that are
   left out are marked as refused; where no challenger passes, all are, and nothing else happens.
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
from contracts.manifest import Bound, Contender
from contracts.retrain import (
    LabelsLearned,
    LabelsStored,
    LabelsTaken,
    LastRun,
    Overview,
    Progress,
    RefusedLabels,
    RolledBack,
    RunOutcome,
    TakenBack,
)
from functions.retrain.challenge import Challenge, challenged
from functions.retrain.lesson import Lesson
from functions.retrain.settings import Settings
from functions.retrain.versions import Champion, Compared, first_version, summary
from model_store.errors import PromotionConflict, StoreError
from model_store.layout import Current
from model_store.publishing import ModelStore
from process.exclusive import Busy, Exclusive
from records import RecordsUnavailable, now
from records.labels import Label, Labels
from sentiment import influence
from sentiment.artifact import Artifact, ArtifactError
from sentiment.counts import count_texts
from sentiment.features import WORDS

logger = logging.getLogger(__name__)

VERSIONS_SHOWN = 50
WINDOW_LABELS = 200
"""How many of the labels that were accepted last the gate looks at, too, where a run has few."""
WINDOW_SHARE = 0.1
"""How much of MAX_RUN_BYTES they may take beside a run's own."""
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
        counts = self._labels.counts()
        return Overview(
            model=self._served(),
            pending=counts.pending,
            retrain_after=self._settings.retrain_after,
            used=counts.used,
            refused=counts.refused,
            conflicts=self._labels.conflicts() if with_texts else UNSET,
            running=self._progress,
            last_run=self._last_run,
            versions=[summary(info) for info in self._store.versions(VERSIONS_SHOWN)[::-1]],
            promotions=self._store.history(),
        )

    def take(self, labels: Sequence[Label]) -> LabelsTaken:
        """Store labels; where enough are pending then, a run starts in the background. Raises TooManyPending."""
        stored = self._keep(labels)
        most = self._settings.retrain_after
        due = self._progress is None and stored.pending >= most and self._labels.waiting()[1] >= most
        if due:
            threading.Thread(target=self._run_in_background, name="training", daemon=True).start()
        return extended(stored, LabelsTaken, model=self._served(), retrained=due)

    def learn(self, labels: Sequence[Label], *, by: str) -> LabelsLearned:
        """Store labels, and run on all that are pending; raises TooManyPending, Busy."""
        stored = asdict(self._keep(labels))
        return extended(self.run(by=by), LabelsLearned, **stored)

    def run(self, *, by: str, refused: bool = False, scheduled: bool = False) -> RunOutcome:
        """Train on what is pending, and return what came of it; raises Busy.

        by: who has it run. refused: on labels that the gate has refused before, too. scheduled: only on RETRAIN_LEAST
        or more.
        """
        with self._working(by):
            champion = self._champion()
            nobody = Contender(None, None)
            before = champion.as_contender() if champion else nobody
            outcome = RunOutcome(model=before.model, champion=before, challenger=nobody, reason="no labels are pending")
            labels, (_, ready) = 0, self._labels.waiting()
            if scheduled and 0 < ready < (least := self._settings.retrain_least):
                outcome = replace(outcome, reason=f"{ready} labels are pending, fewer than RETRAIN_LEAST ({least})")
            else:
                pending = self._labels.pending(
                    maximum=self._settings.max_labels_per_run,
                    maximum_per_principal=self._settings.max_labels_per_principal,
                    refused=refused,
                )
                bound, weight = champion.bound if champion else None, self._settings.label_weight
                features = champion.model.features if champion else WORDS
                most = self._settings.max_run_bytes
                lesson = Lesson.read(pending, most, bound=bound, weight=weight, features=features)
                labels = len(lesson)
                if labels:
                    outcome = self._learn(champion, lesson, by, outcome)
            RUNS.labels("promoted" if outcome.promoted else "refused" if outcome.retrained else "nothing-to-do").inc()
            finished_at = now().isoformat(timespec="seconds")
            self._last_run = extended(outcome, LastRun, by=by, labels=labels, finished_at=finished_at)
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
                counted = influence.within(count_texts([label.text], champion.model.features), label.bound)
                model = champion.model.added(counted, [label.label], weight=-label.counted)
                reason = f"label {label.id} was taken back"
                weight = self._settings.label_weight
                artifact = champion.successor(champion.compared(model), weight, reason, taken_back=[label.id])
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
        waiting, _ = self._labels.waiting()
        if waiting + len(labels) > self._settings.max_pending_labels:
            raise TooManyPending(f"{waiting} labels are pending already; try again when they are learned")
        new = self._labels.add(labels)
        repeated = len(labels) - len(new)
        LABELS.labels("accepted").inc(len(new))
        LABELS.labels("repeated").inc(repeated)
        return LabelsStored(accepted=len(new), repeated=repeated, pending=self._labels.waiting()[0], ids=new)

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
        bound: Bound | None = None
        if champion:
            found, compared, outcome = self._challenge(champion, lesson, outcome)
            if not found.verdict.promote:
                return outcome
            lesson, bound = found.lesson, champion.bound
            self._say("publishing", len(lesson))
            reason, weight = f"learned {len(lesson)} labels: {outcome.reason}", self._settings.label_weight
            artifact = champion.successor(compared, weight, reason, learned=lesson.ids)
        elif len(set(lesson.labelled.labels.tolist())) < 2:
            return replace(outcome, reason="there is no model yet, and the pending labels are all of one class")
        else:
            artifact = first_version(self._labels.texts(lesson.ids), lesson, self._settings.trainer)
            outcome = replace(outcome, retrained=True, reason="the first model, with nothing to compare it with")
        try:
            reason = f"learned {len(lesson)} labels: {outcome.reason}"
            version = self._promote(artifact, champion.current if champion else None, by, reason)
        except PromotionConflict as error:
            return replace(outcome, reason=f"not promoted: {error}; the labels stay pending for the next run")
        self._labels.mark_used(lesson.ids, version, artifact.manifest.label_weight, bound)
        return replace(outcome, promoted=True, model=version, challenger=replace(outcome.challenger, model=version))

    def _challenge(
        self, champion: Champion, lesson: Lesson, outcome: RunOutcome
    ) -> tuple[Challenge, Compared, RunOutcome]:
        """Return the challenge that the gate lets through, else the one it refuses, and `outcome` with what it found.

        With it comes its model beside the champion. Labels that it refuses are marked.
        """
        accepted = self._labels.accepted(champion.lineage, WINDOW_LABELS)
        most, features = int(WINDOW_SHARE * self._settings.max_run_bytes), champion.model.features
        window = Lesson.read(accepted, most, bound=champion.bound, features=features)
        self._say("comparing", len(lesson))
        found, left_out = challenged(champion, lesson, window, self._settings)
        run = uuid.uuid4().hex
        for part in left_out:
            logger.warning("%d labels of %s left out: %s", len(part.lesson), part.principal, part.reason)
            self._labels.mark_refused(part.lesson.ids, run, part.reason)
        if left_out:
            refused = [RefusedLabels(part.principal, len(part.lesson), part.reason) for part in left_out]
            outcome = replace(outcome, refused=refused)
        if not found.verdict.promote:
            logger.warning("challenger %s", found.verdict.reason)
            self._labels.mark_refused(found.lesson.ids, run, found.verdict.reason)
        compared = champion.compared(found.model)
        words = (f"{each.word} {each.before:+.2f} to {each.after:+.2f}" for each in compared.moved)
        logger.info("log-odds that moved most: %s", ", ".join(words))
        outcome = replace(
            outcome,
            retrained=True,
            challenger=Contender(None, compared.metrics),
            reason=found.verdict.reason,
            tests=found.verdict.tests,
            moved=compared.moved,
        )
        return found, compared, outcome

    def _promote(self, artifact: Artifact, expected: Current | None, by: str, reason: str) -> str:
        version = self._store.publish(artifact)
        self._store.promote(version, expected=expected, by=by, reason=reason)
        self._store.prune(self._settings.keep_versions)
        logger.info("promoted %s: %s", version, reason)
        return version
