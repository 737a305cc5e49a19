"""What MongoDB keeps, a structure a collection; `id` is `_id` there. Of drift_reports: contracts.drift.DriftReport."""

from datetime import datetime
from typing import Literal

from msgspec import UNSET, Struct, UnsetType

from contracts.manifest import Bound
from contracts.stream import Rejected


class PredictionRecord(Struct, frozen=True, kw_only=True, rename={"id": "_id"}):
    """A text that was scored; synthetic: generate-drift made it. Earlier releases kept no log-odds."""

    id: str
    text: str
    prediction: str
    probability: float
    log_odds: float | None = None
    model: str
    source: Literal["http", "stream"]
    received_at: datetime
    scored_at: datetime
    synthetic: bool = False


class RejectedRecord(Rejected, frozen=True, kw_only=True, rename={"id": "_id"}):
    """A message that could not be used."""

    id: str  # named again, since the new name is for fields of this class alone
    received_at: datetime


class StoredOffset(Struct, frozen=True, kw_only=True, rename={"id": "_id"}):
    """The offset of the last message of a stream that is done with; id: the stream's name.

    chunk_time: when the broker wrote the chunk with that offset, in milliseconds since 1970.
    epoch: the same of the first chunk that was read of this stream, which tells it from others that had its name.
    key_prefix: what the ids of its records begin with. The releases before streams were told apart stored only offsets.
    """

    id: str
    offset: int
    chunk_time: int | None = None
    epoch: int = 0
    key_prefix: str | None = None
    stored_at: datetime | None = None


class LabelRecord(Struct, frozen=True, kw_only=True, rename={"id": "_id"}):
    """A label, 0 negative or 1 positive, and what has become of it.

    principals: by whose credentials it came, each once. source: what the first of them called its origin.
    state: `pending`; `used` by the version in `model`, which counted it `weight` times, within `bound`; `refused` by
    the gate in `run`, for `reason`.
    conflict: true where its text came with both labels, and as many principals or more say the other one.
    """

    id: str
    text: str
    label: int
    source: str
    principals: list[str] = []
    client_id: str | None = None
    received_at: datetime
    text_sha256: str
    state: Literal["pending", "used", "refused"] = "pending"
    model: str | None = None
    weight: float | UnsetType = UNSET
    bound: Bound | None = None
    run: str | UnsetType = UNSET
    reason: str | UnsetType = UNSET
    conflict: bool | int | UnsetType = UNSET  # nx-27017 says 1 where an update has set true

    @property
    def vouchers(self) -> frozenset[str]:
        """Who vouches for it; the releases before knew a source alone, which stands for one principal."""
        return frozenset(self.principals or [self.source])

    @property
    def counted(self) -> float:
        """How many times the version in `model` counted it; the first releases did not say, and counted once."""
        return 1.0 if self.weight is UNSET else self.weight
