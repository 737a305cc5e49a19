"""What a deployment is told: settings from the environment, credentials from there, a terminal, or chance."""

import getpass
import hashlib
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from deploy import secrets
from deploy.openfaas.commands import ROOT
from deploy.reads import OF_FUNCTIONS
from deploy.runner import ServiceError
from deploy.secrets import CREDENTIALS

FOLDER = ROOT / ".local" / "openfaas"
SECRETS = FOLDER / "secrets"
"""The folder of this deployment's credentials, each a file."""
LOOPBACK = "127.0.0.1"
NAMESPACE = "sentiment"
"""The namespace of a cluster in which servers and bridge run."""
# The address of the bridge that faasd makes: functions reach this machine there.
FAASD_ADDRESS = "10.62.0.1"
# service of compose.yml -> the variable that names a server of the user's in its place
SERVERS = {"s3": "S3_ENDPOINT_URL", "mongodb": "MONGODB_URL", "rabbitmq": "RABBITMQ_URL"}


@dataclass(frozen=True)
class Settings:
    """A deployment's settings.

    ours: the servers that are containers of ours, of s3, mongodb and rabbitmq; the others are the user's.
    hosts: where MongoDB and RabbitMQ are reached, as far as they are ours.
    variables: the environment for faas-cli and compose, what stack.yml and compose.yml fill in.
    """

    kubernetes: bool
    ours: tuple[str, ...]
    hosts: tuple[str, str]
    variables: Mapping[str, str]

    @classmethod
    def from_environment(cls, environment: Mapping[str, str], *, kubernetes: bool) -> "Settings":
        """Read the variables that docs/deploying.md names; raises ServiceError."""
        gateway_url = (environment.get("OPENFAAS_URL") or f"http://{LOOPBACK}:8080").rstrip("/")
        ours = tuple(name for name, variable in SERVERS.items() if not environment.get(variable))
        host = environment.get("HOST_ADDRESS") or (LOOPBACK if kubernetes or not ours else _address_of_this_machine())
        s3, functions_gateway = f"http://{host}:9000", f"http://gateway:{urlsplit(gateway_url).port or 8080}"
        hosts = host, host
        if kubernetes:
            s3, functions_gateway = f"http://minio.{NAMESPACE}.svc:9000", "http://gateway.openfaas:8080"
            hosts = f"mongodb-svc.{NAMESPACE}.svc", f"rabbitmq.{NAMESPACE}.svc"
        defaults = {
            "REGISTRY": "127.0.0.1:5000",
            "TAG": "latest",
            "S3_ENDPOINT_URL": s3,
            "S3_BUCKET": "models",
            "GATEWAY_URL": functions_gateway,
            "BRIDGE_PORT": "8082",
            # So long a Service may still lead to a pod that ends; faasd takes its network away before.
            "SHUTDOWN_DELAY_SECONDS": "5" if kubernetes else "0",
            # A broker of the user's may be older than RabbitMQ 3.11, which partitions need.
            "STREAM_PARTITIONS": "4" if "rabbitmq" in ours else "0",
        }
        variables = {name: environment.get(name) or default for name, default in defaults.items()} | {
            "OPENFAAS_URL": gateway_url,
            "HOST_ADDRESS": host,
            "SECRETS_FOLDER": str(SECRETS),
            "SENTIMENT_NETWORK": "host",
            "COMPOSE_FILE": "compose.yml:deploy/openfaas/compose.yml",
            "COMPOSE_PROJECT_NAME": "sentiment-openfaas",  # apart from a `docker compose up` in the same folder
        }
        return cls(kubernetes, ours, hosts, variables)

    @property
    def gateway_url(self) -> str:
        """Return the address of the gateway, as this machine reaches it."""
        return self.variables["OPENFAAS_URL"]

    def image(self, name: str) -> str:
        """Return the name of an image in the registry."""
        return f"{self.variables['REGISTRY']}/sentiment-{name}:{self.variables['TAG']}"


def make_secrets(settings: Settings, environment: Mapping[str, str]) -> list[str]:
    """Write a file for each credential that has none, or another value now; return their names.

    A server of the user's has its credentials in the environment, or they are asked for at a terminal; ours get
    random ones. Raises ServiceError where one is missing.
    """
    try:
        given = secrets.given_by(environment)
        for name in ("s3-access-key", "s3-secret-key"):
            if "s3" not in settings.ours and name not in given and not (SECRETS / name).exists():
                given[name] = _ask(name, CREDENTIALS[name])
        made = secrets.make(SECRETS, *settings.hosts, given, environment)
    except ValueError as error:
        raise ServiceError(str(error)) from error
    return [name for name in CREDENTIALS if name in made]


def secrets_digest() -> str:
    """Return a digest of all credentials; the random token among them is the salt of the others."""
    names = [*CREDENTIALS, *OF_FUNCTIONS]
    return hashlib.sha256("\0".join(secrets.known(SECRETS / name) or "" for name in names).encode()).hexdigest()


def _ask(name: str, variable: str) -> str:
    if sys.stdin.isatty():
        return getpass.getpass(f"{name} ({variable}): ")
    raise ServiceError(f"{variable} is not set: it must hold the {name} of the store at S3_ENDPOINT_URL")


def _address_of_this_machine() -> str:
    with socket.socket() as probe:
        try:
            probe.bind((FAASD_ADDRESS, 0))
        except OSError as error:
            raise ServiceError(
                "set HOST_ADDRESS to an address of this machine that functions can reach, "
                "or S3_ENDPOINT_URL, MONGODB_URL and RABBITMQ_URL to servers of yours"
            ) from error
    return FAASD_ADDRESS
