"""What the local stack consists of: an embedded server for each setting that the user has not made."""

import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import chain

from contracts.names import FUNCTIONS, module_of
from deploy.key_pair import public_key
from deploy.local.processes import listener
from deploy.local.state import ROOT, State
from deploy.ports import LOOPBACK, free_port, http_status, reserve
from deploy.rights import BUCKET, BrokerUser, S3Identity, label_tokens
from deploy.rights import broker as broker_rights
from deploy.runner import Service, ServiceError
from deploy.servers import (
    MissingServerError,
    gateway,
    mongodb,
    rabbitmq,
    rabbitmq_container,
    s3,
)
from messages.amqp import parameters
from messages.settings import AMQP
from process.memory import small_process
from process.settings import checked_url
from records import checked_mongodb_url

SIGNING_KEY = "model_signing_key"
# Who asks for the token by which models are changed, or sends it.
CHANGE_THE_MODEL = ("retrain", "generate-drift", "console")
# Users of our broker that are no parts of the stack: their settings are RABBITMQ_REVIEWS_URL and so on.
SENDERS = ("reviews", "labels")


@dataclass
class Stack:
    """The parts to start, in the order of the fields; our own start when the others are ready.

    `environment` is that of every part, `private` what a part alone gets, by its name; `operator` is what the first
    model gets, `senders` what those may have who only send messages. `variables` are all settings for whoever uses the
    stack; `notes` are for the user to read.
    """

    environment: dict[str, str] = field(repr=False)
    private: dict[str, dict[str, str]] = field(default_factory=lambda: defaultdict(dict), repr=False)
    operator: dict[str, str] = field(default_factory=dict, repr=False)
    senders: dict[str, str] = field(default_factory=dict, repr=False)
    servers: list[Service] = field(default_factory=list)
    broker: list[Service] = field(default_factory=list)
    own: list[Service] = field(default_factory=list)
    variables: dict[str, str] = field(default_factory=dict, repr=False)
    notes: list[str] = field(default_factory=list)

    @property
    def parts(self) -> list[Service]:
        """Return all parts, in order."""
        return self.servers + self.broker + self.own


def plan(state: State, user: Mapping[str, str]) -> Stack:
    """Choose the parts, prepare their folders and reserve their ports; `user` is the environment of the command.

    Raises ServiceError where another program has the gateway's port, or the virtual environment lacks a server,
    SettingsError for a RABBITMQ_URL or a MONGODB_URL that can't be read.
    """
    user = _without_our_own(user, state.variables())
    if url := user.get("RABBITMQ_URL"):
        checked_url("RABBITMQ_URL", url, parameters, AMQP)
    if url := user.get("MONGODB_URL"):
        checked_mongodb_url(url)
    folder, stack = state.folder, Stack(dict(user))

    def logged(service: Service) -> Service:
        return replace(service, log=state.logs / f"{service.name}.log")

    port = None if "GATEWAY_URL" in user else _gateway_port(state, user)
    had_key = state.has_credential(SIGNING_KEY)
    model_keys = _model_keys(state, user)
    if "S3_ENDPOINT_URL" not in user and not had_key and state.has_credential(SIGNING_KEY):
        # The key is new and so is nobody's yet: what is served was left by an earlier release, in our own store.
        stack.environment.setdefault("SIGN_SERVED", "yes")
    stack.variables |= {name: key for name, key in model_keys.items() if name not in user}
    stack.variables.setdefault("S3_BUCKET", user.get("S3_BUCKET", "models"))
    if "MODEL_SIGNING_KEY" in model_keys:
        signing = {"MODEL_SIGNING_KEY": model_keys["MODEL_SIGNING_KEY"]}
        stack.operator |= signing
        stack.private["retrain"] |= signing
    stack.variables["RETRAIN_TOKEN"] = user.get("RETRAIN_TOKEN") or state.credential("retrain_token")
    for name in CHANGE_THE_MODEL:
        stack.private[name]["RETRAIN_TOKEN"] = stack.variables["RETRAIN_TOKEN"]
    # The bridge may send labels, and nothing else that changes the model.
    stack.private["bridge"]["RETRAIN_TOKEN"] = bridge_token = state.credential("bridge_retrain_token")
    stack.private["console"]["LABEL_TOKEN"] = console_token = state.credential("console_label_token")
    stack.variables["CONSOLE_TOKEN"] = user.get("CONSOLE_TOKEN") or state.credential("console_token")
    stack.private["console"]["CONSOLE_TOKEN"] = stack.variables["CONSOLE_TOKEN"]
    senders = label_tokens(bridge_token, console_token, user.get("LABEL_TOKENS", ""))
    # The supervisor's settings take no line feed.
    stack.private["retrain"]["LABEL_TOKENS"] = ",".join(senders.splitlines())
    if "S3_ENDPOINT_URL" not in user:
        stack.servers.append(logged(_store(state, stack)))
    if "MONGODB_URL" not in user:
        stack.servers.append(logged(mongodb(folder / "mongodb", state.port)))
    if "RABBITMQ_URL" not in user:
        stack.broker += map(logged, _broker(state, stack, user))
    if port is not None:
        stack.own += [_process(state, name, module_of(name), stack.private[name]) for name in FUNCTIONS]
        stack.own.append(logged(gateway(folder / "gateway", port, {name: state.port(name) for name in FUNCTIONS})))
        stack.own.append(_schedule(state))
    if "RABBITMQ_URL" in user or stack.broker:
        stack.own.append(_process(state, "bridge", "bridge", stack.private["bridge"]))
    for part in stack.parts:
        stack.variables |= part.variables
    stack.environment |= stack.variables
    # What is one part's, or the operator's, is no other's.
    not_shared = {"MODEL_SIGNING_KEY", *stack.operator, *chain(*stack.private.values())}
    # The user's own session or profile would be tried with our keys.
    ours = ("AWS_SESSION_TOKEN", "AWS_PROFILE") if "S3_ENDPOINT_URL" not in user else ()
    for name in (*ours, *not_shared):
        stack.environment.pop(name, None)
    stack.variables |= stack.senders
    stack.environment.setdefault("SENTIMENT_CACHE", str(folder / "cache"))
    # In small letters it takes precedence.
    direct = ",".join(filter(None, (user.get("no_proxy") or user.get("NO_PROXY"), LOOPBACK, "localhost")))
    stack.environment |= {"NO_PROXY": direct, "no_proxy": direct}
    return stack


def _store(state: State, stack: Stack) -> Service:
    """Return the model store, and give each part its own key, and the operator one that opens everything."""
    keys = {name: _s3_key(state, f"{name}_", may.actions(stack.variables["S3_BUCKET"])) for name, may in BUCKET.items()}
    for name, key in keys.items():
        stack.private[name] |= key.variables
    operator = _s3_key(state)
    stack.operator |= operator.variables
    login = operator.access_key_id, operator.secret_access_key
    return s3(state.folder / "s3", state.port, *login, keys.values())


def _s3_key(state: State, prefix: str = "", actions: Sequence[str] = ("Admin",)) -> S3Identity:
    login = state.credential(f"{prefix}access_key_id"), state.credential(f"{prefix}secret_access_key")
    return S3Identity(*login, actions)


def _model_keys(state: State, user: Mapping[str, str]) -> dict[str, str]:
    """Return the keys by which models are signed: the user's, else our own; raises ServiceError."""
    if "MODEL_PUBLIC_KEY" in user:
        return {name: user[name] for name in ("MODEL_PUBLIC_KEY", "MODEL_SIGNING_KEY") if name in user}
    signing_key = user.get("MODEL_SIGNING_KEY") or state.credential(SIGNING_KEY, size_bytes=32)
    try:
        return {"MODEL_PUBLIC_KEY": public_key(signing_key), "MODEL_SIGNING_KEY": signing_key}
    except ValueError as error:
        raise ServiceError(f"MODEL_SIGNING_KEY can't be used: {error}") from error


def _gateway_port(state: State, user: Mapping[str, str]) -> int:
    """Reserve the port of the local gateway, `LOCAL_PORT` or 8080, and return it; raises ServiceError."""
    port = int(user.get("LOCAL_PORT") or 8080)
    if not reserve(port, f"{state.folder} gateway"):
        raise ServiceError(
            f"port {port} is taken by {listener(port) or 'another program'}: stop that, "
            f"or choose another port with LOCAL_PORT={free_port()} ./deploy.sh --local"
        )
    return port


def _without_our_own(user: Mapping[str, str], ours: Mapping[str, str]) -> dict[str, str]:
    """Return the settings that are the user's choice: none that came out of `.local/env`, none that are empty."""
    return {name: value for name, value in user.items() if value and value != ours.get(name)}


def _broker(state: State, stack: Stack, user: Mapping[str, str]) -> list[Service]:
    """Return the broker, and give each of its users a login: an installed one, else a container.

    Where there is neither there is none, and a note for the user.
    """
    rights = broker_rights(user).items()
    users = [BrokerUser(name, state.credential(f"{name}_rabbitmq_password"), may) for name, may in rights]
    folder, administrator = state.folder / "rabbitmq", ("local", state.credential("rabbitmq_password"))
    ports = cache(state.port)  # asked again, it would be another one where somebody has taken the first meanwhile
    try:
        found = rabbitmq(folder, ports, *administrator, users)
    except MissingServerError as error:
        engine = _container_engine()
        if engine is None:
            stack.notes.append(f"no stream, HTTP alone: {error}; or set RABBITMQ_URL to a broker of yours")
            return []
        found = rabbitmq_container(folder, ports, *administrator, engine, users)
    for each in users:
        login = each.variables(LOOPBACK, ports("rabbitmq"), ports("rabbitmq-stream"))
        if each.name in SENDERS:
            prefix = f"RABBITMQ_{each.name.upper()}_"
            stack.senders |= {name.replace("RABBITMQ_", prefix): url for name, url in login.items()}
        else:
            stack.private[each.name] |= login
    return [found]


def _container_engine() -> str | None:
    for name in ("docker", "podman"):
        if program := shutil.which(name):
            with suppress(subprocess.CalledProcessError, subprocess.TimeoutExpired):
                subprocess.run([program, "info"], capture_output=True, check=True, timeout=10)
                return program
    return None


def _schedule(state: State) -> Service:
    """Return the caller of scheduled functions. Nobody calls it, so it has no port to be ready on."""
    command = (sys.executable, "-m", "deploy.local.schedule")
    return Service("schedule", ROOT, command, ready=lambda: True, log=state.stack_log)


def _process(state: State, name: str, module: str, settings: Mapping[str, str]) -> Service:
    """Return a process of this project: HTTP on a port of its own, its log in the stack's, ready when it says so.

    settings: those that no other part gets.
    """
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
            "RECORD_SPOOL_DIR": str(state.folder / "spool"),
            **small_process(state.folder / "bytecode"),
            **settings,
        },
        ready=lambda: http_status(port, "/_/ready") == 200,
        ports=(port,),
        variables={f"{name.upper().replace('-', '_')}_URL": f"http://{LOOPBACK}:{port}"},
    )
