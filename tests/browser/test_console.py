"""Each view of the console does what it is for, to the end, on the real local stack."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator, Page, expect

from deploy.local.state import State
from deploy.ports import http_status
from deploy.runner import wait_until
from tests.browser.conftest import HOSTILE_TEXT, Open
from tests.project import Project
from tests.system import Client

CHECKS_TO_CONFIRM = 2
VIEWS = ("Try it", "Now", "Drift", "Models", "Label", "Explore")
# A run, or a check, of the local stack on a machine that does other things, too.
PATIENCE_MILLISECONDS = 30_000
expect.set_options(timeout=PATIENCE_MILLISECONDS)


def card(page: Page, title: str) -> Locator:
    return page.get_by_role("region", name=title, exact=True)


def test_who_opens_the_printed_address_is_signed_in_and_the_token_leaves_the_address(
    visit: Open, stack: Project
) -> None:
    page = visit()
    assert stack.addresses()["CONSOLE_TOKEN"] not in page.url
    page.get_by_role("button", name="Sign out").click()
    page.get_by_role("heading", name="Sentiment").wait_for()
    page.goto(f"http://127.0.0.1:{stack.port}/function/console/drift")
    expect(page.get_by_label("Token")).to_be_focused()


def test_a_wrong_token_is_said_and_the_right_one_typed_opens_the_door(visit: Open, stack: Project) -> None:
    page = visit(token="wrong")
    expect(page.get_by_role("alert")).to_contain_text("This is not the token")
    assert "wrong" not in page.url
    page.get_by_label("Token").fill(stack.addresses()["CONSOLE_TOKEN"])
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Try it")).to_be_visible()


def test_who_signs_in_is_led_to_the_page_that_was_asked_for_and_to_no_other_place(visit: Open, stack: Project) -> None:
    page = visit("Now")

    def sign_in_to(view: str) -> None:
        page.get_by_label("Token").fill(stack.addresses()["CONSOLE_TOKEN"])
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name=view, level=1)).to_be_visible()
        expect(page.locator(".loading")).to_have_count(0)  # else what it reads is refused, and it leads elsewhere
        page.context.clear_cookies()

    page.context.clear_cookies()  # the session ends, and the page notices it when it reads again
    sign_in_to("Now")
    folder = f"http://127.0.0.1:{stack.port}/function/console"
    for address, view in (
        ("models", "Models"),
        ("login?next=explore", "Explore"),
        ("login?next=//evil.example", "Try it"),
        ("login?next=javascript:document.title=4", "Try it"),
    ):
        page.goto(f"{folder}/{address}")
        sign_in_to(view)


def test_a_text_is_answered_as_one_types_and_its_words_are_explained(visit: Open) -> None:
    page = visit()
    page.keyboard.type("I love this wonderful film")  # the box has the focus
    expect(page.locator("#spoken")).to_contain_text("positive, probability of positive")
    expect(page.locator("mark.positive", has_text="wonderful")).to_be_visible()
    rows = card(page, "What each word adds to the log-odds, a table").get_by_role("row")
    figures = [number(row.get_by_role("cell").last.inner_text()) for row in rows.all()[1:]]
    assert sum(figures[:-1]) == pytest.approx(figures[-1], abs=0.05)
    page.get_by_role("textbox", name="Your text").fill("I hate this awful movie, what a bore")
    expect(page.locator("#spoken")).to_contain_text("negative")
    expect(page.locator("mark.negative", has_text="awful")).to_be_visible()


def number(text: str) -> float:
    return float(text.replace("−", "-").replace(",", ""))


def test_answers_rejected_messages_and_texts_that_attack_are_seen_as_what_they_are(visit: Open, stack: Project) -> None:
    client = Client(stack.addresses()["RABBITMQ_URL"])
    client.publish("reviews", [b'{"text": <img src=x onerror="document.title=3">'])
    client.close()
    page = visit("Now")
    expect(card(page, "Rejected messages")).to_contain_text('{"text": <img src=x onerror="document.title=3">')
    expect(card(page, "Last texts")).to_contain_text(HOSTILE_TEXT)
    expect(card(page, "By source").get_by_role("row", name="http")).to_be_visible()
    expect(page.get_by_role("img", name=re.compile("Answers a minute"))).to_be_visible()
    assert page.locator("main img, main script").count() == 0
    assert page.title() == "Now · Sentiment"


def test_drift_is_made_seen_confirmed_and_cleared(visit: Open) -> None:
    page = visit("Drift")
    state = card(page, "State")
    expect(state).to_contain_text("No drift")
    notice = page.get_by_role("status").last
    for _ in range(CHECKS_TO_CONFIRM + 1):  # the schedule's own check may come between, and is then the one that counts
        page.get_by_role("button", name="Generate drift").click()
        expect(notice).to_contain_text("texts were sent")
        page.get_by_role("button", name="Check now").click()
        expect(notice).to_contain_text("counted")
        expect(state).to_contain_text("unlike the reference")
        if "The texts have drifted" in state.inner_text():
            break
    expect(state).to_contain_text("The texts have drifted")
    expect(card(page, "Words that moved").get_by_role("listitem").first).to_be_visible()
    expect(page.get_by_role("img", name=re.compile("p-values"))).to_be_visible()
    page.get_by_role("button", name="Remove it again").click()
    expect(page.get_by_role("status").last).to_contain_text("generated texts removed")
    expect(state).not_to_contain_text("unlike the reference")


def test_a_text_is_labelled_by_key_and_learned(visit: Open) -> None:
    page = visit("Label")
    question = card(page, "What does this text say?")
    expect(question).to_contain_text(HOSTILE_TEXT)  # whose words the model does not know
    page.keyboard.press("n")
    expect(page.get_by_role("status").last).to_contain_text("Negative: 1 label pending")
    expect(question).not_to_contain_text(HOSTILE_TEXT)
    expect(card(page, "Next run")).to_contain_text("1 of ")
    page.get_by_role("button", name="Run now").click()
    expect(card(page, "Next run")).to_contain_text("learned and promoted")
    expect(card(page, "Next run")).to_contain_text("0 of ")


def test_keys_decide_nothing_once_they_are_switched_off(visit: Open) -> None:
    page = visit("Label")
    question = card(page, "What does this text say?")
    before = question.get_by_role("blockquote").inner_text()
    page.get_by_label("keys decide").uncheck()
    page.keyboard.press("s")
    assert question.get_by_role("blockquote").inner_text() == before
    page.get_by_label("keys decide").check()
    page.keyboard.press("s")
    expect(question.get_by_role("blockquote")).not_to_have_text(before)


def test_senders_who_contradict_each_other_are_seen_and_whoever_decides_settles_it(visit: Open, stack: Project) -> None:
    text, addresses = "Some call this film wonderful, some awful", stack.addresses()
    stack.post("/function/retrain", {"text": text, "label": 1}, token=addresses["RETRAIN_TOKEN"])
    client = Client(addresses["RABBITMQ_URL"])
    client.publish("labels", [json.dumps({"text": text, "label": 0}).encode()])
    client.close()
    page = visit("Label")
    conflict = card(page, "Conflicts").get_by_role("listitem").filter(has_text=text)
    expect(conflict).to_contain_text("positive say: operator")
    expect(conflict).to_contain_text("negative say: stream")
    conflict.get_by_role("button", name="It is negative").click()
    expect(page.get_by_role("status").last).to_contain_text("Your voice counts for negative")
    expect(conflict).to_have_count(0)


def test_another_version_is_served_once_the_question_is_answered_with_yes(visit: Open, stack: Project) -> None:
    first = stack.predict("I love you")["model"]
    learned = teach(stack, "An instant classic, I love it.")
    page = visit("Models")
    versions = card(page, "Versions")
    expect(versions.get_by_role("row", name=learned).first).to_contain_text("served")
    page.get_by_role("button", name=f"Serve {first}").click()
    page.get_by_role("button", name="Leave it as it is").click()
    expect(versions.get_by_role("row", name=learned).first).to_contain_text("served")
    page.get_by_role("button", name=f"Serve {first}").press("Enter")
    page.get_by_role("button", name="Roll back").click()
    expect(page.get_by_role("status").last).to_contain_text(f"{first} is served now")
    expect(card(page, "Served now")).to_contain_text(first)
    expect(card(page, "Promotions").get_by_role("listitem").first).to_contain_text(f"{first} in place of {learned}")


def teach(stack: Project, text: str) -> str:
    """Have a label learned; returns the version that has."""
    token = stack.addresses()["RETRAIN_TOKEN"]
    outcome = stack.post("/function/retrain?now=true", {"text": text, "label": 1}, token=token)
    assert outcome["promoted"], outcome
    return str(outcome["model"])


def test_a_part_that_is_away_is_named_and_all_else_can_be_used_until_it_is_back(visit: Open, stack: Project) -> None:
    page = visit("Now")
    away, parts = page.get_by_role("alert").filter(has_text="predict"), card(page, "Parts").get_by_role("listitem")
    with stopped(stack, "predict"):
        expect(away).to_contain_text("predict is away")
        expect(parts.filter(has_text="predict")).to_contain_text("away")
        expect(parts.filter(has_text="retrain")).to_contain_text("ready")
        expect(card(page, "Last texts").get_by_role("listitem").first).to_be_visible()
        page.get_by_role("link", name="Models", exact=True).click()
        expect(away).to_contain_text("predict is away")
        expect(card(page, "Served now")).to_contain_text("a part is away")
        expect(card(page, "Versions").get_by_role("row").nth(1)).to_be_visible()
        page.get_by_role("link", name="Try it", exact=True).click()
        page.get_by_role("textbox", name="Your text").fill("I love this wonderful film")
        expect(away).to_contain_text("predict")
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("#spoken")).to_contain_text("positive")
    expect(away).to_have_count(0)


@contextmanager
def stopped(stack: Project, part: str) -> Iterator[None]:
    """A function of the local stack, which does not run meanwhile, and answers again afterwards."""
    socket = State(stack.folder / ".local").socket
    control = [sys.executable, "-m", "supervisor.supervisorctl", "--serverurl", f"unix://{socket}"]
    subprocess.run([*control, "stop", part], check=True)
    try:
        yield
    finally:
        subprocess.run([*control, "start", part], check=True)
        assert wait_until(lambda: http_status(stack.port, f"/function/{part}") == 200, 60)


def test_every_route_can_be_tried_by_a_page_that_asks_the_functions_through_the_gateway(
    visit: Open, screenshots: Path
) -> None:
    page = visit("Explore")
    route = page.locator("#operations-predict-post-predict")
    route.locator(".opblock-summary-control").click()
    route.get_by_role("button", name="Execute").click()
    expect(route.locator(".live-responses-table .response .response-col_status").first).to_have_text("200")
    expect(route.locator(".live-responses-table .response .highlight-code").first).to_contain_text("log_odds")
    for name in ("retrain", "drift", "generate-drift", "console"):
        expect(page.locator(f"#operations-tag-{name}")).to_be_visible()
    look(page, screenshots, "Explore a route")


def test_every_view_is_for_all_readers_dark_and_light_narrow_and_wide(visit: Open, screenshots: Path) -> None:
    page = visit()
    page.get_by_role("textbox").fill("I love this wonderful film, but what a bore!")
    expect(page.locator("mark.negative").first).to_be_visible()
    for view in VIEWS:
        if view != VIEWS[0]:
            page.get_by_role("link", name=view, exact=True).click()
        page.get_by_role("heading", name=view, level=1).wait_for()
        look(page, screenshots, view)
    page.get_by_role("button", name="Sign out").click()
    page.get_by_label("Token").wait_for()
    look(page, screenshots, "Sign in")


def look(page: Page, folder: Path, view: str) -> None:
    """Keep what is seen, which must fit the width, and must have nothing that keeps readers out."""
    expect(page.locator(".loading")).to_have_count(0)
    for scheme, width in product(("light", "dark"), (1280, 360)):
        page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        page.set_viewport_size({"width": width, "height": 900})
        name = f"{view.lower().replace(' ', '-')}-{width}-{scheme}"
        page.screenshot(path=folder / f"{name}.png", full_page=True)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name
        violations = Axe().run(page).response["violations"]
        serious = [each for each in violations if each["impact"] in ("serious", "critical")]
        assert not [(each["id"], each["nodes"][0]["html"]) for each in serious], name
