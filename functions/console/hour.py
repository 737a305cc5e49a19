"""How many texts were scored in the last hour, of what source and with what prediction.

Nobody counts them for us, and an hour may have millions. So each look reads some, for BUDGET_SECONDS, and what it has
counted is kept: first the newest, then further back, look by look, until the hour is whole. Where more come in between
two looks than can be read, it begins anew.
"""

import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from threading import Lock

from contracts.console import Count, Minute
from records.recent import Recent

BUDGET_SECONDS = 0.3
MINUTES = 60
SLOT = timedelta(seconds=1)
SETTLES = timedelta(seconds=10)
"""After so long a text is recorded, and is not looked for again; one that predict wrote later is not counted."""
OVERLAP = 100
"""Texts that are read once more further back, as some may have been deleted since."""

LONG_AGO = datetime.min.replace(tzinfo=UTC)

Counts = Counter[tuple[datetime, str, str]]
"""By slot, source and prediction."""


class LastHour:
    """Counts; for any thread."""

    def __init__(self, recent: Recent) -> None:
        self._recent = recent
        self._lock = Lock()
        self._counts: Counts = Counter()
        # What was scored from `since` on is counted; until `settled`, for good.
        self._since = self._settled = LONG_AGO

    def look(self, until: datetime) -> tuple[datetime, list[Count], list[Minute]]:
        """Return from when it counts, an hour before `until` or later, the counts since then, and those by minute.

        Raises RecordsUnavailable.
        """
        first = until.replace(second=0, microsecond=0) - timedelta(minutes=MINUTES - 1)
        deadline = time.monotonic() + BUDGET_SECONDS
        with self._lock:
            if self._settled < first:  # as at the first look
                self._counts.clear()
                self._since = self._settled = _slot(until)
            newer, reached = self._read(0, self._settled, None, deadline)
            if reached > self._settled:
                self._counts.clear()
                self._since = reached
            counts = Counter({key: n for key, n in self._counts.items() if first <= key[0] < self._settled}) + newer
            since = max(self._since, first)
            if since > first:
                older, since = self._read(max(counts.total() - OVERLAP, 0), first, since, deadline)
                counts += older
            self._counts, self._since = counts, since
            self._settled = max(since, _slot(until - SETTLES))
        return since, _by_kind(counts), _by_minute(counts, since, until)

    def _read(self, skipped: int, first: datetime, before: datetime | None, deadline: float) -> tuple[Counts, datetime]:
        """Count the texts from `first` until `before`, the newest first, until it is time to stop.

        skipped: how many of the newest are later. Returns the counts, and from when they are whole.
        """
        counts: Counts = Counter()
        reached = before or datetime.max.replace(tzinfo=UTC)
        for source, prediction, scored_at in self._recent.scored(skipped):
            if before and scored_at >= before:
                continue
            if scored_at < first:
                break
            slot = _slot(scored_at)
            if slot < reached:
                # Between two slots, so that none is counted in part, and one at least.
                if counts and time.monotonic() > deadline:
                    return counts, slot + SLOT
                reached = slot
            counts[slot, source, prediction] += 1
        return counts, first


def _slot(at: datetime) -> datetime:
    return at.replace(microsecond=0)


def _by_kind(counts: Counts) -> list[Count]:
    found = Counter[tuple[str, str]]()
    for (_, source, prediction), number in counts.items():
        found[source, prediction] += number
    return [Count(source, prediction, number) for (source, prediction), number in sorted(found.items())]


def _by_minute(counts: Counts, since: datetime, until: datetime) -> list[Minute]:
    found = Counter[tuple[datetime, str]]()
    for (slot, _, prediction), number in counts.items():
        # Another machine's clock may be ahead.
        found[min(slot, until).replace(second=0, microsecond=0), prediction] += number
    at, minutes = since.replace(second=0), list[Minute]()
    while at <= until:
        minutes.append(Minute(at, found[at, "negative"], found[at, "positive"]))
        at += timedelta(minutes=1)
    return minutes
