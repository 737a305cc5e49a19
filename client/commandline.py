"""Command line of the model: train, evaluate, compare, predict, explain, drift."""

import argparse
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import IO

from tqdm import tqdm

from client import compare, drift, explain
from client.models import load_artifact, load_model, load_scorer, save_artifact
from contracts.codec import encode, indented
from contracts.manifest import Evaluation
from contracts.names import CLASSES
from datasets import DataError, load_corpus, read_json_lines
from sentiment.artifact import ArtifactError
from sentiment.trainers import DEFAULT_TRAINER, TRAINERS
from sentiment.training import train_artifact


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns its exit code: 0, 1 for data or models that can't be used, 2 for usage."""
    parser = argparse.ArgumentParser(prog="python -m sentiment", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Callable[[argparse.Namespace], None], text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text.capitalize() + ".")
        sub.set_defaults(run=run)
        return sub

    train = command("train", _train, "train a model and write it to a folder")
    evaluate = command("evaluate", _evaluate, "measure a model on labelled texts")
    predict = command("predict", _predict, "score texts from standard input, a text or a JSON object a line")
    comparing = command("compare", compare.run, "train by every trainer, and measure each on texts that none has seen")
    why = command("explain", explain.run, "say which words decided, and what each added to the log-odds")
    drifting = command("drift", _drift, "compare texts with reference texts that the model has not seen")
    kinds = "aclImdb archive or folder, .csv or .jsonl of text,label"
    for reading in (train, evaluate, comparing):
        reading.add_argument("--data", required=True, metavar="imdb|starter|PATH", help=kinds)
    for serving in (evaluate, predict, drifting):
        serving.add_argument("--model", required=True, type=Path, metavar="DIR")
    train.add_argument("--output", required=True, type=Path, metavar="DIR")
    kept = "share of texts kept out of training, for the gate and for drift (default 0)"
    train.add_argument("--holdout", type=float, default=0.0, metavar="SHARE", help=kept)
    train.add_argument("--trainer", choices=TRAINERS, default=DEFAULT_TRAINER, help="(default %(default)s)")
    for reporting in (evaluate, comparing, why, drifting):
        reporting.add_argument("--json", action="store_true", help="print JSON")
    compare.add_arguments(comparing)
    explain.add_arguments(why)
    drift.add_arguments(drifting)

    parsed = parser.parse_args(arguments)
    try:
        parsed.run(parsed)
        sys.stdout.flush()  # here, where an error can still be told
        return 0
    except (DataError, ArtifactError) as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        # The reader of our output has gone, as `head` does; Python would complain again when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 130


def _train(arguments: argparse.Namespace) -> None:
    if not 0 <= arguments.holdout < 1:
        raise DataError(f"--holdout must be from 0 to less than 1, not {arguments.holdout}")
    print(f"training data: {arguments.data}", flush=True)
    corpus = load_corpus(arguments.data, part="train" if arguments.data == "imdb" else None)
    try:
        artifact = train_artifact(corpus, holdout_share=arguments.holdout, trainer=arguments.trainer)
    except ValueError as error:
        raise DataError(f"{arguments.data}: no model can be trained on its texts: {error}") from error
    save_artifact(artifact, arguments.output)
    manifest = artifact.manifest
    print(f"trained on {manifest.examples} texts, {manifest.vocabulary_size} {manifest.features}: {arguments.output}")
    if manifest.metrics:
        print(f"accuracy on the {manifest.metrics.texts} texts held out: {manifest.metrics.accuracy:.1%}")


def _evaluate(arguments: argparse.Namespace) -> None:
    artifact = load_artifact(arguments.model)
    corpus = load_corpus(arguments.data, part="test" if arguments.data == "imdb" else None)
    result = compare.measured(artifact, corpus.texts, corpus.labels)
    print(indented(result) if arguments.json else _table(result))


def _table(result: Evaluation) -> str:
    rows = zip(CLASSES, (result.negative, result.positive), result.confusion, strict=True)
    lines = [
        f"{result.texts} texts, accuracy {result.accuracy:.2%}, log loss {result.log_loss:.4f}, "
        f"calibration error {result.calibration_error:.4f}",
        "",
        "            precision   recall    texts   predicted negative   predicted positive",
        *(
            f"{name:<12}{figures.precision:9.2%}{figures.recall:9.2%}{figures.texts:9}{negative:21}{positive:21}"
            for name, figures, (negative, positive) in rows
        ),
        "",
        "probability of positive    share positive    texts",
        *(f"{b.mean_probability:23.3f}{b.share_positive:18.3f}{b.texts:9}" for b in result.calibration),
    ]
    return "\n".join(lines)


def _predict(arguments: argparse.Namespace) -> None:
    scorer = load_scorer(arguments.model)
    lines = tqdm(sys.stdin, unit=" texts", disable=True if sys.stdin.isatty() else None)
    try:
        for text in _texts(lines, sys.stdin):
            sys.stdout.write(encode(scorer.score(text)).decode() + "\n")
    except UnicodeDecodeError as error:
        raise DataError(f"{sys.stdin.name}: not UTF-8 ({error.reason})") from error


def _texts(lines: Iterable[str], file: IO[str]) -> Iterator[str]:
    """Yield one text a line; lines are JSONL where the first one is a JSON object."""
    iterator = iter(lines)
    first = next(iterator, "")
    lines = chain([first] if first else [], iterator)
    if first.lstrip().startswith("{"):
        return (example.text for example in read_json_lines(lines, file.name))
    return (line.rstrip("\r\n") for line in lines)


def _drift(arguments: argparse.Namespace) -> None:
    drift.run(arguments, load_model(arguments.model))
