"""Retrain's settings, all from environment variables."""

import os
from dataclasses import dataclass
from typing import Self

from model_store import read_secret
from sentiment.gate import LEVEL


class SettingsError(Exception):
    """A variable has a value that can't be used; says which and what is allowed."""


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
        gate = (os.environ.get("GATE") or "on").lower()
        if gate not in ("on", "off"):
            raise SettingsError(f"GATE must be on or off, not {gate!r}")
        return cls(
            retrain_after=int(_number("RETRAIN_AFTER", 100, least=1)),
            # Kept to multiples of 1/1024, which add and subtract exactly.
            label_weight=round(_number("LABEL_WEIGHT", 1, least=1 / 1024) * 1024) / 1024,
            max_labels_per_source=int(_number("MAX_LABELS_PER_SOURCE", 0, least=0)) or None,
            max_labels_per_run=int(_number("MAX_LABELS_PER_RUN", 20_000, least=1)),
            max_pending_labels=int(_number("MAX_PENDING_LABELS", 100_000, least=1)),
            gate=gate == "on",
            gate_level=_number("GATE_LEVEL", LEVEL, least=1e-9),
            keep_versions=int(_number("KEEP_VERSIONS", 10, least=1)),
            token=read_secret("retrain-token", "RETRAIN_TOKEN"),
        )


def _number(name: str, default: float, *, least: float) -> float:
    value = os.environ.get(name)
    if not value:
        return default
    try:
        number = float(value)
    except ValueError:
        number = float("nan")
    if not number >= least:
        raise SettingsError(f"{name} must be a number of at least {least:g}, not {value!r}")
    return number
