"""Nodes of RabbitMQ 4: one by itself, and a cluster of three."""

import os
import secrets
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from deploy.ports import LOOPBACK, accepts, free_port
from deploy.runner import Service, ServiceError, tail, wait_until
from deploy.servers import rabbitmq_node
from tests.cluster.installation import Installation
from tests.conftest import RabbitMQNode
from tests.running import running

NAMES = ("one", "two", "three")
CLUSTER_TIMEOUT_SECONDS = 120
# The root has no /proc, in which a node would look for its memory and the machine's.
MEMORY = """\
vm_memory_calculation_strategy = allocated
total_memory_available_override_value = 2GB
"""
# The shorter one of the broker's and the client's counts, and a test waits until two were missed.
HEARTBEAT = "stream.heartbeat = 10\n"
# However many cores there are.
FEW_THREADS = {"ERL_AFLAGS": "+S 2:2 +SDcpu 2:2 +SDio 4"}


@dataclass
class ClusterNode(RabbitMQNode):
    """A node of a cluster: once started, it and all others that run have each other as members."""

    installation: Installation = field(kw_only=True)
    peers: Sequence["ClusterNode"] = field(default=(), repr=False)

    @property
    def name(self) -> str:
        return self.service.environment["RABBITMQ_NODENAME"]

    @property
    def runs(self) -> bool:
        return self.service.ready()

    def start(self) -> None:
        """Returns when the node accepts connections and is in the cluster."""
        super().start()
        if not wait_until(self._clustered, CLUSTER_TIMEOUT_SECONDS):
            members = {node.name: node.members() for node in self.peers if node.runs}
            raise ServiceError(f"{self.name} is not in the cluster: {members}\n{tail(self.service.log)}")

    def members(self) -> set[str]:
        """The nodes that run in its cluster, as it sees them; none where it does not answer."""
        ask = (
            "erl_call", "-sname", self.name, "-c", (self.service.folder / ".erlang.cookie").read_text(),
            "-a", "rabbit_nodes list_running []",
        )  # fmt: skip
        result = subprocess.run(
            self.installation.command(self.service.folder, *ask),
            env={**os.environ, **self.service.environment},
            capture_output=True, text=True, check=False, timeout=30,
        )  # fmt: skip
        if result.returncode != 0:
            return set()
        return {name.strip(" '\n") for name in result.stdout.strip("[]\n").split(",")}

    def _clustered(self) -> bool:
        nodes = [node for node in self.peers if node.runs]
        names = {node.name for node in nodes}
        return self.name in names and all(node.members() == names for node in nodes)


@contextmanager
def single_node(installation: Installation) -> Iterator[RabbitMQNode]:
    """Run a node by itself."""
    with installation.folder() as folder:
        node = RabbitMQNode(_service(installation, folder, "sentiment", secrets.token_hex(16)))
        (node.service.folder / "conf.d" / "heartbeat.conf").write_text(HEARTBEAT)
        try:
            node.start()
            yield node
        finally:
            node.stop()


@contextmanager
def three_nodes(installation: Installation) -> Iterator[list[ClusterNode]]:
    """Run a cluster, whose nodes have one user, who may do all."""
    password, cookie = secrets.token_hex(16), secrets.token_hex(16)
    with installation.folder() as folder, ExitStack() as stack:
        epmd = _epmd(installation, folder)
        stack.enter_context(running(epmd))
        nodes: list[ClusterNode] = []
        for number, name in enumerate(NAMES, start=1):
            # A new node looks for all that it knows of for half a minute, so each knows those that run by then.
            _write_cluster(folder / name, cookie, NAMES[:number])
            service = _service(installation, folder, name, password, epmd_port=int(epmd.environment["ERL_EPMD_PORT"]))
            nodes.append(ClusterNode(service, CLUSTER_TIMEOUT_SECONDS, installation=installation, peers=nodes))
        for node in nodes:
            stack.callback(node.stop)
            node.start()
        yield nodes


def _service(
    installation: Installation, folder: Path, name: str, password: str, epmd_port: int | None = None
) -> Service:
    node = folder / name
    (node / "conf.d").mkdir(parents=True, exist_ok=True)
    (node / "conf.d" / "memory.conf").write_text(MEMORY)

    def ports(listener: str) -> int:
        return epmd_port if epmd_port and listener == "epmd" else free_port(f"{name} {listener}")

    service = rabbitmq_node(name, node, ports, "tests", password, installation.start(folder, node))
    return replace(service, name=name, environment={**service.environment, **FEW_THREADS})


def _write_cluster(node: Path, cookie: str, members: Sequence[str]) -> None:
    (node / "conf.d").mkdir(parents=True)
    (node / ".erlang.cookie").write_text(cookie)
    (node / ".erlang.cookie").chmod(0o400)
    settings = {"cluster_formation.peer_discovery_backend": "classic_config"}
    settings |= {f"cluster_formation.classic_config.nodes.{name}": f"{name}@localhost" for name in members}
    (node / "conf.d" / "cluster.conf").write_text("".join(f"{key} = {value}\n" for key, value in settings.items()))


def _epmd(installation: Installation, folder: Path) -> Service:
    """Erlang's port mapper, which is to outlive each of the nodes."""
    port = free_port("epmd")
    return Service(
        name="epmd",
        folder=folder,
        command=installation.command(folder, "epmd"),
        ready=lambda: accepts(port),
        log=folder / "epmd.log",
        environment={"ERL_EPMD_ADDRESS": LOOPBACK, "ERL_EPMD_PORT": str(port)},
    )
