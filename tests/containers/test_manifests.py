"""stack.yml and compose.yml, checked offline: against schemas, and against each other."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import trustme
import yaml

from contracts.names import FUNCTIONS
from deploy.key_pair import public_key, signing_key
from deploy.openfaas.settings import Settings, make_secrets
from deploy.reads import OF_FUNCTIONS, READS
from deploy.rights import BUCKET, RECORDS
from deploy.runner import ServiceError
from deploy.secrets import CREDENTIALS, NONE, given_by, hand_out, make
from deploy.servers import RABBITMQ_IMAGE
from tests.containers import engine
from tests.containers.conftest import compose_command
from tests.project import ROOT

STACK: dict[str, Any] = yaml.safe_load((ROOT / "stack.yml").read_text())
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yml").read_text())
# What faas-cli knows of a function in a stack file (stack.Function of its SDK).
STACK_FIELDS = {
    "lang", "handler", "image", "build_args", "labels", "annotations", "readonly_root_filesystem", "environment",
    "secrets", "requests", "limits",
}  # fmt: skip
OURS = sorted(name for name, service in COMPOSE["services"].items() if "build" in service and name != "secrets")


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_of_the_stack_has_what_openfaas_reads_and_nothing_else(name: str) -> None:
    function = STACK["functions"][name]
    assert set(function) == STACK_FIELDS
    assert function["lang"] == "dockerfile"
    assert function["image"] == f"${{REGISTRY:-127.0.0.1:5000}}/sentiment-{name}:${{TAG:-latest}}"
    assert function["readonly_root_filesystem"] is True
    assert function["annotations"]["com.openfaas.health.http.path"] == "/_/health"
    assert function["annotations"]["com.openfaas.ready.http.path"] == "/_/ready"
    low, high = (int(function["labels"][f"com.openfaas.scale.{end}"]) for end in ("min", "max"))
    assert 1 <= low <= high <= 5
    for value in (*function["labels"].values(), *function["annotations"].values(), *function["environment"].values()):
        assert isinstance(value, str)
    for resources in (function["requests"], function["limits"]):
        assert re.fullmatch(r"\d+m", resources["cpu"])
        assert re.fullmatch(r"\d+[MG]i", resources["memory"])
    assert sorted(function["secrets"]) == sorted(READS[name].values())
    assert not [
        name
        for name in function["environment"]
        if re.search("KEY|SECRET(?!S_PREFIX)|TOKEN|PASSWORD|MONGODB|RABBIT", name)
    ]


def test_the_stack_schedules_retrain_and_drift_alone() -> None:
    schedules = {name: f["annotations"].get("schedule") for name, f in STACK["functions"].items()}
    assert {name for name, schedule in schedules.items() if schedule} == {"retrain", "drift"}
    for name in ("retrain", "drift"):
        assert STACK["functions"][name]["annotations"]["topic"] == "cron-function"
        assert re.fullmatch(r"\$\{\w+:-(\S+ ){4}\S+\}", schedules[name])


def test_faas_cli_finds_all_that_the_dockerfile_copies() -> None:
    copied = set(STACK["configuration"]["copy"])
    assert {"./Dockerfile", "./.dockerignore", "./requirements"} <= copied
    for path in copied:
        assert (ROOT / path).exists()
    for function in STACK["functions"].values():
        assert (ROOT / "requirements" / f"{function['build_args']['LOCK']}.lock").exists()


def copied_by_the_dockerfile() -> list[str]:
    """Return the packages that every image gets."""
    found = re.search(r"cp -r --parents ([a-z_ ]+) \$", (ROOT / "Dockerfile").read_text())
    assert found
    return found[1].split()


def test_the_packages_that_the_dockerfile_copies_get_into_a_build() -> None:
    let_in = (ROOT / ".dockerignore").read_text().splitlines()
    for package in copied_by_the_dockerfile():
        assert f"!{package}" in let_in
        assert f"./{package}" in STACK["configuration"]["copy"]


@pytest.mark.parametrize("name", OURS)
def test_an_image_has_all_that_its_part_imports(tmp_path: Path, name: str) -> None:
    """Of the project itself: the Dockerfile's own command copies it, out of what .dockerignore lets in."""
    app, context = tmp_path / "app", tmp_path / "context"
    app.mkdir()
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        if line.startswith("!"):
            for path in ROOT.glob(line[1:]):
                copy = shutil.copytree if path.is_dir() else shutil.copy
                (context / path.relative_to(ROOT)).parent.mkdir(parents=True, exist_ok=True)
                copy(path, context / path.relative_to(ROOT))
    found = re.search(r"part=\$\(.*?/app ", (ROOT / "Dockerfile").read_text(), re.DOTALL)
    assert found
    module = COMPOSE["services"][name]["build"]["args"]["MODULE"]
    command = found[0].replace(" /app ", f" {app}")
    subprocess.run(["sh", "-c", command], cwd=context, env={**os.environ, "MODULE": module}, check=True)
    start = f"{module}.__main__" if (ROOT / module.replace(".", "/")).is_dir() else module
    command = f"import {start}"
    result = subprocess.run([sys.executable, "-c", command], cwd=app, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    folder = module.replace(".", "/")
    beside = {path.relative_to(ROOT) for path in (ROOT / folder).rglob("*.[!p]*") if path.is_file()}
    assert {path for path in beside if not (app / path).is_file()} == set(), "templates, texts, what a browser gets"


def test_compose_and_the_stack_build_the_same_images() -> None:
    for name, function in STACK["functions"].items():
        assert COMPOSE["services"][name]["build"]["args"] == {**function["build_args"], "BASE_IMAGE": None}
        assert function["environment"]["SECRETS_PREFIX"] == f"{name}-"


def rendered(folder: Path, **environment: str) -> dict[str, Any]:
    """Return the services as compose understands them."""
    result = subprocess.run(
        [*compose_command(), "config"], cwd=ROOT,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), **environment},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    services: dict[str, Any] = yaml.safe_load(result.stdout)["services"]
    return services


@pytest.mark.parametrize("store", ["minio", "seaweedfs"])
def test_compose_accepts_its_file(tmp_path: Path, store: str) -> None:
    services = rendered(tmp_path, COMPOSE_FILE="compose.yml", S3_STORE=store)
    assert store in services["s3"]["image"]
    assert store in services["s3-users"]["image"]
    assert services["predict"]["depends_on"]["s3-users"]["condition"] == "service_completed_successfully"


def test_compose_runs_the_bridge_beside_openfaas_on_the_machines_own_network(tmp_path: Path) -> None:
    user = {"OPENFAAS_URL": "http://gateway.example", "BRIDGE_PORT": "9", "HOST_ADDRESS": "10.62.0.1"}
    settings = Settings.from_environment(user, kubernetes=False)
    services = rendered(tmp_path, **{**settings.variables, "SECRETS_FOLDER": str(tmp_path), "BRIDGE_IN_FLIGHT": "3"})
    for name in ("bridge", "bootstrap"):
        assert services[name]["network_mode"] == "host"
        assert services[name]["read_only"] is True
        assert services[name]["image"] == settings.image(name)
    wanted = {
        "GATEWAY_URL": "http://gateway.example",
        "LISTEN_HOST": "127.0.0.1",
        "LISTEN_PORT": "9",
        "BRIDGE_IN_FLIGHT": "3",
    }
    assert {name: str(value) for name, value in services["bridge"]["environment"].items() if name in wanted} == wanted
    assert ":9/_/ready" in services["bridge"]["healthcheck"]["test"][-1]


@pytest.mark.parametrize(
    ("user", "partitions"),
    [
        ({}, "4"),
        ({"STREAM_PARTITIONS": "2"}, "2"),
        ({"RABBITMQ_URL": "amqps://broker.example/"}, "0"),
        ({"RABBITMQ_URL": "amqps://broker.example/", "STREAM_PARTITIONS": "6"}, "6"),
    ],
)
def test_a_broker_of_the_users_gets_a_super_stream_where_that_is_asked_for(
    user: dict[str, str], partitions: str
) -> None:
    settings = Settings.from_environment({"HOST_ADDRESS": "10.62.0.1", **user}, kubernetes=False)
    assert settings.variables["STREAM_PARTITIONS"] == partitions


def test_the_bridge_gets_every_credential_that_it_reads() -> None:
    wanted = {"mongodb-url", "rabbitmq-url", "rabbitmq-stream-url", "retrain-token", "ca-certificates"}
    assert wanted <= set(CREDENTIALS)
    assert READS["bridge"].keys() == wanted


def test_every_part_of_ours_is_told_whom_to_trust() -> None:
    assert {name for name in OURS if "ca-certificates" not in READS[name]} == set()


def test_a_deployment_hands_on_the_authorities_of_the_users_servers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deploy.openfaas.settings.SECRETS", tmp_path / "secrets")
    file, secret = tmp_path / "authority.pem", tmp_path / "secrets" / "ca-certificates"
    trustme.CA().cert_pem.write_to_path(str(file))
    urls = {"MONGODB_URL": "mongodb://db.example/?tls=true", "RABBITMQ_URL": "amqps://broker.example"}
    user = {**urls, "HOST_ADDRESS": "10.62.0.1"}
    settings = Settings.from_environment(user, kubernetes=False)
    make_secrets(settings, user)
    assert secret.read_text() == NONE
    assert "ca-certificates" in make_secrets(settings, {**user, "CA_FILE": str(file)})
    assert secret.read_bytes() == file.read_bytes()
    make_secrets(settings, user)
    assert secret.read_bytes() == file.read_bytes()
    with pytest.raises(ServiceError, match="CA_FILE must be the path of a PEM file"):
        make_secrets(settings, {**user, "CA_FILE": str(tmp_path / "missing")})


def test_models_are_signed_by_who_publishes_them_and_checked_by_who_reads_them() -> None:
    services = {name: READS[name] for name in OURS}
    publishing = {"retrain", "bootstrap"}
    assert {name for name, secrets in services.items() if "model-signing-key" in secrets} == publishing
    assert {name for name, secrets in services.items() if "model-public-key" in secrets} == {
        *publishing, "predict", "drift",
    }  # fmt: skip


def test_the_key_pair_of_a_deployment_is_made_once(tmp_path: Path) -> None:
    def pair(**given: str) -> tuple[str, str]:
        make(tmp_path, "mongodb", "rabbitmq", {name.replace("_", "-"): value for name, value in given.items()})
        return (tmp_path / "model-signing-key").read_text(), (tmp_path / "model-public-key").read_text()

    signing, public = pair()
    assert public_key(signing) == public
    assert pair() == (signing, public)
    theirs = signing_key()
    assert pair(model_signing_key=theirs) == (theirs, public_key(theirs))
    # Who gives the public half alone has the other one elsewhere, and so it stays.
    assert pair(model_public_key=public) == (NONE, public)
    assert pair() == (NONE, public)
    with pytest.raises(ValueError, match="hexadecimal"):
        pair(model_signing_key="mine")


def test_clients_of_streams_are_sent_where_they_can_go(tmp_path: Path) -> None:
    make(tmp_path, "mongodb.example", "broker.example", given={})
    url = urlsplit((tmp_path / "rabbitmq-stream-url").read_text())
    assert (url.scheme, url.hostname, url.port, url.path) == ("rabbitmq-stream", "broker.example", 5552, "/%2F")
    settings = (tmp_path / "rabbitmq.conf").read_text()
    assert "stream.advertised_host = broker.example\n" in settings
    assert url.password == urlsplit((tmp_path / "rabbitmq-url").read_text()).password
    assert "load_definitions = /run/secrets/rabbitmq-definitions\n" in settings
    users = json.loads((tmp_path / "rabbitmq-definitions").read_text())["users"]
    known = {user["name"]: user["password"] for user in users}
    assert known["sentiment"] == url.password
    for name in ("bridge", "drift", "reviews", "labels"):
        for file in (f"{name}-rabbitmq-url", f"{name}-rabbitmq-stream-url"):
            login = urlsplit((tmp_path / file).read_text())
            assert (login.hostname, login.username, login.password) == ("broker.example", name, known[name])
    assert len(set(known.values())) == len(known)


def test_a_part_reads_the_secrets_of_no_other_user(tmp_path: Path) -> None:
    make(tmp_path / "secrets", "mongodb", "rabbitmq", given={})
    hand_out(tmp_path / "secrets", tmp_path / "parts")
    for name in OURS:
        for secret in READS[name].values():
            if "rabbitmq" in secret or "mongodb" in secret or ("s3-" in secret and name != "bootstrap"):
                assert secret.startswith(f"{name}-")
    for name, reads in READS.items():
        found = {path.name: path.read_text() for path in (tmp_path / "parts" / name).iterdir()}
        assert found == {each: (tmp_path / "secrets" / secret).read_text() for each, secret in reads.items()}


def test_compose_hands_each_part_what_it_reads_in_a_volume_of_its_own() -> None:
    services = COMPOSE["services"]
    handed_out = {volume for volume in services["secrets"]["volumes"] if volume.startswith("secrets-")}
    assert handed_out == {f"secrets-{name}:/parts/{name}" for name in READS}
    for name, service in services.items():
        mounted = [volume for volume in service.get("volumes", ()) if volume.startswith("secrets")]
        if name != "secrets":
            assert mounted == ([f"secrets-{name}:/run/secrets:ro"] if name in READS else [])
    assert set(services["secrets"]["environment"]) >= set(CREDENTIALS.values())


def test_what_the_user_gives_is_handed_on_and_its_errors_are_said(tmp_path: Path) -> None:
    assert given_by({"MONGODB_URL": "mongodb://db.example", "CA_FILE": os.devnull, "RETRAIN_TOKEN": ""}) == {
        "mongodb-url": "mongodb://db.example"
    }
    command = [sys.executable, "-m", "deploy.secrets", str(tmp_path / "secrets"), str(tmp_path / "parts")]

    def run(**environment: str) -> str:
        result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        assert (result.returncode, result.stderr) == (int("no secrets" in result.stdout), "")
        return result.stdout

    assert run(MODEL_SIGNING_KEY="mine").startswith("no secrets: MODEL_SIGNING_KEY can't be used: ")
    assert run(CA_FILE=str(tmp_path)).startswith("no secrets: CA_FILE must be the path of a PEM file")
    assert "mongodb-url" in run(MONGODB_URL="mongodb://db.example")
    assert (tmp_path / "parts" / "predict" / "mongodb-url").read_text() == "mongodb://db.example"
    assert (tmp_path / "parts" / "mongodb-users" / "mongodb-users").read_text() == "[]", "nothing is done to it"
    assert "mongodb-url" in run()
    assert (tmp_path / "parts" / "predict" / "mongodb-url").read_text().startswith("mongodb://predict:")
    assert run() == "secrets: made none, all are there\n"


@pytest.mark.parametrize("kubernetes", [False, True])
def test_a_function_gets_the_secrets_of_no_other_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kubernetes: bool
) -> None:
    monkeypatch.setattr("deploy.openfaas.settings.SECRETS", tmp_path)
    settings = Settings.from_environment({"HOST_ADDRESS": "10.62.0.1"}, kubernetes=kubernetes)
    make_secrets(settings, {})
    named = {secret for function in STACK["functions"].values() for secret in function["secrets"]}
    assert named == set(OF_FUNCTIONS)
    assert named <= {path.name for path in tmp_path.iterdir()}
    for name, function in STACK["functions"].items():
        for secret in function["secrets"]:
            if any(server in secret for server in ("rabbitmq", "mongodb", "s3-")):
                assert secret.startswith(f"{name}-")
    for what in ("mongodb-url", "s3-access-key"):
        assert (tmp_path / f"predict-{what}").read_text() != (tmp_path / what).read_text()


def test_a_part_that_uses_the_store_waits_for_its_users_and_each_user_is_made(tmp_path: Path) -> None:
    make(tmp_path, "mongodb", "rabbitmq", given={})
    for part in BUCKET:
        assert COMPOSE["services"][part]["depends_on"]["s3-users"] == {"condition": "service_completed_successfully"}
        own = {f"{part}-s3-{what}" for what in ("access-key", "secret-key", "policy")}
        assert own <= READS["s3-users"].keys()
        assert own <= {path.name for path in tmp_path.iterdir()}
    script = (ROOT / "deploy" / "chart" / "files" / "minio-users.sh").read_text()
    assert f"for part in {' '.join(BUCKET)}; do" in script


# What mongodb-users.js calls of mongosh: no MongoDB with users runs here.
MONGOSH = """
const roles = {predict: {}}, users = {predict: {}};
const there = (known, name, wanted) => { if (name in known !== wanted) throw Error(name); };
const database = {
  getRole: (name) => roles[name] ?? null,
  getUser: (name) => users[name] ?? null,
  createRole: (role) => { there(roles, role.role, false); roles[role.role] = role; },
  updateRole: (name, role) => { there(roles, name, true); roles[name] = role; },
  createUser: (user) => { there(users, user.user, false); users[user.user] = user; },
  updateUser: (name, user) => { there(users, name, true); users[name] = user; },
};
let url;
const connect = (to) => { url = to; return {getSiblingDB: (name) => name === "admin" ? database : null}; };
process.on("exit", () => console.log(JSON.stringify({url, roles, users})));
"""


def test_the_users_of_mongodb_are_made_with_the_rights_and_the_password_of_each_part(tmp_path: Path) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("Node.js is not installed")
    make(tmp_path, "mongodb", "rabbitmq", given={})
    script = (ROOT / "deploy/chart/files/mongodb-users.js").read_text().replace("/run/secrets", str(tmp_path))
    command = [node, "-e", f"{MONGOSH} {{ {script} }} {{ {script} }}"]  # a second time, too
    made = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert made["url"].startswith((tmp_path / "mongodb-url").read_text())
    assert made["roles"].keys() == made["users"].keys() == RECORDS.keys()
    for part, rights in RECORDS.items():
        login = urlsplit((tmp_path / f"{part}-mongodb-url").read_text())
        assert (login.username, login.password) == (part, made["users"][part]["pwd"])
        assert made["users"][part]["roles"] == [part]
        privileges = made["roles"][part]["privileges"]
        assert {each["resource"]["collection"]: tuple(each["actions"]) for each in privileges} == rights
        assert {each["resource"]["db"] for each in privileges} == {login.path[1:]}


def test_parts_have_the_users_own_key_where_the_store_is_the_users(tmp_path: Path) -> None:
    given = {"s3-access-key": "theirs", "s3-secret-key": "hush"}
    make(tmp_path, "mongodb", "rabbitmq", given, {"S3_ENDPOINT_URL": "https://store.example"})
    make(tmp_path, "mongodb", "rabbitmq", {}, {"S3_ENDPOINT_URL": "https://store.example"})
    for part in BUCKET:
        assert (tmp_path / f"{part}-s3-access-key").read_text() == "theirs"
        assert (tmp_path / f"{part}-s3-secret-key").read_text() == "hush"
    make(tmp_path, "mongodb", "rabbitmq", given={})  # and from now on the store is ours
    keys = {(tmp_path / f"{prefix}s3-access-key").read_text() for prefix in ("", *(f"{part}-" for part in BUCKET))}
    assert len(keys) == 1 + len(BUCKET)


def test_a_broker_of_the_users_has_no_stream_address_of_ours(tmp_path: Path) -> None:
    make(tmp_path, "mongodb.example", "broker.example", given={})
    given = {"rabbitmq-url": "amqp://user:toy@broker.example.com"}
    make(tmp_path, "mongodb.example", "broker.example", given)
    assert (tmp_path / "rabbitmq-stream-url").read_text().strip() == ""
    for name in ("bridge", "drift"):
        assert (tmp_path / f"{name}-rabbitmq-url").read_text() == given["rabbitmq-url"]
        assert (tmp_path / f"{name}-rabbitmq-stream-url").read_text().strip() == ""
    make(tmp_path, "mongodb.example", "broker.example", {**given, "rabbitmq-stream-url": "rabbitmq-stream://it"})
    assert (tmp_path / "rabbitmq-stream-url").read_text() == "rabbitmq-stream://it"
    assert (tmp_path / "bridge-rabbitmq-stream-url").read_text() == "rabbitmq-stream://it"


def test_compose_opens_ports_to_this_machine_alone() -> None:
    for name, service in COMPOSE["services"].items():
        for port in service.get("ports", ()):
            assert port.startswith(("127.0.0.1:", "${HOST_ADDRESS:-127.0.0.1}:")), name


@pytest.mark.parametrize("name", COMPOSE["services"])
def test_a_service_may_be_no_more_than_it_begins_as_and_has_limits(name: str) -> None:
    service = COMPOSE["services"][name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["pids_limit"] > 0
    assert service["mem_limit"]
    if name in OURS or name == "secrets":
        assert service["read_only"] is True
        assert service["tmpfs"] == ["/tmp"]  # noqa: S108 - the container's own


def test_a_server_is_reached_by_those_alone_that_use_it() -> None:
    named = yaml.safe_load((ROOT / "deploy/compose/networks.yml").read_text())["services"]
    services = {name: {**named.get(name, {}), **service} for name, service in COMPOSE["services"].items()}
    reached = {name: set(service.get("networks", ())) for name, service in services.items()}
    assert {name for name, networks in reached.items() if not networks} == {"secrets"}
    for server, network in (("s3", "store"), ("mongodb", "records"), ("rabbitmq", "broker")):
        assert reached[server] == {network}
    secret = {"store": "s3-access-key", "records": "mongodb-url", "broker": "rabbitmq-url"}
    for name in OURS:
        assert reached[name] - {"functions"} == {network for network, key in secret.items() if key in READS[name]}


def test_no_file_has_a_default_password() -> None:
    texts = [(ROOT / name).read_text() for name in ("compose.yml", "stack.yml", "deploy/compose/s3.yml")]
    texts += [path.read_text() for path in (ROOT / "deploy" / "chart").rglob("*.yaml")]
    for text in texts:
        assert not re.search(r"minioadmin|guest|changeme|(?i:password|secret_key|_pass)\"?: *[\"']?\$?\w*:-\w", text)


# Of these no registry's digest is known (docs/deploying.md), so each is named by its patch release.
WITHOUT_DIGEST = {"rabbitmq:4.1.8", "rabbitmq:4.2.4-management", "ghcr.io/openfaas/cron-connector:0.7.0"}


def images_of_others() -> Iterator[tuple[str, str]]:
    """Yield each image that is not of ours, and the file that names it."""
    files, values = (ROOT / "compose.yml", ROOT / "deploy/compose/s3.yml"), ROOT / "deploy/chart/values.yaml"
    named = [(path, image) for path in files for image in re.findall(r"image: (?:&\S+ )?(\S+)", path.read_text())]
    named += [(values, image) for image in yaml.safe_load(values.read_text())["images"].values()]
    named += [(ROOT / "Dockerfile", engine.BASE_IMAGE), (ROOT / "deploy/servers.py", RABBITMQ_IMAGE)]
    for path, image in named:
        # Of ours the tag follows, and a reference has its image where it is defined.
        if not re.search(r"sentiment-|^\*", image):
            yield str(path.relative_to(ROOT)), re.sub(r"^\$\{[A-Z0-9_]+:-(.+)\}$", r"\1", image)


def test_images_of_others_are_named_by_digest_wherever_one_is_known() -> None:
    digests: dict[str, set[str]] = {}
    for file, image in images_of_others():
        name, _, digest = image.partition("@")
        assert image in WITHOUT_DIGEST or re.fullmatch("sha256:[0-9a-f]{64}", digest), (file, image)
        digests.setdefault(name, set()).add(digest)
    assert {name for name, found in digests.items() if len(found) != 1} == set(), "one image, one digest"
    assert len(digests) == 10


def test_bridge_and_console_have_tokens_for_labels_alone_and_senders_of_the_users_have_theirs(tmp_path: Path) -> None:
    def label_tokens() -> list[str]:
        return (tmp_path / "label-tokens").read_text().split("\n")

    make(tmp_path, "mongodb", "rabbitmq", given={})
    bridge, console = ((tmp_path / name).read_text() for name in ("bridge-retrain-token", "console-label-token"))
    ours = [f"stream {bridge}", f"console {console}"]
    assert label_tokens() == [*ours, ""]
    assert bridge != (tmp_path / "retrain-token").read_text()
    make(tmp_path, "mongodb", "rabbitmq", given={"label-tokens": "support s-1"})
    assert label_tokens() == [*ours, "support s-1"]
    assert make(tmp_path, "mongodb", "rabbitmq", given={}) == [], "they stay"
    make(tmp_path, "mongodb", "rabbitmq", given={"label-tokens": "survey s-2"})
    assert label_tokens() == [*ours, "survey s-2"]
