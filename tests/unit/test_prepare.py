"""What deploy.sh and test.sh do before they install something on the system."""

import os
import pty
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
INSTALL = f"set -euo pipefail; . {ROOT}/deploy/local/prepare.sh; apt_install rabbitmq-server"


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """An environment whose apt-get notes what it is called with."""
    apt_get = tmp_path / "apt-get"
    apt_get.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/called\n')
    apt_get.chmod(0o755)
    return {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "CI": ""}


def called(tmp_path: Path) -> str:
    file = tmp_path / "called"
    return file.read_text() if file.exists() else ""


def at_a_terminal(keys: bytes, environment: dict[str, str]) -> tuple[int, str]:
    """Return the status of INSTALL at a terminal where `keys` are typed, and what is shown there."""
    terminal, its_end = pty.openpty()
    with subprocess.Popen(
        ["bash", "-c", INSTALL], env=environment, stdin=its_end, stdout=its_end, stderr=its_end
    ) as run:
        os.close(its_end)
        os.write(terminal, keys)
        shown = b""
        try:
            while piece := os.read(terminal, 1000):
                shown += piece
        except OSError:  # so Linux says that nobody has the other end any more
            pass
    os.close(terminal)
    return run.returncode, shown.decode()


@pytest.mark.parametrize("keys", [b"n\n", b"no\n", b"what?\n", b"\x04"], ids=["n", "no", "what?", "Ctrl-D"])
def test_nothing_is_installed_where_a_terminal_does_not_say_yes(
    keys: bytes, environment: dict[str, str], tmp_path: Path
) -> None:
    status, shown = at_a_terminal(keys, environment)
    assert (status, called(tmp_path)) == (1, "")
    assert "rabbitmq-server is missing, and apt-get can install it" in shown
    assert "rabbitmq-server is not installed" in shown


@pytest.mark.parametrize("keys", [b"\n", b"y\n", b"Yes\n"], ids=["Enter", "y", "Yes"])
def test_a_terminal_that_says_yes_has_it_installed(keys: bytes, environment: dict[str, str], tmp_path: Path) -> None:
    status, shown = at_a_terminal(keys, environment)
    assert status == 0
    assert "Install it? [Y/n]" in shown
    assert "install -qq -y --no-install-recommends rabbitmq-server" in called(tmp_path)


def test_without_a_terminal_it_is_said_and_done(environment: dict[str, str], tmp_path: Path) -> None:
    done = subprocess.run(
        ["bash", "-c", INSTALL], env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "installing rabbitmq-server with apt-get ...\n"
    assert "rabbitmq-server" in called(tmp_path)


def test_continuous_integration_is_not_asked_at_a_terminal_either(environment: dict[str, str], tmp_path: Path) -> None:
    status, shown = at_a_terminal(b"", {**environment, "CI": "true"})
    assert (status, "[Y/n]" in shown) == (0, False)
    assert "rabbitmq-server" in called(tmp_path)
