"""The command `python -m sentiment train`: a model from labelled texts, written to a folder."""

import argparse
from pathlib import Path

from client.commands.folders import ERRORS, add_data, save_artifact
from datasets import DataError, load_corpus
from sentiment.trainers import DEFAULT_TRAINER, TRAINERS
from sentiment.training import train_artifact

__all__ = ["ERRORS", "add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    add_data(parser)
    parser.add_argument("--output", required=True, type=Path, metavar="DIR")
    kept = "share of texts kept out of training, for the gate and for drift (default 0)"
    parser.add_argument("--holdout", type=float, default=0.0, metavar="SHARE", help=kept)
    parser.add_argument("--trainer", choices=TRAINERS, default=DEFAULT_TRAINER, help="(default %(default)s)")


def run(arguments: argparse.Namespace) -> None:
    """Train, write, and print what came of it; raises DataError."""
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
