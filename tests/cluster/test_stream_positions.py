"""Where a reader of a stream begins, and how far it reads ahead, over RabbitMQ 4."""

from tests.streams.positions import *  # noqa: F403 - the suite
