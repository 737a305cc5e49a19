"""What senders were told: messages that the broker confirmed, texts and labels that a function accepted."""

import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pika
import urllib3
from msgspec import Struct

from contracts.codec import Malformed, Reader, encode
from contracts.predict import PredictRequest, Scored
from contracts.retrain import LabelExample, read_labels_taken
from tests.cluster.traffic import Review
from tests.system import Client

T = TypeVar("T")
read_scored = Reader(Scored)
REQUEST_TIMEOUT_SECONDS = 15
PAUSE_SECONDS = 0.02
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

    def __init__(self, predict_url: str, retrain_urls: Sequence[str], history: History) -> None:
        """Ask predict, and one retrain after the other; `history` is what is written."""
        self._predict_url = predict_url
        self._retrain_urls = itertools.cycle(retrain_urls)
        self._history = history
        self._locks = threading.Lock(), threading.Lock()
        self._pool = urllib3.PoolManager(
            headers={"Content-Type": "application/json"}, retries=False, timeout=REQUEST_TIMEOUT_SECONDS
        )
        self._counting = threading.Lock()
        self._end = threading.Event()
        self._numbers = itertools.count()

        self._threads = [
            threading.Thread(target=self._ask, args=pair)
            for pair in zip((self.ask_text, self.ask_label), self._locks, strict=True)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Returns when nothing is asked any more."""
        self._end.set()
        for thread in self._threads:
            thread.join()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Have nothing asked, and nothing unanswered, while the block runs."""
        with self._locks[0], self._locks[1]:
            yield

    def ask_text(self) -> bool:
        """Ask predict, and return whether it has answered."""
        text = f"a great love of dull things, over HTTP {next(self._numbers)}"
        answer = self._post(self._predict_url, text, PredictRequest(text), read_scored)
        if answer:
            self._history.texts[text] = answer
        return answer is not None

    def ask_label(self) -> bool:
        """Hand a label to retrain, and return whether it was accepted."""
        number = next(self._numbers)
        text = f"a {'great' if number % 2 else 'dull'} film, of label {number}"
        answer = self._post(next(self._retrain_urls), text, LabelExample(text, number % 2, SOURCE), read_labels_taken)
        if answer:
            self._history.labels.add(text)
        return answer is not None

    def _ask(self, one: Callable[[], bool], lock: threading.Lock) -> None:
        while not self._end.wait(PAUSE_SECONDS):
            with lock:
                one()

    def _post(self, url: str, text: str, body: Struct, read: Reader[T]) -> T | None:
        self._history.asked.add(text)
        status = 0
        try:
            response = self._pool.request("POST", url, body=encode(body), headers={"Content-Type": "application/json"})
            status = response.status
            if status in (200, 202):
                return read(response.data)
        except (urllib3.exceptions.HTTPError, Malformed):
            pass
        with self._counting:
            self._history.refused[status] = self._history.refused.get(status, 0) + 1
        return None


class Sender:
    """Publishes to streams by AMQP 0.9.1, one message after the other, and writes down what the broker confirmed."""

    def __init__(self, url: str, reply_to: str, history: History) -> None:
        self._client = Client(url)
        self.channel = self._client.channel
        self.channel.confirm_delivery()
        self._reply_to = reply_to
        self._history = history
        self._numbers = itertools.count()

    def publish(self, stream: str, body: str | bytes, *, bad: bool = False, either: bool = False, **more: Any) -> str:
        """Publish a message with these properties, and return its correlation id; bad, either: as in Review."""
        key = f"{stream}/sent {next(self._numbers)}"
        known = {"correlation_id": key, "reply_to": self._reply_to, "delivery_mode": 2, **more}
        content = body.encode() if isinstance(body, str) else body
        self.channel.basic_publish("", stream, content, pika.BasicProperties(**known))
        self._history.messages[key] = Review(key, stream, content, "", known["reply_to"], bad=bad, either=either)
        return key

    def close(self) -> None:
        self._client.close()
