"""What every source does, over the system's RabbitMQ."""

from tests.streams.sources import *  # noqa: F403 - the suite
