"""One check: the last texts against the reference, the state that follows, and the report that keeps both."""

import collections
import dataclasses
import logging
import threading
from collections.abc import Sequence
from functools import cache, partial
from itertools import starmap

from msgspec import UNSET
from prometheus_client import Counter, Gauge, Histogram

from contracts.codec import extended
from contracts.drift import Check, DriftReport, ModelShare, Reports, State, Status, WindowFigures
from functions.drift.alerts import Courier
from functions.drift.references import Candidate, References, Watched, say_rest
from functions.drift.settings import Settings
from records import InvalidRecord, RecordsUnavailable, now
from records.drift import DriftRecords
from sentiment.drift.check import check, next_state
from sentiment.drift.samples import Window, count_errors

logger = logging.getLogger(__name__)

STATE = Gauge("drift_state", "1 while the state is drift, confirmed; 0 else")
DOCUMENTS = Gauge("drift_window_documents", "Texts in the last window")
P_VALUE = Gauge("drift_p_value", "P-values of the last check, corrected by Holm", ["test"])
EFFECT_SIZE = Gauge("drift_effect_size", "Effect sizes of the last check", ["test"])
CHECKS = Counter("drift_checks", "Checks, by what each found", ["status"])
SECONDS = Histogram(
    "drift_check_seconds",
    "Time of a check with its queries, in seconds",
    buckets=(0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10),
)

Findings = partial[DriftReport]
"""A report that lacks the state, which follows from the report before it, and what comes with that."""


class Checker:
    """Runs one check at a time; `last` is the report of the last one, None before it."""

    def __init__(
        self, records: DriftRecords, references: References, settings: Settings, couriers: Sequence[Courier]
    ) -> None:
        """Check the texts in `records`, and have `couriers` send the alert of a changed state."""
        self._records = records
        self._references = references
        self._settings = settings
        self._couriers = couriers
        self.last: DriftReport | None = None
        self._running = threading.Lock()
        self._ensure_indexes = cache(records.ensure_indexes)  # until it has worked once: errors are not kept

    def run(self) -> DriftReport:
        """Check, and return the report that was stored.

        Raises RecordsUnavailable, InvalidRecord, StoreError, ArtifactError.
        """
        with self._running, SECONDS.time():
            self._ensure_indexes()
            status, findings = self._look()
            report = self._records.append_report(partial(self._follow, status, findings))
        logger.info("check %d: %s, %s", report.number, report.check.status, "drift" if report.drift else "no drift")
        self.last = report
        show(report)
        CHECKS.labels(report.check.status).inc()
        for courier in self._couriers:
            courier.wake()
        return report

    def show_last(self) -> None:
        """Begin with the report of an earlier process, in the metrics too: a restart is no change of state."""
        try:
            self.last = self._records.last_report()
            if self.last:
                show(self.last)
        except (RecordsUnavailable, InvalidRecord) as error:
            logger.warning("the last report can't be read: %s", error)

    def reports(self, limit: int) -> Reports:
        """Return the last reports, newest first; raises RecordsUnavailable."""
        return Reports(self._records.reports(limit))

    def _look(self) -> tuple[Status, Findings]:
        watched = self._references.watched()
        if watched is None:
            return "not-enough-data", partial(DriftReport, model=None, message="no model is promoted yet")
        self._references.update_live(watched)
        reference, reason = self._references.choose(watched)
        findings = partial(DriftReport, model=watched.version, message=reason)
        return self._compare(watched, reference, findings) if reference else ("not-enough-data", findings)

    def _compare(self, watched: Watched, reference: Candidate, findings: Findings) -> tuple[Status, Findings]:
        texts = self._records.last_texts(self._settings.window_texts, since=reference.since)
        seen = texts.scorings
        window = Window.from_texts(texts, watched.model, reference=reference.statistics)
        say_rest("the window", window)
        window = self._with_labels(window, watched)
        comparison = check(
            reference.statistics, window, level=self._settings.level, minimum_texts=self._settings.minimum_texts
        )
        figures = extended(
            comparison.window,
            WindowFigures,
            first_scored_at=seen[-1].scored_at if seen else None,
            last_scored_at=seen[0].scored_at if seen else None,
            synthetic=sum(scoring.synthetic for scoring in seen),
            models=[*starmap(ModelShare, collections.Counter(scoring.model for scoring in seen).items())],
        )
        return comparison.status, partial(
            findings,
            tests=comparison.tests,
            words=comparison.words,
            window=figures,
            reference=reference.describe(comparison.reference),
        )

    def _with_labels(self, window: Window, watched: Watched) -> Window:
        """Count the model's errors on the newest labels that came in since its promotion, unless a model learned them.

        On what it has learned, a model errs less than on anything else.
        """
        labels = self._records.unlearned_labels(self._settings.maximum_labels, since=watched.promoted_at)
        labelled, errors = count_errors(labels, watched.model)
        return dataclasses.replace(window, labelled=labelled, errors=errors)

    def _follow(self, found: Status, findings: Findings, number: int, last: DriftReport | None) -> DriftReport:
        """Return the report that comes after the `last` one, with the state that follows from it and what was found."""
        state, alert = next_state(last.state if last else State(), found, self._settings.confirm_checks)
        confirmed: Status = "drift" if state.drift else "ok"
        return findings(
            number=number,
            drift=state.drift,
            status=found if found == "not-enough-data" else confirmed,
            check=Check(found),
            checked_at=now(),
            state=state,
            confirm=self._settings.confirm_checks,
            alert=alert,
            undelivered=[courier.name for courier in self._couriers] if alert else UNSET,
        )


def show(report: DriftReport) -> None:
    """Let the metrics show what a report says."""
    STATE.set(report.drift)
    DOCUMENTS.set(report.window.documents)
    for gauge, field in ((P_VALUE, "adjusted_p_value"), (EFFECT_SIZE, "effect_size")):
        gauge.clear()  # a test that this check has not made has no value
        for name, test in report.tests.items():
            gauge.labels(name).set(getattr(test, field))
