"""The memory of predict, of all its processes: when ready, after load, after hot swaps; and its start-up.

    python -m benchmarks.memory [--shared ../shared] [--trainer nb-logistic]

Needs wrk on PATH, and Linux's /proc. Prints a table in Markdown.
"""

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from statistics import median

import msgspec

from benchmarks.lean import as_deployed
from benchmarks.load import get, wait_until_written, wrk
from benchmarks.processes import memory, tree
from benchmarks.servers import servers
from benchmarks.system import SHORT_TEXT
from datasets import load_corpus
from deploy import runner
from sentiment.artifact import Artifact
from sentiment.trainers import DEFAULT_TRAINER, TRAINERS
from sentiment.training import train_artifact
from tests.running import running
from tests.system import ROOT, promote, python_service

LONG_TEXT_CHARACTERS = 1_000
ROUNDS = 3
SECONDS = 6
SWAPS = 5


def main() -> int:
    """Run all and print the table; returns 0, or 2 where something needed is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared")
    parser.add_argument("--trainer", choices=TRAINERS, default=DEFAULT_TRAINER)
    arguments = parser.parse_args()
    training_data = arguments.shared / "imdb" / "aclImdb_train.tar.gz"
    if not training_data.exists():
        print(f"{training_data} is not there; say where it is with --shared", file=sys.stderr)
        return 2
    if not shutil.which("wrk"):
        print("wrk is not installed: apt-get install wrk", file=sys.stderr)
        return 2
    corpus = load_corpus(str(training_data))
    review = next(text for text in sorted(corpus.texts, key=len) if len(text) >= LONG_TEXT_CHARACTERS)
    artifact = train_artifact(corpus, trainer=arguments.trainer)
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        environment = stack.enter_context(servers(folder))
        measure(arguments, folder, environment, artifact, review)
    return 0


def measure(
    arguments: argparse.Namespace, folder: Path, environment: Mapping[str, str], artifact: Artifact, review: str
) -> None:
    """Start predict on servers that run, load it, swap its model, and print each figure as it is known."""
    promote(artifact)
    service = python_service("functions.predict", folder, environment)
    service = as_deployed(service, folder)
    seconds = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        with running(service):
            seconds.append(time.perf_counter() - started)
    print(f"ready after {median(seconds):.2f} s\n")
    print("| when | PSS, MB | RSS, MB | requests/s |\n| --- | --- | --- | --- |")
    with running(service) as process:
        print(row("ready", process.pid))
        body = folder / "body.json"
        for what, text in (("short text", SHORT_TEXT), (f"review of {len(review)} characters", review)):
            body.write_text(json.dumps({"text": text}))
            for query in ("?record=false", ""):
                load = wrk(arguments.shared / "peers", f"{service.variables['URL']}/{query}", body, SECONDS)
                rate = load.answered / load.seconds
                print(row(f"after load, {what}{', not recorded' if query else ''}", process.pid, rate))
        wait_until_written(service)
        time.sleep(1)  # the memory is given back just after the last write, which has no sign of its own
        print(row("after load, all recorded", process.pid))
        for number in range(SWAPS):
            version = promote(
                replace(artifact, manifest=msgspec.structs.replace(artifact.manifest, reason=f"swap {number}"))
            )
            if not runner.wait_until(lambda: served(service) == version, 20):  # noqa: B023  # called within the loop
                raise ValueError(f"{version} was not swapped in: {runner.tail(service.log)}")
        print(row(f"after {SWAPS} swaps", process.pid))


def row(when: str, pid: int, rate: float | None = None) -> str:
    """Return one line of the table: the memory, now, of a process and its children."""
    found = memory(tree(pid))
    return f"| {when} | {found.pss:.1f} | {found.rss:.1f} | {'' if rate is None else f'{rate:,.0f}'} |"


def served(service: runner.Service) -> str:
    """Return the version that predict serves."""
    return str(json.loads(get(service, "/"))["model"])


if __name__ == "__main__":
    sys.exit(main())
