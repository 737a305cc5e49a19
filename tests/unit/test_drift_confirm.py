"""A state changes after a row of contrary checks, once, and goes back the same way."""

from datetime import UTC, datetime, timedelta

import pytest

from contracts.drift import AlertKind, State, Status
from sentiment.drift.check import counts, next_state

AT = datetime(2026, 2, 3, tzinfo=UTC)


def run(statuses: list[Status], confirm: int) -> list[AlertKind | None]:
    state, alerts = State(), []
    for status in statuses:
        state, alert = next_state(state, status, AT, confirm)
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


def test_with_one_confirming_check_the_state_follows_at_once() -> None:
    assert run(["drift", "ok"], 1) == ["detected", "cleared"]


def test_fewer_than_one_confirming_check_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        next_state(State(), "drift", AT, 0)


def test_a_state_knows_since_when_it_has_been_so() -> None:
    later = AT + timedelta(hours=1)
    state, _ = next_state(State(), "drift", AT, 2)
    assert state.since is None
    state, _ = next_state(state, "drift", later, 2)
    assert state == State(drift=True, since=later)
    state, _ = next_state(state, "drift", later + timedelta(hours=1), 2)
    assert state.since == later


@pytest.mark.parametrize(("new", "counted"), [(0, False), (49, False), (50, True), (100, True)])
def test_a_check_counts_where_half_of_its_window_came_after_the_last_that_counted(new: int, counted: bool) -> None:
    times = [AT + timedelta(seconds=1 if number < new else -number) for number in range(100)]
    assert counts("drift", times, State(counted_until=AT)) is counted
    assert counts("ok", times, State()) is True, "none has counted before"


def test_a_check_without_enough_data_does_not_count() -> None:
    assert counts("not-enough-data", [AT] * 10, State()) is False
