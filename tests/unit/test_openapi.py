"""The documents of the functions: what the contracts say, whole, of routes that there are, with examples that work."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from flask import Flask
from jsonschema import Draft202012Validator
from msgspec import UNSET
from openapi_spec_validator import validate

from contracts.codec import Malformed, QueryReader
from contracts.console import read_label_request, read_login, read_text_request
from contracts.names import FUNCTIONS
from contracts.openapi.__main__ import ROOT, files
from contracts.openapi.routes import JSON, ROUTES, TEXT
from contracts.predict import read_request
from contracts.retrain import read_label_example, read_labels_request, read_rollback_request
from functions.console.access import Access
from functions.console.app import build as console
from functions.drift.__main__ import build as drift
from functions.generate_drift.__main__ import build as generate_drift
from functions.predict.app import METHODS
from functions.predict.app import build as predict
from functions.retrain.app import build as retrain
from process.front import Front, Limits
from tests.http import serving

DOCUMENTS: dict[str, dict[str, Any]] = {
    str(path.relative_to(ROOT)): msgspec.json.decode(path.read_bytes()) for path in files()
}
WHOLE = DOCUMENTS["functions/console/openapi.json"]
"""The console's has all functions."""


def operations(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    return (operation for path in document["paths"].values() for operation in path.values())


@pytest.mark.parametrize(("path", "content"), files().items(), ids=[*DOCUMENTS])
def test_a_file_is_what_the_command_writes(path: Path, content: str) -> None:
    """Where this fails: python -m contracts.openapi."""
    assert path.read_text(encoding="utf-8") == content


@pytest.mark.parametrize("document", DOCUMENTS.values(), ids=[*DOCUMENTS])
def test_a_document_is_one_of_openapi_3_1(document: dict[str, Any]) -> None:
    validate(document)
    found = [operation["operationId"] for operation in operations(document)]
    assert len({*found}) == len(found)


def test_the_console_has_the_routes_of_all_functions() -> None:
    assert [*ROUTES] == [*FUNCTIONS]
    found = {operation["operationId"] for operation in operations(WHOLE)}
    for path, document in DOCUMENTS.items():
        own = {operation["operationId"] for operation in operations(document)}
        assert own <= found, path
    assert {path.split("/")[1] for path in WHOLE["paths"]} == {*FUNCTIONS}


PAGES = ("show_login", "show_page", "static_file", "swagger_ui_file")
"""Of the console, for people."""


def routes_of(app: Flask) -> set[tuple[str, str]]:
    """The methods and paths of an app, but for those that Flask adds."""
    return {
        (method.lower(), rule.rule.replace("<identifier>", "{id}"))
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if rule.endpoint not in PAGES
    }


def test_the_routes_of_the_documents_are_those_of_the_functions() -> None:
    nothing: Any = None
    apps = {
        "predict": predict(nothing),
        "retrain": retrain(nothing, callers=nothing, pace=nothing),
        "drift": drift(nothing, nothing),
        "generate-drift": generate_drift(nothing, enabled=True, token=None),
        "console": console(Access("a-token"), nothing, nothing),
    }
    found = {name: routes_of(app) for name, app in apps.items()}
    found["predict"] |= {(method.lower(), "/") for method in METHODS.split(", ")} - {("head", "/"), ("options", "/")}
    assert found == {name: {(route.method, route.path) for route in routes} for name, routes in ROUTES.items()}


QUERIES = [
    (route.query, operation["parameters"])
    for name, routes in ROUTES.items()
    for route in routes
    for operation in operations(WHOLE)
    if route.query and operation["operationId"] == f"{route.method}-{name}{route.path.rstrip('/').replace('/', '-')}"
]
VALUES = (True, False, 0, 1, 0.5, 1000, 1001, 10_000, 10_001, 2**32, 2**32 + 1, -1, None, "yes", "")


@pytest.mark.parametrize(("kind", "parameters"), QUERIES)
def test_a_query_may_be_what_its_schema_says(kind: type[msgspec.Struct], parameters: list[dict[str, Any]]) -> None:
    assert [parameter["name"] for parameter in parameters] == [*kind.__struct_fields__]
    read = QueryReader(kind)
    for parameter in parameters:
        name, validator = parameter["name"], Draft202012Validator(parameter["schema"])
        for value in VALUES:
            text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
            try:
                read(f"{name}={text}")
                is_taken = True
            except Malformed:
                is_taken = False
            assert is_taken == validator.is_valid(value), (name, value)


EXAMPLES = [
    (name, route.path, route.method, media, value)
    for name, routes in ROUTES.items()
    for route in routes
    for media, body in route.bodies.items()
    for value in body.examples.values()
]


def schema_of(name: str, path: str, method: str, media: str) -> dict[str, Any]:
    """The schema of a route's body, with all that it refers to."""
    operation = WHOLE["paths"][f"/{name}{path}".removesuffix("/")][method]
    return {**WHOLE, **operation["requestBody"]["content"][media]["schema"]}


def read_labels(content: bytes) -> object:
    many = read_labels_request(content)
    return read_label_example(content) if many.examples is UNSET else many


READERS: dict[tuple[str, str, str], Callable[[bytes], object]] = {
    ("predict", "/", JSON): read_request,
    ("predict", "/", TEXT): bytes.decode,
    ("retrain", "/", JSON): read_labels,
    ("retrain", "/rollback", JSON): read_rollback_request,
    ("console", "/login", JSON): read_login,
    ("console", "/api/predict", JSON): read_text_request,
    ("console", "/api/labels", JSON): read_label_request,
    ("console", "/api/rollback", JSON): read_rollback_request,
}


@pytest.mark.parametrize(("name", "path", "method", "media", "value"), EXAMPLES)
def test_examples_fit_their_schemas_and_their_contracts(
    name: str, path: str, method: str, media: str, value: object
) -> None:
    Draft202012Validator(schema_of(name, path, method, media)).validate(value)
    READERS[name, path, media](msgspec.json.encode(value))


@pytest.mark.parametrize(
    "body",
    [{}, {"text": 1}, {"text": "a", "texts": []}, {"texts": "a"}, {"texts": [""] * 10_001}, {"text": "a" * 100_001}],
)
def test_what_predict_refuses_does_not_fit_its_schema(body: object) -> None:
    assert not Draft202012Validator(schema_of("predict", "/", "post", JSON)).is_valid(body)


@pytest.mark.parametrize(
    "body",
    [
        {"text": "a"},
        {"text": "a", "label": 2},
        {"text": "a", "label": True},
        {"text": "a", "label": "good"},
        {"text": "a", "label": 1, "source": ""},
        {"text": "a", "label": 1, "id": "x" * 201},
        {"text": "a", "label": 1, "examples": 7},
        {"examples": [{"text": "a"}]},
        {"examples": [{"text": "a", "label": 1}] * 10_001},
    ],
)
def test_what_retrain_refuses_does_not_fit_its_schema(body: object) -> None:
    assert not Draft202012Validator(schema_of("retrain", "/", "post", JSON)).is_valid(body)


def test_the_page_explore_has_all_that_it_asks_for_from_the_console_itself() -> None:
    app = console(Access("a-token"), None, None)  # type: ignore[arg-type]
    description = ROOT / "functions" / "console" / "openapi.json"
    front = Front(lambda: None, Limits.of(1_000), others=app.answer, description=description)
    with serving(front) as client:
        entered = client.post("/login", data='{"token": "a-token"}', content_type="application/json")
        cookie = {"Cookie": entered.headers["Set-Cookie"].partition(";")[0]}
        page = client.open("/explore", method="GET", headers=cookie).text
        files = re.findall(r'(?:src|href)="(static/[^"]+)"', page)
        assert sum("swagger-ui" in file for file in files) == 2
        for file in files:
            assert client.get(f"/{file}").status_code == 200, file
        assert client.get("/openapi.json").get_json() == WHOLE
