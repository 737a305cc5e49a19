"""The command `python -m sentiment label`: what the sentiment of texts is, for the model to learn."""

import argparse
import sys
from collections.abc import Iterator
from typing import BinaryIO

from msgspec import UNSET

from client.commands import served
from client.commands.served import ERRORS, asking
from client.commands.showing import write, write_lines
from client.errors import Unusable
from contracts.codec import Malformed
from contracts.retrain import LabelExample, read_label_example

__all__ = ["ERRORS", "add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("text", nargs="?", help="a text; without one, JSON objects with text and label, one a line")
    parser.add_argument("label", nargs="?", help="negative or positive, or 0 or 1")
    parser.add_argument("--source", help="where the labels come from (default http)")
    parser.add_argument("--now", action="store_true", help="have the model learn what is pending, and wait for it")
    served.add_arguments(parser)


def run(arguments: argparse.Namespace) -> None:
    """Send labels, and print what became of them; raises SentimentError."""
    source = UNSET if arguments.source is None else arguments.source
    if arguments.text is None:
        labels = [*_read(sys.stdin.buffer)]
    elif arguments.label is None:
        raise Unusable("what is the text's label? Say negative or positive behind it")
    else:
        labels = [LabelExample(arguments.text, arguments.label, source)]
    with asking(arguments) as client:
        taken = client.labels(labels)
        outcome = client.retrain() if arguments.now else None
    if arguments.json:
        write_lines([taken] if outcome is None else [taken, outcome])
        return
    write(f"{taken.accepted} new, {taken.repeated} known before; {taken.pending} wait to be learned")
    for identifier in taken.ids[:1] if len(taken.ids) == 1 else []:
        write(f"its id, to take it back: {identifier}")
    if taken.retrained:
        write("a run has begun, since enough of them wait")
    if outcome is not None:
        write(f"{'promoted' if outcome.promoted else 'not promoted'}: {outcome.reason}\nserved: {outcome.model}")


def _read(file: BinaryIO) -> Iterator[LabelExample]:
    """Yield the labels of a file, one a line; raises Unusable."""
    for number, line in enumerate(file, 1):
        if line.strip():
            try:
                yield read_label_example(line)
            except Malformed as error:
                raise Unusable(f"line {number} {error}") from error
