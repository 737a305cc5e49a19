"""A stream that is made anew, offsets or a whole database that are emptied, while a bridge runs and while it does not.

Nothing is lost that the broker still has, and nothing is overwritten.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pika import BasicProperties
from rstream.amqp import amqp_decoder

from deploy.runner import wait_until
from messages.topology import declare_streams
from records import Records
from tests.cluster.bridges import (
    STREAMS,
    TIMEOUT_SECONDS,
    Answer,
    Bridge,
    bridges,
    entries,
    forget,
    opposite_models,
    packed,
    predict,
    text,
)
from tests.conftest import RabbitMQNode
from tests.system import Client, promote

MAX_BYTES = 1_000_000_000
MANY = 3_000
DELETED = "another bridge reads it, or its offset was deleted"
NO_OFFSET = "reading behind offset None"
ANEW = "was made anew"
RUNNING = pytest.mark.parametrize("running", [True, False], ids=["running", "stopped"])


@dataclass
class System:
    """A bridge, a stream, and what is found of the work on it. Each text is written once, and is its correlation id."""

    stream: str
    environment: Mapping[str, str]
    gateway_url: str
    folder: Path
    node: RabbitMQNode
    client: Client
    records: Records

    def bridge(self) -> Bridge:
        own = {**self.environment, "BRIDGE_SOURCE": f"stream:{self.stream}", "BRIDGE_BATCH_MESSAGES": "10"}
        return Bridge.of(own, self.gateway_url, self.folder)

    def publish(self, name: str, count: int) -> set[str]:
        texts = [f"great {name} {number}" for number in range(count)]
        for each in texts:
            self.client.channel.basic_publish("", self.stream, each.encode(), BasicProperties(correlation_id=each))
        return set(texts)

    def empty_database(self) -> None:
        self.records.database.client.drop_database(self.records.database.name)

    def documents(self) -> dict[str, dict[str, Any]]:
        """Return the records by their text, of which none may be there twice."""
        found = list(self.records.database["predictions"].find())
        by_text = {document["text"]: document for document in found}
        assert len(by_text) == len(found)
        return by_text

    def wait_for(self, texts: set[str], offset: int) -> None:
        """Return when these texts, and no others, have records, and that offset is stored."""
        collection = self.records.database["predictions"]
        assert wait_until(
            lambda: self.records.offset(self.stream) == offset and collection.count_documents({}) >= len(texts),
            TIMEOUT_SECONDS,
        ), (self.records.offset(self.stream), collection.count_documents({}))
        assert self.documents().keys() == texts

    def answers(self) -> dict[str, Answer]:
        """Return what is in `predictions`, by text; none is there twice."""
        messages = [amqp_decoder(entry) for entry in entries(self.node.stream_url, "predictions").values()]
        texts = [text(message.properties.correlation_id) for message in messages]
        assert len(set(texts)) == len(texts), "some are there more than once"
        found = [json.loads(message.body) for message in messages]
        return {
            each: Answer(answer["prediction"], answer["probability"], answer["model"])
            for each, answer in zip(texts, found, strict=True)
        }

    def assert_answered_as_recorded(self) -> None:
        assert self.answers() == {
            each: Answer(document["prediction"], document["probability"], document["model"])
            for each, document in self.documents().items()
        }


@pytest.fixture
def system(
    environment: Mapping[str, str], rabbitmq4: RabbitMQNode, stream_name: str, tmp_path: Path
) -> Iterator[System]:
    declare_streams(rabbitmq4.amqp_url, [*STREAMS, stream_name], MAX_BYTES)
    client = Client(rabbitmq4.amqp_url)
    records = Records.from_environment()
    own = {**environment, **rabbitmq4.environment, "POLL_SECONDS": "0.2"}
    with predict(own, tmp_path) as url:
        yield System(stream_name, own, url, tmp_path, rabbitmq4, client, records)
    forget(client, [*STREAMS, stream_name])
    client.close()
    records.close()


def make_anew(system: System) -> None:
    system.client.channel.queue_delete(system.stream)
    declare_streams(system.node.amqp_url, [system.stream], MAX_BYTES)


def wait_until_at_work(system: System, first: int, last: int) -> None:
    """Return when some of these offsets are done, and others are not."""
    assert wait_until(lambda: (system.records.offset(system.stream) or 0) > first, TIMEOUT_SECONDS)
    offset = system.records.offset(system.stream)
    assert offset is not None
    assert offset < last, "this comes too late to tell anything"


@pytest.mark.parametrize("count", [200, 400], ids=["shorter", "longer"])
@RUNNING
def test_a_stream_that_was_made_anew_is_read_from_its_beginning_beside_the_records_of_the_old_one(
    system: System, running: bool, count: int
) -> None:
    before, after = system.bridge(), system.bridge()
    with bridges(before):
        old = system.publish("old", 300)
        system.wait_for(old, 299)
        kept = system.documents()
        if running:
            make_anew(system)
            new = system.publish("new", count)
            system.wait_for(old | new, count - 1)
    if not running:
        make_anew(system)
        new = system.publish("new", count)
    with bridges(after):
        system.wait_for(old | new, count - 1)
        # It reads on like any other.
        newer = system.publish("newer", 10)
        system.wait_for(old | new | newer, count + 9)
    log = before.log() + after.log()
    assert log.count(ANEW) == 1, log
    assert {each: document for each, document in system.documents().items() if each in old} == kept
    system.assert_answered_as_recorded()


@RUNNING
def test_a_stream_whose_offset_was_deleted_is_read_again_and_what_was_said_stays(system: System, running: bool) -> None:
    before, after = system.bridge(), system.bridge()
    with bridges(before):
        old = system.publish("old", 300)
        system.wait_for(old, 299)
        kept = system.documents()
        # From now on it would be answered otherwise.
        promote(packed(opposite_models()[1]))
        new = system.publish("new", MANY)
        wait_until_at_work(system, 350, 299 + MANY)
        if running:
            system.records.database["offsets"].delete_many({})
            system.wait_for(old | new, 299 + MANY)
    if not running:
        system.records.database["offsets"].delete_many({})
        with bridges(after):
            system.wait_for(old | new, 299 + MANY)
    assert_said_once(before, after, running=running)
    assert {each: document for each, document in system.documents().items() if each in old} == kept
    system.assert_answered_as_recorded()


@RUNNING
def test_after_the_database_was_emptied_all_that_the_broker_has_is_recorded_and_nothing_answered_twice(
    system: System, running: bool
) -> None:
    before, after = system.bridge(), system.bridge()
    with bridges(before):
        old = system.publish("old", 300)
        system.wait_for(old, 299)
        new = system.publish("new", MANY)
        wait_until_at_work(system, 350, 299 + MANY)
        if running:
            system.empty_database()
            system.wait_for(old | new, 299 + MANY)
    if not running:
        system.empty_database()
        with bridges(after):
            system.wait_for(old | new, 299 + MANY)
    assert_said_once(before, after, running=running)
    assert {document["_id"] for document in system.documents().values()} == {
        f"{system.stream}:{number}" for number in range(300 + MANY)
    }
    assert system.answers().keys() == old | new


def assert_said_once(before: Bridge, after: Bridge, *, running: bool) -> None:
    if running:
        assert before.log().count(DELETED) == 1, before.log()
    else:
        assert DELETED not in before.log()
        assert after.log().count(NO_OFFSET) == 1, after.log()
