"""How benchmarks say what they found."""

import sys
from collections.abc import Sequence
from statistics import median


def ratio(found: Sequence[float]) -> str:
    """Return the median of ratios, and between which they were."""
    return f"**{median(found):.2f}** ({min(found):.2f} to {max(found):.2f})"


def note(what: str) -> None:
    """Say on standard error how far it is."""
    print(what, file=sys.stderr, flush=True)
