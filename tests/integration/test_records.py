"""Records on a real server: repeats double and change nothing, one bridge stores an offset, no text in an error."""

import signal
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import bson
import pytest
from msgspec.structs import replace
from pymongo import MongoClient
from pymongo.collection import Collection
from pymongo.errors import BulkWriteError, OperationFailure

from contracts.codec import from_document, to_document, to_documents
from contracts.drift import DriftReport, ReferenceFigures, State
from contracts.manifest import Bound
from contracts.records import PredictionRecord, RejectedRecord, StoredOffset
from deploy import ports, servers
from deploy.ports import free_port
from records import InvalidRecord, Records, RecordsUnavailable, now
from records.drift import DriftRecords
from records.labels import Label, Labels
from records.mongo import DUPLICATE_KEY, NOTHING_DONE, TOO_LARGE, RecordTooLarge, unavailable
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
        log_odds=3.1,
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
    assert records.insert_predictions(predictions) == {}
    documents = found(records)
    assert [from_document(document, PredictionRecord) for document in documents] == predictions
    assert documents[0] == {
        "_id": "reviews:0",
        "text": "I love “it” \x00 🙂",
        "prediction": "positive",
        "probability": 0.93,
        "log_odds": 3.1,
        "model": "v1",
        "source": "stream",
        "received_at": predictions[0].received_at,
        "scored_at": predictions[0].scored_at,
        "synthetic": False,
    }


def test_what_is_repeated_stays_as_it_was_and_is_returned(records: Records) -> None:
    first = [prediction(f"reviews:{offset}") for offset in range(5)]
    again = [prediction(f"reviews:{offset}", model="v2", received_at=now()) for offset in range(3, 8)]
    assert records.insert_predictions(first) == {}
    assert records.insert_predictions(again) == {"reviews:3": first[3], "reviews:4": first[4]}
    assert records.insert_predictions(again) == {
        "reviews:3": first[3], "reviews:4": first[4], **{record.id: record for record in again[2:]}
    }  # fmt: skip
    assert [from_document(document, PredictionRecord) for document in found(records)] == [*first, *again[2:]]


def test_of_one_id_twice_in_a_batch_the_first_stays_and_is_returned(records: Records) -> None:
    first, second, other = prediction("queue:a"), prediction("queue:a", model="v2"), prediction("queue:b")
    assert records.insert_predictions([first, second, other]) == {"queue:a": first}
    assert [from_document(document, PredictionRecord) for document in found(records)] == [first, other]


def test_a_record_that_can_not_be_read_is_not_what_was_answered(
    records: Records, caplog: pytest.LogCaptureFixture
) -> None:
    records.database["predictions"].insert_one({"_id": "reviews:0", "text": 7})
    assert records.insert_predictions([prediction("reviews:0"), prediction("reviews:1")]) == {}
    assert "'reviews:0'" in caplog.text
    assert [document["_id"] for document in found(records)] == ["reviews:0", "reviews:1"]


def test_what_is_refused_as_repeated_and_is_not_there_is_not_taken_for_recorded(records: Records) -> None:
    records.database["predictions"].create_index("text", unique=True)
    records.insert_predictions([prediction("reviews:0")])
    with pytest.raises(RecordsUnavailable, match="1 predictions were refused as repeated, and are not there"):
        records.insert_predictions([prediction("reviews:1")])


def test_encoded_predictions_that_are_repeated_stay_as_they_were(records: Records) -> None:
    def encoded(predictions: list[PredictionRecord]) -> bytes:
        return b"".join(map(bson.encode, to_documents(predictions)))

    first = [prediction("a"), prediction("b")]
    records.insert_encoded_predictions(encoded(first))
    records.insert_encoded_predictions(encoded([prediction("b", model="v2"), *(last := [prediction("c")])]))
    assert [from_document(document, PredictionRecord) for document in found(records)] == [*first, *last]


def test_rejected_messages_are_kept_apart(records: Records) -> None:
    record = rejected("reviews:7")
    records.insert_rejected([record])
    records.insert_rejected([replace(record, reason="another", received_at=now()), replace(record, reason="a third")])
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
    assert Records(client).insert_predictions([]) == {}
    Records(client).insert_rejected([])
    Records(client).insert_encoded_predictions(b"")
    client.close()


def test_large_batches_are_written_whole(records: Records) -> None:
    records.insert_predictions([prediction(f"reviews:{offset:05}") for offset in range(2_500)])
    assert records.database["predictions"].count_documents({}) == 2_500


def stored(offset: int, stream: str = "reviews", **fields: Any) -> StoredOffset:
    # Without a time of its own: what an update sets to a time, nx-27017 gives back as text without a zone.
    position = StoredOffset(
        id=stream, offset=offset, chunk_time=1_790_000_000_123, epoch=1_780_000_000_000, key_prefix=stream
    )
    return replace(position, **fields)


def test_an_offset_comes_back_as_its_owner_stored_it(records: Records) -> None:
    assert records.offset("reviews") is None
    assert records.take_offset("reviews", "a") is None
    assert records.offset("reviews") is None
    last = None
    for position in (stored(0), stored(41), stored(2**53, key_prefix="reviews:1780000000000", chunk_time=None)):
        assert records.store_offset(position, "a", last)
        last = position.offset
        assert records.offset("reviews") == position.offset
        assert records.take_offset("reviews", "a") == position


def test_when_an_offset_was_stored_is_kept(records: Records) -> None:
    records.take_offset("reviews", "a")
    records.store_offset(stored(0, stored_at=OLD_TIME), "a", None)
    found_offset = records.take_offset("reviews", "a")
    assert found_offset and found_offset.stored_at
    assert found_offset.stored_at.replace(tzinfo=UTC) == OLD_TIME


def test_only_the_last_that_took_an_offset_stores_it(records: Records) -> None:
    assert not records.store_offset(stored(5), "a", None), "nobody has taken it"
    records.take_offset("reviews", "a")
    assert records.store_offset(stored(5), "a", None)
    assert records.take_offset("reviews", "b") == stored(5)
    assert not records.store_offset(stored(6), "a", 5)
    assert records.offset("reviews") == 5
    assert records.store_offset(stored(7), "b", 5)
    assert records.offset("reviews") == 7


def test_an_offset_moves_only_from_where_its_owner_left_it(records: Records) -> None:
    records.take_offset("reviews", "a")
    assert records.store_offset(stored(5), "a", None)
    backup = found(records, "offsets")
    assert records.store_offset(stored(9), "a", 5)
    records.database["offsets"].delete_many({})
    records.database["offsets"].insert_many(backup)
    assert not records.store_offset(stored(10), "a", 9), "the database says that 6 to 9 are not done"
    assert records.take_offset("reviews", "a") == stored(5)
    assert records.store_offset(stored(10), "a", 5)
    # Also where nothing was done yet when the backup was made.
    records.database["offsets"].update_one({"_id": "reviews"}, {"$set": {"offset": NOTHING_DONE}})
    assert not records.store_offset(stored(11), "a", 10)


def test_an_offset_can_be_stored_again_by_who_did_not_hear_that_it_was(records: Records) -> None:
    records.take_offset("reviews", "a")
    for _ in range(2):
        assert records.store_offset(stored(5), "a", None)
    assert records.offset("reviews") == 5


def test_a_stream_that_was_made_anew_begins_again(records: Records) -> None:
    records.take_offset("reviews", "a")
    records.store_offset(stored(41), "a", None)
    anew = stored(0, epoch=1_790_000_000_000, key_prefix="reviews:1790000000000")
    assert records.store_offset(anew, "a", 41)
    assert records.take_offset("reviews", "b") == anew


def test_an_offset_that_was_deleted_is_not_stored_by_who_had_taken_it(records: Records) -> None:
    records.take_offset("reviews", "a")
    records.database["offsets"].delete_many({})
    assert not records.store_offset(stored(5), "a", None)
    assert found(records, "offsets") == []


def test_each_stream_has_an_offset_of_its_own(records: Records) -> None:
    for stream, owner, offset in (("reviews", "a", 5), ("labels", "b", 2**53)):
        records.take_offset(stream, owner)
        assert records.store_offset(stored(offset, stream), owner, None)
    assert not records.store_offset(stored(6, "labels"), "a", 2**53)
    assert [records.offset(stream) for stream in ("reviews", "labels", "third")] == [5, 2**53, None]


def test_when_a_message_was_received_is_known_of_good_and_bad_ones(records: Records) -> None:
    good, bad = prediction("reviews:0", received_at=OLD_TIME), rejected("reviews:1")
    records.insert_predictions([good])
    records.insert_rejected([bad])
    assert [records.received_at(f"reviews:{offset}") for offset in range(3)] == [OLD_TIME, bad.received_at, None]


def test_times_are_utc_in_milliseconds(records: Records) -> None:
    before = datetime.now(UTC)
    time = now()
    assert time.tzinfo is UTC
    assert time.microsecond % 1000 == 0
    assert abs((before - time).total_seconds()) < 1
    records.insert_predictions([prediction("reviews:0", scored_at=time)])
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


@pytest.mark.parametrize("days", ["", "1.5"])
def test_the_newest_rejected_messages_are_told_by_an_index(
    records: Records, monkeypatch: pytest.MonkeyPatch, days: str
) -> None:
    monkeypatch.setenv("RECORD_TTL_DAYS", days)
    for _ in range(2):
        records.ensure_indexes()
    keys = [list(index["key"]) for index in records.database["rejected"].index_information().values()]
    assert keys == [[("_id", 1)], [("received_at", 1)]]


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
        lambda: records.insert_predictions([prediction("reviews:0")]),
        lambda: records.insert_encoded_predictions(bson.encode({"_id": "reviews:0", "text": "I love it"})),
        lambda: records.insert_rejected([rejected("reviews:0")]),
        lambda: records.received_at("reviews:0"),
        lambda: records.offset("reviews"),
        lambda: records.take_offset("reviews", "a"),
        lambda: records.store_offset(stored(1), "a", None),
    ]
    for call in calls:
        with pytest.raises(RecordsUnavailable, match=f"MongoDB: .*{port}") as caught:
            call()
        assert "love" not in str(caught.value)
    records.close()


def test_a_batch_that_no_majority_has_is_not_written_even_if_it_was_before_and_is_told_without_its_texts(
    records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    def insert_many(_: object, documents: list[dict[str, Any]], **__: object) -> None:
        repeated = {"index": 0, "code": DUPLICATE_KEY, "errmsg": "E11000 duplicate key error", "op": documents[0]}
        slow = {"code": 64, "errmsg": "waiting for replication timed out"}
        raise BulkWriteError({"writeErrors": [repeated], "writeConcernErrors": [slow]})

    # The stand-in has no replicas that could be slow.
    monkeypatch.setattr(Collection, "insert_many", insert_many)
    with pytest.raises(RecordsUnavailable, match="MongoDB: waiting for replication timed out") as caught:
        records.insert_predictions([prediction("reviews:0", text="a secret love letter")])
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__, "a traceback would print the driver's error with every document"


def test_a_document_that_the_driver_does_not_send_is_too_large_and_not_to_be_tried_again(records: Records) -> None:
    with pytest.raises(RecordTooLarge, match="BSON document too large"):
        records.insert_predictions([prediction("reviews:0"), prediction("reviews:1", text="x" * 50_000_000)])
    assert records.insert_predictions([prediction("reviews:2")]) == {}


# The stand-in takes documents that MongoDB refuses: in these words, by the protocol of today and of old.
WORDS = "BSONObj size: 17825886 (0x110005E) is invalid. Size must be between 0 and 16793600(16MB)"
REFUSED = {"index": 1, "code": TOO_LARGE, "errmsg": WORDS, "op": {"text": "a secret love letter"}}
REPEATED = {"index": 0, "code": DUPLICATE_KEY, "errmsg": "E11000 duplicate key error", "op": {}}


@pytest.mark.parametrize(
    "error",
    [
        OperationFailure(WORDS, TOO_LARGE),
        BulkWriteError({"writeErrors": [REPEATED, REFUSED], "writeConcernErrors": []}),
    ],
)
def test_a_document_that_mongodb_refuses_for_its_size_is_too_large_and_not_to_be_tried_again(
    error: Exception,
) -> None:
    with pytest.raises(RecordTooLarge, match="Size must be between 0 and 16793600") as caught, unavailable():
        raise error
    assert "secret" not in str(caught.value)


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
NEW_STATE = {"drift": True, "since": None, "contrary_checks": 0, "counted_until": None}
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
    assert {"_id": "000000000003", **OLD_REPORT, **to_document(newest)} == {
        **OLD_REPORT,
        "state": NEW_STATE,
        "expected_accuracy": None,
    }
    assert (oldest.window.documents, oldest.reference, oldest.alert) == (0, ReferenceFigures(), None)
    (due,) = reports.undelivered("webhook")
    reports.mark_delivered(due.number, "webhook")
    assert reports.undelivered("webhook") == []
    appended = reports.append_report(follow)
    assert reports.last_report() == appended
    assert isinstance(appended, DriftReport)
    assert (appended.number, appended.state) == (4, State(drift=True))


def test_labels_of_the_release_before_are_read(records: Records) -> None:
    labels = Labels(records)
    used = {"state": "used", "model": "v1", "weight": 2.5, "conflict": True}
    refused = {"state": "refused", "run": "0123"}
    records.database["labels"].insert_many(
        [
            {"_id": "a", **OLD_LABEL},
            {"_id": "b", **OLD_LABEL, **used},
            {"_id": "c", **OLD_LABEL, **refused},
            {"_id": "d", **OLD_LABEL, **used},
        ]
    )
    assert [label.id for label in labels.pending(maximum=10)] == ["a"]
    assert [label.id for label in labels.pending(maximum=10, refused=True)] == ["a", "c"]
    found_labels = [labels.find(identifier) for identifier in "abc"]
    assert [(label.model, label.counted) for label in found_labels if label] == [(None, 1), ("v1", 2.5), (None, 1)]
    assert [conflict.text for conflict in labels.conflicts()] == ["Meh."]


def test_texts_are_read_a_few_at_a_time(records: Records) -> None:
    labels = Labels(records)
    labels.add([Label(f"text {number}", 0, "test") for number in range(30)])
    pending, ids = labels.pending(maximum=30), [label.id for label in labels.pending(maximum=30)]
    texts = iter(labels.texts(ids))
    next(pending), next(texts)
    records.database["labels"].delete_many({})
    assert len([*pending]) == len([*texts]) == 9, "the rest was not in memory yet"


def test_labels_that_can_not_be_read_and_full_sources_are_passed_over(records: Records) -> None:
    labels = Labels(records)
    records.database["labels"].insert_many([{"_id": f"broken{n}", "state": "pending"} for n in range(15)])
    for source in ("loud", "quiet"):
        labels.add([Label(f"{source} {number}", 0, source) for number in range(25)])
    found = [label.principals[0] for label in labels.pending(maximum=20, maximum_per_principal=12)]
    assert (found.count("loud"), found.count("quiet"), len(found)) == (12, 8, 20)


def test_a_label_is_stored_with_these_fields(records: Records) -> None:
    (identifier,) = Labels(records).add([Label("Meh.", 0, "support", "t-17")])
    (document,) = found(records, "labels")
    assert document.keys() - {"_id", "principals", "bound"} == OLD_LABEL.keys()
    assert (document["_id"], document["state"], document["model"]) == (identifier, "pending", None)
    assert document["principals"] == ["support"]


def test_an_offset_of_the_release_before_goes_on(records: Records) -> None:
    records.database["offsets"].insert_one({"_id": "reviews", "offset": 41, "stored_at": OLD_TIME})
    assert records.offset("reviews") == 41
    before = StoredOffset(id="reviews", offset=41, chunk_time=None, epoch=0, key_prefix=None, stored_at=OLD_TIME)
    assert records.take_offset("reviews", "a") == before
    assert records.store_offset(stored(42), "a", 41)
    assert records.offset("reviews") == 42


def test_an_offset_of_another_kind_is_named(records: Records) -> None:
    records.database["offsets"].insert_one({"_id": "reviews", "offset": "41"})
    with pytest.raises(InvalidRecord, match=r"'reviews' .* `\$\.offset`"):
        records.take_offset("reviews", "a")


def test_a_prediction_of_the_release_before_is_what_was_answered(records: Records) -> None:
    document = {
        "_id": "reviews:0", "text": "Meh.", "prediction": "negative", "probability": 0.2, "model": "v1",
        "source": "stream", "received_at": OLD_TIME, "scored_at": OLD_TIME,
    }  # fmt: skip
    records.database["predictions"].insert_one(document)
    known = records.insert_predictions([prediction("reviews:0", model="v2")])
    assert known == {"reviews:0": from_document(document, PredictionRecord)}
    assert records.received_at("reviews:0") == OLD_TIME


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


def test_the_newest_labels_that_the_line_has_learned_are_what_was_accepted(records: Records) -> None:
    labels = Labels(records)
    for number, state in enumerate(["old", "left behind", "learned", "learned too", "pending"]):
        ids = labels.add([Label(f"{state} {n}", n % 2, "ann") for n in range(3)])
        records.database["labels"].update_many(
            {"_id": {"$in": ids}}, {"$set": {"received_at": OLD_TIME + timedelta(hours=number)}}
        )
        if state != "pending":
            labels.mark_used(ids, "other" if state == "left behind" else "v1", 2.0, Bound(5, 2))
    found = [*labels.accepted(["v0", "v1"], 8)]
    assert {label.text.rpartition(" ")[0] for label in found[:6]} == {"learned", "learned too"}
    assert {label.text.rpartition(" ")[0] for label in found[6:]} == {"old"}
    assert {(label.counted, label.bound) for label in found} == {(2.0, Bound(5, 2))}
    assert len(found) == 8
    assert labels.waiting() == (3, 3)
