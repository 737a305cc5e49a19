"""Each user of RabbitMQ does what its rights are, and nothing else."""

import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import ChannelClosedByBroker, ProbableAuthenticationError

from deploy.ports import LOOPBACK, free_port
from deploy.rights import BrokerUser, broker
from deploy.secrets import make
from deploy.servers import rabbitmq
from messages.alerts import AlertExchange
from messages.lock import ReaderLock
from messages.ports import Appended, BrokerUnavailable, Outgoing
from messages.publisher import AmqpPublisher
from messages.stream_client import FIRST, StreamConnection
from messages.stream_connection import Subscription
from messages.stream_publisher import StreamPublisher
from messages.topology import declare_input_stream, declare_queue, declare_streams, declare_super_stream
from tests.conftest import server_or_skip
from tests.running import running

MAX_BYTES = 10_000_000
BRIDGE, DRIFT, REVIEWS, LABELS = "bridge", "drift", "reviews", "labels"
ALL = {BRIDGE, DRIFT, REVIEWS, LABELS}


class Broker:
    """A node that knows the users of the system, and at which the bridge has declared what it reads and writes."""

    def __init__(self, users: list[BrokerUser], administrator: dict[str, str], ports: tuple[int, int]) -> None:
        self._logins = {user.name: user.variables(LOOPBACK, *ports) for user in users}
        self._logins["administrator"] = administrator

    def amqp_url(self, user: str) -> str:
        return self._logins[user]["RABBITMQ_URL"]

    def stream_url(self, user: str) -> str:
        return self._logins[user]["RABBITMQ_STREAM_URL"]


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    users = [BrokerUser(name, secrets.token_hex(8), rights) for name, rights in broker({}).items()]
    with server_or_skip():
        service = rabbitmq(tmp_path_factory.mktemp("rabbitmq"), free_port, "administrator", "of all", users)
    amqp, stream = service.ports
    with running(service):
        found = Broker(users, dict(service.variables), (amqp, stream))
        # Whatever the bridge is told to read.
        declare_streams(found.amqp_url(BRIDGE), ["predictions", "rejected"], MAX_BYTES)
        declare_super_stream(found.amqp_url(BRIDGE), "reviews", 2, MAX_BYTES)
        declare_input_stream(found.amqp_url(BRIDGE), "labels", MAX_BYTES)
        AlertExchange(found.amqp_url(DRIFT)).prepare()
        yield found


Act = Callable[[BlockingChannel], object]


def publish(exchange: str, routing_key: str) -> Act:
    def act(channel: BlockingChannel) -> None:
        channel.confirm_delivery()
        channel.basic_publish(exchange, routing_key, b"", mandatory=True)

    return act


def declare(queue: str) -> Act:
    return lambda channel: channel.queue_declare(queue, durable=True)


def read(stream: str) -> Act:
    def act(channel: BlockingChannel) -> None:
        channel.basic_qos(prefetch_count=1)
        channel.basic_consume(stream, lambda *_: None, arguments={"x-stream-offset": "next"})

    return act


def listen_to_alerts(channel: BlockingChannel) -> None:
    queue = channel.queue_declare("", exclusive=True).method.queue
    channel.queue_bind(queue, "alerts", "#")


# What is done over AMQP, and who may.
ACTS: dict[str, tuple[Act, set[str]]] = {
    "send a review": (publish("reviews", "1"), {BRIDGE, REVIEWS}),
    "send a label": (publish("labels", ""), {BRIDGE, LABELS}),
    "publish to any queue": (publish("", "labels"), {BRIDGE}),
    "send an alert": (lambda channel: channel.basic_publish("alerts", "drift", b""), {DRIFT}),
    "write into an exchange of the broker": (lambda channel: channel.basic_publish("amq.fanout", "", b""), set()),
    "have a queue for replies": (declare("client-1"), {REVIEWS}),
    "have a queue that the broker names": (lambda channel: channel.queue_declare("", exclusive=True), {REVIEWS}),
    "have another queue": (declare("another"), set()),
    "read predictions": (read("predictions"), {BRIDGE}),
    "read reviews": (read("reviews-0"), {BRIDGE}),
    "read labels": (read("labels"), {BRIDGE}),
    "read what was rejected": (read("rejected"), {BRIDGE, REVIEWS}),
    "lead reviews elsewhere": (lambda channel: channel.queue_bind("rejected", "reviews", "0"), {BRIDGE}),
    "hear of alerts": (listen_to_alerts, set()),
    "delete reviews": (lambda channel: channel.queue_delete("reviews-9"), {BRIDGE}),
    "delete the entrance of labels": (lambda channel: channel.exchange_delete("labels", if_unused=True), {BRIDGE}),
    "see that labels are there": (lambda channel: channel.queue_declare("labels", passive=True), ALL),
}


@pytest.mark.parametrize("user", sorted(ALL))
@pytest.mark.parametrize("name", ACTS)
def test_a_user_does_what_its_rights_are_and_nothing_else(node: Broker, user: str, name: str) -> None:
    act, allowed = ACTS[name]
    with pika.BlockingConnection(pika.URLParameters(node.amqp_url(user))) as connection:
        channel = connection.channel()

        def do() -> None:
            act(channel)
            channel.queue_declare("predictions", passive=True)  # an answer comes behind a refusal

        if user in allowed:
            try:
                do()
            except ChannelClosedByBroker as error:
                assert error.reply_code == 406  # it may, and is told that the exchange is in use
            return
        with pytest.raises(ChannelClosedByBroker, match="ACCESS_REFUSED"):
            do()


def reads_by_the_stream_protocol(node: Broker, user: str, stream: str) -> bool:
    connection = StreamConnection(node.stream_url(user), stream, "test", lambda _: None)
    try:
        connection.subscribe(1, FIRST, Subscription(lambda _: None), 1, {})
    except BrokerUnavailable:
        return False
    finally:
        connection.close()
    return True


def writes_by_the_stream_protocol(node: Broker, user: str, stream: str) -> bool:
    publisher = StreamPublisher(node.stream_url(user), stream)
    try:
        publisher.append("test", [Appended(1, b"{}", None)])
    except BrokerUnavailable:
        return False
    finally:
        publisher.close()
    return True


@pytest.mark.parametrize(
    ("stream", "readers", "writers"),
    [
        ("predictions", {BRIDGE}, {BRIDGE}),
        ("rejected", {BRIDGE, REVIEWS}, {BRIDGE}),
        ("reviews-0", {BRIDGE}, {BRIDGE, REVIEWS}),
        ("labels", {BRIDGE}, {BRIDGE, LABELS}),
    ],
)
def test_by_the_stream_protocol_the_rights_are_the_same(
    node: Broker, stream: str, readers: set[str], writers: set[str]
) -> None:
    assert {user for user in ALL if reads_by_the_stream_protocol(node, user, stream)} == readers
    assert {user for user in ALL if writes_by_the_stream_protocol(node, user, stream)} == writers


def test_the_bridge_answers_to_a_queue_that_a_sender_made(node: Broker) -> None:
    with pika.BlockingConnection(pika.URLParameters(node.amqp_url(REVIEWS))) as sender:
        channel = sender.channel()
        queue = channel.queue_declare("", exclusive=True).method.queue
        publisher = AmqpPublisher(node.amqp_url(BRIDGE))
        left = [Outgoing(queue, b"an answer")]
        publisher.reply(left)
        publisher.close()
        assert left == []
        assert channel.basic_get(queue, auto_ack=True)[2] == b"an answer"


@pytest.mark.parametrize("stream", ["reviews", "reviews-1", "labels"])
def test_the_bridge_takes_the_turn_to_read_that_brokers_before_3_11_do_not_give(node: Broker, stream: str) -> None:
    lock, other = ReaderLock(node.amqp_url(BRIDGE), stream), ReaderLock(node.amqp_url(BRIDGE), stream)
    assert lock.acquire()
    assert not other.acquire()
    lock.release()


def test_the_bridge_declares_a_queue_to_be_read_with_what_it_rejects(node: Broker) -> None:
    declare_queue(node.amqp_url(BRIDGE), "labels-7")
    with pika.BlockingConnection(pika.URLParameters(node.amqp_url("administrator"))) as connection:
        channel = connection.channel()
        channel.queue_declare("labels-7.rejected", passive=True)
        publish("labels-7", "")(channel)
        channel.queue_delete("labels-7")


def test_who_may_declare_no_entrance_goes_on_without_and_says_so(
    node: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    """As the user that an operator made for an earlier release, whose streams are there."""
    declare_streams(node.amqp_url("administrator"), ["labels-8"], MAX_BYTES)
    declare_input_stream(node.amqp_url(DRIFT), "labels-8", MAX_BYTES)
    assert "labels-8 can't be reached by an exchange of its name: ACCESS_REFUSED" in caplog.text


def test_the_broker_takes_other_passwords_at_its_next_start(tmp_path: Path) -> None:
    rights = broker({})[LABELS]
    for password in ("old", "new"):
        user = BrokerUser(LABELS, password, rights)
        with server_or_skip():
            service = rabbitmq(tmp_path, free_port, "administrator", password, [user])
        with running(service):
            amqp, _ = service.ports
            urls = [f"amqp://{LABELS}:{word}@127.0.0.1:{amqp}/%2F" for word in ("old", "new")]
            assert [lets_in(url) for url in urls] == [password == "old", password == "new"]


def lets_in(url: str) -> bool:
    try:
        pika.BlockingConnection(pika.URLParameters(url)).close()
    except ProbableAuthenticationError:
        return False
    return True


def test_the_users_that_compose_makes_are_let_in(tmp_path: Path) -> None:
    """By the very file that is mounted into its broker, though from another folder."""
    made = tmp_path / "secrets"
    make(made, "mongodb", LOOPBACK, given={})
    with server_or_skip():
        service = rabbitmq(tmp_path / "node", free_port, "administrator", "of all")
    settings = tmp_path / "node" / "rabbitmq.conf"
    ours = settings.read_text().replace("definitions.json", str(made / "rabbitmq-definitions"))
    settings.write_text(ours)
    with running(service):
        urls = [(made / file).read_text() for file in ("rabbitmq-url", *(f"{name}-rabbitmq-url" for name in ALL))]
        assert all(lets_in(url.replace(":5672/", f":{service.ports[0]}/")) for url in urls)
        assert not lets_in(service.variables["RABBITMQ_URL"])
