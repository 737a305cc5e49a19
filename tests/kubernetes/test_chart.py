"""What the Helm chart renders: what Kubernetes takes, no more rights than needed, and the settings that were given."""

import base64
import copy
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jsonschema
import kubernetes_validate
import pytest
import yaml

from contracts.names import FUNCTIONS
from deploy.chart_files import files
from deploy.openfaas import capacity
from deploy.rights import BUCKET, RECORDS
from tests.kubernetes.rendering import (
    CASES,
    CHART,
    IMAGES,
    MIRROR,
    OF_THEIRS,
    OWN_SERVERS,
    REGISTRY,
    Document,
    Values,
    credentials,
    environment,
    helm_python,
    named,
    pods,
    render,
    rendered,
    small,
    strings,
)
from tests.project import ROOT

KUBERNETES_VERSION = "1.34"
CRDS = ROOT.parent / "shared" / "crds"
# Secrets that are not the chart's: of RabbitMQ's operator, and of OpenFaaS.
OTHERS_SECRETS = {"rabbitmq-default-user", "basic-auth"}
OPERATORS_HOSTS = {"RabbitmqCluster": "rabbitmq.sentiment.svc", "MongoDBCommunity": "mongodb-svc.sentiment.svc"}


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Values:
    """The credentials of a deployment, as values."""
    return {"credentials": credentials(tmp_path_factory.mktemp("chart") / "secrets")}


@pytest.fixture(params=CASES, scope="module")
def values(request: pytest.FixtureRequest, known: Values) -> Values:
    return {**CASES[request.param], **known}


@pytest.fixture(scope="module")
def documents(values: Values) -> list[Document]:
    return render(values)


def test_kubernetes_takes_all_of_it(documents: list[Document]) -> None:
    for document in documents:
        if "." not in document["apiVersion"] or document["apiVersion"].endswith(".k8s.io/v1"):
            kubernetes_validate.validate(document, KUBERNETES_VERSION, strict=True)


def test_the_operators_take_what_is_theirs(documents: list[Document]) -> None:
    if not CRDS.is_dir():
        pytest.skip("the operators' schemas are not beside this folder, in ../shared/crds")
    for document in documents:
        if schema := schemas().get((document["apiVersion"], document["kind"])):
            jsonschema.Draft202012Validator(schema).validate(document)


@cache
def schemas() -> dict[tuple[str, str], Document]:
    """Return the operators' schemas, closed: Kubernetes drops in silence what they do not name."""
    found = {}
    for path in CRDS.glob("*.yaml"):
        definition = yaml.load(path.read_text(), yaml.CSafeLoader)["spec"]
        for version in definition["versions"]:
            key = f"{definition['group']}/{version['name']}", definition["names"]["kind"]
            schema = version["schema"]["openAPIV3Schema"]
            schema["properties"]["metadata"] = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
            found[key] = closed(schema)
    return found


def closed(schema: Any) -> Any:
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found = {name: closed(each) for name, each in schema.items()}
    if isinstance(schema.get("properties"), dict) and not schema.get("x-kubernetes-preserve-unknown-fields"):
        found.setdefault("additionalProperties", False)
    return found


def test_a_part_of_an_operator_that_its_schema_does_not_have_is_seen() -> None:
    if not CRDS.is_dir():
        pytest.skip("the operators' schemas are not beside this folder, in ../shared/crds")
    cluster = copy.deepcopy(named(render({}), "RabbitmqCluster", "rabbitmq"))
    cluster["spec"]["rabbitmq"]["plugins"] = []
    with pytest.raises(jsonschema.ValidationError, match="plugins"):
        jsonschema.Draft202012Validator(schemas()["rabbitmq.com/v1beta1", "RabbitmqCluster"]).validate(cluster)


def test_no_host_is_a_machine_of_its_own(documents: list[Document]) -> None:
    texts = [*strings(documents), *(text for secret in opened(documents).values() for text in secret.values())]
    for text in texts:
        assert not re.search(r"127\.0\.0\.|localhost|\[::1\]", text.replace("localhost\n", "")), text


def opened(documents: list[Document]) -> dict[str, dict[str, str]]:
    """Return what is in each Secret."""
    return {
        document["metadata"]["name"]: {key: base64.b64decode(value).decode() for key, value in document["data"].items()}
        for document in documents
        if document["kind"] == "Secret"
    }


def test_each_host_is_a_service_of_the_chart_or_of_an_operator(documents: list[Document], values: Values) -> None:
    hosts = {f"gateway.{values.get('openfaas', {}).get('namespace', 'openfaas')}", *OF_THEIRS}
    for document in documents:
        if document["kind"] == "Service":
            hosts.add(f"{document['metadata']['name']}.sentiment.svc")
        elif document["kind"] in OPERATORS_HOSTS:
            hosts.add(OPERATORS_HOSTS[document["kind"]])
    servers = values.get("servers", {})
    if servers.get("rabbitmq") == "external":
        hosts.add(OPERATORS_HOSTS["RabbitmqCluster"])  # as these credentials have it
    if servers.get("mongodb") == "external":
        hosts.add(OPERATORS_HOSTS["MongoDBCommunity"])
    texts = [text for name, pod in pods(documents) for text in strings(pod)]
    texts += [text for secret in opened(documents).values() for text in secret.values()]
    urls = [url for text in texts for url in re.findall(r"[a-z-]+://[^\s\"']+", text)]
    assert len(urls) > 10
    assert {urlsplit(url).hostname for url in urls} <= hosts


def test_each_image_is_of_the_registry_or_one_of_those_that_values_name(
    documents: list[Document], values: Values
) -> None:
    others = values.get("images") or IMAGES
    images = [container["image"] for _, pod in pods(documents) for container in pod["containers"]]
    images += [document["spec"]["image"] for document in documents if document["kind"] == "RabbitmqCluster"]
    own = rf"{re.escape(REGISTRY)}/sentiment-(bridge|bootstrap):[\w.]+(@sha256:[0-9a-f]{{64}})?"
    for image in images:
        assert image in others.values() or re.fullmatch(own, image), image
    if others is MIRROR:
        assert all(image.startswith(f"{REGISTRY}/") for image in images)


def test_a_pod_has_no_more_rights_than_it_needs(documents: list[Document]) -> None:
    for name, pod in pods(documents):
        assert pod["automountServiceAccountToken"] is False, name
        security = pod["securityContext"]
        assert security["runAsNonRoot"] is True
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        assert min(security[key] for key in ("runAsUser", "runAsGroup", "fsGroup")) > 0
        for container in pod["containers"]:
            assert container["securityContext"]["allowPrivilegeEscalation"] is False
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
            assert container["resources"]["requests"].keys() == {"cpu", "memory"}
            assert container["resources"]["limits"]["memory"]


def test_each_secret_that_a_pod_wants_is_there_with_the_key_that_it_wants(documents: list[Document]) -> None:
    there = opened(documents)
    for _, pod in pods(documents):
        for volume in pod["volumes"]:
            if "secret" in volume:
                assert volume["secret"]["secretName"] in {*there, *OTHERS_SECRETS}
        for container in pod["containers"]:
            for variable in container.get("env", ()):
                if wanted := variable.get("valueFrom", {}).get("secretKeyRef"):
                    assert wanted["name"] in OTHERS_SECRETS or wanted["key"] in there[wanted["name"]]
    for document in documents:
        if document["kind"] == "MongoDBCommunity":
            for user in document["spec"]["users"]:
                assert there[user["passwordSecretRef"]["name"]].keys() == {"password"}


def test_no_secret_is_outside_of_secrets(documents: list[Document], known: Values) -> None:
    others = [text for document in documents if document["kind"] != "Secret" for text in strings(document)]
    for name, value in known["credentials"].items():
        if re.search("password|token|signing|secret-key", name) and value.strip():
            assert not [text for text in others if value.strip() in text], name


def test_no_autoscaler_starts_more_bridges_than_there_are_partitions(documents: list[Document]) -> None:
    bridge = named(documents, "Deployment", "bridge")["spec"]
    assert "replicas" not in bridge  # it would fight with the autoscaler
    partitions = max(1, int(environment(bridge["template"]["spec"])["STREAM_PARTITIONS"]))
    (scaler,) = [each["spec"] for each in documents if each["kind"] in ("HorizontalPodAutoscaler", "ScaledObject")]
    least, most = (scaler.get(f"{end}Replicas") or scaler[f"{end}ReplicaCount"] for end in ("min", "max"))
    assert 1 <= least <= most == partitions


def test_what_one_pod_may_send_the_other_may_receive(documents: list[Document]) -> None:
    policies = {each["metadata"]["name"]: each for each in documents if each["kind"] == "NetworkPolicy"}
    selectors = {
        json.dumps(each["spec"]["podSelector"]["matchLabels"]): name
        for name, each in policies.items()
        if name != "default-deny"
    }

    def talks(direction: str, end: str) -> Iterator[tuple[str, str, str]]:
        for name, policy in policies.items():
            for rule in policy["spec"].get(direction) or ():
                for peer in rule.get(end, ()):
                    if other := selectors.get(json.dumps(peer.get("podSelector", {}).get("matchLabels"))):
                        pair = (name, other) if direction == "egress" else (other, name)
                        yield (*pair, json.dumps(rule.get("ports")))

    sent, received = set(talks("egress", "to")), set(talks("ingress", "from"))
    assert sent == received
    assert ("bridge", "mongodb", '[{"port": 27017}]') in sent or "mongodb" not in policies
    assert {policies[name]["metadata"]["namespace"] for name in FUNCTIONS} in ({"openfaas-fn"}, {"faas-fn"})
    for name in (*FUNCTIONS, "bridge", "bootstrap"):
        assert policies[name]["spec"]["policyTypes"] == ["Ingress", "Egress"]


def test_every_pod_is_closed_but_to_those_named(documents: list[Document]) -> None:
    policies = {each["metadata"]["name"]: each["spec"] for each in documents if each["kind"] == "NetworkPolicy"}
    assert policies["default-deny"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    for name, policy in policies.items():
        for rule in policy.get("ingress") or ():
            assert rule["from"], name
    labels = [
        each["spec"]["template"]["metadata"]["labels"] for each in documents if "template" in each.get("spec", {})
    ]
    selectors = [policy["podSelector"].get("matchLabels") for policy in policies.values()]
    assert [each for each in labels if each not in selectors and each != {"app": "cron-connector"}] == []


def test_helm_finds_nothing_to_say_about_the_chart() -> None:
    for given in ({}, small(), OWN_SERVERS):
        report = helm_python.lint(str(CHART), {"registry": REGISTRY, **given}, strict=True)
        assert report["errors"] == []
        assert [each for each in report["messages"] if each["severity"] > 1] == []


def test_what_follows_from_elsewhere_is_as_it_follows() -> None:
    """Write it again with `python -m deploy.chart_files`."""
    for path, content in files().items():
        assert path.read_text() == content, path


@pytest.mark.parametrize(
    "wrong",
    [
        {"settings": {"BRIDGE_IN_FLIHGT": 3}},
        {"settings": {"STREAM_PARTITIONS": "many"}},
        {"settings": {"SIGN_SERVED": True}},  # what YAML makes of yes
        {"settings": {"RABBITMQ_URL": "amqp://user:password@broker.example"}},  # a credential
        {"servers": {"s3": "operator"}},
        {"rabbitmq": {"nodes": 0}},
        {"bridge": {"autoscaler": "by hand"}},
        {"digests": {"bridge": "latest"}},
    ],
)
def test_values_that_mean_nothing_are_refused(wrong: Values) -> None:
    with pytest.raises(helm_python.HelmError):
        render(wrong)


@pytest.mark.parametrize(
    ("missing", "words"),
    [
        ({"registry": ""}, "where the cluster finds the images"),
        ({"servers": {"s3": "external"}}, "where your store is"),
        ({"bridge": {"autoscaler": "keda"}}, "whom KEDA asks"),
        ({"credentials": {"mongodb-url": "mongodb://of"}}, "is missing"),
    ],
)
def test_what_is_missing_is_said(missing: Values, words: str) -> None:
    with pytest.raises(helm_python.HelmError, match=words):
        render(missing)


def test_settings_reach_the_bridge_and_the_first_model() -> None:
    given = {
        "S3_ENDPOINT_URL": "https://store.example", "S3_BUCKET": "texts", "AWS_REGION": "eu-central-1",
        "GATEWAY_URL": "https://gateway.example", "BRIDGE_IN_FLIGHT": 3, "BRIDGE_REPLY_PREFIX": "answers-",
        "STREAM_PARTITIONS": 6, "TRAIN_DATA": "starter", "LOG_LEVEL": "debug", "RECORD_TTL_DAYS": 30,
        "STREAM_MAX_BYTES": 3_000_000_000,
    }  # fmt: skip
    documents = render({"servers": {"s3": "external"}, "settings": given})
    for kind, name in (("Deployment", "bridge"), ("Job", "bootstrap")):
        found = environment(named(documents, kind, name)["spec"]["template"]["spec"])
        assert {key: found[key] for key in given} == {key: str(value) for key, value in given.items()}


@pytest.mark.parametrize("service", ["bridge", "bootstrap"])
def test_every_setting_that_compose_hands_on_is_one_of_the_chart(service: str) -> None:
    known = json.loads((CHART / "values.schema.json").read_text())["properties"]["settings"]["properties"]
    compose = yaml.safe_load((ROOT / "compose.yml").read_text())["services"][service]["environment"]
    of_functions = {
        name
        for function in yaml.safe_load((ROOT / "stack.yml").read_text())["functions"].values()
        for name in function["environment"]
    }
    assert compose.keys() - {"SECRETS_DIR", "PROMOTED_BY"} - of_functions <= known.keys()
    assert {"S3_BUCKET", "RECORD_TTL_DAYS", "LOG_LEVEL", "MAX_BODY_BYTES"} <= known.keys()


def changes(values: Values, others: Values) -> set[str]:
    """Return the names of what is rolled out, or made anew, where these values follow on those."""

    def templates(given: Values) -> dict[str, Document]:
        return dict(annotated(render(given)))

    before, after = templates(values), templates(others)
    return {name for name in after if after[name] != before.get(name)}


def annotated(documents: list[Document]) -> Iterator[tuple[str, Document]]:
    for document in documents:
        if document["kind"] in ("Deployment", "StatefulSet", "Job"):
            yield document["metadata"]["name"], document["spec"]["template"]


def test_a_changed_secret_rolls_out_those_that_have_it(known: Values) -> None:
    changed = {"credentials": {**known["credentials"], "bridge-mongodb-url": "mongodb://other.example"}}
    assert changes(known, changed) == {"bridge"}
    changed = {"credentials": {**known["credentials"], "s3-access-key": "another"}}
    found = {re.sub(r"-\d+-[0-9a-f]{8}$", "", name) for name in changes(known, changed)}
    assert found == {"minio", "minio-users", "bootstrap"}


def test_another_image_of_the_same_tag_rolls_the_bridge_out(known: Values) -> None:
    def pushed(digit: str) -> Values:
        return {**known, "digests": {"bridge": f"sha256:{digit * 64}"}}

    assert "bridge" in changes(pushed("a"), pushed("b"))
    assert changes(pushed("a"), pushed("a")) == set()


def test_a_job_is_never_changed_but_made_anew(known: Values) -> None:
    """Kubernetes refuses another template for a Job: field is immutable."""

    def jobs(revision: int, tag: str) -> dict[str, Document]:
        documents = render({**known, "tag": tag}, revision=revision)
        return {each["metadata"]["name"]: each["spec"] for each in documents if each["kind"] == "Job"}

    first, again, newer = jobs(1, "1"), jobs(2, "1"), jobs(1, "2")
    assert len(first) == 3
    assert not first.keys() & again.keys()
    for name in first.keys() & newer.keys():
        assert first[name] == newer[name]
    assert max(map(len, first)) <= 63


def test_rabbitmq_has_the_route_that_its_operator_probes() -> None:
    found = re.fullmatch(
        r"rabbitmq:(\d+)\.(\d+)\.(\d+)-management", named(render({}), "RabbitmqCluster", "rabbitmq")["spec"]["image"]
    )
    assert found
    assert tuple(map(int, found.groups())) >= (4, 2, 4)


def test_each_part_is_a_user_of_mongodb_with_its_own_rights(known: Values) -> None:
    documents = render(known)
    spec, secrets = named(documents, "MongoDBCommunity", "mongodb")["spec"], opened(documents)
    roles = {role["role"]: role["privileges"] for role in spec["security"]["roles"]}
    users = {user["name"]: user for user in spec["users"]}
    assert users.keys() == {*RECORDS, "sentiment"}
    for part, rights in RECORDS.items():
        assert {each["resource"]["collection"]: tuple(each["actions"]) for each in roles[part]} == rights
        assert {each["resource"]["db"] for each in roles[part]} == {"sentiment"}
        assert users[part]["roles"] == [{"name": part, "db": "admin"}]
        password = secrets[users[part]["passwordSecretRef"]["name"]]["password"]
        login = urlsplit(known["credentials"][f"{part}-mongodb-url"])
        assert (login.username, login.password) == (part, password)
        assert login.hostname == OPERATORS_HOSTS["MongoDBCommunity"]


@pytest.mark.parametrize("given", [{}, small()])
def test_a_part_finds_the_passwords_of_no_other(known: Values, given: Values) -> None:
    secrets = opened(render({**given, **known}))
    for key in ("mongodb-url", "rabbitmq-url", "rabbitmq-stream-url"):
        assert secrets["bridge"][key] == known["credentials"][f"bridge-{key}"]
        assert urlsplit(secrets["bridge"][key]).username == "bridge"
    assert secrets["bridge"].keys() == {
        "mongodb-url", "rabbitmq-url", "rabbitmq-stream-url", "retrain-token", "ca-certificates",
    }  # fmt: skip
    assert urlsplit(secrets["test"]["rabbitmq-url"]).username == "reviews"
    assert secrets["bootstrap"].keys() == {
        "s3-access-key", "s3-secret-key", "model-signing-key", "model-public-key", "ca-certificates",
    }  # fmt: skip
    for part in BUCKET:
        assert f"{part}-s3-policy" in secrets["minio-users"]


def test_the_streams_fit_on_the_volume_of_each_node() -> None:
    """A stream holds up to one segment, a quarter of its bound, more than the bound."""
    documents = render({})
    variables = environment(named(documents, "Deployment", "bridge")["spec"]["template"]["spec"])
    streams = int(variables["STREAM_PARTITIONS"]) + len(("labels", "predictions", "rejected"))
    broker = named(documents, "RabbitmqCluster", "rabbitmq")["spec"]
    storage = re.fullmatch(r"(\d+)Gi", broker["persistence"]["storage"])
    kept_free = re.search(r"disk_free_limit.absolute = (\d+)GB", broker["rabbitmq"]["additionalConfig"])
    assert storage
    assert kept_free
    room = int(storage[1]) * 2**30 - int(kept_free[1]) * 10**9
    assert streams * int(variables["STREAM_MAX_BYTES"]) * 1.25 < room


def test_keda_asks_the_prometheus_that_scrapes_the_bridges() -> None:
    documents = render({"bridge": {"autoscaler": "keda"}, "prometheus": True})
    trigger = named(documents, "ScaledObject", "bridge")["spec"]["triggers"][0]["metadata"]
    (port,) = named(documents, "Service", "prometheus")["spec"]["ports"]
    assert trigger["serverAddress"] == f"http://prometheus.sentiment.svc:{port['port']}"
    config = yaml.safe_load(named(documents, "ConfigMap", "prometheus")["data"]["prometheus.yml"])
    (lookup,) = config["scrape_configs"][0]["dns_sd_configs"]
    assert named(documents, "Service", lookup["names"][0])["spec"]["clusterIP"] == "None"


def test_the_bridge_has_probes_a_budget_and_a_place_on_each_node() -> None:
    documents = render({})
    pod = named(documents, "Deployment", "bridge")["spec"]["template"]["spec"]
    assert {"startupProbe", "livenessProbe", "readinessProbe"} <= pod["containers"][0].keys()
    assert pod["containers"][0]["securityContext"]["readOnlyRootFilesystem"] is True
    assert pod["topologySpreadConstraints"][0]["topologyKey"] == "kubernetes.io/hostname"
    for name in ("bridge", "mongodb", "rabbitmq"):
        assert named(documents, "PodDisruptionBudget", name)["spec"]["maxUnavailable"] == 1


def test_helm_test_scores_a_text_and_sends_a_message() -> None:
    pod = named(render({}), "Pod", "test")
    assert pod["metadata"]["annotations"]["helm.sh/hook"] == "test"
    commands = {each["name"]: " ".join(each["command"]) for each in pod["spec"]["containers"]}
    assert "/function/predict" in commands["http"]
    assert commands["stream"].startswith("python -m bridge.client")


def test_the_scripts_are_those_of_compose() -> None:
    scripts = named(render({}), "ConfigMap", "scripts")["data"]
    compose = "".join((ROOT / name).read_text() for name in ("compose.yml", "deploy/compose/s3.yml"))
    compose = compose.replace("../chart", "./deploy/chart")
    for name in ("minio-users.sh", "mongodb-users.js", "enabled_plugins"):
        assert scripts[name] == (CHART / "files" / name).read_text()
        assert f"./deploy/chart/files/{name}:" in compose


def test_the_page_says_how_much_is_asked_for_in_all() -> None:
    page = Path(ROOT / "docs" / "deploying.md").read_text().replace("\n", " ")
    for given, title in (({}, "By default it"), (small(), "The small one")):
        cpus, gib = asked(render(given))
        found = re.search(rf"{title} asks for about ([\d.]+) processors and ([\d.]+) GiB", page)
        assert found
        assert float(found[1]) == pytest.approx(cpus, abs=0.15)
        assert float(found[2]) == pytest.approx(gib, abs=0.15)


def test_deploy_sh_adds_up_what_is_asked_for_as_it_is_in_the_documents(
    values: Values, documents: list[Document]
) -> None:
    """It has no reader of YAML."""
    cpus, memory_bytes = capacity.asked(rendered(values))
    assert (cpus, memory_bytes / 2**30) == pytest.approx(asked(documents))


def asked(documents: list[Document]) -> tuple[float, float]:
    """Return processors and GiB of memory that all pods ask for at the start, without those that end."""
    units = {"Gi": 1.0, "Mi": 1 / 1024}
    cpus = gib = 0.0
    (least,) = (
        document["spec"].get("minReplicas") or document["spec"]["minReplicaCount"]
        for document in documents
        if document["kind"] in ("HorizontalPodAutoscaler", "ScaledObject")
    )
    for document in documents:
        spec = document.get("spec", {})
        match document["kind"]:
            case "RabbitmqCluster":
                found, number = [spec], spec["replicas"]
            case "MongoDBCommunity":
                found, number = spec["statefulSet"]["spec"]["template"]["spec"]["containers"], spec["members"]
            case "Deployment" | "StatefulSet":
                found, number = spec["template"]["spec"]["containers"], spec.get("replicas", least)
            case _:
                continue
        for each in found:
            requests = each["resources"]["requests"]
            cpu, memory = str(requests["cpu"]), requests["memory"]
            cpus += number * (float(cpu[:-1]) / 1000 if cpu.endswith("m") else float(cpu))
            gib += number * float(memory[:-2]) * units[memory[-2:]]
    return cpus, gib
