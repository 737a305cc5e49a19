"""Large requests, read in steps, so that others are answered in between.

The decoder reads 8 MiB in one piece, in some 10 ms. So the long strings are taken out first, step by step; what is left
is small, and the decoder reads that.
"""

import re
from collections.abc import Generator, Iterator

from msgspec import Raw

from contracts.codec import Malformed, TooMany
from contracts.limits import MAX_BATCH_TEXTS, MAX_TEXT_CHARACTERS, TextTooLong, within_limit
from contracts.predict import asked, decode_request, read_request, read_text

LARGE_BYTES = 130_000
"""Above this a request is read in steps; a text in plain letters is shorter."""
STEP_BYTES = 16 * 1024
MAX_TEXT_BYTES = 12 * MAX_TEXT_CHARACTERS + 2
"""How long a text can be: JSON writes a character in at most 12 bytes."""
MAX_SHORT_BYTES = 64
MAX_REST_BYTES = 1_000_000
MOST_PARTS = 25_000
TOO_MUCH = f"has more than {MAX_BATCH_TEXTS} texts, or too much that is no text"
_STRING_PIECE = re.compile(rb'(?:[^"\\]++|\\.)*+("?)', re.DOTALL)
_TAKEN_OUT = b'"\\u0000'
"""What the name of a string that was taken out begins with; one that is left has no backslash."""
_POSITION = re.compile(r" \(byte \d+\)")

Texts = Iterator[Raw | memoryview]
"""The texts of a batch, as JSON."""


def is_large(content: bytes | bytearray) -> bool:
    """Whether it takes so long to read that others have to be answered meanwhile."""
    return len(content) > LARGE_BYTES or (len(content) > MOST_PARTS and content.count(b",") > MOST_PARTS)


def reading(content: bytes | bytearray) -> Generator[None, None, str | Texts]:
    """Read a request of predict; returns what `read_request` does, and raises what that raises, and TextTooLong."""
    if not is_large(content):
        found = read_request(content)
        return found if isinstance(found, str) else iter(found)
    rest, strings = yield from _take_out(content)
    view = memoryview(content)
    try:
        asked_for = asked(decode_request(rest))
    except Malformed as error:
        # Where it is wrong is not where that is in what was sent.
        raise type(error)(_POSITION.sub("", str(error))) from error
    if isinstance(asked_for, str):
        return read_item(view[slice(*strings[int(asked_for[1:])])]) if asked_for.startswith("\0") else asked_for
    return (_sent(bytes(item), view, strings) for item in asked_for)


def read_item(item: Raw | memoryview) -> str:
    """Return a text of a batch; raises Malformed, TextTooLong."""
    if isinstance(item, memoryview) and len(item) > MAX_TEXT_BYTES:
        raise TextTooLong(f"more than {MAX_TEXT_CHARACTERS}")
    return within_limit(read_text(item))


def _sent(item: bytes, content: memoryview, strings: list[tuple[int, int]]) -> Raw | memoryview:
    """Return an item as it was sent; where it is no text, as good as that."""
    if not item.startswith(_TAKEN_OUT):
        return Raw(item)
    begin, end = strings[int(item[len(_TAKEN_OUT) : -1])]
    return content[begin:end]


def _take_out(content: bytes | bytearray) -> Generator[None, None, tuple[bytearray, list[tuple[int, int]]]]:
    """Return the content with names for its long strings, and where those begin and end; raises Malformed, TooMany."""
    rest, strings = bytearray(), list[tuple[int, int]]()
    end = parts = 0
    while True:
        begin = content.find(b'"', end)
        until = len(content) if begin < 0 else begin
        if len(rest) + until - end > MAX_REST_BYTES:
            raise TooMany(TOO_MUCH)
        between = content[end:until]
        rest += between
        parts += 1 + between.count(b",")
        if parts > MOST_PARTS:
            raise TooMany(TOO_MUCH)
        if begin < 0:
            return rest, strings
        end = content.find(b'"', begin + 1, begin + MAX_SHORT_BYTES) + 1
        if not end or content.find(b"\\", begin, end) >= 0:
            end = yield from _end_of_string(content, begin)
            rest += b'%b%d"' % (_TAKEN_OUT, len(strings))
            strings.append((begin, end))
        else:
            rest += content[begin:end]
        yield


def _end_of_string(content: bytes | bytearray, begin: int) -> Generator[None, None, int]:
    """Return where the string that begins there ends, its quotation marks included; raises Malformed."""
    at = begin + 1
    while piece := _STRING_PIECE.match(content, at, at + STEP_BYTES):
        if piece[1]:
            return piece.end()
        if piece.end() == at:
            break
        at = piece.end()
        yield
    raise Malformed("is not valid JSON (a string has no end)")
