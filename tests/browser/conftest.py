"""The console in a browser, on the local stack: one of each for all tests."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, sync_playwright

from tests.browser.chromium import chromium, launched
from tests.project import ROOT, Project, running_stack

SCREENSHOTS = ROOT / "build" / "screenshots"
KNOWN_TEXTS = 300
HOSTILE_TEXT = '<img src=x onerror="document.title=1"> <script>document.title = 2</script> neither good nor bad'


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """The local stack, which has scored texts like those that it was trained on, and one that attacks whoever looks."""
    with running_stack(tmp_path_factory.mktemp("browser")) as project:
        kinds = ("I love this wonderful film", "I hate this awful movie, what a bore")
        # Their numbers are new to the model, as are those of the texts held out.
        texts = [f"{kinds[number % 2]} {100_000 + number}" for number in range(KNOWN_TEXTS)]
        assert len(project.post("/function/predict", {"texts": texts})["predictions"]) == KNOWN_TEXTS
        project.predict(HOSTILE_TEXT)
        yield project


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, or another one that is installed.

    It ends with these tests: as long as Playwright runs, no other test can run an event loop of its own.
    """
    program = chromium()
    if program is None:
        if os.environ.get("CI") == "true":
            pytest.fail("there is no Chromium")
        pytest.skip("there is no Chromium; BROWSER_TESTS=yes ./test.sh installs it")
    with sync_playwright() as playwright, launched(playwright, program) as browser:
        yield browser


class Watch:
    """What goes wrong in a browser while a test looks elsewhere."""

    def __init__(self, context: BrowserContext, origin: str) -> None:
        self.origin = origin
        self.elsewhere: list[str] = []
        self.errors: list[str] = []
        context.on("request", lambda request: self._asked(request.url))
        context.on("weberror", lambda error: self.errors.append(str(error.error)))
        context.on("console", self._said)

    def _asked(self, url: str) -> None:
        if not url.startswith((f"{self.origin}/", "data:")):
            self.elsewhere.append(url)

    def _said(self, message: ConsoleMessage) -> None:
        # An answer of 400 or more is no error of the script: what the page makes of it is tested.
        if message.type == "error" and not message.text.startswith("Failed to load resource"):
            self.errors.append(message.text)


Open = Callable[..., Page]


@pytest.fixture
def visit(stack: Project, browser: Browser) -> Iterator[Open]:
    """Opens a browser of its own, signed in by the address that deploy.sh prints; nothing may go wrong in it."""
    origin = f"http://127.0.0.1:{stack.port}"
    contexts: list[tuple[BrowserContext, Watch]] = []

    def visit(view: str = "", *, token: str | None = None) -> Page:
        context = browser.new_context(viewport={"width": 1280, "height": 900}, locale="en-GB")
        contexts.append((context, Watch(context, origin)))
        page = context.new_page()
        page.goto(f"{origin}/#token={token or stack.addresses()['CONSOLE_TOKEN']}")
        if token is None:
            page.get_by_role("heading", name="Try it").wait_for()
            if view:
                page.get_by_role("link", name=view, exact=True).click()
                page.get_by_role("heading", name=view, level=1).wait_for()
        return page

    yield visit
    for context, watch in contexts:
        context.close()
        assert not watch.elsewhere
        assert not watch.errors


@pytest.fixture(scope="session")
def screenshots() -> Path:
    """The folder that what was seen is kept in."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    return SCREENSHOTS
