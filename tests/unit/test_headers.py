"""Messages come without headers, whatever is in these, and with all of their other properties."""

import struct
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from pika import BasicProperties
from pika.frame import Header, decode_frame

from messages.headers import without_headers

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
def test_headers_are_left_out_and_all_else_stays(properties: dict[str, Any], table: bytes) -> None:
    plain = Header(7, 123_456, BasicProperties(**properties)).marshal()
    assert without_headers(plain) == plain
    found = without_headers(with_table(properties, table))
    assert found == plain
    assert fields(found) == fields(plain)
