"""Requests that are read in steps: what is found is what the decoder finds in one piece."""

import json
from collections.abc import Callable, Generator, Iterator
from typing import Any, TypeVar

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import contracts.large
from contracts.codec import Malformed, TooMany
from contracts.large import STEP_BYTES, is_large, read_item, reading
from contracts.limits import MAX_BATCH_TEXTS, MAX_BODY_BYTES, TextTooLong
from contracts.predict import read_request, read_text

T = TypeVar("T")
TEXTS = st.text(st.characters(codec="utf-8"), max_size=100) | st.text('\\"a\x00é', max_size=30)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=8,
)
REQUESTS = st.one_of(
    st.fixed_dictionaries({"texts": st.lists(TEXTS | JSON, max_size=8)}, optional={"other": JSON}),
    st.fixed_dictionaries({"text": TEXTS}),
    JSON,
)


@pytest.fixture(autouse=True, scope="module")
def everything_is_large() -> Iterator[None]:
    """Have small requests read as large ones are, in small steps."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(contracts.large, "LARGE_BYTES", 0)
        patch.setattr(contracts.large, "STEP_BYTES", 3)
        yield


def result(steps: Generator[None, None, T]) -> T:
    while True:
        try:
            next(steps)
        except StopIteration as done:
            found: T = done.value
            return found


def outcome(read: Callable[[], object]) -> object:
    """Return the text, or each of the texts, or that it is refused."""
    try:
        found: Any = read()
    except Malformed as error:
        return type(error)
    return found if isinstance(found, str) else [text_of(item) for item in found]


def text_of(item: Any) -> str | None:
    try:
        return read_text(item)
    except Malformed:
        return None


@given(REQUESTS, st.booleans(), st.sampled_from([None, 1]))
@example({"texts": ["\\u00001", "\0001", "x" * 70, '"', "\\"]}, True, None)
def test_a_request_is_read_in_steps_as_it_is_in_one_piece(request: object, escaped: bool, indent: int | None) -> None:
    content = json.dumps(request, ensure_ascii=escaped, indent=indent).encode()
    assert is_large(content)
    assert outcome(lambda: result(reading(content))) == outcome(lambda: read_request(content))


@given(st.binary(max_size=60) | REQUESTS.map(lambda request: json.dumps(request).encode()), st.data())
def test_what_is_cut_off_is_refused(content: bytes, data: st.DataObject) -> None:
    cut = content[: data.draw(st.integers(0, max(0, len(content) - 1)))]
    if outcome(lambda: read_request(cut)) in (Malformed, TooMany):
        assert outcome(lambda: result(reading(cut))) in (Malformed, TooMany)


@pytest.mark.parametrize(
    "content",
    [
        b'{"texts": [%s]}' % b",".join([b"1"] * (MAX_BODY_BYTES // 2 - 10)),
        b'{"texts": [%s]}' % b",".join([b'"a"'] * (MAX_BODY_BYTES // 4 - 10)),
        b'{"texts": %s' % (b"[" * (MAX_BODY_BYTES - 20)),
        b'{"texts": [' + b" " * (MAX_BODY_BYTES - 20) + b"]}",
    ],
    ids=["numbers", "texts", "brackets", "spaces"],
)
def test_too_much_is_refused(content: bytes) -> None:
    with pytest.raises(TooMany, match=f"more than {MAX_BATCH_TEXTS} texts"):
        result(reading(content))


@pytest.mark.parametrize(
    "text",
    [b"x" * (MAX_BODY_BYTES - 20), b"\\" * (MAX_BODY_BYTES - 20), b'\\"' * (MAX_BODY_BYTES // 2 - 20)],
    ids=["plain", "backslashes", "quotation marks"],
)
def test_a_text_that_is_far_too_long_is_refused_unread(text: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contracts.large, "STEP_BYTES", STEP_BYTES)
    found = result(reading(b'{"texts": ["%b", "short"]}' % text))
    assert not isinstance(found, str)
    with pytest.raises(TextTooLong, match="more than 100000"):
        read_item(next(found))
    assert read_item(next(found)) == "short"
    assert sum(1 for _ in reading(b'{"texts": ["%b"]}' % text)) >= len(text) // STEP_BYTES
