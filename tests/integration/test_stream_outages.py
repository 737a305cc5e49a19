"""When the broker of a stream dies or is silent, over the system's RabbitMQ."""

from tests.streams.outages import *  # noqa: F403 - the suite
