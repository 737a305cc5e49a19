"""The labels of one run: read one by one, and kept as counts, so that their texts are never in memory together."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import numpy as np

from contracts.records import LabelRecord
from sentiment.counts import TextCounter, TextCounts
from sentiment.features import WORDS, Features
from sentiment.gate import LabelArray


@dataclass(frozen=True, eq=False)
class Lesson:
    """N labels, by their ids, (N,) labels, and their texts as counts."""

    ids: list[str]
    labels: LabelArray
    texts: TextCounts

    def __len__(self) -> int:
        """Return the number of labels."""
        return len(self.ids)

    @classmethod
    def read(cls, records: Iterable[LabelRecord], most_bytes: int, features: Features = WORDS) -> Self:
        """Read labels until their counts take `most_bytes` of memory, one at least; the others are not touched.

        features: what is counted.
        """
        counter, ids, labels = TextCounter(features=features), list[str](), list[int]()
        for record in records:
            counter.add(record.text)
            ids.append(record.id)
            labels.append(record.label)
            if counter.size_bytes >= most_bytes:
                break
        return cls(ids, np.array(labels, dtype=np.intp), counter.counts())
