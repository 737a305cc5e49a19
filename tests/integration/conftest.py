"""A copy of the project, and the local stack that runs in one."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import RabbitMQNode
from tests.project import Project, copy_project


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """A copy of the project; nothing of it runs before, or afterwards."""
    project = copy_project(tmp_path)
    yield project
    if project.processes():
        project.deploy("--stop")


@pytest.fixture(scope="module")
def local_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A copy of the project whose local stack runs, with all of its parts."""
    project = copy_project(tmp_path_factory.mktemp("local"))
    try:
        started = project.deploy("--local", "--detach")
        assert started.returncode == 0, started.stdout
        for line in started.stdout.splitlines():
            if line.startswith("no stream"):
                if os.environ.get("CI") == "true":
                    pytest.fail(line)
                pytest.skip(line)
        yield project
    finally:
        project.deploy("--stop")


@pytest.fixture(scope="session")
def broker(rabbitmq: RabbitMQNode) -> RabbitMQNode:
    """The broker that the suites in tests/streams are about."""
    return rabbitmq
