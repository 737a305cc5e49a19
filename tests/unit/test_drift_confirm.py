"""A state changes after a row of contrary checks, once, and goes back the same way."""

import pytest

from contracts.drift import AlertKind, State, Status
from sentiment.drift.check import next_state


def run(statuses: list[Status], confirm: int) -> list[AlertKind | None]:
    state, alerts = State(), []
    for status in statuses:
        state, alert = next_state(state, status, confirm)
        alerts.append(alert)
    return alerts


def test_one_alert_when_drift_is_confirmed_and_one_when_it_is_cleared() -> None:
    statuses: list[Status] = ["ok", "drift", "drift", "drift", "ok", "ok", "ok"]
    assert run(statuses, 2) == [None, None, "detected", None, None, "cleared", None]


def test_alternating_checks_never_change_the_state() -> None:
    assert run(["drift", "ok"] * 5, 2) == [None] * 10


def test_a_contrary_check_breaks_the_row_in_both_directions() -> None:
    statuses: list[Status] = ["drift", "drift", "ok", "drift", "ok", "ok"]
    assert run(statuses, 2) == [None, "detected", None, None, None, "cleared"]


def test_a_check_without_enough_data_neither_counts_nor_breaks_the_row() -> None:
    statuses: list[Status] = ["drift", "not-enough-data", "drift"]
    assert run(statuses, 2) == [None, None, "detected"]


def test_with_one_confirming_check_the_state_follows_at_once() -> None:
    assert run(["drift", "ok"], 1) == ["detected", "cleared"]


def test_fewer_than_one_confirming_check_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        next_state(State(), "drift", 0)
