"""Whose word counts: what a function says of a request, what a proxy says in its place, and how long to wait."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contracts.predict import TextsRequest, read_answers
from messages.twin import MemoryBroker
from process.functions import FunctionUnavailable, RequestRefused
from tests.unit.offsets import HastyRetry
from tests.unit.test_bridge_labels import TAKEN, labels
from tests.unit.test_bridge_reviews import (
    Answer,
    FunctionServer,
    ListRecords,
    in_stream,
    message,
    positive,
    refusal,
    reviews,
    serve,
)

__all__ = ["serve"]  # a fixture
PROBLEM = b'{"type": "about:blank", "title": "Bad Request", "status": 400, "detail": "too odd"}'
NO_VERDICTS: dict[str, tuple[dict[str, str], bytes]] = {
    "a proxy's page": ({"Content-Type": "text/html"}, b"<html><h1>400 Bad Request</h1></html>"),
    "nothing": ({}, b""),
    "a problem that says it is plain JSON": ({"Content-Type": "application/json"}, PROBLEM),
    "a page that says it is a problem": ({"Content-Type": "application/problem+json"}, b"<html></html>"),
    "a problem without a detail": ({"Content-Type": "application/problem+json"}, b'{"status": 400}'),
}


@pytest.mark.parametrize("status", [400, 413, 422])
@pytest.mark.parametrize("kind", NO_VERDICTS)
def test_what_something_else_than_a_function_answers_is_no_verdict_and_nothing_is_parked(
    kind: str, status: int, serve: Callable[[Answer], FunctionServer]
) -> None:
    headers, body = NO_VERDICTS[kind]
    # The proxy says so to whatever comes, for a while.
    answers = iter([(status, headers, body)] * 2)
    server, records = serve(lambda content: next(answers, None) or positive(content)), ListRecords()
    handle = reviews(server.function, records, retry=HastyRetry())
    assert handle([in_stream(0, b"good"), in_stream(1, b"fine")]).rejected == frozenset()
    assert (len(server.bodies), records.rejected) == (3, [])
    assert len(records.predictions) == 2


def test_a_label_is_not_parked_because_of_a_proxy(serve: Callable[[Answer], FunctionServer]) -> None:
    answers = iter([(400, {"Content-Type": "text/html"}, b"<html></html>")])
    server, records = serve(lambda _: next(answers, TAKEN)), ListRecords()
    assert labels(server.function, records, MemoryBroker())([message(b'{"text": "a", "label": 1}')]).rejected == set()
    assert (len(server.bodies), records.rejected) == (2, [])


@pytest.mark.parametrize("status", [400, 413, 422])
@pytest.mark.parametrize("kind", ["application/problem+json", "Application/Problem+JSON; charset=utf-8"])
def test_what_a_function_says_of_a_request_is_a_verdict(
    status: int, kind: str, serve: Callable[[Answer], FunctionServer]
) -> None:
    _, _, body = refusal(status, "too odd")
    with pytest.raises(RequestRefused, match="predict refused it: too odd"):
        serve(lambda _: (status, {"Content-Type": kind}, body)).function.post(TextsRequest([]), read_answers)


@pytest.mark.parametrize("location", ["http://[", "http://127.0.0.1:9/", "/function/predict", "\xff"])
def test_a_redirect_is_a_bad_moment_wherever_it_leads(location: str, serve: Callable[[Answer], FunctionServer]) -> None:
    with pytest.raises(FunctionUnavailable, match="predict answered 307: no reason given"):
        serve(lambda _: (307, {"Location": location}, b"")).function.post(TextsRequest([]), read_answers)


@pytest.fixture
def server(serve: Callable[[Answer], FunctionServer]) -> FunctionServer:
    return serve(positive)


def asked_seconds(server: FunctionServer, header: str) -> float | None:
    """Return the wait that an answer with this Retry-After asks for."""
    server.answer = lambda _: (503, {"Retry-After": header}, b"")
    with pytest.raises(FunctionUnavailable) as caught:
        server.function.post(TextsRequest([]), read_answers)
    return caught.value.retry_after_seconds


def test_retry_after_is_a_number_of_seconds_or_a_date(server: FunctionServer) -> None:
    assert asked_seconds(server, "7") == 7
    assert asked_seconds(server, "9" * 5_000) == float("inf")
    soon = datetime.now(UTC) + timedelta(seconds=30)
    assert 20 < (asked_seconds(server, f"{soon:%a, %d %b %Y %H:%M:%S} GMT") or 0) <= 30
    assert asked_seconds(server, "Wed, 21 Oct 2015 07:28:00 GMT") == 0


@pytest.mark.parametrize(
    "header",
    [
        "soon", "nan", "inf", "-5", "1e9", "1_0", "٣".encode().decode("latin-1"), "",
        "Wed, 21 Oct 2035 07:28:00",
        "Wed, 21 Oct 99999 07:28:00 GMT",
        "Wed, 21 Oct 0000 07:28:00 GMT",
        "Wed, 21 Oct 2035 07:28:00 +9999999999999999999",
        "Wed, 99999999999999999999 Oct 2035 07:28:00 GMT",
    ],
)  # fmt: skip
def test_a_retry_after_that_is_neither_is_ignored(header: str, server: FunctionServer) -> None:
    assert asked_seconds(server, header) is None


HEADERS = st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=40)
NUMBERS = st.integers().map(str) | st.floats().map(str) | st.integers(1, 6_000).map(lambda digits: "9" * digits)
DATES = st.builds(
    "{}, {:02} {} {} {:02}:{:02}:{:02}{}".format,
    st.sampled_from(("Wed", "Foo", "")), st.integers(0, 99), st.sampled_from(("Oct", "Foo")), st.integers(0, 10**6),
    st.integers(0, 30), st.integers(0, 70), st.integers(0, 70), st.sampled_from((" GMT", "", " -0000", " +9999999")),
)  # fmt: skip


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(header=NUMBERS | DATES | HEADERS)
def test_whatever_retry_after_says_the_wait_is_a_number_and_not_negative(header: str, server: FunctionServer) -> None:
    seconds = asked_seconds(server, header)
    assert seconds is None or seconds >= 0
