"""The exchange of alerts on a real broker."""

import pytest

from messages.alerts import AlertExchange
from messages.ports import BrokerUnavailable
from tests.conftest import RabbitMQNode
from tests.system import Client


def test_an_alert_reaches_whoever_bound_a_queue_to_its_event(rabbitmq: RabbitMQNode, stream_name: str) -> None:
    exchange = AlertExchange(rabbitmq.amqp_url)
    exchange.prepare()
    exchange.prepare()
    client = Client(rabbitmq.amqp_url)
    client.declare(stream_name)
    client.channel.queue_bind(stream_name, "alerts", "drift.*")
    exchange.send("drift.detected", "drift-1", b"{}")
    exchange.send("other", "drift-2", b"{}")
    ((properties, body),) = client.drain(stream_name)
    client.channel.queue_delete(stream_name)
    client.close()
    assert body == b"{}"
    assert (properties.message_id, properties.content_type, properties.delivery_mode) == (
        "drift-1",
        "application/json",
        2,
    )


def test_a_broker_that_is_away_is_said() -> None:
    exchange = AlertExchange("amqp://127.0.0.1:9/")
    with pytest.raises(BrokerUnavailable, match="RabbitMQ"):
        exchange.prepare()
    with pytest.raises(BrokerUnavailable, match="RabbitMQ"):
        exchange.send("drift.detected", "drift-1", b"{}")
