"""Messages come with no header but `traceparent`, whatever is in these, and with all of their other properties."""

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pika import BasicProperties
from pika.frame import Header, decode_frame

from messages.headers import with_trace_alone

TRACEPARENT = f"00-{'a' * 32}-{'b' * 16}-01"
SHORT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60) | st.binary(max_size=255)
PROPERTIES = st.fixed_dictionaries(
    {},
    optional={
        "content_type": SHORT,
        "content_encoding": SHORT,
        "delivery_mode": st.sampled_from((1, 2)),
        "priority": st.integers(0, 255),
        "correlation_id": SHORT,
        "reply_to": SHORT,
        "expiration": SHORT,
        "message_id": SHORT,
        "timestamp": st.integers(0, 2**64 - 1),
        "type": SHORT,
        "user_id": SHORT,
        "app_id": SHORT,
        "cluster_id": SHORT,
    },
)


def with_table(properties: dict[str, Any], table: bytes) -> bytes:
    """The frame of a content header whose headers are these bytes."""
    frame = Header(7, 123_456, BasicProperties(headers={}, **properties)).marshal()
    # They stand behind the first two properties.
    first_two = {name: value for name, value in properties.items() if name.startswith("content_")}
    at = len(Header(7, 0, BasicProperties(**first_two)).marshal()) - 1
    content = frame[7:at] + struct.pack(">I", len(table)) + table + frame[at + 4 : -1]
    return struct.pack(">BHI", 2, 7, len(content)) + content + b"\xce"


def fields(frame: bytes) -> dict[str, Any]:
    size, found = decode_frame(frame)
    assert isinstance(found, Header)
    assert (size, found.channel_number, found.body_size) == (len(frame), 7, 123_456)
    return vars(found.properties)


@given(properties=PROPERTIES, table=st.binary(max_size=300))
def test_other_headers_are_left_out_and_all_else_stays(properties: dict[str, Any], table: bytes) -> None:
    plain = Header(7, 123_456, BasicProperties(**properties)).marshal()
    assert with_trace_alone(plain) == plain
    found = with_trace_alone(with_table(properties, table))
    assert found == plain
    assert fields(found) == fields(plain)


@given(PROPERTIES, st.binary(max_size=100), st.binary(max_size=100))
def test_a_traceparent_stays_whatever_stands_beside_it(
    properties: dict[str, Any], before: bytes, behind: bytes
) -> None:
    kept = Header(7, 123_456, BasicProperties(**properties, headers={"traceparent": TRACEPARENT})).marshal()
    header = b"\x0btraceparentS\0\0\x007" + TRACEPARENT.encode()
    found = with_trace_alone(with_table(properties, before + header + behind))
    assert found == kept
    assert fields(found)["headers"] == {"traceparent": TRACEPARENT}


@pytest.mark.parametrize("value", ["", TRACEPARENT[:-1], TRACEPARENT.upper(), TRACEPARENT.replace("b", "0"), "x" * 55])
def test_a_traceparent_that_is_none_is_left_out(value: str) -> None:
    frame = Header(7, 123_456, BasicProperties(headers={"traceparent": value})).marshal()
    assert fields(with_trace_alone(frame))["headers"] is None
