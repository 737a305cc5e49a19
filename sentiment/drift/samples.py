"""The statistics of a set of texts: all that a check needs, and no text."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import repeat
from typing import ClassVar, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from sentiment.artifact import ArtifactError
from sentiment.counts import NOTHING_KNOWN, TextCounter, TextCounts, Vocabulary
from sentiment.drift.measures import MEASURES, MeasuredTexts, measure
from sentiment.drift.words import WordCounter, WordTexts, short
from sentiment.linear import LinearModel
from sentiment.packing import load_arrays, pack_words, save_arrays, unpack_words

T = TypeVar("T")

MAXIMUM_SAMPLE = 20_000
# A batch's words are in memory all at once: 500 reviews make one, or one text of 33,000 different words.
_BATCH_BYTES = 6_000_000


@dataclass(frozen=True, eq=False)
class Sample:
    """Statistics of a set of texts, in bounded memory.

    texts: how many they are.
    words: W words, those of the reference first where they were counted with it; word_texts: (W,), the number of texts
        that have each.
    measures: for each of MEASURES its values, sorted, as float32; of more than 20,000 texts the
        20,000 evenly spaced quantiles.
    labelled: how many labels are known; errors: how many of these the model got wrong.
    rest_texts: a word that is not in `words` is in so many texts at most, 0 unless there were more words than are kept;
        rest_total: the sum of these numbers.
    """

    most_words: ClassVar[int]

    texts: int
    words: tuple[str, ...]
    word_texts: NDArray[np.int64]
    measures: dict[str, NDArray[np.float32]]
    labelled: int
    errors: int
    rest_texts: int = 0
    rest_total: int = 0

    @classmethod
    def from_texts(
        cls,
        texts: Iterable[str],
        model: LinearModel,
        labels: Iterable[int | None] | None = None,
        *,
        reference: "Reference | None" = None,
    ) -> Self:
        """Measure texts under `model`, a batch at a time; `labels` (0, 1 or None) are one a text.

        texts: no iterator, since they are read a second time where they have more words than are kept.
        reference: whose words are counted in any case.
        Raises ValueError for an iterator, and where there are not as many labels as texts.
        """
        if isinstance(texts, Iterator):
            raise ValueError("texts that can be read only once can't be measured: give a list")
        pairs = zip(texts, repeat(None), strict=False) if labels is None else zip(texts, labels, strict=True)
        known = reference.vocabulary if reference else NOTHING_KNOWN
        tally, words = _Tally(), WordCounter(known, cls.most_words)
        for counts, labels_of_batch in _batches(pairs, model, known):
            tally.add(measure(counts, model, labels_of_batch))
            words.add(counts.words())
            del counts  # before the next ones are made
        if words.overflowed:
            for counts, _ in _batches(zip(texts, repeat(None), strict=False), model, known):
                words.recount(counts.words())
                del counts
        return cls._of(tally, words.result())

    @classmethod
    def from_measured(cls, batches: Iterable[MeasuredTexts]) -> Self:
        """Sum up measured texts."""
        tally, counted = _Tally(), Counter[str]()
        for batch in batches:
            tally.add(batch)
            counts = batch.counts.words()
            counted.update(dict(zip(map(short, counts.vocabulary), counts.word_texts().tolist(), strict=True)))
        words = WordTexts(tuple(counted), np.fromiter(counted.values(), dtype=np.int64, count=len(counted)))
        return cls._of(tally, words.strongest(cls.most_words))

    @classmethod
    def _of(cls, tally: "_Tally", words: WordTexts) -> Self:
        measures = {name: _sorted_sample(values) for name, values in tally.measures.items()}
        figures = tally.texts, words.words, words.texts, measures, tally.labelled, tally.errors
        return cls(*figures, words.rest_texts, words.rest_total)


class Window(Sample):
    """Statistics of the texts that were scored last; it keeps 25,000 words beside the reference's."""

    most_words = 25_000


class Reference(Sample):
    """Statistics of the texts that a window is compared with; the model must not have been trained on them.

    It keeps 100,000 words.
    """

    most_words = 100_000

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """Its words, for whoever counts those of a window."""
        return Vocabulary(self.words)

    def to_bytes(self) -> bytes:
        """Return the statistics as `.npz`, words as UTF-8, a line each."""
        return save_arrays(
            documents=np.array([self.texts, self.labelled, self.errors], dtype=np.int64),
            words=pack_words(self.words),
            word_documents=self.word_texts.astype(np.int32),
            rest=np.array([self.rest_texts, self.rest_total], dtype=np.int64),
            **self.measures,
        )

    @classmethod
    def from_bytes(cls, content: bytes) -> Self:
        """Read what `to_bytes` wrote, never unpickling; raises ArtifactError where it is something else."""
        arrays = load_arrays(content, "the drift reference")
        try:
            texts, labelled, errors = arrays["documents"].tolist()
            rest_texts, rest_total = (
                arrays["rest"].tolist() if "rest" in arrays else (0, 0)
            )  # up to release 0.2: all are kept
            words = tuple(map(short, unpack_words(arrays["words"])))
            # Before they are made larger.
            if arrays["word_documents"].shape != (len(words),):
                raise ValueError(f"it has {len(words)} words and {arrays['word_documents'].size} counts")
            if any(arrays[name].size > MAXIMUM_SAMPLE for name in MEASURES):
                raise ValueError(f"a measure has more than {MAXIMUM_SAMPLE} values")
            word_texts = arrays["word_documents"].astype(np.int64)
            measures = {name: arrays[name].astype(np.float32) for name in MEASURES}
        except (KeyError, ValueError) as error:
            raise ArtifactError(f"the drift reference is not one: {error}") from error
        kept = WordTexts(words, word_texts, rest_texts, rest_total).strongest(cls.most_words)
        return cls(texts, kept.words, kept.texts, measures, labelled, errors, kept.rest_texts, kept.rest_total)


@dataclass
class _Tally:
    """What measured texts add up to, but for their words."""

    texts: int = 0
    labelled: int = 0
    errors: int = 0
    measures: dict[str, list[NDArray[np.float32]]] = field(default_factory=lambda: {name: [] for name in MEASURES})

    def add(self, measured: MeasuredTexts) -> None:
        for name, values in self.measures.items():
            values.append(measured.measures[name])
        self.texts += len(measured)
        self.labelled += int(measured.labelled.sum())
        self.errors += int(measured.wrong.sum())


def _batches(
    examples: Iterable[tuple[str, T]], model: LinearModel, known: Vocabulary = NOTHING_KNOWN
) -> Iterator[tuple[TextCounts, list[T]]]:
    """Yield texts as counts, and what comes with each, as many at a time as make up _BATCH_BYTES."""
    counter, others = TextCounter(known, model.features), list[T]()
    for text, other in examples:
        counter.add(text)
        others.append(other)
        if counter.size_bytes >= _BATCH_BYTES:
            yield counter.counts(), others
            counter, others = TextCounter(known, model.features), []
    if others:
        yield counter.counts(), others


def _sorted_sample(batches: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    values = np.sort(np.concatenate([np.zeros(0, dtype=np.float32), *batches]))
    if len(values) > MAXIMUM_SAMPLE:
        quantiles = (np.arange(MAXIMUM_SAMPLE) + 0.5) / MAXIMUM_SAMPLE
        values = values[(quantiles * len(values)).astype(np.intp)]
    return values
