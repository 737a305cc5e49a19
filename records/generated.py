"""The texts that generate-drift made, among the predictions."""

from collections.abc import Iterator

from records.mongo import Records, unavailable


class GeneratedTexts:
    """The texts that generate-drift made. Every method raises RecordsUnavailable while MongoDB can't answer."""

    def __init__(self, records: Records) -> None:
        """Ask beside the other records."""
        self._predictions = records.database["predictions"]

    def ensure_index(self) -> None:
        """Create the index that finds them: only where any are made, for each index costs every insert its time."""
        with unavailable():
            self._predictions.create_index("synthetic", partialFilterExpression={"synthetic": True})

    def count(self) -> int:
        """Return how many are recorded."""
        with unavailable():
            return sum(1 for _ in self._predictions.find({"synthetic": True}, {"_id": 1}))

    def delete(self) -> int:
        """Delete them; returns how many they were."""
        with unavailable():
            return self._predictions.delete_many({"synthetic": True}).deleted_count

    def ordinary(self, limit: int) -> Iterator[str]:
        """Yield the last texts, at most `limit`, that came from elsewhere, newest first."""
        with unavailable():
            newest = self._predictions.find({"synthetic": {"$ne": True}}, {"text": 1}).sort("scored_at", -1)
            for document in newest.limit(limit):
                yield document["text"]
