"""False alarms, power, speed and memory of the drift check, on reviews and on texts of another kind.

    python -m benchmarks.drift [--imdb DIR] [--windows 1000] [--seed 2] [--plot FILE]

DIR (default $IMDB_DIR, else ../shared/imdb) holds aclImdb_train.tar.gz, which the model is trained on, and
aclImdb_dev.tar.gz: one half of that is the reference, windows of 500 are drawn from the other. Prints a table
in Markdown; exits with 1 where a bar is missed. The method was chosen on seed 1; seed 2 is what is reported.
"""

import argparse
import os
import sys
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from datasets import default_cache, load_corpus, starter
from sentiment.counts import TextCounts, count_texts
from sentiment.drift.check import check
from sentiment.drift.measures import MeasuredTexts, measure
from sentiment.drift.samples import Reference, Window
from sentiment.model import Model
from sentiment.trainers.multinomial_nb import train

WINDOW_TEXTS = 500
SENTENCES = 12
POOL_TEXTS = 2000
AMAZON, NEW_YORK_TIMES = "amazonReviewSnippets_GroundTruth.txt", "nytEditorialSnippets_GroundTruth.txt"
Draw = Callable[[], NDArray[np.intp]]


def main() -> int:
    """Run the benchmark; returns 1 where a bar is missed."""
    root = Path(__file__).resolve().parent.parent
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument(
        "--imdb", type=Path, default=Path(os.environ.get("IMDB_DIR") or root.parent / "shared" / "imdb")
    )
    parser.add_argument("--windows", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=2)
    parser.add_argument("--plot", type=Path, help="draw one window with 10 %% Amazon into this file")
    arguments = parser.parse_args()
    archives = [arguments.imdb / name for name in ("aclImdb_train.tar.gz", "aclImdb_dev.tar.gz")]
    if missing := [archive.name for archive in archives if not archive.exists()]:
        print(f"skipped: {' and '.join(missing)} not found; give their folder with --imdb or IMDB_DIR")
        return 0
    training, reviews = (load_corpus(str(archive)) for archive in archives)
    model = train(training.texts, training.labels)
    benchmark = Benchmark(model, reviews.texts, np.array(reviews.labels), arguments.windows, arguments.seed)
    benchmark.run()
    if arguments.plot:
        benchmark.plot(arguments.plot)
    return int(benchmark.missed)


def take(measured: MeasuredTexts, indices: NDArray[np.intp]) -> MeasuredTexts:
    """Return the texts at `indices`, repeats allowed, without measuring anything again."""
    occurrences = measured.counts.occurrences[indices]
    used = np.unique(occurrences.indices)
    vocabulary = tuple(measured.counts.vocabulary[word] for word in used)
    measures = {name: values[indices] for name, values in measured.measures.items()}
    counts = TextCounts(vocabulary, occurrences[:, used])
    return MeasuredTexts(counts, measures, measured.labelled[indices], measured.wrong[indices])


class Benchmark:
    """The reviews and foreign texts, measured once; a window is then a draw of indices."""

    def __init__(self, model: Model, reviews: list[str], labels: NDArray[np.intp], windows: int, seed: int) -> None:
        self.model, self.reviews, self.labels, self.windows = model, reviews, labels, windows
        self.random = np.random.default_rng(seed)
        archive = starter.fetch(default_cache())
        texts, self.pools = list(reviews), {}
        for file in (AMAZON, NEW_YORK_TIMES):
            sentences = [example.text for example in starter.read_sentences(archive, file)]
            for order in ("in a row", "at random"):
                self.pools[file, order] = np.arange(len(texts), len(texts) + POOL_TEXTS)
                texts += [self._join(sentences, order) for _ in range(POOL_TEXTS)]
        self.documents: MeasuredTexts = measure(count_texts(texts), model)
        self.missed = False
        self.reference, self.fresh = self._split()

    def run(self) -> None:
        """Print all tables."""
        print(
            f"{self.windows} windows of {WINDOW_TEXTS} texts each, reference of {self.reference.texts} "
            f"reviews, level 0.01, model of {len(self.model.vocabulary)} words\n"
        )
        print("| window | alarms | bar | by test | words named most often |")
        print("| --- | --- | --- | --- | --- |")
        self._row("reviews alone", self._reviews, at_most=1.5)
        self._row("reviews alone, reference split anew every 10 windows", self._reviews, at_most=1.5, split_every=10)
        for order in ("in a row", "at random"):
            for name, file, percent, bar in (
                ("Amazon", AMAZON, 5, 70.0), ("Amazon", AMAZON, 10, 99.0), ("New York Times", NEW_YORK_TIMES, 10, 80.0)
            ):  # fmt: skip
                draw = self._replaced(self.pools[file, order], WINDOW_TEXTS * percent // 100)
                self._row(f"{percent} % {name}, sentences {order}", draw, at_least=bar)
        self._row("70 % positive instead of 50 %", self._positive(0.7), at_least=99.0)
        self._row("60 % positive instead of 50 %", self._positive(0.6))
        self._degenerate()
        self._cost()

    def plot(self, path: Path) -> None:
        """Draw one window with 10 % Amazon."""
        from sentiment.drift.plot import plot

        draw = self._replaced(self.pools[AMAZON, "in a row"], WINDOW_TEXTS // 10)
        window = Window.from_measured([take(self.documents, draw())])
        plot(check(self.reference, window), self.reference, window, path)

    def _join(self, sentences: list[str], order: str) -> str:
        if order == "in a row":
            start = self.random.integers(len(sentences) - SENTENCES + 1)
            return " ".join(sentences[start : start + SENTENCES])
        return " ".join(sentences[i] for i in self.random.choice(len(sentences), SENTENCES, replace=False))

    def _split(self) -> tuple[Reference, NDArray[np.intp]]:
        shuffled = self.random.permutation(len(self.reviews))
        half = len(shuffled) // 2
        return Reference.from_measured([take(self.documents, shuffled[:half])]), shuffled[half:]

    def _reviews(self) -> NDArray[np.intp]:
        return self.random.choice(self.fresh, WINDOW_TEXTS, replace=False)

    def _replaced(self, pool: NDArray[np.intp], number: int) -> Draw:
        return lambda: np.concatenate([self._reviews()[number:], self.random.choice(pool, number, replace=False)])

    def _positive(self, share: float) -> Draw:
        positive, negative = (self.fresh[self.labels[self.fresh] == label] for label in (1, 0))
        number = round(WINDOW_TEXTS * share)
        return lambda: np.concatenate(
            [
                self.random.choice(positive, number, replace=False),
                self.random.choice(negative, WINDOW_TEXTS - number, replace=False),
            ]
        )

    def _row(
        self, name: str, draw: Draw, *, at_least: float = 0.0, at_most: float = 100.0, split_every: int = 0
    ) -> None:
        alarms, words = Counter[str](), Counter[str]()
        kept = self.reference, self.fresh
        for number in range(self.windows):
            if split_every and number % split_every == 0:
                self.reference, self.fresh = self._split()
            report = check(self.reference, Window.from_measured([take(self.documents, draw())]))
            alarms["all"] += report.drift
            alarms.update(test for test, result in report.tests.items() if result.drift)
            words.update(word.word for word in report.words if word.p_value < 0.01)
        self.reference, self.fresh = kept
        percent = {test: 100 * count / self.windows for test, count in alarms.items()}
        bar = f"≥ {at_least:g} %" if at_least else f"≤ {at_most:g} %" if at_most < 100 else ""
        self.missed |= not at_least <= percent["all"] <= at_most
        by_test = ", ".join(f"{test} {percent[test]:.1f}" for test in percent if test != "all" and percent[test])
        often = [word for word, count in words.most_common(8) if count > self.windows // 50]
        print(f"| {name} | {percent['all']:.1f} % | {bar} | {by_test} | {', '.join(often)} |", flush=True)

    def _degenerate(self) -> None:
        """Check windows that no one would send on purpose; the answer must be drift, and nothing may raise."""
        print("\n| strange window | drift |\n| --- | --- |")
        repeated = (self.reviews[i] for i in self.fresh)
        for name, make in (
            ("copies of one review, another one each time", lambda: next(repeated)),
            ("empty texts", lambda: ""),
            ("one word, repeated", lambda: "good"),
        ):
            drifts = 0
            for _ in range(self.windows):
                one = measure(count_texts([make()]), self.model)
                copies = take(one, np.zeros(WINDOW_TEXTS, dtype=np.intp))
                drifts += check(self.reference, Window.from_measured([copies])).drift
            self.missed |= drifts < self.windows
            print(f"| {name} | {100 * drifts / self.windows:.1f} % |", flush=True)

    def _cost(self) -> None:
        """Time whole checks, from texts to report, each of another window; then measure the memory of one."""
        timings, processor = [], []
        for _ in range(50):
            texts = [self.reviews[i] for i in self._reviews()]
            start, start_processor = time.perf_counter(), time.process_time()
            check(self.reference, Window.from_texts(texts, self.model, reference=self.reference))
            timings.append(1000 * (time.perf_counter() - start))
            processor.append(1000 * (time.process_time() - start_processor))
        tracemalloc.start()
        check(self.reference, Window.from_texts(texts, self.model, reference=self.reference))
        _, peak_bytes = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        size_bytes = len(self.reference.to_bytes())
        # Computing is what the bar is about: elapsed time is also that of whatever else the machine does.
        self.missed |= float(np.median(processor)) > 30
        print("\n| a check of 500 texts, from the texts on | |\n| --- | --- |")
        print(f"| processor time, median of 50 (bar: ≤ 30 ms) | {np.median(processor):.1f} ms |")
        print(f"| elapsed time, median | {np.median(timings):.1f} ms |")
        print(f"| memory at its peak, beyond model and reference | {peak_bytes / 1e6:.1f} MB |")
        print(f"| the reference as stored | {size_bytes / 1e3:.0f} kB |")


if __name__ == "__main__":
    sys.exit(main())
