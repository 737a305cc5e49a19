"""The command `python -m sentiment evaluate`: a model measured on labelled texts."""

import argparse

from client.commands.compare import measured
from client.commands.folders import ERRORS, add_data, add_json, add_model, load_artifact
from contracts.codec import indented
from contracts.manifest import Evaluation
from contracts.names import CLASSES
from datasets import load_corpus

__all__ = ["ERRORS", "add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    add_data(parser)
    add_model(parser)
    add_json(parser)


def run(arguments: argparse.Namespace) -> None:
    """Measure a model, and print it; raises DataError, ArtifactError."""
    artifact = load_artifact(arguments.model)
    corpus = load_corpus(arguments.data, part="test" if arguments.data == "imdb" else None)
    result = measured(artifact, corpus.texts, corpus.labels)
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
