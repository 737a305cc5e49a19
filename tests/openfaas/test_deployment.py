"""The system on a real OpenFaaS gateway, from ./deploy.sh to ./deploy.sh --remove.

Runs where OPENFAAS_URL names a gateway that faas-cli is logged in to. The servers are those of S3_ENDPOINT_URL,
MONGODB_URL and RABBITMQ_URL; else, where OPENFAAS_TEST_ADDRESS is an address of this machine that functions reach
(10.62.0.1 with faasd), servers of the tests' own on it; else deploy.sh starts containers.
"""

import json
import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest
import urllib3
from pymongo import MongoClient

from contracts.names import FUNCTIONS
from deploy import ports, runner
from deploy.servers import mongodb, rabbitmq, s3
from messages.stream_address import stream_url_of
from messages.stream_client import partitions
from tests.running import running
from tests.system import ROOT, Client

MESSAGES = 10_000
SECRETS = ROOT / ".local" / "openfaas" / "secrets"
pytestmark = pytest.mark.skipif(
    not os.environ.get("OPENFAAS_URL"), reason="OPENFAAS_URL is not set: these tests need an OpenFaaS gateway"
)


@dataclass(frozen=True)
class Deployment:
    """What deploy.sh said, and how long it took."""

    environment: dict[str, str]
    output: str
    seconds: float

    def again(self, *arguments: str) -> "Deployment":
        return deploy(self.environment, *arguments)

    def call(self, method: str, path: str, body: object = None, **headers: str) -> tuple[int, Any]:
        """Call a function through the gateway; returns the status and the JSON."""
        with urllib3.PoolManager(retries=False) as pool:
            url = f"{os.environ['OPENFAAS_URL']}/function/{path}"
            response = pool.request(method, url, json=body, headers=headers or None, timeout=60)
            return response.status, json.loads(response.data)


def deploy(environment: dict[str, str], *arguments: str) -> Deployment:
    """Run deploy.sh; raises AssertionError with its words where it fails."""
    started = time.monotonic()
    result = subprocess.run(
        [str(ROOT / "deploy.sh"), *arguments],
        env=environment, capture_output=True, text=True, check=False, timeout=1200,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr
    return Deployment(environment, result.stdout, time.monotonic() - started)


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Settings of servers that functions reach: the user's, ours, or none for those that deploy.sh starts."""
    address = os.environ.get("OPENFAAS_TEST_ADDRESS")
    if os.environ.get("S3_ENDPOINT_URL") or not address:
        yield {}
        return
    folder = tmp_path_factory.mktemp("servers")
    port = ports.free_port
    with pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
        patch.setattr(ports, "LOOPBACK", address)
        patch.setattr("deploy.servers.LOOPBACK", address)
        keys = secrets.token_hex(8), secrets.token_hex(16)
        variables: dict[str, str] = {}
        for service in (
            s3(folder / "s3", port, *keys),
            mongodb(folder / "mongodb", port),
            rabbitmq(folder / "rabbitmq", port, secrets.token_hex(4), secrets.token_hex(16)),
        ):
            stack.enter_context(running(service))
            variables |= service.variables
        yield variables


@pytest.fixture(scope="module")
def deployment(servers: dict[str, str]) -> Iterator[Deployment]:
    environment = {
        **os.environ,
        **servers,
        "TRAIN_DATA": "starter",
        "BRIDGE_PORT": str(ports.free_port()),
        "ENABLE_GENERATE_DRIFT": "true",
        "PATH": f"{os.environ['PATH']}:/usr/sbin",
    }
    # Left by a run that was cut off, it would pass for this one.
    shutil.rmtree(SECRETS.parent, ignore_errors=True)
    done = deploy(environment)
    yield done
    done.again("--remove", "--data")
    assert not SECRETS.exists()


def test_one_command_ends_with_a_scored_text_and_all_functions(deployment: Deployment) -> None:
    assert "positive, probability 0." in deployment.output
    listed = subprocess.run(["faas-cli", "list", "--quiet"], capture_output=True, text=True, check=True).stdout.split()
    assert set(FUNCTIONS) <= set(listed)


def test_the_second_run_changes_nothing_and_takes_a_fraction_of_the_time(deployment: Deployment) -> None:
    second = deployment.again()
    for words in ("there is one", "all as they should be", "runs as it should"):
        assert words in second.output
    assert second.seconds < max(10, deployment.seconds / 3), (second.seconds, deployment.seconds)


def test_a_dry_run_says_every_step_and_no_credential(deployment: Deployment) -> None:
    output = deployment.again("--dry-run").output
    assert output.count("/10 ") == 10
    for name in ("s3-secret-key", "mongodb-url", "retrain-token"):
        assert name in output
        assert (SECRETS / name).read_text() not in output


def test_texts_are_scored_over_http(deployment: Deployment) -> None:
    status, answer = deployment.call("POST", "predict", {"texts": ["I love you", "I hate this awful film"]})
    assert status == 200
    assert [item["prediction"] for item in answer["predictions"]] == ["positive", "negative"]


@pytest.mark.usefixtures("deployment")
def test_ten_thousand_messages_become_ten_thousand_records() -> None:
    rabbitmq_url, mongodb_url = ((SECRETS / name).read_text() for name in ("rabbitmq-url", "mongodb-url"))
    stream_url = (SECRETS / "rabbitmq-stream-url").read_text().strip() or stream_url_of(rabbitmq_url)
    streams = partitions(stream_url, "reviews")
    client = Client(rabbitmq_url)
    bodies = [json.dumps({"text": f"a good film, number {n}"}).encode() for n in range(MESSAGES)]
    for number, stream in enumerate(streams):
        client.publish(stream, bodies[number :: len(streams)])
    client.close()
    database: MongoClient[dict[str, Any]] = MongoClient(mongodb_url)
    with database:
        stored = database.get_default_database("sentiment")["predictions"]
        wanted = {"source": "stream", "text": {"$regex": "^a good film, number "}}
        assert runner.wait_until(lambda: stored.count_documents(wanted) >= MESSAGES, 120)
        assert stored.count_documents(wanted) == MESSAGES


def test_labels_make_a_model_that_is_swapped_in(deployment: Deployment) -> None:
    token = {"Authorization": f"Bearer {(SECRETS / 'retrain-token').read_text()}"}
    _, before = deployment.call("GET", "predict")
    status, _ = deployment.call("POST", "retrain", {"examples": [{"text": "unseen", "label": 1}]})
    assert status == 401
    examples = [{"text": f"zorblax film {n}", "label": 0, "source": f"reader {n % 20}"} for n in range(60)]
    examples += [{"text": f"quibbly film {n}", "label": 1, "source": f"reader {n % 20}"} for n in range(60)]
    status, _ = deployment.call("POST", "retrain", {"examples": examples}, **token)
    assert status == 202
    # Enough labels may have started a run by themselves.
    deployment.call("POST", "retrain?now=true", **token)

    def swapped() -> bool:
        return bool(deployment.call("GET", "predict")[1]["model"] != before["model"])

    assert runner.wait_until(swapped, 60), deployment.call("GET", "retrain")
    _, answer = deployment.call("POST", "predict", {"texts": ["zorblax", "quibbly"]})
    assert [item["prediction"] for item in answer["predictions"]] == ["negative", "positive"]


def test_drift_looks_at_what_was_scored(deployment: Deployment) -> None:
    status, report = deployment.call("GET", "drift")
    assert status == 200
    assert report["status"] in ("ok", "drift", "not-enough-data")
    assert report["drift"] is (report["status"] == "drift")


@pytest.mark.usefixtures("deployment")
def test_no_credential_is_in_what_the_gateway_tells_of_a_function() -> None:
    for name in FUNCTIONS:
        described = subprocess.run(
            ["faas-cli", "describe", name, "--json"], capture_output=True, text=True, check=True
        ).stdout
        for secret in filter(None, (path.read_text().strip() for path in SECRETS.iterdir())):
            assert secret not in described


def test_removed_nothing_is_left_but_what_was_there_before(deployment: Deployment) -> None:
    """The last one: it takes the deployment away."""
    deployment.again("--remove")
    listed = subprocess.run(["faas-cli", "list", "--quiet"], capture_output=True, text=True, check=True).stdout.split()
    assert not set(FUNCTIONS) & set(listed)
    names = subprocess.run(
        ["docker", "ps", "--all", "--format", "{{.Names}}"], capture_output=True, text=True, check=True
    ).stdout.split()
    assert "sentiment-bridge" not in names
