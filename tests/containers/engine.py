"""A Docker engine, the project's images, and containers of them, for tests."""

import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from deploy.ports import free_port, http_status
from deploy.runner import tail, wait_until
from tests import debian
from tests.project import ROOT

BASE_IMAGE: str = re.findall("^ARG BASE_IMAGE=(.+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE)[0]
# What is made in its place has no digest.
MADE_BASE_IMAGE = "sentiment-base:bookworm"
BASE_SUITE = "bookworm"  # the Debian release whose Python is 3.11
CA_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
ENGINE_TIMEOUT_SECONDS = 60
PULL_TIMEOUT_SECONDS = 120
SECRETS_FOLDER = "/var/openfaas/secrets"
# How OpenFaaS runs a function, and harder: nothing but /tmp can be written, no capability, no new privilege.
HARDENED = (
    "--read-only", "--tmpfs", "/tmp:size=64m",  # noqa: S108 - the container's own
    "--cap-drop", "ALL", "--security-opt", "no-new-privileges",
)  # fmt: skip


class MissingEngineError(RuntimeError):
    """There is no Docker engine, and none can be started; says what to do."""


@dataclass(frozen=True)
class Part:
    """One image of the project: the build arguments that make it."""

    name: str
    build_args: dict[str, str]

    @property
    def exists(self) -> bool:
        """Whether its code is there."""
        path = ROOT / self.build_args["MODULE"].replace(".", "/")
        return path.is_dir() or path.with_suffix(".py").exists()


def parts() -> dict[str, Part]:
    """Return what stack.yml and compose.yml build, of which the code is there."""
    stack = yaml.safe_load((ROOT / "stack.yml").read_text())
    compose = yaml.safe_load((ROOT / "compose.yml").read_text())
    found = {name: Part(name, function["build_args"]) for name, function in stack["functions"].items()}
    for name, service in compose["services"].items():
        if "build" in service and f"/sentiment-{name}:" in service["image"]:
            found.setdefault(name, Part(name, service["build"]["args"]))
    return {name: part for name, part in found.items() if part.exists}


def memory_limit(name: str) -> str:
    """Return how much memory stack.yml gives a function, as `docker run --memory` takes it."""
    limit: str = yaml.safe_load((ROOT / "stack.yml").read_text())["functions"][name]["limits"]["memory"]
    return limit.removesuffix("i").lower()


def docker(*arguments: str, check: bool = True, timeout_seconds: float = 900) -> str:
    """Run the docker command and return what it prints; raises AssertionError with its words where it fails."""
    result = subprocess.run(
        ["docker", *arguments], capture_output=True, text=True, check=False, timeout=timeout_seconds
    )
    assert not check or result.returncode == 0, f"docker {arguments[0]}: {result.stdout[-3000:]}{result.stderr[-3000:]}"
    return result.stdout.strip()


def engine_answers() -> bool:
    """Whether an engine is there to talk to."""
    if shutil.which("docker") is None:
        return False
    return subprocess.run(["docker", "info"], capture_output=True, check=False, timeout=30).returncode == 0


@contextmanager
def engine() -> Iterator[None]:
    """Yield while an engine answers: the one that runs, else one of our own with its data in a folder that goes.

    Raises MissingEngineError.
    """
    if engine_answers():
        yield
        return
    program = debian.tool("dockerd")
    if program is None or shutil.which("docker") is None:
        raise MissingEngineError("no Docker engine: apt-get install docker.io, or start the one that you have")
    if os.getuid() != 0:
        raise MissingEngineError("no Docker engine runs, and only root may start one")
    with tempfile.TemporaryDirectory(prefix="engine-", ignore_cleanup_errors=True) as folder, ExitStack() as stack:
        socket = f"unix://{folder}/docker.sock"
        log = Path(folder, "dockerd.log")
        command = [
            program, "--host", socket, "--data-root", f"{folder}/data", "--exec-root", f"{folder}/exec",
            "--pidfile", f"{folder}/dockerd.pid",
        ]  # fmt: skip
        with log.open("wb") as output:
            process = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)
        before = os.environ.get("DOCKER_HOST")
        os.environ["DOCKER_HOST"] = socket
        stack.callback(_restore, "DOCKER_HOST", before)
        # dockerd leaves its network namespace mounted, and the folder could not go.
        stack.callback(subprocess.run, ["umount", f"{folder}/exec/netns/default"], capture_output=True, check=False)
        stack.callback(process.wait, 30)
        stack.callback(process.terminate)
        if not wait_until(lambda: process.poll() is not None or engine_answers(), ENGINE_TIMEOUT_SECONDS):
            raise MissingEngineError(f"dockerd does not answer\n{tail(log)}")
        if process.poll() is not None:
            raise MissingEngineError(f"dockerd ended\n{tail(log)}")
        yield


def _restore(name: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value


@cache
def base_image() -> str:
    """Return the base image of builds: the Dockerfile's, pulled where it is not there, else one of Debian's packages.

    Raises MissingEngineError.
    """
    for image in (BASE_IMAGE, MADE_BASE_IMAGE):
        if subprocess.run(["docker", "image", "inspect", image], capture_output=True, check=False).returncode == 0:
            return image
    try:
        subprocess.run(
            ["docker", "pull", "--quiet", BASE_IMAGE], capture_output=True, check=True, timeout=PULL_TIMEOUT_SECONDS
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        _make_base_image()
        return MADE_BASE_IMAGE
    return BASE_IMAGE


def _make_base_image() -> None:
    with tempfile.TemporaryDirectory(prefix="base-image-") as folder:
        root = Path(folder, "root")
        try:
            debian.bootstrap(root, BASE_SUITE, ["python3", "python3-venv", "python3-pip", "ca-certificates"])
        except debian.CannotBootstrapError as error:
            raise MissingEngineError(f"{BASE_IMAGE} can't be pulled, nor made of Debian's packages: {error}") from error
        for name in ("python", "python3"):
            (root / "usr/local/bin" / name).symlink_to("/usr/bin/python3")
        for marker in root.glob("usr/lib/python3*/EXTERNALLY-MANAGED"):
            marker.unlink()
        # Builds must trust whom this machine trusts, a proxy of its network for one.
        if CA_BUNDLE.exists():
            shutil.copyfile(CA_BUNDLE, root / CA_BUNDLE.relative_to("/"))
        (root / "etc/pip.conf").write_text(f"[global]\ncert = {CA_BUNDLE}\n{_index()}")
        with subprocess.Popen(
            ["tar", "-C", str(root), "--exclude=./proc/*", "--exclude=./sys/*", "--exclude=./dev/*", "-c", "."],
            stdout=subprocess.PIPE,
        ) as tar:
            environment = {"PATH": "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
            changes = [f"--change=ENV {name}={value}" for name, value in environment.items()]
            subprocess.run(["docker", "import", *changes, "-", MADE_BASE_IMAGE], stdin=tar.stdout, check=True)


def _index() -> str:
    """The package index that pip uses on this machine, if it is not the usual one."""
    result = subprocess.run(["pip", "config", "get", "global.index-url"], capture_output=True, text=True, check=False)
    return f"index-url = {result.stdout.strip()}\n" if result.returncode == 0 else ""


def build(part: Part, tag: str) -> str:
    """Build one image and return its name."""
    image = f"sentiment-{part.name}:{tag}"
    build_args = {**part.build_args, "BASE_IMAGE": base_image()}
    # What the caller's environment may say is left out.
    arguments = [f"--build-arg={name}={value}" for name, value in build_args.items() if not value.startswith("$")]
    docker("build", "--quiet", *arguments, "--tag", image, str(ROOT))
    return image


@dataclass
class Container:
    """A running container of one of the images, on the network of this machine."""

    id: str
    port: int
    credentials: Sequence[str] = ()
    _stopped: bool = field(default=False)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def status(self, path: str) -> int | None:
        """The status of GET `path`; None while nobody answers."""
        return http_status(self.port, path)

    def wait_for(self, path: str, timeout_seconds: float = 20) -> None:
        """Wait until GET `path` answers 200; raises AssertionError with the log's end."""
        ready = wait_until(lambda: self.status(path) == 200, timeout_seconds)
        assert ready, f"{path} is not 200 after {timeout_seconds:g} s\n{self.logs()[-2000:]}"

    def inspect(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(docker("container", "inspect", self.id))[0]
        return found

    def execute(self, *command: str, check: bool = True) -> str:
        """Run a command inside and return what it prints."""
        return docker("exec", self.id, *command, check=check)

    def logs(self) -> str:
        result = subprocess.run(["docker", "logs", self.id], capture_output=True, text=True, check=True)
        return result.stdout + result.stderr

    def memory_bytes(self) -> float:
        """What the container's processes use, without files that the kernel caches for them."""
        usage = docker("stats", "--no-stream", "--format", "{{.MemUsage}}", self.id)
        match = re.match(r"([\d.]+)(KiB|MiB|GiB)", usage)
        assert match, usage
        return float(match[1]) * {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30}[match[2]]

    def peak_bytes(self) -> int:
        """What the container has taken at its peak, files that the kernel caches for it included."""
        folder = "/sys/fs/cgroup"
        command = f"cat {folder}/memory.peak 2>/dev/null || cat {folder}/memory/memory.max_usage_in_bytes"
        return int(self.execute("sh", "-c", command))

    def assert_alive(self) -> None:
        """Raise AssertionError if the kernel has killed the container, or a process in it, for want of memory."""
        state = self.inspect()["State"]
        assert state["Running"], (
            f"ended with {state['ExitCode']}, OOMKilled {state['OOMKilled']}\n{self.logs()[-2000:]}"
        )
        assert not state["OOMKilled"]
        folder = "/sys/fs/cgroup"
        events = self.execute(
            "sh", "-c", f"cat {folder}/memory.events 2>/dev/null || cat {folder}/memory/memory.oom_control"
        )
        assert "oom_kill 0" in events.splitlines(), events

    def stop(self) -> int:
        """Send SIGTERM, wait, and return the exit code."""
        docker("stop", "-t", "30", self.id)
        code: int = self.inspect()["State"]["ExitCode"]
        return code


@contextmanager
def run(
    image: str,
    environment: Mapping[str, str],
    *,
    secrets: Mapping[str, str] | None = None,
    memory: str = "256m",
    options: Sequence[str] = (),
    command: Sequence[str] = (),
) -> Iterator[Container]:
    """Run a container as its image's own user, hardened, with `secrets` as files; it is removed at the end."""
    port = free_port()
    settings = {"LISTEN_HOST": "127.0.0.1", "LISTEN_PORT": str(port), **environment}
    with tempfile.TemporaryDirectory(prefix="secrets-") as folder:
        Path(folder).chmod(0o755)
        for name, value in (secrets or {}).items():
            Path(folder, name).write_text(value)
        identifier = docker(
            "run", "--detach", "--network", "host", *HARDENED, "--memory", memory, "--memory-swap", memory,
            "--volume", f"{folder}:{SECRETS_FOLDER}:ro",
            *(f"--env={name}={value}" for name, value in settings.items()), *options, image, *command,
        )  # fmt: skip
        try:
            yield Container(identifier, port)
        finally:
            docker("rm", "--force", identifier)
