"""Commands whose libraries come with an extra of the package: they say which one is missing."""

import importlib
import sys

# The module that a command finds missing, and the extra that brings it.
EXTRAS = {
    "flask": "functions",
    "granian": "functions",
    "matplotlib": "plot",
    "pika": "bridge",
    "scipy": "train",
    "sklearn": "train",
    "tqdm": "train",
}


def command(module: str) -> int:
    """Call `main` of a module, and return what it does; 2, with a line that says what to install, without its extra."""
    try:
        return int(importlib.import_module(module).main())
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in EXTRAS:
            raise
        extra = EXTRAS[missing]
        sys.stderr.write(f"{missing} is not installed: pip install 'sentiment-openfaas[{extra}]' brings it\n")
        return 2
