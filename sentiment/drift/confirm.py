"""From a row of reports to a state that does not flap."""

from contracts.drift import AlertKind, State, Status


def next_state(state: State, status: Status, confirm: int = 2) -> tuple[State, AlertKind | None]:
    """Return the state after one more report, and the alert that is due, if any.

    The state changes once `confirm` reports in a row contradict it, in both directions alike; a report
    without enough data says nothing, so it neither counts nor breaks the row.

    Raises ValueError where `confirm` is less than 1.
    """
    if confirm < 1:
        raise ValueError(f"a state needs at least 1 check to change, not {confirm}")
    if status == "not-enough-data":
        return state, None
    if (status == "drift") == state.drift:
        return State(state.drift), None
    if state.contrary_checks + 1 < confirm:
        return State(state.drift, state.contrary_checks + 1), None
    return State(not state.drift), "cleared" if state.drift else "detected"
