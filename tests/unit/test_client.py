"""The client by itself: where it finds the system, what it sends together, what it tries again and what it does not."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw

from client import Conflict, NotAllowed, Refused, Sentiment, Unavailable, Unusable
from client.addresses import Addresses
from client.batches import BATCH_BYTES, BATCH_TEXTS, Line
from contracts.codec import Reader
from contracts.limits import MAX_EXPLAINED_BATCH_CHARACTERS
from contracts.predict import Answer
from deploy import ports
from process.answers import json_answer
from process.front import Front, Limits
from tests.http import serving
from tests.project import ROOT
from tests.unit.test_bridge_reviews import Answer as Answering
from tests.unit.test_bridge_reviews import FunctionServer, positive, refusal, serve

__all__ = ["serve"]  # a fixture
VARIABLES = ("GATEWAY_URL", "RETRAIN_TOKEN", "RABBITMQ_URL", "RABBITMQ_STREAM_URL", "BRIDGE_URL")
read_texts = Reader(str)


def client_of(server: FunctionServer, *, try_seconds: float = 10) -> Sentiment:
    return Sentiment(f"http://127.0.0.1:{server.server.server_port}", token="t", try_seconds=try_seconds)


@pytest.fixture
def local_stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder whose local stack has written down its addresses, and nothing in the environment."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    (tmp_path / ".local").mkdir()
    written = {"GATEWAY_URL": "http://127.0.0.1:8090", "RETRAIN_TOKEN": "local", "RABBITMQ_URL": "amqp://local",
               "RABBITMQ_STREAM_URL": "rabbitmq-stream://local", "BRIDGE_URL": "http://127.0.0.1:8091"}  # fmt: skip
    (tmp_path / ".local" / "env").write_text("".join(f"export {name}='{value}'\n" for name, value in written.items()))
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("local_stack")
def test_the_local_stack_of_the_folder_is_found_with_its_keys() -> None:
    assert Addresses.found() == Addresses(
        "http://127.0.0.1:8090", "local", "amqp://local", "rabbitmq-stream://local", "http://127.0.0.1:8091"
    )


@pytest.mark.usefixtures("local_stack")
def test_the_keys_of_the_local_stack_are_sent_nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = Addresses("https://elsewhere", None, None, None, None)
    assert Addresses.found("https://elsewhere") == elsewhere
    monkeypatch.setenv("GATEWAY_URL", "https://elsewhere")
    assert Addresses.found() == elsewhere


@pytest.mark.usefixtures("local_stack")
def test_what_is_given_counts_more_than_the_environment_and_that_more_than_the_local_stack(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RETRAIN_TOKEN", "of the environment")
    monkeypatch.setenv("RABBITMQ_URL", "amqp://environment")
    monkeypatch.setenv("BRIDGE_URL", "http://environment")
    found = Addresses.found()
    assert (found.token, found.rabbitmq_url, found.rabbitmq_stream_url) == ("of the environment", None, None)
    assert found.bridge_url == "http://environment"
    addresses = ("http://given", "given", "amqp://given", "rabbitmq-stream://given", "http://bridge")
    assert Addresses.found(*addresses) == Addresses(*addresses)


def test_no_key_is_shown_by_what_holds_it() -> None:
    assert "hush" not in repr(Addresses("http://here", "hush", "amqp://u:hush@h", "rabbitmq-stream://u:hush@h", None))


def through(line: Line, texts: Sequence[object]) -> list[Answer]:
    def futures() -> Iterator[list[Answer]]:
        for text in texts:
            for answers in line.put(text):
                yield answers.result()
        for answers in line.end():
            yield answers.result()

    return [answer for answers in futures() for answer in answers]


# Few and short ones, and long ones by a few numbers, so that batches end by each of their limits.
TEXTS = st.lists(st.one_of(st.text(max_size=3), st.integers(), st.sampled_from(["é" * 9_999, "\x01" * 99_999])))


@settings(max_examples=15, deadline=None)
@given(texts=TEXTS, times=st.integers(1, 100), explain=st.booleans())
def test_batches_keep_their_limits_and_the_order_of_texts(texts: list[object], times: int, explain: bool) -> None:
    sent: list[Sequence[Raw]] = []

    def score(batch: Sequence[Raw]) -> list[Answer]:
        sent.append(batch)
        time.sleep(len(sent) % 3 / 1_000)  # some overtake others
        return [Answer(prediction=read_texts(text)) for text in batch]

    texts = (texts * times)[:3_000]
    line = Line(score, explain=explain, in_flight=3)
    answers = through(line, texts)
    line.close()
    assert len(answers) == len(texts)
    for text, answer in zip(texts, answers, strict=True):
        assert answer.prediction == text if answer.error is None else answer.error.startswith(("must be", "has "))
    for batch in sent:
        assert len(batch) <= BATCH_TEXTS
        assert sum(len(bytes(text)) for text in batch) <= BATCH_BYTES
        assert not explain or sum(len(read_texts(text)) for text in batch) <= MAX_EXPLAINED_BATCH_CHARACTERS


def test_no_more_batches_are_on_their_way_than_were_asked_for() -> None:
    let_go, begun = threading.Event(), threading.Semaphore(0)

    def score(batch: Sequence[Raw]) -> list[Answer]:
        begun.release()
        assert let_go.wait(30)
        return [Answer()] * len(batch)

    line = Line(score, explain=False, in_flight=2)
    waiting = [answers for number in range(4 * BATCH_TEXTS) for answers in line.put(str(number))]
    assert len(waiting) == 1  # the first batch is to be waited for, before there is a fifth
    assert begun.acquire(timeout=30)
    assert begun.acquire(timeout=30)
    assert not begun.acquire(timeout=0.05)
    let_go.set()
    waiting += line.end()
    assert sum(len(answers.result(30)) for answers in waiting) == 4 * BATCH_TEXTS
    line.close()


def test_a_batch_that_is_refused_is_parted_until_the_bad_text_stands_alone(
    serve: Callable[[Answering], FunctionServer],
) -> None:
    server = serve(lambda body: refusal(413, "too large") if b"large" in body else positive(body))
    with client_of(server) as client:
        answers = [*client.predict_many(["a", "b", "large", "c"])]
    assert [answer.prediction for answer in answers] == ["positive", "positive", "", "positive"]
    assert answers[2].error == "predict refused it: too large"


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, Unusable), (401, NotAllowed), (403, NotAllowed), (404, Refused), (409, Conflict), (413, Unusable),
     (415, Unusable), (500, Refused)],
)  # fmt: skip
def test_what_a_function_refuses_is_not_tried_again(
    status: int, kind: type[Refused], serve: Callable[[Answering], FunctionServer]
) -> None:
    server = serve(lambda _: refusal(status, "so it is"))
    with client_of(server) as client, pytest.raises(kind, match="retrain refused it: so it is") as caught:
        client.label("a text", 1)
    assert type(caught.value) is kind
    assert caught.value.status == status
    assert len(server.bodies) == 1


TAKEN = b'{"accepted":1,"repeated":0,"pending":1,"ids":["a"],"model":null,"retrained":false}'


@pytest.mark.parametrize(
    "moment", [(503, {}, b""), (502, {}, b"a proxy's"), (404, {}, b"no such function"), (429, {}, b""), (200, {}, b"")]
)
def test_a_bad_moment_is_waited_for(
    moment: tuple[int, dict[str, str], bytes], serve: Callable[[Answering], FunctionServer]
) -> None:
    answers = iter([moment, moment])
    server = serve(lambda _: next(answers, (202, {}, TAKEN)))
    with client_of(server) as client:
        assert client.label("a text", "positive").accepted == 1
    assert len(server.bodies) == 3
    assert server.headers[0]["Authorization"] == "Bearer t"


def test_the_wait_is_as_long_as_the_function_asks_for(serve: Callable[[Answering], FunctionServer]) -> None:
    answers = iter([(503, {"Retry-After": "1"}, b"")])
    server = serve(lambda _: next(answers, (202, {}, TAKEN)))
    started = time.monotonic()
    with client_of(server) as client:
        client.label("a text", 0)
    assert time.monotonic() - started >= 1


@pytest.mark.parametrize("ask", [Sentiment.rollback, Sentiment.retrain], ids=["rollback", "retrain"])
def test_what_would_be_done_twice_is_tried_once(
    ask: Callable[[Sentiment], object], serve: Callable[[Answering], FunctionServer]
) -> None:
    server = serve(lambda _: (502, {}, b""))
    with client_of(server) as client, pytest.raises(Unavailable, match="retrain answered 502") as caught:
        ask(client)
    assert caught.value.status == 502
    assert len(server.bodies) == 1


def test_what_answers_at_the_bridges_address_and_is_none_is_told() -> None:
    page = json_answer({"a page": "of somebody else"})
    with (
        serving(Front(lambda: None, Limits.of(1), others=lambda _: page)) as server,
        Sentiment(bridge_url=f"{server.url}/elsewhere", try_seconds=0) as client,
        pytest.raises(Unavailable, match="/elsewhere did not answer as a bridge does: these are no metrics"),
    ):
        client.bridge()


def test_who_closes_the_client_waits_for_no_retry(serve: Callable[[Answering], FunctionServer]) -> None:
    asked = threading.Event()

    def away(_: bytes) -> tuple[int, dict[str, str], bytes]:
        asked.set()
        return 503, {"Retry-After": "10"}, b""

    client = client_of(serve(away), try_seconds=600)
    failed: list[Exception] = []

    def ask() -> None:
        with pytest.raises(Unavailable) as caught:
            client.label("a text", 1)
        failed.append(caught.value)

    thread = threading.Thread(target=ask)
    thread.start()
    assert asked.wait(30)
    client.close()
    thread.join(5)
    assert len(failed) == 1


def test_the_library_prints_nothing_and_loads_neither_models_nor_brokers(tmp_path: Path) -> None:
    program = f"""
import sys
from client import AsyncSentiment, Sentiment, Unavailable
try:
    Sentiment("http://127.0.0.1:{ports.free_port()}", try_seconds=0.5).predict("a text")
except Unavailable:
    assert not sys.modules.keys() & {{"numpy", "sklearn", "pika", "rstream", "rich", "pymongo", "boto3"}}
    sys.exit(7)
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr) == (7, b"", b"")


def command(*arguments: str, **options: Any) -> subprocess.Popen[bytes]:
    """Start a command that asks for the sentiment of what comes by standard input."""
    return subprocess.Popen(
        [sys.executable, "-m", "sentiment", "ask", *arguments],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **options,
    )


def test_a_reader_that_goes_away_ends_ask_without_a_word(serve: Callable[[Answering], FunctionServer]) -> None:
    url = f"http://127.0.0.1:{serve(positive).server.server_port}"
    reader, writer = os.pipe()
    with command("--gateway-url", url, stdout=writer) as process:
        os.close(writer)
        os.close(reader)
        _, errors = process.communicate(b"a film\n" * 5_000, timeout=60)
    assert (process.returncode, errors) == (0, b"")


def test_ctrl_c_ends_ask_without_a_word_while_it_waits_for_predict(
    serve: Callable[[Answering], FunctionServer],
) -> None:
    asked = threading.Event()

    def away(_: bytes) -> tuple[int, dict[str, str], bytes]:
        asked.set()
        return 503, {"Retry-After": "10"}, b""

    url = f"http://127.0.0.1:{serve(away).server.server_port}"
    with command("--gateway-url", url, "a text", stdout=subprocess.PIPE) as process:
        assert asked.wait(30)
        process.send_signal(signal.SIGINT)
        started = time.monotonic()
        output, errors = process.communicate(timeout=60)
    assert (process.returncode, output, errors) == (130, b"", b"")
    assert time.monotonic() - started < 5
