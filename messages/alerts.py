"""Alerts at the broker: a topic exchange to which whoever wants to hear of them binds a queue."""

from collections.abc import Iterator
from contextlib import contextmanager

from pika.adapters.blocking_connection import BlockingChannel
from pika.delivery_mode import DeliveryMode
from pika.spec import BasicProperties

from contracts.names import ALERTS
from messages.amqp import blocking_connection


class AlertExchange:
    """The durable topic exchange `alerts`. A connection lasts for one alert, since there are so few."""

    name = "rabbitmq"

    def __init__(self, url: str) -> None:
        """Publish at the broker with that AMQP URL."""
        self._url = url

    def prepare(self) -> None:
        """Declare the exchange, so that queues can be bound to it; raises BrokerUnavailable."""
        with self._channel():
            pass

    def send(self, routing_key: str, message_id: str, body: bytes) -> None:
        """Publish one alert, JSON, and return when the broker has confirmed it; raises BrokerUnavailable."""
        properties = BasicProperties(
            content_type="application/json", message_id=message_id, delivery_mode=DeliveryMode.Persistent
        )
        with self._channel() as channel:
            channel.confirm_delivery()
            channel.basic_publish(ALERTS, routing_key, body, properties)

    @contextmanager
    def _channel(self) -> Iterator[BlockingChannel]:
        with blocking_connection(self._url) as connection:
            channel = connection.channel()
            channel.exchange_declare(ALERTS, exchange_type="topic", durable=True)
            yield channel
