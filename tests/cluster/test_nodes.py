"""A node of RabbitMQ 4, and a cluster of which a node dies and comes back."""

import asyncio
from dataclasses import dataclass
from urllib.parse import urlsplit

from rstream import AMQPMessage, Consumer, MessageContext, Producer, amqp_decoder
from rstream.client import ClientPool
from rstream.exceptions import LeaderNotAvailable, StreamNotAvailable

from deploy.runner import wait_until
from messages.topology import declare_super_stream
from tests.cluster.nodes import ClusterNode
from tests.conftest import RabbitMQNode

TIMEOUT_SECONDS = 60


@dataclass(frozen=True)
class Replicas:
    """The stream ports of the nodes that have a stream; no leader where none is elected."""

    leader: int | None
    followers: set[int]


def stream_port(node: RabbitMQNode) -> int:
    port = urlsplit(node.stream_url).port
    assert port
    return port


def pool(node: RabbitMQNode) -> ClientPool:
    """Connections by the stream protocol, to this node and to those that it names."""
    url = urlsplit(node.stream_url)
    return ClientPool(
        str(url.hostname), stream_port(node), vhost="/", username=str(url.username), password=str(url.password),
        frame_max=1_048_576, heartbeat=60, load_balancer_mode=False, max_retries=1,
    )  # fmt: skip


def super_stream(node: RabbitMQNode, name: str) -> list[str]:
    """Declare a super stream of three partitions, which it returns."""
    declare_super_stream(node.amqp_url, name, 3, 1_000_000_000)
    return [f"{name}-{number}" for number in range(3)]


async def version(node: RabbitMQNode) -> str:
    connections = pool(node)
    client = await connections.get("test")
    assert client.server_properties
    found = client.server_properties["version"]
    await connections.close()
    return found


async def partitions_of(node: RabbitMQNode, name: str) -> list[str]:
    connections = pool(node)
    found = await (await connections.get("test")).partitions(name)
    await connections.close()
    return found


async def replicas(node: RabbitMQNode, stream: str) -> Replicas:
    connections = pool(node)
    try:
        leader, followers = await (await connections.get("test")).query_leader_and_replicas(stream)
    except (LeaderNotAvailable, StreamNotAvailable):
        return Replicas(None, set())
    finally:
        await connections.close()
    return Replicas(leader.port, {follower.port for follower in followers})


async def write(node: RabbitMQNode, partitions: list[str], body: bytes) -> None:
    """Write a message to each partition; returns when the broker has confirmed all."""
    url = urlsplit(node.stream_url)
    async with Producer(
        str(url.hostname), stream_port(node), username=str(url.username), password=str(url.password)
    ) as producer:
        for partition in partitions:
            await producer.send_wait(partition, AMQPMessage(body=body), timeout=TIMEOUT_SECONDS)


async def read(node: RabbitMQNode, partitions: list[str], count: int) -> dict[str, list[bytes]]:
    """Read the first `count` messages of each partition."""
    url = urlsplit(node.stream_url)
    found: dict[str, list[bytes]] = {partition: [] for partition in partitions}
    complete = asyncio.Event()

    def take(message: AMQPMessage, context: MessageContext) -> None:
        found[context.stream].append(bytes(message.body))
        if all(len(bodies) >= count for bodies in found.values()):
            complete.set()

    async with (
        Consumer(
            str(url.hostname), stream_port(node), username=str(url.username), password=str(url.password)
        ) as consumer,
        asyncio.timeout(TIMEOUT_SECONDS),
    ):
        for partition in partitions:
            await consumer.subscribe(partition, take, decoder=amqp_decoder)
        await complete.wait()
    return found


def test_a_node_answers_by_both_protocols_with_version_4(rabbitmq4: RabbitMQNode, stream_name: str) -> None:
    partitions = super_stream(rabbitmq4, stream_name)
    assert asyncio.run(version(rabbitmq4)).startswith("4.")
    asyncio.run(write(rabbitmq4, partitions, b"first"))
    assert asyncio.run(read(rabbitmq4, partitions, 1)) == {name: [b"first"] for name in partitions}


def test_a_node_that_is_killed_has_its_messages_when_it_comes_back(rabbitmq4: RabbitMQNode, stream_name: str) -> None:
    partitions = super_stream(rabbitmq4, stream_name)
    asyncio.run(write(rabbitmq4, partitions, b"first"))
    rabbitmq4.kill()
    rabbitmq4.start()
    # It accepts connections a moment before it has its streams.
    assert wait_until(
        lambda: all(asyncio.run(replicas(rabbitmq4, name)).leader for name in partitions), TIMEOUT_SECONDS
    )
    assert asyncio.run(read(rabbitmq4, partitions, 1)) == {name: [b"first"] for name in partitions}


def test_a_cluster_has_three_members_and_each_is_reached_at_its_own_port(
    cluster: list[ClusterNode], stream_name: str
) -> None:
    names = {node.name for node in cluster}
    assert len(names) == 3
    assert all(node.members() == names for node in cluster)
    partitions = super_stream(cluster[0], stream_name)
    assert asyncio.run(partitions_of(cluster[1], stream_name)) == partitions
    ports = {stream_port(node) for node in cluster}
    for partition in partitions:
        placed = asyncio.run(replicas(cluster[2], partition))
        assert {placed.leader, *placed.followers} == ports


def test_a_cluster_goes_on_without_the_node_that_leads_a_partition_and_takes_it_back(
    cluster: list[ClusterNode], stream_name: str
) -> None:
    partitions = super_stream(cluster[0], stream_name)
    asyncio.run(write(cluster[0], partitions, b"before"))
    leader = asyncio.run(replicas(cluster[0], partitions[0])).leader
    (killed,) = (node for node in cluster if stream_port(node) == leader)
    others = [node for node in cluster if node is not killed]
    killed.kill()

    def all_led_by_others() -> bool:
        ports = {stream_port(node) for node in others}
        return all(asyncio.run(replicas(others[0], partition)).leader in ports for partition in partitions)

    assert wait_until(all_led_by_others, TIMEOUT_SECONDS)
    assert others[0].members() == {node.name for node in others}
    asyncio.run(write(others[1], partitions, b"without it"))
    assert asyncio.run(read(others[0], partitions, 2)) == {name: [b"before", b"without it"] for name in partitions}

    killed.start()

    def has_all_again() -> bool:
        found = [asyncio.run(replicas(killed, partition)) for partition in partitions]
        return all({placed.leader, *placed.followers} == {stream_port(node) for node in cluster} for placed in found)

    assert wait_until(has_all_again, TIMEOUT_SECONDS)
    asyncio.run(write(killed, partitions, b"after"))
    assert asyncio.run(read(killed, partitions, 3)) == {
        name: [b"before", b"without it", b"after"] for name in partitions
    }
