"""The functions on the gateway: deployed by faas-cli, and only those that changed."""

import hashlib
import json
from contextlib import suppress
from typing import Any

from contracts.names import FUNCTIONS
from deploy.openfaas.commands import Commands
from deploy.openfaas.settings import SECRETS, Settings, secrets_digest
from deploy.reads import OF_FUNCTIONS
from deploy.runner import ServiceError, wait_until

STACK = "stack.yml"
GONE_TIMEOUT_SECONDS = 120
# What a function was deployed from: its part of stack.yml with the settings filled in, its image, its secrets.
SPEC_ANNOTATION = "sentiment/spec-sha256"


def changed(commands: Commands, settings: Settings) -> dict[str, str]:
    """Return the functions that are not deployed as they should be, each with the digest of how it should be."""
    wanted = {name: _spec(commands, settings, name) for name in FUNCTIONS}
    annotations = {name: _describe(commands, name).get("annotations") or {} for name in FUNCTIONS}
    return {name: digest for name, digest in wanted.items() if annotations[name].get(SPEC_ANNOTATION) != digest}


def deploy(commands: Commands, settings: Settings) -> str:
    """Deploy what differs from what is deployed; return what there is to say of it."""
    digests = changed(commands, settings)
    if not digests:
        return "all as they should be"
    there = _secrets_there(commands)
    for name in OF_FUNCTIONS:
        verb = "update" if name in there else "create"
        commands.run(
            "faas-cli", "secret", verb, name, "--trim=false", "--from-file", str(SECRETS / name),
            hint="does the gateway have a place for secrets?",
        )  # fmt: skip
    for name, digest in digests.items():
        _deploy(commands, name, digest)
    return f"deployed {', '.join(digests)}"


def _deploy(commands: Commands, name: str, digest: str) -> None:
    command = (
        "faas-cli", "deploy", "--yaml", STACK, "--filter", name, "--annotation", f"{SPEC_ANNOTATION}={digest}",
    )  # fmt: skip
    hint = f"`faas-cli logs {name}` and the gateway's own log say more"
    try:
        # faasd gives up on a function that takes long to end, and kills it; the second time it is gone.
        commands.run(*command, attempts=2, hint=hint)
    except ServiceError:
        # ... or its remains are in the way. Of one that runs we keep our hands off.
        if _describe(commands, name).get("availableReplicas"):
            raise
        with suppress(ServiceError):
            commands.run("faas-cli", "remove", name, hint=hint)
        commands.run(*command, hint=hint)


def remove(commands: Commands, _settings: Settings) -> None:
    """Remove the functions and their secrets."""
    for name in sorted(_deployed(commands)):
        # Whatever it says: faasd gives up on a function that takes long to end, and kills it.
        with suppress(ServiceError):
            commands.run("faas-cli", "remove", name, attempts=3, hint="")
    # A cluster takes its time.
    if not commands.dry_run and not wait_until(lambda: not _deployed(commands), GONE_TIMEOUT_SECONDS):
        left = ", ".join(sorted(_deployed(commands)))
        raise ServiceError(f"still there: {left}; see `faas-cli describe`, and the gateway's own log")
    for name in sorted(_secrets_there(commands) & set(OF_FUNCTIONS)):
        commands.run("faas-cli", "secret", "remove", name, hint="is a function of another deployment using it?")


def _spec(commands: Commands, settings: Settings, name: str) -> str:
    """Return a digest of all that decides how a function behaves; raises ServiceError where a part of it is missing."""
    if commands.dry_run:
        return "dry-run"
    rendered = commands.ask("faas-cli", "generate", "--yaml", STACK, "--filter", name)
    image = commands.ask("docker", "image", "inspect", "--format", "{{.Id}}", settings.image(name))
    if not rendered or not image:
        raise ServiceError(f"{name}: its part of {STACK}, or its image, is missing")
    return hashlib.sha256(f"{rendered}\0{image}\0{secrets_digest()}".encode()).hexdigest()


def _describe(commands: Commands, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(commands.ask("faas-cli", "describe", name, "--json") or "{}")
    return found


def _deployed(commands: Commands) -> set[str]:
    listed = commands.ask("faas-cli", "list", "--quiet") or ""
    return {line.split()[0] for line in listed.splitlines() if line.strip()} & set(FUNCTIONS)


def _secrets_there(commands: Commands) -> set[str]:
    return set((commands.ask("faas-cli", "secret", "list") or "").split())
