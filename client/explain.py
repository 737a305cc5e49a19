"""The command `python -m sentiment explain`: the words that decided, in colour, and what each added.

It asks predict, of the local stack or of GATEWAY_URL, since what one wants explained is what the served model says; or,
with `--model`, the model of a folder. Nothing that is asked is remembered.
"""

import argparse
import os
import sys
from pathlib import Path

import urllib3
from msgspec import UNSET, structs

from client.models import load_scorer
from contracts.codec import Malformed, encode
from contracts.predict import Answer, TextsRequest, read_answers
from contracts.problem import read_problem
from datasets import DataError
from process.local import ADDRESSES, local_addresses
from process.settings import SettingsError
from process.tls import explained, trust_authorities

SHOWN_WORDS = 20
TIMEOUT_SECONDS = 30
RED, GREEN, NO_COLOUR = "\x1b[31m", "\x1b[32m", "\x1b[0m"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes besides `--json`."""
    parser.add_argument("text", nargs="+", help="texts to explain")
    served = "explain by the model of a folder that `train` wrote, not by the one that predict serves at GATEWAY_URL"
    parser.add_argument("--model", type=Path, metavar="DIR", help=served)


def run(arguments: argparse.Namespace) -> None:
    """Explain texts, and print it. Raises DataError for what can't be explained, ArtifactError for a bad folder."""
    texts: list[str] = arguments.text
    answers = _by_folder(arguments.model, texts) if arguments.model else _by_predict(texts)
    for text, answer in zip(texts, answers, strict=True):
        if answer.error:
            raise DataError(f"{text[:40]!r} {answer.error}")
    if arguments.json:
        sys.stdout.buffer.write(b"".join(encode(answer) + b"\n" for answer in answers))
        return
    in_colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    described = [describe(answer, in_colour=in_colour) for answer in answers]
    if len(texts) > 1:
        described = [f"{text}\n{lines}" for text, lines in zip(texts, described, strict=True)]
    # As bytes: a word may have letters that this terminal's encoding has not.
    sys.stdout.buffer.write("\n\n".join(described).encode(sys.stdout.encoding, "replace") + b"\n")


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


def _by_folder(folder: Path, texts: list[str]) -> list[Answer]:
    scorer = load_scorer(folder)
    return [
        Answer(**structs.asdict(scorer.score(text)), words=scorer.explain(text), bias=scorer.bias) for text in texts
    ]


def _by_predict(texts: list[str]) -> list[Answer]:
    gateway_url = os.environ.get("GATEWAY_URL") or local_addresses().get("GATEWAY_URL")
    if not gateway_url:
        raise DataError(f"which model? Say --model DIR or GATEWAY_URL; no local stack is here ({ADDRESSES} has its)")
    url = f"{gateway_url.rstrip('/')}/function/predict?explain=true&record=false"
    try:
        trust_authorities()
        headers = {"Content-Type": "application/json"}
        response = urllib3.request(
            "POST", url, body=encode(TextsRequest(texts)), headers=headers, timeout=TIMEOUT_SECONDS, retries=False
        )
        if response.status != 200:
            raise DataError(f"predict answered {response.status}: {read_problem(response.data).detail}")
        return read_answers(response.data).predictions
    except urllib3.exceptions.HTTPError as error:
        words = explained(error, authorities="SSL_CERT_FILE", address="GATEWAY_URL")
        raise DataError(f"predict can't be reached: {words}. Is {gateway_url} right?") from error
    except SettingsError as error:
        raise DataError(str(error)) from error
    except Malformed as error:
        raise DataError(f"{gateway_url} does not answer as predict does: what came {error}") from error
