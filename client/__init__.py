"""What people use from outside: `from client import Sentiment`, and the command line `sentiment`."""

import logging

from client.asynchronous import AsyncSentiment
from client.errors import Conflict, NotAllowed, Refused, SentimentError, Unavailable, Unusable
from client.synchronous import Sentiment

__all__ = [
    "AsyncSentiment",
    "Conflict",
    "NotAllowed",
    "Refused",
    "Sentiment",
    "SentimentError",
    "Unavailable",
    "Unusable",
]

# A library prints nothing: what is tried again is said in the log of who has one.
for _room in ("process", "messages"):
    logging.getLogger(_room).addHandler(logging.NullHandler())
