"""The database `sentiment`: its connection, and what the bridge and predict write there."""

import logging
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Self, TypeVar

import bson
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pymongo import MongoClient
from pymongo.collection import Collection
from pymongo.errors import BulkWriteError, ConfigurationError, DocumentTooLarge, OperationFailure, PyMongoError
from pymongo.write_concern import WriteConcern

from contracts.codec import Malformed, from_document, to_document, to_documents
from contracts.records import PredictionRecord, RejectedRecord, StoredOffset
from process.settings import SettingsError, checked_url, number, read_secret
from process.tls import explained

logger = logging.getLogger(__name__)
T = TypeVar("T")

Document = dict[str, Any]
"""A document as the driver takes and gives it: no further than this package."""
DATABASE = "sentiment"
TIME_OF_RECORD = {"predictions": "received_at", "rejected": "received_at", "drift_reports": "checked_at"}
DUPLICATE_KEY, TOO_LARGE = 11000, 10334
NOTHING_DONE = -1
"""The offset of a stream that somebody reads and of which no message is done yet."""
_RAW: CodecOptions[Any] = CodecOptions(document_class=RawBSONDocument)


class RecordsUnavailable(Exception):
    """MongoDB can't be reached or can't answer now; trying again later is right."""


class RecordTooLarge(Exception):
    """A document is larger than MongoDB takes, or others that were to be written with it; trying again is no use."""


class InvalidRecord(Exception):
    """A document is not what its collection holds; the message names it and says what is wrong."""


def now() -> datetime:
    """Return the present time in UTC, in milliseconds as MongoDB keeps it."""
    time = datetime.now(UTC)
    return time.replace(microsecond=time.microsecond // 1000 * 1000)


class Records:
    """What is remembered. Every method raises RecordsUnavailable while MongoDB can't answer."""

    def __init__(self, client: "MongoClient[Document]", database: str = DATABASE) -> None:
        """Keep records in `database` of a client; a write is done once a majority has it in its journal."""
        self._client = client
        # Majority implies the journal (writeConcernMajorityJournalDefault); asking for it again would make the
        # local stack's SQLite wait for the disk at every document, a third of the throughput.
        self.database = client.get_database(database, write_concern=WriteConcern(w="majority"))

    @classmethod
    def from_environment(cls) -> Self:
        """Return those at MONGODB_URL (or the secret `mongodb-url`); the URL's path may name another database.

        Raises SettingsError.
        """
        client = _client(checked_mongodb_url(read_secret("mongodb-url", "MONGODB_URL") or "mongodb://127.0.0.1:27017"))
        return cls(client, client.get_default_database(DATABASE).name)

    def close(self) -> None:
        """Close the connections; a server that does not answer is not waited for.

        The driver says farewell to it and waits as long as for any answer, and faasd takes a container's network away
        before it sends SIGTERM.
        """
        closing = threading.Thread(target=self._client.close, name="mongodb-close", daemon=True)
        closing.start()
        closing.join(timeout=2)

    def ping(self) -> None:
        """Raise RecordsUnavailable unless MongoDB answers."""
        with unavailable():
            self._client.admin.command("ping")

    def ensure_indexes(self) -> None:
        """Create the indexes that the questions below need, and set or lift the time-to-live of RECORD_TTL_DAYS.

        Each index costs every insert: what only some part asks for is created by that part.
        """
        ttl_seconds = int(timedelta(days=number("RECORD_TTL_DAYS", 0, least=0)).total_seconds())
        with unavailable():
            self.database["labels"].create_index([("model", 1), ("received_at", 1)])
            self.database["drift_reports"].create_index([("checked_at", -1)])
            for collection, field in TIME_OF_RECORD.items():
                _expire(self.database[collection], field, ttl_seconds)
            if not ttl_seconds:  # else there is one that tells the newest already
                self.database["rejected"].create_index("received_at")

    def insert_predictions(self, records: Sequence[PredictionRecord]) -> dict[str, PredictionRecord]:
        """Write predictions; returns, by id, those that were there before: they stay, and are what was answered."""
        repeated = self._insert("predictions", to_documents(records))
        if not repeated:
            return {}
        with unavailable():
            found = list(self.database["predictions"].find({"_id": {"$in": repeated}}))
        if missing := {*repeated} - {document["_id"] for document in found}:
            # It expired meanwhile, or the key that is there already is not that of its id.
            raise RecordsUnavailable(f"MongoDB: {len(missing)} predictions were refused as repeated, and are not there")
        return {record.id: record for record in read_valid(found, PredictionRecord)}

    def insert_encoded_predictions(self, content: bytes | bytearray) -> None:
        """Write predictions that are BSON already, one after the other; those that were there before stay."""
        self._insert("predictions", bson.decode_all(content, _RAW))

    def insert_rejected(self, records: Sequence[RejectedRecord]) -> None:
        """Write messages that could not be used; those that were there before stay."""
        self._insert("rejected", to_documents(records))

    def _insert(self, collection: str, documents: Sequence[Any]) -> list[str]:
        """Insert documents; returns the ids of those that were there before, or are in `documents` more than once."""
        if not documents:
            return []
        with unavailable():
            try:
                self.database[collection].insert_many(documents, ordered=False)
            except BulkWriteError as error:
                errors = error.details["writeErrors"]
                if error.details["writeConcernErrors"] or any(each["code"] != DUPLICATE_KEY for each in errors):
                    raise
                return [documents[each["index"]]["_id"] for each in errors]
        return []

    def received_at(self, identifier: str) -> datetime | None:
        """Return when the message was received that a prediction or a rejected message is of, None without one."""
        with unavailable():
            for collection in ("predictions", "rejected"):
                if found := self.database[collection].find_one({"_id": identifier}, {"received_at": 1}):
                    time: datetime = found["received_at"]
                    return time
        return None

    def offset(self, stream: str) -> int | None:
        """Return the offset of the last message of a stream that is done with, None if there is none."""
        with unavailable():
            document = self.database["offsets"].find_one({"_id": stream})
        return None if document is None or document["offset"] == NOTHING_DONE else int(document["offset"])

    def take_offset(self, stream: str, owner: str) -> StoredOffset | None:
        """Have `owner`, and no other, store the offset of a stream from now on; returns the one stored, if there is."""
        with unavailable():
            taken = {"$set": {"owner": owner}, "$setOnInsert": {"offset": NOTHING_DONE}}
            self.database["offsets"].update_one({"_id": stream}, taken, upsert=True)
            document = self.database["offsets"].find_one({"_id": stream})
        stored = read(document, StoredOffset) if document else None
        return None if stored is None or stored.offset == NOTHING_DONE else stored

    def store_offset(self, stored: StoredOffset, owner: str, last: int | None) -> bool:
        """Remember how far a stream is done; returns False, and does nothing, where it is not as `owner` left it.

        last: the offset that `owner` has found or stored last, None where there was none.
        """
        fields = to_document(stored)
        # Its own offset is there where the answer to an earlier attempt was lost.
        expected = {"$in": [NOTHING_DONE if last is None else last, stored.offset]}
        with unavailable():
            result = self.database["offsets"].update_one(
                {"_id": fields.pop("_id"), "owner": owner, "offset": expected}, {"$set": fields}
            )
        return result.matched_count == 1


def _expire(collection: "Collection[Document]", field: str, seconds: int) -> None:
    """Let documents go `seconds` after the time in `field`; 0 keeps them for ever."""
    for name, index in collection.index_information().items():
        # MongoDB refuses to create an index that is there with another time.
        if list(index["key"]) == [(field, 1)] and index.get("expireAfterSeconds", 0) != seconds:
            collection.drop_index(name)
    if seconds > 0:
        collection.create_index(field, expireAfterSeconds=seconds)


def read(document: Document, kind: type[T]) -> T:
    """Return a document as a structure of `kind`; raises InvalidRecord."""
    try:
        return from_document(document, kind)
    except Malformed as error:
        raise InvalidRecord(f"the document {document.get('_id')!r} in MongoDB {error}") from error


def read_valid(documents: Iterable[Document], kind: type[T]) -> Iterator[T]:
    """Yield documents as structures of `kind`; one that can't be read is logged and left out."""
    for document in documents:
        try:
            yield read(document, kind)
        except InvalidRecord as error:
            logger.error("%s; it is left out", error)


def checked_mongodb_url(url: str) -> str:
    """Return a URL that the driver can read; raises SettingsError, which shows nothing of it."""
    try:
        return checked_url(
            "MONGODB_URL", url, _client, "mongodb://user:password@host:27017/database, or mongodb+srv://…"
        )
    except OSError as error:
        message = f"MONGODB_URL must be an address whose files, as tlsCAFile, hold PEM: {error}"
        raise SettingsError(message) from None


def _client(url: str) -> "MongoClient[Document]":
    """Return a client that has not connected yet; raises ValueError for a URL that it can't read."""
    try:
        return MongoClient(
            url,
            tz_aware=True,
            connect=False,
            serverSelectionTimeoutMS=3_000,
            socketTimeoutMS=20_000,
            appname="sentiment",
        )
    except ConfigurationError as error:
        raise ValueError(str(error)) from error


@contextmanager
def unavailable() -> Iterator[None]:
    """Turn every error of the driver into RecordsUnavailable, with MongoDB's words, or into RecordTooLarge."""
    try:
        yield
    except BulkWriteError as error:
        # Its own message repeats every document of the batch: texts, in a log.
        errors = [*error.details["writeConcernErrors"], *error.details["writeErrors"]]
        if too_large := [each["errmsg"] for each in errors if each["code"] == TOO_LARGE]:
            raise RecordTooLarge(f"MongoDB: {too_large[0]}") from None
        raise RecordsUnavailable(f"MongoDB: {errors[0]['errmsg']}") from None
    except DocumentTooLarge as error:
        raise RecordTooLarge(f"MongoDB: {error}") from None
    except OperationFailure as error:
        # The driver leaves it to the server to refuse some.
        kind = RecordTooLarge if error.code == TOO_LARGE else RecordsUnavailable
        raise kind(f"MongoDB: {error}") from error
    except PyMongoError as error:
        words = explained(error, authorities="SSL_CERT_FILE, or tlsCAFile in MONGODB_URL,", address="MONGODB_URL")
        raise RecordsUnavailable(f"MongoDB: {words}") from error
