"""Stands in for docker, faas-cli, kubectl and helm: keeps what they were told, and behaves as they did on a cluster.

A Job can't be changed; a function that is removed is listed for some time; a Deployment is rolled out where its
template is another one, and only then; what is annotated so outlives its release. The folder is in STANDIN.
"""

import hashlib
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

FOLDER = Path(os.environ["STANDIN"])
STATE = FOLDER / "state.json"
LISTED_AFTER_REMOVAL = 3
EMPTY: dict[str, Any] = {
    "functions": {}, "going": {}, "secrets": [], "resources": {}, "rollouts": {}, "revision": 0, "namespace": False,
    "tests": 0, "crds": ["rabbitmqclusters.rabbitmq.com", "mongodbcommunity.mongodbcommunity.mongodb.com"],
    "classes": [{"metadata": {"annotations": {"storageclass.kubernetes.io/is-default-class": "true"}}}],
    "there": ["namespace/openfaas", "apiservice/v1beta1.metrics.k8s.io"], "login": True, "pushed": "first",
    "helm": "v3.18.4", "pods": [],
    "nodes": [{"spec": {}, "status": {"allocatable": {"cpu": "7910m", "memory": "16384256Ki"}}}],
}  # fmt: skip


def fail(words: str) -> None:
    """End as a tool that failed."""
    print(words, file=sys.stderr)
    sys.exit(1)


def option(arguments: list[str], name: str) -> str:
    """Return an option's value, after it or after its equals sign."""
    for position, each in enumerate(arguments):
        if each == name:
            return arguments[position + 1]
        if each.startswith(f"{name}="):
            return each.partition("=")[2]
    raise LookupError(name)


def docker(state: dict[str, Any], arguments: list[str]) -> None:
    if arguments[:2] == ["image", "inspect"]:
        image = arguments[-1]
        digest = hashlib.sha256(f"{image} {state['pushed']}".encode()).hexdigest()
        print(f"{image.rpartition(':')[0]}@sha256:{digest}" if "RepoDigests" in arguments[3] else digest)


def faas_cli(state: dict[str, Any], arguments: list[str]) -> None:
    functions, going = state["functions"], state["going"]
    match arguments:
        case ["version", "--short-version"]:
            pass
        case ["version"]:
            fail("Unable to find latest version online error: dial tcp: lookup github.com: no such host")
        case ["generate", *_]:
            print(option(arguments, "--filter"))
        case _ if not state["login"]:
            fail("Cannot connect to OpenFaaS on URL: x509: certificate has expired")
        case ["list", *_]:
            print("\n".join([*functions, *going]))
            for name in [*going]:
                going[name] -= 1
                if going[name] <= 0:
                    del going[name]
        case ["describe", name, *_]:
            print(json.dumps({"annotations": functions.get(name, {}), "availableReplicas": 1}))
        case ["deploy", *_]:
            key, _, value = option(arguments, "--annotation").partition("=")
            functions[option(arguments, "--filter")] = {key: value}
        case ["remove", name]:
            if functions.pop(name, None) is not None:
                going[name] = LISTED_AFTER_REMOVAL
        case ["secret", "list"]:
            print("\n".join(state["secrets"]))
        case ["secret", "create", name, *_]:
            state["secrets"].append(name)
        case ["secret", "remove", name]:
            state["secrets"].remove(name)


def kubectl(state: dict[str, Any], arguments: list[str]) -> None:
    if arguments[0] == "--namespace":
        arguments = arguments[2:]
    resources = state["resources"]
    match arguments:
        case ["version"]:
            pass
        case ["get", "storageclass", *_]:
            print(json.dumps({"items": state["classes"]}))
        case ["get", "nodes" | "pods" as what, *_]:
            print(json.dumps({"items": state[what]}))
        case ["get", "rabbitmqclusters.rabbitmq.com/rabbitmq"]:
            if "RabbitmqCluster/rabbitmq" not in resources:
                fail("not found")
        case ["get", what] | ["get", "--namespace=kube-system", what]:
            if what.removeprefix("crd/") not in [*state["there"], *state["crds"]]:
                fail(f"{what}: not found")
        case ["apply", "--filename", "-"]:
            state["namespace"] = json.load(sys.stdin)["metadata"]
        case ["patch", _, "--type=merge", patch]:
            changed = json.loads(patch.removeprefix("--patch="))["spec"]
            resources["RabbitmqCluster/rabbitmq"]["spec"] |= changed
        case ["delete", "namespace", *_]:
            state |= {"namespace": False, "resources": {}}
        case ["delete", "pod/test", *_]:
            resources.pop("Pod/test", None)


def helm(state: dict[str, Any], arguments: list[str]) -> None:
    resources = state["resources"]
    match arguments:
        case ["version", *_]:
            print(state["helm"])
        case ["template", *_]:
            print("\n---\n".join(rendered(arguments, 1)))
        case ["upgrade", "--install", *_]:
            if not state["namespace"]:
                fail("namespaces not found")
            state["revision"] += 1
            documents = [each for text in rendered(arguments, state["revision"]) for each in read(text)]
            wanted = {
                f"{each['kind']}/{each['metadata']['name']}": each
                for each in documents
                if each and "helm.sh/hook" not in each["metadata"].get("annotations", {})
            }
            for name, document in wanted.items():
                before = resources.get(name)
                template = document.get("spec", {}).get("template")
                if before and document["kind"] == "Job" and before["spec"] != document["spec"]:
                    fail(f"cannot patch {name}: field is immutable")
                if document["kind"] == "Deployment" and (before is None or before["spec"]["template"] != template):
                    state["rollouts"][name] = state["rollouts"].get(name, 0) + 1
            state["resources"] = wanted
        case ["uninstall", *_]:
            state["resources"] = {
                name: each
                for name, each in resources.items()
                if each["metadata"].get("annotations", {}).get("helm.sh/resource-policy") == "keep"
            }
        case ["test", *_]:
            state["tests"] += 1


def read(text: str) -> list[Any]:
    """Return the documents of YAML."""
    import yaml

    return list(yaml.load_all(text, yaml.CSafeLoader))


def rendered(arguments: list[str], revision: int) -> list[str]:
    """Return what the chart that is named renders for the values on the standard input and in files."""
    import helm_python  # takes longer than all else: most calls need none

    values: dict[str, Any] = {}
    for each in arguments:
        if each.startswith("--values="):
            file = each.partition("=")[2]
            (given,) = read(sys.stdin.read() if file == "-" else Path(file).read_text())
            for key, value in given.items():
                values[key] = {**values.get(key, {}), **value} if isinstance(value, dict) else value
    try:
        with helm_python.Chart.load("deploy/chart") as chart:
            chart.validate_schema(values)
            found = chart.render(values, name="sentiment", namespace="sentiment", revision=revision)
    except helm_python.HelmError as error:
        fail(f"Error: {error}")
    return [text for name, text in found.items() if re.search(r"\.yaml$", name)]


if __name__ == "__main__":
    tool, *given = sys.argv[1:]
    known = json.loads(STATE.read_text()) if STATE.exists() else EMPTY
    with (FOLDER / "calls").open("a") as calls:
        calls.write(f"{tool} {' '.join(given)}\n")
    {"docker": docker, "faas-cli": faas_cli, "kubectl": kubectl, "helm": helm}[tool](known, given)
    STATE.write_text(json.dumps(known))
