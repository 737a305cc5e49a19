"""Command line: ask the system, teach it, watch it; train, evaluate, compare, explain and check models without it."""

import argparse
import os
import sys
from importlib import import_module
from typing import NamedTuple, Protocol, cast

from process.extras import require


class Extra(NamedTuple):
    """Libraries that a command needs: the extra of the package that brings them, and their modules."""

    name: str
    modules: tuple[str, ...]


CLIENT = Extra("client", ("rich", "pika", "rstream"))
TRAIN = Extra("train", ("scipy", "sklearn", "tqdm"))


class Command(NamedTuple):
    """A command: what it does, and what it needs. Its module has its name, `add_arguments` and `run`."""

    text: str
    extra: Extra


COMMANDS = {
    "ask": Command("have the system score texts, given or from standard input", CLIENT),
    "label": Command("tell the system what the sentiment of texts is, for its model to learn", CLIENT),
    "models": Command("list the versions of the model, and who promoted what and why", CLIENT),
    "watch": Command("watch answers of the stream, its lag, labels and drift as they come", CLIENT),
    "train": Command("train a model and write it to a folder", TRAIN),
    "evaluate": Command("measure a model on labelled texts", TRAIN),
    "predict": Command("score texts from standard input, a text or a JSON object a line", TRAIN),
    "compare": Command("train by every trainer, and measure each on texts that none has seen", TRAIN),
    "explain": Command("say which words decided, and what each added to the log-odds", TRAIN),
    "drift": Command("compare texts with reference texts that the model has not seen", TRAIN),
}


class Module(Protocol):
    """What the module of a command has. ERRORS: what is said in a line."""

    ERRORS: tuple[type[Exception], ...]

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add what the command takes."""

    def run(self, arguments: argparse.Namespace) -> int | None:
        """Do it; returns the exit code, None for 0."""


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns its exit code: 0, 1 for what can't be had, used or done, 2 for usage."""
    arguments = sys.argv[1:] if arguments is None else arguments
    parser = argparse.ArgumentParser(prog="python -m sentiment", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    name = next((word for word in arguments if not word.startswith("-")), "")
    module = _module(name) if name in COMMANDS else None
    for each, command in COMMANDS.items():
        sub = commands.add_parser(each, help=command.text, description=command.text.capitalize() + ".")
        if module and each == name:
            module.add_arguments(sub)
    parsed = parser.parse_args(arguments)
    assert module  # noqa: S101 - else the parser has ended this
    try:
        code = module.run(parsed)
        sys.stdout.flush()  # here, where an error can still be told
        return code or 0
    except BrokenPipeError:
        # The reader of our output has gone, as `head` does; Python would complain again when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except module.ERRORS as error:
        sys.stderr.write(f"{parser.prog}: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 130


def _module(name: str) -> Module:
    """Return the module of a command; ends the process where what it needs is not installed."""
    extra = COMMANDS[name].extra
    require(extra.name, *extra.modules)
    return cast(Module, import_module(f"client.commands.{name}"))
