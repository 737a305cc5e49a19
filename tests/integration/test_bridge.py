"""The bridge on a real broker, database, store and gateway: every message gets its one record and its answer."""

import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pika
import pytest
import urllib3

from contracts.manifest import About
from deploy import ports, runner
from messages.topology import declare_streams
from records import Records
from sentiment.artifact import Artifact
from sentiment.packing import pack
from sentiment.trainers.multinomial_nb import train
from tests.conftest import RabbitMQNode
from tests.running import running
from tests.system import ROOT, Client, promote, python_service, through_gateway

STREAMS = ("predictions", "rejected")
BAD_BODIES = (
    b'{"text": ',
    b'{"no": "text"}',
    b"\xff\xfe",
    b'{"text": 7}',
    b"x" * 100_001,
    b"",
    b'{"text": "a", "id": []}',
    b'{"text": ' + b"[" * 100_000,
    b'{"x": ' * 100_000,
)
GOOD = b'{"text": "I love it"}'


def tiny_model() -> Artifact:
    model = train(["I love it, great", "wonderful and great", "I hate it, awful", "a dull bore"], [1, 1, 0, 0])
    return pack(model, About(trained_at="2026-01-01T00:00:00+00:00", trainer="test", data=None, examples=4))


@pytest.fixture
def environment(
    environment: dict[str, str], rabbitmq: RabbitMQNode, stream_name: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Mapping[str, str]]:
    """The variables of a system of its own on the shared servers."""
    variables = {**environment, **rabbitmq.environment, "BRIDGE_SOURCE": f"stream:{stream_name}"}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    yield variables
    # Streams are shared by name between tests: each begins with empty ones.
    client = Client(rabbitmq.amqp_url)
    for name in (*STREAMS, stream_name, "replies"):
        client.channel.queue_delete(name)
    client.close()


@pytest.fixture
def client(environment: Mapping[str, str]) -> Iterator[Client]:
    found = Client(environment["RABBITMQ_URL"])
    for name in STREAMS:  # another test may have left one
        found.channel.queue_delete(name)
    declare_streams(environment["RABBITMQ_URL"], [*STREAMS, source_of(environment)], 1_000_000_000)
    found.declare("replies")
    yield found
    found.close()


@pytest.fixture
def gateway_url(environment: Mapping[str, str], tmp_path: Path) -> Iterator[str]:
    promote(tiny_model())
    with through_gateway(tmp_path, {"predict": python_service("functions.predict", tmp_path, environment)}) as url:
        yield url


def source_of(environment: Mapping[str, str]) -> str:
    return environment["BRIDGE_SOURCE"].partition(":")[2]


@contextmanager
def bridge(environment: Mapping[str, str], gateway_url: str, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    service = python_service("bridge", folder, {**environment, "GATEWAY_URL": gateway_url})
    with running(service) as process:
        yield process


def wait_for_offset(records: Records, stream: str, offset: int, timeout_seconds: float = 60) -> None:
    assert runner.wait_until(lambda: records.offset(stream) == offset, timeout_seconds), records.offset(stream)


def test_good_messages_are_recorded_and_answered_and_bad_ones_parked(
    environment: Mapping[str, str], client: Client, records: Records, gateway_url: str, tmp_path: Path
) -> None:
    bodies = [BAD_BODIES[n // 100 % len(BAD_BODIES)] if n % 100 == 7 else GOOD for n in range(2_000)]
    bad = {n for n in range(2_000) if n % 100 == 7}
    client.publish(source_of(environment), bodies, reply_to="replies")
    with bridge(environment, gateway_url, tmp_path):
        wait_for_offset(records, source_of(environment), 1_999)
    documents = list(records.database["predictions"].find())
    assert {document["_id"] for document in documents} == {
        f"{source_of(environment)}:{n}" for n in range(2_000) if n not in bad
    }
    assert {document["_id"] for document in records.database["rejected"].find()} == {
        f"{source_of(environment)}:{n}" for n in bad
    }
    replies = [(int(properties.correlation_id or -1), json.loads(body)) for properties, body in client.drain("replies")]
    assert sorted(number for number, _ in replies) == [n for n in range(2_000) if n not in bad]
    assert all(answer["id"] == str(number) and answer["offset"] == number for number, answer in replies)
    assert {answer["prediction"] for _, answer in replies} == {"positive"}
    assert len(client.read_stream("predictions")) == 1_980
    notices = [json.loads(body) for _, body in client.read_stream("rejected")]
    assert {notice["offset"] for notice in notices} == bad
    assert {notice["reason"].split(";")[0] for notice in notices} == {
        "the body is not valid JSON (Input data was truncated)",
        "the body is not valid JSON (its brackets are nested too deeply)",
        "the body does not fit: Object missing required field `text`",
        "the body does not fit: Expected `str`, got `int` - at `$.text`",
        "the body does not fit: Expected `str`, got `array` - at `$.text`",
        "the body does not fit: Expected `int | str`, got `array` - at `$.id`",
        "the body is not UTF-8 (invalid start byte at byte 0)",
        "the body is empty",
        "the text has 100001 characters",
    }


def test_http_stream_and_command_line_explain_alike_and_to_the_last_digit(
    environment: Mapping[str, str], client: Client, records: Records, gateway_url: str, tmp_path: Path
) -> None:
    texts = ["I love it, great: great!", "awful “plot” of a bore", "", "unknown", "hate love " * 900]
    bodies = [json.dumps({"text": text, "explain": True}).encode() for text in texts]
    client.publish(source_of(environment), [*bodies, b"great"], reply_to="replies")
    with bridge(environment, gateway_url, tmp_path):
        wait_for_offset(records, source_of(environment), len(texts))
    *by_stream, plain = [json.loads(body) for _, body in client.read_stream("predictions")]
    assert plain.keys() & {"words", "bias"} == set()

    url = f"{gateway_url}/function/predict?explain=true"
    by_http = urllib3.request("POST", url, json={"texts": texts}).json()["predictions"]
    command = [sys.executable, "-m", "sentiment", "explain", "--json"]
    # Addresses are those of the local stack of the folder that it is called in.
    folder = tmp_path / "stack"
    (folder / ".local").mkdir(parents=True)
    (folder / ".local" / "env").write_text(f"export GATEWAY_URL={gateway_url}\n")
    local = {**os.environ, "GATEWAY_URL": "", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([*command, *texts], cwd=folder, env=local, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    by_command = [json.loads(line) for line in done.stdout.splitlines()]
    assert by_command == by_http
    for answer, same in zip(by_http, by_stream, strict=True):
        total = math.fsum([answer["bias"], *(word["log_odds"] for word in answer["words"])])
        assert total == pytest.approx(answer["log_odds"], rel=0, abs=1e-9)
        assert answer.items() <= same.items()
    done = subprocess.run([*command, "x" * 10_001], cwd=folder, env=local, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "has 10001 characters; at most 10000 can be explained" in done.stderr


def test_a_record_holds_what_the_design_promises(
    environment: Mapping[str, str], client: Client, records: Records, gateway_url: str, tmp_path: Path
) -> None:
    client.publish(source_of(environment), ["Käse ist great — “really” 🙂".encode()])
    with bridge(environment, gateway_url, tmp_path):
        wait_for_offset(records, source_of(environment), 0)
    document = records.database["predictions"].find_one({})
    assert document is not None
    assert document.keys() == {
        "_id", "text", "prediction", "probability", "log_odds", "model", "source", "received_at", "scored_at",
        "synthetic",
    }  # fmt: skip
    assert document["text"] == "Käse ist great — “really” 🙂"
    assert (document["source"], document["synthetic"]) == ("stream", False)


def test_a_killed_bridge_loses_and_doubles_nothing(
    environment: Mapping[str, str], client: Client, records: Records, gateway_url: str, tmp_path: Path
) -> None:
    client.publish(source_of(environment), [GOOD] * 5_000, reply_to="replies")
    with bridge({**environment, "BRIDGE_BATCH_MESSAGES": "50"}, gateway_url, tmp_path) as process:
        assert runner.wait_until(lambda: (records.offset(source_of(environment)) or 0) > 500, 30)
        process.send_signal(signal.SIGKILL)
        process.wait()
    stored = records.offset(source_of(environment))
    assert stored is not None
    assert stored < 4_999, "it was killed too late to tell anything"
    with bridge(environment, gateway_url, tmp_path):
        wait_for_offset(records, source_of(environment), 4_999)
    assert records.database["predictions"].count_documents({}) == 5_000
    assert {int(properties.correlation_id or -1) for properties, _ in client.drain("replies")} == set(range(5_000))


def test_sigterm_finishes_what_is_in_hand_and_exits_0(
    environment: Mapping[str, str], client: Client, records: Records, gateway_url: str, tmp_path: Path
) -> None:
    client.publish(source_of(environment), [GOOD] * 5_000, reply_to="replies")
    with bridge({**environment, "BRIDGE_BATCH_MESSAGES": "50"}, gateway_url, tmp_path) as process:
        assert runner.wait_until(lambda: (records.offset(source_of(environment)) or 0) > 500, 30)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    stored = records.offset(source_of(environment))
    assert stored is not None
    # Nothing was repeated or left half done: what the offset says is what was answered and recorded.
    assert records.database["predictions"].count_documents({}) == stored + 1
    assert len(client.drain("replies")) == stored + 1


@pytest.mark.parametrize("kind", ["classic", "quorum"])
def test_a_queue_is_acknowledged_after_the_reply_and_rejects_are_dead_lettered(
    kind: str, environment: Mapping[str, str], client: Client, records: Records, gateway_url: str, tmp_path: Path
) -> None:
    queue = f"{source_of(environment)}-{kind}"
    client.declare("dead", "classic")
    client.channel.exchange_declare("dead-letters", "fanout", durable=True)
    client.channel.queue_bind("dead", "dead-letters")
    client.channel.queue_declare(
        queue, durable=True, arguments={"x-queue-type": kind, "x-dead-letter-exchange": "dead-letters"}
    )
    client.publish(queue, [GOOD, b'{"text": ', GOOD], reply_to="replies")
    with ExitStack() as stack:
        # Two competing consumers share one queue.
        for _ in range(2):
            stack.enter_context(bridge({**environment, "BRIDGE_SOURCE": f"queue:{queue}"}, gateway_url, tmp_path))
        assert runner.wait_until(lambda: client.depth("dead") == 1 and client.depth("replies") == 2, 30)
    assert client.depth(queue) == 0
    ids = [document["_id"] for document in records.database["predictions"].find()]
    assert sorted(identifier.rpartition(":")[0] for identifier in ids) == [f"{queue}:0", f"{queue}:2"]
    for name in (queue, "dead"):
        client.channel.queue_delete(name)


@pytest.mark.usefixtures("client")
def test_the_client_prints_an_answer_for_each_text_and_the_reason_for_a_bad_one(
    environment: Mapping[str, str], gateway_url: str, tmp_path: Path
) -> None:
    file = tmp_path / "reviews.jsonl"
    file.write_text('{"text": "awful", "id": "first"}\n{"no": "text"}\n')
    with bridge(environment, gateway_url, tmp_path):
        result = run_client(environment, "great", "--file", str(file))
    answers = [json.loads(line) for line in result.stdout.splitlines()]
    assert result.returncode == 0, result.stderr
    assert len(answers) == 3
    assert {answer.get("prediction") for answer in answers} == {"positive", "negative", None}
    assert any("required field `text`" in answer.get("error", "") for answer in answers)
    assert any(answer["id"] == "first" for answer in answers)


@pytest.mark.usefixtures("client")
def test_the_client_says_so_when_no_bridge_answers(environment: Mapping[str, str]) -> None:
    result = run_client(environment, "--timeout-seconds", "1", "great")
    assert result.returncode == 1
    assert "is the bridge running?" in result.stderr


def test_the_client_takes_no_notice_of_what_others_write_to_rejected_and_to_its_replies(
    environment: Mapping[str, str], client: Client
) -> None:
    # Nor does a terminal matter that can't show what an answer holds.
    process = start_client({**environment, "PYTHONIOENCODING": "ascii"}, "--timeout-seconds", "20", "great")
    # Its text has its correlation id, by which a foreign message could pass for an answer.
    assert runner.wait_until(lambda: client.read_stream(source_of(environment), idle_seconds=0.5) != [], 20)
    ((properties, _),) = client.read_stream(source_of(environment), idle_seconds=0.5)
    answer = b'{"id":"\xc3\xa9","prediction":"positive","probability":0.75,"log_odds":3.1,"model":"v1","offset":0}'
    foreign = [b"\xff", b"", b"[]", b"[" * 100_000, b'{"note": "not from the bridge"}', b'{"id": "0", "offset": []}']
    for queue in ("rejected", properties.reply_to or ""):
        for body in [*foreign, answer]:
            its = pika.BasicProperties(correlation_id=properties.correlation_id)
            client.channel.basic_publish("", queue, body, its)
    output, errors = process.communicate(timeout=60)
    assert (process.returncode, output.strip()) == (0, answer.decode()), errors


@pytest.mark.usefixtures("client")
def test_the_client_finds_the_local_stack_of_the_folder_it_stands_in(
    environment: Mapping[str, str], tmp_path: Path
) -> None:
    (tmp_path / ".local").mkdir()
    (tmp_path / ".local" / "env").write_text(
        f"# how to reach it\nexport RABBITMQ_URL='{environment['RABBITMQ_URL']}'\n"
    )
    arguments = ("--timeout-seconds", "1", "great")
    found = run_client({**environment, "RABBITMQ_URL": ""}, *arguments, folder=tmp_path)
    assert "is the bridge running?" in found.stderr
    # An address that is given counts more.
    nowhere = run_client(
        {**environment, "RABBITMQ_URL": f"amqp://127.0.0.1:{ports.free_port()}/"}, *arguments, folder=tmp_path
    )
    assert "Is RABBITMQ_URL right?" in nowhere.stderr


def start_client(environment: Mapping[str, str], *arguments: str, folder: Path = ROOT) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "bridge.client", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment, "PYTHONPATH": str(ROOT)},
        cwd=folder,
    )


def run_client(
    environment: Mapping[str, str], *arguments: str, folder: Path = ROOT
) -> subprocess.CompletedProcess[str]:
    process = start_client(environment, *arguments, folder=folder)
    output, errors = process.communicate(timeout=60)
    return subprocess.CompletedProcess(process.args, process.returncode, output, errors)
