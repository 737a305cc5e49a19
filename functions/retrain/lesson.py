"""The labels of one run: read one by one, and kept as counts, so that their texts are never in memory together."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import compress
from typing import Self

import numpy as np

from contracts.manifest import Bound
from contracts.records import LabelRecord
from sentiment.counts import TextCounter
from sentiment.features import WORDS, Features
from sentiment.gate import Booleans, Labelled
from sentiment.influence import within


@dataclass(frozen=True, eq=False)
class Lesson:
    """N labels: their ids, by whose credentials each came, and they themselves as the model learns them."""

    ids: list[str]
    principals: list[frozenset[str]]
    labelled: Labelled

    def __len__(self) -> int:
        """Return the number of labels."""
        return len(self.ids)

    @classmethod
    def read(
        cls,
        records: Iterable[LabelRecord],
        most_bytes: int,
        *,
        bound: Bound | None,
        weight: float | None = None,
        features: Features = WORDS,
    ) -> Self:
        """Read labels until their counts take `most_bytes` of memory, one at least; the others are not touched.

        bound: what each counts for at most. weight: how many times each counts; without, as many as it was counted.
        features: what is counted.
        """
        counter, ids, labels, weights = TextCounter(features=features), list[str](), list[int](), list[float]()
        principals = list[frozenset[str]]()
        for record in records:
            counter.add(record.text)
            ids.append(record.id)
            labels.append(record.label)
            weights.append(record.counted if weight is None else weight)
            principals.append(record.vouchers)
            if counter.size_bytes >= most_bytes:
                break
        texts = counter.counts()
        labelled = Labelled(texts, within(texts, bound), np.array(labels, dtype=np.intp), np.array(weights))
        return cls(ids, principals, labelled)

    def words(self) -> set[str]:
        """Return the terms that a model has once it has learned them, whatever others it has."""
        counted = self.labelled.counted
        found = np.zeros(len(counted.vocabulary), dtype=np.bool_)
        found[counted.occurrences.indices[counted.occurrences.data > 0]] = True
        return {*compress(counted.vocabulary, found.tolist())}

    def by_principal(self) -> Counter[str]:
        """Return how many labels each principal vouches for."""
        return Counter(principal for each in self.principals for principal in each)

    def of_each(self) -> dict[str, Booleans]:
        """Return which labels each principal vouches for, (N,), where it is more than one."""
        names = self.by_principal()
        return {name: _marked([name in each for each in self.principals]) for name in names if len(names) > 1}

    def without(self, principal: str) -> "Lesson":
        """Return the labels that somebody else vouches for, and these others alone."""
        kept = self._select([each != {principal} for each in self.principals])
        return replace(kept, principals=[each - {principal} for each in kept.principals])

    def only(self, principal: str) -> "Lesson":
        """Return the labels that nobody else vouches for."""
        return self._select([each == {principal} for each in self.principals])

    def _select(self, chosen: Sequence[bool]) -> "Lesson":
        ids, principals = [*compress(self.ids, chosen)], [*compress(self.principals, chosen)]
        return Lesson(ids, principals, self.labelled.select(_marked(chosen)))


def _marked(chosen: Sequence[bool]) -> Booleans:
    return np.array(chosen, dtype=np.bool_)
