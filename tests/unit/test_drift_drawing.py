"""A sample drawn over time."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from sentiment.drift.drawing import drawn

ids = st.lists(st.text(min_size=1))


@given(first=ids, second=ids, size=st.integers(0, 10))
def test_what_is_drawn_does_not_depend_on_the_parts_that_ids_come_in(
    first: list[str], second: list[str], size: int
) -> None:
    whole = drawn([*first, *second], size, "key")
    assert drawn([*second, *drawn(first, size, "key"), *second], size, "key") == whole
    assert len(whole) == min(size, len({*first, *second}))


def test_each_id_has_the_same_chance_whenever_it_comes() -> None:
    places = Counter[int]()
    for key in range(500):
        sample: list[str] = []
        for part in range(10):
            sample = drawn([*sample, *(f"reviews:{10 * part + number}" for number in range(10))], 20, str(key))
        places.update(int(identifier.split(":")[1]) // 10 for identifier in sample)
    # 1,000 each are expected, with a standard deviation of 30.
    assert all(880 < places[part] < 1_120 for part in range(10))
