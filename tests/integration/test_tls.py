"""TLS to real servers, with an authority of the tests' own: trusted it works, else a process says what to do."""

import json
import os
import random
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path

import pytest
import trustme

from contracts.predict import TextsRequest, read_answers
from deploy import ports
from deploy.ports import http_status
from deploy.runner import wait_until
from messages.amqp import blocking_connection
from messages.ports import BrokerUnavailable
from messages.stream_client import StreamConnection
from model_store.errors import StoreUnavailable
from model_store.publishing import ModelStore
from model_store.serving import StoreReader
from process.functions import Function, FunctionUnavailable
from process.settings import SettingsError
from process.tls import explained
from records import Records, RecordsUnavailable
from tests.conftest import RabbitMQNode
from tests.control import evaluate
from tests.faults.proxy import Proxy
from tests.integration.test_bridge import tiny_model
from tests.running import running
from tests.system import ROOT, promote, python_service, through_gateway
from tests.tls import NAMED, NOT_NAMED, VARIABLES, Authority, Servers, servers_with_tls, trusting


@pytest.fixture(scope="module")
def servers(mongodb_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    with servers_with_tls(tmp_path_factory.mktemp("tls"), mongodb_url) as found:
        yield found


@pytest.fixture
def authority(servers: Servers) -> Authority:
    return servers.authority


@pytest.fixture
def broker(servers: Servers) -> RabbitMQNode:
    return servers.broker


@pytest.fixture
def system(
    servers: Servers, bucket: str, database_name: str, stream_name: str, monkeypatch: pytest.MonkeyPatch
) -> Servers:
    """The servers with names that nobody has used; nobody is trusted yet."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    return servers.with_names(bucket, database_name, f"stream:{stream_name}")


def test_the_whole_system_runs_over_tls(
    system: Servers, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = {**system.over_tls("amqps", "streams", "mongodb", "s3"), **trusting(authority.certificate)}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    promote(tiny_model())
    # As in a container, where a secret says whom to trust.
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "ca-certificates").write_bytes(authority.certificate.read_bytes())
    contained = {**environment, **trusting(authority.of_others), "SECRETS_DIR": str(secrets)}
    predict = python_service("functions.predict", tmp_path, contained)
    with (
        through_gateway(tmp_path, {"predict": predict}) as url,
        Proxy(ports.free_port(), int(url.rpartition(":")[2]), random.Random(1), authority.context()) as gateway,
    ):
        environment["GATEWAY_URL"] = f"https://{NAMED}:{gateway.port}"
        with running(python_service("bridge", tmp_path, environment)):
            command = [sys.executable, "-m", "bridge.client", "I love it"]
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["prediction"] == "positive"
    with closing(Records.from_environment()) as records:
        assert records.database["predictions"].count_documents({"source": "stream"}) == 1


FOREIGN = "its certificate is not signed by an authority that is trusted here"
WRONG_HOST = "its certificate is for another host"


@pytest.mark.parametrize("wrong", ["authority", "host"])
@pytest.mark.parametrize(
    ("module", "server"),
    [
        ("bridge", "amqps"),
        ("bridge", "streams"),
        ("bridge", "mongodb"),
        ("functions.predict", "s3"),
        ("functions.retrain", "s3"),
        ("functions.drift", "mongodb"),
    ],
)
def test_a_process_says_why_a_certificate_is_refused_and_what_to_do(
    module: str, server: str, wrong: str, system: Servers, authority: Authority, tmp_path: Path
) -> None:
    host = NOT_NAMED if wrong == "host" else NAMED
    trusted = authority.of_others if wrong == "authority" else authority.certificate
    environment = {**system.over_tls(server, host=host), **trusting(trusted)}
    variable = system.encrypted[server][0]
    sentence = f"{WRONG_HOST} (" if wrong == "host" else f"{FOREIGN} ("
    advice = f"in {variable}" if wrong == "host" else f"set {'AWS_CA_BUNDLE' if server == 's3' else 'SSL_CERT_FILE'}"
    service = python_service(module, tmp_path, environment, until="/metrics")
    with running(service):
        http_status(int(service.variables["PORT"]), "/_/ready")  # some look at their servers when they are asked

        def said() -> bool:
            return any(sentence in line and advice in line for line in service.log.read_text().splitlines())

        assert wait_until(said, 20), service.log.read_text()
        assert http_status(int(service.variables["PORT"]), "/_/ready") == 503
    assert "Traceback" not in service.log.read_text()


@pytest.mark.parametrize(
    ("arguments", "server"),
    [
        (["model_store", "list"], "s3"),
        (["deploy.first_model"], "s3"),
        (["bridge.client", "good"], "amqps"),
        (["bridge.client", "good"], "streams"),
    ],
    ids=" ".join,
)
def test_a_command_ends_with_a_line_that_says_it(
    arguments: list[str], server: str, system: Servers, authority: Authority
) -> None:
    environment = {**os.environ, **system.over_tls(server), **trusting(authority.of_others)}
    command = [sys.executable, "-m", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert FOREIGN in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_the_address_of_mongodb_may_name_the_authority(
    system: Servers, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = system.over_tls("mongodb")["MONGODB_URL"]

    def ping(file: Path) -> None:
        monkeypatch.setenv("MONGODB_URL", f"{url}&tlsCAFile={file}")
        with closing(Records.from_environment()) as records:
            records.ping()

    ping(authority.certificate)
    with pytest.raises(RecordsUnavailable, match=f"{FOREIGN}.*tlsCAFile in MONGODB_URL"):
        ping(authority.of_others)
    for no_authority in (authority.server_key, authority.server_key.with_name("missing")):
        with pytest.raises(SettingsError, match="MONGODB_URL must be an address whose files"):
            ping(no_authority)


def test_a_certificate_that_has_expired_is_told_from_one_of_strangers(
    mongodb_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ca = trustme.CA()
    ca.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ca.issue_cert(NAMED, not_before=datetime(2020, 1, 1), not_after=datetime(2020, 2, 1)).configure_cert(context)
    port, target = ports.free_port(), int(mongodb_url.rpartition(":")[2])
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    monkeypatch.setenv("MONGODB_URL", f"mongodb://{NAMED}:{port}/?tls=true")
    with (
        Proxy(port, target, random.Random(1), context),
        closing(Records.from_environment()) as records,
        pytest.raises(RecordsUnavailable, match=r"can't be used now \(certificate has expired\)"),
    ):
        records.ping()


def test_without_an_authority_of_ones_own_only_the_systems_are_trusted(
    system: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in system.over_tls("amqps", "streams", "mongodb", "s3").items():
        monkeypatch.setenv(name, value)
    function = Function(os.environ["S3_ENDPOINT_URL"], "predict", connections=1, timeout_seconds=10)
    with pytest.raises(BrokerUnavailable, match=FOREIGN), blocking_connection(os.environ["RABBITMQ_URL"]):
        pass
    with pytest.raises(BrokerUnavailable, match=FOREIGN):
        StreamConnection(os.environ["RABBITMQ_STREAM_URL"], "", "tests", print)
    with pytest.raises(RecordsUnavailable, match=FOREIGN), closing(Records.from_environment()) as records:
        records.ping()
    with pytest.raises(StoreUnavailable, match=FOREIGN):
        ModelStore.from_environment().current()
    with pytest.raises(StoreUnavailable, match=FOREIGN):
        StoreReader().get("current.json", 1_000)
    with pytest.raises(FunctionUnavailable, match=FOREIGN):
        function.post(TextsRequest([]), read_answers)


def test_the_page_on_tls_shows_what_is_said() -> None:
    page = (ROOT / "docs" / "tls.md").read_text()
    for reason in (
        "self-signed certificate in certificate chain",
        "IP address mismatch, certificate is not valid for '10.0.0.7'.",
        "certificate has expired",
    ):
        error = f"[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: {reason} (_ssl.c:1006)"
        assert f"`{explained(error, authorities='SSL_CERT_FILE', address='RABBITMQ_URL')}`" in page


def test_a_node_that_a_stream_leads_to_is_checked_too(
    system: Servers, broker: RabbitMQNode, stream: str, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.certificate))
    url = system.over_tls("streams")["RABBITMQ_STREAM_URL"]

    def advertise(host: str) -> None:
        evaluate(broker, f'application:set_env(rabbitmq_stream, advertised_host, <<"{host}">>).')

    StreamConnection(url, stream, "tests", print).close()
    advertise(NOT_NAMED)
    try:
        with pytest.raises(BrokerUnavailable, match=f"{WRONG_HOST}.*stream.advertised_host"):
            StreamConnection(url, stream, "tests", print)
    finally:
        advertise(NAMED)
