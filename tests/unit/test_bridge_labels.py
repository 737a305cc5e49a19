"""Labels from the stream: handed to retrain in batches, the bad ones parked, with the token where there is one."""

import json
import re
import threading
from collections.abc import Callable

import pytest

from bridge.handlers import LabelHandler
from bridge.settings import QueueInput, Settings, StreamInput
from contracts.codec import encode
from contracts.retrain import LabelExample, LabelsTaken
from messages.twin import MemoryBroker
from process.functions import Function
from process.retry import Retry
from process.settings import SettingsError
from tests.unit.test_bridge_reviews import NOWHERE, Answer, FunctionServer, ListRecords, message, refusal, serve

__all__ = ["serve"]  # a fixture
TAKEN: tuple[int, dict[str, str], bytes] = (
    202, {}, encode(LabelsTaken(accepted=1, repeated=0, pending=1, ids=["x"], model=None, retrained=False))
)  # fmt: skip


def labels(function: Function, records: ListRecords, broker: MemoryBroker) -> LabelHandler:
    return LabelHandler("labels", function, records, broker, Retry(threading.Event()))


def test_a_label_names_its_source_or_is_from_the_stream() -> None:
    parse = labels(NOWHERE, ListRecords(), MemoryBroker()).parse
    assert parse(message(b'{"text": "a", "label": 1, "id": "x"}')) == LabelExample("a", 1, "stream", "x")
    assert parse(message(b'{"text": "a", "label": "negative", "source": "desk"}')).source == "desk"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"plain", r"is not valid JSON \(.*; send"),
        (b"[]", "Expected `object`, got `array`; send"),
        (b'{"x": ' + b"[" * 100_000, r"nested too deeply\); send"),
        (b'{"x": ' * 100_000, "nested too deeply"),
        (b'{"label": 1}', "required field `text`; send"),
        (b'{"text": "a"}', "required field `label`; send"),
        (b'{"text": "a", "label": 2}', "label must be"),
        (b'{"text": "a", "label": true}', r"got `bool` - at `\$.label`"),
        (b'{"text": "a", "label": 1, "source": ""}', r"length >= 1 - at `\$.source`"),
        (b'{"text": "%s", "label": 1}' % (b"x" * 100_001), "the text has 100001 characters; at most 100000"),
    ],
)
def test_a_bad_label_says_why(body: bytes, reason: str) -> None:
    records = ListRecords()
    assert labels(NOWHERE, records, MemoryBroker())([message(body)]).rejected == {7}
    assert re.search(reason, records.rejected[0].reason)


def test_what_retrain_refuses_is_parked_and_the_rest_handed_over(serve: Callable[[Answer], FunctionServer]) -> None:
    def answer(body: bytes) -> tuple[int, dict[str, str], bytes]:
        return refusal(400, "too odd") if b"odd" in body else TAKEN

    server, broker, records = serve(answer), MemoryBroker(), ListRecords()
    handle = labels(server.function, records, broker)
    for number, text in enumerate(["a", "odd", "b"]):
        broker.put("labels", message(json.dumps({"text": text, "label": number % 2}).encode()))
    handled = handle(broker.streams["labels"])
    handled.conclude()
    assert handled.rejected == {1}
    assert [record.reason for record in records.rejected] == ["predict refused it: too odd"]
    assert [published.to for published in broker.published] == ["rejected"]
    assert broker.appended == {}


def test_a_label_without_a_body_that_could_be_read_is_parked_with_the_problem() -> None:
    records = ListRecords()
    handle = labels(NOWHERE, records, MemoryBroker())
    found = message(b'{"text": "a", "label": 1}', problem="an AMQP sequence, neither text nor bytes")
    assert handle([found]).rejected == {7}
    assert [record.reason for record in records.rejected] == ["an AMQP sequence, neither text nor bytes"]


def test_labels_wait_while_retrain_has_no_room_and_carry_the_token(
    serve: Callable[[Answer], FunctionServer],
) -> None:
    answers = iter(
        [(429, {"Retry-After": "0"}, b"full"), (401, {}, b"no"), (200, {}, b"<html>a captive portal</html>")]
    )
    server = serve(lambda _: next(answers, TAKEN))
    function = server.function_with("secret-of-the-test")
    handle = labels(function, ListRecords(), MemoryBroker())
    assert handle([message(b'{"text": "a", "label": 1}')]).rejected == frozenset()
    assert len(server.bodies) == 4
    assert {headers["Authorization"] for headers in server.headers} == {"Bearer secret-of-the-test"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BRIDGE_SOURCE", "reviews"),
        ("BRIDGE_SOURCE", "topic:x"),
        ("BRIDGE_SOURCE", "stream:kritiken-für-alle"),
        ("BRIDGE_LABELS", "für-alle"),
        ("STREAM_PARTITIONS", "201"),
        ("RABBITMQ_STREAM_URL", "amqp://127.0.0.1:5672"),
        ("BRIDGE_BATCH_MESSAGES", "none"),
        ("BRIDGE_IN_FLIGHT", "0"),
        ("BRIDGE_BATCH_WAIT_SECONDS", "-1"),
    ],
)
def test_a_setting_that_can_not_be_used_is_named(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=name):
        Settings()


def test_the_address_of_the_stream_protocol_follows_from_that_of_amqp(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RABBITMQ_STREAM_URL", raising=False)
    monkeypatch.setenv("RABBITMQ_URL", "amqp://u:p@broker:5672/v")
    assert Settings().rabbitmq_stream_url == "rabbitmq-stream://u:p@broker:5552/v"
    monkeypatch.setenv("RABBITMQ_STREAM_URL", "rabbitmq-stream://u:p@other:1234")
    assert Settings().rabbitmq_stream_url == "rabbitmq-stream://u:p@other:1234"


def test_labels_are_read_unless_said_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BRIDGE_LABELS", raising=False)
    assert Settings().labels == "labels"
    monkeypatch.setenv("BRIDGE_LABELS", "")
    assert Settings().labels == ""


@pytest.mark.parametrize(
    ("value", "expected"),
    [("", StreamInput("reviews")), ("stream:a:b", StreamInput("a:b")), ("queue:reviews", QueueInput("reviews"))],
)
def test_reviews_come_from_a_stream_or_a_queue(value: str, expected: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRIDGE_SOURCE", value)
    assert Settings().reviews == expected
