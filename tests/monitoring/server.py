"""A real Prometheus: the system's own, else Debian's, which install.sh unpacks in .cache."""

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

import yaml

from deploy.monitoring import dashboards
from deploy.monitoring.local import ALERTS
from deploy.ports import LOOPBACK, free_port, http_status
from deploy.runner import Service
from deploy.servers import MissingServerError
from tests.project import ROOT
from tests.running import running

UNPACKED = ROOT / ".cache" / "prometheus" / "usr" / "bin"
BETWEEN = re.compile(r"\s(?:and|unless)\s")
COMPARISON = re.compile(r"\s(?:==|!=|>|<)\s.*", re.DOTALL)


def program(name: str) -> str:
    """Return the path of prometheus or promtool; raises MissingServerError."""
    found = shutil.which(name) or shutil.which(name, path=UNPACKED)
    if found is None:
        raise MissingServerError(
            f"{name} is not installed: as root on Debian or Ubuntu, MONITORING_TESTS=yes ./test.sh"
        )
    return found


class Prometheus:
    """A running one, to be asked."""

    def __init__(self, port: int) -> None:
        self.port = port

    def get(self, path: str, **query: str) -> Any:
        with urlopen(f"http://{LOOPBACK}:{self.port}/api/v1/{path}?{urlencode(query)}", timeout=10) as response:
            return json.load(response)["data"]

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the series that an expression has now."""
        found: list[dict[str, Any]] = self.get("query", query=expression)["result"]
        return found


@contextmanager
def running_prometheus(folder: Path, settings: str) -> Iterator[Prometheus]:
    """Run Prometheus with these settings, and its data in `folder`."""
    folder.mkdir()
    (folder / "prometheus.yml").write_text(settings)
    port = free_port("prometheus")
    command = (
        program("prometheus"), f"--web.listen-address={LOOPBACK}:{port}", "--config.file=prometheus.yml",
        "--storage.tsdb.path=data",
    )  # fmt: skip
    service = Service(
        name="prometheus",
        folder=folder,
        command=command,
        ready=lambda: http_status(port, "/-/ready") == 200,
        log=folder / "prometheus.log",
    )
    with running(service):
        yield Prometheus(port)


def asked() -> set[str]:
    """Return what the dashboards and the alerts ask for.

    Of an alert, each side of `and` and `unless`, without the threshold that it is compared with.
    """
    boards = [json.loads(text) for text in dashboards.boards().values()]
    targets = [target for board in boards for panel in board["panels"] for target in panel.get("targets", ())]
    rules = [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]
    sides = [side for rule in rules for side in BETWEEN.split(rule["expr"])]
    shown = [target["expr"].replace("$__rate_interval", "1m") for target in targets]
    return {*shown, *(COMPARISON.sub("", side) for side in sides)}
