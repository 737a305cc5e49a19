"""What is remembered in MongoDB: predictions, rejected messages, labels, offsets, drift reports."""

from records.mongo import InvalidRecord, Records, RecordsUnavailable, checked_mongodb_url, now
from records.recorder import BatchRecorder, RecordsFull
from records.spool import Spool

__all__ = [
    "BatchRecorder",
    "InvalidRecord",
    "Records",
    "RecordsFull",
    "RecordsUnavailable",
    "Spool",
    "checked_mongodb_url",
    "now",
]
