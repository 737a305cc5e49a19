"""What is appended to a stream is there once, in order, over the system's RabbitMQ."""

from tests.streams.appending import *  # noqa: F403 - the suite
