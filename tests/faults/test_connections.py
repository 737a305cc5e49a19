"""Connections of the project's own to a broker that is there and does not answer."""

import random
import threading
import time

import pytest

from deploy.ports import free_port
from messages.amqp import Connection
from messages.ports import BrokerUnavailable
from messages.stream_client import StreamConnection
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


def test_garbage_in_place_of_an_answer_is_no_frame_that_is_waited_for(rabbitmq: RabbitMQNode) -> None:
    with Proxy(free_port(), port_of(rabbitmq.stream_url), random.Random(1)) as proxy:
        gone: list[str] = []
        connection = StreamConnection(with_port(rabbitmq.stream_url, proxy.port), "", "test", gone.append)
        proxy.treat(Treatment(garbage=True))
        began = time.monotonic()
        with pytest.raises(BrokerUnavailable):
            connection.partitions("test")
        assert time.monotonic() - began < 10
        assert gone
        connection.close()
