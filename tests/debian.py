"""Makes root directories of Debian's packages, with debootstrap."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

TIMEOUT_SECONDS = 900


class CannotBootstrapError(RuntimeError):
    """A root directory can't be made here; says what it takes, or what debootstrap said."""


def tool(name: str) -> str | None:
    """Return the path of a program that Debian may keep in /usr/sbin, which is not on every PATH."""
    return shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")


def bootstrap(root: Path, suite: str, packages: Sequence[str]) -> None:
    """Make a minimal system of a Debian release with these packages in a new directory.

    Raises CannotBootstrapError.
    """
    program = tool("debootstrap")
    if program is None or os.getuid() != 0:
        raise CannotBootstrapError("it takes root and apt-get install debootstrap")
    command = [program, "--variant=minbase", f"--include={','.join(packages)}", suite, str(root), *_mirror()]
    result = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=TIMEOUT_SECONDS
    )
    if result.returncode != 0:
        raise CannotBootstrapError(f"debootstrap failed:\n{result.stdout[-2000:]}")
    for archive in root.glob("var/cache/apt/archives/*.deb"):
        archive.unlink()


def _mirror() -> list[str]:
    """The mirror of Debian that this machine's own packages come from, if they are Debian's: it has all releases."""
    targets = ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages", "Label: Debian"]
    try:
        found = subprocess.run(targets, capture_output=True, text=True, check=True).stdout.split()
    except (OSError, subprocess.CalledProcessError):
        return []
    return found[:1]
