"""Names that more than one part of the system uses."""

import reprlib

CLASSES = ("negative", "positive")
"""The classes, by their label: 0 and 1."""

FUNCTIONS = ("predict", "retrain", "drift", "generate-drift", "console")
"""The functions as the gateway names them; the module of each is `functions.<name>`, with `_` for `-`."""

IMDB_URL = "https://ai.stanford.edu/~amaas/data/sentiment/aclImdb_v1.tar.gz"
"""Where the authors of the IMDB reviews offer them."""

# Streams and queues of RabbitMQ.
PREDICTIONS = "predictions"
REJECTED = "rejected"
ALERTS = "alerts"

_VALUES = {"0": 0, "1": 1, "negative": 0, "positive": 1, "neg": 0, "pos": 1}


def module_of(function: str) -> str:
    """Return the module that runs a function."""
    return f"functions.{function.replace('-', '_')}"


def parse_label(value: object) -> int:
    """Return 0 or 1 for 0, 1, "0", "1", "negative", "positive", "neg" or "pos"; raises ValueError."""
    if not isinstance(value, bool) and str(value).strip().lower() in _VALUES:
        return _VALUES[str(value).strip().lower()]
    raise ValueError(f'the label must be 0, 1, "negative" or "positive", not {reprlib.repr(value)}')
