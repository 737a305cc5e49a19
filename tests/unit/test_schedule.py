"""The local schedule reads stack.yml as cron-connector does."""

from datetime import UTC, datetime

import pytest

from deploy.local.schedule import Job, jobs
from deploy.local.state import ROOT

STACK = """
functions:
  predict: {annotations: {other: "x"}}
  plain: {image: x}
  drift: {annotations: {topic: cron-function, schedule: "${DRIFT_SCHEDULE:-*/5 * * * *}"}}
"""


def test_functions_with_the_cron_topic_are_scheduled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DRIFT_SCHEDULE", raising=False)
    assert jobs(STACK) == [Job("drift", "*/5 * * * *")]
    monkeypatch.setenv("DRIFT_SCHEDULE", "1 2 * * *")
    assert jobs(STACK) == [Job("drift", "1 2 * * *")]


def test_drift_and_retrain_are_scheduled_in_this_project() -> None:
    assert {job.function for job in jobs((ROOT / "stack.yml").read_text())} == {"drift", "retrain"}


@pytest.mark.parametrize(("cron", "seconds"), [("*/5 * * * *", 150), ("0 0 * * *", 12 * 3600 - 150), ("* * * * *", 30)])
def test_the_next_call_is_when_cron_says(cron: str, seconds: float) -> None:
    assert Job("drift", cron).seconds_until_next(datetime(2026, 1, 1, 12, 2, 30, tzinfo=UTC)) == seconds
