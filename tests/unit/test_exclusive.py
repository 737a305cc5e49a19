"""Of two that want to work at the same time, the second is refused at once, until the first has ended."""

import pytest

from process.exclusive import Busy, Exclusive


def test_a_second_one_is_told_since_when_the_first_is_at_work() -> None:
    exclusive = Exclusive("a run is under way")
    with exclusive() as since, pytest.raises(Busy, match=f"a run is under way since {since[:19]}"), exclusive():
        pass


def test_work_that_fails_makes_room_for_the_next() -> None:
    exclusive = Exclusive("a run is under way")
    with pytest.raises(ZeroDivisionError), exclusive():
        _ = 1 / 0
    with exclusive():
        pass
