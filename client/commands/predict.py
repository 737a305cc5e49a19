"""The command `python -m sentiment predict`: texts from standard input scored by the model of a folder."""

import argparse
import sys
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import IO

from tqdm import tqdm

from client.commands.folders import ERRORS, add_model, load_scorer
from contracts.codec import encode
from datasets import DataError, read_json_lines

__all__ = ["ERRORS", "add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    add_model(parser)


def run(arguments: argparse.Namespace) -> None:
    """Score the lines of standard input, and print an answer for each; raises DataError, ArtifactError."""
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
