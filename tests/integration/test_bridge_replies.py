"""Replies are their sender's own risk: whatever queue one names, others are answered once, and the offset moves."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import urllib3
from pika import BasicProperties
from prometheus_client.parser import text_string_to_metric_families
from rstream import AMQPMessage, Properties

from deploy.runner import Service, wait_until
from records import Records
from tests.conftest import RabbitMQNode
from tests.control import stuck
from tests.integration.test_bridge import GOOD, client, environment, gateway_url, source_of, wait_for_offset
from tests.running import running
from tests.streams.conversation import write
from tests.system import Client, python_service

__all__ = ["client", "environment", "gateway_url"]  # fixtures
BEFORE = {"refused": 0, "unroutable": 0, "forbidden": 0, "unconfirmed": 0}


def service_of(environment: Mapping[str, str], gateway_url: str, folder: Path) -> Service:
    return python_service("bridge", folder, {"BRIDGE_LABELS": "", **environment, "GATEWAY_URL": gateway_url})


def ask(client: Client, stream: str, reply_to: Sequence[str]) -> None:
    """Publish a review for each of these queues, whose correlation id is its number."""
    for number, queue in enumerate(reply_to):
        client.channel.basic_publish(
            "", stream, GOOD, BasicProperties(correlation_id=str(number), reply_to=queue, message_id=str(number))
        )


def dropped(service: Service) -> dict[str, int]:
    """Return how many replies were dropped, by reason."""
    text = urllib3.request("GET", f"{service.variables['URL']}/metrics").data.decode()
    samples = {
        sample.name: sample.value for family in text_string_to_metric_families(text) for sample in family.samples
    }
    return {why: int(samples.get(f"bridge_{why}_replies_total", -1)) for why in BEFORE}


def numbers(client: Client, queue: str) -> list[int]:
    return sorted(int(properties.correlation_id or -1) for properties, _ in client.drain(queue))


def test_a_full_reply_queue_has_nothing_sent_again_and_holds_nobody_up(
    environment: Mapping[str, str], client: Client, records: Records, gateway_url: str, tmp_path: Path
) -> None:
    stream = source_of(environment)
    full = f"{stream}-full"
    client.channel.queue_declare(full, arguments={"x-max-length": 1, "x-overflow": "reject-publish"})
    client.publish(full, [b"text"])
    ask(client, stream, ["replies"] * 25 + [full] + ["replies"] * 25)
    service = service_of(environment, gateway_url, tmp_path)
    with running(service):
        wait_for_offset(records, stream, 50, 20)
        assert numbers(client, "replies") == [number for number in range(51) if number != 25]
        assert dropped(service) == {**BEFORE, "refused": 1}
    assert len(client.read_stream("predictions")) == 51
    client.channel.queue_delete(full)


@pytest.mark.parametrize("kind", ["stream", "queue"])
def test_the_system_s_own_streams_and_queues_get_no_replies(
    kind: str, environment: Mapping[str, str], client: Client, gateway_url: str, tmp_path: Path
) -> None:
    source = source_of(environment)
    if kind == "queue":
        source = f"{source}-queue"
        client.declare(source, "quorum")
        client.declare(f"{source}.rejected", "quorum")
    own = [source, "predictions", "rejected", "labels", "alerts", f"{source}.rejected", f"{source}.reader"]
    ask(client, source, ["replies", *own])
    service = service_of(
        {**environment, "BRIDGE_SOURCE": f"{kind}:{source}", "BRIDGE_LABELS": "labels"}, gateway_url, tmp_path
    )
    with running(service):
        assert wait_until(lambda: len(client.read_stream("predictions")) == len(own) + 1, 20)
        assert dropped(service) == {**BEFORE, "forbidden": len(own)}
    assert numbers(client, "replies") == [0]
    assert client.read_stream("rejected") == []
    assert client.read_stream("labels") == []
    if kind == "stream":
        assert len(client.read_stream(source)) == len(own) + 1
    for name in ("labels", f"{source}-queue", f"{source}.rejected"):
        client.channel.queue_delete(name)


def test_with_a_prefix_only_queues_that_begin_with_it_get_replies(
    environment: Mapping[str, str], client: Client, records: Records, gateway_url: str, tmp_path: Path
) -> None:
    stream = source_of(environment)
    for name in ("rep", "other"):
        client.declare(name)
    ask(client, stream, ["replies", "rep", "other", "rejected", "predictions"])
    service = service_of({**environment, "BRIDGE_REPLY_PREFIX": "re"}, gateway_url, tmp_path)
    with running(service):
        wait_for_offset(records, stream, 4, 20)
        assert dropped(service) == {**BEFORE, "forbidden": 3}
    assert [numbers(client, name) for name in ("replies", "rep", "other")] == [[0], [1], []]
    assert len(client.read_stream("predictions")) == 5
    for name in ("rep", "other"):
        client.channel.queue_delete(name)


STRANGE = [
    "gone", "x" * 255, "x" * 300, "ü" * 120, "a\nb", "\x00", " ", "/queues/", "amq.gen-x",
    # What a client writes for its own channel, and what the broker makes of it, more or less.
    "amq.rabbitmq.reply-to", "amq.rabbitmq.reply-to.", "amq.rabbitmq.reply-to.garbage",
    "amq.rabbitmq.reply-to.g2dkABByZXBseUA5ODc2NTQzMjEAAAAAAAAAAAAAAAA=.x",
]  # fmt: skip


def test_whatever_a_reply_queue_is_called_others_are_answered_once(
    rabbitmq: RabbitMQNode,
    environment: Mapping[str, str],
    client: Client,
    records: Records,
    gateway_url: str,
    tmp_path: Path,
) -> None:
    stream = source_of(environment)
    # By the stream protocol, since the broker itself looks at some of these names in AMQP 0.9.1.
    write(
        rabbitmq,
        stream,
        [AMQPMessage(body=GOOD, properties=Properties(reply_to=queue.encode())) for queue in [*STRANGE, "replies"]],
    )
    service = service_of(environment, gateway_url, tmp_path)
    with running(service):
        wait_for_offset(records, stream, len(STRANGE), 20)
        assert len(client.drain("replies")) == 1
        assert dropped(service) == {**BEFORE, "unroutable": 8, "forbidden": 4}


def test_a_stuck_reply_queue_holds_others_up_for_a_bounded_time_and_is_then_left_alone(
    rabbitmq: RabbitMQNode,
    environment: Mapping[str, str],
    client: Client,
    records: Records,
    gateway_url: str,
    tmp_path: Path,
) -> None:
    stream = source_of(environment)
    queue = f"{stream}-stuck"
    client.declare(queue)
    # More than what RabbitMQ lets a connection publish to a queue that does not answer: it stops reading from it.
    ask(client, stream, ["replies", queue] * 1_000)
    service = service_of({**environment, "BRIDGE_BATCH_MESSAGES": "100"}, gateway_url, tmp_path)
    with stuck(rabbitmq, queue), running(service):
        wait_for_offset(records, stream, 1_999, 45)
        assert dropped(service) == {**BEFORE, "unconfirmed": 1_000}
        ask(client, stream, ["replies", queue])
        wait_for_offset(records, stream, 2_001, 5)
    answered = {*numbers(client, "replies")}
    assert answered == {*range(0, 2_000, 2)}
    client.channel.queue_delete(queue)
