"""Rows of the fault suite with few messages each; all of them, with 20,000, by `python -m tests.faults --all`."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import server_or_skip
from tests.faults.__main__ import SEED
from tests.faults.nemesis import Row, run
from tests.faults.rows import rows
from tests.faults.stage import Servers

MESSAGES = int(os.environ.get("FAULT_MESSAGES") or 1_500)


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    with server_or_skip():
        found = Servers(tmp_path_factory.mktemp("servers"))
    with found.running():
        yield found


@pytest.mark.parametrize("row", [row for row in rows() if row.in_ci], ids=lambda row: row.name)
def test_nothing_confirmed_is_lost_doubled_wrong_or_unanswered_and_all_goes_on_by_itself(
    row: Row, servers: Servers, tmp_path: Path
) -> None:
    if reason := row.missing():
        pytest.skip(reason)
    outcome = run(row, servers, tmp_path, MESSAGES, SEED)
    assert outcome.verdict.problems() == {}
    assert outcome.recovery_seconds is not None
