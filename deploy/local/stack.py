"""What the local stack consists of: an embedded server for each setting that the user has not made."""

import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from deploy.local import services
from deploy.local.processes import listener
from deploy.local.services import LOOPBACK, MissingServerError, Service, free_port, http_status, is_free
from deploy.local.state import ROOT, State

FUNCTIONS = ("predict", "retrain", "drift", "generate-drift")


class PortBusyError(RuntimeError):
    """Another program has the gateway's port; the message says which and what to do."""


@dataclass
class Stack:
    """The parts to start, in order and in stages: a stage starts when the one before it is ready.

    `environment` is that of every part; `variables` are the settings that the embedded servers give out;
    `notes` are for the user to read.
    """

    environment: dict[str, str]
    stages: list[list[Service]] = field(default_factory=list)
    variables: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def parts(self) -> list[Service]:
        return [part for stage in self.stages for part in stage]


def plan(state: State, user: Mapping[str, str]) -> Stack:
    """Chooses the parts, prepares their folders and ports. `user` is the environment of the command."""
    user = _without_our_own(user, state.variables())
    if "GATEWAY_URL" not in user:
        _check_port(gateway_port(user))
    folder = state.folder
    stack = Stack(dict(user))
    servers: list[Service] = []
    brokers: list[Service] = []
    if "S3_ENDPOINT_URL" not in user:
        keys = state.credential("access_key_id"), state.credential("secret_access_key")
        servers.append(services.s3(folder / "s3", state.port, *keys))
        # The user's own session or profile would be tried with our keys.
        for name in ("AWS_SESSION_TOKEN", "AWS_PROFILE"):
            stack.environment.pop(name, None)
    if "MONGODB_URL" not in user:
        servers.append(services.mongodb(folder / "mongodb", state.port))
    if "RABBITMQ_URL" not in user:
        epmd, brokers = _broker(state, stack.notes)
        servers += epmd
    logged = [[replace(s, log=state.logs / f"{s.name}.log") for s in stage] for stage in (servers, brokers)]
    for service in (*servers, *brokers):
        stack.variables |= service.variables

    own: list[Service] = []
    if "GATEWAY_URL" not in user:
        own = [_function(state, name) for name in FUNCTIONS]
        gateway = services.gateway(folder / "gateway", gateway_port(user), {f.name: state.port(f.name) for f in own})
        stack.variables |= gateway.variables
        stack.variables |= {_url_variable(f.name): f"http://{LOOPBACK}:{state.port(f.name)}" for f in own}
        own.append(replace(gateway, log=state.logs / "gateway.log"))
        own.append(_schedule(state))
    if "RABBITMQ_URL" in user or brokers:
        own.append(_module_service(state, "bridge", "bridge"))
        stack.variables["BRIDGE_URL"] = f"http://{LOOPBACK}:{state.port('bridge')}"
    stack.stages = [*logged, own]
    stack.variables.setdefault("S3_BUCKET", user.get("S3_BUCKET", "models"))
    stack.environment |= stack.variables
    stack.environment.setdefault("SENTIMENT_CACHE", str(folder / "cache"))
    stack.environment["NO_PROXY"] = ",".join(filter(None, (user.get("NO_PROXY"), LOOPBACK, "localhost")))
    return stack


def gateway_port(user: Mapping[str, str]) -> int:
    """The port of the local gateway, `LOCAL_PORT` or 8080."""
    return int(user.get("LOCAL_PORT") or 8080)


def _check_port(port: int) -> None:
    if not is_free(port):
        holder = listener(port) or "another program"
        raise PortBusyError(
            f"port {port} is taken by {holder}: stop that, "
            f"or choose another port with LOCAL_PORT={free_port()} ./deploy.sh --local"
        )


def _without_our_own(user: Mapping[str, str], ours: Mapping[str, str]) -> dict[str, str]:
    """Settings that came out of `.local/env` are not the user's choice; empty ones are none."""
    return {name: value for name, value in user.items() if value and value != ours.get(name)}


def _broker(state: State, notes: list[str]) -> tuple[list[Service], list[Service]]:
    """What must run before the broker, and the broker: an installed one, a container, or none and a note."""
    login = "local", state.credential("rabbitmq_password")
    folder = state.folder / "rabbitmq"
    try:
        return [services.epmd(folder, state.port)], [services.rabbitmq(folder, state.port, *login)]
    except MissingServerError as error:
        if engine := _container_engine():
            return [], [services.rabbitmq_container(folder, state.port, *login, engine)]
        notes.append(f"no stream, HTTP alone: {error}; or set RABBITMQ_URL to a broker of yours")
        return [], []


def _container_engine() -> str | None:
    for name in ("docker", "podman"):
        if program := shutil.which(name):
            try:
                subprocess.run([program, "info"], capture_output=True, check=True, timeout=10)
            except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
                continue
            return program
    return None


def _function(state: State, name: str) -> Service:
    return _module_service(state, name, f"functions.{_module(name)}")


def _schedule(state: State) -> Service:
    """The caller of scheduled functions. Nobody calls it, so it has no port to be ready on."""
    return Service(
        name="schedule",
        folder=ROOT,
        log=state.stack_log,
        command=(sys.executable, "-m", "deploy.local.schedule"),
        ready=lambda: True,
    )


def _module(name: str) -> str:
    return name.replace("-", "_")


def _url_variable(name: str) -> str:
    return f"{_module(name).upper()}_URL"


def _module_service(state: State, name: str, module: str) -> Service:
    """A process of this project: HTTP on a port of its own, its log in the stack's, ready when it says so."""
    port = state.port(name)
    return Service(
        name=name,
        folder=ROOT,
        log=state.stack_log,
        command=(sys.executable, "-m", module),
        environment={
            "LISTEN_HOST": LOOPBACK,
            "LISTEN_PORT": str(port),
            "ENABLE_GENERATE_DRIFT": "true",
            **services.small_process(state.folder / "bytecode"),
        },
        ready=lambda: http_status(port, "/_/ready") == 200,
    )
