"""Containers of the project's images, against the real servers of tests/conftest.py."""

import os
import secrets
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from tests.conftest import RabbitMQNode, S3Server
from tests.containers import engine

_measured: list[str] = []


@pytest.fixture
def measured(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Takes a figure, which the summary of the run shows."""
    return lambda figure: _measured.append(f"{request.node.name}: {figure}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _measured:
        terminalreporter.section("measured on containers")
        for line in _measured:
            terminalreporter.write_line(line)


def compose_command() -> tuple[str, ...]:
    """Return the words with which compose is called here; a skip where it is not installed, a failure in CI."""
    for command in (("docker", "compose"), ("docker-compose",)):
        if (
            shutil.which(command[0])
            and subprocess.run([*command, "version"], capture_output=True, check=False).returncode == 0
        ):
            return command
    if os.environ.get("CI") == "true":
        pytest.fail("compose is not installed: apt-get install docker-compose")
    pytest.skip("compose is not installed")


@pytest.fixture(scope="session")
def docker_engine() -> Iterator[None]:
    """A Docker engine and the base image; a skip with its reason where there is none, a failure in CI."""
    try:
        with engine.engine():
            engine.base_image()
            yield
    except engine.MissingEngineError as error:
        if os.environ.get("CI") == "true":
            pytest.fail(str(error))
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def images(docker_engine: None) -> Iterator[dict[str, str]]:  # noqa: ARG001 - for its effect
    """The name of each part's image, built once."""
    tag = f"test-{secrets.token_hex(4)}"
    built = {name: engine.build(part, tag) for name, part in engine.parts().items()}
    yield built
    # The layers stay in the engine's cache, for the next run.
    engine.docker("image", "rm", *built.values())


RETRAIN_TOKEN = "a-token-for-tests"


@dataclass(frozen=True)
class Servers:
    """The servers that containers talk to: settings for the environment, credentials for files."""

    environment: dict[str, str]
    secrets: dict[str, str]


@pytest.fixture
def servers(s3_server: S3Server, mongodb_url: str, rabbitmq: RabbitMQNode, bucket: str, database_name: str) -> Servers:
    """A bucket and a database of the test's own."""
    return Servers(
        environment={"S3_ENDPOINT_URL": s3_server.endpoint_url, "S3_BUCKET": bucket, "POLL_SECONDS": "0.2"},
        secrets={
            "s3-access-key": s3_server.access_key_id,
            "s3-secret-key": s3_server.secret_access_key + "\n",  # as files made by hand end
            "mongodb-url": f"{mongodb_url}/{database_name}",
            "rabbitmq-url": rabbitmq.amqp_url,
            "rabbitmq-stream-url": rabbitmq.stream_url,
            "retrain-token": RETRAIN_TOKEN,
            "console-token": secrets.token_urlsafe(),
        },
    )


@pytest.fixture
def store_environment(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    """Point this process's own ModelStore at the servers."""
    for name, value in servers.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", servers.secrets["s3-access-key"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", servers.secrets["s3-secret-key"].strip())
