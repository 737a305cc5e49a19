"""The local twin of OpenFaaS's cron-connector: POSTs to functions when their schedule in stack.yml says so."""

import logging
import os
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import urllib3
import yaml
from croniter import croniter

from deploy.local.state import ROOT
from process.run import run, stop_at_signal

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


def start(scheduled: Sequence[Job], gateway_url: str, stop: threading.Event) -> list[threading.Thread]:
    """Call each function by its schedule until `stop` is set, in a thread of its own: a long call delays no other."""
    # A connection for each thread: of a smaller pool urllib3 says, at each further call, that it is full.
    pool = urllib3.PoolManager(maxsize=len(scheduled), timeout=TIMEOUT_SECONDS, retries=False)

    def call(job: Job) -> None:
        while not stop.wait(job.seconds_until_next(datetime.now(UTC))):
            try:
                response = pool.request("POST", f"{gateway_url}/function/{job.function}")
            except urllib3.exceptions.HTTPError as error:
                logger.warning("%s: %s", job.function, error)
            else:
                logger.info("%s answered %d", job.function, response.status)

    threads = [threading.Thread(target=call, args=(job,), name=job.function, daemon=True) for job in scheduled]
    for thread in threads:
        thread.start()
    return threads


def main() -> int:
    """Run the schedule of stack.yml; returns 0 at SIGTERM."""
    stop = threading.Event()
    stop_at_signal(stop)
    scheduled = jobs((ROOT / "stack.yml").read_text(encoding="utf-8"))
    for job in scheduled:
        logger.info("%s is called at %s", job.function, job.cron)
    start(scheduled, os.environ["GATEWAY_URL"].rstrip("/"), stop)
    stop.wait()
    return 0


if __name__ == "__main__":
    run("schedule", main)
