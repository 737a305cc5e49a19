"""The browser that shows the console."""

import os
import shutil

from playwright.sync_api import Browser, Playwright


def chromium() -> str | None:
    """Return Debian's Chromium, or another one that is installed; None where there is none."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def launched(playwright: Playwright, program: str) -> Browser:
    """Start it; whoever does ends it."""
    # As root Chromium has no sandbox; the pages are our own.
    return playwright.chromium.launch(executable_path=program, args=["--no-sandbox"] if os.getuid() == 0 else [])
