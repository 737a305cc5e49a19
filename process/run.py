"""How a process begins and ends: its log, its signals, its exit code."""

import json
import logging
import signal
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, NoReturn

from process.settings import SettingsError, choice
from process.tls import trust_authorities
from process.tracing import current, start_tracing, trace_id

LOG_LEVELS = ("info", "debug", "warning", "error", "critical")
LOG_FORMATS = ("text", "json")


def run(name: str, main: Callable[[], int | None]) -> NoReturn:
    """Log as `name`, call `main` and exit with what it returns, None for 0; with 2 and one line for a wrong setting."""
    try:
        log_to_stdout(name)
        trust_authorities()
        start_tracing(name)
        sys.exit(main())
    except SettingsError as error:
        logging.getLogger(name).critical("%s", error)
        sys.exit(2)


def log_to_stdout(name: str) -> None:
    """Log to standard output as LOG_FORMAT says, from LOG_LEVEL on, and what nobody caught, too."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter((LineFormatter if choice("LOG_FORMAT", LOG_FORMATS) == "text" else JsonFormatter)(name))
    logging.basicConfig(level=choice("LOG_LEVEL", LOG_LEVELS).upper(), handlers=[handler])
    # pika logs every connection, and every error that is raised too.
    logging.getLogger("pika").setLevel(logging.CRITICAL)
    sys.excepthook = _uncaught
    threading.excepthook = lambda found: _uncaught(found.exc_type, found.exc_value, found.exc_traceback)


def _uncaught(kind: type[BaseException], error: BaseException | None, traceback: TracebackType | None) -> None:
    if not issubclass(kind, SystemExit):
        logging.getLogger(__name__).critical("uncaught", exc_info=(kind, error or kind(), traceback))


class LineFormatter(logging.Formatter):
    """Writes a record as one line, with the time in UTC and the process's name; below it, indented, its traceback.

    What can't be printed, such as a line break, is escaped: messages have in them what strangers send, who could else
    write lines of their own, or to the terminal of whoever reads them.
    """

    converter = staticmethod(time.gmtime)

    def __init__(self, name: str) -> None:
        """name: of the process."""
        super().__init__(f"%(asctime)s.%(msecs)03dZ {name} %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - its name in logging
        """Return the record's own line."""
        return _printable(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:  # noqa: N802
        """Return the lines of a traceback."""
        return "\n".join(f"  {_printable(line)}" for line in super().formatException(ei).split("\n"))


class JsonFormatter(logging.Formatter):
    """Writes a record as a line of JSON: time (UTC), level, process, logger, message; exception and trace_id if any."""

    def __init__(self, name: str) -> None:
        """name: of the process."""
        super().__init__()
        self._name = name

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "process": self._name,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        if traceparent := current():
            line["trace_id"] = trace_id(traceparent)
        return json.dumps(line)


def _printable(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def stop_at_signal(stop: threading.Event, *, then: Callable[[], None] = lambda: None) -> None:
    """Set `stop` at SIGTERM or SIGINT, and call `then`."""

    def stopped(number: int, _: object) -> None:
        logging.getLogger(__name__).info("%s: stopping", signal.Signals(number).name)
        stop.set()
        then()

    signal.signal(signal.SIGTERM, stopped)
    signal.signal(signal.SIGINT, stopped)
