"""The functions on the gateway: built, pushed and deployed by faas-cli, and only those that changed."""

import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from deploy.openfaas.commands import ROOT, Commands, StepError
from deploy.openfaas.settings import CREDENTIALS, Settings, secrets_folder

FUNCTIONS = ("predict", "retrain", "drift", "generate-drift")
STACK = "stack.yml"
# What a function was deployed from: its part of stack.yml with the settings filled in, its image, its secrets.
SPEC_ANNOTATION = "sentiment/spec-sha256"


def build(commands: Commands) -> None:
    """Build the images; layers that did not change are taken from the engine's cache."""
    template = ROOT / "template" / "dockerfile" / "template.yml"
    if not template.exists():
        # faas-cli would fetch this very file from the network.
        template.parent.mkdir(parents=True, exist_ok=True)
        template.write_text("language: dockerfile\n")
    commands.run(
        "faas-cli", "build", "--yaml", STACK, "--regex", _regex(FUNCTIONS),
        hint="see its last lines; `docker info` tells whether the engine runs",
    )  # fmt: skip


def push(commands: Commands, settings: Settings) -> None:
    """Push the images to the registry that the gateway pulls from."""
    hint = f"REGISTRY={settings.registry} must be a registry that you may push to (docker login) and the gateway reads"
    commands.run("faas-cli", "push", "--yaml", STACK, "--regex", _regex(FUNCTIONS), hint=hint)


def deploy(commands: Commands, settings: Settings) -> list[str]:
    """Deploy what differs from what is deployed; return the names of those."""
    wanted = {name: spec(commands, settings, name) for name in FUNCTIONS}
    changed = [name for name, digest in wanted.items() if _deployed_spec(commands, name) != digest]
    if not changed:
        return []
    _put_secrets(commands)
    for name in changed:
        _deploy(commands, name, wanted[name])
    return changed


def _deploy(commands: Commands, name: str, digest: str) -> None:
    command = (
        "faas-cli", "deploy", "--yaml", STACK, "--filter", name, "--annotation", f"{SPEC_ANNOTATION}={digest}",
    )  # fmt: skip
    hint = f"`faas-cli logs {name}` and the gateway's own log say more"
    try:
        # faasd gives up on a function that takes long to end, and kills it; the second time it is gone.
        commands.run(*command, attempts=2, hint=hint)
    except StepError:
        # ... or its remains are in the way. Of one that runs we keep our hands off.
        if _replicas(commands, name) > 0:
            raise
        with suppress(StepError):
            commands.run("faas-cli", "remove", name, hint=hint)
        commands.run(*command, hint=hint)


def remove(commands: Commands) -> None:
    """Remove the functions and their secrets."""
    # More than once, and whatever it says: faasd gives up on a function that takes long to end, and kills it.
    for _ in range(3):
        for name in sorted(_deployed(commands)):
            with suppress(StepError):
                commands.run("faas-cli", "remove", name, hint="")
        if commands.dry_run:
            break
    left = _deployed(commands)
    if left and not commands.dry_run:
        raise StepError(f"still there: {', '.join(sorted(left))}; see `faas-cli describe`, and the gateway's own log")
    for name in sorted(_secrets_there(commands) & set(CREDENTIALS)):
        commands.run("faas-cli", "secret", "remove", name, hint="is a function of another deployment using it?")


def spec(commands: Commands, settings: Settings, name: str) -> str:
    """A digest of all that decides how a function behaves; secrets go in salted by the random token."""
    if commands.dry_run:
        return "dry-run"
    rendered = commands.ask("faas-cli", "generate", "--yaml", STACK, "--filter", name)
    image = commands.ask("docker", "image", "inspect", "--format", "{{.Id}}", settings.image(name))
    if not rendered or not image:
        raise StepError(f"{name}: `faas-cli generate --yaml {STACK} --filter {name}` or its image is missing")
    digest = hashlib.sha256(f"{rendered}\0{image}".encode())
    for secret in sorted(CREDENTIALS):
        digest.update((secrets_folder() / secret).read_bytes() + b"\0")
    return digest.hexdigest()


def is_current(commands: Commands, settings: Settings, name: str) -> bool:
    """Whether a function is deployed as it should be."""
    return _deployed_spec(commands, name) == spec(commands, settings, name)


def _deployed_spec(commands: Commands, name: str) -> str | None:
    annotations: dict[str, str] = _describe(commands, name).get("annotations") or {}
    return annotations.get(SPEC_ANNOTATION)


def _replicas(commands: Commands, name: str) -> int:
    return int(_describe(commands, name).get("availableReplicas") or 0)


def _describe(commands: Commands, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(commands.ask("faas-cli", "describe", name, "--json") or "{}")
    return found


def _deployed(commands: Commands) -> set[str]:
    listed = commands.ask("faas-cli", "list", "--quiet") or ""
    return {line.split()[0] for line in listed.splitlines() if line.strip()} & set(FUNCTIONS)


def _put_secrets(commands: Commands) -> None:
    there = _secrets_there(commands)
    for name in CREDENTIALS:
        verb = "update" if name in there else "create"
        commands.run(
            "faas-cli", "secret", verb, name, "--trim=false", "--from-file", str(secrets_folder() / name),
            hint="does the gateway have a place for secrets?",
        )  # fmt: skip


def _secrets_there(commands: Commands) -> set[str]:
    return set((commands.ask("faas-cli", "secret", "list") or "").split())


def _regex(functions: Sequence[str]) -> str:
    return f"^({'|'.join(functions)})$"
