"""While a server is away the bridge holds the offset, parks nothing and loses nothing; then it resumes by itself."""

import json
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest

from deploy import ports, runner, servers
from records import Records
from tests.cluster.bridges import two_bridges_do_the_work_of_one_stream_once
from tests.conftest import RabbitMQNode
from tests.integration.test_bridge import (
    GOOD,
    bridge,
    client,
    environment,
    source_of,
    tiny_model,
    wait_for_offset,
)
from tests.running import running
from tests.system import Client, promote, python_service, through_gateway

__all__ = ["client", "environment"]  # fixtures
MESSAGES = 2_000


def assert_each_once(records: Records, stream: str, count: int) -> None:
    assert records.database["rejected"].count_documents({}) == 0
    assert {document["_id"] for document in records.database["predictions"].find({}, {"_id": 1})} == {
        f"{stream}:{number}" for number in range(count)
    }


def test_the_offset_is_held_while_the_function_is_away(
    environment: Mapping[str, str], client: Client, records: Records, tmp_path: Path
) -> None:
    promote(tiny_model())
    stream = source_of(environment)
    predict = python_service("functions.predict", tmp_path, environment)
    gateway = servers.gateway(tmp_path / "gateway", ports.free_port(), {"predict": int(predict.variables["PORT"])})
    client.publish(stream, [GOOD] * MESSAGES, reply_to="replies")
    with running(gateway), bridge(environment, gateway.variables["GATEWAY_URL"], tmp_path) as process:
        # The gateway answers 502: a bad moment, not a bad message.
        log = next(tmp_path.glob("bridge.*.log"))
        assert runner.wait_until(lambda: "predict answered 502" in log.read_text(), 20)
        assert records.offset(stream) is None
        with running(predict):
            wait_for_offset(records, stream, MESSAGES - 1)
        assert process.poll() is None
    assert_each_once(records, stream, MESSAGES)
    assert len(client.drain("replies")) == MESSAGES


def test_the_offset_is_held_while_mongodb_is_away(
    environment: Mapping[str, str], client: Client, tmp_path: Path
) -> None:
    mongodb = servers.mongodb(tmp_path / "mongodb", ports.free_port)
    own = {**environment, **mongodb.variables}
    stream = source_of(environment)
    with ExitStack() as stack:
        promote(tiny_model())
        database = stack.enter_context(ExitStack())
        database.enter_context(running(mongodb))
        url = stack.enter_context(
            through_gateway(tmp_path, {"predict": python_service("functions.predict", tmp_path, own)})
        )
        stack.enter_context(bridge(own, url, tmp_path))
        database.close()
        client.publish(stream, [GOOD] * MESSAGES)
        log = next(tmp_path.glob("bridge.*.log"))
        assert runner.wait_until(lambda: "MongoDB" in log.read_text(), 30)
        stack.enter_context(running(mongodb))
        records = _records(mongodb.variables["MONGODB_URL"])
        stack.callback(records.close)
        wait_for_offset(records, stream, MESSAGES - 1)
        assert_each_once(records, stream, MESSAGES)


def test_reading_resumes_by_itself_after_the_broker_was_killed(
    environment: Mapping[str, str], client: Client, records: Records, rabbitmq: RabbitMQNode, tmp_path: Path
) -> None:
    promote(tiny_model())
    stream = source_of(environment)
    # The answers are to survive what happens to the broker.
    client.publish(stream, [GOOD] * MESSAGES, reply_to="replies", persistent=True)
    with (
        through_gateway(tmp_path, {"predict": python_service("functions.predict", tmp_path, environment)}) as url,
        bridge({**environment, "BRIDGE_BATCH_MESSAGES": "20"}, url, tmp_path) as process,
    ):
        assert runner.wait_until(lambda: (records.offset(stream) or 0) > 100, 30)
        rabbitmq.kill()
        rabbitmq.start()
        wait_for_offset(records, stream, MESSAGES - 1)
        assert process.poll() is None
    assert_each_once(records, stream, MESSAGES)
    again = Client(rabbitmq.amqp_url)
    answered = {json.loads(body)["offset"] for _, body in again.drain("replies")}
    again.close()
    assert answered == set(range(MESSAGES))


def test_it_waits_for_a_broker_that_comes_later(
    environment: Mapping[str, str], rabbitmq: RabbitMQNode, tmp_path: Path
) -> None:
    rabbitmq.stop()
    service = python_service("bridge", tmp_path, environment, until="/_/health")
    try:
        with running(service):
            port = int(service.variables["PORT"])
            assert ports.http_status(port, "/_/ready") == 503
            rabbitmq.start()
            assert runner.wait_until(lambda: ports.http_status(port, "/_/ready") == 200, 30)
    finally:
        if not rabbitmq.service.ready():
            rabbitmq.start()


def test_of_two_bridges_on_one_stream_one_waits_and_goes_on_when_the_other_is_killed(
    environment: Mapping[str, str], rabbitmq: RabbitMQNode, records: Records, stream_name: str, tmp_path: Path
) -> None:
    two_bridges_do_the_work_of_one_stream_once(
        rabbitmq, environment, records, stream_name, tmp_path, "is read by another bridge; this one waits until"
    )


def test_a_stop_while_everything_is_away_is_quick_and_clean(tmp_path: Path) -> None:
    nowhere = {"RABBITMQ_URL": f"amqp://127.0.0.1:{ports.free_port()}/"}
    service = python_service("bridge", tmp_path, nowhere, until="/_/health")
    with running(service) as process:
        process.terminate()
        assert process.wait(5) == 0


def _records(url: str) -> Records:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MONGODB_URL", url)
        return Records.from_environment()
