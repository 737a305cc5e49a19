"""One check: the last texts against the reference, the state that follows, and the report that keeps both."""

import dataclasses
import logging
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial

from msgspec import UNSET

from contracts.codec import extended
from contracts.drift import Check, DriftReport, ModelShare, Reports, SampleFigures, State, Status, WindowFigures
from functions.drift.live import noting
from functions.drift.references import Candidate, References, Watched
from functions.drift.settings import Settings
from records import now
from records.drift import DriftRecords, ScoredText
from sentiment.counts import count_texts
from sentiment.drift.check import check
from sentiment.drift.confirm import next_state
from sentiment.drift.measures import measure
from sentiment.drift.samples import Window

logger = logging.getLogger(__name__)

NO_MODEL = "no model is promoted yet"

Findings = partial[DriftReport]
"""A report that lacks the state, which follows from the report before it, and what comes with that."""


class Checker:
    """Runs one check at a time."""

    def __init__(
        self,
        records: DriftRecords,
        references: References,
        settings: Settings,
        *,
        channels: Sequence[str] = (),
        on_report: Callable[[DriftReport], None] = lambda report: None,
    ) -> None:
        """Check the texts in `records`; on_report is told each report once it is stored.

        channels: by which the alert of a changed state is to be sent.
        """
        self._records = records
        self._references = references
        self._settings = settings
        self._channels = [*channels]
        self._on_report = on_report
        self._running = threading.Lock()
        self._indexed = False

    def run(self) -> DriftReport:
        """Check, and return the report that was stored.

        Raises RecordsUnavailable, InvalidRecord, StoreError, ArtifactError.
        """
        with self._running:
            if not self._indexed:
                self._records.ensure_indexes()
                self._indexed = True
            status, findings = self._look()
            report = self._records.append_report(partial(self._follow, status, findings))
        logger.info("check %d: %s, %s", report.number, report.check.status, "drift" if report.drift else "no drift")
        self._on_report(report)
        return report

    def reports(self, limit: int) -> Reports:
        """Return the last reports, newest first; raises RecordsUnavailable."""
        return Reports(self._records.reports(limit))

    def _look(self) -> tuple[Status, Findings]:
        watched = self._references.watched()
        if watched is None:
            return "not-enough-data", partial(DriftReport, model=None, message=NO_MODEL)
        self._references.update_live(watched)
        reference, reason = self._references.choose(watched)
        if reference is None:
            return "not-enough-data", partial(DriftReport, model=watched.version, message=reason)
        return self._compare(watched, reference, reason)

    def _compare(self, watched: Watched, reference: Candidate, message: str | None) -> tuple[Status, Findings]:
        seen: list[ScoredText] = []
        texts = noting(self._records.last_texts(self._settings.window_texts, since=reference.since), seen)
        window = self._with_labels(Window.from_texts(texts, watched.model), watched)
        comparison = check(
            reference.statistics, window, level=self._settings.level, minimum_texts=self._settings.minimum_texts
        )
        return comparison.status, partial(
            DriftReport,
            model=watched.version,
            tests=comparison.tests,
            words=comparison.words,
            window=_describe(comparison.window, seen),
            reference=reference.describe(comparison.reference),
            message=message,
        )

    def _with_labels(self, window: Window, watched: Watched) -> Window:
        """Count the model's errors on the newest labels that came in since its promotion, unless a model learned them.

        On what it has learned, a model errs less than on anything else.
        """
        labels = self._records.unlearned_labels(self._settings.maximum_labels, since=watched.promoted_at)
        if not labels:
            return window
        counted = count_texts(text for text, _ in labels)
        measured = measure(counted, watched.model, [label for _, label in labels])
        return dataclasses.replace(window, labelled=len(measured), errors=int(measured.wrong.sum()))

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
            undelivered=self._channels if alert else UNSET,
        )


def _describe(figures: SampleFigures, seen: Sequence[ScoredText]) -> WindowFigures:
    """Return the figures of a window with what it is made of; `seen` has its newest text first."""
    return extended(
        figures,
        WindowFigures,
        first_scored_at=seen[-1].scored_at if seen else None,
        last_scored_at=seen[0].scored_at if seen else None,
        synthetic=sum(text.synthetic for text in seen),
        models=[ModelShare(model, count) for model, count in Counter(text.model for text in seen).items()],
    )
