"""Documents with texts, read a few at a time: a cursor's own batches of up to 16 MB would be in memory twice."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from pymongo.collection import Collection

from records.mongo import Document, unavailable

# Of the longest texts, 100,000 characters of four bytes, ten are 4 MB.
PIECE_DOCUMENTS = 10


def in_pieces(
    collection: "Collection[Document]", ids: Iterable[Any], fields: Mapping[str, Any] | None = None
) -> Iterator[Document]:
    """Yield the documents of these ids in their order, without those that are gone; raises RecordsUnavailable."""
    remaining = iter(ids)
    while piece := [*islice(remaining, PIECE_DOCUMENTS)]:
        with unavailable():
            found = {document["_id"]: document for document in collection.find({"_id": {"$in": piece}}, fields)}
        for identifier in piece:
            if identifier in found:
                yield found.pop(identifier)
