"""Names that more than one part of the system uses."""

CLASSES = ("negative", "positive")
"""The classes, by their label: 0 and 1."""

FUNCTIONS = ("predict", "retrain", "drift", "generate-drift")
"""The functions as the gateway names them; the module of each is `functions.<name>`, with `_` for `-`."""

# Streams and queues of RabbitMQ.
PREDICTIONS = "predictions"
REJECTED = "rejected"
ALERTS = "alerts"


def module_of(function: str) -> str:
    """Return the module that runs a function."""
    return f"functions.{function.replace('-', '_')}"
