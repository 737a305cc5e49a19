"""Records on a real server: repeats double nothing, offsets go forward only, no text in an error."""

import signal
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from deploy import ports, runner, servers
from deploy.ports import free_port
from records import Records, RecordsUnavailable, now
from records.mongo import unavailable


@pytest.fixture
def records(mongodb_url: str, database_name: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Records]:
    """Records in a database of their own, found by the environment."""
    monkeypatch.setenv("MONGODB_URL", f"{mongodb_url}/{database_name}")
    monkeypatch.delenv("RECORD_TTL_DAYS", raising=False)
    records = Records.from_environment()
    yield records
    records.close()


def prediction(identifier: str, **fields: Any) -> dict[str, Any]:
    return {
        "_id": identifier,
        "text": "I love “it” \x00 🙂",
        "prediction": "positive",
        "probability": 0.93,
        "model": "v1",
        "source": "stream",
        "received_at": now(),
        "scored_at": now(),
        "synthetic": False,
        **fields,
    }


def found(records: Records, collection: str = "predictions") -> list[dict[str, Any]]:
    return list(records.database[collection].find().sort("_id", 1))


def test_the_url_names_the_database(records: Records, database_name: str) -> None:
    assert records.database.name == database_name
    records.ping()


def test_predictions_come_back_as_they_were_written(records: Records) -> None:
    documents = [prediction("reviews:0"), prediction("reviews:1", prediction="negative", probability=0.1)]
    records.write_predictions(documents)
    assert found(records) == documents


def test_a_repeated_batch_doubles_nothing(records: Records) -> None:
    first = [prediction(f"reviews:{offset}") for offset in range(5)]
    again = [prediction(f"reviews:{offset}", model="v2") for offset in range(3, 8)]
    records.write_predictions(first)
    records.write_predictions(again)
    records.write_predictions(again)
    assert [(document["_id"], document["model"]) for document in found(records)] == [
        *((f"reviews:{offset}", "v1") for offset in range(3)),
        *((f"reviews:{offset}", "v2") for offset in range(3, 8)),
    ]


def test_rejected_messages_are_kept_apart(records: Records) -> None:
    document = {"_id": "reviews:7", "reason": "not JSON", "received_at": now()}
    records.write_rejected([document])
    records.write_rejected([document])
    assert found(records, "rejected") == [document]
    assert found(records) == []


def test_writing_nothing_asks_no_server() -> None:
    client: MongoClient[dict[str, Any]] = MongoClient(f"mongodb://127.0.0.1:{free_port()}", connect=False)
    Records(client).write_predictions([])
    client.close()


def test_large_batches_are_written_whole(records: Records) -> None:
    records.write_predictions([prediction(f"reviews:{offset:05}") for offset in range(2_500)])
    assert records.database["predictions"].count_documents({}) == 2_500


def test_an_offset_never_goes_back(records: Records) -> None:
    assert records.offset("bridge") is None
    seen = []
    for offset in (0, 41, 7, 42, 42, 0):
        records.store_offset("bridge", offset)
        seen.append(records.offset("bridge"))
    assert seen == [0, 41, 41, 42, 42, 42]


def test_each_consumer_has_an_offset_of_its_own(records: Records) -> None:
    records.store_offset("bridge", 5)
    records.store_offset("other", 2**53)
    assert (records.offset("bridge"), records.offset("other"), records.offset("third")) == (5, 2**53, None)


def test_times_are_utc_in_milliseconds(records: Records) -> None:
    before = datetime.now(UTC)
    time = now()
    assert time.tzinfo is UTC
    assert time.microsecond % 1000 == 0
    assert abs((before - time).total_seconds()) < 1
    records.write_predictions([prediction("reviews:0", scored_at=time)])
    assert found(records)[0]["scored_at"] == time


def expiry_seconds(records: Records) -> dict[str, list[int]]:
    """The time to live of each collection's records, one for each index that has one."""
    return {
        name: [
            index["expireAfterSeconds"]
            for index in records.database[name].index_information().values()
            if "expireAfterSeconds" in index
        ]
        for name in ("predictions", "rejected", "drift_reports")
    }


def test_records_are_kept_for_ever_unless_days_are_set(records: Records) -> None:
    records.ensure_indexes()
    assert list(expiry_seconds(records).values()) == [[], [], []]


def test_a_time_to_live_is_an_index_on_the_time_of_arrival(records: Records, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECORD_TTL_DAYS", "1.5")
    records.ensure_indexes()
    records.ensure_indexes()
    assert list(expiry_seconds(records).values()) == [[129_600]] * 3
    keys = [list(index["key"]) for index in records.database["predictions"].index_information().values()]
    assert [("received_at", 1)] in keys


def test_a_time_to_live_follows_its_setting(records: Records, monkeypatch: pytest.MonkeyPatch) -> None:
    for days, expected in (("30", [2_592_000]), ("7", [604_800]), ("", []), ("1", [86_400])):
        monkeypatch.setenv("RECORD_TTL_DAYS", days)
        records.ensure_indexes()
        assert list(expiry_seconds(records).values()) == [expected] * 3


def test_a_server_that_is_away_is_told_as_that() -> None:
    port = free_port()
    client: MongoClient[dict[str, Any]] = MongoClient(
        f"mongodb://127.0.0.1:{port}", connect=False, serverSelectionTimeoutMS=100
    )
    records = Records(client)
    calls: list[Callable[[], object]] = [
        records.ping,
        records.ensure_indexes,
        lambda: records.write_predictions([prediction("reviews:0")]),
        lambda: records.write_rejected([prediction("reviews:0")]),
        lambda: records.offset("bridge"),
        lambda: records.store_offset("bridge", 1),
    ]
    for call in calls:
        with pytest.raises(RecordsUnavailable, match=f"MongoDB: .*{port}") as caught:
            call()
        assert "love" not in str(caught.value)
    records.close()


def test_a_batch_that_fails_is_told_without_its_texts(records: Records) -> None:
    records.database["predictions"].create_index("probability", unique=True)
    documents = [prediction(f"reviews:{offset}", text="a secret love letter") for offset in range(3)]
    with pytest.raises(RecordsUnavailable, match="MongoDB: ") as caught:
        records.write_predictions(documents)
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__, "a traceback would print the driver's error with every document"


def test_errors_that_are_not_the_drivers_stay_what_they_are() -> None:
    with pytest.raises(ZeroDivisionError), unavailable():
        _ = 1 / 0


def test_a_server_that_no_longer_answers_does_not_hold_up_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = servers.mongodb(tmp_path, ports.free_port)
    monkeypatch.setenv("MONGODB_URL", server.variables["MONGODB_URL"])
    with runner.running(server) as process:
        records = Records.from_environment()
        records.ping()
        process.send_signal(signal.SIGSTOP)
        try:
            started = time.monotonic()
            records.close()
            assert time.monotonic() - started < 5
        finally:
            process.send_signal(signal.SIGCONT)
