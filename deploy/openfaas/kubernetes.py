"""The servers and the bridge on a Kubernetes cluster, by the Helm chart: `./deploy.sh --kubernetes`."""

import json
import os
import re
from collections.abc import Iterator

from deploy.openfaas.capacity import asked, free, items
from deploy.openfaas.commands import ROOT, Commands
from deploy.openfaas.containers import OTHER_IMAGES, pushed_digest
from deploy.openfaas.settings import NAMESPACE, SECRETS, SERVERS, Settings
from deploy.runner import ServiceError

CHART = "deploy/chart"
HELM_FROM = (3, 13)
RELEASE = ("sentiment", "--namespace", NAMESPACE)
KUBECTL = ("kubectl", "--namespace", NAMESPACE)
TIMEOUT = "--timeout=15m"
BROKER = "rabbitmqclusters.rabbitmq.com/rabbitmq"
# What has to be there -> what brings it.
_APPLY = "kubectl apply --server-side --filename https://"
_HELM = "helm upgrade --install --create-namespace --namespace"
_GITHUB = f"{_APPLY}github.com"
CLUSTER = {
    "namespace/openfaas": f"{_APPLY}raw.githubusercontent.com/openfaas/faas-netes/master/namespaces.yml && "
    f"{_HELM} openfaas openfaas openfaas --repo https://openfaas.github.io/faas-netes "
    "--set functionNamespace=openfaas-fn,generateBasicAuth=true",
    "apiservice/v1beta1.metrics.k8s.io": f"{_GITHUB}/kubernetes-sigs/metrics-server/releases/latest/download/"
    "components.yaml",
}
# The same for those custom resources that the chart renders for these settings.
OPERATORS = {
    "rabbitmqclusters.rabbitmq.com": f"{_GITHUB}/cert-manager/cert-manager/releases/latest/download/cert-manager.yaml "
    f"&& {_GITHUB}/rabbitmq/cluster-operator/releases/latest/download/cluster-operator.yml",
    "mongodbcommunity.mongodbcommunity.mongodb.com": f"{_HELM} mongodb mongodb-operator mongodb-kubernetes "
    "--repo https://mongodb.github.io/helm-charts --set operator.watchNamespace='*'",
    "scaledobjects.keda.sh": f"{_HELM} keda keda keda --repo https://kedacore.github.io/charts",
}
# Where one of these is, nodes are added when pods need them.
ADDS_NODES = ("--namespace=kube-system configmap/cluster-autoscaler-status", "crd/nodepools.karpenter.sh")


def check_tools(commands: Commands, _settings: Settings) -> None:
    """See that kubectl reaches a cluster, and that Helm is new enough; raises ServiceError."""
    if commands.only_says("kubectl version; helm version"):
        return
    if refused := commands.refusal("kubectl", "version"):
        raise ServiceError(f"{refused}\n    install kubectl, and point it at your cluster")
    found = re.match(r"v(\d+)\.(\d+)", commands.ask("helm", "version", "--short") or "")
    if not found or (int(found[1]), int(found[2])) < HELM_FROM:
        wanted = ".".join(map(str, HELM_FROM))
        raise ServiceError(f"there is no Helm {wanted} or newer: see https://helm.sh/docs/intro/install")


def check(commands: Commands, settings: Settings) -> None:
    """See that the cluster has what the chart needs; raises ServiceError with what is missing, and what brings it."""
    check_tools(commands, settings)
    if commands.only_says("kubectl get storageclass, crd, nodes, ...; helm template"):
        return
    if missing := list(_missing(commands, settings)):
        raise ServiceError("missing:" + "".join(f"\n    - {each}" for each in missing))


def _missing(commands: Commands, settings: Settings) -> Iterator[str]:
    if not os.environ.get("REGISTRY"):
        yield "REGISTRY: export REGISTRY=<where you push to and the nodes pull from; public for the community edition>"
    if os.environ.get("TRAIN_DATA", "imdb") not in ("", "imdb", "starter"):
        yield "TRAIN_DATA: a job of the cluster has no files of yours; export TRAIN_DATA=imdb or starter"
    template = ("helm", "template", *RELEASE, CHART, *_values_files())
    values = json.dumps(_values(settings))
    rendered = commands.ask(*template, text=values)
    if rendered is None:
        yield f"values that the chart takes: {commands.refusal(*template, text=values)}"
        return
    for resource, brings in CLUSTER.items():
        if commands.ask("kubectl", "get", resource) is None:
            yield f"{resource}: {brings}"
    for definition, brings in OPERATORS.items():
        group = definition.partition(".")[2]
        if f"\napiVersion: {group}/" in rendered and commands.ask("kubectl", "get", f"crd/{definition}") is None:
            yield f"{definition}, of its operator: {brings}"
    classes = items(commands, "storageclass")
    default = "storageclass.kubernetes.io/is-default-class"
    if not any((each["metadata"].get("annotations") or {}).get(default) == "true" for each in classes):
        one = classes[0]["metadata"]["name"] if classes else "NAME"
        yield f"a default storage class: kubectl annotate storageclass {one} {default}=true"
    if any(commands.ask("kubectl", "get", *each.split()) is not None for each in ADDS_NODES):
        return
    wanted, there = asked(rendered), free(commands, beside=NAMESPACE)
    if there and (wanted.cpus > there.cpus or wanted.memory_bytes > there.memory_bytes):
        small = "export CHART_VALUES=deploy/chart/values-small.yaml"
        yield f"{wanted} in all, of which the nodes have {there} to give: add nodes, or {small}"


def apply(commands: Commands, settings: Settings) -> None:
    """Have the chart's release as these settings say, and wait until all of it is ready; raises ServiceError."""
    namespace = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": NAMESPACE, "labels": {"pod-security.kubernetes.io/enforce": "baseline"}},
    }
    command = ("kubectl", "apply", "--filename", "-")
    commands.run(*command, text=json.dumps(namespace), hint="may you make the namespace?")
    values = _values(settings)
    if not commands.dry_run:
        values["digests"] = {name: pushed_digest(commands, settings, name) for name in OTHER_IMAGES}
        values["credentials"] = {path.name: path.read_text() for path in SECRETS.glob("[!.]*")}
    commands.run(
        "helm", "upgrade", "--install", *RELEASE, CHART, *_values_files(), "--wait", "--wait-for-jobs", TIMEOUT,
        text=json.dumps(values),
        hint=f"`kubectl --namespace {NAMESPACE} get pods` tells which is not ready, `kubectl logs` why",
    )  # fmt: skip


def test(commands: Commands, _settings: Settings) -> None:
    """Score a text and send a message, from inside the cluster; raises ServiceError."""
    hint = f"`kubectl --namespace {NAMESPACE} logs test --all-containers` says why"
    commands.run("helm", "test", *RELEASE, "--timeout=3m", hint=hint)


def remove(commands: Commands, _settings: Settings, *, data: bool) -> None:
    """Take the release away; volumes stay, those of RabbitMQ by a cluster of no node, but where the data are to go."""
    hint = f"`kubectl --namespace {NAMESPACE} get all` shows what is left"
    commands.run("helm", "uninstall", *RELEASE, "--ignore-not-found", "--wait", TIMEOUT, hint=hint)
    if data:
        commands.run("kubectl", "delete", "namespace", NAMESPACE, "--ignore-not-found", TIMEOUT, hint=hint)
        return
    commands.run(*KUBECTL, "delete", "pod/test", "--ignore-not-found", hint=hint)
    if commands.dry_run or commands.ask(*KUBECTL, "get", BROKER) is not None:
        patch = json.dumps({"spec": {"replicas": 0}})
        commands.run(*KUBECTL, "patch", BROKER, "--type=merge", f"--patch={patch}", hint=hint)


def _values_files() -> list[str]:
    """Return options of Helm: our values on its standard input, which so are in no file, then those of CHART_VALUES."""
    files = filter(None, os.environ.get("CHART_VALUES", "").split(":"))
    return ["--values=-", *(f"--values={file}" for file in files)]


def _values(settings: Settings) -> dict[str, object]:
    """Return the chart's values as these settings have them."""
    known = json.loads((ROOT / CHART / "values.schema.json").read_text())["properties"]["settings"]["properties"]
    given = {name: value for name in known if (value := os.environ.get(name))}
    if "rabbitmq" not in settings.ours:
        # A broker of the user's may be older than partitions are.
        given["STREAM_PARTITIONS"] = settings.variables["STREAM_PARTITIONS"]
    return {
        "registry": settings.variables["REGISTRY"],
        "tag": settings.variables["TAG"],
        "settings": given,
        "servers": {name: "external" for name in SERVERS if name not in settings.ours},
    }
