"""Each key of the model store opens what its holder needs, and nothing is open without one."""

import json
import socket
import ssl
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
import psutil
import pytest
import urllib3
import yaml
from botocore.exceptions import ClientError
from mypy_boto3_s3 import S3Client

from deploy.ports import LOOPBACK, free_port, http_status
from deploy.rights import BUCKET, S3Identity
from deploy.runner import Service
from deploy.secrets import make
from deploy.servers import s3
from model_store.layout import CURRENT_KEY
from model_store.publishing import ModelStore
from model_store.publishing.objects import client
from model_store.settings import Settings
from sentiment.model import Model
from sentiment.packing import pack
from tests.conftest import S3Server, server_or_skip
from tests.models import ABOUT
from tests.project import ROOT
from tests.running import running

MODEL = pack(Model(("dull", "superb"), np.array([[9.0, 1.0], [1.0, 9.0]]), np.array([2.0, 2.0])), ABOUT)
WEED = Path(sys.executable).with_name("weed")
STOLEN = b'{"version": "stolen"}'


# --- without a key ---


def listening(process: psutil.Process) -> list[int]:
    """Return the ports that a process listens on, each of loopback alone."""
    found = [each.laddr for each in process.net_connections("tcp") if each.status == psutil.CONN_LISTEN]
    assert {address.ip for address in found} == {LOOPBACK}
    return sorted(address.port for address in found)


def listener(port: int) -> psutil.Process:
    """Return the process that listens on a port."""
    (pid,) = {
        each.pid
        for each in psutil.net_connections("tcp")
        if each.status == psutil.CONN_LISTEN and each.laddr and each.laddr.port == port
    }
    assert pid
    return psutil.Process(pid)


@pytest.fixture
def ports(s3_server: S3Server) -> list[int]:
    """The ports of the store's process."""
    port = urllib3.util.parse_url(s3_server.endpoint_url).port
    assert port
    found = listening(listener(port))
    assert len(found) >= 8  # S3, master, volume, filer: each with HTTP and gRPC
    return found


@pytest.fixture
def served(environment: Mapping[str, str], store: ModelStore, bucket: str) -> Callable[[], bytes]:
    """A bucket that serves a model; returns its current.json as S3 gives it to who has a key."""
    assert environment
    store.ensure_bucket()
    store.promote(store.publish(MODEL, "good"), expected=None, by="test", reason="test")
    reader = client(Settings())
    return lambda: reader.get_object(Bucket=bucket, Key=CURRENT_KEY)["Body"].read()


def test_nobody_without_a_key_writes_to_the_store_by_the_servers_behind_s3(
    ports: list[int], bucket: str, served: Callable[[], bytes]
) -> None:
    before = served()
    path = f"/buckets/{bucket}/{CURRENT_KEY}"
    for port in ports:
        url = f"http://{LOOPBACK}:{port}"
        form = {"file": (CURRENT_KEY, STOLEN)}
        for method, target, fields in (
            ("POST", path, form),
            ("PUT", path, form),
            ("POST", f"/{bucket}/{CURRENT_KEY}", form),
            ("PUT", f"/{bucket}/{CURRENT_KEY}", form),
            ("POST", "/submit", form),
            ("DELETE", path, None),
            ("DELETE", f"/{bucket}/{CURRENT_KEY}", None),
            ("DELETE", f"/buckets/{bucket}?recursive=true", None),
            ("GET", f"/col/delete?collection={bucket}", None),
            ("GET", "/dir/assign", None),
            ("GET", "/vol/grow?count=1", None),
        ):
            try:
                answer = urllib3.request(method, url + target, fields=fields, retries=False, timeout=5)
            except urllib3.exceptions.HTTPError:
                continue  # a port that does not speak HTTP
            assert answer.status in (400, 401, 403, 404, 405), f"{method} {target} at {port}: {answer.status}"
    assert served() == before


def test_nobody_without_a_key_reads_what_the_store_holds(
    ports: list[int], bucket: str, served: Callable[[], bytes]
) -> None:
    assert served()
    for port in ports:
        for target in ("", f"/buckets/{bucket}/{CURRENT_KEY}", f"/{bucket}/{CURRENT_KEY}", f"/{bucket}", "/?all=true"):
            url = f"http://{LOOPBACK}:{port}{target or '/'}"
            try:
                answer = urllib3.request("GET", url, retries=False, timeout=5)
            except urllib3.exceptions.HTTPError:
                continue
            assert b"good" not in answer.data, url
            assert bucket.encode() not in answer.data or answer.status == 403, url


# How a client of HTTP/2, and so of gRPC, begins; the server answers with a frame of its own settings.
HTTP2_CLIENT = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
SETTINGS_FRAME = 4


def speaks_grpc(connection: socket.socket) -> bool:
    """Return whether the other end takes us for a client of gRPC."""
    connection.settimeout(5)
    try:
        connection.sendall(HTTP2_CLIENT)
        answer = connection.recv(9)
    except (ConnectionError, ssl.SSLError):
        return False
    return len(answer) > SETTINGS_FRAME - 1 and answer[3] == SETTINGS_FRAME


def test_the_servers_behind_s3_talk_to_nobody_without_a_certificate(ports: list[int]) -> None:
    stranger = ssl.create_default_context()
    stranger.check_hostname, stranger.verify_mode = False, ssl.CERT_NONE
    stranger.set_alpn_protocols(["h2"])
    demanding = 0
    for port in ports:
        with socket.create_connection((LOOPBACK, port), timeout=5) as plain:
            assert not speaks_grpc(plain), port
        with socket.create_connection((LOOPBACK, port), timeout=5) as plain:
            try:
                encrypted = stranger.wrap_socket(plain)
            except (ssl.SSLError, ConnectionError):
                continue  # HTTP
            with encrypted:
                assert not speaks_grpc(encrypted), port
            demanding += 1
    assert demanding >= 4  # S3, master, volume, filer


def test_who_has_no_key_finds_no_other_door_of_the_store(s3_server: S3Server, ports: list[int]) -> None:
    """Sockets of the file system, which SeaweedFS makes in /tmp."""
    assert s3_server
    found = [path for port in ports for path in Path("/tmp").glob(f"seaweedfs-*-{port}.sock")]  # noqa: S108
    for path in found:
        with socket.socket(socket.AF_UNIX) as plain, suppress(ConnectionRefusedError):  # left by an earlier process
            plain.connect(str(path))
            assert not speaks_grpc(plain), path


# --- with the key of another part ---

Act = Callable[[S3Client, str], object]


def get(key: str) -> Act:
    return lambda store, bucket: store.get_object(Bucket=bucket, Key=key)


def put(key: str) -> Act:
    return lambda store, bucket: store.put_object(Bucket=bucket, Key=key, Body=STOLEN)


def delete(key: str) -> Act:
    return lambda store, bucket: store.delete_object(Bucket=bucket, Key=key)


def copy(key: str, to: str) -> Act:
    return lambda store, bucket: store.copy_object(Bucket=bucket, Key=to, CopySource=f"{bucket}/{key}")


def open_to_all(store: S3Client, bucket: str) -> object:
    return store.put_bucket_acl(Bucket=bucket, ACL="public-read-write")


PRESENT = ("current.json", "versions/a/manifest.json", "promotions/a.json", "references/a/live.npz")
ALL = {"predict", "drift", "retrain"}
# What is done, and who may.
ACTS: dict[str, tuple[Act, set[str]]] = {
    "list": (lambda store, bucket: store.list_objects_v2(Bucket=bucket), ALL),
    "read what is served": (get("current.json"), ALL),
    "read a version": (get("versions/a/manifest.json"), ALL),
    "read a reference": (get("references/a/live.npz"), {"drift", "retrain"}),
    "read the log": (get("promotions/a.json"), {"retrain"}),
    "promote": (put("current.json"), {"retrain"}),
    "write a version": (put("versions/a/manifest.json"), {"retrain"}),
    "write the log": (put("promotions/a.json"), {"retrain"}),
    "write a reference": (put("references/a/live.npz"), {"drift", "retrain"}),
    "try conditional writes": (put("probes/a"), {"retrain"}),
    "delete a version": (delete("versions/a/manifest.json"), {"retrain"}),
    "delete what is served": (delete("current.json"), {"retrain"}),
    "promote by a copy": (copy("versions/a/manifest.json", to="current.json"), {"retrain"}),
    "promote in parts": (
        lambda store, bucket: store.create_multipart_upload(Bucket=bucket, Key="current.json"),
        {"retrain"},
    ),
    "open the bucket to all": (open_to_all, set()),
    "delete the bucket": (lambda store, bucket: store.delete_bucket(Bucket=bucket), set()),
    "make a bucket": (lambda store, bucket: store.create_bucket(Bucket=f"{bucket}-more"), set()),
    "list another bucket": (lambda store, _: store.list_objects_v2(Bucket="another"), set()),
    "write to another bucket": (
        lambda store, _: store.put_object(Bucket="another", Key="current.json", Body=STOLEN),
        set(),
    ),
}


@pytest.fixture(scope="module")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, S3Client]]:
    """A store with a bucket `models`, and a client of it for each part that has a key, and for the administrator."""
    with server_or_skip():
        keys = {part: S3Identity(part, f"of {part}", rights.actions("models")) for part, rights in BUCKET.items()}
        service = s3(tmp_path_factory.mktemp("s3"), free_port, "administrator", "of all", keys.values())
    with running(service):
        url = service.variables["S3_ENDPOINT_URL"]
        found = {
            part: client(Settings(endpoint_url=url, keys=(key.access_key_id, key.secret_access_key, None)))
            for part, key in {**keys, "administrator": S3Identity("administrator", "of all")}.items()
        }
        for bucket in ("models", "another"):
            found["administrator"].create_bucket(Bucket=bucket)
        yield found


@pytest.mark.parametrize("part", BUCKET)
@pytest.mark.parametrize("name", ACTS)
def test_a_part_does_at_the_store_what_its_rights_are_and_nothing_else(
    clients: dict[str, S3Client], part: str, name: str
) -> None:
    for key in PRESENT:
        put(key)(clients["administrator"], "models")
    do, allowed = ACTS[name]
    if part in allowed:
        do(clients[part], "models")
        return
    with pytest.raises(ClientError) as refused:
        do(clients[part], "models")
    assert refused.value.response["Error"]["Code"] == "AccessDenied"
    for key in PRESENT:
        get(key)(clients["administrator"], "models")


@pytest.mark.parametrize("part", BUCKET)
def test_a_part_hears_that_an_object_is_not_there(clients: dict[str, S3Client], part: str) -> None:
    """As before the first model is promoted."""
    clients["administrator"].delete_object(Bucket="models", Key="current.json")
    for key in ("current.json", "versions/none/manifest.json"):
        with pytest.raises(clients[part].exceptions.NoSuchKey):
            get(key)(clients[part], "models")


# --- as compose runs it ---


def test_seaweedfs_of_compose_lets_each_part_do_what_its_rights_are(tmp_path: Path) -> None:
    """Its own command, with other folders and ports."""
    made, data = tmp_path / "secrets", tmp_path / "data"
    make(made, "mongodb", "rabbitmq", given={})
    data.mkdir()
    composed = yaml.safe_load((ROOT / "deploy" / "compose" / "s3.yml").read_text())["services"]["seaweedfs"]
    (command,) = composed["command"]
    names = ("master", "volume", "filer", "admin", "s3")
    others = {f"{name}.port{kind}": free_port() for name in names for kind in ("", ".grpc")}
    for written, here in {
        "/run/secrets": made,
        "/data": data,
        "0.0.0.0": LOOPBACK,  # noqa: S104 - that of the container
        "$$": "$",
        "weed ": f"{WEED} ",
    }.items():
        assert written in command
        command = command.replace(written, str(here))
    command = command.replace("-s3.port=9000", " ".join(f"-{name}={port}" for name, port in others.items()))
    port = others["s3.port"]
    service = Service(
        "s3", tmp_path, ("sh", "-c", command), lambda: http_status(port, "/healthz") == 200, tmp_path / "log"
    )

    def of(prefix: str) -> S3Client:
        key, secret = ((made / f"{prefix}s3-{half}-key").read_text() for half in ("access", "secret"))
        return client(Settings(endpoint_url=f"http://{LOOPBACK}:{port}", keys=(key, secret, None)))

    with running(service):
        administrator, predict, retrain = of(""), of("predict-"), of("retrain-")
        administrator.create_bucket(Bucket="models")
        put("current.json")(retrain, "models")
        get("current.json")(predict, "models")
        with pytest.raises(ClientError, match="AccessDenied"):
            put("current.json")(predict, "models")
        path = f"http://{LOOPBACK}:{others['filer.port']}/buckets/models/current.json"
        assert urllib3.request("POST", path, fields={"file": ("current.json", STOLEN)}).status == 404


@pytest.mark.parametrize("part", BUCKET)
def test_the_policies_of_minio_and_amazon_say_the_same(part: str) -> None:
    """Each act of the table above that is on an object, by the statement that allows it."""
    statements = json.loads(BUCKET[part].policy("models"))["Statement"]

    def allows(action: str, key: str) -> bool:
        return any(
            action in statement["Action"]
            and any(fnmatchcase(f"arn:aws:s3:::models/{key}", resource) for resource in statement["Resource"])
            for statement in statements
        )

    for key in PRESENT:
        name = {"current.json": "what is served", "versions": "a version", "promotions": "the log"}
        reading = name.get(key.split("/")[0], "a reference")
        writing = "promote" if key == "current.json" else f"write {reading}"
        assert allows("s3:GetObject", key) == (part in ACTS[f"read {reading}"][1])
        assert allows("s3:PutObject", key) == allows("s3:DeleteObject", key) == (part in ACTS[writing][1])
    assert {action for statement in statements for action in statement["Action"]} <= {
        "s3:ListBucket", "s3:GetBucketLocation", "s3:GetObject", "s3:PutObject", "s3:DeleteObject",
    }  # fmt: skip
