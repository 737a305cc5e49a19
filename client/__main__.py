"""Runs the command line: `python -m sentiment`."""

import sys

from client.commandline import main

if __name__ == "__main__":
    sys.exit(main())
