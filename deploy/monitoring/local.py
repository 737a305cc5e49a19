"""Prometheus for the local stack: `python -m deploy.monitoring.local` prints its settings, for the addresses in force.

Those are the variables of .local/env: `. .local/env` first.
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import yaml

from contracts.names import FUNCTIONS

ALERTS = Path(__file__).with_name("alerts.yml")


def settings(environment: Mapping[str, str], scrape_seconds: int = 15) -> str:
    """Return what `prometheus --config.file` reads, with each part that has an address, as a job of its name."""
    names = (*FUNCTIONS, "bridge")
    addresses = {name: environment.get(f"{name.upper().replace('-', '_')}_URL") for name in names}
    jobs = [
        {"job_name": name, "static_configs": [{"targets": [urlsplit(url).netloc]}]}
        for name, url in addresses.items()
        if url
    ]
    every = f"{scrape_seconds}s"
    times = {"scrape_interval": every, "scrape_timeout": every, "evaluation_interval": every}
    found = {"global": times, "rule_files": [str(ALERTS)], "scrape_configs": jobs}
    return yaml.safe_dump(found, sort_keys=False)


if __name__ == "__main__":
    sys.stdout.write(settings(os.environ))
