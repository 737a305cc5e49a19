"""The command `python -m sentiment models`: the versions of the model, and how each came to be served."""

import argparse

from rich.table import Table
from rich.text import Text

from client.commands import served
from client.commands.served import ERRORS, asking, show
from client.commands.showing import printable, write_lines
from contracts.retrain import Overview

__all__ = ["ERRORS", "add_arguments", "run"]

SHOWN_PROMOTIONS = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    served.add_arguments(parser)


def run(arguments: argparse.Namespace) -> None:
    """Print the versions; raises SentimentError."""
    with asking(arguments) as client:
        overview = client.models()
    if arguments.json:
        write_lines([overview])
    else:
        show(versions(overview), promotions(overview), f"labels: {overview.pending} wait, {overview.used} learned")


def versions(overview: Overview) -> Table:
    """Return the versions as a table, the newest first, and which is served."""
    table = Table(title="versions", title_justify="left", box=None, pad_edge=False)
    for heading in ("", "version", "trained at", "labels", "accuracy", "log loss", "trainer"):
        table.add_column(heading, justify="right" if heading in ("labels", "accuracy", "log loss") else "left")
    for version in overview.versions:
        metrics = version.metrics
        table.add_row(
            "*" if version.version == overview.model else "",
            version.version,
            (version.trained_at or "")[:19].replace("T", " "),
            "" if version.labels is None else str(version.labels),
            f"{metrics.accuracy:.1%}" if metrics else "",
            f"{metrics.log_loss:.3f}" if metrics else "",
            Text(printable(version.problem or version.trainer or "")),
        )
    return table


def promotions(overview: Overview) -> Table:
    """Return the last promotions as a table, the newest first."""
    table = Table(title="\npromotions", title_justify="left", box=None, pad_edge=False)
    for heading in ("at", "to", "by", "reason"):
        table.add_column(heading)
    newest = sorted(overview.promotions, key=lambda promotion: promotion.at, reverse=True)
    for promotion in newest[:SHOWN_PROMOTIONS]:
        at = promotion.at[:19].replace("T", " ")
        table.add_row(at, promotion.version, Text(printable(promotion.by)), Text(printable(promotion.reason)))
    return table
