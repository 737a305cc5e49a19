"""The command `python -m sentiment drift`: the same check by hand, without a server."""

import argparse
import sys
from pathlib import Path
from typing import TypeVar

from client.commands.drawing import drawing
from client.commands.folders import ERRORS, add_json, add_model, load_model
from contracts.codec import indented
from contracts.drift import Comparison
from datasets import DataError, read_examples
from sentiment.drift.check import DEFAULT_LEVEL, DEFAULT_MINIMUM_TEXTS, check
from sentiment.drift.samples import Reference, Sample, Window
from sentiment.linear import LinearModel

__all__ = ["ERRORS", "add_arguments", "run"]

S = TypeVar("S", bound=Sample)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    add_model(parser)
    add_json(parser)
    for name in ("--reference", "--window"):
        parser.add_argument(name, required=True, type=Path, metavar="FILE", help="JSONL, CSV or aclImdb archive")
    parser.add_argument("--level", type=float, default=DEFAULT_LEVEL, help="of false alarms (default %(default)s)")
    least = "on either side (default %(default)s)"
    parser.add_argument("--min-texts", type=int, default=DEFAULT_MINIMUM_TEXTS, help=least)
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw words and distributions (.png, .svg, .pdf)")


def run(arguments: argparse.Namespace) -> None:
    """Check, print the report, draw it where asked to. Raises DataError for what can't be used, ArtifactError."""
    model = load_model(arguments.model)
    if not 0 < arguments.level < 1:
        raise DataError(f"--level must be between 0 and 1, not {arguments.level}")
    reference = _read(Reference, arguments.reference, model)
    window = _read(Window, arguments.window, model, reference)
    report = check(reference, window, level=arguments.level, minimum_texts=arguments.min_texts)
    sys.stdout.write((indented(report) if arguments.json else describe(report)) + "\n")
    if arguments.plot:
        with drawing(arguments.plot):
            from sentiment.drift.plot import plot  # matplotlib is optional and slow to import

            plot(report, reference, window, arguments.plot)


def describe(report: Comparison) -> str:
    """Return the report as a table for people."""
    lines = [f"{report.status}: {report.window.documents} texts against {report.reference.documents} of the reference"]
    if report.tests:
        lines += ["", f"{'test':16}{'statistic':>11}{'p adjusted':>12}{'effect':>9}{'threshold':>11}"]
        lines += [
            f"{name:16}{test.statistic:11.4f}{test.adjusted_p_value:12.2g}{test.effect_size:9.3f}"
            f"{test.threshold:11.3f}{'   drift' if test.drift else ''}"
            for name, test in report.tests.items()
        ]
    if report.words:
        lines += ["", f"{'word':16}{'reference':>11}{'window':>12}{'p':>9}"]
        lines += [
            f"{word.word:16}{word.share_reference:11.2%}{word.share_window:12.2%}{word.p_value:9.2g}"
            for word in report.words
        ]
    return "\n".join(lines)


def _read(kind: type[S], path: Path, model: LinearModel, reference: Reference | None = None) -> S:
    examples = [*read_examples(path)]
    texts, labels = [example.text for example in examples], [example.label for example in examples]
    return kind.from_texts(texts, model, labels, reference=reference)
