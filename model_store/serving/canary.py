"""A last check before a model is served: it must answer, and answer as it did when it was packed."""

import math
from typing import Any

from sentiment.scorer import Scorer

TEXTS = ("", "a", "I love you", "A complete waste of time.", "naïve — “quoted” 🙂<br />", "good bad " * 500)
TOLERANCE = 1e-6


def check_canary(scorer: Scorer, manifest: dict[str, Any]) -> None:
    """Raise ValueError unless fixed texts get probabilities and the manifest's `canary` texts get theirs."""
    for text in TEXTS:
        probability = scorer.probability(text)
        if not 0 <= probability <= 1:  # which not-a-number fails too
            raise ValueError(f"its canary {text[:40]!r} scored {probability}, which is no probability")
    match manifest.get("canary", []):
        case list(examples):
            pass
        case _:
            raise ValueError("its manifest has a canary that is no list")
    for example in examples:
        match example:
            case {"text": str(text), "probability": int() | float() as expected}:
                found = scorer.probability(text)
            case _:
                raise ValueError("its manifest has a canary without text and probability")
        if not math.isclose(found, expected, rel_tol=0, abs_tol=TOLERANCE):
            raise ValueError(f"its canary {text[:40]!r} scored {found}, and {expected} when it was packed")
