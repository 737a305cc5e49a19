"""Prometheus metrics of retrain."""

from collections.abc import Mapping
from typing import Any

from prometheus_client import Counter


class Metrics:
    """The metrics; made once a process, since Prometheus's client registers them by name."""

    def __init__(self) -> None:
        """Register all."""
        self.labels = Counter("retrain_labels", "Labels that came in, by whether they were new", ["outcome"])
        self.runs = Counter("retrain_runs", "Training runs, by outcome", ["outcome"])

    def ran(self, outcome: Mapping[str, Any]) -> None:
        """Count a run by what came of it."""
        if outcome["promoted"]:
            self.runs.labels("promoted").inc()
        else:
            self.runs.labels("refused" if outcome["retrained"] else "nothing-to-do").inc()
