"""The local stack of the folder that a command is called in, as `./deploy.sh --local` has written it down."""

import shlex
from pathlib import Path

ADDRESSES = Path(".local", "env")


def local_addresses() -> dict[str, str]:
    """Return the addresses of the local stack by the variables that name them; none where there is no such stack."""
    words = shlex.split(ADDRESSES.read_text(encoding="utf-8"), comments=True) if ADDRESSES.is_file() else []
    return {name: value for name, equals, value in (word.partition("=") for word in words) if equals}
