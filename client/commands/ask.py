"""The command `python -m sentiment ask`: the sentiment of texts, as the system says."""

import argparse
import sys
from collections import deque
from collections.abc import Iterable, Iterator

from client.commands import served
from client.commands.served import ERRORS, asking
from client.commands.showing import GREEN, NO_COLOUR, RED, describe, has_colours, printable, write, write_lines
from contracts.predict import Answer

__all__ = ["ERRORS", "add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("text", nargs="*", help="texts; without any, a text a line from standard input")
    parser.add_argument("--explain", action="store_true", help="with the words that decided")
    parser.add_argument("--no-record", dest="record", action="store_false", help="keep no record of texts and answers")
    served.add_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Ask, and print an answer for each text as it comes; returns 1 where one of them has none.

    Raises SentimentError.
    """
    failed = 0
    with asking(arguments) as client:
        for texts in _together(arguments.text):
            asked = deque[str]()
            answers = client.predict_many(_noted(texts, asked), explain=arguments.explain, record=arguments.record)
            for answer in answers:
                text = asked.popleft()
                failed += answer.error is not None
                if arguments.json:
                    write_lines([answer])
                else:
                    write(described(text, answer))
    return 1 if failed else 0


def _together(texts: list[str]) -> Iterator[Iterable[str]]:
    """Yield texts that are asked together: all, but one by one where somebody types them and waits for an answer."""
    lines = (line.rstrip("\r\n") for line in sys.stdin)
    if texts:
        yield texts
    elif sys.stdin.isatty():
        yield from ([line] for line in lines)
    else:
        yield lines


def _noted(texts: Iterable[str], asked: deque[str]) -> Iterator[str]:
    """Yield texts, and note what is asked, for when its answer comes."""
    for text in texts:
        asked.append(text)
        yield text


def described(text: str, answer: Answer) -> str:
    """Return a text and its answer as a line for people, or as lines where the words that decided are there."""
    red, green, none = (RED, GREEN, NO_COLOUR) if has_colours() else ("", "", "")
    if answer.error is not None or answer.probability is None:
        return f"{red}{'no answer':17}{none}  {printable(text)[:80]}: it {answer.error}"
    colour = green if answer.prediction == "positive" else red
    if isinstance(answer.words, list):
        return f"{printable(text)}\n{describe(answer, in_colour=has_colours())}\n"
    return f"{colour}{answer.prediction:9}{none} {answer.probability:7.1%}  {printable(text)}"
