"""How a process logs, and how it ends where a setting can't be used."""

import json
import os
import re
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest

from contracts.names import FUNCTIONS, module_of

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("module", "variable", "value"),
    [
        ("functions.predict", "POLL_SECONDS", "often"),
        ("functions.predict", "LISTEN_PORT", "80808"),
        *((module_of(name), "MAX_BODY_BYTES", "x") for name in FUNCTIONS),
        ("functions.retrain", "GATE", "ajar"),
        ("functions.drift", "DRIFT_LEVEL", "5"),
        ("functions.generate_drift", "LOG_LEVEL", "loud"),
        ("bridge", "BRIDGE_IN_FLIGHT", "0"),
        ("bridge", "LISTEN_PORT", "http"),
        ("functions.predict", "AWS_CA_BUNDLE", "/nowhere"),
        ("bridge", "SSL_CERT_FILE", __file__),
    ],
)
def test_a_setting_that_cannot_be_used_ends_a_process_with_a_line_that_names_it(
    module: str, variable: str, value: str
) -> None:
    environment = {
        **os.environ,
        "S3_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_ACCESS_KEY_ID": "none",
        "AWS_SECRET_ACCESS_KEY": "none",
        "CONSOLE_TOKEN": "none of sixteen characters",
        variable: value,
    }
    done = subprocess.run(
        [sys.executable, "-m", module], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60
    )
    output = done.stdout + done.stderr
    assert done.returncode == 2, output
    lines = [line for line in output.splitlines() if " INFO " not in line]
    assert f"{variable} must be" in lines[-1]
    assert len(lines) == 1 or module == "bridge", "its port is the last thing that it looks at"
    assert "Traceback" not in output


TRACEPARENT = f"00-{'a' * 32}-{'b' * 16}-01"
SENT = "x\r\n2026-01-01T00:00:00.000Z bridge CRITICAL forged\x1b[2J\x07\x85\u2028forged\u202e\ud800 é🙂"
LOGGING = f"""
import logging, threading
from process.run import run
def fail():
    raise ValueError({SENT!r})
def main():
    logging.getLogger("a").warning("got %s", {SENT!r})
    try:
        fail()
    except ValueError as error:
        logging.getLogger("a").error("failed at %s", {SENT!r}, exc_info=error)
    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()
    fail()
run("test", main)
"""
LOGGING_TRACED = f"""
import logging, threading
from process import tracing
from process.run import run
def fail():
    raise ValueError({SENT!r})
def main():
    logging.getLogger("a").warning("got %s", {SENT!r})
    with tracing.span("a", "server", {TRACEPARENT!r}):
        logging.error("traced")
    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()
run("test", main)
"""
LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z test [A-Z]+ \S.*|  .*")


def test_as_json_each_message_is_one_object_with_its_traceback_and_trace() -> None:
    environment = {**os.environ, "LOG_FORMAT": "json"}
    done = subprocess.run(
        [sys.executable, "-c", LOGGING_TRACED], cwd=ROOT, env=environment, capture_output=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")
    got, during, uncaught = [json.loads(line) for line in done.stdout.decode().splitlines()]
    assert got.keys() == {"time", "level", "process", "logger", "message"}
    assert (got["level"], got["process"], got["logger"], got["message"]) == ("warning", "test", "a", f"got {SENT}")
    assert datetime.fromisoformat(got["time"]).tzinfo
    assert (during["message"], during["trace_id"]) == ("traced", "a" * 32)
    assert uncaught["exception"].startswith("Traceback")
    assert uncaught["exception"].endswith(f"ValueError: {SENT}")


def test_what_somebody_sent_writes_no_line_and_no_control_character_of_its_own_into_the_log() -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(
        [sys.executable, "-c", LOGGING], cwd=ROOT, env=environment, capture_output=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (1, b"")
    lines = done.stdout.decode().split("\n")
    assert lines.pop() == ""
    assert [line for line in lines if not (LINE.fullmatch(line) and line.isprintable())] == []
    assert sum("CRITICAL forged" in line for line in lines) == 5  # two messages, three tracebacks
    assert "got x\\r\\n2026-" in lines[0]
    assert "é🙂" in lines[0]
    assert [line.split()[2] for line in lines if not line.startswith("  ")] == [
        "WARNING",
        "ERROR",
        "CRITICAL",
        "CRITICAL",
    ]
