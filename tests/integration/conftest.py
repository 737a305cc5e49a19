"""A copy of the project, and the local stack that runs in one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import RabbitMQNode
from tests.project import Project, copy_project, running_stack


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
    with running_stack(tmp_path_factory.mktemp("local")) as project:
        yield project


@pytest.fixture(scope="session")
def broker(rabbitmq: RabbitMQNode) -> RabbitMQNode:
    """The broker that the suites in tests/streams are about."""
    return rabbitmq
