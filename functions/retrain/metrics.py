"""Prometheus metrics of retrain."""

from prometheus_client import Counter

from contracts.retrain import LabelsStored, RunOutcome


class Metrics:
    """The metrics; made once a process, since Prometheus's client registers them by name."""

    def __init__(self) -> None:
        """Register all."""
        self._labels = Counter("retrain_labels", "Labels that came in, by whether they were new", ["outcome"])
        self._runs = Counter("retrain_runs", "Training runs, by outcome", ["outcome"])

    def stored(self, labels: LabelsStored) -> None:
        """Count labels that came in."""
        self._labels.labels("accepted").inc(labels.accepted)
        self._labels.labels("repeated").inc(labels.repeated)

    def ran(self, outcome: RunOutcome) -> None:
        """Count a run by what came of it."""
        if outcome.promoted:
            self._runs.labels("promoted").inc()
        else:
            self._runs.labels("refused" if outcome.retrained else "nothing-to-do").inc()
