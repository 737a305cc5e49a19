"""Bytes to structures and back: the one place where JSON is read and written."""

from collections.abc import Sequence
from datetime import datetime
from threading import Lock
from typing import Any, Generic, TypeVar
from urllib.parse import parse_qsl

import msgspec

T = TypeVar("T")
S = TypeVar("S", bound=msgspec.Struct)

encode = msgspec.json.encode
"""Return a structure, or what is made of JSON's types, as JSON."""


class Malformed(ValueError):
    """Content does not fit its contract; the message says of it what is wrong and where: "is not valid JSON (…)"."""


class TooMany(Malformed):
    """A list has more items than its contract allows."""


class Reader(Generic[T]):
    """Reads JSON of one kind; made once, since building a decoder costs a thousand times what a request does."""

    def __init__(self, kind: type[T]) -> None:
        """kind: a structure, or a type made of JSON's and of structures."""
        self._decoder = msgspec.json.Decoder(kind)

    def __call__(self, content: bytes | bytearray | memoryview | msgspec.Raw) -> T:
        """Return what `content` holds; raises Malformed, and TooMany where a list is too long."""
        try:
            return self._decoder.decode(content)
        except msgspec.ValidationError as error:
            kind = TooMany if str(error).startswith("Expected `array` of length <=") else Malformed
            raise kind(f"does not fit: {error}") from error
        except msgspec.DecodeError as error:
            raise Malformed(f"is not valid JSON ({error})") from error
        except UnicodeDecodeError as error:
            raise Malformed(f"is not valid JSON (not UTF-8: {error.reason})") from error
        except RecursionError as error:
            raise Malformed("is not valid JSON (its brackets are nested too deeply)") from error


class QueryReader(Generic[S]):
    """Reads the query of a URL into a structure whose fields are numbers, words and truth values, each with a default.

    Numbers and truth values are written as in JSON. Names that the structure does not have are ignored.
    """

    def __init__(self, kind: type[S]) -> None:
        """kind: the structure."""
        self._kind = kind
        _build(kind)

    def __call__(self, query: str) -> S:
        """Return what `query` asks for; raises Malformed, also where it has a name twice."""
        pairs = parse_qsl(query, keep_blank_values=True)
        found = {name: _value(value) for name, value in pairs}
        if len(found) < len(pairs):
            raise Malformed("has a name twice")
        try:
            return msgspec.convert(found, self._kind)
        except msgspec.ValidationError as error:
            raise Malformed(f"does not fit: {error}") from error


def _value(text: str) -> object:
    """Return what a text is as JSON; where it is none, the text."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return text


def _build(kind: type[object]) -> None:
    """Have msgspec build what it knows of a structure: left to the first use, two threads at once end the process."""
    if kind not in _built:
        with _building:
            msgspec.json.Decoder(kind)
            _built.add(kind)


_built = set[type[object]]()
_building = Lock()


def to_documents(values: Sequence[msgspec.Struct]) -> list[dict[str, Any]]:
    """Return structures as MongoDB takes them: dictionaries, with times as they are."""
    documents: list[dict[str, Any]] = msgspec.to_builtins(values, builtin_types=(datetime,))
    return documents


def to_document(value: msgspec.Struct) -> dict[str, Any]:
    """Return one structure as MongoDB takes it; see `to_documents`."""
    return to_documents([value])[0]


def from_document(document: Any, kind: type[T]) -> T:
    """Return what MongoDB gave as a structure; raises Malformed."""
    _build(kind)
    try:
        return msgspec.convert(document, kind)
    except msgspec.ValidationError as error:
        raise Malformed(f"does not fit: {error}") from error


def extended(value: object, kind: type[S], /, **more: object) -> S:
    """Return a structure of `kind`: of its fields `more` has some, and `value`, under the same names, the others."""
    known = {name: getattr(value, name) for name in kind.__struct_fields__ if name not in more and hasattr(value, name)}
    return kind(**known, **more)


def compact(content: msgspec.Raw) -> bytes:
    """Return JSON without white space; raises Malformed."""
    try:
        return msgspec.json.format(bytes(content), indent=-1)
    except (msgspec.DecodeError, RecursionError) as error:
        raise Malformed(f"is not valid JSON ({error})") from error


def indented(value: object) -> str:
    """Return a structure as JSON for people to read."""
    return msgspec.json.format(encode(value), indent=2).decode()
