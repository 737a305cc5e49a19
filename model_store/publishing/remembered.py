"""What was made of the objects of a listing, so that none is read again for as long as it is listed alike."""

from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

S = TypeVar("S")
T = TypeVar("T")


class Remembered(Generic[S, T]):
    """Things made each of its state; for any thread."""

    def __init__(self) -> None:
        self._known: Mapping[str, tuple[S, T]] = {}

    def made(self, states: Mapping[str, S], make: Callable[[str, S], T]) -> list[T]:
        """Return what `make` makes of each name and state, in their order; called where the state is another one.

        What has no state any more is forgotten. Raises what `make` does.
        """
        known, now = self._known, dict[str, tuple[S, T]]()
        for name, state in states.items():
            before = known.get(name)
            now[name] = before if before and before[0] == state else (state, make(name, state))
        self._known = now
        return [made for _, made in now.values()]
