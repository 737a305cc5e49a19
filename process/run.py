"""How a process begins and ends: its log, its signals, its exit code."""

import logging
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import NoReturn

from process.settings import SettingsError, choice

LOG_LEVELS = ("info", "debug", "warning", "error", "critical")


def run(name: str, main: Callable[[], int | None]) -> NoReturn:
    """Log as `name`, call `main` and exit with what it returns, None for 0; with 2 and one line for a wrong setting."""
    try:
        log_to_stdout(name)
        sys.exit(main())
    except SettingsError as error:
        logging.getLogger(name).critical("%s", error)
        sys.exit(2)


def log_to_stdout(name: str) -> None:
    """Log to standard output, a line a message with the time in UTC and `name`, from LOG_LEVEL on."""
    logging.Formatter.converter = time.gmtime
    logging.basicConfig(
        stream=sys.stdout,
        level=choice("LOG_LEVEL", LOG_LEVELS).upper(),
        format=f"%(asctime)s.%(msecs)03dZ {name} %(levelname)s %(message)s",
        datefmt="%Y-%m-%dT%H:%M:%S",
    )
    # pika logs every connection, and every error that is raised too.
    logging.getLogger("pika").setLevel(logging.CRITICAL)


def stop_at_signal(stop: threading.Event, *, then: Callable[[], None] = lambda: None) -> None:
    """Set `stop` at SIGTERM or SIGINT, and call `then`."""

    def stopped(number: int, _: object) -> None:
        logging.getLogger(__name__).info("%s: stopping", signal.Signals(number).name)
        stop.set()
        then()

    signal.signal(signal.SIGTERM, stopped)
    signal.signal(signal.SIGINT, stopped)
