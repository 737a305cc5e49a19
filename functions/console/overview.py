"""What goes on in the system: what MongoDB says, how each part is, how far the bridge is behind."""

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from contracts.console import Count, Minute, Now, Part, RecentRejected, RecentText
from contracts.records import PredictionRecord, RejectedRecord
from functions.console.functions import Functions
from process.answers import Problem
from records import RecordsUnavailable, now
from records.recent import Recent

SHOWN = 20
SHOWN_CHARACTERS = 1_000
MINUTES = 60
MOST_COUNTED = 100_000


@dataclass(frozen=True)
class Overview:
    """Looks at the whole system."""

    recent: Recent
    functions: Functions

    def now(self) -> Now:
        """Return what goes on."""
        parts = [self._part("predict", lambda: self.functions.read("predict"))]
        try:
            until = now()
            since, hour, minutes = self._last_hour(until)
            return Now(
                since=since,
                hour=hour,
                minutes=minutes,
                texts=[_text(each) for each in self.recent.texts(SHOWN)],
                rejected=[_rejected(each) for each in self.recent.rejected(SHOWN)],
                pending=self.recent.pending(),
                parts=[*parts, Part("mongodb", True, "answers")],
                lag=None,
            )
        except RecordsUnavailable as error:
            return Now(parts=[*parts, Part("mongodb", False, str(error))], lag=None)

    def _last_hour(self, until: datetime) -> tuple[datetime, list[Count], list[Minute]]:
        first = until.replace(second=0, microsecond=0) - timedelta(minutes=MINUTES - 1)
        counts, minutes = Counter[tuple[str, str]](), Counter[tuple[datetime, str]]()
        for each in self.recent.scored(MOST_COUNTED, since=first):
            counts[each["source"], each["prediction"]] += 1
            minutes[each["scored_at"].replace(second=0, microsecond=0), each["prediction"]] += 1
        at = [first + timedelta(minutes=number) for number in range(MINUTES)]
        return (
            first,
            [Count(source, prediction, count) for (source, prediction), count in sorted(counts.items())],
            [Minute(each, minutes[each, "negative"], minutes[each, "positive"]) for each in at],
        )

    def _part(self, name: str, look: Callable[[], object]) -> Part:
        try:
            look()
        except Problem as problem:
            return Part(name, False, problem.detail)
        return Part(name, True, "answers")


def _text(record: PredictionRecord) -> RecentText:
    return RecentText(
        id=record.id,
        text=_beginning(record.text),
        prediction=record.prediction,
        probability=record.probability,
        log_odds=record.log_odds,
        model=record.model,
        source=record.source,
        scored_at=record.scored_at,
        synthetic=record.synthetic,
    )


def _rejected(record: RejectedRecord) -> RecentRejected:
    stream = re.sub(r"(:[0-9]{13})?:[0-9]+$", "", record.id)
    return RecentRejected(
        id=record.id,
        reason=record.reason,
        text=_beginning(record.body),
        stream=stream,
        received_at=record.received_at,
    )


def _beginning(text: str) -> str:
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}…"
