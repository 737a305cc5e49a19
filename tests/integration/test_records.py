"""Records on a real server: repeats double nothing, offsets go forward only, no text in an error."""

import signal
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from pymongo import MongoClient

from contracts.codec import from_document, to_document
from contracts.drift import Check, DriftReport, ReferenceFigures, State
from contracts.records import PredictionRecord, RejectedRecord
from deploy import ports, servers
from deploy.ports import free_port
from records import InvalidRecord, Records, RecordsUnavailable, now
from records.drift import DriftRecords
from records.labels import Label, Labels
from records.mongo import unavailable
from tests.running import running


@pytest.fixture
def records(mongodb_url: str, database_name: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Records]:
    """Records in a database of their own, found by the environment."""
    monkeypatch.setenv("MONGODB_URL", f"{mongodb_url}/{database_name}")
    monkeypatch.delenv("RECORD_TTL_DAYS", raising=False)
    records = Records.from_environment()
    yield records
    records.close()


def prediction(identifier: str, **fields: Any) -> PredictionRecord:
    record = PredictionRecord(
        id=identifier,
        text="I love “it” \x00 🙂",
        prediction="positive",
        probability=0.93,
        model="v1",
        source="stream",
        received_at=now(),
        scored_at=now(),
    )
    return replace(record, **fields)


def rejected(identifier: str) -> RejectedRecord:
    return RejectedRecord(
        id=identifier,
        reason="not JSON",
        body="{",
        size_bytes=1,
        offset=7,
        message_id=None,
        correlation_id=None,
        received_at=now(),
    )


def found(records: Records, collection: str = "predictions") -> list[dict[str, Any]]:
    return list(records.database[collection].find().sort("_id", 1))


def test_the_url_names_the_database(records: Records, database_name: str) -> None:
    assert records.database.name == database_name
    records.ping()


def test_predictions_come_back_as_they_were_written(records: Records) -> None:
    predictions = [prediction("reviews:0"), prediction("reviews:1", prediction="negative", probability=0.1)]
    records.write_predictions(predictions)
    documents = found(records)
    assert [from_document(document, PredictionRecord) for document in documents] == predictions
    assert documents[0] == {
        "_id": "reviews:0",
        "text": "I love “it” \x00 🙂",
        "prediction": "positive",
        "probability": 0.93,
        "model": "v1",
        "source": "stream",
        "received_at": predictions[0].received_at,
        "scored_at": predictions[0].scored_at,
        "synthetic": False,
    }


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
    record = rejected("reviews:7")
    records.write_rejected([record])
    records.write_rejected([record])
    assert found(records, "rejected") == [
        {
            "_id": "reviews:7",
            "reason": "not JSON",
            "body": "{",
            "size_bytes": 1,
            "offset": 7,
            "message_id": None,
            "correlation_id": None,
            "received_at": record.received_at,
        }
    ]
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
        lambda: records.write_rejected([rejected("reviews:0")]),
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
    predictions = [prediction(f"reviews:{offset}", text="a secret love letter") for offset in range(3)]
    with pytest.raises(RecordsUnavailable, match="MongoDB: ") as caught:
        records.write_predictions(predictions)
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
    with running(server) as process:
        records = Records.from_environment()
        records.ping()
        process.send_signal(signal.SIGSTOP)
        try:
            started = time.monotonic()
            records.close()
            assert time.monotonic() - started < 5
        finally:
            process.send_signal(signal.SIGCONT)


# Documents as release 0.1.0 wrote them.
OLD_TIME = datetime(2026, 11, 24, 14, 41, 2, 909_000, tzinfo=UTC)
OLD_REPORT = {
    "_id": "000000000003",
    "number": 3,
    "drift": True,
    "status": "drift",
    "check": {"status": "drift"},
    "model": "v1",
    "tests": {
        "words": {
            "statistic": 0.59, "p_value": 6.3e-83, "adjusted_p_value": 1.9e-82,
            "effect_size": 1.28, "threshold": 0.2, "drift": True,
        }
    },
    "words": [{"word": "degrees", "share_reference": 0.0, "share_window": 0.25, "p_value": 1.7e-51}],
    "window": {
        "documents": 300, "labelled": 0, "error_rate": None, "first_scored_at": OLD_TIME, "last_scored_at": OLD_TIME,
        "synthetic": 275, "models": [{"model": "v1", "documents": 300}],
    },
    "reference": {
        "documents": 1000, "labelled": 0, "error_rate": None, "kind": "live", "model": "v1",
        "first_scored_at": OLD_TIME.isoformat(), "last_scored_at": OLD_TIME.isoformat(),
    },
    "message": None,
    "checked_at": OLD_TIME,
    "state": {"drift": True, "contrary_checks": 0},
    "confirm": 2,
    "alert": "detected",
    "undelivered": ["webhook"],
}  # fmt: skip
OLD_REPORT_WITHOUT_REFERENCE = {
    "_id": "000000000001",
    "number": 1,
    "drift": False,
    "status": "not-enough-data",
    "check": {"status": "not-enough-data"},
    "model": None,
    "tests": {},
    "words": [],
    "window": {"documents": 0},
    "reference": {},
    "message": "no model is promoted yet",
    "checked_at": OLD_TIME,
    "state": {"drift": False, "contrary_checks": 0},
    "confirm": 2,
    "alert": None,
}
OLD_LABEL = {
    "text": "Meh.", "label": 0, "source": "support", "client_id": "t-17", "received_at": OLD_TIME,
    "text_sha256": "0" * 32, "state": "pending", "model": None,
}  # fmt: skip


def follow(number: int, last: DriftReport | None) -> DriftReport:
    """A report that goes on from the state of the last one."""
    state = last.state if last else State()
    return DriftReport(
        number=number,
        check=Check("ok"),
        model=None,
        drift=state.drift,
        status="ok",
        checked_at=now(),
        state=state,
        confirm=2,
    )


def test_reports_of_the_release_before_are_read_and_followed(records: Records) -> None:
    reports = DriftRecords(records)
    records.database["drift_reports"].insert_many([OLD_REPORT_WITHOUT_REFERENCE, OLD_REPORT])
    newest, oldest = reports.reports(10)
    assert {"_id": "000000000003", **to_document(newest)} == OLD_REPORT
    assert (oldest.window.documents, oldest.reference, oldest.alert) == (0, ReferenceFigures(), None)
    (due,) = reports.undelivered("webhook")
    reports.mark_delivered(due.number, "webhook")
    assert reports.undelivered("webhook") == []
    appended = reports.append_report(follow)
    assert (appended.number, appended.state) == (4, State(drift=True))
    assert reports.last_report() == appended


def test_labels_of_the_release_before_are_read(records: Records) -> None:
    labels = Labels(records)
    used = {"state": "used", "model": "v1", "weight": 2.5, "conflict": True}
    refused = {"state": "refused", "run": "0123"}
    records.database["labels"].insert_many(
        [{"_id": "a", **OLD_LABEL}, {"_id": "b", **OLD_LABEL, **used}, {"_id": "c", **OLD_LABEL, **refused}]
    )
    assert [label.id for label in labels.pending(maximum=10)] == ["a"]
    assert [label.id for label in labels.pending(maximum=10, refused=True)] == ["a", "c"]
    found_labels = [labels.find(identifier) for identifier in "abc"]
    assert [(label.model, label.counted) for label in found_labels if label] == [(None, 1), ("v1", 2.5), (None, 1)]
    assert [conflict.text for conflict in labels.conflicts()] == ["Meh."]


def test_a_label_is_stored_with_these_fields(records: Records) -> None:
    (identifier,) = Labels(records).add([Label("Meh.", 0, "support", "t-17")])
    (document,) = found(records, "labels")
    assert document.keys() - {"_id"} == OLD_LABEL.keys()
    assert (document["_id"], document["state"], document["model"]) == (identifier, "pending", None)


def test_an_offset_of_the_release_before_goes_on(records: Records) -> None:
    records.database["offsets"].insert_one({"_id": "reviews", "offset": 41, "stored_at": OLD_TIME})
    records.store_offset("reviews", 40)
    assert records.offset("reviews") == 41


def test_a_document_of_another_kind_is_named_and_spoils_no_list(
    records: Records, caplog: pytest.LogCaptureFixture
) -> None:
    reports, labels = DriftRecords(records), Labels(records)
    records.database["drift_reports"].insert_many([OLD_REPORT, {"_id": "000000000004", "number": "four"}])
    assert [report.number for report in reports.reports(10)] == [3]
    assert "'000000000004'" in caplog.text
    with pytest.raises(InvalidRecord, match="the document '000000000004' in MongoDB does not fit"):
        reports.append_report(follow)
    records.database["labels"].insert_many([{"_id": "a", **OLD_LABEL}, {"_id": "b", **OLD_LABEL, "text": 7}])
    assert [label.id for label in labels.pending(maximum=10)] == ["a"]
    with pytest.raises(InvalidRecord, match=r"'b' .* `\$\.text`"):
        labels.find("b")
