"""What is remembered in MongoDB: predictions, rejected messages, labels, offsets, drift reports."""

from records.mongo import InvalidRecord, Records, RecordsUnavailable, now
from records.recorder import BatchRecorder

__all__ = ["BatchRecorder", "InvalidRecord", "Records", "RecordsUnavailable", "now"]
