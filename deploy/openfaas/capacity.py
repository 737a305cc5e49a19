"""Processors and memory of a cluster: what a rendered chart asks for, and what the nodes have to give."""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from deploy.openfaas.commands import Commands

UNITS = {"m": 1e-3, "": 1, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12} | {
    f"{prefix}i": 1024.0**power for power, prefix in enumerate("KMGT", start=1)
}


class Resources(NamedTuple):
    """Processors and memory."""

    cpus: float
    memory_bytes: float

    def __str__(self) -> str:
        """Write them as a person reads them."""
        return f"{self.cpus:.1f} processors and {self.memory_bytes / 2**30:.1f} GiB of memory"


def asked(rendered: str) -> Resources:
    """Return what a chart that Helm has rendered asks for, without the jobs, which end."""
    found = []
    for document in rendered.split("\n---\n"):
        if re.search("^kind: (Deployment|StatefulSet|RabbitmqCluster|MongoDBCommunity)$", document, re.MULTILINE):
            number = re.search(r"^  (?:replicas|members): (\d+)", document, re.MULTILINE)
            # Of the bridge, its autoscaler has it.
            number = number or re.search(r"^  minReplica(?:s|Count): (\d+)", rendered, re.MULTILINE)
            requests = re.findall(r'requests: {cpu: "?([\w.]+)"?, memory: "?([\w.]+)"?}', document)
            found += requests * int(number[1] if number else 1)
    return _sum({"cpu": cpu, "memory": memory} for cpu, memory in found)


def free(commands: Commands, beside: str) -> Resources | None:
    """Return what all nodes have that pods of other namespaces than `beside` don't ask for; None where none is told."""
    nodes = items(commands, "nodes")
    if not nodes:
        return None
    there = _sum(each["status"]["allocatable"] for each in nodes if not each["spec"].get("unschedulable"))
    pods = items(commands, "pods", "--all-namespaces", "--field-selector=status.phase=Running")
    taken = _sum(
        container["resources"].get("requests", {})
        for pod in pods
        if pod["metadata"]["namespace"] != beside
        for container in pod["spec"]["containers"]
    )
    return Resources(there.cpus - taken.cpus, there.memory_bytes - taken.memory_bytes)


def items(commands: Commands, *what: str) -> list[dict[str, Any]]:
    """Return what `kubectl get` lists; nothing where it may not be seen."""
    answer = commands.ask("kubectl", "get", *what, "--output=json")
    found: list[dict[str, Any]] = json.loads(answer or '{"items": []}')["items"]
    return found


def _sum(quantities: Iterable[Mapping[str, str]]) -> Resources:
    found = [(_number(each.get("cpu", "0")), _number(each.get("memory", "0"))) for each in quantities]
    return Resources(sum(cpus for cpus, _ in found), sum(memory_bytes for _, memory_bytes in found))


def _number(quantity: str) -> float:
    """Return a quantity as Kubernetes writes it: 500m, 2, 96Mi."""
    number = quantity.rstrip("".join(UNITS))
    return float(number) * UNITS[quantity.removeprefix(number)]
