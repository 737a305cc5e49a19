"""What a window is compared with: the references of the served version."""

import dataclasses
import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from functions.drift.settings import Settings
from model_store import Current, ModelStore, Statistics
from records.drift import DriftRecords, ScoredText
from sentiment.artifact import REFERENCE_PART, unpack
from sentiment.drift import Reference
from sentiment.model import Model

logger = logging.getLogger(__name__)

LIVE = "live"
HOLDOUT = "holdout"


@dataclass(frozen=True)
class Chosen:
    """A reference, and `about`: what it is made of. Windows are of texts scored from `since` on."""

    reference: Reference
    about: dict[str, Any]
    since: datetime | None = None


@dataclass
class Watched:
    """The served version as checks need it: read once, and kept while it is served."""

    current: Current
    model: Model
    holdout: Chosen | None
    live: Chosen | None


class References:
    """The served version and what its texts are compared with."""

    def __init__(self, store: ModelStore, records: DriftRecords, settings: Settings) -> None:
        """Read versions from `store`, and keep the statistics of live texts there."""
        self._store = store
        self._records = records
        self._settings = settings
        self._watched: Watched | None = None

    def watched(self) -> Watched | None:
        """Return the version that is served now, None before the first promotion; raises StoreError, ArtifactError."""
        current = self._store.current()
        if current is None:
            self._watched = None
        elif self._watched is None or self._watched.current.version != current.version:
            self._watched = None  # the old model goes before the new one comes: two would take twice the memory
            self._watched = self._load(current)
        else:
            self._watched.current = current
        return self._watched

    def choose(self, watched: Watched) -> tuple[Chosen | None, str | None]:
        """Return the reference for the next window, or None, and why there is no better one, if so."""
        if self._settings.reference == HOLDOUT:
            return watched.holdout, None if watched.holdout else _no_holdout(watched)
        reason = None
        if watched.live is None:
            reason = self._take_live(watched)
        if watched.live is not None:
            minimum = self._settings.minimum_texts
            count = self._records.count_texts(minimum, since=watched.live.since)
            if self._settings.reference == LIVE or count == minimum:
                return watched.live, None
            reason = f"only {count} of {minimum} texts have come after those of the live reference"
        if self._settings.reference == LIVE:
            return None, reason
        return watched.holdout, reason if watched.holdout else f"{_no_holdout(watched)}, and {reason}"

    def _load(self, current: Current) -> Watched:
        artifact = self._store.load(current.version)
        holdout = None
        if content := artifact.parts.get(REFERENCE_PART):
            holdout = Chosen(Reference.from_bytes(content), {"kind": HOLDOUT, "model": current.version})
        watched = Watched(current, unpack(artifact), holdout, None)
        if self._settings.reference != HOLDOUT:
            watched.live = self._kept(watched)
        return watched

    def _kept(self, watched: Watched) -> Chosen | None:
        statistics = self._store.statistics(watched.current.version, LIVE)
        if statistics is None:
            return None
        reference = Reference.from_bytes(statistics.content)
        if watched.holdout:
            # Live texts have no labels; the error rate is compared with the holdout's.
            known = watched.holdout.reference
            reference = dataclasses.replace(reference, labelled=known.labelled, errors=known.errors)
        # The next whole second, which every server compares alike.
        since = datetime.fromisoformat(statistics.about["last_scored_at"]).replace(microsecond=0) + timedelta(seconds=1)
        about = {"kind": LIVE, "model": watched.current.version, **statistics.about}
        return Chosen(reference, about, since)

    def _take_live(self, watched: Watched) -> str | None:
        """Make the live reference, once there are texts enough; returns why there is none."""
        version, wanted = watched.current.version, self._settings.reference_texts
        promoted_at = datetime.fromisoformat(watched.current.promotion.at)
        count = self._records.count_live_texts(version, promoted_at, wanted)
        if count < wanted:
            return f"only {count} of {wanted} live texts have been scored by {version} since its promotion"
        seen: list[ScoredText] = []
        texts = noting(self._records.live_texts(version, promoted_at, wanted), seen)
        reference = Reference.from_texts(texts, watched.model)
        about = {
            "first_scored_at": seen[0].scored_at.isoformat(),
            "last_scored_at": seen[-1].scored_at.isoformat(),
        }
        self._store.put_statistics(version, LIVE, Statistics(reference.to_bytes(), about))
        # Read again: of two that make it at once, one is kept.
        watched.live = self._kept(watched)
        logger.info("%d live texts are the reference of %s from now on", reference.documents, version)
        return None


def noting(texts: Iterable[ScoredText], seen: list[ScoredText]) -> Iterator[str]:
    """Yield texts one by one, noting in `seen` all about them but the text itself, which may be large."""
    for text in texts:
        seen.append(dataclasses.replace(text, text=""))
        yield text.text


def _no_holdout(watched: Watched) -> str:
    return f"{watched.current.version} was trained without a holdout"
