"""Promises about the running local stack: ten thousand messages are answered, and what watches it has what it asks for.

One in a hundred of the messages is bad.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from contracts.names import FUNCTIONS
from deploy.monitoring import local
from deploy.runner import wait_until
from records import Records
from tests.conftest import server_or_skip
from tests.monitoring.server import Prometheus, asked, running_prometheus
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


@pytest.fixture
def prometheus(addresses: Mapping[str, str], tmp_path: Path) -> Iterator[Prometheus]:
    """One that looks at the stack each second."""
    with server_or_skip(), running_prometheus(tmp_path / "prometheus", local.settings(addresses, 1)) as found:
        yield found


def test_each_dashboard_and_each_alert_finds_what_it_asks_for(
    local_stack: Project, addresses: Mapping[str, str], prometheus: Prometheus
) -> None:
    def parts_seen() -> set[str]:
        return {series["metric"]["job"] for series in prometheus.query("up == 1")}

    assert wait_until(lambda: parts_seen() == {*FUNCTIONS, "bridge"}, 60), parts_seen()
    # Something of each kind has to happen while it looks.
    local_stack.post("/function/predict", {"texts": ["I love this wonderful film"] * 300})
    client = Client(addresses["RABBITMQ_URL"])
    client.publish("reviews", [b"I hate this awful movie", b'{"text": '])
    client.publish("labels", [b'{"text": "What a bore", "label": 0}'])
    client.close()
    assert "tests" in local_stack.post("/function/drift", None)

    missing = asked()

    def is_all_there() -> bool:
        for query in [*missing]:
            if any(series["value"][1] != "NaN" for series in prometheus.query(query)):
                missing.remove(query)
        return not missing

    assert wait_until(is_all_there, 60), missing
    rules = [rule for group in prometheus.get("rules")["groups"] for rule in group["rules"]]
    assert {rule["health"] for rule in rules} == {"ok"}
