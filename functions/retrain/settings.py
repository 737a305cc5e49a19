"""Retrain's settings, all from environment variables."""

from dataclasses import dataclass
from typing import Self

from process.secrets import read_secret
from process.settings import choice, number
from sentiment.gate import LEVEL


@dataclass(frozen=True)
class Settings:
    """See docs/configuration.md for the variables."""

    retrain_after: int
    label_weight: float
    max_labels_per_source: int | None
    max_labels_per_run: int
    max_pending_labels: int
    gate: bool
    gate_level: float
    keep_versions: int
    token: str | None
    max_ancestors: int = 1_000

    @classmethod
    def from_environment(cls) -> Self:
        """Read the environment and secrets; raises SettingsError."""
        return cls(
            retrain_after=int(number("RETRAIN_AFTER", 100, least=1)),
            # Kept to multiples of 1/1024, which add and subtract exactly.
            label_weight=round(number("LABEL_WEIGHT", 1, least=1 / 1024) * 1024) / 1024,
            max_labels_per_source=int(number("MAX_LABELS_PER_SOURCE", 0, least=0)) or None,
            max_labels_per_run=int(number("MAX_LABELS_PER_RUN", 20_000, least=1)),
            max_pending_labels=int(number("MAX_PENDING_LABELS", 100_000, least=1)),
            gate=choice("GATE", ("on", "off")) == "on",
            gate_level=number("GATE_LEVEL", LEVEL, least=1e-9),
            keep_versions=int(number("KEEP_VERSIONS", 10, least=1)),
            token=read_secret("retrain-token", "RETRAIN_TOKEN"),
        )
