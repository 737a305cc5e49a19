"""The real servers that the local stack and the tests run, each in a folder of its own and on loopback only.

A builder prepares the folder and says how the server is started; `running` starts one for a test,
`deploy.local.stack` hands all of them to supervisord.
"""

import http.client
import os
import secrets
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

LOOPBACK = "127.0.0.1"
RABBITMQ_IMAGE = "docker.io/library/rabbitmq:3.13"

# Debian's wrapper in /usr/sbin insists on the system's own node; the package's folder does not.
_RABBITMQ_FOLDERS = (
    "/usr/lib/rabbitmq/bin",
    "/opt/homebrew/sbin",
    "/usr/local/sbin",
    "/home/linuxbrew/.linuxbrew/sbin",
    "/opt/rabbitmq/sbin",
)

CADDYFILE = Path(__file__).resolve().parents[1] / "Caddyfile"

Ports = Callable[[str], int]
"""Gives the port for a listener's name."""


SMALL_PROCESS = {
    # One arena: those of other threads would each keep what was once used. Python's own threads take turns anyway.
    "MALLOC_ARENA_MAX": "1",
    # Said here, it stays: glibc else raises it with each large block that is freed, and keeps the next ones.
    "MALLOC_MMAP_THRESHOLD_": "131072",
    "MALLOC_TRIM_THRESHOLD_": "131072",
    # Docstrings, and where in a line an expression stands, are a tenth of a web framework's memory.
    "PYTHONOPTIMIZE": "2",
    "PYTHONNODEBUGRANGES": "1",
}
"""What keeps the project's own processes small: the same as in the Dockerfile."""


def small_process(bytecode: Path) -> dict[str, str]:
    """SMALL_PROCESS, with a folder for its bytecode, the standard library's too: the usual places may be read-only."""
    # Empty is unset: a machine that says otherwise would have all of it compiled at each start.
    return {**SMALL_PROCESS, "PYTHONPYCACHEPREFIX": str(bytecode), "PYTHONDONTWRITEBYTECODE": ""}


class MissingServerError(RuntimeError):
    """A server's program is not installed; the message says which and what to do."""


class ServiceError(RuntimeError):
    """A server did not become ready; the message ends with the last lines of its log."""


@dataclass(frozen=True)
class Service:
    """One process of the system: how it starts, how one sees that it is ready, what it offers.

    `environment` is added to the caller's; `variables` are the settings with which others reach it.
    """

    name: str
    folder: Path
    command: tuple[str, ...]
    ready: Callable[[], bool]
    log: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)


_given_ports: set[int] = set()


def free_port(_name: str = "") -> int:
    """A loopback TCP port that nobody listens on, below the range from which systems take client ports."""
    while True:
        port = 20_000 + secrets.randbelow(12_000)
        if port not in _given_ports and is_free(port):
            _given_ports.add(port)
            return port


def is_free(port: int) -> bool:
    """Whether a server could listen on this loopback port now."""
    with socket.socket() as probe:
        # As servers do: a port whose last connections are still closing counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    # Where the system lets one bind beside a listener on all addresses, as macOS does.
    return not accepts(port)


def accepts(port: int) -> bool:
    """Whether somebody accepts connections on this loopback port."""
    try:
        socket.create_connection((LOOPBACK, port), timeout=1).close()
    except OSError:
        return False
    return True


def http_status(port: int, path: str) -> int | None:
    """The status of GET `path` on this loopback port; None when no HTTP server answers there."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=2)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def wait_until(condition: Callable[[], bool], timeout_seconds: float) -> bool:
    """Asks every 50 ms until the condition holds; False when it did not in time."""
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def tail(path: Path, lines: int = 20) -> str:
    """The last lines of a log, or a note that there is none."""
    if not path.exists():
        return f"({path} was not written)"
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])


def _tool(name: str) -> str:
    """The path of a program that came with a wheel of this virtual environment."""
    path = shutil.which(name, path=str(Path(sys.executable).parent))
    if path is None:
        raise MissingServerError(f"{name} is not in this virtual environment: install requirements/local.lock")
    return path


def _folder(folder: Path) -> Path:
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


def s3(folder: Path, ports: Ports, access_key_id: str, secret_access_key: str) -> Service:
    """SeaweedFS: an S3 store with keys and conditional writes. The keys also make its administrator."""
    weed = _tool("weed")
    folder = _folder(folder)
    port = ports("s3")
    listeners = ("master", "volume", "filer", "admin")
    command = [
        weed, "-logtostderr=true", "mini", f"-dir={folder}", f"-ip={LOOPBACK}", f"-ip.bind={LOOPBACK}",
        f"-s3.port={port}", f"-s3.port.grpc={ports('s3-grpc')}",
        *(f"-{name}.port={ports(f's3-{name}')}" for name in listeners),
        *(f"-{name}.port.grpc={ports(f's3-{name}-grpc')}" for name in listeners),
        # In the folder that it runs in; in /tmp one user's would be in the way of the next one's.
        "-s3.localSocket=s3.sock", "-filer.localSocket=filer.sock",
        "-webdav=false", "-admin.ui=false", "-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.iam=false",
        "-master.telemetry=false",
        # A bucket takes a volume, and the disk is counted in whole volumes: small ones, many buckets.
        "-master.volumeSizeLimitMB=64",
    ]  # fmt: skip
    keys = {"AWS_ACCESS_KEY_ID": access_key_id, "AWS_SECRET_ACCESS_KEY": secret_access_key}
    return Service(
        name="s3",
        folder=folder,
        log=folder / "s3.log",
        command=tuple(command),
        environment=keys,
        ready=lambda: http_status(port, "/healthz") == 200,
        variables={"S3_ENDPOINT_URL": f"http://{LOOPBACK}:{port}", **keys},
    )


def mongodb(folder: Path, ports: Ports) -> Service:
    """nx-27017: MongoDB's wire protocol over SQLite, one file a database."""
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
        variables={"MONGODB_URL": f"mongodb://{LOOPBACK}:{port}"},
    )


def rabbitmq_server() -> str:
    """The path of an installed RabbitMQ's start script that any user may run. Raises MissingServerError."""
    for name in _RABBITMQ_FOLDERS:
        script = Path(name) / "rabbitmq-server"
        if os.access(script, os.X_OK):
            return str(script)
    raise MissingServerError(
        "RabbitMQ is not installed: apt-get install rabbitmq-server (Debian, Ubuntu) or brew install rabbitmq (macOS)"
    )


def epmd(folder: Path, ports: Ports) -> Service:
    """Erlang's port mapper, which RabbitMQ would otherwise start as a daemon that outlives it."""
    program = shutil.which("epmd")
    if program is None:
        raise MissingServerError("Erlang's epmd is not on PATH: it comes with RabbitMQ's package")
    folder = _folder(folder)
    port = ports("epmd")
    return Service(
        name="epmd",
        folder=folder,
        log=folder / "epmd.log",
        command=(program,),
        environment={"ERL_EPMD_PORT": str(port), "ERL_EPMD_ADDRESS": LOOPBACK},
        ready=lambda: accepts(port),
    )


def rabbitmq(folder: Path, ports: Ports, user: str, password: str) -> Service:
    """A private RabbitMQ node with streams, apart from any that the system runs. `epmd` must run already.

    `ports` must give the port of "epmd" again.
    """
    server = rabbitmq_server()
    folder = _folder(folder)
    amqp, stream = ports("rabbitmq"), ports("rabbitmq-stream")
    _write(
        folder / "rabbitmq.conf",
        f"""\
listeners.tcp.1 = {LOOPBACK}:{amqp}
stream.listeners.tcp.1 = {LOOPBACK}:{stream}
stream.advertised_host = {LOOPBACK}
stream.advertised_port = {stream}
default_user = {user}
default_pass = {password}
log.console = true
log.console.level = warning
log.console.use_colors = off
log.file = false
""",
    )
    _write(folder / "advanced.config", "[].\n")
    _write(folder / "enabled_plugins", "[rabbitmq_stream].\n")
    # Without the system's resolver no helper process is needed to ask it, and no host name can be wrong.
    _write(folder / "inetrc", '{host, {127,0,0,1}, ["localhost"]}.\n{lookup, [file]}.\n')
    cookie = folder / ".erlang.cookie"
    if not cookie.exists():
        _write(cookie, secrets.token_hex(16))
        cookie.chmod(0o400)
    return Service(
        name="rabbitmq",
        folder=folder,
        log=folder / "rabbitmq.log",
        command=(server,),
        environment={
            "HOME": str(folder),
            "ERL_EPMD_PORT": str(ports("epmd")),
            "ERL_EPMD_ADDRESS": LOOPBACK,
            "ERL_INETRC": str(folder / "inetrc"),
            "ERL_CRASH_DUMP_SECONDS": "0",
            "RABBITMQ_CONF_ENV_FILE": os.devnull,
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
            "RABBITMQ_CONFIG_FILES": str(folder / "conf.d" / "*.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(folder / "advanced.config"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
            "RABBITMQ_NODENAME": "sentiment@localhost",
            "RABBITMQ_MNESIA_BASE": str(folder / "data"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_DIST_PORT": str(ports("rabbitmq-distribution")),
            # Loopback for the Erlang protocol too, and no scheduler that spins while it waits for work.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
                "-kernel inet_dist_use_interface {127,0,0,1} +sbwt none +sbwtdcpu none +sbwtdio none"
            ),
        },
        ready=lambda: accepts(amqp) and accepts(stream),
        variables=_rabbitmq_variables(user, password, amqp, stream),
    )


def rabbitmq_container(folder: Path, ports: Ports, user: str, password: str, engine: str) -> Service:
    """RabbitMQ with streams in a container of `engine`, docker or podman; its data are in a volume."""
    folder = _folder(folder)
    amqp, stream = ports("rabbitmq"), ports("rabbitmq-stream")
    name = f"sentiment-rabbitmq-{zlib.crc32(os.fsencode(folder)):08x}"
    plugins = folder / "container_plugins"
    _write(plugins, "[rabbitmq_stream].\n")
    plugins.chmod(0o644)  # read by the container's own user
    run = [
        engine, "run", "--rm", "--name", name, "--hostname", "sentiment",
        "--publish", f"{LOOPBACK}:{amqp}:5672", "--publish", f"{LOOPBACK}:{stream}:{stream}",
        "--volume", f"{name}:/var/lib/rabbitmq", "--volume", f"{plugins}:/etc/rabbitmq/enabled_plugins:ro",
        "--env", "RABBITMQ_DEFAULT_USER", "--env", "RABBITMQ_DEFAULT_PASS",
        "--env", "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", RABBITMQ_IMAGE,
    ]  # fmt: skip
    # A container that outlived its client would keep the name.
    script = f"{shlex.join([engine, 'rm', '--force', name])} >/dev/null 2>&1; exec {shlex.join(run)}"
    return Service(
        name="rabbitmq",
        folder=folder,
        log=folder / "rabbitmq.log",
        command=("sh", "-c", script),
        environment={
            "RABBITMQ_DEFAULT_USER": user,
            "RABBITMQ_DEFAULT_PASS": password,
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
                f"-rabbitmq_stream tcp_listeners [{stream}] advertised_host localhost advertised_port {stream}"
            ),
        },
        ready=lambda: accepts(amqp) and accepts(stream),
        variables=_rabbitmq_variables(user, password, amqp, stream),
    )


def _rabbitmq_variables(user: str, password: str, amqp: int, stream: int) -> dict[str, str]:
    return {
        "RABBITMQ_URL": f"amqp://{user}:{password}@{LOOPBACK}:{amqp}/%2F",
        "RABBITMQ_STREAM_URL": f"rabbitmq-stream://{user}:{password}@{LOOPBACK}:{stream}",
    }


def gateway(folder: Path, port: int, functions: Mapping[str, int]) -> Service:
    """Caddy in the place of OpenFaaS's gateway: `/function/<name>/...` goes to that function's own process.

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
        variables={"GATEWAY_URL": f"http://{LOOPBACK}:{port}"},
    )


def _write(path: Path, text: str) -> None:
    """Writes a file that only its owner may read."""
    path.touch(mode=0o600)
    path.write_text(text)


@contextmanager
def running(service: Service, timeout_seconds: float = 60) -> Iterator[subprocess.Popen[bytes]]:
    """Runs the service in a process group of its own; yields when it is ready, stops all of it at the end.

    Raises ServiceError, with the end of its log, when it ends or is not ready in time.
    """
    # A predecessor that was just killed may still hold the port, and would pass for this one.
    if not wait_until(lambda: not service.ready(), timeout_seconds=5):
        raise ServiceError(f"{service.name}: something else answers at its address already")
    with service.log.open("ab") as log:
        process = subprocess.Popen(
            service.command,
            cwd=service.folder,
            env={**os.environ, **service.environment},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _wait_until_ready(service, process, timeout_seconds)
        yield process
    finally:
        stop(process)


def _wait_until_ready(service: Service, process: subprocess.Popen[bytes], timeout_seconds: float) -> None:
    deadline = time.monotonic() + timeout_seconds
    while not service.ready():
        if time.monotonic() > deadline:
            raise ServiceError(f"{service.name} is not ready after {timeout_seconds:g} s\n{tail(service.log)}")
        try:
            status = process.wait(timeout=0.05)
        except subprocess.TimeoutExpired:
            continue
        raise ServiceError(f"{service.name} ended with status {status}\n{tail(service.log)}")


def stop(process: subprocess.Popen[bytes], timeout_seconds: float = 15) -> None:
    """Ends a process and its whole group: SIGTERM first, SIGKILL for what is left after the timeout."""
    if process.poll() is None:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout_seconds)
    # Nobody may be left; macOS says "permission" of a group that has only zombies.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
