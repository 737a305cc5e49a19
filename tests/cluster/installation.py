"""Where a RabbitMQ 4 is: the system's own, else one of Debian 13's packages in a root directory of its own.

`python -m tests.cluster.installation` makes that root and keeps it in the checkout.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.servers import ENABLED_PLUGINS, RABBITMQ_SETTINGS, RABBITMQ_START, MissingServerError, rabbitmq_server
from tests import debian
from tests.project import ROOT

SUITE = "trixie"  # Debian 13, whose RabbitMQ is 4.0
CACHE = ROOT / ".cache" / "rabbitmq-4"
BOOTSTRAPPED = CACHE / "root"
# Written last: without it, a root is half made.
STAMP = CACHE / "finished"
SYSTEM = Path("/")
DEBIAN_SERVER = "/usr/lib/rabbitmq/bin/rabbitmq-server"


@dataclass(frozen=True)
class Installation:
    """The root directory of a system with RabbitMQ 4, and its start script in there."""

    root: Path
    server: str

    @contextmanager
    def folder(self) -> Iterator[Path]:
        """Yield a folder for nodes, inside the root, with the settings by which they are started."""
        inside = None if self.root == SYSTEM else self.root / "tmp"
        with tempfile.TemporaryDirectory(prefix="rabbitmq-4-", dir=inside, ignore_cleanup_errors=True) as name:
            folder = Path(name)
            for settings in (RABBITMQ_SETTINGS, ENABLED_PLUGINS.parent):
                shutil.copytree(settings, folder / settings.relative_to(ROOT))
            yield folder

    def start(self, folder: Path, node: Path) -> tuple[str, ...]:
        """Return the command that starts RabbitMQ in the folder `node` below `folder`."""
        script = folder / RABBITMQ_START.relative_to(ROOT)
        return self.command(node, "sh", self._inside(script), "epmd", self.server)

    def command(self, working_directory: Path, *command: str) -> tuple[str, ...]:
        """Return the command that runs `command` inside the root."""
        if self.root == SYSTEM:
            return command
        return (
            debian.tool("chroot") or "chroot", str(self.root),
            "env", f"--chdir={self._inside(working_directory)}", *command,
        )  # fmt: skip

    def _inside(self, path: Path) -> str:
        return str(SYSTEM / path.resolve().relative_to(self.root.resolve()))


def rabbitmq4() -> Installation:
    """Find RabbitMQ 4; raises MissingServerError."""
    try:
        server = rabbitmq_server()
    except MissingServerError:
        server = ""
    if server and _major_version(server) >= 4:
        return Installation(SYSTEM, server)
    if not STAMP.exists():
        raise MissingServerError(
            "RabbitMQ 4 is not installed: as root on Debian or Ubuntu, CLUSTER_TESTS=yes ./test.sh"
        )
    if os.getuid() != 0:
        raise MissingServerError(
            f"RabbitMQ 4 is in a root directory of its own, {CACHE.name}, which takes root to enter"
        )
    return Installation(BOOTSTRAPPED, DEBIAN_SERVER)


def _major_version(server: str) -> int:
    """The version is in the name of the folder that the script is in: rabbitmq_server-4.0.5/sbin, 4.1.0/sbin."""
    major = Path(server).resolve().parents[1].name.rpartition("-")[2].partition(".")[0]
    return int(major) if major.isdigit() else 0


def make() -> None:
    """Make the root, anew if it is half made; raises CannotBootstrapError."""
    if STAMP.exists():
        return
    # What was interrupted may have left these mounted.
    for name in ("proc", "sys"):
        if os.path.ismount(BOOTSTRAPPED / name):
            subprocess.run(["umount", str(BOOTSTRAPPED / name)], check=True)
    subprocess.run(["rm", "--recursive", "--force", "--one-file-system", str(CACHE)], check=True)
    CACHE.mkdir(parents=True)
    debian.bootstrap(BOOTSTRAPPED, SUITE, ["rabbitmq-server"])
    STAMP.touch()


if __name__ == "__main__":
    try:
        make()
    except debian.CannotBootstrapError as error:
        sys.exit(str(error))
