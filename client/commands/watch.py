"""The command `python -m sentiment watch`: the answers of the stream, its lag, labels and drift, as they come."""

import argparse
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypeVar

from msgspec import Struct
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from client.commands import served
from client.commands.served import ERRORS, asking, show
from client.commands.showing import printable, write_lines
from client.errors import SentimentError
from client.synchronous import Sentiment
from contracts.drift import Findings
from contracts.retrain import Overview
from contracts.stream import BridgeProgress, ReviewAnswer

T = TypeVar("T")

__all__ = ["ERRORS", "add_arguments", "run"]

SHOWN_ANSWERS = 15
READ_SECONDS = 0.25


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    every = "time between two looks at lag, labels and drift (default %(default)g)"
    parser.add_argument("--every", type=float, default=5.0, metavar="SECONDS", help=every)
    parser.add_argument("--for", dest="duration", type=float, metavar="SECONDS", help="end after so long")
    served.add_arguments(parser)


class Look(Struct, frozen=True):
    """What a look has found; bridge: None where its address is not known, too; problem: why one says nothing."""

    at: datetime
    labels: Overview | None
    drift: Findings | None
    bridge: BridgeProgress | None
    problem: str | None


class Seen(Struct, frozen=True, omit_defaults=True):
    """A line of `--json`: an answer, or a look in the short form that changes from one to the next.

    lag_messages: for each stream that the bridge reads, or each partition of one.
    """

    at: datetime
    answer: ReviewAnswer | None = None
    model: str | None = None
    pending: int | None = None
    status: str | None = None
    drift: bool | None = None
    lag_messages: dict[str, int] | None = None
    rejected_messages: int | None = None
    problem: str | None = None


@dataclass
class Watched:
    """What has been seen so far."""

    look: Look | None = None
    answers: Counter[str] = field(default_factory=Counter)
    last: deque[tuple[datetime, ReviewAnswer]] = field(default_factory=lambda: deque(maxlen=SHOWN_ANSWERS))
    stream_problem: str = ""


def run(arguments: argparse.Namespace) -> None:
    """Watch until Ctrl-C, or for as long as was asked; raises SentimentError where there is nothing to watch."""
    with asking(arguments, try_seconds=0) as client:
        seen = watching(client, every=arguments.every, duration=arguments.duration)
        if arguments.json:
            for change, _ in seen:
                write_lines([_line(change)] if isinstance(change, Look) else [Seen(at, each) for at, each in change])
        elif (console := Console()).is_terminal:
            with Live(console=console, auto_refresh=False, screen=True) as live:
                for _, watched in seen:
                    live.update(_page(watched), refresh=True)
        else:
            for change, watched in seen:
                if isinstance(change, Look):
                    show(_page(watched))


Change = Look | list[tuple[datetime, ReviewAnswer]]


def watching(client: Sentiment, *, every: float, duration: float | None) -> Iterator[tuple[Change, Watched]]:
    """Yield what changes, and all that has been seen until then; every, duration: in seconds."""
    watched = Watched()
    now = time.monotonic()
    end, next_look = float("inf") if duration is None else now + duration, now
    with ExitStack() as stack:
        try:
            following = stack.enter_context(closing(client.follow()))
        except SentimentError as error:
            following, watched.stream_problem = None, str(error)
        while True:
            wait_seconds = max(0.0, min(READ_SECONDS, end - time.monotonic(), next_look - time.monotonic()))
            if following is None:
                time.sleep(wait_seconds)
            else:
                # It is opened by this, before the first look.
                found = [(datetime.now(UTC), answer) for answer in following.read(wait_seconds)]
                watched.stream_problem = following.problem
                if found:
                    watched.last.extend(found)
                    watched.answers.update(answer.prediction for _, answer in found)
                    yield found, watched
            if time.monotonic() >= next_look:
                watched.look = _look(client)
                next_look = time.monotonic() + every
                yield watched.look, watched
            if time.monotonic() >= end:
                return


def _look(client: Sentiment) -> Look:
    problems = list[str]()

    def found(ask: Callable[[], T]) -> T | None:
        try:
            return ask()
        except SentimentError as error:
            problems.append(str(error))
            return None

    labels, drift, bridge = found(client.models), found(client.drift), found(client.bridge)
    return Look(datetime.now(UTC), labels, drift, bridge, "; ".join(problems) or None)


def _line(look: Look) -> Seen:
    labels, drift, bridge = look.labels, look.drift, look.bridge
    return Seen(
        look.at,
        model=labels.model if labels else None,
        pending=labels.pending if labels else None,
        status=drift.status if drift else None,
        drift=drift.state.drift if drift else None,
        lag_messages={each.stream: each.messages for each in bridge.lag} if bridge else None,
        rejected_messages=bridge.rejected_messages if bridge else None,
        problem=look.problem,
    )


def _page(watched: Watched) -> Group:
    """Return all that has been seen as a page for people."""
    return Group(_summary(watched), "", _answers(watched))


def _summary(watched: Watched) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold")
    look = watched.look
    if look and look.labels:
        running = f", a run is under way: {look.labels.running.step}" if look.labels.running else ""
        table.add_row("model", look.labels.model or "none")
        table.add_row("labels", f"{look.labels.pending} wait, {look.labels.used} learned{running}")
    if look and (drift := look.drift):
        window = f"of the last {drift.window.documents} texts: {drift.status}"
        since = f" since {drift.state.since.astimezone():%Y-%m-%d %H:%M}" if drift.state.since else ""
        state = Text("drift", "bold red") if drift.state.drift else Text("no drift", "green")
        table.add_row("drift", Text.assemble(state, since, f"; {window}"))
    if look and look.bridge and look.bridge.lag:
        waiting = ", ".join(f"{each.messages} of {each.stream}" for each in look.bridge.lag)
        rejected = f"{look.bridge.rejected_messages} rejected since the bridge started"
        table.add_row("lag", Text(printable(f"{waiting}; {rejected}")))
    counted = ", ".join(f"{count} {name}" for name, count in sorted(watched.answers.items()))
    table.add_row("stream", counted or "no answers since this began")
    for problem in filter(None, (look.problem if look else None, watched.stream_problem)):
        table.add_row(Text("problem", "bold red"), Text(printable(problem)))
    return table


def _answers(watched: Watched) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("time", "id", "prediction", "positive", "model", "offset"):
        table.add_column(heading, justify="right" if heading in ("positive", "offset") else "left", no_wrap=True)
    for at, answer in reversed(watched.last):
        colour = "green" if answer.prediction == "positive" else "red"
        table.add_row(
            f"{at.astimezone():%H:%M:%S}",
            Text(printable(str(answer.id))),
            Text(answer.prediction, colour),
            f"{answer.probability:.1%}",
            Text(printable(answer.model)),
            "" if answer.offset is None else str(answer.offset),
        )
    return table
