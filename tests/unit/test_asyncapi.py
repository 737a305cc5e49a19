"""docs/asyncapi.json: what the contracts say, whole, and with examples that can be sent."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from jsonschema import Draft202012Validator

from bridge.asyncapi import document, main
from bridge.settings import QueueInput, Settings
from contracts.codec import Reader
from contracts.drift import Alert
from contracts.retrain import LabelExample
from contracts.stream import Rejected, ReviewAnswer, ReviewMessage

FILE = Path(__file__).resolve().parents[2] / "docs" / "asyncapi.json"
DOCUMENT: dict[str, Any] = msgspec.json.decode(FILE.read_bytes())
CONTRACTS: dict[str, type[msgspec.Struct]] = {
    "review": ReviewMessage,
    "label": LabelExample,
    "answer": ReviewAnswer,
    "rejected": Rejected,
    "alert": Alert,
}
EXAMPLES = [
    (name, example["payload"])
    for name, message in DOCUMENT["components"]["messages"].items()
    for example in message["examples"]
]


def references(part: object) -> Iterator[str]:
    if isinstance(part, dict):
        for key, value in part.items():
            yield from [value] if key == "$ref" else references(value)
    elif isinstance(part, list):
        for value in part:
            yield from references(value)


def resolve(reference: str) -> Any:
    start, *keys = reference.split("/")
    assert start == "#"
    found: Any = DOCUMENT
    for key in keys:
        found = found[key]
    return found


def test_the_file_is_what_the_command_prints(capsys: pytest.CaptureFixture[str]) -> None:
    """Where this fails: python -m bridge.asyncapi > docs/asyncapi.json."""
    assert main() == 0
    assert capsys.readouterr().out == FILE.read_text(encoding="utf-8")


def test_every_reference_leads_somewhere() -> None:
    found = set(references(DOCUMENT))
    assert "#/components/schemas/ReviewMessage" in found
    for reference in found:
        assert isinstance(resolve(reference), dict), reference


def test_operations_speak_of_messages_of_their_channels() -> None:
    """As AsyncAPI 3.0.0 has it: the messages of an operation are a part of those of its channel."""
    for operation in DOCUMENT["operations"].values():
        assert operation["action"] in {"send", "receive"}
        for part in (operation, operation.get("reply", operation)):
            channel = part["channel"]["$ref"]
            assert all(message["$ref"].startswith(f"{channel}/messages/") for message in part["messages"])


def test_parts_are_those_that_asyncapi_knows() -> None:
    assert DOCUMENT["asyncapi"] == "3.0.0"
    assert DOCUMENT.keys() == {
        "asyncapi", "info", "defaultContentType", "servers", "channels", "operations", "components",
    }  # fmt: skip
    known = {"address", "title", "summary", "description", "servers", "parameters", "messages", "bindings"}
    for channel in DOCUMENT["channels"].values():
        assert channel.keys() <= known
        binding = channel.get("bindings", {}).get("amqp")
        if binding:
            assert binding.keys() == {"is", "bindingVersion", "queue" if binding["is"] == "queue" else "exchange"}
        parameters = set(channel.get("parameters", ()))
        assert {f"{{{name}}}" for name in parameters} == {
            part for part in (channel["address"] or "").split(".") if part.startswith("{")
        }


def test_schemas_are_schemas() -> None:
    for schema in DOCUMENT["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize(("name", "payload"), EXAMPLES)
def test_examples_fit_their_schemas_and_their_contracts(name: str, payload: object) -> None:
    schema = {**DOCUMENT, **DOCUMENT["components"]["messages"][name]["payload"]}
    Draft202012Validator(schema).validate(payload)
    if name in CONTRACTS:
        Reader(CONTRACTS[name])(msgspec.json.encode(payload))


def test_every_contract_is_the_payload_of_a_message() -> None:
    messages = DOCUMENT["components"]["messages"]
    assert {name: messages[name]["payload"]["$ref"].rpartition("/")[2] for name in CONTRACTS} == {
        name: contract.__name__ for name, contract in CONTRACTS.items()
    }


def test_streams_have_the_names_that_the_bridge_reads_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("BRIDGE_SOURCE", "BRIDGE_LABELS"):
        monkeypatch.delenv(variable, raising=False)
    settings = Settings()
    assert not isinstance(settings.reviews, QueueInput)
    assert {settings.reviews.name, settings.labels} <= document()["channels"].keys()
