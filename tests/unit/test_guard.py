"""Whom a process answers: names of its own machine, and pages of its own origin where something changes."""

from collections.abc import Mapping

import pytest

from process.answers import Problem
from process.guard import Guard, is_foreign, is_loopback


def is_refused(guard: Guard, headers: Mapping[str, str], method: str = "POST") -> bool:
    try:
        guard.check(method, headers)
    except Problem as problem:
        assert problem.status == 403
        return True
    return False


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8080", "127.0.0.1", "127.8.0.1:80", "[::1]:8080"])
def test_on_loopback_it_answers_to_names_of_this_machine(host: str) -> None:
    assert not is_refused(Guard("127.0.0.1"), {"host": host})


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "10.0.0.1", "[", "x@localhost@y", " "]
)
def test_on_loopback_it_answers_to_no_other_name_unless_it_is_allowed(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert is_refused(Guard("127.0.0.1"), {"host": host}, "GET")
    assert not is_refused(Guard("::"), {"host": host}, "GET"), "whoever is before it looks at names"
    monkeypatch.setenv("ALLOWED_HOSTS", "*")
    assert not is_refused(Guard("127.0.0.1"), {"host": host}, "GET")
    monkeypatch.setenv("ALLOWED_HOSTS", "proxy.example, other.example")
    assert is_refused(Guard("127.0.0.1"), {"host": host}, "GET")
    assert not is_refused(Guard("127.0.0.1"), {"host": "Proxy.example:80"}, "GET")


@pytest.mark.parametrize(
    ("headers", "foreign"),
    [
        ({}, False),
        ({"origin": "http://localhost:8080"}, False),
        ({"origin": "https://front.example", "x-forwarded-host": "front.example"}, False),
        ({"sec-fetch-site": "same-origin"}, False),
        ({"sec-fetch-site": "none"}, False),
        ({"sec-fetch-site": "same-site"}, True),
        ({"sec-fetch-site": "cross-site"}, True),
        ({"sec-fetch-site": ""}, True),
        ({"origin": "null"}, True),
        ({"origin": ""}, True),
        ({"origin": "http://localhost:3000"}, True),
        ({"origin": "http://evil.example"}, True),
        ({"origin": "http://["}, True),
        ({"origin": "http://evil.example", "sec-fetch-site": "same-origin"}, True),
    ],
    ids=str,
)
def test_pages_of_other_origins_may_read_what_anybody_may_and_change_nothing(
    headers: Mapping[str, str], foreign: bool
) -> None:
    asked = {"host": "localhost:8080", **headers}
    assert is_foreign(asked) is foreign
    assert is_refused(Guard("127.0.0.1"), asked) is foreign
    assert not is_refused(Guard("127.0.0.1"), asked, "GET")
    assert is_refused(Guard("127.0.0.1", safe_methods=frozenset()), asked, "GET") is foreign


def test_loopback_is_this_machine_alone() -> None:
    assert all(map(is_loopback, ("127.0.0.1", "127.1.2.3", "::1", "localhost")))
    assert not any(map(is_loopback, ("::", "192.168.1.1", "example.org", "")))
