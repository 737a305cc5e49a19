"""Rows of the fault suite with few messages each; all of them, with 20,000, by `python -m tests.faults --all`."""

import json
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pika
import pytest
from rstream.amqp import amqp_decoder

from tests.cluster.bridges import entries
from tests.conftest import server_or_skip
from tests.faults.__main__ import SEED
from tests.faults.checker import Verdict
from tests.faults.nemesis import Row, check, run
from tests.faults.rows import rows
from tests.faults.stage import Servers, Stage
from tests.system import Client

MESSAGES = int(os.environ.get("FAULT_MESSAGES") or 1_500)


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    with server_or_skip():
        found = Servers(tmp_path_factory.mktemp("servers"))
    with found.running():
        yield found


@pytest.mark.parametrize("row", [row for row in rows() if row.in_ci], ids=lambda row: row.name)
def test_nothing_confirmed_is_lost_doubled_wrong_or_unanswered_and_all_goes_on_by_itself(
    row: Row, servers: Servers, tmp_path: Path
) -> None:
    if reason := row.missing():
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)
    outcome = run(row, servers, tmp_path, MESSAGES, SEED)
    assert outcome.verdict.problems() == {}
    assert outcome.recovery_seconds is not None


def test_what_was_lost_doubled_changed_or_never_sent_is_found(servers: Servers, tmp_path: Path) -> None:
    stage = Stage(servers, tmp_path, random.Random(SEED))
    with stage.running():
        stage.traffic.burst(200)
        stage.finish()
        records = stage.records.database["predictions"]
        lost, changed, doubled, *_ = records.find({"source": "stream"})
        records.delete_one({"_id": lost["_id"]})
        records.update_one({"_id": changed["_id"]}, {"$set": {"probability": 0.5}})
        records.insert_one({**changed, "_id": f"{stage.name}:1000000"})
        url = stage.environment["RABBITMQ_STREAM_URL"]
        messages = [amqp_decoder(entry) for entry in entries(url, "predictions").values()]
        offset = int(doubled["_id"].rpartition(":")[2])
        again = next(message for message in messages if json.loads(message.body)["offset"] == offset)
        client = Client(stage.environment["RABBITMQ_URL"])
        properties = pika.BasicProperties(correlation_id=again.properties.correlation_id.decode())
        client.channel.basic_publish("", "predictions", bytes(again.body), properties)
        client.close()
        verdict = Verdict()
        check(stage, verdict)
    assert verdict.lost == [f"no record: {lost['_id']}"]
    assert len(verdict.doubled) == 1
    assert f"'{again.properties.correlation_id.decode()}'" in verdict.doubled[0]
    assert verdict.unexpected == [f"a record: {stage.name}:1000000"]
    # In `predictions`, in the reply, and beside what its model says.
    assert len(verdict.wrong) == 3
    assert verdict.unanswered == []
