"""Retrain's settings; see docs/configuration.md for the variables."""

from collections.abc import Mapping
from dataclasses import dataclass

from functions.retrain.callers import read_label_tokens
from process.settings import choice, number, read_secret, setting, whole_number
from sentiment.gate import LEVEL
from sentiment.trainers import TRAINERS


@dataclass(frozen=True)
class Settings:
    """What is not given is read from the environment; raises SettingsError.

    trainer: of the first model; the labels of one that is served are learned by its own.
    retrain_least: below so many pending labels the schedule starts no run. max_labels_per_principal: 0 for any number.
    max_run_bytes: memory for the counts of the labels of a run.
    pace_seconds: from one run to the next, at least, of those that need no token, where it listens to more than this
        machine.
    """

    trainer: str = setting(choice, "TRAINER", (*TRAINERS,))
    retrain_after: int = setting(whole_number, "RETRAIN_AFTER", 100, least=1)
    retrain_least: int = setting(whole_number, "RETRAIN_LEAST", 50, least=1)
    label_weight: float = setting(number, "LABEL_WEIGHT", 1, least=1 / 1024)
    max_labels_per_principal: int = setting(whole_number, "MAX_LABELS_PER_PRINCIPAL", 0, least=0)
    max_labels_per_run: int = setting(whole_number, "MAX_LABELS_PER_RUN", 20_000, least=1)
    max_run_bytes: int = setting(whole_number, "MAX_RUN_BYTES", 100_000_000, least=1)
    max_vocabulary_words: int = setting(whole_number, "MAX_VOCABULARY_WORDS", 500_000, least=1)
    max_pending_labels: int = setting(whole_number, "MAX_PENDING_LABELS", 100_000, least=1)
    gate: str = setting(choice, "GATE", ("on", "off"))
    gate_level: float = setting(number, "GATE_LEVEL", LEVEL, least=1e-9)
    keep_versions: int = setting(whole_number, "KEEP_VERSIONS", 10, least=1)
    pace_seconds: float = setting(number, "RETRAIN_PACE_SECONDS", 840, least=0)
    token: str | None = setting(read_secret, "retrain-token", "RETRAIN_TOKEN")
    label_tokens: Mapping[str, str] = setting(read_label_tokens)
