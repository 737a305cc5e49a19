"""What a window is compared with: the references of the served version, and which of them is chosen."""

import dataclasses
import logging
from dataclasses import dataclass
from datetime import datetime, timedelta

from msgspec.structs import asdict

from contracts.codec import extended
from contracts.drift import ReferenceFigures, SampleFigures
from contracts.manifest import Period
from functions.drift.settings import HOLDOUT, LIVE, Settings
from model_store.layout import Current
from model_store.publishing import ModelStore, Statistics
from records.drift import DriftRecords
from sentiment.artifact import REFERENCE_PART
from sentiment.drift.samples import Reference, Sample
from sentiment.linear import LinearModel
from sentiment.packing import unpack

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Candidate:
    """A reference of a version: `live`, with the period in which its texts were scored, or its `holdout`."""

    statistics: Reference
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
        kind = LIVE if self.period else HOLDOUT
        return extended(self.period, ReferenceFigures, kind=kind, model=self.model, **asdict(figures))


@dataclass
class Watched:
    """The served version as checks need it: read once, and kept while it is served. no_live: why there is no `live`."""

    current: Current
    model: LinearModel
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
    """The served version, its references, and the choice between them.

    The live reference is of the first texts that a version scored since its promotion, made once and kept in the store.
    """

    def __init__(self, store: ModelStore, records: DriftRecords, settings: Settings) -> None:
        """Read versions from `store`, which keeps the live references too."""
        self._store = store
        self._records = records
        self._settings = settings
        self._watched: Watched | None = None

    def watched(self) -> Watched | None:
        """Return the version that is served now, None before the first promotion; raises StoreError, ArtifactError."""
        current = self._store.current()
        if current is None:
            self._watched = None
        elif self._watched is None or self._watched.version != current.version:
            self._watched = None  # the old model goes before the new one comes: two would take twice the memory
            artifact = self._store.load(current.version)
            content = artifact.parts.get(REFERENCE_PART)
            holdout = Candidate(Reference.from_bytes(content), current.version) if content else None
            self._watched = Watched(current, unpack(artifact), holdout)
        else:
            self._watched.current = current
        return self._watched

    def update_live(self, watched: Watched) -> None:
        """Have the live reference read, and made once there are texts enough, unless the settings want none."""
        if self._settings.reference == HOLDOUT or watched.live:
            return
        watched.live = self._kept(watched)
        if watched.live is None:
            watched.no_live = self._make(watched)
            watched.live = None if watched.no_live else self._kept(watched)

    def choose(self, watched: Watched) -> tuple[Candidate | None, str | None]:
        """Return the reference for the next window, or None, and why there is no better one, if so."""
        no_holdout = None if watched.holdout else f"{watched.version} was trained without a holdout"
        if self._settings.reference == HOLDOUT:
            return watched.holdout, no_holdout
        if self._settings.reference == LIVE:
            return watched.live, None if watched.live else watched.no_live
        not_yet = watched.no_live
        if watched.live:
            minimum = self._settings.minimum_texts
            count = self._records.count_texts(minimum, since=watched.live.since)
            if count == minimum:
                return watched.live, None
            not_yet = f"only {count} of {minimum} texts have come after those of the live reference"
        return watched.holdout, f"{no_holdout}, and {not_yet}" if no_holdout else not_yet

    def _make(self, watched: Watched) -> str | None:
        """Make the live reference and keep it beside its version; returns why it can't be made yet, None once it is."""
        version, wanted = watched.version, self._settings.reference_texts
        count = self._records.count_texts(wanted, since=watched.promoted_at, live_of=version)
        if count < wanted:
            return f"only {count} of {wanted} live texts have been scored by {version} since its promotion"
        texts = self._records.live_texts(wanted, since=watched.promoted_at, model=version)
        reference = Reference.from_texts(texts, watched.model)
        period = Period(texts.scorings[0].scored_at.isoformat(), texts.scorings[-1].scored_at.isoformat())
        # Of two processes that make it at once, the first one's stays.
        self._store.put_statistics(version, LIVE, Statistics(reference.to_bytes(), period))
        logger.info("%d live texts are the reference of %s from now on", reference.texts, version)
        say_rest("the live reference", reference)
        return None

    def _kept(self, watched: Watched) -> Candidate | None:
        kept = self._store.statistics(watched.version, LIVE)
        if kept is None:
            return None
        reference = Reference.from_bytes(kept.content)
        if watched.holdout:
            # Live texts have no labels; the error rate is compared with the holdout's.
            known = watched.holdout.statistics
            reference = dataclasses.replace(reference, labelled=known.labelled, errors=known.errors)
        return Candidate(reference, watched.version, kept.about)


def say_rest(name: str, sample: Sample) -> None:
    """Log of a sample, by its name, which words were too many to be kept, if any."""
    if sample.rest_texts:
        kept, rest = len(sample.words), sample.rest_texts
        logger.warning("%s has more words than the %d that are kept: others are in %d texts at most", name, kept, rest)
