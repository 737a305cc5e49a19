"""The real servers that the local stack and the tests run, each in a folder of its own and on loopback only.

A builder prepares the folder and says how the server is started: a test runs one, and
`deploy.local` hands all of them to supervisord.
"""

import json
import os
import secrets
import shlex
import shutil
import sys
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from string import Template

import trustme

from deploy.ports import LOOPBACK, Ports, accepts, http_status
from deploy.rights import BrokerRights, BrokerUser, S3Identity, definitions, seaweedfs_identities
from deploy.runner import Service, ServiceError

RABBITMQ_IMAGE = (
    "docker.io/library/rabbitmq:3.13.7@sha256:87178a0ee3e2f52980ba356d38646ed1056705ff2d5ff281f8965456eaa0c1e3"
)
CADDYFILE = Path(__file__).with_name("Caddyfile")
SEAWEEDFS_OPTIONS = Path(__file__).parent / "local" / "seaweedfs.conf"
RABBITMQ_SETTINGS = Path(__file__).parent / "local" / "rabbitmq"
RABBITMQ_START = RABBITMQ_SETTINGS / "start.sh"
ENABLED_PLUGINS = Path(__file__).parent / "chart" / "files" / "enabled_plugins"
# Debian's wrapper in /usr/sbin insists on the system's own node; the package's folder does not.
_RABBITMQ_PATH = (
    "/usr/lib/rabbitmq/bin:/opt/homebrew/sbin:/usr/local/sbin:/home/linuxbrew/.linuxbrew/sbin:/opt/rabbitmq/sbin"
)


class MissingServerError(ServiceError):
    """A server's program is not installed; the message says which and what to do."""


def _tool(name: str) -> str:
    """Return the path of a program that came with a wheel of this virtual environment; raises MissingServerError."""
    path = shutil.which(name, path=str(Path(sys.executable).parent))
    if path is None:
        raise MissingServerError(f"{name} is not in this virtual environment: install requirements/local.lock")
    return path


def _folder(folder: Path) -> Path:
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


def s3(
    folder: Path, ports: Ports, access_key_id: str, secret_access_key: str, others: Iterable[S3Identity] = ()
) -> Service:
    """Prepare SeaweedFS: an S3 store with conditional writes. Who has the keys is its administrator.

    Nobody gets past S3, where the keys are asked for, to the servers behind it: those talk to each other by gRPC with
    certificates that are made anew for each start, and over HTTP to nobody, or by signed tokens.
    """
    weed = _tool("weed")
    folder = _folder(folder)
    port = ports("s3")
    administrator = S3Identity(access_key_id, secret_access_key)
    identities = folder / "identities.json"
    _write(identities, seaweedfs_identities([administrator, *others]))
    _write(folder / "security.toml", _seaweedfs_security(folder))
    listeners = ("master", "volume", "filer", "admin")
    command = [
        weed, "-logtostderr=true", "mini", f"-options={SEAWEEDFS_OPTIONS}",
        f"-dir={folder}", f"-ip={LOOPBACK}", f"-ip.bind={LOOPBACK}", f"-s3.config={identities}",
        f"-s3.port={port}", f"-s3.port.grpc={ports('s3-grpc')}",
        *(f"-{name}.port={ports(f's3-{name}')}" for name in listeners),
        *(f"-{name}.port.grpc={ports(f's3-{name}-grpc')}" for name in listeners),
    ]  # fmt: skip
    return Service(
        name="s3",
        folder=folder,
        log=folder / "s3.log",
        command=tuple(command),
        ready=lambda: http_status(port, "/healthz") == 200,
        ports=(port,),
        variables={"S3_ENDPOINT_URL": f"http://{LOOPBACK}:{port}", **administrator.variables},
    )


def _seaweedfs_security(folder: Path) -> str:
    """Return SeaweedFS's security.toml, which it reads in its folder, and write the certificates there."""
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost", LOOPBACK)
    files = {
        "ca": (folder / "ca.pem", authority.cert_pem),
        "cert": (folder / "certificate.pem", certificate.cert_chain_pems[0]),
        "key": (folder / "key.pem", certificate.private_key_pem),
    }
    for path, content in files.values():
        _write(path, content.bytes().decode())
    # A string of JSON is one of TOML.
    ca, cert, key = (json.dumps(str(path)) for path, _ in files.values())
    tokens = [f'[jwt.{name}]\nkey = "{secrets.token_hex(32)}"\n' for name in ("signing", "signing.read")]
    parts = ("master", "volume", "filer", "s3", "admin", "worker", "client")
    return "".join(
        [*tokens, f"[grpc]\nca = {ca}\n", *(f"[grpc.{part}]\ncert = {cert}\nkey = {key}\n" for part in parts)]
    )


def mongodb(folder: Path, ports: Ports) -> Service:
    """Prepare nx-27017: MongoDB's wire protocol over SQLite, with a file for each database."""
    program = _tool("nx-27017")
    folder = _folder(folder)
    port = ports("mongodb")
    # A pid file that outlived its process would keep the server from starting.
    pid_file = folder / "pid"
    pid_file.unlink(missing_ok=True)
    command = [
        program, "--data-dir", str(folder / "data"), "--host", LOOPBACK, "--port", str(port),
        "--pid-file", str(pid_file), "--log-file", os.devnull,
    ]  # fmt: skip
    return Service(
        name="mongodb",
        folder=folder,
        log=folder / "mongodb.log",
        command=tuple(command),
        ready=lambda: accepts(port),
        ports=(port,),
        variables={"MONGODB_URL": f"mongodb://{LOOPBACK}:{port}"},
    )


def rabbitmq_server() -> str:
    """Return the path of an installed RabbitMQ's start script that any user may run; raises MissingServerError."""
    script = shutil.which("rabbitmq-server", path=_RABBITMQ_PATH)
    if script is None:
        raise MissingServerError(
            "RabbitMQ is not installed: apt-get install rabbitmq-server (Debian, Ubuntu), brew install rabbitmq (macOS)"
        )
    return script


def rabbitmq(folder: Path, ports: Ports, user: str, password: str, others: Iterable[BrokerUser] = ()) -> Service:
    """Prepare a private RabbitMQ node with streams, apart from any that the system runs; raises MissingServerError.

    `user` is its administrator.
    """
    server, epmd = rabbitmq_server(), shutil.which("epmd")
    if epmd is None:
        raise MissingServerError("Erlang's epmd is not on PATH: it comes with RabbitMQ's package")
    start = ("sh", str(RABBITMQ_START), epmd, server)
    return rabbitmq_node("sentiment", folder, ports, user, password, start, others)


def rabbitmq_node(
    name: str,
    folder: Path,
    ports: Ports,
    user: str,
    password: str,
    command: tuple[str, ...],
    others: Iterable[BrokerUser] = (),
) -> Service:
    """Prepare the node `<name>@localhost`, which `command` starts with start.sh, whatever RabbitMQ that is.

    Settings of its own may be in `conf.d/*.conf` in its folder, and an Erlang cookie that it shares with others.
    """
    folder = _folder(folder)
    amqp, stream = ports("rabbitmq"), ports("rabbitmq-stream")
    _write(folder / "definitions.json", definitions(user, password, others))
    settings = Template((RABBITMQ_SETTINGS / "rabbitmq.conf").read_text())
    values = {"address": LOOPBACK, "amqp": amqp, "stream": stream}
    _write(folder / "rabbitmq.conf", settings.substitute(values))
    cookie = folder / ".erlang.cookie"
    if not cookie.exists():
        _write(cookie, secrets.token_hex(16), mode=0o400)
    # Of the node's Erlang protocol, and of the port mapper by which it is found.
    environment = {
        "RABBITMQ_NODENAME": f"{name}@localhost",
        "ERL_EPMD_ADDRESS": LOOPBACK,
        "ERL_EPMD_PORT": str(ports("epmd")),
        "RABBITMQ_DIST_PORT": str(ports("rabbitmq-distribution")),
    }
    node = _broker(folder, command, environment, BrokerUser(user, password, BrokerRights()), amqp, stream)
    return replace(node, ports=(amqp, stream))


def rabbitmq_container(
    folder: Path, ports: Ports, user: str, password: str, engine: str, others: Iterable[BrokerUser] = ()
) -> Service:
    """Prepare RabbitMQ with streams in a container of `engine`, docker or podman; its data are in a volume.

    It has no ports of its own: the engine listens on them.
    """
    folder = _folder(folder)
    amqp, stream = ports("rabbitmq"), ports("rabbitmq-stream")
    name = f"sentiment-rabbitmq-{zlib.crc32(os.fsencode(folder)):08x}"
    mounts = {
        "definitions.json": definitions(user, password, others),
        "conf.d/90-definitions.conf": "load_definitions = /etc/rabbitmq/definitions.json\n",
    }
    files = {path: folder / Path(path).name for path in mounts}
    for path, content in mounts.items():
        # The container's user is another one; nobody else of this machine gets into the folder.
        _write(files[path], content, mode=0o444)
    environment = {
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
            f"-rabbitmq_stream tcp_listeners [{stream}] advertised_host localhost advertised_port {stream}"
        ),
    }
    run = [
        engine, "run", "--rm", "--name", name, "--hostname", "sentiment",
        "--publish", f"{LOOPBACK}:{amqp}:5672", "--publish", f"{LOOPBACK}:{stream}:{stream}",
        "--volume", f"{name}:/var/lib/rabbitmq", "--volume", f"{ENABLED_PLUGINS}:/etc/rabbitmq/enabled_plugins:ro",
        *(f"--volume={file}:/etc/rabbitmq/{path}:ro" for path, file in files.items()),
        *(f"--env={variable}" for variable in environment), RABBITMQ_IMAGE,
    ]  # fmt: skip
    # A container that outlived its client would keep the name.
    script = f"{shlex.join([engine, 'rm', '--force', name])} >/dev/null 2>&1; exec {shlex.join(run)}"
    administrator = BrokerUser(user, password, BrokerRights())
    return _broker(folder, ("sh", "-c", script), environment, administrator, amqp, stream)


def _broker(
    folder: Path,
    command: tuple[str, ...],
    environment: Mapping[str, str],
    administrator: BrokerUser,
    amqp: int,
    stream: int,
) -> Service:
    return Service(
        name="rabbitmq",
        folder=folder,
        log=folder / "rabbitmq.log",
        command=command,
        environment=environment,
        ready=lambda: accepts(amqp) and accepts(stream),
        variables=administrator.variables(LOOPBACK, amqp, stream),
    )


def gateway(folder: Path, port: int, functions: Mapping[str, int]) -> Service:
    """Prepare Caddy in the place of OpenFaaS's gateway: `/function/<name>/...` goes to that function's own process.

    `functions` maps a function's name to the loopback port of its process; the routes are those of CADDYFILE.
    """
    caddy = _tool("caddy")
    folder = _folder(folder)
    upstreams = {name.upper().replace("-", "_"): f"{LOOPBACK}:{upstream}" for name, upstream in functions.items()}
    return Service(
        name="gateway",
        folder=folder,
        log=folder / "gateway.log",
        command=(caddy, "run", "--config", str(CADDYFILE), "--adapter", "caddyfile"),
        environment={"HOME": str(folder), "GATEWAY_HOST": LOOPBACK, "GATEWAY_PORT": str(port), **upstreams},
        ready=lambda: http_status(port, "/healthz") == 200,
        ports=(port,),
        variables={"GATEWAY_URL": f"http://{LOOPBACK}:{port}"},
    )


def _write(path: Path, text: str, mode: int = 0o600) -> None:
    """Write a file that only its owner may read, whole or not at all."""
    part = path.with_name(f"{path.name}.part")
    part.touch(mode=0o600)
    part.write_text(text)
    part.chmod(mode)
    part.replace(path)
