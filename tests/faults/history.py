"""What senders were told: messages that the broker confirmed, texts and labels that a function accepted."""

import itertools
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import urllib3
from msgspec import Struct

from contracts.codec import Malformed, Reader, encode
from contracts.predict import PredictRequest, Scored
from contracts.retrain import LabelExample, read_labels_taken
from tests.cluster.traffic import Review

T = TypeVar("T")
read_scored = Reader(Scored)
REQUEST_TIMEOUT_SECONDS = 15
SOURCE = "faults"
"""Of labels."""


@dataclass
class History:
    """What was sent, and what of it was confirmed.

    messages: by id, those that the broker has taken. texts: those that predict has answered, with its answer. labels:
    the texts of those that retrain or the broker has accepted. asked: all texts and labels that were sent, answered or
    not. refused: answers that were no success, by status.
    """

    messages: dict[str, Review] = field(default_factory=dict)
    texts: dict[str, Scored] = field(default_factory=dict)
    labels: set[str] = field(default_factory=set)
    asked: set[str] = field(default_factory=set)
    refused: dict[int, int] = field(default_factory=dict)


class Askers:
    """Ask predict and retrain over HTTP, one after the other each, and write down what they answer."""

    def __init__(self, gateway_url: str, history: History, pause_seconds: float) -> None:
        self._url = gateway_url
        self._history = history
        self._pause_seconds = pause_seconds
        self._pool = urllib3.PoolManager(
            headers={"Content-Type": "application/json"}, retries=False, timeout=REQUEST_TIMEOUT_SECONDS
        )
        self._lock = threading.Lock()
        self._end = threading.Event()
        self._numbers = itertools.count()

        self._threads = [threading.Thread(target=self._ask, args=(one,)) for one in (self.ask_text, self.ask_label)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Returns when nothing is asked any more."""
        self._end.set()
        for thread in self._threads:
            thread.join()

    def ask_text(self) -> bool:
        """Ask predict, and return whether it has answered."""
        text = f"a great love of dull things, over HTTP {next(self._numbers)}"
        answer = self._post("predict", text, PredictRequest(text), read_scored)
        if answer:
            self._history.texts[text] = answer
        return answer is not None

    def ask_label(self) -> bool:
        """Hand a label to retrain, and return whether it was accepted."""
        number = next(self._numbers)
        text = f"a {'great' if number % 2 else 'dull'} film, of label {number}"
        answer = self._post("retrain", text, LabelExample(text, number % 2, SOURCE), read_labels_taken)
        if answer:
            self._history.labels.add(text)
        return answer is not None

    def _ask(self, one: Callable[[], bool]) -> None:
        while not self._end.wait(self._pause_seconds):
            one()

    def _post(self, function: str, text: str, body: Struct, read: Reader[T]) -> T | None:
        self._history.asked.add(text)
        status = 0
        try:
            response = self._pool.request("POST", f"{self._url}/function/{function}", body=encode(body))
            status = response.status
            if status in (200, 202):
                return read(response.data)
        except (urllib3.exceptions.HTTPError, Malformed):
            pass
        with self._lock:
            self._history.refused[status] = self._history.refused.get(status, 0) + 1
        return None
