"""The first promise of the project, on the running local stack: ten thousand messages, one in a hundred of them bad."""

import json
from collections.abc import Iterator, Mapping

import pytest

from deploy.runner import wait_until
from records import Records
from tests.project import Project
from tests.system import Client

MESSAGES = 10_000
BAD = {number for number in range(MESSAGES) if number % 100 == 50}


@pytest.fixture
def addresses(local_stack: Project) -> Mapping[str, str]:
    """What .local/env says."""
    return local_stack.addresses()


@pytest.fixture
def records(addresses: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Records]:
    monkeypatch.setenv("MONGODB_URL", addresses["MONGODB_URL"])
    found = Records.from_environment()
    yield found
    found.close()


def test_ten_thousand_messages_give_exactly_the_good_ones_as_records_and_replies(
    addresses: Mapping[str, str], records: Records
) -> None:
    client = Client(addresses["RABBITMQ_URL"])
    client.declare("replies")
    first = (records.offset("reviews") or -1) + 1
    already_rejected = len(client.read_stream("rejected"))
    bodies = [b'{"text": ' if number in BAD else b'{"text": "I love this film"}' for number in range(MESSAGES)]
    client.publish("reviews", bodies, reply_to="replies")
    last = first + MESSAGES - 1
    assert wait_until(lambda: records.offset("reviews") == last, 120), records.offset("reviews")

    expected = {f"reviews:{first + number}" for number in range(MESSAGES) if number not in BAD}
    stored = records.database["predictions"].find({"source": "stream"}, {"_id": 1})
    assert {document["_id"] for document in stored} >= expected
    assert records.database["predictions"].count_documents({"source": "stream"}) >= len(expected)
    replies = client.drain("replies")
    assert sorted(int(properties.correlation_id or -1) for properties, _ in replies) == sorted(
        set(range(MESSAGES)) - BAD
    )
    assert {json.loads(body)["prediction"] for _, body in replies} == {"positive"}
    rejected = client.read_stream("rejected")[already_rejected:]
    assert {json.loads(body)["offset"] for _, body in rejected} == {first + number for number in BAD}
    client.channel.queue_delete("replies")
    client.close()
