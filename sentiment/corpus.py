"""Labelled texts, from wherever they come."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Corpus:
    """Labelled texts, each 0 negative or 1 positive, and where they came from."""

    name: str
    texts: list[str]
    labels: list[int]
