"""What tests have a broker do that no client can ask for."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.servers import rabbitmq_server
from tests.conftest import RabbitMQNode


def evaluate(node: RabbitMQNode, expression: str) -> None:
    """Evaluate an Erlang expression in the node of the system's own RabbitMQ."""
    settings = {"HOME": str(node.service.folder), "RABBITMQ_CONF_ENV_FILE": os.devnull}
    done = subprocess.run(
        [Path(rabbitmq_server()).with_name("rabbitmqctl"), "eval", expression],
        env={**os.environ, **node.service.environment, **settings},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@contextmanager
def stuck(node: RabbitMQNode, queue: str) -> Iterator[None]:
    """Have a classic queue do nothing, neither take nor refuse, for the time of the block."""
    lookup = f'{{ok, Q}} = rabbit_amqqueue:lookup(rabbit_misc:r(<<"/">>, queue, <<"{queue}">>))'
    evaluate(node, f"{lookup}, sys:suspend(amqqueue:get_pid(Q)).")
    try:
        yield
    finally:
        evaluate(node, f"{lookup}, sys:resume(amqqueue:get_pid(Q)).")


@contextmanager
def out_of_memory(node: RabbitMQNode) -> Iterator[None]:
    """Have the node think so for the time of the block: it takes nothing from whoever publishes."""
    alarm = "{resource_limit, memory, node()}"
    evaluate(node, f"rabbit_alarm:set_alarm({{{alarm}, []}}).")
    try:
        yield
    finally:
        evaluate(node, f"rabbit_alarm:clear_alarm({alarm}).")
