"""What compose does: the images, and beside the gateway on one machine our servers, the first model, the bridge."""

import os
from dataclasses import replace
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from contracts.names import FUNCTIONS
from deploy.openfaas.commands import Commands
from deploy.openfaas.settings import SECRETS, Settings, secrets_digest
from deploy.ports import accepts
from deploy.runner import ServiceError, wait_until
from deploy.secrets import CREDENTIALS
from process.settings import SettingsError, checked_url

OTHER_IMAGES = ("bridge", "bootstrap")
"""The services of compose.yml that are of our images and no functions."""
BRIDGE = "sentiment-bridge"
SERVERS_TIMEOUT_SECONDS = 180
DEFAULT_PORTS = {
    "https": 443, "http": 80, "mongodb": 27017, "amqp": 5672, "amqps": 5671,
    "rabbitmq-stream": 5552, "rabbitmq-stream+tls": 5551,
}  # fmt: skip


def compose_command(commands: Commands) -> tuple[str, ...]:
    """Return the words with which compose is called here."""
    return ("docker", "compose") if commands.ask("docker", "compose", "version") is not None else ("docker-compose",)


def compose(commands: Commands, *arguments: str, hint: str) -> None:
    """Run compose; its files and project are in the settings' variables."""
    commands.run(*compose_command(commands), *arguments, hint=hint)


def build(commands: Commands, _settings: Settings) -> None:
    """Build all images, on BASE_IMAGE where it is set; layers that did not change are from the engine's cache."""
    hint = "see its last lines; the base image and the packages come from the network"
    compose(commands, "build", *FUNCTIONS, *OTHER_IMAGES, hint=hint)


def push(commands: Commands, settings: Settings) -> None:
    """Push the images to the registry: those of the functions, and where a cluster runs the others, these too."""
    registry = settings.variables["REGISTRY"]
    hint = f"REGISTRY={registry} must be a registry that you may push to (docker login) and the gateway reads"
    compose(commands, "push", *FUNCTIONS, *(OTHER_IMAGES if settings.kubernetes else ()), hint=hint)


def pushed_digest(commands: Commands, settings: Settings, name: str) -> str:
    """Return the digest by which the registry has an image; raises ServiceError where it was not pushed."""
    image = settings.image(name)
    inspect = ("docker", "image", "inspect", "--format", "{{range .RepoDigests}}{{println .}}{{end}}", image)
    for line in (commands.ask(*inspect) or "").split():
        repository, _, digest = line.partition("@")
        if repository == image.rpartition(":")[0]:
            return digest
    raise ServiceError(f"{image} has no digest: was it pushed?")


def start_servers(commands: Commands, settings: Settings) -> None:
    """Hand out the secrets, start the servers that are ours, and see that all can be reached; raises ServiceError."""
    compose(commands, "run", "--rm", "--no-deps", "-T", "secrets", hint=f"can it read {SECRETS}?")
    if settings.ours:
        hint = "the servers of compose.yml don't start; `docker ps --all` and `docker logs` tell why"
        users = [f"{name}-users" for name in ("s3", "mongodb") if name in settings.ours]
        compose(commands, "up", "--detach", *settings.ours, *users, hint=hint)
    if commands.dry_run:
        return
    urls = {"S3_ENDPOINT_URL": settings.variables["S3_ENDPOINT_URL"]}
    for name in ("mongodb-url", "rabbitmq-url", "rabbitmq-stream-url"):
        urls[CREDENTIALS[name]] = (SECRETS / name).read_text().strip()
    for variable, url in urls.items():
        if not url:
            continue  # of streams, where the bridge takes the host of RABBITMQ_URL
        try:
            host, port = _address(checked_url(variable, url, _address, "<scheme>://user:password@host:port/path"))
        except SettingsError as error:
            raise ServiceError(str(error)) from None
        if not wait_until(partial(accepts, port, host), SERVERS_TIMEOUT_SECONDS if settings.ours else 0):
            raise ServiceError(f"{variable}: nobody listens at {host}:{port}")


def train_first_model(commands: Commands, _settings: Settings) -> None:
    """Train and publish a model, unless the store serves one."""
    data = os.environ.get("TRAIN_DATA", "")
    mount = []
    if data not in ("", "imdb", "starter"):
        path = Path(data).resolve()
        if not path.exists():
            raise ServiceError(f"TRAIN_DATA={data}: no such file; give imdb, starter or a path")
        mount = [f"--volume={path}:/data/{path.name}:ro", "-e", f"TRAIN_DATA=/data/{path.name}"]
    hint = "see its last lines; TRAIN_DATA=starter or a path of your own needs no large download"
    compose(commands, "run", "--rm", "--no-deps", "-T", *mount, "bootstrap", hint=hint)


def start_bridge(commands: Commands, _settings: Settings) -> str:
    """Run the bridge, unless it runs with the same settings and image; return what there is to say of it."""
    before = _started(commands)
    told = replace(commands, environment={**commands.environment, "SECRETS_SHA256": secrets_digest()})
    hint = f"`docker logs {BRIDGE}` says more; `docker rm --force {BRIDGE}` makes room for a new one"
    compose(told, "up", "--detach", "--no-deps", "bridge", hint=hint)
    return "started" if _started(commands) != before else "runs as it should"


def _started(commands: Commands) -> str | None:
    """Return what tells one start of the bridge from another; None where there is no bridge."""
    return commands.ask("docker", "container", "inspect", "--format", "{{.Id}} {{.State.StartedAt}}", BRIDGE)


def remove(commands: Commands, _settings: Settings, *, data: bool) -> None:
    """Let the bridge finish what is in hand, then stop the servers that are ours, with their data where asked."""
    compose(commands, "down", *(["--volumes"] if data else []), hint="`docker ps` shows what is left")


def _address(url: str) -> tuple[str, int]:
    """Return host and port; raises ValueError."""
    parts = urlsplit(url.replace("mongodb+srv", "mongodb"))
    # MongoDB's addresses may name several hosts; the first one tells enough.
    host, _, port = parts.netloc.rpartition("@")[2].split(",")[0].partition(":")
    return host, int(port or DEFAULT_PORTS.get(parts.scheme, 0))
