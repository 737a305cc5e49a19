"""A version as a serving process takes it: its manifest and the table of words, and nothing else of it."""

import math

from contracts.manifest import CanaryText, Manifest
from model_store.errors import StoreError, VersionDistrusted, VersionNotFound, VersionRefused
from model_store.trust import EVERYBODY, Trust
from model_store.versions import Read, load_manifest, load_parts
from sentiment.artifact import check_format, scorer_of, served_parts
from sentiment.scorer import Scorer

# What a model must answer at all, whatever it is.
TEXTS = ("", "a", "I love you", "A complete waste of time.", "naïve — “quoted” 🙂<br />", "good bad " * 500)
TOLERANCE = 1e-6


def load_scorer(read: Read, version: str, *, trust: Trust = EVERYBODY) -> tuple[Scorer, Manifest]:
    """Return what scores texts by a version, and its manifest, once both have been checked.

    Raises VersionRefused: with `passing` where the store is at fault, without where the version is.
    """
    try:
        manifest = load_manifest(read, version, trust)
        check_format(manifest)
        parts = load_parts(read, version, manifest, served_parts(manifest))
        scorer = scorer_of(manifest, parts)
        check_canary(scorer, manifest.canary)
    except VersionDistrusted as error:
        raise VersionRefused(version, str(error), passing=False, untrusted=True) from error
    except (VersionNotFound, ValueError) as error:
        raise VersionRefused(version, str(error), passing=False) from error
    except MemoryError as error:
        raise VersionRefused(version, "not enough memory", passing=True) from error
    except StoreError as error:
        raise VersionRefused(version, str(error), passing=True) from error
    return scorer, manifest


def check_canary(scorer: Scorer, expected: list[CanaryText]) -> None:
    """Raise ValueError unless TEXTS get probabilities, and those of the manifest the ones that they had when packed."""
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
