"""Live references: the first texts that a version scored since its promotion, made once and kept in the store."""

import dataclasses
import logging
from collections.abc import Iterable, Iterator
from datetime import datetime

from contracts.promotion import Period
from functions.drift.settings import LIVE
from model_store.publishing import ModelStore, Statistics
from records.drift import DriftRecords, ScoredText
from sentiment.drift import Reference
from sentiment.model import Model

logger = logging.getLogger(__name__)


class LiveReferences:
    """Makes the live reference of a version once there are texts enough, and keeps it beside the version."""

    def __init__(self, store: ModelStore, records: DriftRecords, *, texts: int) -> None:
        """texts: of how many texts a reference is made."""
        self._store = store
        self._records = records
        self._texts = texts

    def read(self, version: str) -> Statistics | None:
        """Return the reference that is kept, None before it is made; raises StoreError."""
        return self._store.statistics(version, LIVE)

    def make(self, version: str, model: Model, promoted_at: datetime) -> str | None:
        """Make and keep the reference of a version; returns why it can't be made yet, None where it is made."""
        count = self._records.count_live_texts(version, promoted_at, self._texts)
        if count < self._texts:
            return f"only {count} of {self._texts} live texts have been scored by {version} since its promotion"
        seen: list[ScoredText] = []
        texts = noting(self._records.live_texts(version, promoted_at, self._texts), seen)
        reference = Reference.from_texts(texts, model)
        period = Period(seen[0].scored_at.isoformat(), seen[-1].scored_at.isoformat())
        # Of two processes that make it at once, the first one's stays.
        self._store.put_statistics(version, LIVE, Statistics(reference.to_bytes(), period))
        logger.info("%d live texts are the reference of %s from now on", reference.documents, version)
        return None


def noting(texts: Iterable[ScoredText], seen: list[ScoredText]) -> Iterator[str]:
    """Yield texts one by one, noting in `seen` all about them but the text itself, which may be large."""
    for text in texts:
        seen.append(dataclasses.replace(text, text=""))
        yield text.text
