"""When the broker of a stream dies or is silent, over RabbitMQ 4."""

from tests.streams.outages import *  # noqa: F403 - the suite
