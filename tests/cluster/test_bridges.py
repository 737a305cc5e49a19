"""Bridges that share a super stream of a cluster, while bridges and nodes die, come and go, and models change.

CLUSTER_MESSAGES: how many messages the whole scenario has, 6000 if it is not set.
"""

import itertools
import os
import random
import signal
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import urllib3

from bridge.settings import Settings, StreamInput
from deploy.runner import wait_until
from messages.topology import declare_streams, declare_super_stream
from model_store.publishing import ModelStore
from records import Records
from tests.cluster.bridges import (
    STREAMS,
    TIMEOUT_SECONDS,
    Bridge,
    appended,
    bridges,
    entries,
    forget,
    gateway_before,
    opposite_models,
    packed,
    parked,
    predict,
    recorded,
    replied,
    two_bridges_do_the_work_of_one_stream_once,
)
from tests.cluster.nodes import ClusterNode
from tests.cluster.traffic import Review, Traffic, reviews
from tests.conftest import RabbitMQNode
from tests.faults.checker import correlation_id
from tests.running import running
from tests.system import Client, promote, python_service, through_gateway

MESSAGES = int(os.environ.get("CLUSTER_MESSAGES") or 6_000)
PARTITIONS = 6
STEPS = 9
SEED = 20261125
MAX_BYTES = 1_000_000_000
# So that there is always something in hand.
SMALL_BATCHES = {"BRIDGE_BATCH_MESSAGES": "5", "BRIDGE_IN_FLIGHT": "4"}


class SuperStream:
    """A super stream, the streams that bridges write to, and a reply queue, at a node that is not killed."""

    def __init__(self, name: str, made_at: RabbitMQNode, asked_at: RabbitMQNode, partitions: int = PARTITIONS) -> None:
        self.name = name
        self.partitions = [f"{name}-{number}" for number in range(partitions)]
        self.replies = f"{name}-replies"
        self.node = asked_at
        # The node that declares a stream leads it.
        declare_streams(made_at.amqp_url, STREAMS, MAX_BYTES)
        declare_super_stream(made_at.amqp_url, name, partitions, MAX_BYTES)
        client = Client(asked_at.amqp_url)
        client.declare(self.replies)
        client.close()

    def traffic(self, *nodes: RabbitMQNode) -> Traffic:
        addresses = [(node.amqp_url, node.stream_url) for node in nodes]
        return Traffic(addresses, reviews(self.partitions, self.replies, SEED))

    def bridge(
        self, environment: Mapping[str, str], gateway_url: str, folder: Path, node: RabbitMQNode | None = None
    ) -> Bridge:
        source = {"BRIDGE_SOURCE": f"stream:{self.name}"}
        own = {**SMALL_BATCHES, **environment, **(node or self.node).environment, **source}
        return Bridge.of(own, gateway_url, folder)

    def delete(self) -> None:
        client = Client(self.node.amqp_url)
        forget(client, [*STREAMS, self.replies, *self.partitions], [self.name])
        client.close()


@pytest.fixture
def super_stream(rabbitmq4: RabbitMQNode, stream_name: str) -> Iterator[SuperStream]:
    """A super stream on a node by itself."""
    found = SuperStream(stream_name, rabbitmq4, rabbitmq4)
    yield found
    found.delete()


@pytest.fixture
def scenario(super_stream: SuperStream, records: Records) -> Iterator["Scenario"]:
    """Traffic to a super stream on a node by itself, and no bridge yet."""
    traffic = super_stream.traffic(super_stream.node)
    with traffic.running():
        yield Scenario(super_stream, traffic, records, random.Random(SEED))


class Models:
    """Two models that contradict each other, of which the one and then the other is promoted."""

    def __init__(self, store: ModelStore) -> None:
        store.ensure_bucket()
        self.versions = [
            store.publish(packed(model), f"model-{number}") for number, model in enumerate(opposite_models())
        ]
        self._store = store
        self._next = itertools.cycle(self.versions)
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self.promote()

    def promote(self) -> str:
        """Promote the other one, and return it."""
        version = next(self._next)
        self._store.promote(version, expected=self._store.current(), by="test", reason="test")
        return version

    @contextmanager
    def changed(self, gateway_url: str) -> Iterator[None]:
        """Have the other one served throughout the block."""
        with self._lock:
            version = self.promote()
            asked = f"{gateway_url}/function/predict"
            assert wait_until(
                lambda: urllib3.request("GET", asked, timeout=TIMEOUT_SECONDS).json().get("model") == version,
                TIMEOUT_SECONDS,
            )
            yield

    @contextmanager
    def changing(self, seconds: float) -> Iterator[None]:
        """Promote them in turn, time after time, while the block runs."""

        def promote() -> None:
            while not self._stop.wait(seconds):
                with self._lock:
                    self.promote()

        with ThreadPoolExecutor(1) as pool:
            promoting = pool.submit(promote)
            try:
                yield
            finally:
                self._stop.set()
            promoting.result()


class Scenario:
    """What happens to bridges while they work through a traffic of messages."""

    def __init__(self, stream: SuperStream, traffic: Traffic, records: Records, chance: random.Random) -> None:
        self.stream = stream
        self.traffic = traffic
        self.records = records
        self.chance = chance
        self.bridges: list[Bridge] = []
        self._doubles = Counter[str]()

    def undone(self) -> dict[str, int]:
        """Return how many messages at least wait in each partition."""
        complete = self.traffic.wait(0)
        counts = self.traffic.counts()
        stored = {name: self.stored(name) for name in self.stream.partitions}
        if complete:
            # What is there beyond what was to be written was written again.
            self._doubles |= Counter({name: offset + 1 - counts[name] for name, offset in stored.items()})
        return {name: counts[name] + self._doubles[name] - 1 - offset for name, offset in stored.items()}

    def stored(self, partition: str) -> int:
        offset = self.records.offset(partition)
        return -1 if offset is None else offset

    def have_work(self, share: int = STEPS) -> None:
        """Return when there is work in every partition, a share of all messages of it new."""
        self.traffic.burst(-(-MESSAGES // share))
        assert wait_until(self._at_work, TIMEOUT_SECONDS), (self.undone(), self.traffic.problems[-5:])

    def _at_work(self) -> bool:
        """Return whether all partitions have something undone; see to it where nothing is being written."""
        undone = self.undone().values()
        if min(undone) <= 0 and self.traffic.wait(0):
            self.traffic.burst(len(self.stream.partitions) * 20)
        return min(undone) > 0

    def catch(self) -> Bridge:
        """Return a bridge that is stopped amid its work."""
        bridge = self.chance.choice(self.bridges)

        def caught() -> bool:
            bridge.signal(signal.SIGSTOP)
            if self._at_work():
                return True
            bridge.signal(signal.SIGCONT)
            return False

        self.have_work()
        assert wait_until(caught, TIMEOUT_SECONDS)
        return bridge

    def done(self) -> list[dict[str, int]]:
        """Return how many messages of each partition each bridge has handled."""
        return [bridge.done() for bridge in self.bridges]

    def kill_and_start_a_bridge(self, models: Models, gateway_url: str) -> None:
        """Kill a bridge at work, whose successor gets other answers to what is repeated."""
        bridge = self.catch()
        with models.changed(gateway_url):
            bridge.kill()
            bridge.start()

    def finish_what_was_written(self) -> None:
        """Return when all that was written is done with, as far as can be told while repeats may follow."""
        assert self.traffic.wait(TIMEOUT_SECONDS * 2), self.traffic.problems[-5:]
        assert wait_until(lambda: max(self.undone().values()) <= 0, TIMEOUT_SECONDS), self.undone()

    def finish(self) -> None:
        """Return when all that was written is done with, and a last message after that."""
        assert self.traffic.wait(TIMEOUT_SECONDS * 2), self.traffic.problems[-5:]
        last = [
            Review(f"{name}/last", name, f"the last of {name}".encode(), "text/plain", self.stream.replies)
            for name in self.stream.partitions
        ]
        self.traffic.write(last)
        assert self.traffic.wait(TIMEOUT_SECONDS), self.traffic.problems[-5:]
        for review in last:
            self._wait_for(review)

    def terminate(self) -> None:
        """End the bridges."""
        for bridge in self.bridges:
            bridge.end()

    def _wait_for(self, review: Review) -> None:
        collection = self.records.database["predictions"]

        def done() -> bool:
            found = [document["_id"] for document in collection.find({"text": review.body.decode()}, {"_id": 1})]
            offsets = [int(key.rpartition(":")[2]) for key in found]
            return bool(offsets) and self.stored(review.partition) >= max(offsets)

        before = -1
        # As long as it goes on.
        while not wait_until(done, TIMEOUT_SECONDS):
            stored = self.stored(review.partition)
            assert stored > before, f"{review.partition} stands still at {stored}"
            before = stored


def found_in(stream: SuperStream, confirmed: Mapping[str, Review]) -> dict[str, Review]:
    """Return what was written to the partitions, by its key, and see that all that the broker confirmed is there."""
    raw = {review.entry: review for review in confirmed.values() if review.entry}
    found: dict[str, Review] = {}
    for partition in stream.partitions:
        held = entries(stream.node.stream_url, partition)
        assert list(held) == list(range(len(held)))
        for offset, entry in held.items():
            found[f"{partition}:{offset}"] = raw[entry] if entry in raw else confirmed[correlation_id(entry)]
    assert {review.id for review in found.values()} == confirmed.keys()
    assert all(key.rpartition(":")[0] == review.partition for key, review in found.items())
    return found


def assert_each_done_once(stream: SuperStream, records: Records, found: Mapping[str, Review]) -> dict[str, int]:
    """See that every message has one record, one answer in `predictions` and a reply, all the same.

    Returns how many replies each has that is good.
    """
    good = {key for key, review in found.items() if not review.bad}
    known = recorded(records)
    assert known.keys() == good
    assert parked(records) == found.keys() - good
    in_order = appended(stream.node.stream_url)
    answers = dict(in_order)
    assert answers == known
    assert len(in_order) == len(answers), "some are there more than once"
    client = Client(stream.node.amqp_url)
    replies = replied(client, stream.replies)
    client.close()
    assert replies.keys() == good
    assert {key for key, each in replies.items() if set(each) != {known[key]}} == set()
    last = {
        name: max(int(key.rpartition(":")[2]) for key in found if key.startswith(f"{name}:"))
        for name in stream.partitions
    }
    assert {name: records.offset(name) for name in stream.partitions} == last
    return {key: len(each) for key, each in replies.items()}


def test_every_message_is_done_once_while_bridges_and_a_node_die_and_models_change(
    cluster: list[ClusterNode],
    environment: Mapping[str, str],
    records: Records,
    store: ModelStore,
    stream_name: str,
    tmp_path: Path,
) -> None:
    *survivors, victim = cluster
    # It leads all streams at first: each gets another leader amid the work.
    stream = SuperStream(stream_name, victim, survivors[0])
    traffic = stream.traffic(victim, *survivors)
    chance = random.Random(SEED)
    scenario = Scenario(stream, traffic, records, chance)
    with ExitStack() as stack:
        stack.callback(stream.delete)
        models = Models(store)
        function = python_service("functions.predict", tmp_path, {**environment, "POLL_SECONDS": "0.2"})
        url = stack.enter_context(through_gateway(tmp_path, {"predict": function}))
        scenario.bridges = [
            stream.bridge(environment, url, tmp_path, survivors[number % len(survivors)]) for number in range(4)
        ]
        added = scenario.bridges.pop()
        stack.enter_context(models.changing(2))
        stack.enter_context(traffic.running())
        stack.enter_context(bridges(*scenario.bridges))
        scenario.kill_and_start_a_bridge(models, url)
        scenario.have_work()
        victim.kill()
        scenario.kill_and_start_a_bridge(models, url)
        scenario.have_work()
        stack.enter_context(bridges(added))
        scenario.bridges.append(added)
        scenario.kill_and_start_a_bridge(models, url)
        scenario.have_work()
        victim.start()
        scenario.kill_and_start_a_bridge(models, url)
        scenario.have_work()
        scenario.bridges.pop(chance.randrange(len(scenario.bridges))).end()
        scenario.kill_and_start_a_bridge(models, url)
        scenario.finish()
        scenario.terminate()
        found = found_in(stream, traffic.confirmed())
        replies = assert_each_done_once(stream, records, found)
        # Else this has shown nothing.
        assert len(found) >= MESSAGES
        assert traffic.problems
        assert max(replies.values()) > 1
        assert {answer.model for answer in recorded(records).values()} == set(models.versions)


def test_a_super_stream_that_is_there_is_read_where_no_number_of_partitions_is_set(super_stream: SuperStream) -> None:
    node = super_stream.node
    settings = Settings(node.amqp_url, node.stream_url, reviews=StreamInput(super_stream.name), labels="")
    settings.declare()
    assert [source.name for source in settings.reviews.sources(settings)] == super_stream.partitions


def test_bridges_that_join_get_their_share_of_partitions_and_no_work_is_repeated(
    scenario: Scenario, environment: Mapping[str, str], records: Records, tmp_path: Path
) -> None:
    stream = scenario.stream
    with predict(environment, tmp_path) as url, ExitStack() as stack:
        for _ in range(3):
            bridge = stream.bridge(environment, url, tmp_path)
            stack.enter_context(bridges(bridge))
            scenario.bridges.append(bridge)
            # Each comes while the others are at work.
            scenario.have_work(share=10)

        def new_work() -> list[set[str]]:
            """Return of which partitions each bridge handles new messages."""
            before = scenario.done()
            scenario.traffic.burst(60 * PARTITIONS)
            scenario.finish_what_was_written()
            return [
                {name for name, count in after.items() if count > earlier.get(name, 0)}
                for earlier, after in zip(before, scenario.done(), strict=True)
            ]

        assert wait_until(lambda: [len(names) for names in new_work()] == [2, 2, 2], TIMEOUT_SECONDS)
        scenario.finish()
        done = sum(sum(each.values()) for each in scenario.done())
        scenario.terminate()
    found = found_in(stream, scenario.traffic.confirmed())
    assert done == len(found)
    replies = assert_each_done_once(stream, records, found)
    assert set(replies.values()) == {1}


def test_a_bridge_that_leaves_gives_its_partitions_up_and_no_work_is_repeated(
    scenario: Scenario, environment: Mapping[str, str], records: Records, tmp_path: Path
) -> None:
    stream = scenario.stream
    with predict(environment, tmp_path) as url:
        leaving, staying = scenario.bridges = [stream.bridge(environment, url, tmp_path) for _ in range(2)]
        with bridges(leaving, staying):
            scenario.have_work()
            assert wait_until(lambda: all(scenario.done()), TIMEOUT_SECONDS)
            scenario.have_work()
            leaving.end()
            scenario.bridges.remove(leaving)
            scenario.finish()
            assert staying.done().keys() == set(stream.partitions)
        replies = assert_each_done_once(stream, records, found_in(stream, scenario.traffic.confirmed()))
    assert set(replies.values()) == {1}


def test_a_bridge_reads_on_in_partitions_that_it_gave_up_amid_a_backlog_and_got_again(
    scenario: Scenario, environment: Mapping[str, str], records: Records, tmp_path: Path
) -> None:
    stream = scenario.stream
    # The broker has sent it all that there is room for.
    little = {**environment, "BRIDGE_BUFFER_BYTES": "1"}
    with gateway_before(environment, tmp_path) as (url, function):
        staying, passing = scenario.bridges = [stream.bridge(little, url, tmp_path) for _ in range(2)]
        with bridges(staying):
            scenario.traffic.burst(1_200)
            assert scenario.traffic.wait(TIMEOUT_SECONDS)
            assert wait_until(lambda: "predict answered 502" in staying.log(), TIMEOUT_SECONDS)
            with bridges(passing), running(function):
                assert wait_until(lambda: bool(passing.done()), TIMEOUT_SECONDS)
                passing.end()
                scenario.bridges.remove(passing)
                scenario.finish()
        replies = assert_each_done_once(stream, records, found_in(stream, scenario.traffic.confirmed()))
    assert "another bridge reads it from now on" in staying.log()
    assert set(replies.values()) == {1}


def test_a_bridge_that_was_paused_stores_nothing_behind_the_one_that_took_over_and_both_agree(
    scenario: Scenario, environment: Mapping[str, str], records: Records, tmp_path: Path
) -> None:
    stream = scenario.stream
    offsets = records.database["offsets"]

    def stored() -> dict[str, tuple[int, object]]:
        return {document["_id"]: (document["offset"], document["stored_at"]) for document in offsets.find()}

    def all_done() -> bool:
        return max(scenario.undone().values()) <= 0

    with gateway_before({**environment, "POLL_SECONDS": "0.2"}, tmp_path) as (url, function):
        paused, other = scenario.bridges = [stream.bridge(environment, url, tmp_path) for _ in range(2)]
        with bridges(paused, other):
            with running(function):
                scenario.have_work()
                assert wait_until(lambda: all(scenario.done()), TIMEOUT_SECONDS)
                scenario.finish_what_was_written()
            held = paused.done().keys()
            # Both have it in hand, and can't go on.
            scenario.traffic.burst(600)
            assert scenario.traffic.wait(TIMEOUT_SECONDS)
            assert wait_until(lambda: paused.log().count("predict answered 502") >= 2, TIMEOUT_SECONDS)
            paused.signal(signal.SIGSTOP)
            with running(function):
                # The broker waits for two heartbeats of the one that is silent.
                assert wait_until(all_done, 150), scenario.undone()
                before = stored()
                # Now it would say otherwise.
                promote(packed(opposite_models()[1]))
                paused.signal(signal.SIGCONT)
                assert wait_until(lambda: "what is in hand is left to it" in paused.log(), TIMEOUT_SECONDS)
                assert stored() == before
                scenario.finish()
                scenario.terminate()
    replies = assert_each_done_once(stream, records, found_in(stream, scenario.traffic.confirmed()))
    assert held
    assert max(replies.values()) > 1
    assert len({answer.model for answer in recorded(records).values()}) == 2


def test_the_lag_of_each_partition_is_what_is_not_done_while_predict_is_away(
    super_stream: SuperStream, environment: Mapping[str, str], tmp_path: Path
) -> None:
    expected = {name: 100 * number for number, name in enumerate(super_stream.partitions)}
    client = Client(super_stream.node.amqp_url)
    with gateway_before(environment, tmp_path) as (url, function):
        both = [super_stream.bridge(environment, url, tmp_path) for _ in range(2)]

        def lag() -> dict[str, int]:
            """Return what a scaler adds up."""
            found = Counter[str]()
            for bridge in both:
                found.update(bridge.metric("bridge_lag_messages"))
            return dict(found)

        with bridges(*both):
            for name, count in expected.items():
                client.publish(name, [b"great"] * count)
            assert wait_until(lambda: lag() == expected, TIMEOUT_SECONDS), lag()
            with running(function):
                assert wait_until(lambda: set(lag().values()) == {0}, TIMEOUT_SECONDS), lag()
    client.close()


def test_of_two_bridges_on_one_stream_one_waits_and_goes_on_when_the_other_is_killed(
    rabbitmq4: RabbitMQNode, environment: Mapping[str, str], records: Records, stream_name: str, tmp_path: Path
) -> None:
    two_bridges_do_the_work_of_one_stream_once(
        rabbitmq4, environment, records, stream_name, tmp_path, "is read by another bridge; this one waits for its turn"
    )
