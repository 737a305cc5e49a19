"""What the benchmarks run on: the servers of the project, and the peer that answers over HTTP."""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from deploy import ports, runner
from deploy.servers import mongodb, rabbitmq, s3
from tests.running import running


@contextmanager
def servers(folder: Path) -> Iterator[Mapping[str, str]]:
    """Run S3, MongoDB and RabbitMQ; yields, and sets, the environment that finds them."""
    port = ports.free_port
    with ExitStack() as stack:
        environment: dict[str, str] = {}
        for service in (
            s3(folder / "s3", port, "benchmark", "benchmark-key"),
            mongodb(folder / "mongodb", port),
            rabbitmq(folder / "rabbitmq", port, "benchmark", "benchmark-word"),
        ):
            stack.enter_context(running(service))
            environment |= service.variables
        os.environ.update(environment)
        yield environment


@contextmanager
def http_peer(peers: Path, training_data: Path, folder: Path) -> Iterator[runner.Service]:
    """Run the FastAPI and scikit-learn peer; yields it once it has trained."""
    port = ports.free_port()
    service = runner.Service(
        name="fastapi_sklearn",
        folder=peers,
        command=(sys.executable, "-m", "uvicorn", "fastapi_sklearn:app", "--port", str(port), "--log-level", "warning"),
        ready=lambda: ports.http_status(port, "/docs") == 200,
        log=folder / "peer.log",
        environment={"PEER_TRAIN": str(training_data)},
        variables={"URL": f"http://127.0.0.1:{port}", "PORT": str(port)},
    )
    with running(service, timeout_seconds=180):
        yield service
