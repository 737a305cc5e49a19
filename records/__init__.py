"""What is remembered in MongoDB: predictions, rejected messages, labels, offsets, drift reports."""

from records.mongo import InvalidRecord, Records, RecordsUnavailable, now
from records.recorder import BatchRecorder, RecordsFull

__all__ = ["BatchRecorder", "InvalidRecord", "Records", "RecordsFull", "RecordsUnavailable", "now"]
