"""The console behind the whole local stack, among many records: how soon each view is there, and what it takes.

    python -m benchmarks.console [--records 100000] [--rounds 5]

All records are of the last hour, which is the most that the console has to count. A view is there once nothing of it is
being read any more. The first figure is that of a browser that has never been there, signed in by the address that
deploy.sh prints; the others are medians. Needs Chromium and Linux's /proc. Prints a table in Markdown.
"""

import argparse
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path
from statistics import median
from typing import Any

from playwright.sync_api import Browser, Page, expect, sync_playwright
from pymongo import MongoClient

from benchmarks.processes import memory, tree
from benchmarks.records import BATCH, Texts, predictions
from records import Records, now
from tests.browser.chromium import chromium, launched
from tests.project import Project, running_stack

VIEWS = ("Try it", "Now", "Drift", "Models", "Label")
SPREAD = timedelta(minutes=59)
"""Over how much of the last hour the records are spread: all of them are in it until the views were opened."""


def main() -> int:
    """Fill the stack, open each view, and print the table; returns 0, or 2 where there is no browser."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    program = chromium()
    if program is None:
        print("there is no Chromium; BROWSER_TESTS=yes ./test.sh installs it", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder, running_stack(Path(folder)) as stack:
        fill(stack, arguments.records)
        with sync_playwright() as playwright, launched(playwright, program) as browser:
            print(f"{arguments.records:,} records of the last hour, {arguments.rounds} rounds\n")
            print("| view | first, ms | median, ms |\n| --- | --- | --- |")
            for view in VIEWS:
                found = [milliseconds(browser, stack, view) for _ in range(arguments.rounds + 1)]
                print(f"| {view} | {found[0]:.0f} | {median(found[1:]):.0f} |", flush=True)
        print("\n| process | proportional set size, MB |\n| --- | --- |")
        for name in ("console", "predict"):
            process = next(each for each in stack.processes() if f"functions.{name}" in each.cmdline())
            print(f"| {name} | {memory(tree(process.pid)).pss:.0f} |")
    return 0


def fill(stack: Project, number: int) -> None:
    """Write so many answers of the last hour, as the bridge does."""
    version, texts, begin = stack.predict("I love you")["model"], Texts(), now() - SPREAD
    with MongoClient[dict[str, Any]](stack.addresses()["MONGODB_URL"]) as client:
        records = Records(client)
        for first in range(0, number, BATCH):
            records.insert_predictions(predictions(texts, version, first, BATCH, begin=begin, apart=SPREAD / number))


def milliseconds(browser: Browser, stack: Project, view: str) -> float:
    """Return how long it takes until a view is there, in a browser that has kept nothing."""
    origin = f"http://127.0.0.1:{stack.port}"
    with browser.new_context(viewport={"width": 1280, "height": 900}) as context:
        page = context.new_page()
        started = time.perf_counter()
        page.goto(f"{origin}/#token={stack.addresses()['CONSOLE_TOKEN']}")
        if view != VIEWS[0]:
            wait_for(page, VIEWS[0])
            started = time.perf_counter()
            page.goto(f"{origin}/function/console/{view.lower()}")
        wait_for(page, view)
        return (time.perf_counter() - started) * 1e3


def wait_for(page: Page, view: str) -> None:
    page.get_by_role("heading", name=view, level=1, exact=True).wait_for()
    expect(page.locator(".loading")).to_have_count(0)


if __name__ == "__main__":
    sys.exit(main())
