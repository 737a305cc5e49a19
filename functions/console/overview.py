"""What goes on in the system: what MongoDB says, how each part is, how far the bridge is behind."""

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from contracts.codec import extended
from contracts.console import (
    Now,
    Part,
    RecentRejected,
    RecentText,
    UnsureText,
    read_last_reports,
    read_served_model,
)
from contracts.records import PredictionRecord, RejectedRecord
from contracts.stream import Lag
from functions.console.functions import Functions
from functions.console.hour import LastHour
from process.bridge import Bridge
from process.functions import FunctionUnavailable, RequestRefused
from records import RecordsUnavailable, now
from records.recent import Recent

SHOWN = 20
SHOWN_CHARACTERS = 1_000
UNSURE_AMONG = 2_000
UNSURE_SHOWN = 50
UNSURE_CHARACTERS = 500_000
"""Of all texts to be labelled together: they are shown whole, and one alone may have a fifth of that."""


@dataclass(frozen=True)
class Overview:
    """Looks at the whole system. bridge: None where none is known."""

    recent: Recent
    functions: Functions
    bridge: Bridge | None
    hour: LastHour
    _threads: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(8, "look"), repr=False)

    def now(self) -> Now:
        """Return what goes on: all parts are asked at once, and one that is away hides no other."""
        # Of each what is least to do, in words for people.
        looks: dict[str, Callable[[], str]] = {
            "predict": self._predict,
            "retrain": self._retrain,
            "drift": self._drift,
            "generate-drift": lambda: "on" if self.functions.can_generate() else "off",
        }
        if self.bridge:
            looks["bridge"] = self.bridge.state
        asked = {name: self._threads.submit(_part, name, look) for name, look in looks.items()}
        lag = self._threads.submit(self._lag)
        try:
            since, hour, minutes = self.hour.look(now())
            found = Now(
                since=since,
                hour=hour,
                minutes=minutes,
                texts=[_text(each) for each in self.recent.texts(SHOWN)],
                rejected=[_rejected(each) for each in self.recent.rejected(SHOWN)],
                pending=self.recent.pending(),
                parts=[],
                lag=None,
            )
            mongodb = Part("mongodb", True, "answers")
        except RecordsUnavailable as error:
            found, mongodb = Now(parts=[], lag=None), Part("mongodb", False, str(error))
        return extended(found, Now, parts=[*(each.result() for each in asked.values()), mongodb], lag=lag.result())

    def unsure(self) -> list[UnsureText]:
        """Return texts that the model was least sure of; raises RecordsUnavailable."""
        found, characters = list[UnsureText](), 0
        for record in self.recent.unlabelled(self.recent.unsure(UNSURE_AMONG)):
            characters += len(record.text)
            if characters > UNSURE_CHARACTERS:
                break
            found.append(extended(record, UnsureText))
            if len(found) == UNSURE_SHOWN:
                break
        return found

    def _predict(self) -> str:
        return f"serves {self.functions.predict.call('GET', read_served_model).model}"

    def _retrain(self) -> str:
        self.functions.retrain.call("OPTIONS", bytes)
        return "answers"

    def _drift(self) -> str:
        reports = self.functions.drift.call("GET", read_last_reports, path="/reports", query="?limit=1").reports
        if not reports:
            return "has not checked yet"
        return "drift" if reports[0].state.drift else "no drift"

    def _lag(self) -> list[Lag] | None:
        try:
            return self.bridge.progress().lag if self.bridge else None
        except FunctionUnavailable:
            return None


def _part(name: str, look: Callable[[], str]) -> Part:
    try:
        return Part(name, True, look())
    except (FunctionUnavailable, RequestRefused) as error:
        return Part(name, False, str(error))


def _text(record: PredictionRecord) -> RecentText:
    return extended(record, RecentText, text=_beginning(record.text))


def _rejected(record: RejectedRecord) -> RecentRejected:
    # Its id is `<stream>:<offset>`, with the epoch between where the stream of that name was made anew.
    stream = re.sub(r"(:[0-9]{13})?:[0-9]+$", "", record.id)
    return extended(record, RecentRejected, text=_beginning(record.body), stream=stream)


def _beginning(text: str) -> str:
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}…"
