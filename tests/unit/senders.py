"""What senders of all kinds write, for property tests: bodies, and entries of streams, from regular to rubbish."""

import json
from typing import Any

from hypothesis import strategies as st
from rstream import AMQPMessage

from contracts.limits import MAX_ID_CHARACTERS, MAX_TEXT_CHARACTERS
from tests.unit.test_amqp10 import MESSAGES

LENGTHS = (0, 1, MAX_ID_CHARACTERS, MAX_ID_CHARACTERS + 1, MAX_TEXT_CHARACTERS, MAX_TEXT_CHARACTERS + 1)
LONG = st.builds(lambda character, length: character * length, st.characters(), st.sampled_from(LENGTHS))
# With lone surrogates and NUL, which JSON can write and neither UTF-8 nor BSON may hold.
TEXTS = st.sampled_from(("good", "", " ", "\0", "\ud800", "\udfff\ud800", "\uffff")) | st.text(max_size=30) | LONG
NUMBERS = st.sampled_from((0, 1, -1, 2**63, -(2**63) - 1, 10**400)) | st.integers() | st.floats()
SCALARS = st.none() | st.booleans() | NUMBERS | TEXTS
NESTED = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3), max_leaves=8
)
LABELS = st.sampled_from((0, 1, "negative", "positive", " Pos ", 2)) | NESTED


def deep(levels: int, brackets: tuple[bytes, bytes]) -> bytes:
    """A message whose extra field is so many brackets deep."""
    opening, closing = brackets
    return b'{"text": "good", "label": 1, "extra": ' + opening * levels + b"1" + closing * levels + b"}"


def as_json(value: object, ascii_only: bool) -> bytes:
    """Write a value as JSON, with escapes or without: then a lone surrogate is no UTF-8."""
    return json.dumps(value, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")


FIELDS: Any = st.fixed_dictionaries(
    {"text": TEXTS | NESTED},
    optional={"id": NESTED, "label": LABELS, "source": TEXTS | NESTED, "extra": NESTED},
)
JSON = st.builds(as_json, FIELDS | NESTED, st.booleans())
BRACKETS = st.sampled_from(((b"[", b"]"), (b'{"a":', b"}"), (b"[", b"")))
DEEP = st.builds(deep, st.sampled_from((1, 300, 3_000)), BRACKETS)
BODIES = JSON | DEEP | TEXTS.map(lambda text: text.encode("utf-8", "surrogatepass")) | st.binary(max_size=60)


def written(fields: dict[str, Any], body: bytes) -> bytes:
    """An entry as rstream writes it."""
    return bytes(AMQPMessage(**{**fields, "body": body}))


def damaged(entry: bytes, changes: list[tuple[int, int]], cut: int) -> bytes:
    """An entry of AMQP 1.0 with some bytes changed, and so many missing at its end."""
    found = bytearray(entry)
    for position, byte in changes:
        found[position : position + 1] = bytes([byte])
    return bytes(found[: len(found) - cut])


WRITTEN = st.builds(written, MESSAGES, BODIES)
CHANGES = st.lists(st.tuples(st.integers(0, 100), st.integers(0, 255)), max_size=4)
ENTRIES = BODIES | WRITTEN | st.builds(damaged, WRITTEN, CHANGES, st.integers(0, 3))
