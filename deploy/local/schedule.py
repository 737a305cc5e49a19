"""The local twin of OpenFaaS's cron-connector: POSTs to functions when their schedule in stack.yml says so."""

import logging
import os
import re
import signal
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import urllib3
import yaml
from croniter import croniter

from deploy.local.state import ROOT
from model_store import process

logger = logging.getLogger("schedule")

TOPIC = "cron-function"
# As long as a training run may take.
TIMEOUT_SECONDS = 600.0


@dataclass(frozen=True)
class Job:
    """A function and the cron expression (UTC, as cron-connector has it) that it is called by."""

    function: str
    cron: str

    def seconds_until_next(self, moment: datetime) -> float:
        """Return how long after `moment` the next call is due."""
        due: datetime = croniter(self.cron, moment).get_next(datetime)
        return (due - moment).total_seconds()


def jobs(stack: str) -> list[Job]:
    """Return the scheduled functions of a stack.yml; `${NAME:-default}` stands for a variable, as in faas-cli."""
    expanded = re.sub(r"\$\{(\w+):-([^}]*)\}", lambda found: os.environ.get(found[1]) or found[2], stack)
    functions: dict[str, dict[str, Any]] = yaml.safe_load(expanded)["functions"]
    return [
        Job(name, function["annotations"]["schedule"])
        for name, function in functions.items()
        if function.get("annotations", {}).get("topic") == TOPIC
    ]


def run(job: Job, gateway_url: str, stop: threading.Event) -> None:
    """Call one function by its schedule until `stop` is set."""
    while not stop.wait(job.seconds_until_next(datetime.now(UTC))):
        try:
            response = urllib3.request(
                "POST", f"{gateway_url}/function/{job.function}", timeout=TIMEOUT_SECONDS, retries=False
            )
        except urllib3.exceptions.HTTPError as error:
            logger.warning("%s: %s", job.function, error)
        else:
            logger.info("%s answered %d", job.function, response.status)


def main() -> int:
    """Run every job in a thread of its own, so that a long one delays no other; returns 0 at SIGTERM."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    gateway_url = os.environ["GATEWAY_URL"].rstrip("/")
    for job in jobs((ROOT / "stack.yml").read_text(encoding="utf-8")):
        logger.info("%s is called at %s", job.function, job.cron)
        threading.Thread(target=run, args=(job, gateway_url, stop), name=job.function, daemon=True).start()
    stop.wait()
    return 0


if __name__ == "__main__":
    process.run("schedule", main)
