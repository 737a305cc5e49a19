"""The HTTP front, by senders of the worst kind: what they can take of a process, and that others are answered."""

import asyncio
import socket
import threading
import time
from collections.abc import Awaitable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.client import parse_headers
from itertools import pairwise
from urllib.parse import quote, urlencode

import psutil
import pytest
from flask import Response, request
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import REGISTRY

import process.server
from deploy.runner import wait_until
from process.answers import Answer, json_answer
from process.front import Front, Limits, Request
from process.http1 import HEAD_PIECE_BYTES, MAX_REST_BYTES, MOST_PIPELINED, SMALL_BODY_BYTES
from process.probes import PATHS
from process.web import FunctionApp
from tests.http import HttpClient, serving

MIB = 1024 * 1024
LIMITS = Limits(max_body_bytes=MIB, body_budget_bytes=2 * MIB, body_timeout_seconds=1)


@dataclass
class Held:
    """Holds requests back, and counts them."""

    gate: threading.Event = field(default_factory=threading.Event)
    count: int = 0
    ready: threading.Event = field(default_factory=threading.Event)

    def app(self) -> FunctionApp:
        app = FunctionApp("held")

        @app.route("/held", methods=["GET", "POST"])
        def held() -> Response:
            self.count += 1
            assert self.gate.wait(20)
            return Response(str(len(request.get_data())))

        @app.route("/echo/<path:path>", methods=["GET", "POST", "PUT"])
        def echo(path: str) -> Response:
            found = [request.method, path, *sorted(request.args.items(multi=True)), request.get_data(as_text=True)]
            return Response(repr(found), headers={"X-Given": request.headers.get("X-Given", "")})

        return app

    def not_ready(self) -> str | None:
        self.ready.wait(20)
        return None


def size(request: Request) -> Answer | Awaitable[Answer] | None:
    match request.path:
        case "/large":
            return Answer(200, [], b"x" * 8 * MIB)
        case "/size":
            return json_answer(len(request.body))
        case "/later" | "/later-bug":
            return later(request)
        case "/bug":
            raise ZeroDivisionError("a bug of the test")
    return None


async def later(request: Request) -> Answer:
    await asyncio.sleep(0)
    if request.path == "/later-bug":
        raise ZeroDivisionError("a bug of the test")
    return json_answer(len(request.body))


@pytest.fixture
def held() -> Iterator[Held]:
    held = Held()
    held.ready.set()
    yield held
    held.gate.set()
    held.ready.set()


@pytest.fixture
def client(held: Held) -> Iterator[HttpClient]:
    with serving(Front(held.not_ready, LIMITS, hot=size, others=held.app().answer, threads=2)) as client:
        yield client
        held.gate.set()
        held.ready.set()


@contextmanager
def connection(client: HttpClient) -> Iterator[socket.socket]:
    host, port = client.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as opened:
        yield opened


def begin(opened: socket.socket, length: int, sent: bytes, path: str = "/size") -> None:
    """Send the head of a request, and the beginning of its body."""
    opened.sendall(
        b"POST %b HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%b" % (path.encode(), length, sent)
    )


def status(opened: socket.socket) -> int:
    answer = opened.recv(65536)
    return int(answer.split()[1]) if answer else 0


def keeps(client: HttpClient, client_address: tuple[str, int]) -> bool:
    """Whether the server has a connection with this client."""
    host, port = client.url.removeprefix("http://").split(":")
    ours = psutil.Process().net_connections("tcp")
    return any(each.laddr == (host, int(port)) and each.raddr == client_address for each in ours)


def held_bytes() -> float:
    return REGISTRY.get_sample_value("http_body_bytes") or 0


def refused(much: str) -> float:
    return REGISTRY.get_sample_value("http_requests_refused_total", {"much": much}) or 0


def test_a_body_that_does_not_come_is_given_up_and_others_are_answered_meanwhile(client: HttpClient) -> None:
    with ExitStack() as stack:
        slow = [stack.enter_context(connection(client)) for _ in range(50)]
        started = time.monotonic()
        for opened in slow:
            begin(opened, 100, b"x")
        assert client.get("/_/health").status_code == 200
        assert client.post("/size", data=b"four").get_json() == 4
        assert client.get("/echo/a").status_code == 200
        assert time.monotonic() - started < LIMITS.body_timeout_seconds
        answers = [opened.recv(65536) for opened in slow]
        assert time.monotonic() - started >= LIMITS.body_timeout_seconds
        assert {answer.split()[1] for answer in answers} == {b"408"}
        assert b"application/problem+json" in answers[0]
        assert b"send it faster" in answers[0]
        assert [opened.recv(1) for opened in slow] == [b""] * 50, "the connections are closed"


def test_a_head_that_does_not_come_is_given_up(client: HttpClient) -> None:
    with connection(client) as opened:
        opened.sendall(b"POST /size HTTP/1.1\r\nHos")
        assert status(opened) == 408
        assert opened.recv(1) == b""


def test_a_body_that_comes_slowly_but_in_time_is_taken(client: HttpClient) -> None:
    with connection(client) as opened:
        begin(opened, 3, b"")
        for byte in (b"a", b"b", b"c"):
            time.sleep(0.1)  # what is tested
            opened.sendall(byte)
        assert opened.recv(65536).endswith(b"\r\n\r\n3")


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_above_the_limit_is_refused_and_one_at_it_is_taken(client: HttpClient, chunked: bool) -> None:
    for length, expected in ((MIB, 200), (MIB + 1, 413)):
        data = b"x" * length
        response = client.post("/size", data=iter([data[: length // 2], data[length // 2 :]]) if chunked else data)
        assert response.status_code == expected
    assert held_bytes() == 0


def test_a_body_in_chunks_comes_whole_to_flask_which_is_how_openfaas_hands_all_on(client: HttpClient) -> None:
    response = client.post("/echo/here", data=iter([b"one ", b"two"]))
    assert response.text == repr(["POST", "here", "one two"])


@pytest.mark.parametrize("length", [MIB + 1, 2 * MIB])
def test_who_sends_too_much_has_the_answer_once_it_is_sent(client: HttpClient, length: int) -> None:
    with connection(client) as opened:
        begin(opened, length, b"")
        for _ in range(length // 1024):
            opened.sendall(b"x" * 1024)
        opened.sendall(b"x" * (length % 1024))
        assert status(opened) == 413


def test_what_is_announced_far_above_the_limit_is_refused_before_it_is_sent(client: HttpClient) -> None:
    with connection(client) as opened:
        begin(opened, 10**15, b"")
        assert status(opened) == 413


def test_a_body_without_an_end_is_refused_at_the_limit(client: HttpClient) -> None:
    with connection(client) as opened:
        opened.sendall(b"POST /size HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
        chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
        sent = 0
        try:
            while sent < 50:
                opened.sendall(chunk)
                sent += 1
        except OSError:
            pass  # it was closed
        assert sent < 50 or status(opened) == 413
    assert wait_until(lambda: held_bytes() == 0, 5)


def test_large_bodies_have_a_budget_and_small_ones_go_on(client: HttpClient) -> None:
    before = refused("bodies")
    with ExitStack() as stack:
        senders = [stack.enter_context(connection(client)) for _ in range(2)]
        for opened in senders:
            begin(opened, MIB, b"x" * (MIB - 1))
        assert wait_until(lambda: held_bytes() == 2 * (MIB - 1), 5)
        response = client.post("/size", data=b"x" * MIB)
        assert (response.status_code, int(response.headers["Retry-After"]) > 0) == (503, True)
        assert client.post("/size", data=b"x" * SMALL_BODY_BYTES).get_json() == SMALL_BODY_BYTES
        assert refused("bodies") == before + 1
        senders[0].sendall(b"x")
        assert status(senders[0]) == 200
        assert client.post("/size", data=b"x" * (MIB // 2)).status_code == 200
        assert status(senders[1]) == 408
    assert held_bytes() == 0


def test_a_large_body_is_in_the_budget_until_it_is_answered(client: HttpClient, held: Held) -> None:
    with connection(client) as opened:
        begin(opened, MIB, b"x" * MIB, "/held")
        assert wait_until(lambda: held.count == 1, 5)
        assert held_bytes() == MIB
        held.gate.set()
        assert status(opened) == 200
    assert held_bytes() == 0


def test_who_goes_in_the_middle_of_a_body_leaves_nothing(client: HttpClient, caplog: pytest.LogCaptureFixture) -> None:
    for length in (100, MIB):
        with connection(client) as opened:
            begin(opened, length, b"x" * (length - 1))
        assert wait_until(lambda: held_bytes() == 0, 5)
    assert client.get("/_/health").status_code == 200
    assert caplog.text == ""


def test_requests_wait_for_a_thread_in_bounded_number_and_probes_do_not(client: HttpClient, held: Held) -> None:
    before = refused("requests")
    with ExitStack() as stack:
        senders = [stack.enter_context(connection(client)) for _ in range(33)]
        for opened in senders:
            begin(opened, 1, b"x", "/held")
        assert wait_until(lambda: refused("requests") == before + 1, 5)
        assert held.count == 2
        assert client.get("/_/health").get_json() == {"status": "alive"}
        assert client.get("/_/ready").get_json() == {"status": "ready"}
        assert "http_requests_refused_total" in client.get("/metrics").text
        assert client.post("/size", data=b"x").status_code == 200
        held.gate.set()
        assert sorted(map(status, senders)) == [200] * 32 + [503]


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Forwarded-For": "192.0.2.1:5", "X-Forwarded-Host": "gateway:8080", "X-Call-Id": "1", "X-Start-Time": "2"},
        {"X-Forwarded-Host": ""},
        {"x-forwarded-for": "192.0.2.1"},
        {"X-Call-Id": "1"},
        {"Forwarded": "for=192.0.2.1"},
    ],
    ids=lambda headers: ", ".join(headers),
)
def test_probes_are_not_for_those_who_come_by_a_gateway(client: HttpClient, headers: dict[str, str]) -> None:
    """The first are those that OpenFaaS's gateway adds; kubelet, Prometheus and Docker add none of them."""
    for path in sorted(PATHS):
        for method in ("GET", "HEAD", "POST"):
            assert client.open(path, method=method, headers=headers).status_code == 404
    assert client.open("/size", method="POST", data=b"x", headers=headers).get_json() == 1


def test_a_readiness_that_is_long_in_coming_holds_nobody_else_up(client: HttpClient, held: Held) -> None:
    held.ready.clear()
    answers: list[int] = []
    asking = [threading.Thread(target=lambda: answers.append(client.get("/_/ready").status_code)) for _ in range(20)]
    for thread in asking:
        thread.start()
    assert client.get("/_/health").status_code == 200
    assert client.get("/metrics").status_code == 200
    assert answers == []
    held.ready.set()
    for thread in asking:
        thread.join(10)
    assert answers == [200] * 20


CHARACTERS = st.characters(exclude_characters="/?#%\\.", exclude_categories=["Cs", "Cc", "Z"])
NAMES = st.text(CHARACTERS, min_size=1, max_size=9)


@settings(max_examples=100, deadline=None)
@given(method=st.sampled_from(["GET", "POST", "PUT"]), path=NAMES, query=st.lists(st.tuples(NAMES, NAMES), max_size=3))
def test_flask_has_a_request_as_it_was_sent(
    shared: HttpClient, method: str, path: str, query: Sequence[tuple[str, str]]
) -> None:
    target = f"/echo/{quote(path, safe='')}" + (f"?{urlencode(query)}" if query else "")
    response = shared.open(target, method=method, data="ä" if method != "GET" else b"")
    assert response.text == repr([method, path, *sorted(query), "ä" if method != "GET" else ""])


@pytest.fixture(scope="module")
def shared() -> Iterator[HttpClient]:
    """One for all the examples of a test."""
    held = Held()
    held.ready.set()
    limits = Limits(max_body_bytes=1000, body_timeout_seconds=0.1)
    with serving(Front(held.not_ready, limits, hot=size, others=held.app().answer)) as client:
        yield client


HEADS = st.sampled_from(
    [
        b"POST /size HTTP/1.1\r\nHost: localhost\r\n",
        b"GET /echo/a HTTP/1.1\r\n",
        b"PUT /echo/%ff%00 HTTP/1.1\r\n",
        b"GET /echo/a?%ff=%fe&&= HTTP/1.1\r\n",
        b"GET http://[:/echo/a HTTP/1.1\r\n",
        b"GET /metrics HTTP/1.0\r\n",
        b"",
    ]
)
LINES = st.sampled_from(
    [
        b"Content-Length: 5\r\n",
        b"Content-Length: -1\r\n",
        b"Content-Length: 99999999999999999999999\r\n",
        b"Content-Length: five\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: gzip, chunked\r\n",
        b"Content-Type: \xff\xfe\r\n",
        b"X-Given: \x80\r\n",
        b"Connection: upgrade\r\nUpgrade: websocket\r\n",
        b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
        b"Expect: 100-continue\r\n",
        b"\r\n",
    ]
) | st.binary(max_size=30)


@settings(max_examples=150, deadline=None)
@given(HEADS, st.lists(LINES, max_size=4), st.binary(max_size=50))
def test_no_bytes_stop_it(shared: HttpClient, head: bytes, lines: Sequence[bytes], body: bytes) -> None:
    with connection(shared) as opened:
        opened.sendall(head + b"".join(lines) + b"\r\n" + body)
        opened.shutdown(socket.SHUT_WR)
        answers = b"".join(iter(partial(opened.recv, 65536), b""))
    assert b"HTTP/1.1 500" not in answers
    assert b"HTTP/1.0 500" not in answers
    assert shared.get("/_/health").status_code == 200


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="Linux alone can end such connections")
def test_who_takes_no_answer_keeps_no_connection(held: Held, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process.server, "SILENT_SECONDS", 1)
    with serving(Front(held.not_ready, LIMITS, hot=size)) as client, socket.socket() as opened:
        host, port = client.url.removeprefix("http://").split(":")
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        opened.connect((host, int(port)))
        opened.sendall(b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n")

        client_address = opened.getsockname()
        assert wait_until(lambda: keeps(client, client_address), 5)
        assert wait_until(lambda: not keeps(client, client_address), 15)


def test_every_answer_has_the_headers_of_its_front(held: Held) -> None:
    front = Front(held.not_ready, LIMITS, hot=size, others=held.app().answer, headers={"X-Its-Own": "yes"})
    requests = {
        200: b"GET /size HTTP/1.1\r\n\r\n",
        400: b"no HTTP\r\n\r\n",
        403: b"POST /size HTTP/1.1\r\nOrigin: http://evil.example\r\nContent-Length: 0\r\n\r\n",
        404: b"GET /nowhere HTTP/1.1\r\n\r\n",
        408: b"GET /size HTTP/1.1\r\n",
        413: b"POST /size HTTP/1.1\r\nContent-Length: 1000000000\r\n\r\n",
        431: b"GET /size HTTP/1.1\r\n" + b"X: \r\n" * 101 + b"\r\n",
        500: b"GET /later-bug HTTP/1.1\r\n\r\n",
    }
    with serving(front) as client:
        for expected, request in requests.items():
            with connection(client) as opened:
                opened.sendall(request)
                answer = opened.recv(65536)
            assert answer.startswith(b"HTTP/1.1 %d " % expected)
            assert answer.count(b"\r\nX-Its-Own: yes\r\n") == 1


@pytest.mark.parametrize("header", ["", "Connection: close\r\n"])
def test_who_goes_before_the_answer_keeps_no_connection(client: HttpClient, held: Held, header: str) -> None:
    with connection(client) as opened:
        opened.sendall(f"GET /held HTTP/1.1\r\nHost: localhost\r\n{header}\r\n".encode())
        assert wait_until(lambda: held.count == 1, 5)
        client_address = opened.getsockname()
    assert keeps(client, client_address)
    held.gate.set()
    assert wait_until(lambda: not keeps(client, client_address), 15)


def test_thousands_of_silent_connections_keep_nobody_out(client: HttpClient) -> None:
    with ExitStack() as stack:
        for _ in range(process.server.MOST_CONNECTIONS + 500):
            stack.enter_context(connection(client))
        assert client.post("/size", data=b"x").status_code == 200


@pytest.mark.parametrize("unfinished", [False, True])
def test_where_there_are_too_many_connections_the_oldest_that_is_not_in_hand_goes(
    held: Held, monkeypatch: pytest.MonkeyPatch, unfinished: bool
) -> None:
    begun = b"POST /size HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n"
    monkeypatch.setattr(process.server, "MOST_CONNECTIONS", 10)
    others, refused_before = held.app().answer, refused("connections")
    with serving(Front(held.not_ready, LIMITS, hot=size, others=others)) as client, ExitStack() as stack:
        in_hand, *kept = [stack.enter_context(connection(client)) for _ in range(10)]
        begin(in_hand, 1, b"x", "/held")
        assert wait_until(lambda: held.count == 1, 5)
        for each in kept if unfinished else []:
            each.sendall(begun)
            assert status(each) == 100
        assert client.post("/size", data=b"x").status_code == 200
        assert refused("connections") == refused_before + 1
        assert kept[0].recv(1) == b""
        held.gate.set()
        assert status(in_hand) == 200
        kept[-1].sendall(b"x" if unfinished else as_sent("/size", b"x", False))
        assert status(kept[-1]) == 200


def test_large_heads_take_part_of_the_budget(client: HttpClient) -> None:
    large = b"POST /size HTTP/1.1\r\nX-a: " + b"a" * (HEAD_PIECE_BYTES + MAX_REST_BYTES - 100)
    with ExitStack() as stack:
        for _ in range(LIMITS.body_budget_bytes // MAX_REST_BYTES + 10):
            opened = stack.enter_context(connection(client))
            opened.sendall(large)
        assert status(opened) == 503
        assert client.post("/size", data=b"x" * SMALL_BODY_BYTES).status_code == 200
    assert wait_until(lambda: held_bytes() == 0, 5)


REQUESTS = st.lists(
    st.tuples(
        st.sampled_from(["/size", "/echo/a", "/later", "/_/health", "/nowhere"]), st.binary(max_size=60), st.booleans()
    ),
    min_size=1,
    max_size=6,
)


def as_sent(path: str, body: bytes, chunked: bool) -> bytes:
    """Write a request, in chunks of different sizes where it is chunked."""
    if not chunked:
        return b"POST %b HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%b" % (path.encode(), len(body), body)
    chunks = [chunk for chunk in (body[:1], body[1:]) if chunk]
    written = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
    return b"POST %b HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n%b0\r\n\r\n" % (
        path.encode(),
        written,
    )


def answers(opened: socket.socket) -> list[tuple[int, bytes]]:
    """Return all answers until the connection is closed: their status and body."""
    found = []
    with opened.makefile("rb") as stream:
        while line := stream.readline():
            headers = parse_headers(stream)
            found.append((int(line.split()[1]), stream.read(int(headers["content-length"]))))
    return found


@settings(max_examples=150, deadline=None)
@given(REQUESTS, st.data())
def test_requests_are_answered_in_their_order_however_they_are_cut(
    shared: HttpClient, requests: Sequence[tuple[str, bytes, bool]], data: st.DataObject
) -> None:
    sent = b"".join(as_sent(*each) for each in requests)
    cuts = data.draw(st.lists(st.integers(0, len(sent)), max_size=4).map(sorted))
    expected = {"/size": 200, "/later": 200, "/echo/a": 200, "/_/health": 405, "/nowhere": 404}
    with connection(shared) as opened:
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for start, end in pairwise([0, *cuts, len(sent)]):
            opened.sendall(sent[start:end])
        opened.shutdown(socket.SHUT_WR)
        found = answers(opened)
    assert [status for status, _ in found] == [expected[path] for path, _, _ in requests]
    sizes = [(path, len(body)) for path, body, _ in requests]
    assert all(
        answer == str(length).encode()
        for (path, length), (_, answer) in zip(sizes, found, strict=True)
        if path in ("/size", "/later")
    )


def test_who_sends_more_at_once_than_may_wait_has_the_first_answered(client: HttpClient) -> None:
    with connection(client) as opened:
        opened.sendall(as_sent("/later", b"", False) + as_sent("/size", b"four", False) * 100)
        found = answers(opened)
    assert [status for status, _ in found] == [200] * MOST_PIPELINED


@pytest.mark.parametrize(
    "head",
    [
        b"GET /size HTTP/1.1\r\n" + b"X-a: b\r\n" * 101 + b"\r\n",
        b"GET /size HTTP/1.1\r\nX-a: " + b"b" * 50_000,
        b"GET /" + b"s" * 50_000,
    ],
    ids=["many headers", "a long header", "a long target"],
)
def test_a_large_head_is_refused(client: HttpClient, head: bytes) -> None:
    with connection(client) as opened:
        opened.sendall(head)
        assert status(opened) == 431


@pytest.mark.parametrize("rest", [b"1\r\nx\r\n" * 20_000, b"0\r\nX-a: " + b"x" * 100_000], ids=["chunks", "trailers"])
def test_a_body_that_is_mostly_something_else_is_refused(client: HttpClient, rest: bytes) -> None:
    with connection(client) as opened:
        opened.sendall(b"POST /size HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n" + rest)
        assert status(opened) == 400


def test_a_request_behind_one_that_takes_long_has_its_time_once_that_is_answered(
    client: HttpClient, held: Held
) -> None:
    with connection(client) as opened:
        begin(opened, 1, b"x", "/held")
        begin(opened, 2, b"x")
        assert wait_until(lambda: held.count == 1, 5)
        time.sleep(1.5 * LIMITS.body_timeout_seconds)  # what is tested
        held.gate.set()
        assert status(opened) == 200
        opened.sendall(b"x")
        assert status(opened) == 200


def test_a_client_that_asks_whether_to_send_is_told(client: HttpClient) -> None:
    with connection(client) as opened:
        opened.sendall(b"POST /size HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n")
        assert status(opened) == 100
        opened.sendall(b"four")
        assert opened.recv(65536).endswith(b"4")
    with connection(client) as opened:
        opened.sendall(
            b"POST /size HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n" % (MIB + 1)
        )
        assert status(opened) == 413


def test_the_head_of_an_answer_is_had_alone(client: HttpClient) -> None:
    for path in ("/size", "/echo/a", "/_/health"):
        head, whole = client.head(path), client.get(path)
        assert (head.status_code, head.data) == (200, b"")
        assert head.headers["content-length"] == whole.headers["content-length"] == str(len(whole.data))


@pytest.mark.parametrize(("version", "header"), [(b"1.0", b""), (b"1.1", b"Connection: close\r\n")])
def test_a_connection_is_closed_where_the_client_wants_it(client: HttpClient, version: bytes, header: bytes) -> None:
    with connection(client) as opened:
        opened.sendall(b"GET /size HTTP/%b\r\nHost: localhost\r\n%b\r\n" % (version, header))
        assert answers(opened) == [(200, b"0")]


def test_a_bug_is_answered_500_told_to_the_log_and_leaves_the_others_alone(
    client: HttpClient, caplog: pytest.LogCaptureFixture
) -> None:
    for path in ("/bug", "/later-bug"):
        caplog.clear()
        with connection(client) as opened:
            opened.sendall(b"GET %b HTTP/1.1\r\nHost: localhost\r\n\r\n" % path.encode())
            assert status(opened) == 500
        assert wait_until(lambda: "a bug of the test" in caplog.text, 5)
        assert client.post("/size", data=b"x").get_json() == 1


def test_who_is_in_hand_is_answered_before_the_end_and_idle_connections_are_closed(held: Held) -> None:
    with serving(Front(held.not_ready, LIMITS, hot=size, others=held.app().answer)) as client, ExitStack() as stack:
        idle, busy, sending = [stack.enter_context(connection(client)) for _ in range(3)]
        begin(busy, 1, b"x", "/held")
        sending.sendall(b"POST /size HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        assert status(sending) == 100
        sending.sendall(b"x")
        assert wait_until(lambda: held.count == 1, 5)
        ending = threading.Thread(target=client.end)
        ending.start()
        assert idle.recv(1) == b""
        sending.sendall(b"x")
        assert answers(sending) == [(200, b"2")]
        assert ending.is_alive()
        held.gate.set()
        assert answers(busy) == [(200, b"1")]
        ending.join(10)
        assert not ending.is_alive()
        with pytest.raises(ConnectionRefusedError), connection(client):
            pass
