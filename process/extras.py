"""Libraries that come with an extra of the package: who needs one that is missing says what to install."""

import sys
from importlib.util import find_spec


def require(extra: str, *modules: str) -> None:
    """End the process with status 2 and one line, where one of the modules that `extra` brings is not installed."""
    for module in modules:
        if find_spec(module) is None:
            sys.stderr.write(f"{module} is not installed: pip install 'sentiment-openfaas[{extra}]' brings it\n")
            sys.exit(2)
