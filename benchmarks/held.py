"""Runs the batched consumer as it is, and lets its measurer look at it: python -m benchmarks.held CONSUMER OPTION ...

It says `reading` before it reads and `done` once all is done, and waits each time for a line of its input. Its queues
are left, so that the replies can be counted.
"""

import runpy
import sys
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from pika.adapters.blocking_connection import BlockingChannel
from pymongo.collection import Collection

P = ParamSpec("P")
T = TypeVar("T")


def held(word: str, function: Callable[P, T]) -> Callable[P, T]:
    """Return a function that says a word and waits before it does what `function` does."""

    @wraps(function)
    def call(*arguments: P.args, **options: P.kwargs) -> T:
        print(word, flush=True)
        sys.stdin.readline()
        return function(*arguments, **options)

    return call


if __name__ == "__main__":
    BlockingChannel.basic_consume = held("reading", BlockingChannel.basic_consume)  # type: ignore[method-assign]
    # It counts its documents right after it has looked at the clock for the last time.
    Collection.count_documents = held("done", Collection.count_documents)  # type: ignore[method-assign]
    BlockingChannel.queue_delete = lambda *_, **__: None  # type: ignore
    del sys.argv[0]
    runpy.run_path(sys.argv[0], run_name="__main__")
