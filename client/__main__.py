"""Runs the command line: `python -m sentiment`."""

import sys

from process.extras import command


def main() -> int:
    """Run one command; returns its exit code."""
    return command("client.commandline")


if __name__ == "__main__":
    sys.exit(main())
