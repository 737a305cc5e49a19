"""How a process of the system begins: its log, and the end that a wrong setting is."""

import logging
import sys
import time
from collections.abc import Callable
from typing import NoReturn

from model_store.environment import SettingsError, choice

LOG_LEVELS = ("info", "debug", "warning", "error", "critical")


def run(name: str, main: Callable[[], int]) -> NoReturn:
    """Log as `name`, call `main` and exit with what it returns; with 2, and one line, where a setting can't be used."""
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
