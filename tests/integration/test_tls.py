"""TLS to real servers, with an authority of the tests' own: trusted it works, else a process says what to do."""

import json
import os
import random
import ssl
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import pytest
import trustme

from bridge.functions import Function, FunctionUnavailable
from contracts.predict import TextsRequest, read_answers
from deploy import ports, servers
from deploy.ports import http_status
from deploy.runner import wait_until
from messages.amqp import blocking_connection
from messages.ports import BrokerUnavailable
from messages.stream_client import StreamConnection
from model_store.errors import StoreUnavailable
from model_store.publishing import ModelStore
from model_store.serving import StoreReader
from process.settings import SettingsError
from process.tls import explained
from records import Records, RecordsUnavailable
from tests.conftest import RabbitMQNode, server_or_skip
from tests.control import evaluate
from tests.faults.proxy import Proxy
from tests.integration.test_bridge import tiny_model
from tests.running import running
from tests.system import ROOT, promote, python_service, through_gateway

NAMED, NOT_NAMED = "localhost", ports.LOOPBACK
"""A host that the servers' certificate is for, and one where the same servers are and that it is not for."""
VARIABLES = ("SSL_CERT_FILE", "AWS_CA_BUNDLE")


@dataclass(frozen=True)
class Authority:
    """An authority, another one, and a certificate for NAMED alone that the first has signed: PEM files."""

    certificate: Path
    of_others: Path
    server_certificate: Path
    server_key: Path

    @classmethod
    def make(cls, folder: Path) -> "Authority":
        files = cls(*(folder / f"{name}.pem" for name in ("authority", "others", "server", "key")))
        authority = trustme.CA()
        issued = authority.issue_cert(NAMED)
        authority.cert_pem.write_to_path(str(files.certificate))
        trustme.CA().cert_pem.write_to_path(str(files.of_others))
        issued.private_key_pem.write_to_path(str(files.server_key))
        for part in issued.cert_chain_pems:
            part.write_to_path(str(files.server_certificate), append=True)
        return files

    def context(self) -> ssl.SSLContext:
        """Return what a server of Python needs."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.server_certificate, self.server_key)
        return context


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.make(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def broker(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQNode]:
    """A node that speaks TLS, too, at the ports that its service names."""
    folder = tmp_path_factory.mktemp("rabbitmq")
    amqps, streams = ports.free_port("amqps"), ports.free_port("streams")
    (folder / "conf.d").mkdir()
    (folder / "conf.d" / "tls.conf").write_text(
        f"listeners.ssl.1 = {ports.LOOPBACK}:{amqps}\n"
        f"stream.listeners.ssl.1 = {ports.LOOPBACK}:{streams}\n"
        f"stream.advertised_host = {NAMED}\n"
        f"stream.advertised_tls_port = {streams}\n"
        f"ssl_options.cacertfile = {authority.certificate}\n"
        f"ssl_options.certfile = {authority.server_certificate}\n"
        f"ssl_options.keyfile = {authority.server_key}\n"
    )
    with server_or_skip():
        service = servers.rabbitmq(folder, ports.free_port, "tls", "secret")
    node = RabbitMQNode(replace(service, ports=(*service.ports, amqps, streams)))
    try:
        node.start()
        yield node
    finally:
        node.stop()


@pytest.fixture(scope="module")
def mongodb_port(authority: Authority, mongodb_url: str) -> Iterator[int]:
    """The port of a proxy that speaks TLS before MongoDB, whose stand-in does not."""
    port, target = ports.free_port("mongodb-tls"), int(mongodb_url.rpartition(":")[2])
    with Proxy(port, target, random.Random(1), authority.context()):
        yield port


@pytest.fixture(scope="module")
def s3(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, str]]:
    """The settings of a store that also speaks HTTPS, at `S3_PORT`."""
    port = ports.free_port("s3-https")
    with server_or_skip():
        service = servers.s3(tmp_path_factory.mktemp("s3"), ports.free_port, "tests-access-key", "tests-secret-key")
    tls = {"port.https": port, "cert.file": authority.server_certificate, "key.file": authority.server_key}
    command = (*service.command, *(f"-s3.{name}={value}" for name, value in tls.items()))
    with running(replace(service, command=command)):
        yield {**service.variables, "S3_PORT": str(port)}


@dataclass(frozen=True)
class System:
    """The settings of a system on these servers.

    plain: without TLS. encrypted: by server, the variable that has its address, and the address for a `{host}`.
    """

    plain: Mapping[str, str]
    encrypted: Mapping[str, tuple[str, str]]

    def over_tls(self, *names: str, host: str = NAMED) -> dict[str, str]:
        """Return the settings that have these servers asked over TLS, and the others without."""
        return {**self.plain, **{key: url.format(host=host) for key, url in (self.encrypted[name] for name in names)}}


@pytest.fixture
def system(
    broker: RabbitMQNode,
    mongodb_url: str,
    mongodb_port: int,
    s3: Mapping[str, str],
    bucket: str,
    database_name: str,
    stream_name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> System:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    amqps, streams = broker.service.ports[-2:]
    return System(
        plain={
            **s3,
            **broker.environment,
            "S3_BUCKET": bucket,
            "MONGODB_URL": f"{mongodb_url}/{database_name}",
            "BRIDGE_SOURCE": f"stream:{stream_name}",
        },
        encrypted={
            "amqps": ("RABBITMQ_URL", f"amqps://tls:secret@{{host}}:{amqps}/%2F"),
            "streams": ("RABBITMQ_STREAM_URL", f"rabbitmq-stream+tls://tls:secret@{{host}}:{streams}"),
            "mongodb": ("MONGODB_URL", f"mongodb://{{host}}:{mongodb_port}/{database_name}?tls=true"),
            "s3": ("S3_ENDPOINT_URL", f"https://{{host}}:{s3['S3_PORT']}"),
        },
    )


def trusting(authority: Path) -> dict[str, str]:
    return dict.fromkeys(VARIABLES, str(authority))


def test_the_whole_system_runs_over_tls(
    system: System, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
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
    module: str, server: str, wrong: str, system: System, authority: Authority, tmp_path: Path
) -> None:
    host = NOT_NAMED if wrong == "host" else NAMED
    trusted = authority.of_others if wrong == "authority" else authority.certificate
    environment = {**system.over_tls(server, host=host), **trusting(trusted)}
    variable = system.encrypted[server][0]
    sentence = f"{WRONG_HOST} (" if wrong == "host" else f"{FOREIGN} ("
    advice = f"in {variable}" if wrong == "host" else f"set {'AWS_CA_BUNDLE' if server == 's3' else 'SSL_CERT_FILE'}"
    service = python_service(module, tmp_path, environment, until="/_/health")
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
    arguments: list[str], server: str, system: System, authority: Authority
) -> None:
    environment = {**os.environ, **system.over_tls(server), **trusting(authority.of_others)}
    command = [sys.executable, "-m", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert FOREIGN in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_the_address_of_mongodb_may_name_the_authority(
    system: System, authority: Authority, monkeypatch: pytest.MonkeyPatch
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
    system: System, mongodb_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in system.over_tls("amqps", "streams", "mongodb", "s3").items():
        monkeypatch.setenv(name, value)
    function = Function(f"https://{NAMED}:{mongodb_port}", "predict", connections=1, timeout_seconds=10)
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
    system: System, broker: RabbitMQNode, stream: str, authority: Authority, monkeypatch: pytest.MonkeyPatch
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
