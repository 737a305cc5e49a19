"""Senders who do not do as they should: slow bodies, ids that are no text, replies to where none belong."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import pika
import urllib3

from deploy.ports import LOOPBACK
from tests.cluster.traffic import Review
from tests.faults.stage import Stage, port_of
from tests.system import Client

SLOW_CONNECTIONS = 20
ROUNDS = 5
NESTED = "[" * 300 + "]" * 300
HTTP_BODIES = (
    b"",
    b"\xff\xfe\xfd",
    b"{" * 100_000,
    b'{"text": ' + b"[" * 100_000,
    b'{"text": "a", "label": 1, "x": ' + NESTED.encode() + b"}",
    b'{"texts": [' + b"1," * 200_000 + b"1]}",
    b'{"examples": [' + b"[]," * 100_000 + b"[]]}",
)


@contextmanager
def bad_senders(stage: Stage) -> Iterator[None]:
    """All kinds of them at once; meanwhile those who do as they should are answered."""
    with ExitStack() as stack:
        before = len(stage.history.texts)
        for part in (stage.gateway, stage.predict, stage.retrain):
            stack.enter_context(slow_bodies(port_of(url_of(stage, part.service.variables))))
        publish_odd_messages(stage)
        stack.enter_context(odd_requests(stage))
        yield
        if len(stage.history.texts) == before:
            stage.unfair.append("nobody else was answered meanwhile")


def url_of(stage: Stage, variables: object) -> str:
    assert isinstance(variables, dict)
    return str(variables.get("URL") or stage.gateway_url)


@contextmanager
def slow_bodies(port: int) -> Iterator[None]:
    """Requests that announce 100 bytes and send one."""
    with ExitStack() as stack:
        for _ in range(SLOW_CONNECTIONS):
            connection = stack.enter_context(socket.create_connection((LOOPBACK, port), timeout=5))
            path = b"/function/predict"
            connection.sendall(b"POST " + path + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        yield


@contextmanager
def odd_requests(stage: Stage) -> Iterator[None]:
    """Bodies that are not what they should be, to predict and to retrain, one after the other."""
    end = threading.Event()

    def ask() -> None:
        pool = urllib3.PoolManager(retries=False, timeout=5)
        while not end.is_set():
            for body in HTTP_BODIES:
                for name in ("predict", "retrain"):
                    if name == "retrain" and not body:
                        continue  # this is what a schedule sends
                    with suppress(urllib3.exceptions.HTTPError):
                        pool.request("POST", f"{stage.gateway_url}/function/{name}", body=body)
                end.wait(0.05)

    # Labels and texts among them may be taken.
    stage.history.asked |= {"a"}
    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join()


def publish_odd_messages(stage: Stage) -> None:
    """Messages with odd properties by AMQP 0.9.1, and odd entries by the stream protocol."""
    client = Client(stage.environment["RABBITMQ_URL"])
    client.channel.confirm_delivery()
    full, gone = f"{stage.replies}-full", f"{stage.replies}-gone"
    arguments = {"x-max-length": 1, "x-overflow": "reject-publish"}
    client.channel.queue_declare(full, durable=True, arguments=arguments)
    stage.also_forget.append(full)
    numbers = iter(range(1_000_000))

    def publish(stream: str, body: bytes, *, bad: bool = False, either: bool = False, **properties: object) -> None:
        key = f"{stream}/odd {next(numbers)}"
        known = {"correlation_id": key, "reply_to": stage.replies, "delivery_mode": 2, **properties}
        client.channel.basic_publish("", stream, body, pika.BasicProperties(**known))  # type: ignore[arg-type]
        reply_to = str(known["reply_to"])
        stage.history.messages[key] = Review(key, stream, body, "", reply_to, bad=bad, either=either)

    for number in range(ROUNDS):
        name, text = stage.name, f"a great odd one {number}"
        publish(name, text.encode(), message_id=b"\xff\xfe")
        publish(name, text.encode(), message_id="i" * 255)
        publish(name, text.encode(), headers={"x": {"y": [{}, [], None, 2**40]}}, app_id=b"\xff")
        for to in (full, full, gone, "predictions", "rejected", name, "n" * 255, ""):
            publish(name, text.encode(), reply_to=to)
        publish(name, f'{{"text": "{text}", "x": {NESTED}}}'.encode(), either=True)
        publish(name, ("é" * 100_000).encode())
        publish(name, b'{"text": ' + b"[" * 100_000, bad=True)
        publish(name, json.dumps({"text": text, "id": "i" * 1_000}).encode(), either=True)
        label = {"text": f"a great odd label {number}", "label": 1}
        publish(stage.labels, (json.dumps(label)[:-1] + f', "x": {NESTED}}}').encode(), either=True)
        publish(stage.labels, json.dumps({**label, "label": [1]}).encode(), bad=True)
    publish(stage.name, b"x" * 9_000_000, bad=True)
    client.close()
    stage.traffic.write([_entry(stage, number) for number in range(ROUNDS)])


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
