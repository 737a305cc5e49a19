"""Answers of generate-drift."""

from msgspec import Struct


class Generated(Struct, frozen=True, kw_only=True):
    """Texts that were scored: how many of other kinds than reviews, how many ordinary, and an example of each kind."""

    generated: int
    shifted: int
    ordinary: int
    share: float
    kinds: dict[str, int]
    examples: dict[str, str]
    seed: int
    model: str | None


class Deleted(Struct, frozen=True):
    """How many texts are gone."""

    deleted: int
