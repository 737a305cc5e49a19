"""How every process of this project logs."""

import logging
import os
import sys
import time


def log_to_stdout(name: str) -> None:
    """Log a line a message to standard output, with the time in UTC and `name`; LOG_LEVEL sets the level."""
    logging.Formatter.converter = time.gmtime
    logging.basicConfig(
        stream=sys.stdout,
        level=os.environ.get("LOG_LEVEL", "INFO").upper(),
        format=f"%(asctime)s.%(msecs)03dZ {name} %(levelname)s %(message)s",
        datefmt="%Y-%m-%dT%H:%M:%S",
    )
    # pika logs every connection, and every error that is raised too.
    logging.getLogger("pika").setLevel(logging.CRITICAL)
