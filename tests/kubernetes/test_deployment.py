"""`./deploy.sh --kubernetes`, against stand-ins of its tools that behave as the real ones did on a cluster."""

import base64
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from contracts.names import FUNCTIONS
from deploy.openfaas.kubernetes import OPERATORS
from tests.kubernetes.rendering import REGISTRY, environment
from tests.project import ROOT, copy_project

TOOLS = ("docker", "faas-cli", "kubectl", "helm")
CHANGING = ("apply", "patch", "delete", "upgrade", "uninstall", "deploy", "remove", "create", "push")


def node(cpu: str, memory: str, *, unschedulable: bool = False) -> dict[str, Any]:
    """Return what kubectl tells of a node."""
    return {"spec": {"unschedulable": unschedulable}, "status": {"allocatable": {"cpu": cpu, "memory": memory}}}


def pod(namespace: str, cpu: str, memory: str) -> dict[str, Any]:
    """Return what kubectl tells of a pod, which has a second container that asks for nothing."""
    containers: list[dict[str, Any]] = [{"resources": {"requests": {"cpu": cpu, "memory": memory}}}, {"resources": {}}]
    return {"metadata": {"namespace": namespace}, "spec": {"containers": containers}}


class Gateway(BaseHTTPRequestHandler):
    """Answers as functions that are all ready."""

    def answer(self) -> None:
        body = json.dumps({"prediction": "positive", "probability": 0.9, "model": "1"}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = answer  # noqa: N815 - the base class's names

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's
        """Say nothing."""


class Cluster:
    """A copy of the project, and what the stand-ins have been told."""

    def __init__(self, project: Path, folder: Path, gateway_url: str) -> None:
        self.project, self.folder = project, folder
        bin_folder = folder / "bin"
        bin_folder.mkdir(parents=True)
        for tool in TOOLS:
            script = f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m tests.kubernetes.standin {tool} "$@"\n'
            (bin_folder / tool).write_text(script)
            (bin_folder / tool).chmod(0o755)
        settings = ("S3_ENDPOINT_URL", "MONGODB_URL", "RABBITMQ_URL", "GATEWAY_URL", "KUBECONFIG")
        self.environment = {name: value for name, value in os.environ.items() if name not in settings} | {
            "PATH": f"{bin_folder}:{os.environ['PATH']}",
            "PYTHON": sys.executable,
            "PYTHONPATH": str(ROOT),
            "STANDIN": str(folder),
            "OPENFAAS_URL": gateway_url,
            "REGISTRY": REGISTRY,
            "TAG": "1",
        }

    def deploy(self, *arguments: str, fails: bool = False, **variables: str) -> str:
        """Run deploy.sh; return what it prints."""
        result = subprocess.run(
            ["./deploy.sh", "--kubernetes", *arguments],
            cwd=self.project, env={**self.environment, **variables}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert (result.returncode != 0) is fails, result.stdout + result.stderr
        return result.stdout

    @property
    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "state.json").read_text())
        return found

    def set(self, **state: object) -> None:
        (self.folder / "state.json").write_text(json.dumps({**self.state, **state}))

    def calls(self) -> list[str]:
        return (self.folder / "calls").read_text().splitlines()

    @property
    def credentials(self) -> Path:
        return self.project / ".local" / "openfaas" / "secrets"

    def container(self, name: str) -> dict[str, Any]:
        (found,) = [each for key, each in self.state["resources"].items() if re.match(rf"(Deployment|Job)/{name}", key)]
        pod: dict[str, Any] = found["spec"]["template"]["spec"]
        return pod

    def rollouts(self) -> int:
        return int(self.state["rollouts"].get("Deployment/bridge", 0))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_project(tmp_path_factory.mktemp("project")).folder


@pytest.fixture
def cluster(project: Path, tmp_path: Path) -> Iterator[Cluster]:
    shutil.rmtree(project / ".local", ignore_errors=True)
    with ThreadingHTTPServer(("127.0.0.1", 0), Gateway) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            found = Cluster(project, tmp_path / "standin", f"http://127.0.0.1:{server.server_port}")
            subprocess.run([found.folder / "bin" / "kubectl", "version"], env=found.environment, check=True)
            yield found
        finally:
            server.shutdown()
            thread.join()


def test_one_command_brings_everything_up(cluster: Cluster) -> None:
    said = cluster.deploy(BRIDGE_IN_FLIGHT="3", TRAIN_DATA="starter", S3_BUCKET="texts")
    assert "positive, probability 0.900" in said
    # With the slash at the end: a function behind OpenFaaS's gateway can't tell whether one was there.
    assert f"{cluster.environment['OPENFAAS_URL']}/function/console/, the token in" in said
    assert cluster.state["functions"].keys() == set(FUNCTIONS)
    assert cluster.state["tests"] == 1  # helm test
    for name in ("bridge", "bootstrap"):
        pod = cluster.container(name)
        assert pod["containers"][0]["image"].startswith(f"{REGISTRY}/sentiment-{name}:1@sha256:")
        found = environment(pod)
        assert (found["BRIDGE_IN_FLIGHT"], found["TRAIN_DATA"], found["S3_BUCKET"]) == ("3", "starter", "texts")
    data = cluster.state["resources"]["Secret/bridge"]["data"]
    for key in ("mongodb-url", "rabbitmq-url"):
        assert base64.b64decode(data[key]).decode() == (cluster.credentials / f"bridge-{key}").read_text()
    assert "@mongodb-svc.sentiment.svc:27017/" in (cluster.credentials / "predict-mongodb-url").read_text()
    assert cluster.state["namespace"]["labels"]["pod-security.kubernetes.io/enforce"] == "baseline"


def test_nothing_changed_the_second_time_rolls_nothing_out(cluster: Cluster) -> None:
    assert "new: " in cluster.deploy()
    again = cluster.deploy()
    assert "new: " not in again
    assert "all as they should be" in again
    assert cluster.rollouts() == 1


def test_another_tag_finds_no_field_immutable(cluster: Cluster) -> None:
    cluster.deploy()
    cluster.deploy(TAG="2")
    for name in ("bridge", "bootstrap"):
        assert f"/sentiment-{name}:2@" in cluster.container(name)["containers"][0]["image"]
    assert cluster.rollouts() == 2


def test_another_image_of_the_same_tag_reaches_the_bridge(cluster: Cluster) -> None:
    cluster.deploy()
    cluster.set(pushed="second")
    cluster.deploy()
    assert cluster.rollouts() == 2


def test_a_changed_secret_reaches_the_bridge(cluster: Cluster) -> None:
    cluster.deploy()
    (cluster.credentials / "bridge-mongodb-password").unlink()  # so another one is made
    cluster.deploy()
    assert cluster.rollouts() == 2


def test_servers_of_ones_own_leave_out_those_of_the_chart(cluster: Cluster) -> None:
    cluster.set(crds=[])
    cluster.deploy(
        S3_ENDPOINT_URL="https://store.example", AWS_ACCESS_KEY_ID="key", AWS_SECRET_ACCESS_KEY="secret",
        MONGODB_URL="mongodb://db.example/?tls=true", RABBITMQ_URL="amqps://user:password@broker.example",
    )  # fmt: skip
    kinds = {name.partition("/")[0] for name in cluster.state["resources"]}
    assert not kinds & {"RabbitmqCluster", "MongoDBCommunity", "StatefulSet"}
    found = environment(cluster.container("bootstrap"))
    assert found["S3_ENDPOINT_URL"] == "https://store.example"
    assert found["STREAM_PARTITIONS"] == "0"
    data = cluster.state["resources"]["Secret/bridge"]["data"]
    assert base64.b64decode(data["rabbitmq-url"]).decode() == "amqps://user:password@broker.example"


def test_the_small_one_needs_no_operator(cluster: Cluster) -> None:
    cluster.set(crds=[])
    cluster.deploy(CHART_VALUES="deploy/chart/values-small.yaml")
    servers = {name for name in cluster.state["resources"] if name.startswith("StatefulSet/")}
    assert servers == {"StatefulSet/minio", "StatefulSet/mongodb", "StatefulSet/rabbitmq"}


@pytest.mark.parametrize(
    ("lacks", "variables", "words", "brings"),
    [
        ({"crds": []}, {}, "rabbitmqclusters.rabbitmq.com", "cluster-operator.yml"),
        ({"crds": []}, {}, "mongodbcommunity.mongodbcommunity.mongodb.com", "helm upgrade --install"),
        ({"classes": []}, {}, "a default storage class", "kubectl annotate storageclass"),
        ({"there": []}, {}, "apiservice/v1beta1.metrics.k8s.io", "metrics-server"),
        ({"there": []}, {}, "namespace/openfaas", "faas-netes"),
        ({"helm": "v3.9.0"}, {}, "Helm 3.13 or newer", "https://helm.sh"),
        ({}, {"REGISTRY": ""}, "REGISTRY", "export REGISTRY="),
        ({}, {"TRAIN_DATA": "reviews.csv"}, "TRAIN_DATA", "export TRAIN_DATA=imdb or starter"),
        ({}, {"STREAM_PARTITIONS": "many"}, "values that the chart takes", "STREAM_PARTITIONS"),
        (
            {"nodes": [node("8", "16Gi"), node("8", "16Gi", unschedulable=True)], "pods": [pod("else", "2", "1Gi")]},
            {},
            "7.2 processors and 13.2 GiB of memory in all, of which the nodes have 6.0 processors and 15.0 GiB",
            "export CHART_VALUES=deploy/chart/values-small.yaml",
        ),
        ({"login": False}, {}, "x509: certificate has expired", "faas-cli login"),
    ],
)
def test_what_is_missing_is_said_with_what_brings_it_before_anything_is_changed(
    cluster: Cluster, lacks: dict[str, object], variables: dict[str, str], words: str, brings: str
) -> None:
    cluster.set(**lacks)
    for arguments in (["--check"], []):
        said = cluster.deploy(*arguments, fails=True, **variables)
        assert words in said
        assert brings in said
    assert not [call for call in cluster.calls() if call.split()[1] in CHANGING]
    assert not cluster.credentials.exists()


def test_a_check_that_finds_all_there_says_so_and_changes_nothing(cluster: Cluster) -> None:
    before = len(cluster.calls())
    assert cluster.deploy("--check").endswith(" s  done\n")
    calls = cluster.calls()[before:]
    assert not [call for call in calls if call.split()[1] in CHANGING]
    for tool in ("faas-cli", "kubectl", "helm"):
        assert len([call for call in calls if call.startswith(f"{tool} version")]) == 1
    assert not (cluster.project / ".local").exists()


@pytest.mark.parametrize(
    ("cluster_is", "values"),
    [
        ({"nodes": [node("1", "4Gi")], "pods": [pod("sentiment", "1", "4Gi")]}, "deploy/chart/values-small.yaml"),
        ({"nodes": [node("1", "4Gi")], "crds": [*OPERATORS, "nodepools.karpenter.sh"]}, ""),
        ({"nodes": []}, ""),
    ],
    ids=["small values, and its own pods are there", "nodes are added", "nodes can't be seen"],
)
def test_a_cluster_with_room_is_not_too_small(cluster: Cluster, cluster_is: dict[str, object], values: str) -> None:
    cluster.set(**cluster_is)
    cluster.deploy("--check", CHART_VALUES=values)


def test_a_dry_run_writes_nothing_and_calls_nothing(cluster: Cluster) -> None:
    before = cluster.calls()
    said = cluster.deploy("--dry-run")
    assert "helm upgrade --install sentiment" in said
    assert not (cluster.project / ".local").exists()
    assert not [call for call in cluster.calls()[len(before) :] if call.split()[1] in CHANGING]


def test_removed_at_the_first_try_nothing_runs_and_data_stay(cluster: Cluster) -> None:
    """By the command that the deployment's last words name."""
    said = cluster.deploy()
    assert said.splitlines()[-1].strip() == "./deploy.sh --kubernetes --remove"
    cluster.deploy("--remove")
    state = cluster.state
    assert not state["functions"]
    assert not state["secrets"]
    # Its operator would delete its volumes with it.
    assert state["resources"].keys() == {"RabbitmqCluster/rabbitmq"}
    assert state["resources"]["RabbitmqCluster/rabbitmq"]["spec"]["replicas"] == 0
    assert state["namespace"]
    assert cluster.credentials.exists()
    cluster.deploy()
    assert cluster.state["resources"]["RabbitmqCluster/rabbitmq"]["spec"]["replicas"] == 3


def test_removed_with_its_data_nothing_is_left(cluster: Cluster) -> None:
    cluster.deploy()
    cluster.deploy("--remove", "--data")
    assert not cluster.state["resources"]
    assert not cluster.state["namespace"]
    assert not cluster.credentials.exists()
    cluster.deploy("--remove")  # and again, where there is nothing
