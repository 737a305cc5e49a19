"""The documentation: what it links to exists, and what it shows can be sent."""

import json
import re
from pathlib import Path

import msgspec
import pytest
import yaml

from contracts.codec import Reader
from contracts.names import FUNCTIONS
from contracts.retrain import LabelExample
from contracts.stream import Rejected, ReviewAnswer, ReviewMessage

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ +(.+?) *$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_relative_links_lead_to_a_file_and_to_a_heading_in_it(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    missing = []
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.is_file() or (anchor and anchor not in anchors(target)):
            missing.append(link)
    assert missing == []


def test_modules_that_the_pages_name_are_there() -> None:
    named = {
        (page.name, module)
        for page in PAGES
        if page.name != "CHANGELOG.md"
        for module in re.findall(r"`((?:\w+/)+\w+\.py)`", page.read_text())
    }
    assert ("architecture.md", "functions/predict/service.py") in named
    assert {(page, module) for page, module in named if not (ROOT / module).is_file()} == set()


def test_every_page_of_the_docs_can_be_reached_from_the_readme() -> None:
    seen, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        seen.add(page)
        links = (page.parent / link for link in re.findall(r"\]\(([^)#\s]+\.md)", page.read_text()))
        waiting += [link.resolve() for link in links if link.is_file() and link.resolve() not in seen]
    assert {page.name for page in PAGES} == {page.name for page in seen}


def test_configuration_names_every_variable_that_the_code_reads() -> None:
    reading = r'(?:environ(?:\.get)?[(\[]|_positive\(|(?:number|choice)[(,]|read_secret[(,]\s*"[a-z0-9-]+",)'
    pattern = reading + r'\s*"([A-Z][A-Z0-9_]+)"'
    folders = ["datasets", "process", "sentiment", "model_store", "messages", "records", "bridge", "functions"]
    read = {
        name
        for folder in folders
        for file in (ROOT / folder).rglob("*.py")
        for name in re.findall(pattern, file.read_text())
    }
    # Not settings: what WSGI calls the parts of a request, and the user's name in the promotion log.
    read -= {"REQUEST_METHOD", "PATH_INFO", "QUERY_STRING", "CONTENT_TYPE", "CONTENT_LENGTH", "USER"}
    assert "BRIDGE_SOURCE" in read
    assert "RETRAIN_AFTER" in read
    documented = set(re.findall(r"`([A-Z][A-Z0-9_]+)`", (ROOT / "docs" / "configuration.md").read_text()))
    assert read - documented == set()


def documented_variables(section: str) -> set[str]:
    text = (ROOT / "docs" / "configuration.md").read_text()
    table = re.split(r"^## ", text.split(f"\n## {section}\n")[1], maxsplit=1, flags=re.MULTILINE)[0]
    return set(re.findall(r"^\| `([A-Z][A-Z0-9_]+)`", table, re.MULTILINE))


# The images say where to listen.
EVERY_PROCESS = documented_variables("Every process") - {"LISTEN_HOST", "LISTEN_PORT", "ALLOWED_HOSTS"}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_stack_yml_hands_each_function_all_of_its_settings(function: str) -> None:
    stack = yaml.safe_load((ROOT / "stack.yml").read_text())
    handed_on = stack["functions"][function]["environment"].keys()
    assert documented_variables(function) | EVERY_PROCESS <= handed_on


@pytest.mark.parametrize("process", [*FUNCTIONS, "bridge"])
def test_compose_hands_each_process_all_of_its_settings(process: str) -> None:
    compose = yaml.safe_load((ROOT / "compose.yml").read_text())
    handed_on = compose["services"][process]["environment"].keys()
    assert documented_variables(process) | EVERY_PROCESS <= handed_on


def test_deploy_sh_takes_none_of_these_settings_from_the_bridge() -> None:
    """It runs compose.yml's bridge, with a file on top that says what is otherwise there."""
    on_top = yaml.safe_load((ROOT / "deploy" / "openfaas" / "compose.yml").read_text())["services"]["bridge"]
    assert on_top["environment"].keys() == {"GATEWAY_URL", "LISTEN_HOST", "LISTEN_PORT"}


# What the pages show as a message, by the mark before it.
MESSAGES: dict[str, type[msgspec.Struct]] = {
    "review": ReviewMessage,
    "label": LabelExample,
    "answer": ReviewAnswer,
    "rejected": Rejected,
}


def shown_messages() -> list[tuple[str, str]]:
    pattern = r"^<!-- message: (\w+) -->\n```json\n(.*?)^```$"
    streams = re.findall(pattern, (ROOT / "docs" / "streams.md").read_text(), re.MULTILINE | re.DOTALL)
    # The client prints an answer a line; where there is none, an error in its place.
    printed = [line for page in PAGES for line in re.findall(r'^\{"id":.*\}$', page.read_text(), re.MULTILINE)]
    return streams + [("answer", line) for line in printed if '"error":' not in line]


@pytest.mark.parametrize(("kind", "message"), shown_messages())
def test_messages_that_the_pages_show_fit_their_contracts(kind: str, message: str) -> None:
    contract = MESSAGES[kind]
    # Nothing is shown that the contract does not have.
    assert json.loads(message).keys() <= set(contract.__struct_fields__)
    Reader(contract)(message.encode())


def test_a_message_of_each_kind_is_shown() -> None:
    assert {kind for kind, _ in shown_messages()} == MESSAGES.keys()
    assert len(shown_messages()) >= 8
