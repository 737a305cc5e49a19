"""Reviews and labels are read each by itself: whatever is wrong with the labels, reviews are answered."""

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import pytest
import urllib3

from deploy import ports
from deploy.runner import Service, wait_until
from records import Records
from tests.integration.test_bridge import GOOD, client, environment, gateway_url, source_of, wait_for_offset
from tests.running import running
from tests.system import Client, python_service

__all__ = ["client", "environment", "gateway_url"]  # fixtures
LABEL = b'{"text": "So dull.", "label": 0}'


@pytest.fixture
def labels(environment: Mapping[str, str], client: Client) -> Iterator[str]:
    """The name of a stream of labels, which is not there yet."""
    name = f"{source_of(environment)}-labels"
    yield name
    client.channel.queue_delete(name)


def service_of(environment: Mapping[str, str], gateway_url: str, labels: str, folder: Path) -> Service:
    own = {**environment, "GATEWAY_URL": gateway_url, "BRIDGE_LABELS": labels}
    return python_service("bridge", folder, own, until="/_/health")


def answer(service: Service, path: str) -> tuple[int, str]:
    found = urllib3.request("GET", f"{service.variables['URL']}{path}")
    return found.status, found.data.decode()


def says(service: Service, metric: str) -> bool:
    return metric in answer(service, "/metrics")[1]


def test_labels_that_retrain_does_not_take_leave_the_reviews_their_slots(
    environment: Mapping[str, str], client: Client, records: Records, gateway_url: str, labels: str, tmp_path: Path
) -> None:
    client.declare(labels, "stream")
    client.publish(labels, [LABEL] * 100)
    service = service_of(
        {**environment, "BRIDGE_IN_FLIGHT": "1", "BRIDGE_BATCH_MESSAGES": "10"}, gateway_url, labels, tmp_path
    )
    with running(service):
        # Nothing is behind the gateway by that name.
        assert wait_until(lambda: "retrain answered" in service.log.read_text(), 20)
        client.publish(source_of(environment), [GOOD] * 100)
        wait_for_offset(records, source_of(environment), 99, 20)


def test_labels_that_can_not_be_read_stop_no_reviews_and_are_read_once_they_can(
    environment: Mapping[str, str], client: Client, records: Records, gateway_url: str, labels: str, tmp_path: Path
) -> None:
    client.declare(labels, "classic")
    client.publish(source_of(environment), [GOOD])
    service = service_of(environment, gateway_url, labels, tmp_path)
    with running(service):
        wait_for_offset(records, source_of(environment), 0, 20)
        status, reason = answer(service, "/_/ready")
        assert (status, f"not reading {labels} yet" in reason) == (503, True), reason
        client.channel.queue_delete(labels)
        assert wait_until(lambda: ports.http_status(int(service.variables["PORT"]), "/_/ready") == 200, 20)
        client.publish(labels, [LABEL])
        assert wait_until(lambda: "retrain answered" in service.log.read_text(), 20)


def test_a_pipeline_that_ends_at_a_bug_is_said_and_begun_again_and_stops_no_other(
    environment: Mapping[str, str], client: Client, records: Records, gateway_url: str, labels: str, tmp_path: Path
) -> None:
    client.declare(labels, "stream")
    # Nobody foresaw this: an offset that is no number.
    records.database["offsets"].insert_one({"_id": labels, "offset": "many"})
    service = service_of(environment, gateway_url, labels, tmp_path)
    with running(service) as process:
        for number in range(3):
            failed = f'bridge_pipeline_failures_total{{source="{labels}"}} {number + 1}.0'
            assert wait_until(partial(says, service, failed), 20)
            client.publish(source_of(environment), [GOOD])
            wait_for_offset(records, source_of(environment), number, 20)
        status, reason = answer(service, "/_/ready")
        assert (status, f"not reading {labels} yet" in reason) == (503, True), reason
        records.database["offsets"].delete_one({"_id": labels})
        assert wait_until(lambda: ports.http_status(int(service.variables["PORT"]), "/_/ready") == 200, 20)
        process.terminate()
        assert process.wait(20) == 0
    assert "InvalidRecord" in service.log.read_text()
