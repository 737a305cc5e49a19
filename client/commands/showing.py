"""What the commands print: for people as text, in colour at a terminal; for programs a JSON object a line."""

import os
import sys
from collections.abc import Iterable, Sequence

from msgspec import UNSET

from contracts.codec import encode
from contracts.predict import Answer

SHOWN_WORDS = 20
RED, GREEN, NO_COLOUR = "\x1b[31m", "\x1b[32m", "\x1b[0m"


def write(text: str) -> None:
    """Print lines; a letter that this terminal's encoding has not is shown as `?`."""
    sys.stdout.buffer.write(text.encode(sys.stdout.encoding, "replace") + b"\n")
    sys.stdout.buffer.flush()


def write_lines(values: Iterable[object]) -> None:
    """Print structures as JSON, one a line, each as soon as it is there."""
    for value in values:
        sys.stdout.buffer.write(encode(value) + b"\n")
        sys.stdout.buffer.flush()


def has_colours() -> bool:
    """Return whether standard output is a terminal whose user has not refused colours."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def printable(text: str) -> str:
    """Return a text in one line, and without what a terminal would obey."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def explanations(texts: Sequence[str], answers: Sequence[Answer]) -> str:
    """Return explained answers as lines for people; of many, each below its text."""
    lines = [describe(answer, in_colour=has_colours()) for answer in answers]
    if len(texts) > 1:
        lines = [f"{printable(text)}\n{found}" for text, found in zip(texts, lines, strict=True)]
    return "\n\n".join(lines)


def describe(answer: Answer, *, in_colour: bool) -> str:
    """Return an explained answer as lines for people: words that speak for positive are green, the others red."""

    def line(log_odds: float, words: str) -> str:
        colour, end = (GREEN if log_odds > 0 else RED, NO_COLOUR) if in_colour else ("", "")
        return f"{log_odds:+9.3f}  {colour}{words}{end}"

    words, bias = ([], 0.0) if answer.words is UNSET or answer.bias is UNSET else (answer.words, answer.bias)
    others = words[SHOWN_WORDS:]
    lines = [f"{answer.prediction}, probability {answer.probability:.3f}, log-odds {answer.log_odds:+.3f}:"]
    lines += [line(word.log_odds, word.word) for word in words[:SHOWN_WORDS]]
    if others:
        lines.append(f"{sum(word.log_odds for word in others):+9.3f}  {len(others)} other words")
    return "\n".join([*lines, f"{bias:+9.3f}  what every text begins with"])
