"""The statistics of a set of texts: all that a check needs, and no text."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import repeat
from typing import Self

import numpy as np
from numpy.typing import NDArray

from sentiment.artifact import ArtifactError
from sentiment.counts import count_texts
from sentiment.drift.measures import MEASURES, MeasuredTexts, measure
from sentiment.model import Model
from sentiment.packing import load_arrays, pack_words, save_arrays, unpack_words
from sentiment.text import batches

MAXIMUM_SAMPLE = 20_000
# A batch's words are in memory all at once.
_BATCH_TEXTS = 1_000
_BATCH_CHARACTERS = 4_000_000


@dataclass(frozen=True, eq=False)
class Sample:
    """Statistics of a set of texts.

    texts: how many they are.
    words: W words; word_texts: (W,), the number of texts that have each.
    measures: for each of MEASURES its values, sorted, as float32; of more than 20,000 texts the
        20,000 evenly spaced quantiles.
    labelled: how many labels are known; errors: how many of these the model got wrong.
    """

    texts: int
    words: tuple[str, ...]
    word_texts: NDArray[np.int64]
    measures: dict[str, NDArray[np.float32]]
    labelled: int
    errors: int

    @classmethod
    def from_texts(cls, texts: Iterable[str], model: Model, labels: Iterable[int | None] | None = None) -> Self:
        """Measure texts under `model`, a batch at a time; `labels` (0, 1 or None) are one a text.

        Raises ValueError where there are not as many labels as texts.
        """
        pairs = zip(texts, repeat(None), strict=False) if labels is None else zip(texts, labels, strict=True)
        return cls.from_measured(
            measure(count_texts(text for text, _ in batch), model, [label for _, label in batch])
            for batch in batches(pairs, _BATCH_TEXTS, _BATCH_CHARACTERS)
        )

    @classmethod
    def from_measured(cls, batches: Iterable[MeasuredTexts]) -> Self:
        """Sum up measured texts."""
        counted: Counter[str] = Counter()
        measures: dict[str, list[NDArray[np.float32]]] = {name: [] for name in MEASURES}
        texts = labelled = errors = 0
        for batch in batches:
            counted.update(dict(zip(batch.counts.vocabulary, batch.word_texts().tolist(), strict=True)))
            for name, values in measures.items():
                values.append(batch.measures[name])
            texts += len(batch)
            labelled += int(batch.labelled.sum())
            errors += int(batch.wrong.sum())
        return cls(
            texts,
            tuple(counted),
            np.fromiter(counted.values(), dtype=np.int64, count=len(counted)),
            {name: _sorted_sample(values) for name, values in measures.items()},
            labelled,
            errors,
        )


class Window(Sample):
    """Statistics of the texts that were scored last."""


class Reference(Sample):
    """Statistics of the texts that a window is compared with; the model must not have been trained on them."""

    @cached_property
    def index(self) -> dict[str, int]:
        """The position of each word in `words`."""
        return dict(zip(self.words, range(len(self.words)), strict=True))

    def to_bytes(self) -> bytes:
        """Return the statistics as `.npz`, words as UTF-8, a line each."""
        return save_arrays(
            documents=np.array([self.texts, self.labelled, self.errors], dtype=np.int64),
            words=pack_words(self.words),
            word_documents=self.word_texts.astype(np.int32),
            **self.measures,
        )

    @classmethod
    def from_bytes(cls, content: bytes) -> Self:
        """Read what `to_bytes` wrote, never unpickling; raises ArtifactError where it is something else."""
        arrays = load_arrays(content, "the drift reference")
        try:
            texts, labelled, errors = arrays["documents"].tolist()
            words = unpack_words(arrays["words"])
            word_texts = arrays["word_documents"].astype(np.int64)
            measures = {name: arrays[name].astype(np.float32) for name in MEASURES}
        except (KeyError, ValueError) as error:
            raise ArtifactError(f"the drift reference is not one: {error}") from error
        if len(words) != len(word_texts):
            raise ArtifactError(f"the drift reference has {len(words)} words and {len(word_texts)} counts")
        return cls(texts, words, word_texts, measures, labelled, errors)


def _sorted_sample(batches: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    values = np.sort(np.concatenate([np.zeros(0, dtype=np.float32), *batches]))
    if len(values) > MAXIMUM_SAMPLE:
        quantiles = (np.arange(MAXIMUM_SAMPLE) + 0.5) / MAXIMUM_SAMPLE
        values = values[(quantiles * len(values)).astype(np.intp)]
    return values
