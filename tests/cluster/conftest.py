"""RabbitMQ 4, which is more than the packages of Debian 12 have: a node, and a cluster."""

from collections.abc import Iterator

import pytest

from tests.cluster.installation import Installation, rabbitmq4
from tests.cluster.nodes import ClusterNode, single_node, three_nodes
from tests.conftest import RabbitMQNode, server_or_skip


@pytest.fixture(scope="session")
def installation() -> Installation:
    """RabbitMQ 4; a skip with its reason where there is none, a failure in CI."""
    with server_or_skip():
        return rabbitmq4()


@pytest.fixture(name="rabbitmq4", scope="session")
def rabbitmq4_node(installation: Installation) -> Iterator[RabbitMQNode]:
    """A node of RabbitMQ 4 by itself."""
    with single_node(installation) as node:
        yield node


@pytest.fixture(scope="session")
def started_cluster(installation: Installation) -> Iterator[list[ClusterNode]]:
    with three_nodes(installation) as nodes:
        yield nodes


@pytest.fixture
def cluster(started_cluster: list[ClusterNode]) -> Iterator[list[ClusterNode]]:
    """Three nodes in a cluster, all of which run; those that a test leaves stopped are started after it."""
    yield started_cluster
    for node in started_cluster:
        if not node.runs:
            node.start()


@pytest.fixture(scope="session")
def broker(rabbitmq4: RabbitMQNode) -> RabbitMQNode:
    """The broker that the suites in tests/streams are about."""
    return rabbitmq4
