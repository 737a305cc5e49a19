"""A look at the last texts, against the reference; a check, with the state that follows and the report of both."""

import dataclasses
import logging
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import starmap
from typing import get_args

import prometheus_client
from msgspec import UNSET
from msgspec.structs import replace
from prometheus_client import Gauge, Histogram

from contracts.codec import extended
from contracts.drift import DriftReport, ExpectedAccuracy, Findings, ModelShare, Reports, State, Status, WindowFigures
from contracts.names import CLASSES
from functions.drift.alerts import Courier
from functions.drift.references import Candidate, References, Watched, say_rest
from functions.drift.settings import Settings
from records import InvalidRecord, RecordsUnavailable, now
from records.drift import DriftRecords, Scoring
from sentiment.calibration import NOT_CALIBRATED
from sentiment.drift.check import check, counts, next_state
from sentiment.drift.expected import contradicts, expected_accuracy
from sentiment.drift.samples import Window

logger = logging.getLogger(__name__)

KEPT_SECONDS = 5.0

STATE = Gauge("drift_state", "1 while the state is drift, confirmed; 0 else")
DOCUMENTS = Gauge("drift_window_documents", "Texts in the last window")
P_VALUE = Gauge("drift_p_value", "P-values of the last check, corrected by Holm", ["test"])
EFFECT_SIZE = Gauge("drift_effect_size", "Effect sizes of the last check", ["test"])
CHECKS = prometheus_client.Counter("drift_checks", "Checks, by what each found", ["status"])
for _status in get_args(Status):
    CHECKS.labels(_status)
SECONDS = Histogram(
    "drift_check_seconds",
    "Time of a check with its queries, in seconds",
    buckets=(0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10),
)


@dataclass(frozen=True)
class Looked:
    """What a look at a window found, its texts, newest first, and when it was, by a clock that counts seconds."""

    findings: Findings
    window: Sequence[Scoring]
    at_seconds: float


@dataclass(frozen=True)
class Judged:
    """Probabilities of texts of which the label is known, and how many were answered wrongly."""

    probabilities: Sequence[float]
    errors: int


class Checker:
    """Looks at the last texts, and checks them: one at a time, who asks meanwhile waits and shares what was found."""

    def __init__(
        self, records: DriftRecords, references: References, settings: Settings, couriers: Sequence[Courier]
    ) -> None:
        """Check the texts in `records`, and have `couriers` send the alert of a changed state."""
        self._records = records
        self._references = references
        self._settings = settings
        self._couriers = couriers
        self._one = threading.Lock()
        self._looked: Looked | None = None

    def look(self) -> Findings:
        """Return what the last texts say, beside the confirmed state; changes nothing.

        It is kept for KEPT_SECONDS, unless half of the window is another one by then.
        Raises RecordsUnavailable, InvalidRecord, StoreError, ArtifactError.
        """
        with self._one:
            if self._looked is None or not self._holds(self._looked):
                window = self._records.newest(self._settings.window_texts)
                looked = self._look(self._references.watched(), window)
                last = self._records.last_report()
                findings = replace(looked.findings, state=last.state if last else State())
                self._looked = dataclasses.replace(looked, findings=findings)
            return self._looked.findings

    def check(self) -> Findings:
        """Look, draw from the texts before the window, and count what was found; returns the report, if it counted.

        Raises what `look` does.
        """
        with self._one, SECONDS.time():
            self._records.ensure_indexes()  # each time: a database that was emptied meanwhile has none
            newest = self._records.newest(2 * self._settings.window_texts)
            window, past = split(newest, self._settings.window_texts)
            watched = self._references.watched()
            if watched:
                self._references.draw(watched, past)
            looked = self._look(watched, window)
            findings = self._records.append_report(partial(self._follow, looked))
            self._looked = dataclasses.replace(looked, findings=extended(findings, Findings))
        drift = "drift" if findings.state.drift else "no drift"
        logger.info("checked: %s; %s, state: %s", findings.status, _counted(findings), drift)
        show(findings)
        CHECKS.labels(findings.status).inc()
        for courier in self._couriers:
            courier.wake()
        return findings

    def begin(self) -> None:
        """Make the indexes, which others need before the first check, and show the report of an earlier process.

        A restart is no change of state. Where MongoDB is away, both are left to the first check.
        """
        try:
            self._records.ensure_indexes()
            if last := self._records.last_report():
                show(last)
        except (RecordsUnavailable, InvalidRecord) as error:
            logger.warning("%s; the first check tries again", error)

    def reports(self, limit: int) -> Reports:
        """Return the last reports, newest first; raises RecordsUnavailable."""
        return Reports(self._records.reports(limit))

    def _holds(self, looked: Looked) -> bool:
        """Return whether what was found can be shown once more: soon after, of a window that is much the same."""
        if time.monotonic() - looked.at_seconds > KEPT_SECONDS:
            return False
        # Where half of the window is new, or texts were deleted, the one in its middle is another one.
        middle = self._records.scored_at(len(looked.window) // 2)
        if middle is None or not looked.window:
            return middle is None and not looked.window
        return looked.window[len(looked.window) // 2].scored_at <= middle <= looked.window[0].scored_at

    def _look(self, watched: Watched | None, window: Sequence[Scoring]) -> Looked:
        """Return what a window says; the state is not known yet."""
        findings = Findings(
            drift=False,
            status="not-enough-data",
            model=watched.version if watched else None,
            checked_at=now(),
            state=State(),
            confirm=self._settings.confirm_checks,
        )
        at_seconds = time.monotonic()
        if watched is None:
            return Looked(replace(findings, message="no model is promoted yet"), window, at_seconds)
        reference, reason = self._references.choose(watched)
        findings = replace(findings, message=reason)
        if reference is None:
            return Looked(findings, window, at_seconds)
        if until := reference.until:
            window = [scoring for scoring in window if scoring.scored_at > until]
        return Looked(self._compare(watched, reference, window, findings), window, at_seconds)

    def _compare(self, watched: Watched, reference: Candidate, seen: Sequence[Scoring], findings: Findings) -> Findings:
        texts = self._records.texts([scoring.id for scoring in seen])
        window = Window.from_texts(texts, watched.model, reference=reference.statistics)
        say_rest("the window", window)
        judged = self._judged(watched)
        window = dataclasses.replace(window, labelled=len(judged.probabilities), errors=judged.errors)
        comparison = check(
            reference.statistics, window, level=self._settings.level, minimum_texts=self._settings.minimum_texts
        )
        return replace(
            findings,
            drift=comparison.drift,
            status=comparison.status,
            tests=comparison.tests,
            words=comparison.words,
            window=extended(
                comparison.window,
                WindowFigures,
                first_scored_at=seen[-1].scored_at if seen else None,
                last_scored_at=seen[0].scored_at if seen else None,
                synthetic=sum(scoring.synthetic for scoring in seen),
                models=[*starmap(ModelShare, Counter(scoring.model for scoring in seen).items())],
            ),
            reference=reference.describe(comparison.reference),
            expected_accuracy=self._expect(watched, seen, judged),
        )

    def _judged(self, watched: Watched) -> Judged:
        """Score the newest labelled texts that came in since the model's promotion, unless a model has learned them.

        On what it has learned, a model errs less than on anything else.
        """
        labels = self._records.unlearned_labels(self._settings.maximum_labels, since=watched.promoted_at)
        scored = [(watched.scorer.score(text), label) for text, label in labels]
        errors = sum(score.prediction != CLASSES[label] for score, label in scored)
        return Judged([score.probability for score, _ in scored], errors)

    def _expect(self, watched: Watched, window: Sequence[Scoring], judged: Judged) -> ExpectedAccuracy:
        """Return what accuracy is to be expected of a window, or why none can be told."""
        probabilities = [scoring.probability for scoring in window if scoring.model == watched.version]
        unknown = partial(ExpectedAccuracy, len(probabilities))
        if watched.scorer.calibration == NOT_CALIBRATED:
            return unknown(reason=f"the probabilities of {watched.version} are not calibrated")
        if len(probabilities) < self._settings.minimum_texts:
            return unknown(reason=f"{watched.version} has scored only {len(probabilities)} texts of the window")
        if contradicts(judged.probabilities, judged.errors):
            errors = f"{judged.errors} of {len(judged.probabilities)} answers are wrong"
            return unknown(reason=f"labels contradict the probabilities: {errors}")
        return ExpectedAccuracy(len(probabilities), *expected_accuracy(probabilities))

    def _follow(self, looked: Looked, number: int, last: DriftReport | None) -> Findings:
        """Return the report that comes after the `last` one, and the state that follows; no report if it counts not."""
        findings, state = looked.findings, last.state if last else State()
        times = [scoring.scored_at for scoring in looked.window]
        if not counts(findings.status, times, state):
            return replace(findings, state=state)
        state, alert = next_state(state, findings.status, findings.checked_at, self._settings.confirm_checks)
        return extended(
            findings,
            DriftReport,
            number=number,
            state=replace(state, counted_until=times[0]),
            alert=alert,
            undelivered=[courier.name for courier in self._couriers] if alert else UNSET,
        )


def split(newest: Sequence[Scoring], window_texts: int) -> tuple[Sequence[Scoring], Sequence[Scoring]]:
    """Return the window and the texts before it, each newest first; a batch has one time, and is not divided."""
    window = newest[:window_texts]
    return window, [scoring for scoring in newest[window_texts:] if scoring.scored_at < window[-1].scored_at]


def show(findings: Findings) -> None:
    """Let the metrics show what was found."""
    STATE.set(findings.state.drift)
    DOCUMENTS.set(findings.window.documents)
    for gauge, field in ((P_VALUE, "adjusted_p_value"), (EFFECT_SIZE, "effect_size")):
        gauge.clear()  # a test that this check has not made has no value
        for name, test in findings.tests.items():
            gauge.labels(name).set(getattr(test, field))


def _counted(findings: Findings) -> str:
    return f"number {findings.number}" if isinstance(findings, DriftReport) else "it does not count"
