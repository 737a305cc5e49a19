"""Drift's settings, and what its alerts say and how they fail."""

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from contracts.codec import encode
from contracts.drift import (
    AlertKind,
    DriftReport,
    DriftTest,
    ReferenceFigures,
    State,
    WindowFigures,
    WordShift,
)
from deploy.ports import free_port
from functions.drift.__main__ import channels
from functions.drift.alerts import DOWN, Channel, ChannelDown, NotSent, Webhook, compose
from functions.drift.settings import Settings
from messages.alerts import AlertExchange
from process.settings import SettingsError

VARIABLES = (
    "DRIFT_WINDOW", "DRIFT_MIN_TEXTS", "DRIFT_CONFIRM", "DRIFT_LEVEL", "DRIFT_REFERENCE", "DRIFT_REFERENCE_TEXTS",
    "DRIFT_MAX_LABELS", "ALERT_TIMEOUT_SECONDS", "RABBITMQ_URL", "ALERT_WEBHOOK_URL",
)  # fmt: skip


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def test_without_variables_the_defaults_hold_and_no_alert_goes_anywhere() -> None:
    settings = Settings()
    assert (settings.window_texts, settings.minimum_texts, settings.confirm_checks) == (500, 200, 2)
    assert channels(settings) == []


def test_variables_and_secrets_are_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("secrets")
    (folder / "alert-webhook-url").write_text("https://hooks.example.org/T0/secret\n")
    monkeypatch.setenv("SECRETS_DIR", str(folder))
    monkeypatch.setenv("RABBITMQ_URL", "amqp://user:password@broker/")
    monkeypatch.setenv("DRIFT_WINDOW", "300")
    monkeypatch.setenv("DRIFT_REFERENCE", "Holdout")
    settings = Settings()
    assert (settings.window_texts, settings.reference) == (300, "holdout")
    assert settings.webhook_url == "https://hooks.example.org/T0/secret"
    assert [channel.name for channel in channels(settings)] == ["rabbitmq", "webhook"]
    assert "secret" not in repr(settings)
    assert "password" not in repr(settings)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("DRIFT_WINDOW", "many", "DRIFT_WINDOW must be a number from 1 to 100000, not 'many'"),
        ("DRIFT_WINDOW", "100", "DRIFT_WINDOW is 100, less than DRIFT_MIN_TEXTS (200)"),
        ("DRIFT_REFERENCE_TEXTS", "199", "DRIFT_REFERENCE_TEXTS is 199, less than DRIFT_MIN_TEXTS"),
        ("DRIFT_CONFIRM", "0", "DRIFT_CONFIRM must be a number of at least 1, not '0'"),
        ("DRIFT_LEVEL", "nan", "DRIFT_LEVEL must be a number from 1e-09 to 0.5"),
        ("DRIFT_REFERENCE", "training", "DRIFT_REFERENCE must be auto, live or holdout, not 'training'"),
    ],
)
def test_a_bad_variable_is_named_with_what_is_allowed(
    name: str, value: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        Settings()
    assert words in str(caught.value)


def report(alert: AlertKind) -> DriftReport:
    def result(*, drift: bool) -> DriftTest:
        return DriftTest(
            statistic=0.24, p_value=1e-31, adjusted_p_value=5e-31, effect_size=1.02, threshold=0.2, drift=drift
        )

    detected = alert == "detected"
    return DriftReport(
        number=12,
        drift=detected,
        status="drift" if detected else "ok",
        alert=alert,
        model="v7",
        checked_at=datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC),
        tests={"words": result(drift=detected), "length": result(drift=False)},
        words=[WordShift("forecast", 0.001, 0.241, 1e-30)],
        window=WindowFigures(500),
        reference=ReferenceFigures(kind="holdout", documents=1060),
        state=State(detected),
        confirm=2,
    )


def test_an_alert_says_in_a_sentence_what_moved_and_carries_the_figures() -> None:
    alert = compose(report("detected"))
    assert alert.text == (
        "Drift detected at 2026-02-03 04:05 UTC between the last 500 texts and the reference (holdout, 1060 texts)"
        " of model v7: words (p = 5.0e-31, effect 1.02). Words that moved most, as the share of texts that have them:"
        " forecast 0.1% → 24.1%."
    )
    assert (alert.event, alert.id, alert.drift) == ("drift.detected", "drift-12", True)
    assert alert.tests.keys() == {"words"}
    assert json.loads(encode(alert))["checked_at"] == "2026-02-03T04:05:06Z"


def test_an_alert_that_drift_is_over_says_so() -> None:
    alert = compose(report("cleared"))
    assert alert.text == (
        "Drift cleared at 2026-02-03 04:05 UTC: the last 500 texts and the reference (holdout, 1060 texts) of model v7"
        " look alike again."
    )
    assert (alert.event, alert.drift) == ("drift.cleared", False)


def test_channels_that_nobody_serves_are_down_and_their_secrets_stay_out_of_the_message() -> None:
    port = free_port()
    channels: list[Channel] = [
        Webhook(f"http://127.0.0.1:{port}/secret"),
        AlertExchange(f"amqp://user:secret@127.0.0.1:{port}/"),
    ]
    for channel in channels:
        with pytest.raises(DOWN) as caught:
            channel.send("drift.detected", "drift-12", b"{}")
        assert "secret" not in str(caught.value)


@pytest.fixture
def answering() -> Iterator[HTTPServer]:
    """A webhook that answers with the status in its path, and asks for 7 seconds."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(int(self.path.strip("/")))
            self.send_header("Retry-After", "7")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the standard library's name
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_webhook_in_a_bad_moment_is_down_for_as_long_as_it_asks(status: int, answering: HTTPServer) -> None:
    with pytest.raises(ChannelDown) as caught:
        Webhook(f"http://127.0.0.1:{answering.server_port}/{status}").send("drift.detected", "drift-12", b"{}")
    assert caught.value.retry_after_seconds == 7


@pytest.mark.parametrize("status", [301, 400, 404])
def test_a_webhook_that_refuses_is_not_tried_again_soon(status: int, answering: HTTPServer) -> None:
    with pytest.raises(NotSent, match="check ALERT_WEBHOOK_URL") as caught:
        Webhook(f"http://127.0.0.1:{answering.server_port}/{status}").send("drift.detected", "drift-12", b"{}")
    assert not isinstance(caught.value, ChannelDown)
