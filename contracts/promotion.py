"""Which version is served: current.json, and the log of promotions."""

from datetime import datetime

from msgspec import Struct

from contracts.codec import Reader


class Promotion(Struct, frozen=True, rename={"previous": "from", "version": "to"}):
    """One move of current.json: who, when (ISO 8601, with a zone), from which version, to which, and why."""

    id: str
    at: str
    by: str
    previous: str | None
    version: str
    reason: str

    def __post_init__(self) -> None:
        """Raise ValueError unless `at` is a time with a zone."""
        if datetime.fromisoformat(self.at).tzinfo is None:
            raise ValueError(f"{self.at} has no zone")


class CurrentDocument(Struct, frozen=True):
    """What current.json holds; the promotion is also its entry in the log."""

    version: str
    promotion: Promotion


class Period(Struct, frozen=True):
    """When the first and the last of some texts were scored, ISO 8601."""

    first_scored_at: str
    last_scored_at: str


class StatisticsDocument(Struct, frozen=True):
    """Statistics kept beside a version: the hash of their content, and of which texts they are."""

    sha256: str
    size_bytes: int
    about: Period


read_promotion = Reader(Promotion)
read_current = Reader(CurrentDocument)
read_statistics_document = Reader(StatisticsDocument)
