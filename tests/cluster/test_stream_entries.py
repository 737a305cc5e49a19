"""Whatever clients write to a stream comes as a message, over RabbitMQ 4."""

from tests.streams.entries import *  # noqa: F403 - the suite
