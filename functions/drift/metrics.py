"""Prometheus metrics of drift."""

from prometheus_client import Counter, Gauge, Histogram

from contracts.drift import DriftReport


class Metrics:
    """The metrics; made once a process, since Prometheus's client registers them by name."""

    def __init__(self) -> None:
        """Register all."""
        self.state = Gauge("drift_state", "1 while the state is drift, confirmed; 0 else")
        self.documents = Gauge("drift_window_documents", "Texts in the last window")
        self.p_value = Gauge("drift_p_value", "P-values of the last check, corrected by Holm", ["test"])
        self.effect_size = Gauge("drift_effect_size", "Effect sizes of the last check", ["test"])
        self.checks = Counter("drift_checks", "Checks, by what each found", ["status"])
        self.seconds = Histogram(
            "drift_check_seconds",
            "Time of a check with its queries, in seconds",
            buckets=(0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10),
        )
        self.alerts_sent = Counter("drift_alerts_sent", "Alerts sent, by channel", ["channel"])
        self.alerts_failed = Counter("drift_alerts_failed", "Times an alert was given up until later", ["channel"])

    def show(self, report: DriftReport) -> None:
        """Show what a report says."""
        self.state.set(report.drift)
        self.documents.set(report.window.documents)
        for gauge, field in ((self.p_value, "adjusted_p_value"), (self.effect_size, "effect_size")):
            gauge.clear()  # a test that this check has not made has no value
            for name, test in report.tests.items():
                gauge.labels(name).set(getattr(test, field))
