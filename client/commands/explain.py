"""The command `python -m sentiment explain`: the words that decided, in colour, and what each added.

It asks predict, of the local stack or of GATEWAY_URL, since what one wants explained is what the served model says; or,
with `--model`, the model of a folder. Nothing that is asked is remembered.
"""

import argparse
import os
from pathlib import Path

from msgspec import structs

from client.commands.folders import ERRORS, add_json, load_scorer
from client.commands.showing import explanations, write, write_lines
from client.errors import SentimentError, Unavailable
from client.synchronous import Sentiment
from contracts.predict import Answer
from datasets import DataError
from process.local import ADDRESSES, local_addresses
from process.settings import SettingsError
from process.tls import trust_authorities

__all__ = ["ERRORS", "add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    add_json(parser)
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
        write_lines(answers)
        return
    write(explanations(texts, answers))


def _by_folder(folder: Path, texts: list[str]) -> list[Answer]:
    scorer = load_scorer(folder)
    return [
        Answer(**structs.asdict(scorer.score(text)), words=scorer.explain(text), bias=scorer.bias) for text in texts
    ]


def _by_predict(texts: list[str]) -> list[Answer]:
    if not (os.environ.get("GATEWAY_URL") or local_addresses().get("GATEWAY_URL")):
        raise DataError(f"which model? Say --model DIR or GATEWAY_URL; no local stack is here ({ADDRESSES} has its)")
    try:
        trust_authorities()
        with Sentiment(try_seconds=0) as client:
            return [*client.predict_many(texts, explain=True, record=False)]
    except Unavailable as error:
        raise DataError(f"{error}. Is {client.gateway_url} right?") from error
    except (SentimentError, SettingsError) as error:
        raise DataError(str(error)) from error
