"""What the bridge holds is bounded in bytes, whatever the length of the texts."""

import json
import re
from collections.abc import Mapping
from itertools import islice, product
from pathlib import Path
from string import ascii_lowercase

import numpy as np
import urllib3

from contracts.limits import MAX_EXPLAINED_CHARACTERS
from deploy.runner import Service, wait_until
from sentiment.model import Model
from sentiment.packing import pack
from tests.integration.test_bridge import client, environment, gateway_url, source_of
from tests.models import ABOUT
from tests.running import running
from tests.system import Client, promote, python_service, through_gateway

__all__ = ["client", "environment", "gateway_url"]  # fixtures
MESSAGES = 3_000
EXPLAINED = 600
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


def test_answers_that_are_far_longer_than_their_texts_fit_into_the_memory_of_the_bridge(
    environment: Mapping[str, str], client: Client, tmp_path: Path
) -> None:
    words = sorted(map("".join, islice(product(ascii_lowercase, repeat=3), MAX_EXPLAINED_CHARACTERS // 4)))
    counts = np.random.default_rng(1).integers(0, 50, (2, len(words))).astype(np.float64)
    promote(pack(Model(tuple(words), counts, np.array([10.0, 10.0])), ABOUT))
    stream = source_of(environment)
    client.publish(stream, [json.dumps({"text": " ".join(words), "explain": True}).encode()] * EXPLAINED)
    predict = python_service("functions.predict", tmp_path, environment)
    with through_gateway(tmp_path, {"predict": predict}) as gateway_url:
        service = python_service("bridge", tmp_path, {**environment, "GATEWAY_URL": gateway_url})
        done = f'bridge_messages_total{{outcome="scored",source="{stream}"}} {EXPLAINED}.0'
        with running(service) as process:
            assert wait_until(lambda: done in metrics(service), 240), metrics(service)
            most = most_resident_mib(process.pid)
    answers = client.read_stream("predictions")
    assert len(answers) == EXPLAINED
    assert min(len(body) for _, body in answers) > 10 * MAX_EXPLAINED_CHARACTERS
    assert most < LIMIT_MIB
