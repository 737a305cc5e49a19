"""The real servers that integration and fault tests talk to, started once a session on free ports."""

import os
import secrets
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import pytest
from pika.adapters.blocking_connection import BlockingChannel

from deploy import ports, runner, servers
from messages.amqp import blocking_connection
from model_store.publishing import ModelStore
from records import Records
from records.labels import Labels
from tests.running import running

# The suites there are no test modules of their own.
pytest.register_assert_rewrite("tests.streams")
# A shell that runs the tests in the background has them ignore Ctrl-C, and with them all that they start.
signal.signal(signal.SIGINT, signal.default_int_handler)


@dataclass(frozen=True)
class S3Server:
    """A running S3 server; `environment` holds the settings with which the project's code finds it."""

    endpoint_url: str
    access_key_id: str
    secret_access_key: str
    environment: dict[str, str]


@dataclass
class RabbitMQNode:
    """A RabbitMQ node with streams that a fault test may stop, kill and start again; its data stay."""

    service: runner.Service
    start_timeout_seconds: float = 60
    _node: ExitStack = field(default_factory=ExitStack)
    pid: int = 0

    @property
    def amqp_url(self) -> str:
        return self.service.variables["RABBITMQ_URL"]

    @property
    def stream_url(self) -> str:
        return self.service.variables["RABBITMQ_STREAM_URL"]

    @property
    def environment(self) -> dict[str, str]:
        return dict(self.service.variables)

    def start(self) -> None:
        """Returns when the node accepts connections."""
        self.pid = self._node.enter_context(running(self.service, self.start_timeout_seconds)).pid

    def stop(self) -> None:
        """Ends the node as an administrator would."""
        self._node.close()

    def kill(self) -> None:
        """Ends the node as a crash would."""
        os.killpg(self.pid, signal.SIGKILL)
        self._node.close()


@contextmanager
def server_or_skip() -> Iterator[None]:
    """A server that is not installed skips the test on a laptop and fails it under CI."""
    try:
        yield
    except servers.MissingServerError as error:
        if os.environ.get("CI") == "true":
            pytest.fail(str(error))
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with server_or_skip():
        service = servers.s3(
            tmp_path_factory.mktemp("s3"), ports.free_port, secrets.token_hex(8), secrets.token_hex(16)
        )
    with running(service):
        yield S3Server(
            endpoint_url=service.variables["S3_ENDPOINT_URL"],
            access_key_id=service.variables["AWS_ACCESS_KEY_ID"],
            secret_access_key=service.variables["AWS_SECRET_ACCESS_KEY"],
            environment=dict(service.variables),
        )


@pytest.fixture
def bucket() -> str:
    """A bucket name that nobody has used."""
    return f"test-{secrets.token_hex(6)}"


@pytest.fixture(scope="session")
def mongodb_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with server_or_skip():
        service = servers.mongodb(tmp_path_factory.mktemp("mongodb"), ports.free_port)
    with running(service):
        yield service.variables["MONGODB_URL"]


@pytest.fixture
def database_name() -> str:
    """A database name that nobody has used."""
    return f"test_{secrets.token_hex(6)}"


@pytest.fixture
def environment(
    s3_server: S3Server, mongodb_url: str, bucket: str, database_name: str, monkeypatch: pytest.MonkeyPatch
) -> dict[str, str]:
    """Settings for a bucket and a database of one's own, for this process and those that it starts."""
    variables = {
        **s3_server.environment,
        "S3_BUCKET": bucket,
        "MONGODB_URL": f"{mongodb_url}/{database_name}",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return variables


@pytest.fixture
def store(environment: Mapping[str, str]) -> ModelStore:
    """The store at that bucket."""
    assert environment
    return ModelStore.from_environment()


@pytest.fixture
def records(environment: Mapping[str, str]) -> Iterator[Records]:
    """What is recorded in that database."""
    assert environment
    found = Records.from_environment()
    yield found
    found.close()


@pytest.fixture
def labels(records: Records) -> Labels:
    """The labels in it."""
    return Labels(records)


@pytest.fixture(scope="session")
def rabbitmq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQNode]:
    folder = tmp_path_factory.mktemp("rabbitmq")
    with server_or_skip():
        service = servers.rabbitmq(folder, ports.free_port, secrets.token_hex(4), secrets.token_hex(16))
    node = RabbitMQNode(service)
    try:
        node.start()
        yield node
    finally:
        node.stop()


@pytest.fixture
def stream_name() -> str:
    """A stream or queue name that nobody has used."""
    return f"test-{secrets.token_hex(6)}"


@pytest.fixture
def stream(broker: RabbitMQNode, stream_name: str) -> Iterator[str]:
    """A stream at `broker`, which is a fixture of the folders that have one."""

    def with_channel(act: Callable[[BlockingChannel], object]) -> None:
        with blocking_connection(broker.amqp_url) as connection:
            act(connection.channel())

    with_channel(lambda channel: channel.queue_declare(stream_name, durable=True, arguments={"x-queue-type": "stream"}))
    yield stream_name
    with_channel(lambda channel: channel.queue_delete(stream_name))
