"""What every source does, over RabbitMQ 4."""

from tests.streams.sources import *  # noqa: F403 - the suite
