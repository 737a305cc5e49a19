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
from pymongo import MongoClient, ReplaceOne
from pymongo.collection import Collection
from pymongo.errors import BulkWriteError, PyMongoError
from pymongo.write_concern import WriteConcern

from contracts.codec import Malformed, from_document, to_documents
from contracts.records import PredictionRecord, RejectedRecord
from process.settings import number, read_secret

logger = logging.getLogger(__name__)
T = TypeVar("T")

Document = dict[str, Any]
"""A document as the driver takes and gives it: no further than this package."""
DATABASE = "sentiment"
TIME_OF_RECORD = {"predictions": "received_at", "rejected": "received_at", "drift_reports": "checked_at"}
DUPLICATE_KEY = 11000
_RAW: CodecOptions[Any] = CodecOptions(document_class=RawBSONDocument)


class RecordsUnavailable(Exception):
    """MongoDB can't be reached or can't answer now; trying again later is right."""


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
        """Connect to MONGODB_URL (or the secret `mongodb-url`); the URL's path may name another database."""
        url = read_secret("mongodb-url", "MONGODB_URL") or "mongodb://127.0.0.1:27017"
        client: MongoClient[Document] = MongoClient(
            url,
            tz_aware=True,
            connect=False,
            serverSelectionTimeoutMS=3_000,
            socketTimeoutMS=20_000,
            appname="sentiment",
        )
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
        """Create the indexes that the questions below need, and set or lift the time-to-live of RECORD_TTL_DAYS."""
        ttl_seconds = int(timedelta(days=number("RECORD_TTL_DAYS", 0, least=0)).total_seconds())
        with unavailable():
            self.database["predictions"].create_index([("scored_at", -1)])
            self.database["labels"].create_index([("model", 1), ("received_at", 1)])
            self.database["drift_reports"].create_index([("checked_at", -1)])
            for collection, field in TIME_OF_RECORD.items():
                _expire(self.database[collection], field, ttl_seconds)

    def write_predictions(self, records: Sequence[PredictionRecord]) -> None:
        """Write predictions; one with the id of an earlier one takes its place, so that repeats double nothing."""
        self._write("predictions", to_documents(records))

    def write_encoded_predictions(self, content: bytes | bytearray) -> None:
        """Write predictions that are BSON already, one after the other; else like `write_predictions`."""
        self._write("predictions", bson.decode_all(content, _RAW))

    def write_rejected(self, records: Sequence[RejectedRecord]) -> None:
        """Write messages that could not be used, by their id like predictions."""
        self._write("rejected", to_documents(records))

    def _write(self, collection: str, documents: Sequence[Any]) -> None:
        if not documents:
            return
        with unavailable():
            try:
                # Nearly always all are new, and inserting takes a fifth less time than upserting.
                self.database[collection].insert_many(documents, ordered=False)
            except BulkWriteError as error:
                errors = error.details["writeErrors"]
                if not errors or any(each["code"] != DUPLICATE_KEY for each in errors):
                    raise
                repeated = [documents[each["index"]] for each in errors]
                replacements = [ReplaceOne({"_id": document["_id"]}, document, upsert=True) for document in repeated]
                self.database[collection].bulk_write(replacements, ordered=False)

    def offset(self, consumer: str) -> int | None:
        """Return the offset of the last message that `consumer` is done with, None if there is none."""
        with unavailable():
            document = self.database["offsets"].find_one({"_id": consumer})
        return None if document is None else int(document["offset"])

    def store_offset(self, consumer: str, offset: int) -> None:
        """Remember that `consumer` is done with all messages up to `offset`; it never goes back."""
        with unavailable():
            self.database["offsets"].update_one(
                {"_id": consumer}, {"$max": {"offset": offset}, "$set": {"stored_at": now()}}, upsert=True
            )


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


@contextmanager
def unavailable() -> Iterator[None]:
    """Turn every error of the driver into RecordsUnavailable, with MongoDB's words."""
    try:
        yield
    except BulkWriteError as error:
        # Its own message repeats every document of the batch: texts, in a log.
        first = (error.details["writeErrors"] or error.details["writeConcernErrors"])[0]
        raise RecordsUnavailable(f"MongoDB: {first['errmsg']}") from None
    except PyMongoError as error:
        raise RecordsUnavailable(f"MongoDB: {error}") from error
