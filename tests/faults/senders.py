"""Senders who do not do as they should: slow bodies, ids that are no text, replies to where none belong."""

import itertools
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import urllib3

from deploy.ports import LOOPBACK
from tests.cluster.traffic import Review
from tests.faults.history import SOURCE, Sender
from tests.faults.stage import Stage, port_of

SLOW_CONNECTIONS = 20
ROUNDS = 5
NESTED = "[" * 300 + "]" * 300
HTTP_BODIES = (
    b"",
    b"\xff\xfe\xfd",
    b"{" * 100_000,
    b'{"text": ' + b"[" * 100_000,
    b'{"texts": [' + b"1," * 200_000 + b"1]}",
    b'{"examples": [' + b"[]," * 100_000 + b"[]]}",
)


@contextmanager
def others_are_answered(stage: Stage) -> Iterator[None]:
    """See that those who do as they should are answered while the block runs."""
    before = len(stage.history.texts)
    yield
    if len(stage.history.texts) == before:
        stage.unfair.append("nobody else was answered meanwhile")


@contextmanager
def slow_senders(stage: Stage) -> Iterator[None]:
    """Bodies that do not come, at the gateway and at the functions themselves."""
    urls = [stage.gateway_url, *(part.service.variables["URL"] for part in (stage.predict, stage.retrain))]
    with ExitStack() as stack:
        for url in urls:
            stack.enter_context(slow_bodies(port_of(url)))
        with others_are_answered(stage):
            yield


@contextmanager
def slow_bodies(port: int) -> Iterator[None]:
    """Requests that announce 100 bytes and send one."""
    with ExitStack() as stack:
        for _ in range(SLOW_CONNECTIONS):
            connection = stack.enter_context(socket.create_connection((LOOPBACK, port), timeout=5))
            path = b"/function/predict"
            connection.sendall(b"POST " + path + b" HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
        yield


@contextmanager
def odd_requests(stage: Stage) -> Iterator[None]:
    """Bodies that are not what they should be, to predict and to retrain, one after the other."""
    end = threading.Event()

    def ask() -> None:
        pool = urllib3.PoolManager(retries=False, timeout=5)
        for number in itertools.count():
            if end.is_set():
                return
            # May be taken, as a text and as a label.
            text = f"a great odd request {number}"
            stage.history.asked.add(text)
            nested = f'{{"text": "{text}", "label": 1, "x": {NESTED}}}'.encode()
            for body in (*HTTP_BODIES, nested):
                for name in ("predict", "retrain") if body else ("predict",):  # an empty one is what a schedule sends
                    with suppress(urllib3.exceptions.HTTPError):
                        pool.request("POST", f"{stage.gateway_url}/function/{name}", body=body)
                end.wait(0.05)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        with others_are_answered(stage):
            yield
    finally:
        end.set()
        thread.join()


@contextmanager
def odd_messages(stage: Stage) -> Iterator[None]:
    """Ids that are no text, headers that mean nothing, bodies that are nested or large: all of what may be sent."""
    odd = Sender(stage.environment["RABBITMQ_URL"], stage.replies, stage.history)
    for number in range(ROUNDS):
        text = f"a great odd one {number}"
        odd.publish(stage.name, text, message_id=b"\xff\xfe")
        odd.publish(stage.name, text, message_id="i" * 255)
        odd.publish(stage.name, text, headers={"x": {"y": [{}, [], None, 2**40]}}, app_id=b"\xff")
        odd.publish(stage.name, f'{{"text": "{text}", "x": {NESTED}}}', either=True)
        odd.publish(stage.name, json.dumps({"text": text, "id": "i" * 1_000}), either=True)
        odd.publish(stage.name, "é" * 100_000)
        odd.publish(stage.name, b'{"text": ' + b"[" * 100_000, bad=True)
        label = {"text": f"a great odd label {number}", "label": 1, "source": SOURCE}
        odd.publish(stage.labels, json.dumps(label)[:-1] + f', "x": {NESTED}}}', either=True)
        odd.publish(stage.labels, json.dumps({**label, "label": [1]}), bad=True)
    odd.publish(stage.name, b"x" * 9_000_000, bad=True)
    odd.close()
    stage.traffic.write([_entry(stage, number) for number in range(ROUNDS)])
    yield


@contextmanager
def odd_replies(stage: Stage) -> Iterator[None]:
    """Replies that are to go to a queue that is full or gone, to the system's own streams, or to no name at all."""
    odd = Sender(stage.environment["RABBITMQ_URL"], stage.replies, stage.history)
    full = f"{stage.replies}-full"
    stage.also_forget.append(full)
    odd.channel.queue_declare(full, durable=True, arguments={"x-max-length": 1, "x-overflow": "reject-publish"})
    for number in range(ROUNDS):
        for to in (full, full, f"{stage.replies}-gone", "predictions", "rejected", stage.name, "n" * 255, ""):
            odd.publish(stage.name, f"a great odd one {number}", reply_to=to)
    odd.close()
    yield


def _entry(stage: Stage, number: int) -> Review:
    """Return a message whose correlation id is no UTF-8, as an entry of AMQP 1.0 that is known byte by byte."""
    key = f"{stage.name}/odd entry \xff {number}"
    body = b"a great entry"
    properties = b"\x40" * 4 + _string(stage.replies.encode()) + _string(key.encode("latin-1"))
    section = b"\x00Ss\xc0" + bytes([len(properties) + 1, 6]) + properties
    entry = section + b"\x00Su\xa0" + bytes([len(body)]) + body
    # Who can't read a byte of it puts U+FFFD in its place.
    return Review(key.replace("\xff", "\ufffd"), stage.name, body, "text/plain", stage.replies, entry=entry)


def _string(value: bytes) -> bytes:
    return b"\xa1" + bytes([len(value)]) + value
