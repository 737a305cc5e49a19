"""Turns, on an event loop."""

import asyncio

import pytest

from process.turns import NoTurn, Turns


def test_turns_are_had_one_at_a_time_in_the_order_of_asking() -> None:
    async def main() -> list[str]:
        turns = Turns(most_waiting=10, wait_seconds=30)
        seen: list[str] = []

        async def have(name: str) -> None:
            async with turns.turn():
                assert turns.taken
                seen.append(f"{name} begins")
                await asyncio.sleep(0)
                seen.append(f"{name} ends")

        await asyncio.gather(*map(have, "abc"))
        assert not turns.taken
        return seen

    assert asyncio.run(main()) == [f"{name} {what}" for name in "abc" for what in ("begins", "ends")]


def test_who_waits_too_long_or_among_too_many_has_none_and_takes_none_from_the_others() -> None:
    async def main() -> None:
        turns = Turns(most_waiting=1, wait_seconds=0.01)
        async with turns.turn():
            waiting = asyncio.create_task(turns.turn().__aenter__())
            await asyncio.sleep(0)  # it waits now
            with pytest.raises(NoTurn):
                await turns.turn().__aenter__()
            with pytest.raises(NoTurn):
                await waiting
        async with turns.turn():
            pass

    asyncio.run(main())


def test_an_error_within_a_turn_ends_it() -> None:
    async def main() -> None:
        turns = Turns(most_waiting=1, wait_seconds=0.01)
        with pytest.raises(ZeroDivisionError):
            async with turns.turn():
                raise ZeroDivisionError
        assert not turns.taken

    asyncio.run(main())
