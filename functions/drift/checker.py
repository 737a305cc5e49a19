"""One check: the last texts against the reference, the state that follows, and the report that keeps both."""

import dataclasses
import logging
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from functions.drift.references import Chosen, References, Watched, noting
from functions.drift.settings import Settings
from records import now
from records.drift import DriftRecords, ScoredText
from records.mongo import Document
from sentiment.drift import Report, State, Window, check, measure, next_state

logger = logging.getLogger(__name__)

NO_MODEL = "no model is promoted yet"


class Checker:
    """Runs one check at a time."""

    def __init__(
        self,
        records: DriftRecords,
        references: References,
        settings: Settings,
        *,
        channels: Sequence[str] = (),
        on_report: Callable[[Document], None] = lambda report: None,
    ) -> None:
        """Check the texts in `records`; on_report is told each report once it is stored.

        channels: by which the alert of a changed state is to be sent.
        """
        self._records = records
        self._references = references
        self._settings = settings
        self._channels = list(channels)
        self._on_report = on_report
        self._running = threading.Lock()
        self._indexed = False

    def run(self) -> Document:
        """Check, and return the report that was stored; raises RecordsUnavailable, StoreError, ArtifactError."""
        with self._running:
            if not self._indexed:
                self._records.ensure_indexes()
                self._indexed = True
            watched = self._references.watched()
            if watched is None:
                findings = _without_reference(None, NO_MODEL)
            else:
                chosen, reason = self._references.choose(watched)
                findings = self._compare(watched, chosen) if chosen else _without_reference(watched, reason)
                findings["message"] = reason
            report = self._records.append_report(partial(self._follow, findings))
        logger.info(
            "check %d: %s, %s", report["number"], report["check"]["status"], "drift" if report["drift"] else "no drift"
        )
        self._on_report(report)
        return report

    def _compare(self, watched: Watched, chosen: Chosen) -> Document:
        seen: list[ScoredText] = []
        texts = noting(self._records.last_texts(self._settings.window_texts, since=chosen.since), seen)
        window = self._with_labels(Window.from_texts(texts, watched.model), watched)
        report = check(
            chosen.reference, window, level=self._settings.level, minimum_documents=self._settings.minimum_texts
        )
        return {
            **_findings(watched, report),
            "window": {**report.window, **_about(seen)},
            "reference": {**report.reference, **chosen.about},
        }

    def _with_labels(self, window: Window, watched: Watched) -> Window:
        """Count the model's errors on the newest labels that came in since its promotion, unless a model learned them.

        On what it has learned, a model errs less than on anything else.
        """
        promoted_at = datetime.fromisoformat(watched.current.promotion.at)
        labels = self._records.unlearned_labels(self._settings.maximum_labels, since=promoted_at)
        if not labels:
            return window
        measured = measure((text for text, _ in labels), watched.model, (label for _, label in labels))
        return dataclasses.replace(window, labelled=len(measured), errors=int(measured.wrong.sum()))

    def _follow(self, findings: Document, last: Document | None) -> Document:
        """Return the report of `findings` that comes after the `last` one, with the state that follows from both."""
        before = State(**last["state"]) if last else State()
        after, alert = next_state(before, findings["check"]["status"], self._settings.confirm_checks)
        status = "drift" if after.drift else "ok"
        if findings["check"]["status"] == "not-enough-data":
            status = "not-enough-data"
        report = {
            "drift": after.drift,
            "status": status,
            **findings,
            "checked_at": now(),
            "state": dataclasses.asdict(after),
            "confirm": self._settings.confirm_checks,
            "alert": alert,
        }
        return {**report, "undelivered": self._channels} if alert else report


def _findings(watched: Watched | None, report: Report) -> Document:
    found = report.to_json()
    return {
        "check": {"status": found["status"]},
        "model": watched.current.version if watched else None,
        "tests": found["tests"],
        "words": found["words"],
        "window": found["window"],
        "reference": found["reference"],
        "message": None,
    }


def _without_reference(watched: Watched | None, reason: str | None) -> Document:
    return {**_findings(watched, Report("not-enough-data", {}, [], {"documents": 0}, {})), "message": reason}


def _about(seen: Sequence[ScoredText]) -> dict[str, Any]:
    """Return what a window is made of; `seen` has its newest text first."""
    return {
        "first_scored_at": seen[-1].scored_at if seen else None,
        "last_scored_at": seen[0].scored_at if seen else None,
        "synthetic": sum(text.synthetic for text in seen),
        "models": [{"model": model, "documents": count} for model, count in Counter(t.model for t in seen).items()],
    }
