"""A bad one among many is found by halves, so that it never fails its neighbours."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

Item = TypeVar("Item")
T = TypeVar("T")
E = TypeVar("E", bound=Exception)


def by_halves(
    items: Sequence[Item], call: Callable[[Sequence[Item]], T], error: type[E]
) -> Iterator[tuple[Sequence[Item], T | E]]:
    """Call with all items, and with halves of what raises `error`, down to the one item.

    Yields parts of the items, in their order, and the answer to each; of a single one that raises `error`, that.
    """
    try:
        answer = call(items)
    except error as raised:
        if len(items) == 1:
            yield items, raised
            return
    else:
        yield items, answer
        return
    # Not where the error is handled: what fails in a half would carry it along.
    middle = len(items) // 2
    yield from by_halves(items[:middle], call, error)
    yield from by_halves(items[middle:], call, error)
