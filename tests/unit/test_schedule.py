"""The local schedule reads stack.yml as cron-connector does."""

import logging
import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from deploy.local.schedule import Job, jobs, start
from deploy.local.state import ROOT

STACK = """
functions:
  predict: {annotations: {other: "x"}}
  plain: {image: x}
  drift: {annotations: {topic: cron-function, schedule: "${DRIFT_SCHEDULE:-*/5 * * * *}"}}
"""


def test_functions_with_the_cron_topic_are_scheduled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DRIFT_SCHEDULE", raising=False)
    assert jobs(STACK) == [Job("drift", "*/5 * * * *")]
    monkeypatch.setenv("DRIFT_SCHEDULE", "1 2 * * *")
    assert jobs(STACK) == [Job("drift", "1 2 * * *")]


def test_drift_and_retrain_are_scheduled_in_this_project() -> None:
    assert {job.function for job in jobs((ROOT / "stack.yml").read_text())} == {"drift", "retrain"}


@pytest.mark.parametrize(("cron", "seconds"), [("*/5 * * * *", 150), ("0 0 * * *", 12 * 3600 - 150), ("* * * * *", 30)])
def test_the_next_call_is_when_cron_says(cron: str, seconds: float) -> None:
    assert Job("drift", cron).seconds_until_next(datetime(2026, 1, 1, 12, 2, 30, tzinfo=UTC)) == seconds


def test_functions_that_are_called_at_once_each_have_a_connection(caplog: pytest.LogCaptureFixture) -> None:
    """Of a pool that is too small, urllib3 would warn that it is full."""
    both, called, stop = threading.Barrier(2, timeout=10), [], threading.Event()

    class Function(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            called.append(self.path)
            both.wait()  # so that each call is made while the other is
            if len(called) >= 4:
                stop.set()
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_arguments: object) -> None:
            """Say nothing."""

    every_second = "* * * * * *"
    with caplog.at_level(logging.DEBUG), ThreadingHTTPServer(("127.0.0.1", 0), Function) as server:
        threading.Thread(target=server.serve_forever).start()
        threads = start(
            [Job("a", every_second), Job("b", every_second)], f"http://127.0.0.1:{server.server_port}", stop
        )
        for thread in threads:
            thread.join(20)
        server.shutdown()
    assert sorted(called) == ["/function/a"] * 2 + ["/function/b"] * 2
    assert caplog.text.count("answered 200") == 4
    assert "pool is full" not in caplog.text
