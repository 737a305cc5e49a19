"""What is remembered in MongoDB: predictions, rejected messages, labels, offsets, drift reports."""

from records.mongo import Records, RecordsUnavailable, now
from records.recorder import BatchRecorder

__all__ = ["BatchRecorder", "Records", "RecordsUnavailable", "now"]
