"""Entries are read and written as rstream does, and whatever is in one gives a message or Unreadable, soon."""

import time
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rstream import AMQPMessage, Header, Properties, amqp_decoder

from messages.amqp10 import MAX_PROPERTY_BYTES, Entry, Unreadable, decode, encode, short

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)
BODIES = st.binary(min_size=1, max_size=600)
IDS = st.none() | TEXTS | st.binary(max_size=300) | st.integers(0, 2**64 - 1) | st.uuids()
SIMPLE = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | TEXTS | st.binary() | st.uuids()
NESTED = st.recursive(SIMPLE, lambda inner: st.lists(inner) | st.dictionaries(st.text("ab"), inner), max_leaves=10)
PROPERTIES = st.builds(
    Properties,
    message_id=IDS,
    user_id=st.none() | st.binary(max_size=300),
    to=st.none() | TEXTS,
    subject=st.none() | TEXTS,
    reply_to=st.none() | TEXTS,
    correlation_id=IDS,
    content_type=st.none() | TEXTS,
    content_encoding=st.none() | st.just("gzip"),
    absolute_expiry_time=st.none(),
    creation_time=st.none() | st.integers(0, 2**50),
    group_id=st.none(),
    group_sequence=st.none() | st.integers(0, 2**32 - 1),
    reply_to_group_id=st.none() | TEXTS,
)
HEADERS = st.builds(
    Header,
    durable=st.none() | st.booleans(),
    priority=st.none() | st.integers(0, 255),
    ttl=st.none() | st.integers(0, 2**32 - 1),
    first_acquirer=st.none() | st.booleans(),
    delivery_count=st.none() | st.integers(0, 2**32 - 1),
)
MESSAGES = st.fixed_dictionaries(
    {"body": BODIES},
    optional={
        "properties": PROPERTIES,
        "header": HEADERS,
        "application_properties": st.dictionaries(TEXTS, SIMPLE, max_size=4),
        "message_annotations": st.dictionaries(TEXTS, NESTED, max_size=4),
        "delivery_annotations": st.dictionaries(TEXTS, NESTED, max_size=4),
        "footer": st.dictionaries(TEXTS, NESTED, max_size=4),
    },
)
# As RabbitMQ 3.10 and 4.0 stored a message of AMQP 0.9.1 with and without properties.
STORED = {
    b"\x00Sr\xc1#\x04\xa3\rx-routing-key\xa1\x03abc\xa3\nx-exchange\xa1\x00\x00Su\xa0\x04body": Entry(b"body"),
    b"\x00Sr\xc1<\x06\xa3\rx-routing-key\xa1\x03abc\xa3\nx-exchange\xa1\x00\xa3\x15x-basic-delivery-modeP\x02"
    b"\x00Ss\xc0%\r\xa1\x01m@@@\xa1\x01r\xa1\x01c\xa3\x10application/json@@@@@@\x00Su\xa0\x04body": Entry(
        b"body", "m", "c", "r", "application/json", persistent=True
    ),
    b"\x00Sp\xc0\x06\x05B@@AC\x00Sr\xc1#\x04\xa3\nx-exchange\xa1\x00\xa3\rx-routing-key\xa1\x03abc"
    b"\x00Su\xa0\x04body": Entry(b"body"),
    b"\x00Sp\xc0\x06\x05A@@AC\x00Sr\xc1#\x04\xa3\nx-exchange\xa1\x00\xa3\rx-routing-key\xa1\x03abc"
    b"\x00Ss\xc0%\r\xa1\x01m@@@\xa1\x01r\xa1\x01c\xa3\x10application/json@@@@@@\x00Su\xa0\x04body": Entry(
        b"body", "m", "c", "r", "application/json", persistent=True
    ),
}


TRACEPARENT = f"00-{'a' * 32}-{'b' * 16}-01"


def as_text(value: str | bytes | int | uuid.UUID | None) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return value.urn if isinstance(value, uuid.UUID) else str(value)


@given(MESSAGES)
def test_what_rstream_writes_is_read_alike(fields: dict[str, Any]) -> None:
    properties, header = fields.get("properties", Properties()), fields.get("header", Header())
    assert decode(bytes(AMQPMessage(**fields))) == Entry(
        fields["body"],
        as_text(properties.message_id),
        as_text(properties.correlation_id),
        as_text(properties.reply_to),
        as_text(properties.content_type),
        bool(header.durable),
    )


@given(BODIES | st.just(b""), TEXTS | st.none(), TEXTS, st.none() | st.just(TRACEPARENT))
def test_rstream_reads_what_is_written(
    body: bytes, correlation_id: str | None, content_type: str, traceparent: str | None
) -> None:
    entry = encode(body, correlation_id, content_type, traceparent)
    found = amqp_decoder(entry)
    assert found.body == body
    assert as_text(found.properties.correlation_id) == correlation_id
    assert as_text(found.properties.content_type) == content_type
    application_properties = found.application_properties or {}
    assert application_properties.get("traceparent", application_properties.get(b"traceparent")) == (
        traceparent and traceparent.encode()
    )
    assert decode(entry) == Entry(body, None, correlation_id, None, content_type, traceparent=traceparent)


@pytest.mark.parametrize("size", [255, 256, 70_000])
def test_sizes_of_one_and_of_four_bytes_are_written_and_read(size: int) -> None:
    entry = encode(b"b" * size, "i" * size)
    assert amqp_decoder(entry).properties.correlation_id == b"i" * size
    assert decode(entry) == Entry(b"b" * size, None, "i" * size, None, "application/json")


@pytest.mark.parametrize("entry", STORED, ids=["3.10", "3.10 with properties", "4.0", "4.0 with properties"])
def test_what_rabbitmq_stores_is_read(entry: bytes) -> None:
    assert decode(entry) == STORED[entry]


@given(TEXTS.filter(bool), PROPERTIES, st.dictionaries(TEXTS, SIMPLE, max_size=2))
def test_the_text_is_told_from_the_damage_that_rstream_does_to_it(
    text: str, properties: Properties, footer: dict[str, Any]
) -> None:
    entry = decode(bytes(AMQPMessage(body=text, properties=properties, footer=footer)))
    assert entry.body == text.encode()
    assert entry.message_id == as_text(properties.message_id)


@pytest.mark.parametrize("body", [7, 1.5, [b"a"], {"a": "b"}])
def test_what_else_rstream_damages_is_unreadable(body: object) -> None:
    with pytest.raises(Unreadable, match="damaged"):
        decode(bytes(AMQPMessage(body=body)))


@pytest.mark.parametrize("raw", [b"", b"{}", b"\x00", b"\x00S", b"\x00Sy\xa0\x01a", b"\x00\x80\0\0\0\0\0\0\x01\x75"])
def test_bytes_without_an_encoding_are_the_body(raw: bytes) -> None:
    assert decode(raw) == Entry(raw)


@pytest.mark.parametrize(
    ("entry", "body"),
    [
        (b"\x00Su\xa0\x01a\x00Su\xb0\0\0\0\x02bc\x00Su\xa0\x00", b"abc"),
        (b"\x00\x80\0\0\0\0\0\0\0\x75\xa0\x01a", b"a"),
        (b"\x00Sw\xa1\x03\xe2\x82\xac", "€".encode()),
        (b"\x00Sw\xb1\0\0\0\x01a", b"a"),
        (b"\x00Sw\xa0\x01\xff", b"\xff"),
        (b"\x00Sw\xb0\0\0\0\x01a", b"a"),
        (b"\x00Sw@", b""),
        (b"\x00Ss\x45", b""),
        (b"\x00Sp\x45", b""),
    ],
)
def test_every_kind_of_body_is_read(entry: bytes, body: bytes) -> None:
    assert decode(entry) == Entry(body)


@pytest.mark.parametrize(
    ("value", "kind"),
    [(7, "int"), (True, "boolean"), ({"a": "b"}, "map"), (["a"], "list"), (1.5, "double"), (uuid.uuid4(), "uuid")],
)
def test_a_value_that_is_no_text_is_named(value: object, kind: str) -> None:
    with pytest.raises(Unreadable, match=f"^an AMQP value of type {kind}, neither text nor bytes$"):
        decode(bytes(AMQPMessage(value=value)))


def test_a_sequence_is_named() -> None:
    with pytest.raises(Unreadable, match="sequence"):
        decode(bytes(AMQPMessage(sequence=[["a"]])))


@pytest.mark.parametrize(
    ("encoded", "text"), [(b"\x44", "0"), (b"\x53\x07", "7"), (b"\x80" + b"\xff" * 8, str(2**64 - 1))]
)
def test_every_encoding_of_a_number_as_id_is_read(encoded: bytes, text: str) -> None:
    entry = b"\x00Ss\xc0%c\x01%b" % (len(encoded) + 1, encoded)
    assert decode(entry) == Entry(b"", text)


@pytest.mark.parametrize(
    "entry",
    [
        pytest.param(b"\x00Su\xa0\x05body", id="data that end too early"),
        pytest.param(b"\x00Su\xb0\xff\xff\xff\xffbody", id="data of four gigabytes"),
        pytest.param(b"\x00Su\xa0\x03body", id="data that end too late"),
        pytest.param(b"\x00Su\xa1\x04body", id="a string as data"),
        pytest.param(b"\x00Su", id="a section that is empty"),
        pytest.param(b"\x00Su\x00Su\xa0\x01a", id="a described type as data"),
        pytest.param(b"\x00Su\xa0\x01a\x00Sw\xa1\x01a", id="data and a value"),
        pytest.param(b"\x00Sw\xa1\x01a\x00Su\xa0\x01a", id="a value and data"),
        pytest.param(b"\x00Sw\xa1\x01a\x00Sw\xa1\x01a", id="two values"),
        pytest.param(b"\x00Ss\xc0\x00\x00Su\xa0\x01a", id="a list without a count"),
        pytest.param(b"\x00Ss\xc0\x02\x05@\x00Su\xa0\x01a", id="a count that is too large"),
        pytest.param(b"\x00Ss\xc0\x03\x01@@", id="a count that is too small"),
        pytest.param(b"\x00Ss\xc0\x04\x01\xa1\x05a\x00Su\xa0\x05abcde", id="a property that is longer than its list"),
        pytest.param(b"\x00Ss\xd0\0\0\0\x05\xff\xff\xff\xff@", id="a count of four thousand millions"),
        pytest.param(b"\x00Ss\xc1\x01\x00", id="a map as properties"),
        pytest.param(b"\x00Ss\xc0\x04\x01\xc0\x01\x00", id="a list as id"),
        pytest.param(b"\x00Ss\xc0\x03\x01\x98\x00", id="half a UUID"),
        pytest.param(b"\x00Sp\xc0\x02\x01\x56\x00Su\xa0\x01a", id="half a boolean"),
        pytest.param(b"\x00Sr\xd1\xff\xff\xff\xff\0\0\0\x02", id="annotations of four gigabytes"),
        pytest.param(b"\x00Sr\x10\x00Su\xa0\x01a", id="a type that there is not"),
    ],
)
def test_damage_is_unreadable(entry: bytes) -> None:
    with pytest.raises(Unreadable, match="damaged"):
        decode(entry)


@given(st.binary(max_size=200), st.sampled_from(["", "00537", "00530a", "005373c0", "005375", "005377", "005372d1"]))
def test_any_bytes_are_a_message_or_unreadable(content: bytes, beginning: str) -> None:
    entry_or_unreadable(bytes.fromhex(beginning + "0" * (len(beginning) % 2)) + content)


@given(MESSAGES, st.data())
def test_a_message_that_is_cut_short_is_another_or_unreadable(fields: dict[str, Any], data: st.DataObject) -> None:
    whole = bytes(AMQPMessage(**fields))
    entry_or_unreadable(whole[: data.draw(st.integers(0, len(whole)))])


@given(MESSAGES | st.fixed_dictionaries({"body": TEXTS.filter(bool)}), st.data())
def test_a_message_with_flipped_bytes_is_another_or_unreadable(fields: dict[str, Any], data: st.DataObject) -> None:
    entry = bytearray(bytes(AMQPMessage(**fields)))
    for _ in range(data.draw(st.integers(1, 3))):
        entry[data.draw(st.integers(0, len(entry) - 1))] = data.draw(st.integers(0, 255))
    entry_or_unreadable(bytes(entry))


def texts_in_texts(count: int) -> bytes:
    """Data that all say, as rstream does, to be a text that reaches to the end."""
    pieces: list[bytes] = []
    size = 0
    for _ in range(count):
        items = b"\xa1\x04TYPE\xa1\x06BINARY\xa1\x05VALUE\xb1" + size.to_bytes(4, "big")
        head = b"\xd1" + (4 + len(items) + size).to_bytes(4, "big") + b"\0\0\0\x04" + items
        pieces.append(b"\x00Su\xa0%c%b" % (len(head), head))
        size += len(pieces[-1])
    return b"".join(reversed(pieces))


@pytest.mark.parametrize(
    "entry",
    [
        pytest.param(texts_in_texts(20_000), id="texts in texts"),
        pytest.param(b"\x00Sr" + b"\xc0\xff\x01" * 500_000, id="nested lists"),
        pytest.param(b"\x00Sw" + b"\xd0\x7f\xff\xff\xff\0\0\0\x01" * 200_000, id="nested lists as value"),
        pytest.param(b"\x00Sw" + b"\x00" * 1_000_000, id="nested descriptions"),
        pytest.param(b"\x00Su\xa0\x00" * 300_000, id="many data sections"),
        pytest.param(b"\x00Ss\xc0\x03\x01\xa1\x00" * 200_000, id="many properties"),
        pytest.param(bytes(AMQPMessage(body="a")) * 50_000, id="many texts"),
        pytest.param(b"\x00Ss\xd0\x00\x0f\x42\x44\x00\x0f\x42\x40" + b"@" * 1_000_000, id="a million properties"),
    ],
)
def test_a_large_entry_takes_a_short_time(entry: bytes) -> None:
    started = time.process_time()
    entry_or_unreadable(entry)
    assert time.process_time() - started < 2


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=400))
def test_a_text_is_cut_where_a_property_ends_and_a_character_begins(text: str) -> None:
    cut = short(text)
    assert text.startswith(cut)
    assert len(cut.encode()) <= MAX_PROPERTY_BYTES
    assert cut == text or len(text[: len(cut) + 1].encode()) > MAX_PROPERTY_BYTES


def entry_or_unreadable(content: bytes) -> Entry | None:
    try:
        return decode(content)
    except Unreadable:
        return None
