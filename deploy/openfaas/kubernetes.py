"""The servers and the bridge on a Kubernetes cluster: `./deploy.sh --kubernetes`."""

import json
import shlex

from deploy import secrets
from deploy.openfaas.commands import Commands
from deploy.openfaas.containers import OTHER_IMAGES
from deploy.openfaas.settings import FOLDER, SECRETS, Settings
from deploy.runner import ServiceError

NAMESPACE = "sentiment"
KUBECTL = ("kubectl", "--namespace", NAMESPACE)
WAIT = "600s"
# The first password is the operator's own choice; this is where it says it.
RABBITMQ_SECRET = "rabbitmq-default-user"  # noqa: S105 - a name


def apply(commands: Commands, settings: Settings) -> None:
    """Apply deploy/kubernetes with the images of this deployment, then the secrets; wait for the first model."""
    commands.run(
        "kubectl", "apply", "--kustomize", _overlay(commands, settings),
        hint="are the operators of docs/deploying.md installed, and may you make namespaces?",
    )  # fmt: skip
    _put_secret(commands, "mongodb-password", {"password": "mongodb-password"})
    commands.run(
        *KUBECTL, "wait", "--for=create", f"secret/{RABBITMQ_SECRET}", f"--timeout={WAIT}",
        hint="`kubectl --namespace sentiment describe rabbitmqcluster` tells what its operator waits for",
    )  # fmt: skip
    if not commands.dry_run and "rabbitmq" in settings.ours:
        url = _rabbitmq_url(commands)
        wanted = {"rabbitmq-url": url, "drift-rabbitmq-url": url, "rabbitmq-stream-url": secrets.NONE}
        secrets.write(SECRETS, wanted)
    names = (
        "s3-access-key", "s3-secret-key", "mongodb-url", "rabbitmq-url", "rabbitmq-stream-url",
        "model-signing-key", "model-public-key", "ca-certificates",
    )  # fmt: skip
    # The bridge's own, which sends labels and does no more.
    _put_secret(commands, "sentiment", {name: name for name in names} | {"retrain-token": "bridge-retrain-token"})
    hint = "`kubectl --namespace sentiment logs job/bootstrap` says why there is no first model"
    commands.run(*KUBECTL, "wait", "--for=condition=complete", "job/bootstrap", f"--timeout={WAIT}", hint=hint)
    hint = "`kubectl --namespace sentiment logs deployment/bridge` says why"
    commands.run(*KUBECTL, "rollout", "status", "deployment/bridge", f"--timeout={WAIT}", hint=hint)


def remove(commands: Commands, _settings: Settings, *, data: bool) -> None:
    """Delete what was applied; the namespace with its volumes only where the data are to go."""
    if data:
        commands.run("kubectl", "delete", "namespace", NAMESPACE, "--ignore-not-found", hint="may you delete it?")
        return
    for kind in ("deployment/bridge", "job/bootstrap"):
        commands.run(*KUBECTL, "delete", kind, "--ignore-not-found", hint="may you delete it?")


def _overlay(commands: Commands, settings: Settings) -> str:
    """Write a kustomization with the registry and tag of this deployment on top of the project's; return its folder."""
    folder = FOLDER / "kubernetes"
    if commands.only_says(f"write {folder / 'kustomization.yaml'}"):
        return str(folder)
    folder.mkdir(parents=True, exist_ok=True)
    images = {f"sentiment-{name}": settings.image(name).rpartition(":") for name in OTHER_IMAGES}
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": ["../../../deploy/kubernetes"],
        "images": [{"name": name, "newName": new, "newTag": tag} for name, (new, _, tag) in images.items()],
    }
    # JSON is YAML, and needs no library.
    (folder / "kustomization.yaml").write_text(json.dumps(kustomization, indent=2))
    return str(folder)


def _put_secret(commands: Commands, name: str, keys: dict[str, str]) -> None:
    """Make a secret, or renew it; `keys` are its keys with the file of SECRETS that has the value of each."""
    files = [f"--from-file={key}={SECRETS / file}" for key, file in keys.items()]
    manifest = [*KUBECTL, "create", "secret", "generic", name, *files]
    command = f"{shlex.join(manifest)} --dry-run=client --output=yaml | kubectl apply --filename -"
    commands.run("sh", "-c", command, hint="may you make secrets there?")


def _rabbitmq_url(commands: Commands) -> str:
    url = commands.ask(
        *KUBECTL, "get", f"secret/{RABBITMQ_SECRET}",
        "--output", "go-template={{.data.connection_string | base64decode}}",
    )  # fmt: skip
    if not url:
        raise ServiceError(f"secret/{RABBITMQ_SECRET} has no connection_string")
    return url
