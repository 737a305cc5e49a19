"""Drift's settings, all from environment variables."""

from dataclasses import dataclass, field
from typing import Final, Self

from process.secrets import read_secret
from process.settings import SettingsError, choice, number
from sentiment.drift.check import DEFAULT_LEVEL, DEFAULT_MINIMUM_DOCUMENTS

AUTO: Final = "auto"
LIVE: Final = "live"
HOLDOUT: Final = "holdout"


@dataclass(frozen=True)
class Settings:
    """See docs/configuration.md for the variables.

    reference: which texts a window is compared with: those held out at training, the first live ones, or
        `auto`, the live ones as soon as there are enough.
    """

    window_texts: int = 500
    minimum_texts: int = DEFAULT_MINIMUM_DOCUMENTS
    confirm_checks: int = 2
    level: float = DEFAULT_LEVEL
    reference: str = AUTO
    reference_texts: int = 1_000
    maximum_labels: int = 500
    alert_timeout_seconds: float = 60.0
    rabbitmq_url: str | None = field(default=None, repr=False)
    webhook_url: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        """Raise SettingsError where the settings contradict each other."""
        for name, texts in (("DRIFT_WINDOW", self.window_texts), ("DRIFT_REFERENCE_TEXTS", self.reference_texts)):
            if texts < self.minimum_texts:
                raise SettingsError(
                    f"{name} is {texts}, less than DRIFT_MIN_TEXTS ({self.minimum_texts}): no check could ever tell"
                )

    @classmethod
    def from_environment(cls) -> Self:
        """Read the environment and secrets; raises SettingsError."""
        return cls(
            window_texts=int(number("DRIFT_WINDOW", cls.window_texts, least=1, most=100_000)),
            minimum_texts=int(number("DRIFT_MIN_TEXTS", cls.minimum_texts, least=1)),
            confirm_checks=int(number("DRIFT_CONFIRM", cls.confirm_checks, least=1)),
            level=number("DRIFT_LEVEL", cls.level, least=1e-9, most=0.5),
            reference=choice("DRIFT_REFERENCE", (AUTO, LIVE, HOLDOUT)),
            reference_texts=int(number("DRIFT_REFERENCE_TEXTS", cls.reference_texts, least=1, most=100_000)),
            maximum_labels=int(number("DRIFT_MAX_LABELS", cls.maximum_labels, least=1, most=100_000)),
            alert_timeout_seconds=number("ALERT_TIMEOUT_SECONDS", cls.alert_timeout_seconds, least=0),
            rabbitmq_url=read_secret("rabbitmq-url", "RABBITMQ_URL"),
            webhook_url=read_secret("alert-webhook-url", "ALERT_WEBHOOK_URL"),
        )
