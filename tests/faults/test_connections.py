"""Connections of the project's own to a broker that is there and does not answer."""

import random
import threading
import time

from deploy.ports import free_port
from messages.amqp import Connection
from tests.conftest import RabbitMQNode
from tests.faults.proxy import Proxy, Treatment
from tests.faults.stage import port_of, with_port


def test_a_connection_that_is_given_up_is_closed_at_once_though_the_broker_does_not_answer(
    rabbitmq: RabbitMQNode,
) -> None:
    with Proxy(free_port(), port_of(rabbitmq.amqp_url), random.Random(1)) as proxy:
        url = with_port(rabbitmq.amqp_url, proxy.port)
        connection = Connection(url, "test", lambda opened: opened.ready.set(), threading.Condition())
        proxy.treat(Treatment(hole=True))
        began = time.monotonic()
        connection.close()
        assert connection.closed
        assert time.monotonic() - began < 10
