"""The client on the real functions, gateway, broker and bridge; one system for all that is asked here.

`from client import Sentiment` first, then the commands that are made of it.
"""

import asyncio
import io
import json
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from client import AsyncSentiment, NotAllowed, Sentiment, Unavailable, Unusable
from client.commandline import main
from contracts.drift import Findings
from contracts.predict import Answer
from contracts.stream import BridgeProgress, Lag
from deploy import ports, servers
from deploy.runner import wait_until
from messages.amqp import blocking_connection
from sentiment.training import train_artifact
from tests.conftest import RabbitMQNode, S3Server
from tests.integration.test_retrain import TOKEN, corpus
from tests.running import Part, running
from tests.system import ROOT, promote, python_service
from tests.system import Client as Broker

GOOD, BAD = "a great, lovely film", "an awful, dull film"
STREAMS = ("predictions", "rejected")


@dataclass
class System:
    """The functions behind a gateway and the bridge; predict can be restarted, while it keeps its address."""

    gateway_url: str
    predict: Part
    amqp_url: str
    stream_url: str
    bridge_url: str
    reviews: str
    labels: str

    def client(self) -> Sentiment:
        return Sentiment(
            self.gateway_url,
            token=TOKEN,
            rabbitmq_url=self.amqp_url,
            rabbitmq_stream_url=self.stream_url,
            bridge_url=self.bridge_url,
        )

    def asynchronous(self) -> AsyncSentiment:
        return AsyncSentiment(
            self.gateway_url,
            token=TOKEN,
            rabbitmq_url=self.amqp_url,
            rabbitmq_stream_url=self.stream_url,
            bridge_url=self.bridge_url,
        )


@pytest.fixture(scope="module")
def system(
    tmp_path_factory: pytest.TempPathFactory, s3_server: S3Server, mongodb_url: str, rabbitmq: RabbitMQNode
) -> Iterator[System]:
    folder, name = tmp_path_factory.mktemp("client"), secrets.token_hex(6)
    reviews, labels = f"test-{name}", f"labels-{name}"
    environment = {
        **s3_server.environment,
        **rabbitmq.environment,
        "S3_BUCKET": f"test-{name}",
        "MONGODB_URL": f"{mongodb_url}/test_{name}",
        "BRIDGE_SOURCE": f"stream:{reviews}",
        "BRIDGE_LABELS": labels,
        "RETRAIN_TOKEN": TOKEN,
        "DRIFT_MIN_TEXTS": "50",
    }
    with ExitStack() as stack:
        patched = stack.enter_context(pytest.MonkeyPatch.context())
        for variable, value in environment.items():
            patched.setenv(variable, value)
        promote(train_artifact(corpus(), holdout_share=0.25))
        with blocking_connection(rabbitmq.amqp_url) as connection:
            for stream in STREAMS:  # another test may have left one
                connection.channel().queue_delete(stream)
        services = {
            function: python_service(f"functions.{function}", folder, environment)
            for function in ("predict", "retrain", "drift")
        }
        predict = Part(services["predict"])
        predict.start()
        stack.callback(predict.close)
        for function in ("retrain", "drift"):
            stack.enter_context(running(services[function]))
        at = {function: int(service.variables["PORT"]) for function, service in services.items()}
        gateway = servers.gateway(folder, ports.free_port(), at)
        stack.enter_context(running(gateway))
        url = gateway.variables["GATEWAY_URL"]
        bridge = python_service("bridge", folder, {**environment, "GATEWAY_URL": url})
        stack.enter_context(running(bridge))
        yield System(url, predict, rabbitmq.amqp_url, rabbitmq.stream_url, bridge.variables["URL"], reviews, labels)
    with blocking_connection(rabbitmq.amqp_url) as connection:
        for stream in (*STREAMS, reviews, labels):
            connection.channel().queue_delete(stream)


@pytest.fixture
def client(system: System) -> Iterator[Sentiment]:
    with system.client() as found:
        yield found


def numbered(count: int) -> Iterator[str]:
    """Texts whose answers tell their order: every third one is positive."""
    return (f"{GOOD if number % 3 == 0 else BAD} {number}" for number in range(count))


def in_order(answers: list[Answer], count: int) -> bool:
    return [answer.prediction for answer in answers] == [
        "positive" if number % 3 == 0 else "negative" for number in range(count)
    ]


def restarted(system: System, end: Callable[[], object], caplog: pytest.LogCaptureFixture) -> Callable[[int], None]:
    """Return what ends predict after the first answers, and starts it once somebody has asked in vain."""
    threads: list[threading.Thread] = []

    def restart() -> None:
        end()
        assert wait_until(lambda: "predict answered 502" in caplog.text, 30)
        system.predict.start()

    def progress(_: int) -> None:
        if not threads:
            threads.append(threading.Thread(target=restart))
            threads[0].start()

    return progress


def test_a_text_is_answered_and_explained(client: Sentiment) -> None:
    assert client.predict(GOOD).prediction == "positive"
    explained = client.predict(BAD, explain=True)
    assert explained.prediction == "negative"
    assert isinstance(explained.words, list)
    assert isinstance(explained.bias, float)
    assert sum(word.log_odds for word in explained.words) + explained.bias == pytest.approx(explained.log_odds)
    assert explained.model == client.model().model


def test_many_texts_are_answered_in_their_order_and_no_more_are_taken_than_are_needed(client: Sentiment) -> None:
    taken, told = 0, list[int]()

    def texts() -> Iterator[str]:
        nonlocal taken
        for text in numbered(25_000):
            taken += 1
            yield text

    answers = client.predict_many(texts(), record=False, progress=told.append)
    first = next(answers)
    assert taken <= 6_001
    assert in_order([first, *answers], 25_000)
    assert sum(told) == taken == 25_000


def test_a_text_that_cannot_be_scored_has_an_error_and_costs_no_other(client: Sentiment) -> None:
    texts: list[object] = [GOOD, "x" * 100_001, None, "\ud800", b"bytes", BAD]
    answers = [*client.predict_many(texts)]  # type: ignore[arg-type]  # what a program without types sends
    assert [answer.error for answer in answers] == [
        None,
        "has 100001 characters; at most 100000 are allowed",
        "must be a string",
        "has half a character at 0, which can't be sent",
        "must be a string",
        None,
    ]
    assert [answers[0].prediction, answers[-1].prediction] == ["positive", "negative"]
    assert [*client.predict_many([])] == []


def test_texts_that_are_long_or_explained_are_sent_in_batches_that_predict_takes(client: Sentiment) -> None:
    escaped = "\x01" * 99_000
    assert in_order([*client.predict_many(f"{text} {escaped}" for text in numbered(30))], 30)
    answers = [*client.predict_many((text + " x" * 4_000 for text in numbered(60)), explain=True)]
    assert in_order(answers, 60)
    assert all(isinstance(answer.words, list) for answer in answers)


def test_nothing_is_lost_or_answered_twice_while_predict_is_restarted(
    client: Sentiment, system: System, caplog: pytest.LogCaptureFixture
) -> None:
    progress = restarted(system, system.predict.terminate, caplog)
    assert in_order([*client.predict_many(numbered(25_000), record=False, progress=progress)], 25_000)
    assert "tried again" in caplog.text


def test_asyncio_has_the_same_answers_while_predict_is_killed(system: System, caplog: pytest.LogCaptureFixture) -> None:
    async def texts() -> AsyncIterator[str]:
        for text in numbered(10_000):
            yield text

    async def ask() -> None:
        async with system.asynchronous() as client:
            progress = restarted(system, system.predict.kill, caplog)
            many = [answer async for answer in client.predict_many(texts(), record=False, progress=progress)]
            assert in_order(many, 10_000)
            assert in_order([answer async for answer in client.predict_many(numbered(5))], 5)
            found = await asyncio.gather(*(client.predict(text) for text in numbered(20)))
            assert [answer.prediction for answer in found] == [answer.prediction for answer in many[:20]]
            assert (await client.models()).model == (await client.model()).model

    asyncio.run(ask())
    assert "tried again" in caplog.text


def test_a_label_is_learned_by_the_next_run_and_the_version_can_be_left_again(client: Sentiment) -> None:
    before = client.models()
    taken = client.label("the lamplighter was superb", "positive", source="test", identifier="one")
    assert (taken.accepted, taken.pending) == (1, 1)
    outcome = client.retrain()
    assert (outcome.retrained, outcome.promoted) == (True, True), outcome.reason
    after = client.models()
    assert (after.pending, after.used) == (0, before.used + 1)
    assert after.model == outcome.model
    assert len(after.versions) == len(before.versions) + 1
    assert client.rollback(before.model).model == before.model


def test_who_has_no_token_teaches_nothing(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RETRAIN_TOKEN", raising=False)
    with Sentiment(system.gateway_url, try_seconds=60) as client:
        started = time.monotonic()
        with pytest.raises(NotAllowed, match="Authorization: Bearer <retrain-token>") as caught:
            client.label(GOOD, 1)
        assert time.monotonic() - started < 30  # not tried again
    assert caught.value.status == 401


def test_a_wrong_label_is_told_before_any_is_sent(client: Sentiment) -> None:
    pending = client.models().pending
    with pytest.raises(Unusable, match="the label must be 0, 1"):
        client.label(GOOD, "good")
    assert client.models().pending == pending


def test_drift_is_looked_at_and_checked(client: Sentiment) -> None:
    found = client.drift()
    assert type(found) is Findings
    assert found.status in ("ok", "drift", "not-enough-data")
    checked = client.drift_check()
    assert checked.model == found.model


def test_a_system_that_is_not_there_is_told_in_time() -> None:
    with (
        Sentiment(f"http://127.0.0.1:{ports.free_port()}", try_seconds=0.3) as client,
        pytest.raises(Unavailable, match="predict can't be reached"),
    ):
        client.predict(GOOD)


def test_texts_by_the_stream_are_answered_each_once_while_the_bridge_works(client: Sentiment, system: System) -> None:
    texts: list[str] = [*numbered(6_000), "x" * 100_001]
    answers = [*client.stream(texts, name=system.reviews)]
    assert sorted(number for number, _ in answers) == [*range(6_001)]
    by_number = dict(answers)
    assert in_order([by_number[number] for number in range(6_000)], 6_000)
    assert by_number[6_000].error == "has 100001 characters; at most 100000 are allowed"


def test_no_text_by_the_stream_is_lost_or_answered_twice_where_the_broker_is_killed(
    client: Sentiment, system: System, rabbitmq: RabbitMQNode
) -> None:
    answers = client.stream(numbered(12_000), name=system.reviews, answer_seconds=120)
    found = [next(answers) for _ in range(100)]
    rabbitmq.kill()
    rabbitmq.start()
    found += answers
    assert sorted(number for number, _ in found) == [*range(12_000)]
    by_number = dict(found)
    assert in_order([by_number[number] for number in range(12_000)], 12_000)


def test_texts_by_the_stream_are_explained_for_asyncio_too(system: System) -> None:
    async def ask() -> list[tuple[int, Answer]]:
        async with system.asynchronous() as client:
            return [found async for found in client.stream([GOOD, BAD], name=system.reviews, explain=True)]

    answers = dict(asyncio.run(ask()))
    assert [answers[number].prediction for number in range(2)] == ["positive", "negative"]
    assert all(isinstance(answer.words, list) for answer in answers.values())


def test_texts_that_no_bridge_answers_are_told(client: Sentiment, system: System) -> None:
    nobody = f"{system.reviews}-nobody"
    with blocking_connection(system.amqp_url) as connection:
        channel = connection.channel()
        channel.queue_declare(nobody, durable=True, arguments={"x-queue-type": "stream"})
        channel.exchange_declare(nobody, "fanout")
        channel.queue_bind(nobody, nobody)
    with pytest.raises(Unavailable, match=r"2 texts got no answer in 0\.5 s: is the bridge running"):
        [*client.stream([GOOD, BAD], name=nobody, answer_seconds=0.5)]
    with blocking_connection(system.amqp_url) as connection:
        connection.channel().queue_delete(nobody)
        connection.channel().exchange_delete(nobody)


@pytest.fixture
def addresses(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system's addresses and token, where the commands find them."""
    monkeypatch.setenv("GATEWAY_URL", system.gateway_url)
    monkeypatch.setenv("RETRAIN_TOKEN", TOKEN)
    monkeypatch.setenv("RABBITMQ_URL", system.amqp_url)
    monkeypatch.setenv("RABBITMQ_STREAM_URL", system.stream_url)
    monkeypatch.setenv("BRIDGE_URL", system.bridge_url)


def run(capture: pytest.CaptureFixture[bytes], *arguments: str) -> tuple[int, str, str]:
    """Return the exit code of a command, and what it prints."""
    code = main([*arguments])
    output, errors = capture.readouterr()
    return code, output.decode(), errors.decode()


@pytest.mark.usefixtures("addresses")
def test_ask_prints_a_line_for_each_text(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    code, output, errors = run(capsysbinary, "ask", GOOD, f"{BAD}\x1b[2J", "--no-record")
    assert (code, errors) == (0, "")
    first, second = output.splitlines()
    assert first.startswith("positive ")
    assert first.endswith(f"%  {GOOD}")
    assert second.startswith("negative ")
    assert "\x1b" not in output  # a text gives a terminal no orders
    code, output, _ = run(capsysbinary, "ask", "--explain", BAD)
    assert [line.split()[-1] for line in output.splitlines() if "awful" in line and "," not in line] == ["awful"]
    assert "what every text begins with" in output


@pytest.mark.usefixtures("addresses")
def test_ask_reads_lines_and_says_by_its_exit_code_that_one_has_no_answer(
    capsysbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{GOOD}\n{'x' * 100_001}\n{BAD}\n"))
    code, output, errors = run(capsysbinary, "ask", "--json")
    assert (code, errors) == (1, "")
    answers = [json.loads(line) for line in output.splitlines()]
    assert [answer.get("prediction") for answer in answers] == ["positive", None, "negative"]
    assert answers[1] == {"error": "has 100001 characters; at most 100000 are allowed"}


@pytest.mark.usefixtures("addresses")
def test_label_teaches_and_models_shows_what_came_of_it(
    capsysbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = b'{"text": "the cellist was superb", "label": 1}\n\n{"text": "the cellist was poor", "label": "negative"}\n'
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(lines)))
    code, output, errors = run(capsysbinary, "label", "--json")
    assert (code, errors) == (0, "")
    assert json.loads(output)["accepted"] == 2
    code, output, errors = run(capsysbinary, "label", "the cellist was lovely", "positive", "--now")
    assert (code, errors) == (0, "")
    assert output.startswith("1 new, 0 known before; 3 wait to be learned\n")
    assert "\npromoted: " in output
    served = output.rpartition("served: ")[2].strip()
    code, output, errors = run(capsysbinary, "models")
    assert (code, errors) == (0, "")
    (line,) = (line for line in output.splitlines() if line.startswith("*"))
    assert line.split()[1] == served
    assert "0 wait" in output
    code, output, _ = run(capsysbinary, "models", "--json")
    assert json.loads(output)["model"] == served


@pytest.mark.usefixtures("addresses")
@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["label", GOOD], "what is the text's label"),
        (["label", GOOD, "good"], "the label must be 0, 1"),
        (["label", GOOD, "1", "--gateway-url", "http://127.0.0.1:9/x"], "retrain can't be reached"),
    ],
)
def test_what_can_not_be_done_is_one_line(
    arguments: list[str],
    says: str,
    capsysbinary: pytest.CaptureFixture[bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("client.commands.served.TRY_SECONDS", 0)
    code, output, errors = run(capsysbinary, *arguments)
    assert (code, output) == (1, "")
    assert len(errors.splitlines()) == 1
    assert errors.startswith("python -m sentiment: ")
    assert says in errors


@pytest.mark.usefixtures("addresses")
def test_watch_says_what_comes_by_the_stream_and_ends_at_ctrl_c(client: Sentiment, system: System) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "sentiment", "watch", "--json", "--every", "0.5"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout
        assert process.stderr
        look = json.loads(process.stdout.readline())
        assert look["model"] == client.models().model
        assert look["drift"] is False
        assert dict(client.stream([GOOD], name=system.reviews))[0].prediction == "positive"
        answer = next(seen["answer"] for line in process.stdout if "answer" in (seen := json.loads(line)))
        assert (answer["id"], answer["prediction"]) == (0, "positive")
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
        assert process.stderr.read() == b""


def page(capture: pytest.CaptureFixture[bytes]) -> dict[str, str]:
    """Return the rows of the page that `watch` shows to people."""
    code, output, errors = run(capture, "watch", "--for", "0")
    assert (code, errors) == (0, "")
    return dict(line.split(None, 1) for line in output.splitlines() if len(line.split()) > 1)


@pytest.mark.usefixtures("addresses")
def test_watch_shows_a_page_to_people_and_what_is_missing(
    capsysbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RABBITMQ_URL", "RABBITMQ_STREAM_URL", "BRIDGE_URL"):
        monkeypatch.setenv(name, "")
    rows = page(capsysbinary)
    assert rows["labels"].endswith(" learned")
    assert rows["drift"].startswith("no drift; of the last ")
    assert rows["problem"].startswith("which broker?")
    assert "lag" not in rows


@pytest.mark.usefixtures("addresses")
def test_watch_shows_how_many_messages_wait_for_the_bridge_and_how_many_it_has_rejected(
    client: Sentiment, system: System, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    def bridge() -> BridgeProgress:
        found = client.bridge()
        assert found
        return found

    rejected_before = bridge().rejected_messages
    system.predict.terminate()
    try:
        broker = Broker(system.amqp_url)
        broker.publish(system.reviews, [GOOD.encode()] * 5 + [b"{"])
        broker.close()
        assert wait_until(lambda: bridge().lag == [Lag(system.reviews, 6), Lag(system.labels, 0)], 30), bridge()
        code, output, _ = run(capsysbinary, "watch", "--json", "--for", "0")
        look = json.loads(output)
        assert (code, look["rejected_messages"]) == (0, rejected_before)
        assert look["lag_messages"] == {system.reviews: 6, system.labels: 0}
        waits = f"6 of {system.reviews}, 0 of {system.labels}; {rejected_before} rejected since the bridge started"
        assert page(capsysbinary)["lag"] == waits
    finally:
        system.predict.start()
    done = BridgeProgress([Lag(system.reviews, 0), Lag(system.labels, 0)], rejected_before + 1)
    assert wait_until(lambda: bridge() == done, 30), bridge()


@pytest.mark.usefixtures("addresses")
def test_watch_says_that_the_bridge_is_away_and_shows_the_rest(
    capsysbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BRIDGE_URL", f"http://127.0.0.1:{ports.free_port()}")
    rows = page(capsysbinary)
    assert rows["problem"].startswith("bridge can't be reached: ")
    assert rows["labels"].endswith(" learned")
    assert "lag" not in rows
