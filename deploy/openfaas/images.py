"""The images of a deployment: built, pushed, and told apart from those of an earlier one."""

import hashlib
from collections.abc import Iterable

from contracts.names import FUNCTIONS
from deploy.openfaas.commands import ROOT, Commands, StepError
from deploy.openfaas.settings import SECRETS, Settings

STACK = "stack.yml"
# The images that are not functions: what the Dockerfile is told of each, the lock file and the module.
OTHERS = {"bridge": ("bridge", "bridge"), "bootstrap": ("functions-train", "deploy.first_model")}
_OF_FUNCTIONS = ("--yaml", STACK, "--regex", f"^({'|'.join(FUNCTIONS)})$")


def build(commands: Commands, settings: Settings) -> None:
    """Build all images; layers that did not change are taken from the engine's cache."""
    template = ROOT / "template" / "dockerfile" / "template.yml"
    if not template.exists():
        # faas-cli would fetch this very file from the network.
        template.parent.mkdir(parents=True, exist_ok=True)
        template.write_text("language: dockerfile\n")
    hint = "see its last lines; the base image and the packages come from the network"
    commands.run("faas-cli", "build", *_OF_FUNCTIONS, hint=hint)
    for name, (lock, module) in OTHERS.items():
        commands.run(
            "docker", "build", "--quiet", f"--build-arg=LOCK={lock}", f"--build-arg=MODULE={module}",
            "--tag", settings.image(name), str(ROOT), hint=hint,
        )  # fmt: skip


def push(commands: Commands, settings: Settings) -> None:
    """Push the images to the registry: those of the functions, and where a cluster runs the others, these too."""
    hint = f"REGISTRY={settings.registry} must be a registry that you may push to (docker login) and the gateway reads"
    commands.run("faas-cli", "push", *_OF_FUNCTIONS, hint=hint)
    for name in OTHERS if settings.kubernetes else ():
        commands.run("docker", "push", settings.image(name), hint=hint)


def spec_digest(commands: Commands, settings: Settings, name: str, options: str | None, secrets: Iterable[str]) -> str:
    """Return a digest of all that decides how a container behaves: its options, its image, its secrets.

    The random token among the secrets is the salt of the others. Raises StepError without options or image.
    """
    if commands.dry_run:
        return "dry-run"
    image = commands.ask("docker", "image", "inspect", "--format", "{{.Id}}", settings.image(name))
    if not options or not image:
        raise StepError(f"{name}: its part of {STACK}, or its image, is missing")
    digest = hashlib.sha256(f"{options}\0{image}".encode())
    for secret in secrets:
        digest.update((SECRETS / secret).read_bytes() + b"\0")
    return digest.hexdigest()
