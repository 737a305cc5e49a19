"""What the chart renders, by Helm's own engine, without a cluster."""

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.secrets import make
from tests.project import ROOT

helm_python = pytest.importorskip("helm_python", reason="there is no wheel of Helm for this machine")
CHART = ROOT / "deploy" / "chart"
REGISTRY = "registry.example/team"
Document = dict[str, Any]
Values = Mapping[str, Any]


def small() -> Values:
    values: Values = yaml.safe_load((CHART / "values-small.yaml").read_text())
    return values


OWN_SERVERS: Values = {
    "servers": {"s3": "external", "mongodb": "external", "rabbitmq": "external"},
    "settings": {"S3_ENDPOINT_URL": "https://store.example", "STREAM_PARTITIONS": 0},
}
OF_THEIRS = ("store.example", "gateway.example", "prometheus.example")
IMAGES: Mapping[str, str] = yaml.safe_load((CHART / "values.yaml").read_text())["images"]
MIRROR = {name: f"{REGISTRY}/{name.lower()}:1" for name in IMAGES}
CASES: Mapping[str, Values] = {
    "default": {},
    "small": small(),
    "servers of one's own": OWN_SERVERS,
    "a store of one's own": {"servers": {"s3": "external"}, "settings": {"S3_ENDPOINT_URL": "https://store.example"}},
    "a MongoDB of one's own": {"servers": {"mongodb": "external"}},
    "a RabbitMQ of one's own": {"servers": {"rabbitmq": "external"}},
    "a plain RabbitMQ": {"servers": {"rabbitmq": "chart"}},
    "a plain MongoDB": {"servers": {"mongodb": "chart"}},
    "KEDA": {"bridge": {"autoscaler": "keda"}, "prometheus": True},
    "KEDA and a Prometheus of one's own": {
        "bridge": {"autoscaler": "keda", "prometheusUrl": "http://prometheus.example:9090"}
    },
    "Prometheus": {"prometheus": True},
    "small, with KEDA": {**small(), "bridge": {"autoscaler": "keda", "minReplicas": 1}, "prometheus": True},
    "no schedule": {"cronConnector": False},
    "a plain stream": {"settings": {"STREAM_PARTITIONS": 0}},
    "a queue": {"settings": {"BRIDGE_SOURCE": "queue:reviews", "BRIDGE_LABELS": ""}},
    "text for numbers": {"settings": {"STREAM_PARTITIONS": "3", "STREAM_MAX_BYTES": "250000000"}},
    "numbers of all kinds": {"settings": {"BRIDGE_BATCH_WAIT_SECONDS": 0.005, "BRIDGE_BUFFER_BYTES": 8388608}},
    "one node each": {"rabbitmq": {"nodes": 1}, "mongodb": {"nodes": 1}, "bridge": {"minReplicas": 1}},
    "five nodes": {"rabbitmq": {"nodes": 5, "cpu": 2}, "mongodb": {"nodes": 5, "storage": "500Gi"}},
    "digests": {"digests": {"bridge": f"sha256:{'a' * 64}", "bootstrap": f"sha256:{'b' * 64}"}},
    "OpenFaaS elsewhere": {"openfaas": {"namespace": "faas", "functionNamespace": "faas-fn"}},
    "a gateway of one's own": {"settings": {"GATEWAY_URL": "https://gateway.example"}},
    "a mirror": {"images": MIRROR, "tag": "1.2.3", "prometheus": True},
    "first model": {"settings": {"TRAIN_DATA": "starter", "SIGN_SERVED": "yes"}, "bootstrap": {"memory": "1Gi"}},
}


@cache
def credentials(folder: Path) -> Mapping[str, str]:
    """Return the credentials that a deployment makes."""
    make(folder, "mongodb-svc.sentiment.svc", "rabbitmq.sentiment.svc", given={})
    return {path.name: path.read_text() for path in folder.iterdir()}


def render(values: Values, *, revision: int = 1) -> list[Document]:
    """Return what Helm would apply for these values, beside a registry; raises HelmError."""
    return [each for each in yaml.load_all(rendered(values, revision=revision), yaml.CSafeLoader) if each]


def rendered(values: Values, *, revision: int = 1) -> str:
    """Return the same as Helm writes it."""
    with helm_python.Chart.load(str(CHART)) as chart:
        given = json.loads(json.dumps({"registry": REGISTRY, **values}))
        chart.validate_schema(given)
        found = chart.render(given, name="sentiment", namespace="sentiment", revision=revision)
    return "\n---\n".join(text for name, text in found.items() if name.endswith(".yaml"))


def named(documents: list[Document], kind: str, name: str) -> Document:
    """Return one of the documents; of a Job the name is without what tells one run from the next."""
    (found,) = [
        each
        for each in documents
        if each["kind"] == kind and re.sub(r"-\d+-[0-9a-f]{8}$", "", each["metadata"]["name"]) == name
    ]
    return found


def pods(documents: list[Document]) -> Iterator[tuple[str, Document]]:
    """Return the specifications of pods, each with a name."""
    for document in documents:
        if document["kind"] in ("Deployment", "StatefulSet", "Job"):
            yield document["metadata"]["name"], document["spec"]["template"]["spec"]
        elif document["kind"] == "Pod":
            yield document["metadata"]["name"], document["spec"]


def environment(pod: Document) -> dict[str, str]:
    """Return the variables that the first container of a pod has as text."""
    return {each["name"]: each["value"] for each in pod["containers"][0]["env"] if "value" in each}


def strings(value: object) -> Iterator[str]:
    """Return every text in a document."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from strings(each)
    elif isinstance(value, list):
        for each in value:
            yield from strings(each)
