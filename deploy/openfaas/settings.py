"""What a deployment is told: settings from the environment, credentials from there, a terminal, or chance."""

import getpass
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from deploy import secrets
from deploy.openfaas.commands import ROOT, StepError

FOLDER = ROOT / ".local" / "openfaas"
SECRETS = FOLDER / "secrets"
"""The folder of this deployment's credentials, each a file."""
# The address of the bridge that faasd makes: functions reach this machine there.
FAASD_ADDRESS = "10.62.0.1"
# name of the secret -> the variable that gives it
CREDENTIALS = {
    "s3-access-key": "AWS_ACCESS_KEY_ID",
    "s3-secret-key": "AWS_SECRET_ACCESS_KEY",
    "mongodb-url": "MONGODB_URL",
    "rabbitmq-url": "RABBITMQ_URL",
    "retrain-token": "RETRAIN_TOKEN",
    "alert-webhook-url": "ALERT_WEBHOOK_URL",
}


@dataclass(frozen=True)
class Settings:
    """A deployment's settings.

    external: the servers that the user runs, of s3, mongodb and rabbitmq; the others are containers of ours.
    host_address: where functions reach the ports of this machine; None where nothing needs it.
    """

    gateway_url: str
    registry: str
    tag: str
    bucket: str
    s3_endpoint_url: str
    functions_gateway_url: str
    host_address: str | None
    external: frozenset[str]
    kubernetes: bool

    @classmethod
    def from_environment(cls, environment: Mapping[str, str], *, kubernetes: bool) -> "Settings":
        """Read the variables that docs/deploying.md names; raises StepError."""
        gateway_url = (environment.get("OPENFAAS_URL") or "http://127.0.0.1:8080").rstrip("/")
        variables = {"s3": "S3_ENDPOINT_URL", "mongodb": "MONGODB_URL", "rabbitmq": "RABBITMQ_URL"}
        external = frozenset(name for name, variable in variables.items() if environment.get(variable))
        ours = set(variables) - external
        host = environment.get("HOST_ADDRESS") or (None if kubernetes or not ours else _address_of_this_machine())
        if kubernetes:
            s3, functions_gateway = "http://minio.sentiment:9000", "http://gateway.openfaas:8080"
        else:
            s3, functions_gateway = f"http://{host}:9000", f"http://gateway:{urlsplit(gateway_url).port or 8080}"
        return cls(
            gateway_url=gateway_url,
            registry=environment.get("REGISTRY") or "127.0.0.1:5000",
            tag=environment.get("TAG") or "latest",
            bucket=environment.get("S3_BUCKET") or "models",
            s3_endpoint_url=environment.get("S3_ENDPOINT_URL") or s3,
            functions_gateway_url=environment.get("GATEWAY_URL") or functions_gateway,
            host_address=host,
            external=external,
            kubernetes=kubernetes,
        )

    @property
    def ours(self) -> list[str]:
        """Return the servers that are containers of ours."""
        return [name for name in ("s3", "mongodb", "rabbitmq") if name not in self.external]

    @property
    def variables(self) -> dict[str, str]:
        """Return the environment for faas-cli and compose: what stack.yml and compose.yml fill in."""
        return {
            "OPENFAAS_URL": self.gateway_url,
            "REGISTRY": self.registry,
            "TAG": self.tag,
            "S3_ENDPOINT_URL": self.s3_endpoint_url,
            "S3_BUCKET": self.bucket,
            "GATEWAY_URL": self.functions_gateway_url,
            "HOST_ADDRESS": self.host_address or "127.0.0.1",
            "SECRETS_FOLDER": str(SECRETS),
        }

    def image(self, name: str) -> str:
        """Return the name of an image in the registry."""
        return f"{self.registry}/sentiment-{name}:{self.tag}"


def make_secrets(settings: Settings, environment: Mapping[str, str]) -> list[str]:
    """Write a file for each credential that has none, or another value now; return their names.

    A server of the user's has its credentials in the environment, or they are asked for at a terminal; ours get
    random ones. Raises StepError where one is missing.
    """
    given = {name: environment[variable] for name, variable in CREDENTIALS.items() if environment.get(variable)}
    if "s3" in settings.external:
        for name in ("s3-access-key", "s3-secret-key"):
            if name not in given and not (SECRETS / name).exists():
                given[name] = _ask(name, CREDENTIALS[name])
    changed = {name for name, value in given.items() if secrets.known(SECRETS / name) != value}
    secrets.write(SECRETS, {name: given[name] for name in changed})
    host = settings.host_address or "127.0.0.1"
    made = secrets.make(SECRETS, f"{host}:27017", f"{host}:5672", keep=given)
    return sorted(changed | set(made) & set(CREDENTIALS))


def _ask(name: str, variable: str) -> str:
    if sys.stdin.isatty():
        return getpass.getpass(f"{name} ({variable}): ")
    raise StepError(f"{variable} is not set: it must hold the {name} of the store at S3_ENDPOINT_URL")


def _address_of_this_machine() -> str:
    with socket.socket() as probe:
        try:
            probe.bind((FAASD_ADDRESS, 0))
        except OSError as error:
            raise StepError(
                "set HOST_ADDRESS to an address of this machine that functions can reach, "
                "or S3_ENDPOINT_URL, MONGODB_URL and RABBITMQ_URL to servers of yours"
            ) from error
    return FAASD_ADDRESS
