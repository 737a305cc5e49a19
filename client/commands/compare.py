"""The command `python -m sentiment compare`: every trainer on the same texts, measured on others."""

import argparse
import sys
import time
from collections.abc import Iterable, Sequence
from itertools import compress
from pathlib import Path
from statistics import median

from msgspec import Struct
from tqdm import tqdm

from client.commands.drawing import drawing
from client.commands.folders import ERRORS, add_data, add_json, served
from contracts.codec import indented
from contracts.manifest import Evaluation
from datasets import DataError, load_corpus
from sentiment.artifact import Artifact, served_parts
from sentiment.calibrating import calibrated
from sentiment.counts import count_texts
from sentiment.evaluation import evaluate
from sentiment.features import features_named
from sentiment.text import Corpus
from sentiment.trainers import TRAINERS
from sentiment.training import held_out, train_artifact

__all__ = ["ERRORS", "Figures", "add_arguments", "measured", "run"]

HELD_OUT_SHARE = 0.1


class Figures(Struct, frozen=True):
    """What a trainer's model is like.

    metrics: of calibrated probabilities, on texts that neither training nor calibration has seen.
    terms: how many words or sequences it weighs. served_bytes: of what predict loads. version_bytes: of all parts.
    microseconds: of processor time for the median text, as predict scores it.
    """

    trainer: str
    metrics: Evaluation
    terms: int
    served_bytes: int
    version_bytes: int
    microseconds: float


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    add_data(parser)
    add_json(parser)
    test = f"texts to measure on (default: of imdb its test texts, else {HELD_OUT_SHARE:.0%} of the data)"
    parser.add_argument("--test", metavar="PATH", help=test)
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw accuracy and calibration (.png, .svg, .pdf)")


def run(arguments: argparse.Namespace) -> None:
    """Train, measure, print, and draw where asked to; raises DataError for what can't be used."""
    corpus, test = _texts(arguments.data, arguments.test)
    found = []
    for name in tqdm(TRAINERS, unit=" trainers", disable=None):
        try:
            artifact = train_artifact(corpus, holdout_share=HELD_OUT_SHARE, trainer=name)
        except ValueError as error:
            raise DataError(f"{arguments.data}: {name} can't be trained on its texts: {error}") from error
        found.append(figures(artifact, test))
    sys.stdout.write((indented(found) if arguments.json else describe(found)) + "\n")
    if arguments.plot:
        with drawing(arguments.plot):
            from client.commands.compare_plot import plot  # matplotlib is optional and slow to import

            plot(found, arguments.plot)


def describe(found: Sequence[Figures]) -> str:
    """Return the figures as a table for people."""
    texts = found[0].metrics.texts
    lines = [f"on {texts} texts that no model has seen", ""]
    heads = f"{'calibration error':>19}{'terms':>9}{'served':>9}{'median text':>13}"
    lines.append(f"{'trainer':16}{'accuracy':>9}{'log loss':>10}{heads}")
    lines += [
        f"{each.trainer:16}{each.metrics.accuracy:9.2%}{each.metrics.log_loss:10.4f}"
        f"{each.metrics.calibration_error:19.4f}{each.terms:9}{each.served_bytes / 1e6:6.1f} MB"
        f"{each.microseconds:10.0f} µs"
        for each in found
    ]
    return "\n".join(lines)


def figures(artifact: Artifact, test: Corpus) -> Figures:
    """Measure a version on texts that it has not seen."""
    scorer = served(artifact)
    nanoseconds = []
    for text in test.texts:
        begun = time.thread_time_ns()
        scorer.score(text)
        nanoseconds.append(time.thread_time_ns() - begun)
    sizes = {name: len(content) for name, content in artifact.parts.items()}
    return Figures(
        trainer=artifact.manifest.algorithm,
        metrics=measured(artifact, test.texts, test.labels),
        terms=artifact.manifest.vocabulary_size,
        served_bytes=sum(map(sizes.__getitem__, served_parts(artifact.manifest))),
        version_bytes=sum(sizes.values()),
        microseconds=median(nanoseconds) / 1_000,
    )


def measured(artifact: Artifact, texts: Iterable[str], labels: Sequence[int]) -> Evaluation:
    """Return how good the calibrated probabilities of a version are; raises ArtifactError."""
    scorer = served(artifact)
    counted = count_texts(
        tqdm(texts, unit=" texts", disable=None, leave=False), features_named(artifact.manifest.features)
    )
    return evaluate(calibrated(counted.log_odds(scorer), counted.known_words(scorer), scorer.calibration), labels)


def _texts(data: str, test: str | None) -> tuple[Corpus, Corpus]:
    """Return the texts to train on and those to measure on; raises DataError."""
    corpus = load_corpus(data, part="train" if data == "imdb" else None)
    if test or data == "imdb":
        return corpus, load_corpus(test or data, part=None if test else "test")
    held = held_out(corpus.labels, HELD_OUT_SHARE)
    if not held.any():
        raise DataError(f"{data}: too few texts to keep some for the measurement; name others with --test")
    training, testing = (
        Corpus(data, [*compress(corpus.texts, which)], [*compress(corpus.labels, which)]) for which in (~held, held)
    )
    return training, testing
