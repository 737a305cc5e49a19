"""What the bridge holds is bounded in bytes, whatever the length of the texts."""

import re
from collections.abc import Mapping
from pathlib import Path

import urllib3

from deploy.runner import Service, wait_until
from tests.integration.test_bridge import client, environment, gateway_url, source_of
from tests.running import running
from tests.system import Client, python_service

__all__ = ["client", "environment", "gateway_url"]  # fixtures
MESSAGES = 3_000
LIMIT_MIB = 256
TEXT = b"I love it, great. " * 5_555


def most_resident_mib(pid: int) -> float:
    """Return the most memory that a process has had, as Linux counts it."""
    found = re.search(r"^VmHWM:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert found
    return int(found[1]) / 1024


def metrics(service: Service) -> str:
    return urllib3.request("GET", f"{service.variables['URL']}/metrics").data.decode()


def test_a_queue_of_long_texts_is_done_within_the_memory_of_the_bridge(
    environment: Mapping[str, str], client: Client, gateway_url: str, tmp_path: Path
) -> None:
    queue = f"{source_of(environment)}-queue"
    client.declare(queue)
    client.publish(queue, [TEXT] * MESSAGES)
    own = {**environment, "BRIDGE_SOURCE": f"queue:{queue}", "BRIDGE_LABELS": "", "GATEWAY_URL": gateway_url}
    service = python_service("bridge", tmp_path, own)
    done = f'bridge_messages_total{{outcome="scored",source="{queue}"}} {MESSAGES}.0'
    with running(service) as process:
        # Not the records, which the database would read all of.
        assert wait_until(lambda: done in metrics(service), 120), metrics(service)
        most = most_resident_mib(process.pid)
    client.channel.queue_delete(queue)
    assert most < LIMIT_MIB
