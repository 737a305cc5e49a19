"""A copy of the project, and the broker that streams are asked of."""

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


@pytest.fixture(scope="session")
def broker(rabbitmq: RabbitMQNode) -> RabbitMQNode:
    """The broker that the suites in tests/streams are about."""
    return rabbitmq
