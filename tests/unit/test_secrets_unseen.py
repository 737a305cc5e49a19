"""Passwords and tokens: in no error, no log line and no `repr`."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bridge.settings import Settings as BridgeSettings
from contracts.names import FUNCTIONS, module_of
from deploy.local.stack import Stack, plan
from deploy.local.state import State
from deploy.openfaas.containers import _address
from deploy.ports import free_port
from deploy.runner import Service
from functions.drift.settings import Settings as DriftSettings
from messages.stream_address import Address
from messages.stream_source import Group
from model_store.settings import Settings as StoreSettings
from process.settings import SettingsError, checked_url
from records import Records

ROOT = Path(__file__).resolve().parents[2]
# Each with a part of the password, or two, that must not be seen.
BADLY_ESCAPED = [
    "amqp://user:hush/hist@broker:5672/v",
    "amqp://user:1234/hist@broker/v",
    "amqp://user:hush?hist@broker/v",
    "amqp://user:1234?hist@broker/v",
    "amqp://user:hush#hist@broker/v",
    "amqp://user:1234#hist@broker/v",
    "amqp://user:hush[hist@broker/v",
    "amqp://user:hush]hist@broker/v",
    "amqp://user:h@ush/hist@broker/v",
    "amqp://user:hush hist@broker/v",
    "amqp://user:hush%40broker:5672/v",
    "amqp:/user:hush@broker/v",
    "amqp:user:hush@broker/v",
    "user:hush@broker/v",
    "hush",
    "hush://user:hush@broker/v",
    "amqp://user:hush@broker:hist/v",
    "amqp://user:hush@broker:99999/v",
    "amqp://broker/v?hush=hist",
    "amqp://broker/v?heartbeat=hush",
    "amqp://broker/v?ssl_options=hush+hist",
    "amqp://hush@broker/v",
]
# A stream's address has no options, and a name without a password.
BADLY_ESCAPED_STREAMS = [url.replace("amqp:", "rabbitmq-stream:") for url in BADLY_ESCAPED if re.search("user.*@", url)]
SEEN = re.compile("hush|hist|1234")
GOOD = [
    "amqp://u:p@h",
    "amqps://u:50%25%2F%3F@h:5671/%2F",
    "amqp://h/v?heartbeat=5",
    "amqp://u:p@ss@h/",
    "amqp://[::1]:5672",
]


def shown(error: BaseException | None) -> str:
    """All that a log could say of an error and of those behind it."""
    text = ""
    while error:
        text, error = (
            f"{text}{error!r} {error}",
            error.__cause__ or (None if error.__suppress_context__ else error.__context__),
        )
    return text


@pytest.mark.parametrize("url", BADLY_ESCAPED)
def test_a_badly_escaped_address_of_the_broker_is_refused_and_not_shown(
    url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("RABBITMQ_URL", url)
    for read in (BridgeSettings, DriftSettings, lambda: plan(State(tmp_path / "state"), {"RABBITMQ_URL": url})):
        with pytest.raises(SettingsError, match="RABBITMQ_URL must be amqp://user:password@host") as caught:
            read()
        assert not SEEN.search(shown(caught.value))


@pytest.mark.parametrize("url", BADLY_ESCAPED_STREAMS)
def test_a_badly_escaped_address_of_streams_is_refused_and_not_shown(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RABBITMQ_STREAM_URL", url)
    with pytest.raises(SettingsError, match="RABBITMQ_STREAM_URL must be rabbitmq-stream://user:password@") as caught:
        BridgeSettings()
    assert not SEEN.search(shown(caught.value))


@pytest.mark.parametrize("url", GOOD)
def test_other_addresses_are_taken(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RABBITMQ_URL", url)
    assert BridgeSettings().rabbitmq_url == DriftSettings().rabbitmq_url == url


BADLY_ESCAPED_MONGODB = [
    *(url.replace("amqp:", "mongodb:") for url in BADLY_ESCAPED if re.search("user.*@", url)),
    "mongodb://user:hush/hist@one:27017,two:27017/?replicaSet=a",
    "mongodb://user:hush?hist@one,two",
    "mongodb://user:hush:hist@host/",
    "mongodb://user:hush%hist@host/",
    "mongodb://user:hush%zzhist@host/",
    "mongodb+srv://user:hush/hist@cluster.example/",
    "mongodb+srv://user:hush%hist@cluster.example/",
    "mongodb+srv://user:hush@cluster.example:hist/",
    "mongodb+srv://user:hush@cluster.example,hist.example/",
    "mongodb+srv:/user:hush@cluster.example/",
]


@pytest.mark.parametrize("url", BADLY_ESCAPED_MONGODB)
def test_a_badly_escaped_address_of_mongodb_is_refused_and_not_shown(
    url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MONGODB_URL", url)
    for read in (Records.from_environment, lambda: plan(State(tmp_path / "state"), {"MONGODB_URL": url})):
        with pytest.raises(SettingsError, match="MONGODB_URL must be mongodb://user:password@host") as caught:
            read()
        assert not SEEN.search(shown(caught.value))


@pytest.mark.parametrize(
    ("url", "database"),
    [
        ("mongodb://h", "sentiment"),
        ("mongodb://u:50%25%2F%3F%40%3A@one:1,two:2,[::1]:3/other?replicaSet=a&tls=true", "other"),
        ("mongodb://u:p@%2Ftmp%2Fmongodb.sock/", "sentiment"),
        ("mongodb+srv://u:p@cluster.nowhere.example/other?retryWrites=true", "other"),
    ],
)
def test_other_addresses_of_mongodb_are_taken_without_asking_anybody(
    url: str, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MONGODB_URL", url)
    records = Records.from_environment()
    assert records.database.name == database
    records.close()


@pytest.mark.parametrize("module", [*map(module_of, FUNCTIONS), "bridge"])
def test_a_process_ends_with_a_line_that_does_not_show_the_address_of_mongodb(module: str) -> None:
    environment = {
        **os.environ,
        "MONGODB_URL": "mongodb://user:1234/hist@one,two/",
        "RABBITMQ_URL": "amqp://user:password@127.0.0.1:9/",
        "S3_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_ACCESS_KEY_ID": "none",
        "AWS_SECRET_ACCESS_KEY": "none",
        "CONSOLE_TOKEN": "none of sixteen characters",
        "LISTEN_PORT": str(free_port()),
    }
    done = subprocess.run(
        [sys.executable, "-m", module], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2
    assert "CRITICAL MONGODB_URL must be mongodb://" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    assert not SEEN.search(done.stdout + done.stderr)


@pytest.mark.parametrize("arguments", [["bridge"], ["functions.drift"], ["bridge.client", "good"]], ids=" ".join)
@pytest.mark.parametrize("url", ["amqp://user:hush/hist@broker", "amqp://user:1234?hist@broker"])
def test_a_process_ends_with_a_line_that_does_not_show_it(arguments: list[str], url: str) -> None:
    environment = {
        **os.environ,
        "RABBITMQ_URL": url,
        "S3_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_ACCESS_KEY_ID": "none",
        "AWS_SECRET_ACCESS_KEY": "none",
    }
    done = subprocess.run(
        [sys.executable, "-m", *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode in (1, 2)
    assert "RABBITMQ_URL must be amqp://" in done.stdout + done.stderr
    assert not SEEN.search(done.stdout + done.stderr)


@pytest.mark.parametrize(
    "url", ["mongodb://user:hush/hist@host,other/", "mongodb://user:1234/hist@h", "amqp://user:hush/hist@h"]
)
def test_a_deployment_shows_no_badly_escaped_address(url: str) -> None:
    with pytest.raises(SettingsError, match="MONGODB_URL must be") as caught:
        checked_url("MONGODB_URL", url, _address, "…")
    assert not SEEN.search(shown(caught.value))
    assert checked_url("MONGODB_URL", good := "mongodb://u:p@a:1,b:2/?replicaSet=x", _address, "…") == good


def test_no_settings_show_a_secret_in_their_repr(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("RETRAIN_TOKEN", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, "hush")
    monkeypatch.setenv("LABEL_TOKENS", "somebody hush")
    monkeypatch.setenv("RABBITMQ_URL", "amqp://user:hush@broker/")
    monkeypatch.setenv("ALERT_WEBHOOK_URL", "https://hooks.example/hush")
    secret = {"PASSWORD": "hush"}
    bridge = BridgeSettings()
    service = Service("s3", tmp_path, ("s3",), lambda: True, tmp_path / "log", environment=secret, variables=secret)
    settings = [
        bridge,
        DriftSettings(),
        StoreSettings(),
        Address.parse(bridge.rabbitmq_stream_url),
        Group("readers", bridge.rabbitmq_url),
        service,
        Stack(secret, own=[service], variables=secret),
    ]
    assert [each for each in settings if SEEN.search(repr(each))] == []
