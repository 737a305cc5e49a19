"""Real servers that speak TLS, with an authority of the tests' own."""

import random
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import trustme

from deploy import ports, servers
from tests.conftest import RabbitMQNode, server_or_skip
from tests.faults.proxy import Proxy
from tests.running import running

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


def trusting(authority: Path) -> dict[str, str]:
    return dict.fromkeys(VARIABLES, str(authority))


@dataclass(frozen=True)
class Servers:
    """Servers that are asked with TLS and without.

    plain: the settings for doing without. encrypted: by server, the variable that has its address, and the address
    over TLS for a `{host}`, that of MongoDB without a database.
    """

    authority: Authority
    broker: RabbitMQNode
    plain: Mapping[str, str]
    encrypted: Mapping[str, tuple[str, str]]

    def over_tls(self, *names: str, host: str = NAMED) -> dict[str, str]:
        """Return the settings that have these servers asked over TLS, and the others without."""
        return {**self.plain, **{key: url.format(host=host) for key, url in (self.encrypted[name] for name in names)}}

    def with_names(self, bucket: str, database: str, source: str) -> "Servers":
        """Return the same servers, and settings for a bucket, a database and a stream of one's own."""
        variable, url = self.encrypted["mongodb"]
        plain = {"MONGODB_URL": f"{self.plain[variable]}/{database}", "S3_BUCKET": bucket, "BRIDGE_SOURCE": source}
        encrypted = {"mongodb": (variable, url.replace("/?", f"/{database}?"))}
        return replace(self, plain={**self.plain, **plain}, encrypted={**self.encrypted, **encrypted})


@contextmanager
def servers_with_tls(folder: Path, mongodb_url: str) -> Iterator[Servers]:
    """Run RabbitMQ and SeaweedFS, and before MongoDB, whose stand-in speaks no TLS, a proxy that does."""
    authority = Authority.make(folder)
    amqps, streams, mongodb, https = (ports.free_port(name) for name in ("amqps", "streams", "mongodb", "https"))
    (folder / "rabbitmq" / "conf.d").mkdir(parents=True)
    (folder / "rabbitmq" / "conf.d" / "tls.conf").write_text(
        f"listeners.ssl.1 = {ports.LOOPBACK}:{amqps}\n"
        f"stream.listeners.ssl.1 = {ports.LOOPBACK}:{streams}\n"
        f"stream.advertised_host = {NAMED}\n"
        f"stream.advertised_tls_port = {streams}\n"
        f"ssl_options.cacertfile = {authority.certificate}\n"
        f"ssl_options.certfile = {authority.server_certificate}\n"
        f"ssl_options.keyfile = {authority.server_key}\n"
    )
    with server_or_skip():
        broker = RabbitMQNode(servers.rabbitmq(folder / "rabbitmq", ports.free_port, "tls", "secret"))
        s3 = servers.s3(folder / "s3", ports.free_port, "tests-access-key", "tests-secret-key")
    options = {"port.https": https, "cert.file": authority.server_certificate, "key.file": authority.server_key}
    s3 = replace(s3, command=(*s3.command, *(f"-s3.{name}={value}" for name, value in options.items())))
    proxy = Proxy(mongodb, int(mongodb_url.rpartition(":")[2]), random.Random(1), authority.context())
    try:
        broker.start()
        with running(s3), proxy:
            yield Servers(
                authority,
                broker,
                plain={**s3.variables, **broker.environment, "MONGODB_URL": mongodb_url},
                encrypted={
                    "amqps": ("RABBITMQ_URL", f"amqps://tls:secret@{{host}}:{amqps}/%2F"),
                    "streams": ("RABBITMQ_STREAM_URL", f"rabbitmq-stream+tls://tls:secret@{{host}}:{streams}"),
                    "mongodb": ("MONGODB_URL", f"mongodb://{{host}}:{mongodb}/?tls=true"),
                    "s3": ("S3_ENDPOINT_URL", f"https://{{host}}:{https}"),
                },
            )
    finally:
        broker.stop()
