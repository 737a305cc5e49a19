"""What a window is compared with: the references of the served version, and which of them is chosen."""

import dataclasses
import logging
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from msgspec.structs import asdict, replace

from contracts.codec import extended
from contracts.drift import LiveSample, ReferenceFigures, SampleFigures
from contracts.manifest import Period
from functions.drift.settings import HOLDOUT, LIVE, Settings
from model_store.layout import Current
from model_store.publishing import ModelStore, Statistics
from records import now
from records.drift import DriftRecords, Scoring
from sentiment.artifact import REFERENCE_PART, scorer_of
from sentiment.drift.drawing import drawn
from sentiment.drift.samples import Reference, Sample
from sentiment.linear import LinearModel
from sentiment.packing import unpack
from sentiment.scorer import Scorer

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Candidate:
    """A reference of a version: `live`, with the period in which its texts were scored, or its `holdout`."""

    statistics: Reference
    model: str
    period: Period | None = None

    @property
    def until(self) -> datetime | None:
        """When the last of its texts was scored; those of a window are later, so that none is in both."""
        return None if self.period is None else datetime.fromisoformat(self.period.last_scored_at)

    def describe(self, figures: SampleFigures) -> ReferenceFigures:
        """Return its figures as a report shows them."""
        kind = LIVE if self.period else HOLDOUT
        return extended(self.period, ReferenceFigures, kind=kind, model=self.model, **asdict(figures))


@dataclass
class Watched:
    """The served version as checks need it: read once, and kept while it is served.

    live_made_at: when `live` was made; what was made since is read then.
    """

    current: Current
    model: LinearModel
    scorer: Scorer
    holdout: Candidate | None
    live: Candidate | None = None
    live_made_at: datetime | None = None

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

    The live reference is of texts that the version scored, drawn over time: with each check those that have just left
    the window get the same chance, so that no burst of texts has more of it than one window, and the first ones have no
    more than others. It is made once there are texts enough, and again each time that half of the sample is another
    one, which is whenever the texts seen have doubled. It is kept in the store.
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
            scorer = scorer_of(artifact.manifest, artifact.parts)
            self._watched = Watched(current, unpack(artifact), scorer, holdout)
        else:
            self._watched.current = current
        return self._watched

    def draw(self, watched: Watched, past: Iterable[Scoring]) -> None:
        """Give texts that have left the window their chance, and make the live reference of the sample when it is due.

        Nothing is drawn where the settings want no live reference. Raises RecordsUnavailable, StoreError.
        """
        if self._settings.reference == HOLDOUT:
            return
        version, wanted = watched.version, self._settings.reference_texts
        before = self._sample(version)
        live = [scoring.id for scoring in past if scoring.model == version and not scoring.synthetic]
        ids = drawn([*before.ids, *live], wanted, before.key)
        exchanged = min(before.exchanged + len({*ids} - {*before.ids}), wanted)
        sample = replace(before, ids=ids, exchanged=exchanged)
        if len(ids) == wanted and 2 * exchanged >= wanted:
            sample = self._renew(watched, sample)
        if sample != before:
            self._records.keep_sample(sample)

    def choose(self, watched: Watched) -> tuple[Candidate | None, str | None]:
        """Return the reference for the next window, or None, and why there is no better one, if so.

        Raises RecordsUnavailable, StoreError.
        """
        no_holdout = None if watched.holdout else f"{watched.version} was trained without a holdout"
        if self._settings.reference == HOLDOUT:
            return watched.holdout, no_holdout
        sample = self._sample(watched.version)
        if watched.live is None or watched.live_made_at != sample.made_at:
            watched.live, watched.live_made_at = self._kept(watched), sample.made_at
        if watched.live:
            return watched.live, None
        no_live = (
            f"only {len(sample.ids)} of {self._settings.reference_texts} live texts, scored by {watched.version} before"
            " those of the window, have been drawn"
        )
        if self._settings.reference == LIVE:
            return None, no_live
        return watched.holdout, f"{no_holdout}, and {no_live}" if no_holdout else no_live

    def _sample(self, version: str) -> LiveSample:
        """Return the sample of a version; another version begins one anew."""
        kept = self._records.sample()
        return kept if kept and kept.version == version else LiveSample(version=version, key=secrets.token_hex(16))

    def _renew(self, watched: Watched, sample: LiveSample) -> LiveSample:
        """Make the live reference of a sample, and keep it; of texts that are gone others take the place first."""
        times = self._records.times(sample.ids)
        if len(times) < len(sample.ids):
            return replace(sample, ids=[*times])
        reference = Reference.from_texts(self._records.texts(sample.ids), watched.model)
        period = Period(min(times.values()).isoformat(), max(times.values()).isoformat())
        self._store.put_statistics(watched.version, LIVE, Statistics(reference.to_bytes(), period))
        logger.info("%d live texts are the reference of %s from now on", reference.texts, watched.version)
        say_rest("the live reference", reference)
        return replace(sample, exchanged=0, made_at=now())

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
