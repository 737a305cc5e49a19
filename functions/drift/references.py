"""What a window is compared with: the references of the served version, and which of them is chosen."""

import dataclasses
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from msgspec.structs import asdict

from contracts.codec import extended
from contracts.drift import ReferenceFigures, SampleFigures
from contracts.promotion import Period
from functions.drift.live import LiveReferences
from functions.drift.settings import HOLDOUT, LIVE, Settings
from model_store.layout import Current
from model_store.publishing import ModelStore
from records.drift import DriftRecords
from sentiment.artifact import REFERENCE_PART
from sentiment.drift import Reference
from sentiment.model import Model
from sentiment.packing import unpack


@dataclass(frozen=True)
class Candidate:
    """A reference of a version; period: when its texts were scored, None for those held out of training."""

    statistics: Reference
    kind: Literal["live", "holdout"]
    model: str
    period: Period | None = None

    @property
    def since(self) -> datetime | None:
        """From when on the texts of a window must be scored, so that none is in the reference too."""
        if self.period is None:
            return None
        # The next whole second, which every server compares alike.
        return datetime.fromisoformat(self.period.last_scored_at).replace(microsecond=0) + timedelta(seconds=1)

    def describe(self, figures: SampleFigures) -> ReferenceFigures:
        """Return its figures as a report shows them."""
        period = asdict(self.period) if self.period else {}
        return extended(figures, ReferenceFigures, kind=self.kind, model=self.model, **period)


@dataclass
class Watched:
    """The served version as checks need it: read once, and kept while it is served. no_live: why there is no `live`."""

    current: Current
    model: Model
    holdout: Candidate | None
    live: Candidate | None = None
    no_live: str | None = None

    @property
    def version(self) -> str:
        """Its version."""
        return self.current.version

    @property
    def promoted_at(self) -> datetime:
        """When it was promoted."""
        return datetime.fromisoformat(self.current.promotion.at)


class References:
    """The served version, its references, and the choice between them."""

    def __init__(self, store: ModelStore, records: DriftRecords, settings: Settings) -> None:
        """Read versions from `store`, which keeps the live references too."""
        self._store = store
        self._records = records
        self._settings = settings
        self._live = LiveReferences(store, records, texts=settings.reference_texts)
        self._watched: Watched | None = None

    def watched(self) -> Watched | None:
        """Return the version that is served now, None before the first promotion; raises StoreError, ArtifactError."""
        current = self._store.current()
        if current is None:
            self._watched = None
        elif self._watched is None or self._watched.version != current.version:
            self._watched = None  # the old model goes before the new one comes: two would take twice the memory
            self._watched = self._load(current)
        else:
            self._watched.current = current
        return self._watched

    def update_live(self, watched: Watched) -> None:
        """Have the live reference made where there is none yet, unless the settings want none."""
        if self._settings.reference != HOLDOUT and watched.live is None:
            watched.no_live = self._live.make(watched.version, watched.model, watched.promoted_at)
            if watched.no_live is None:
                self._read_live(watched)

    def choose(self, watched: Watched) -> tuple[Candidate | None, str | None]:
        """Return the reference for the next window, or None, and why there is no better one, if so."""
        no_holdout = None if watched.holdout else f"{watched.version} was trained without a holdout"
        if self._settings.reference == HOLDOUT:
            return watched.holdout, no_holdout
        not_yet = self._live_not_yet(watched)
        if watched.live and (self._settings.reference == LIVE or not_yet is None):
            return watched.live, None
        if self._settings.reference == LIVE:
            return None, not_yet
        return watched.holdout, f"{no_holdout}, and {not_yet}" if no_holdout else not_yet

    def _live_not_yet(self, watched: Watched) -> str | None:
        """Return why a window can't be compared with the live reference yet; None where it can."""
        if watched.live is None:
            return watched.no_live
        minimum = self._settings.minimum_texts
        count = self._records.count_texts(minimum, since=watched.live.since)
        if count == minimum:
            return None
        return f"only {count} of {minimum} texts have come after those of the live reference"

    def _load(self, current: Current) -> Watched:
        artifact = self._store.load(current.version)
        holdout = None
        if content := artifact.parts.get(REFERENCE_PART):
            holdout = Candidate(Reference.from_bytes(content), HOLDOUT, current.version)
        watched = Watched(current, unpack(artifact), holdout)
        if self._settings.reference != HOLDOUT:
            self._read_live(watched)
        return watched

    def _read_live(self, watched: Watched) -> None:
        kept = self._live.read(watched.version)
        if kept is None:
            return
        reference = Reference.from_bytes(kept.content)
        if watched.holdout:
            # Live texts have no labels; the error rate is compared with the holdout's.
            known = watched.holdout.statistics
            reference = dataclasses.replace(reference, labelled=known.labelled, errors=known.errors)
        watched.live = Candidate(reference, LIVE, watched.version, kept.about)
