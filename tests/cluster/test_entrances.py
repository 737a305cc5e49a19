"""An exchange of a stream's own name leads to it, and is taken for no super stream by brokers that know those."""

from bridge.settings import Settings, StreamInput
from messages.amqp import blocking_connection
from messages.stream_client import partitions
from tests.conftest import RabbitMQNode


def test_a_stream_with_an_entrance_is_read_as_a_stream_also_once_it_is_made_anew(
    rabbitmq4: RabbitMQNode, stream_name: str
) -> None:
    settings = Settings(rabbitmq4.amqp_url, rabbitmq4.stream_url, reviews=StreamInput(stream_name), labels="")
    for _ in range(2):
        for _ in range(2):
            settings.reviews.declare(settings)
        assert partitions(rabbitmq4.stream_url, stream_name) == [stream_name]
        assert [source.name for source in settings.reviews.sources(settings)] == [stream_name]
        with blocking_connection(rabbitmq4.amqp_url) as connection:
            channel = connection.channel()
            channel.confirm_delivery()
            channel.basic_publish(stream_name, "any", b"", mandatory=True)
            channel.queue_delete(stream_name)
