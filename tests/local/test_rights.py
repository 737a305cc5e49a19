"""In the running local stack each process holds its own keys alone, and what users are handed does its work."""

import json
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from urllib.request import urlopen

import pika
import psutil
import pytest

from deploy.local.processes import PART
from deploy.rights import BUCKET
from deploy.runner import wait_until
from tests.project import Project


@pytest.fixture
def addresses(local_stack: Project) -> Mapping[str, str]:
    """What .local/env says."""
    return local_stack.addresses()


def test_the_processes_hold_no_key_of_another_part(local_stack: Project) -> None:
    """As the system tells, of every process there is: the supervisor, servers and their helpers too."""
    known: dict[str, str] = json.loads((local_stack.folder / ".local" / "credentials.json").read_text())
    holders: dict[str, set[str]] = {name: set() for name in known}
    for process in local_stack.processes():
        with suppress(psutil.NoSuchProcess):
            environment = process.environ()
            for name in holders:
                if any(known[name] in value for value in environment.values()):
                    holders[name].add(environment[PART])
    expected: dict[str, set[str]] = {
        **{
            f"{part}_{half}_key{end}": {part}
            for part in BUCKET
            for half, end in (("access", "_id"), ("secret_access", ""))
        },
        "bridge_rabbitmq_password": {"bridge"},
        "drift_rabbitmq_password": {"drift"},
        "model_signing_key": {"retrain"},
        "retrain_token": {"retrain", "generate-drift", "console"},
        "bridge_retrain_token": {"retrain", "bridge"},
        "console_label_token": {"retrain", "console"},
        "console_token": {"console"},
    }
    assert {name: parts for name, parts in holders.items() if parts} == expected
    # The operator's, and those of senders, are in .local/env alone.
    assert holders.keys() - expected.keys() == {
        "access_key_id",
        "secret_access_key",
        "rabbitmq_password",
        "reviews_rabbitmq_password",
        "labels_rabbitmq_password",
    }


def test_who_may_send_reviews_alone_gets_answers(local_stack: Project, addresses: Mapping[str, str]) -> None:
    login = {name: addresses[name.replace("_", "_REVIEWS_", 1)] for name in ("RABBITMQ_URL", "RABBITMQ_STREAM_URL")}
    command = [sys.executable, "-m", "bridge.client", "I love this wonderful film"]
    done = subprocess.run(
        command,
        cwd=local_stack.folder,
        env={**local_stack.environment, **login},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert json.loads(done.stdout)["prediction"] == "positive"


def pending(project: Project) -> int:
    with urlopen(f"http://127.0.0.1:{project.port}/function/retrain") as answer:
        return int(json.load(answer)["pending"])


def test_who_may_send_labels_alone_teaches(local_stack: Project, addresses: Mapping[str, str]) -> None:
    before = pending(local_stack)
    with pika.BlockingConnection(pika.URLParameters(addresses["RABBITMQ_LABELS_URL"])) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        label = {"text": "A film that nobody else has labelled", "label": 1}
        channel.basic_publish("labels", "", json.dumps(label).encode(), mandatory=True)
    assert wait_until(lambda: pending(local_stack) == before + 1, 30)


def test_drift_has_declared_where_its_alerts_go(addresses: Mapping[str, str]) -> None:
    with pika.BlockingConnection(pika.URLParameters(addresses["RABBITMQ_URL"])) as connection:
        connection.channel().exchange_declare("alerts", passive=True)
