"""Messages in the encoding of AMQP 1.0, as the streams of RabbitMQ hold them: an entry's bytes to a message, and back.

Our own, since rstream's raises anything at damaged bytes, and is slow: where it takes 4 to 11 µs to read a message and
13 to write one, this takes 0.7 to 3 µs and 0.6, by `python -m benchmarks.messages`.
The encoding: AMQP 1.0 of OASIS, part 1 for types, part 3.2 for the sections of a message.
"""

import re
from functools import lru_cache
from typing import NamedTuple
from uuid import UUID

from process.tracing import FORM, HEADER

MAX_PROPERTY_BYTES = 255

_CODES = range(0x70, 0x79)
_HEADER, _MESSAGE_ANNOTATIONS, _PROPERTIES, _APPLICATION_PROPERTIES = 0x70, 0x72, 0x73, 0x74
_DATA, _SEQUENCE, _VALUE = 0x75, 0x76, 0x77
# What a section begins with: that its type is described, by an unsigned long of one byte, or of eight.
_SECTIONS = {b"\x00\x53%c" % code: code for code in _CODES}
_LONG_SECTIONS = {b"\x00\x80\0\0\0\0\0\0\0%c" % code: code for code in _CODES}

_NULL, _UUID = 0x40, 0x98
_LIST_0, _LIST_8, _LIST_32, _MAP_8 = 0x45, 0xC0, 0xD0, 0xC1
_BYTES_8, _STRING_8, _SYMBOL_8 = 0xA0, 0xA1, 0xA3
_BYTES_32, _STRING_32, _SYMBOL_32 = 0xB0, 0xB1, 0xB3
_BYTES = {_BYTES_8, _BYTES_32}
_BODIES = {*_BYTES, _STRING_8, _STRING_32, _NULL}
_TEXTS = {*_BYTES, _STRING_8, _STRING_32, _SYMBOL_8, _SYMBOL_32}
_SHORT_TEXTS = {_STRING_8, _SYMBOL_8}
_ULONGS = {0x44, 0x53, 0x80}
# The usual ones, of those that have their size in the byte behind.
_SIZED_BY_A_BYTE = {_BYTES_8, _STRING_8, _SYMBOL_8, _LIST_8, _MAP_8}
# By the upper half of a constructor: how many bytes a value has, or the size before it.
_WIDTHS = {0x4: 0, 0x5: 1, 0x6: 2, 0x7: 4, 0x8: 8, 0x9: 16}
_SIZE_WIDTHS = {0xA: 1, 0xB: 4, 0xC: 1, 0xD: 4, 0xE: 1, 0xF: 4}
_TYPES = {
    0x00: "described", 0x41: "boolean", 0x42: "boolean", 0x56: "boolean", 0x50: "ubyte", 0x60: "ushort",
    0x43: "uint", 0x52: "uint", 0x70: "uint", 0x44: "ulong", 0x53: "ulong", 0x80: "ulong", 0x51: "byte", 0x61: "short",
    0x54: "int", 0x71: "int", 0x55: "long", 0x81: "long", 0x72: "float", 0x82: "double", 0x74: "decimal32",
    0x84: "decimal64", 0x94: "decimal128", 0x73: "char", 0x83: "timestamp", 0x98: "uuid", 0xA3: "symbol",
    0xB3: "symbol", 0x45: "list", 0xC0: "list", 0xD0: "list", 0xC1: "map", 0xD1: "map", 0xE0: "array", 0xF0: "array",
}  # fmt: skip

# A header as RabbitMQ 4 writes it for each message of AMQP 0.9.1: durable, and no priority or time to live.
_USUAL_HEADERS = {b"\xc0\x06\x05A@@AC": True, b"\xc0\x06\x05B@@AC": False}
# A message has these properties first: message-id, user-id, to, subject, reply-to, correlation-id, content-type.
_FIRST_PROPERTIES, _ALL_PROPERTIES = 7, 13
_NULLS = b"@" * (_ALL_PROPERTIES - _FIRST_PROPERTIES)
_NO_PROPERTIES: list[str | None] = [None] * _FIRST_PROPERTIES
# Up to 3.12, RabbitMQ stores the delivery mode of AMQP 0.9.1 as an annotation, and no header.
_PERSISTENT = b"\xa3\x15x-basic-delivery-mode\x50\x02"
# The one application property that is read, or written; wherever it stands, it says nothing else.
_TRACE = b"\xa1%c%b\xa17" % (len(HEADER), HEADER.encode())
_TRACEPARENT = re.compile(_TRACE + b"(%b)" % FORM.encode())
_TRACE_SECTION = b"\x00St\xc1%c\x02%b" % (1 + len(_TRACE) + 55, _TRACE)
# rstream writes of a body that is a `str` how many characters it has, as if they were bytes, and then this map of it.
_RSTREAM_TEXT = re.compile(rb"(?:\xc1.|\xd1.{4}\0\0\0)\x04\xa1\x04TYPE\xa1\x06BINARY\xa1\x05VALUE(?=[\xa1\xb1])", re.S)


class Entry(NamedTuple):
    """A message as a stream holds it; persistent: whether its sender wants it to survive a restart of the broker."""

    body: bytes
    message_id: str | None = None
    correlation_id: str | None = None
    reply_to: str | None = None
    content_type: str | None = None
    persistent: bool = False
    traceparent: str | None = None


class Unreadable(ValueError):
    """An entry holds no message that could be a text; says what it is instead: "a damaged message of AMQP 1.0 (…)"."""


def decode(entry: bytes) -> Entry:
    """Return the message that an entry of a stream holds; raises Unreadable.

    An entry that does not begin as AMQP 1.0 does is the body itself: its client wrote it without any encoding.
    Ids become text: of a UUID `urn:uuid:…`, as RabbitMQ writes it in AMQP 0.9.1; U+FFFD for what is not UTF-8.
    They may be longer than AMQP 0.9.1 allows: see `short`. What an Entry does not have is skipped, not checked.
    """
    try:
        return _decode(entry)
    except IndexError:
        raise _damaged("it ends too early") from None


def encode(
    body: bytes, correlation_id: str | None, content_type: str = "application/json", traceparent: str | None = None
) -> bytes:
    """Return a message as an entry of a stream: these properties, where there is an id, and the body as data."""
    correlation = b"@" if correlation_id is None else _variable(_STRING_8, correlation_id.encode())
    items = b"@@@@@" + correlation + _symbol(content_type)
    size = len(items)
    if size < 255:
        properties = b"\x00Ss\xc0%c\x07" % (size + 1)
    else:
        properties = b"\x00Ss\xd0%b\0\0\0\x07" % (size + 4).to_bytes(4, "big")
    trace = _TRACE_SECTION + traceparent.encode() if traceparent else b""
    return b"".join((properties, items, trace, b"\x00Su", _variable(_BYTES_8, body)))


def short(text: str) -> str:
    """Return what of a text fits in a property of AMQP 0.9.1: at most 255 bytes of UTF-8, and whole characters."""
    return text.encode()[:MAX_PROPERTY_BYTES].decode(errors="ignore")


def _decode(entry: bytes) -> Entry:
    at, size = 0, len(entry)
    bodies: list[bytes] = []
    properties, persistent, has_value, traceparent = _NO_PROPERTIES, False, False, None
    while at < size:
        section = _SECTIONS.get(entry[at : at + 3])
        if section:
            at += 3
        elif section := _LONG_SECTIONS.get(entry[at : at + 10]):
            at += 10
        elif at:
            raise _damaged("what follows a section is none")
        else:
            return Entry(entry)
        constructor = entry[at]
        if section > _DATA:
            _check_readable(section, constructor)
        if constructor in _SIZED_BY_A_BYTE:
            start = at + 2
            at = start + entry[at + 1]
        else:
            start, at = _span(entry, at)
        if at > size:
            raise _damaged("it ends too early")
        if section == _DATA:
            if constructor not in _BYTES or has_value:
                raise _damaged("it has a value too" if has_value else "its data are no bytes")
            body = entry[start:at]
            if at < size and (found := _RSTREAM_TEXT.match(entry, start)):
                body, at = _rstream_text(entry, found, at)
            bodies.append(body)
        elif section == _PROPERTIES:
            properties = _read_properties(entry, constructor, start, at)
        elif section == _MESSAGE_ANNOTATIONS:
            persistent = persistent or entry.find(_PERSISTENT, start, at) >= 0
        elif section == _APPLICATION_PROPERTIES:
            if trace := _TRACEPARENT.search(entry, start, at):
                traceparent = trace[1].decode()
        elif section == _HEADER:
            usual = _USUAL_HEADERS.get(entry[start - 2 : at])
            persistent = _durable(entry, constructor, start, at) if usual is None else usual
        elif section == _VALUE:
            if bodies:
                raise _damaged("it has more than one body")
            has_value = True
            bodies.append(entry[start:at])
    body = bodies[0] if len(bodies) == 1 else b"".join(bodies)
    return Entry(body, properties[0], properties[5], properties[4], properties[6], persistent, traceparent)


def _check_readable(section: int, constructor: int) -> None:
    if section == _SEQUENCE:
        raise Unreadable("an AMQP sequence, neither text nor bytes")
    if section == _VALUE and constructor not in _BODIES:
        raise Unreadable(f"an AMQP value of type {_kind(constructor)}, neither text nor bytes")


def _span(entry: bytes, at: int) -> tuple[int, int]:
    """Return where the content of a value begins and ends, whose constructor is at `at`; raises Unreadable.

    The end may lie behind that of the entry.
    """
    constructor = entry[at]
    start = at + 1
    width = _WIDTHS.get(constructor >> 4)
    if width is None:
        size_width = _SIZE_WIDTHS.get(constructor >> 4)
        if size_width is None:
            raise _damaged(f"it has the type {_kind(constructor)} where none such may be")
        start += size_width
        width = int.from_bytes(entry[at + 1 : start], "big")
    return start, start + width


def _list_items(entry: bytes, constructor: int, start: int) -> tuple[int, int]:
    """Return how many items a list says it has, and where they begin."""
    if constructor == _LIST_8:
        return entry[start], start + 1
    if constructor == _LIST_32:
        return int.from_bytes(entry[start : start + 4], "big"), start + 4
    if constructor == _LIST_0:
        return 0, start
    raise _damaged("its header or its properties are no list")


def _skip_items(entry: bytes, at: int, end: int, count: int) -> None:
    """See to it that `count` items fill a list from `at` to its end; raises Unreadable."""
    while count and at < end:
        at = _span(entry, at)[1]
        count -= 1
    if count or at != end:
        raise _damaged("a list has another size than it says")


def _durable(entry: bytes, constructor: int, start: int, end: int) -> bool:
    count, at = _list_items(entry, constructor, start)
    _skip_items(entry, at, end, count)
    return count > 0 and entry.startswith((b"\x41", b"\x56\x01"), at)


def _read_properties(entry: bytes, constructor: int, start: int, end: int) -> list[str | None]:
    count, at = _list_items(entry, constructor, start)
    texts: list[str | None] = []
    for _ in range(min(count, _FIRST_PROPERTIES)):
        constructor = entry[at]
        if constructor == _NULL:
            at += 1
            texts.append(None)
        elif constructor in _SHORT_TEXTS:
            first = at + 2
            at = first + entry[at + 1]
            texts.append(entry[first:at].decode("utf-8", "replace"))
        else:
            text, at = _text(entry, at)
            texts.append(text)
    if count != _ALL_PROPERTIES or entry[at:end] != _NULLS:
        _skip_items(entry, at, end, max(count - _FIRST_PROPERTIES, 0))
    return texts if len(texts) == _FIRST_PROPERTIES else texts + _NO_PROPERTIES[len(texts) :]


def _text(entry: bytes, at: int) -> tuple[str, int]:
    """Return the text of a property that is not null, and where it ends."""
    constructor = entry[at]
    start, end = _span(entry, at)
    content = entry[start:end]
    if len(content) != end - start:
        raise _damaged("it ends too early")
    if constructor in _TEXTS:
        return content.decode("utf-8", "replace"), end
    if constructor in _ULONGS:
        return str(int.from_bytes(content, "big")), end
    if constructor == _UUID:
        return UUID(bytes=content).urn, end
    raise _damaged(f"it has a property of type {_kind(constructor)}")


def _rstream_text(entry: bytes, found: re.Match[bytes], end: int) -> tuple[bytes, int]:
    """Return the text that rstream wrote where data should be, and where it ends; `end` is where the data would.

    Where it is not quite what rstream writes, it is data.
    """
    start = found.start()
    characters = end - start
    first, last = _span(entry, found.end())
    # Looked at first: of many such data one after the other each could say that its text is all that follows.
    if _span(entry, start)[1] == last and characters <= last - first <= 4 * characters:
        text = entry[first:last]
        if len(text.decode("utf-8", "replace")) == characters:
            return text, last
    return entry[start:end], end


def _variable(constructor: int, content: bytes) -> bytes:
    """Return bytes, a string or a symbol as it is written; constructor: that of one which has at most 255 bytes."""
    size = len(content)
    if size < 256:
        return b"%c%c%b" % (constructor, size, content)
    return b"%c%b%b" % (constructor + 0x10, size.to_bytes(4, "big"), content)


@lru_cache(maxsize=16)
def _symbol(text: str) -> bytes:
    return _variable(_SYMBOL_8, text.encode())


def _kind(constructor: int) -> str:
    return _TYPES.get(constructor, f"0x{constructor:02x}")


def _damaged(how: str) -> Unreadable:
    return Unreadable(f"a damaged message of AMQP 1.0 ({how})")
