"""Drift: do the texts that arrive still look like those that the model was measured on?

`Reference` and `Window` are the statistics of two sets of texts, `check` compares them, and `next_state` turns a row of
such comparisons into a state that does not flap. What they return is in contracts.drift. Nothing here reads a file or
a server. docs/drift.md says what is tested, why, and how well it works.
"""

from sentiment.drift.check import DEFAULT_THRESHOLDS, check
from sentiment.drift.confirm import next_state
from sentiment.drift.documents import Documents, measure, measure_counts
from sentiment.drift.samples import Reference, Window

__all__ = [
    "DEFAULT_THRESHOLDS",
    "Documents",
    "Reference",
    "Window",
    "check",
    "measure",
    "measure_counts",
    "next_state",
]
