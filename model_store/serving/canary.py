"""A last check before a model is served: it must answer, and answer as it did when it was packed."""

import math

from contracts.manifest import CanaryText
from sentiment.scorer import Scorer

TEXTS = ("", "a", "I love you", "A complete waste of time.", "naïve — “quoted” 🙂<br />", "good bad " * 500)
TOLERANCE = 1e-6


def check_canary(scorer: Scorer, expected: list[CanaryText]) -> None:
    """Raise ValueError unless fixed texts get probabilities, and those of the manifest the ones that it says."""
    for text in TEXTS:
        found = scorer.probability(text)
        if not 0 <= found <= 1:  # which not-a-number fails too
            raise ValueError(f"its canary {text[:40]!r} scored {found}, which is no probability")
    for canary in expected:
        found = scorer.probability(canary.text)
        if not math.isclose(found, canary.probability, rel_tol=0, abs_tol=TOLERANCE):
            raise ValueError(
                f"its canary {canary.text[:40]!r} scored {found}, and {canary.probability} when it was packed"
            )
