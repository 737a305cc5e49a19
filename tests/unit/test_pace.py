"""How often something is done, whoever asks."""

import threading

import pytest

from deploy.runner import wait_until
from process.pace import Pace


def test_of_many_who_ask_at_once_one_has_it_done_and_the_others_are_told_how_long_to_wait() -> None:
    pace, waits = Pace(60), list[float]()
    threads = [threading.Thread(target=lambda: waits.append(pace.seconds_to_wait())) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert waits.count(0) == 1
    assert all(59 < wait <= 60 for wait in waits if wait)


def test_after_the_wait_it_is_done_again() -> None:
    pace = Pace(0.05)
    assert pace.seconds_to_wait() == 0
    assert wait_until(lambda: pace.seconds_to_wait() == 0, 5)
    assert 0 < pace.seconds_to_wait() <= 0.05


@pytest.mark.parametrize(
    ("address", "keeps"), [("127.0.0.1", False), ("::1", False), ("192.0.2.1", True), ("::", True)]
)
def test_on_loopback_alone_there_is_none(address: str, keeps: bool) -> None:
    pace = Pace.at(address, 60)
    pace.seconds_to_wait()
    assert (pace.seconds_to_wait() > 0) == keeps
