"""Each image by itself, and together with the real servers: its user, files, routes, memory, end, and size."""

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import urllib3
from pymongo import MongoClient

from deploy.ports import free_port
from deploy.runner import wait_until
from deploy.servers import gateway
from sentiment.packing import pack
from tests.conftest import RabbitMQNode
from tests.containers.conftest import Servers
from tests.containers.engine import Container, base_image, docker, parts, run
from tests.models import ABOUT, IMDB_VOCABULARY_WORDS, sized
from tests.running import running
from tests.system import Client, promote

MEGABYTE = 1_000_000
Measured = Callable[[str], None]
FUNCTIONS = sorted(set(parts()) - {"bridge", "bootstrap"})
# Above the base image, in megabytes; those that train carry scikit-learn and SciPy.
MAX_MEGABYTES = {"functions": 200, "console": 200, "bridge": 200, "functions-train": 400}


@pytest.fixture
def served_model(store_environment: None) -> str:  # noqa: ARG001 - for its effect
    """A small model in the store; returns its version."""
    return promote(pack(sized(100), ABOUT))


@pytest.fixture
def predict(images: dict[str, str], servers: Servers, served_model: str) -> Iterator[Container]:  # noqa: ARG001 - for its effect
    with run(images["predict"], servers.environment, secrets=servers.secrets) as container:
        container.wait_for("/_/ready")
        yield container


def post(url: str, body: object) -> tuple[int, dict[str, object]]:
    with urllib3.PoolManager(retries=False) as pool:
        response = pool.request("POST", url, json=body, timeout=10)
        return response.status, response.json()


@pytest.mark.parametrize("name", sorted(parts()))
def test_an_image_names_a_numeric_user_that_is_not_root_and_how_it_ends(images: dict[str, str], name: str) -> None:
    config = json.loads(docker("image", "inspect", images[name]))[0]["Config"]
    user, group = config["User"].split(":")
    assert int(user) > 0
    assert int(group) > 0
    assert config["StopSignal"] == "SIGTERM"
    assert list(config["ExposedPorts"]) == ["8080/tcp"]
    assert config["Labels"]["org.opencontainers.image.licenses"] == "MIT"


@pytest.mark.parametrize("name", sorted(parts()))
def test_an_image_adds_no_more_than_its_part_needs(images: dict[str, str], name: str, measured: Measured) -> None:
    sizes = [int(docker("image", "inspect", "--format", "{{.Size}}", image)) for image in (images[name], base_image())]
    megabytes = (sizes[0] - sizes[1]) / MEGABYTE
    measured(f"{megabytes:.0f} MB above the base image")
    assert megabytes < MAX_MEGABYTES[parts()[name].build_args["LOCK"]]


def test_predict_carries_neither_scikit_learn_nor_the_other_functions(images: dict[str, str]) -> None:
    code = (
        "import importlib.util as u, json, os; "
        "print(json.dumps([[n for n in ('sklearn', 'scipy', 'pip') if u.find_spec(n)], "
        "[e.name for e in os.scandir('/app/functions') if e.is_dir() and e.name != '__pycache__']]))"
    )
    packages, functions = json.loads(docker("run", "--rm", images["predict"], "python", "-c", code))
    assert packages == []
    assert functions == ["predict"]


def test_images_with_the_same_dependencies_share_their_layer(images: dict[str, str]) -> None:
    layers: dict[str, set[str]] = {}
    for name, part in parts().items():
        found = json.loads(docker("image", "inspect", images[name]))[0]["RootFS"]["Layers"]
        layers.setdefault(part.build_args["LOCK"], set()).add(found[-2])
    assert all(len(found) == 1 for found in layers.values()), layers


def test_predict_answers_health_within_a_second_and_a_half_of_docker_run(
    images: dict[str, str], servers: Servers, measured: Measured
) -> None:
    # The best of a few: other processes of the machine slow down any one of them.
    for _ in range(5):
        started = time.monotonic()
        with run(images["predict"], servers.environment, secrets=servers.secrets) as container:
            container.wait_for("/_/health")
            seconds = time.monotonic() - started
            # No model yet: alive, but not ready.
            assert container.status("/_/ready") == 503
        if seconds < 1.5:
            break
    measured(f"{seconds:.2f} s")
    assert seconds < 1.5


def test_predict_scores_as_a_user_who_can_write_nothing_but_tmp(
    predict: Container, served_model: str, servers: Servers
) -> None:
    status, answer = post(predict.url, {"text": "good"})
    assert (status, answer["prediction"], answer["model"]) == (200, "positive", served_model)
    status, answer = post(predict.url, {"texts": ["bad", 7, "good"]})
    assert [item.get("prediction") for item in answer["predictions"]] == ["negative", None, "positive"]  # type: ignore[attr-defined]  # JSON
    assert predict.execute("id", "-u") == "10001"
    assert "Read-only" in predict.execute("sh", "-c", "touch /app/x 2>&1", check=False)
    predict.execute("touch", "/tmp/x")  # noqa: S108 - the container's own
    assert predict.status("/metrics") == 200
    client: MongoClient[dict[str, object]] = MongoClient(servers.secrets["mongodb-url"])
    with client:
        stored = client.get_default_database()["predictions"]
        assert wait_until(lambda: stored.count_documents({"source": "http"}) == 3, 10)


@pytest.mark.usefixtures("store_environment")
def test_predict_with_a_vocabulary_as_large_as_imdbs_stays_within_80_megabytes(
    images: dict[str, str],
    servers: Servers,
    measured: Measured,
) -> None:
    promote(pack(sized(IMDB_VOCABULARY_WORDS), ABOUT))
    with run(images["predict"], servers.environment, secrets=servers.secrets, memory="128m") as container:
        container.wait_for("/_/ready")
        for _ in range(50):
            assert post(container.url, {"texts": ["a good film " * 100] * 20})[0] == 200
        megabytes = container.memory_bytes() / MEGABYTE
        measured(f"{megabytes:.0f} MB")
        assert megabytes <= 80
        assert not container.inspect()["State"]["OOMKilled"]


@dataclass
class Load:
    """What one client saw until the server was gone."""

    answered_texts: int = 0
    failures: list[tuple[float, str]] = field(default_factory=list)
    """When the request was begun, and what became of it."""


def send_until_gone(port: int) -> Load:
    """Send batches, each on a connection of its own: one that is refused was not accepted, so nothing is lost."""
    load, texts = Load(), ["a good film, not a bad one " * 200] * 200
    while not load.failures:
        begun = time.monotonic()
        with urllib3.HTTPConnectionPool("127.0.0.1", port, retries=False, timeout=20) as pool:
            try:
                response = pool.request("POST", "/?record=false", json={"texts": texts})
            except urllib3.exceptions.NewConnectionError:
                break
            except urllib3.exceptions.HTTPError as error:
                load.failures.append((begun, repr(error)))
                break
        if response.status == 200 and len(response.json()["predictions"]) == len(texts):
            load.answered_texts += len(texts)
        else:
            load.failures.append((begun, f"{response.status}: {response.data[:200]!r}"))
    return load


def test_predict_answers_what_it_took_before_sigterm_under_load(predict: Container) -> None:
    with ThreadPoolExecutor(4) as executor:
        clients = [executor.submit(send_until_gone, predict.port) for _ in range(4)]
        try:
            assert wait_until(lambda: texts_scored(predict) > 500, 30)
        finally:
            stopped_at = time.monotonic()
            code = predict.stop()
        loads = [client.result() for client in clients]
    # A connection that is opened as the server ends may be closed by it before a request was read.
    assert [failure for load in loads for begun, failure in load.failures if begun < stopped_at] == []
    assert code == 0, predict.logs()
    assert sum(load.answered_texts for load in loads) > 500


def test_predict_records_what_it_answered_before_sigterm(predict: Container, servers: Servers) -> None:
    for _ in range(5):
        assert post(predict.url, {"texts": ["good", "bad"] * 50})[0] == 200
    assert predict.stop() == 0
    client: MongoClient[dict[str, object]] = MongoClient(servers.secrets["mongodb-url"])
    with client:
        assert client.get_default_database()["predictions"].count_documents({}) == 500


def texts_scored(container: Container) -> float:
    """The sum of predict's counters of texts."""
    with urllib3.PoolManager(retries=False) as pool:
        lines = pool.request("GET", f"{container.url}/metrics").data.decode().splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith("predict_texts_total"))


def test_the_bridge_carries_messages_from_the_stream_through_the_gateway_to_records(
    images: dict[str, str],
    predict: Container,
    servers: Servers,
    rabbitmq: RabbitMQNode,
    stream_name: str,
    tmp_path: Path,
) -> None:
    front = gateway(tmp_path, free_port(), {"predict": predict.port})
    environment = {"GATEWAY_URL": front.variables["GATEWAY_URL"], "BRIDGE_SOURCE": f"stream:{stream_name}"}
    with running(front), run(images["bridge"], environment, secrets=servers.secrets) as bridge:
        bridge.wait_for("/_/ready")
        client = Client(rabbitmq.amqp_url)
        client.publish(stream_name, [json.dumps({"text": "good"}).encode()] * 500)
        client.close()
        database: MongoClient[dict[str, object]] = MongoClient(servers.secrets["mongodb-url"])
        with database:
            stored = database.get_default_database()["predictions"]
            assert wait_until(lambda: stored.count_documents({"source": "stream"}) == 500, 30), bridge.logs()
        assert bridge.stop() == 0


@pytest.mark.usefixtures("served_model")
def test_a_store_that_serves_a_model_gets_no_first_one(images: dict[str, str], servers: Servers) -> None:
    with run(images["bootstrap"], servers.environment, secrets=servers.secrets, memory="1g") as bootstrap:
        assert docker("wait", bootstrap.id) == "0", bootstrap.logs()
        assert "no training" in bootstrap.logs()


def test_a_store_without_a_model_gets_one_from_the_package_index(images: dict[str, str], servers: Servers) -> None:
    environment = {**servers.environment, "TRAIN_DATA": "starter"}
    with run(images["bootstrap"], environment, secrets=servers.secrets, memory="1g") as bootstrap:
        assert docker("wait", bootstrap.id) == "0", bootstrap.logs()
    with run(images["predict"], servers.environment, secrets=servers.secrets) as container:
        container.wait_for("/_/ready")
        status, answer = post(container.url, {"text": "I love you"})
        assert (status, answer["prediction"]) == (200, "positive")


@pytest.mark.usefixtures("served_model")
@pytest.mark.parametrize("name", [name for name in FUNCTIONS if name != "predict"])
def test_a_function_is_alive_and_ends_well(images: dict[str, str], servers: Servers, name: str) -> None:
    with run(images[name], servers.environment, secrets=servers.secrets, memory="512m") as container:
        container.wait_for("/_/health")
        container.wait_for("/_/ready")
        assert container.execute("id", "-u") == "10001"
        assert container.stop() == 0


def test_no_credential_is_in_an_image_an_environment_or_a_log(
    images: dict[str, str], predict: Container, servers: Servers
) -> None:
    post(predict.url, {"text": "good"})
    credentials = [
        servers.secrets["s3-access-key"],
        servers.secrets["s3-secret-key"].strip(),
        servers.secrets["rabbitmq-url"].split("@")[0].rpartition(":")[2],
    ]
    for name, image in images.items():
        assert not _found(docker("history", "--no-trunc", image), credentials), name
        with subprocess.Popen(["docker", "save", image], stdout=subprocess.PIPE) as archive:
            assert archive.stdout
            tail = b""
            while block := archive.stdout.read(1 << 20):
                assert not any(credential.encode() in tail + block for credential in credentials), name
                tail = block[-256:]
    inspected = predict.inspect()
    assert not _found(json.dumps(inspected["Config"]), credentials)
    assert not _found(predict.execute("sh", "-c", "tr '\\0' '\\n' < /proc/1/environ"), credentials)
    assert not _found(predict.logs(), credentials)
    # The way they come in does hold them, so the search would have found them.
    assert _found(predict.execute("cat", "/var/openfaas/secrets/s3-access-key"), credentials)


def _found(text: str, credentials: list[str]) -> list[str]:
    return [credential for credential in credentials if credential in text]
