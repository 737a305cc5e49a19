"""Whatever clients write to a stream comes as a message, over the system's RabbitMQ."""

from tests.streams.entries import *  # noqa: F403 - the suite
