"""Names that more than one part of the system uses."""

CLASSES = ("negative", "positive")
"""The classes, by their label: 0 and 1."""

FUNCTIONS = ("predict", "retrain", "drift", "generate-drift")
"""The functions as the gateway names them; the module of each is `functions.<name>`, with `_` for `-`."""

IMDB_URL = "https://ai.stanford.edu/~amaas/data/sentiment/aclImdb_v1.tar.gz"
"""Where the authors of the IMDB reviews offer them."""

# Streams and queues of RabbitMQ.
PREDICTIONS = "predictions"
REJECTED = "rejected"
ALERTS = "alerts"


def module_of(function: str) -> str:
    """Return the module that runs a function."""
    return f"functions.{function.replace('-', '_')}"
