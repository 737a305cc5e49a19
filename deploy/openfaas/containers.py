"""What runs beside the gateway on one machine: the servers that are ours, the first model's training, the bridge."""

import os
import socket
from pathlib import Path
from urllib.parse import urlsplit

from deploy.openfaas.commands import Commands, StepError
from deploy.openfaas.images import spec_digest
from deploy.openfaas.settings import SECRETS, Settings
from deploy.runner import wait_until

PROJECT = "sentiment-openfaas"  # of compose, apart from a `docker compose up` in the same folder
BRIDGE = "sentiment-bridge"
SPEC_LABEL = "sentiment.spec-sha256"
SECRETS_MOUNT = "/var/openfaas/secrets"
DRAIN_SECONDS = 30
# Of the variables that docs/configuration.md lists for the bridge.
BRIDGE_SETTINGS = (
    "BRIDGE_SOURCE", "BRIDGE_LABELS", "STREAM_MAX_BYTES", "BRIDGE_BATCH_MESSAGES", "BRIDGE_BATCH_BYTES",
    "BRIDGE_BATCH_WAIT_SECONDS", "BRIDGE_IN_FLIGHT", "BRIDGE_FUNCTION_TIMEOUT_SECONDS", "BRIDGE_DRAIN_SECONDS",
    "RECORD_TTL_DAYS", "LOG_LEVEL",
)  # fmt: skip
BRIDGE_SECRETS = ("mongodb-url", "rabbitmq-url", "retrain-token")
REACH_TIMEOUT_SECONDS = 3
SERVERS_TIMEOUT_SECONDS = 180
_HARDENED = (
    "--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt", "no-new-privileges",  # noqa: S108 - in it
)  # fmt: skip


def compose(commands: Commands) -> list[str]:
    """Return the words with which compose is called here."""
    if commands.ask("docker", "compose", "version") is not None:
        return ["docker", "compose"]
    return ["docker-compose"]


def start_servers(commands: Commands, settings: Settings) -> None:
    """Start the servers that are ours, and see that all of them can be reached from here; raises StepError."""
    if settings.ours:
        commands.run(
            *compose(commands), "--project-name", PROJECT, "up", "--detach", *settings.ours,
            hint="the servers of compose.yml don't start; `docker ps --all` and `docker logs` tell why",
        )  # fmt: skip
    if commands.dry_run:
        return
    urls = {"S3_ENDPOINT_URL": settings.s3_endpoint_url}
    for variable, name in (("MONGODB_URL", "mongodb-url"), ("RABBITMQ_URL", "rabbitmq-url")):
        urls[variable] = (SECRETS / name).read_text()
    for variable, url in urls.items():
        if not wait_until(lambda: _reachable(url), SERVERS_TIMEOUT_SECONDS if settings.ours else 0):  # noqa: B023 - called in the loop
            raise StepError(f"{variable}: nobody listens at {urlsplit(url).hostname}:{urlsplit(url).port}")


def train_first_model(commands: Commands, settings: Settings) -> None:
    """Train and publish a model, unless the store serves one."""
    data = os.environ.get("TRAIN_DATA", "")
    mount = []
    if data not in ("", "imdb", "starter"):
        path = Path(data).resolve()
        if not path.exists():
            raise StepError(f"TRAIN_DATA={data}: no such file; give imdb, starter or a path")
        mount, data = [f"--volume={path}:/data/{path.name}:ro"], f"/data/{path.name}"
    commands.run(
        "docker", "run", "--rm", "--network", "host", *_HARDENED, *_secrets("s3-access-key", "s3-secret-key"),
        "--env", "S3_ENDPOINT_URL", "--env", "S3_BUCKET", "--env=PROMOTED_BY=deploy.sh", f"--env=TRAIN_DATA={data}",
        *mount, settings.image("bootstrap"),
        hint="the line above says why; TRAIN_DATA=starter or a path of your own needs no large download",
    )  # fmt: skip


def start_bridge(commands: Commands, settings: Settings) -> str:
    """Run the bridge, unless it runs with the same settings; return what there is to say of it."""
    environment = {
        "GATEWAY_URL": settings.gateway_url,
        "LISTEN_HOST": "127.0.0.1",
        "LISTEN_PORT": bridge_port(),
        **{name: os.environ[name] for name in BRIDGE_SETTINGS if name in os.environ},
    }
    options = [
        "--network", "host", *_HARDENED, "--memory", "256m", "--restart", "unless-stopped", *_secrets(*BRIDGE_SECRETS),
        *(f"--env={name}={value}" for name, value in environment.items()),
    ]  # fmt: skip
    digest = spec_digest(commands, settings, "bridge", str(options), BRIDGE_SECRETS)
    label = f'{{{{index .Config.Labels "{SPEC_LABEL}"}}}}'
    running = commands.ask("docker", "container", "inspect", "--format", label, BRIDGE)
    if running is not None:
        if running.strip() == digest:
            return "runs as it should"
        stop_bridge(commands, settings)
    commands.run(
        "docker", "run", "--detach", "--name", BRIDGE, "--label", f"{SPEC_LABEL}={digest}", *options,
        settings.image("bridge"),
        hint=f"`docker logs {BRIDGE}` says more",
    )  # fmt: skip
    return "started"


def stop_bridge(commands: Commands, _settings: Settings) -> None:
    """Let the bridge finish what is in hand, and remove it."""
    if commands.ask("docker", "container", "inspect", BRIDGE) is None and not commands.dry_run:
        return
    hint = f"`docker rm --force {BRIDGE}` removes it without waiting"
    commands.run("docker", "stop", "-t", str(DRAIN_SECONDS), BRIDGE, hint=hint)
    commands.run("docker", "rm", BRIDGE, hint=hint)


def stop_servers(commands: Commands, settings: Settings, *, data: bool) -> None:
    """Stop the servers that are ours, with their data where asked."""
    if not settings.ours:
        return
    volumes = ["--volumes"] if data else []
    commands.run(*compose(commands), "--project-name", PROJECT, "down", *volumes, hint="`docker ps` shows what is left")


def bridge_port() -> str:
    """Return the loopback port of the bridge's health and metrics."""
    return os.environ.get("BRIDGE_PORT") or "8082"


def _secrets(*names: str) -> list[str]:
    return [f"--volume={SECRETS / name}:{SECRETS_MOUNT}/{name}:ro" for name in names]


def _reachable(url: str) -> bool:
    parts = urlsplit(url.replace("mongodb+srv", "mongodb"))
    # MongoDB's addresses may name several hosts; the first one tells enough.
    host, _, port = parts.netloc.rpartition("@")[2].split(",")[0].partition(":")
    default = {"https": 443, "http": 80, "mongodb": 27017, "amqp": 5672, "amqps": 5671}.get(parts.scheme, 0)
    try:
        socket.create_connection((host, int(port or default)), timeout=REACH_TIMEOUT_SECONDS).close()
    except OSError:
        return False
    return True
