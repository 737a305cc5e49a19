"""Drift's settings; see docs/configuration.md for the variables."""

from dataclasses import dataclass
from typing import Final

from messages.settings import amqp_url
from process.settings import SettingsError, choice, number, read_secret, setting, whole_number
from sentiment.drift.check import DEFAULT_LEVEL, DEFAULT_MINIMUM_TEXTS

LIVE: Final = "live"
HOLDOUT: Final = "holdout"


@dataclass(frozen=True)
class Settings:
    """What is not given is read from the environment.

    reference: which texts a window is compared with: those held out at training, the first live ones, or
        `auto`, the live ones as soon as there are enough.
    pace_seconds: from one check to the next, at least, where it listens to more than this machine.
    """

    window_texts: int = setting(whole_number, "DRIFT_WINDOW", 500, least=1, most=100_000)
    minimum_texts: int = setting(whole_number, "DRIFT_MIN_TEXTS", DEFAULT_MINIMUM_TEXTS, least=1)
    confirm_checks: int = setting(whole_number, "DRIFT_CONFIRM", 2, least=1)
    level: float = setting(number, "DRIFT_LEVEL", DEFAULT_LEVEL, least=1e-9, most=0.5)
    reference: str = setting(choice, "DRIFT_REFERENCE", ("auto", LIVE, HOLDOUT))
    reference_texts: int = setting(whole_number, "DRIFT_REFERENCE_TEXTS", 1_000, least=1, most=100_000)
    maximum_labels: int = setting(whole_number, "DRIFT_MAX_LABELS", 500, least=1, most=100_000)
    pace_seconds: float = setting(number, "DRIFT_PACE_SECONDS", 10, least=0)
    alert_timeout_seconds: float = setting(number, "ALERT_TIMEOUT_SECONDS", 60, least=0)
    rabbitmq_url: str | None = setting(amqp_url)
    webhook_url: str | None = setting(read_secret, "alert-webhook-url", "ALERT_WEBHOOK_URL")

    def __post_init__(self) -> None:
        """Raise SettingsError where the settings contradict each other."""
        for name, texts in (("DRIFT_WINDOW", self.window_texts), ("DRIFT_REFERENCE_TEXTS", self.reference_texts)):
            if texts < self.minimum_texts:
                raise SettingsError(
                    f"{name} is {texts}, less than DRIFT_MIN_TEXTS ({self.minimum_texts}): no check could ever tell"
                )
