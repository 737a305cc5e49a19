"""What the commands that ask the system have in common."""

import argparse
import io

from rich.console import Console, RenderableType

from client.commands.showing import has_colours, write
from client.errors import SentimentError
from client.synchronous import TRY_SECONDS, Sentiment
from process.settings import SettingsError
from process.tls import trust_authorities

ERRORS = (SentimentError, SettingsError, OSError)
"""What a command that asks the system says in a line."""
PIPED_WIDTH = 160
"""Columns of a table that is not for a terminal."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what each of them takes; tokens come from the environment, since everybody sees a command's arguments."""
    gateway = "the gateway (default: GATEWAY_URL, else the local stack of this folder, else 127.0.0.1:8080)"
    parser.add_argument("--gateway-url", metavar="URL", help=gateway)
    parser.add_argument("--json", action="store_true", help="print a JSON object a line")


def asking(arguments: argparse.Namespace, *, try_seconds: float | None = None) -> Sentiment:
    """Return a client for the system that the arguments name; raises SettingsError."""
    trust_authorities()
    return Sentiment(arguments.gateway_url, try_seconds=TRY_SECONDS if try_seconds is None else try_seconds)


def show(*parts: RenderableType) -> None:
    """Print tables for people."""
    terminal = Console()
    width = terminal.width if terminal.is_terminal else PIPED_WIDTH
    console = Console(file=io.StringIO(), force_terminal=has_colours(), width=width)
    console.print(*parts, sep="\n")
    written = console.file
    assert isinstance(written, io.StringIO)  # noqa: S101 - it is what was given
    write("\n".join(line.rstrip() for line in written.getvalue().rstrip("\n").split("\n")))
