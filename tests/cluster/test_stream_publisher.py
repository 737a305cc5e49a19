"""What is appended to a stream is there once, in order, over RabbitMQ 4."""

from tests.streams.appending import *  # noqa: F403 - the suite
