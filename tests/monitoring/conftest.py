"""Prometheus's own tool."""

import subprocess
from collections.abc import Callable

import pytest

from tests.conftest import server_or_skip
from tests.monitoring.server import program

Promtool = Callable[..., str]


@pytest.fixture(scope="session")
def promtool() -> Promtool:
    """Runs promtool; returns what it says, fails with it where promtool does."""
    with server_or_skip():
        path = program("promtool")

    def run(*arguments: object) -> str:
        command = [path, *map(str, arguments)]
        result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        assert result.returncode == 0, result.stdout
        return result.stdout

    return run
