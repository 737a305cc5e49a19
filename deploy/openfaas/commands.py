"""Runs the tools of a deployment, or only says what it would run."""

import os
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from deploy.runner import ServiceError

ROOT = Path(__file__).resolve().parents[2]
SHOWN_LINES = 15


say = partial(print, flush=True)


@dataclass
class Commands:
    """Runs commands with the settings as their environment; with `dry_run` prints those that change something."""

    dry_run: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)

    def run(self, *command: str, hint: str, attempts: int = 1, text: str = "") -> None:
        """Run a command that changes something, again where it fails and `attempts` allow; `text` is what it reads.

        Raises ServiceError, with the end of what it printed and `hint`, where it fails.
        """
        if self.only_says(shlex.join(command)):
            return
        result = self._run(command, text)
        while result.returncode and (attempts := attempts - 1) > 0:
            result = self._run(command, text)
        if result.returncode:
            failed = f"{shlex.join(command[:3])} ... failed with status {result.returncode}"
            raise ServiceError(f"{failed}: {hint}\n{_end(result.stdout)}")

    def only_says(self, what: str) -> bool:
        """Return whether this is a dry run; one that is says `what` would be done."""
        if self.dry_run:
            say(f"    {what}")
        return self.dry_run

    def ask(self, *command: str, text: str = "") -> str | None:
        """Return what a command that changes nothing prints on its standard output; None where it fails."""
        result = self._run(command, text, stderr=subprocess.DEVNULL)
        return result.stdout if result.returncode == 0 else None

    def refusal(self, *command: str, text: str = "") -> str | None:
        """Return the words with which a command that changes nothing fails; None where it does not."""
        result = self._run(command, text)
        if result.returncode:
            return f"`{shlex.join(command)}` failed with status {result.returncode}\n{_end(result.stdout)}"
        return None

    def _run(
        self, command: Sequence[str], text: str, stderr: int = subprocess.STDOUT
    ) -> "subprocess.CompletedProcess[str]":
        try:
            return subprocess.run(
                command,
                cwd=ROOT,
                env={**os.environ, **self.environment},
                input=text,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                errors="replace",
                check=False,
            )
        except FileNotFoundError:
            return subprocess.CompletedProcess(command, 127, f"{command[0]}: not found")


def _end(output: str) -> str:
    """Return the last lines of what a command printed, indented."""
    return "\n".join(f"    {line}" for line in output.strip().splitlines()[-SHOWN_LINES:])
