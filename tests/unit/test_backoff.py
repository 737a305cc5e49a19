"""The one back-off: waits that double with jitter, and start anew only after a while of success."""

import pytest

from process import backoff
from process.backoff import Backoff


def test_waits_double_up_to_the_longest_with_jitter() -> None:
    waits = Backoff(0.5, 30.0)
    for failures in range(2000):
        full = min(30.0, 0.5 * 2.0 ** min(failures, 100))
        assert full / 2 <= waits.failed() <= full
    assert len({waits.failed() for _ in range(10)}) > 1


def test_what_works_for_a_moment_only_does_not_start_anew() -> None:
    waits = Backoff(0.5, 30.0)
    for _ in range(10):
        waits.worked()
        waits.failed()
    assert waits.failed() >= 15.0


def test_what_worked_for_a_while_starts_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backoff, "STEADY_SECONDS", 0.0)
    waits = Backoff(0.5, 30.0)
    for _ in range(10):
        waits.failed()
    waits.worked()
    assert waits.failed() <= 0.5


def test_a_wait_that_is_asked_for_is_kept_up_to_the_longest() -> None:
    assert Backoff(0.5, 30.0).failed(asked_seconds=7.0) == 7.0
    assert Backoff(0.5, 30.0).failed(asked_seconds=1e9) == 30.0
    assert Backoff(0.5, 30.0).failed(asked_seconds=-5.0) > 0


@pytest.mark.parametrize("asked_seconds", [float("nan"), float("inf"), float("-inf"), -1e300, 1e300])
def test_whatever_is_asked_for_the_wait_is_within_its_bounds(asked_seconds: float) -> None:
    assert 0.25 <= Backoff(0.5, 30.0).failed(asked_seconds) <= 30.0
