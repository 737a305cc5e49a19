"""Documents of OpenAPI 3.1: of one function each, and of all."""

from collections.abc import Iterator, Sequence
from http import HTTPStatus
from inspect import cleandoc
from typing import Any

import msgspec

from contracts.openapi.routes import ABOUT, NO_METHOD, REFUSALS, ROUTES, SESSION, TOKEN, Body, Route
from contracts.problem import ProblemDetails

Part = dict[str, Any]
VERSION = "0.4.0"
"""Of the interface, not of the project: it grows when that changes."""

_WORDS = (
    "docs/http.md has it in words. Besides what stands here, every function answers `/openapi.json`, and, at its own "
    "address alone, `/_/health`, `/_/ready` and `/metrics`. A method that is not served is answered 405, with `Allow`."
)
_SECURITY: dict[str, list[Part]] = {
    "none": [],
    "optional": [{}, {TOKEN: []}],
    "required": [{TOKEN: []}],
    "session": [{SESSION: []}],
}
_SCHEMES: dict[str, Part] = {
    TOKEN: {
        "type": "http",
        "scheme": "bearer",
        "description": "The secret retrain-token; the local stack's is in .local/env, as RETRAIN_TOKEN.",
    },
    SESSION: {
        "type": "apiKey",
        "in": "cookie",
        "name": "console",
        "description": "What `POST console/login` gives, for the console alone.",
    },
}
_HEADERS: dict[int, tuple[str, str, Part]] = {
    401: ("WWW-Authenticate", "How to say who asks.", {"type": "string", "const": "Bearer"}),
    405: ("Allow", "The methods that are served, with commas between them.", {"type": "string"}),
    429: ("Retry-After", "Seconds until it may be tried again.", {"type": "integer", "minimum": 1}),
    503: ("Retry-After", "Seconds until it may be tried again.", {"type": "integer", "minimum": 1}),
}


def document(name: str) -> Part:
    """Return the document that a function serves, the console that of all functions.

    Its addresses begin where it is read from.
    """
    if name == "console":
        return _of_all()
    server = {"url": ".", "description": "Where this document was read from."}
    return _document(f"Sentiment of English texts: {name}", ABOUT[name], [server], [name], "")


def _of_all() -> Part:
    servers = [
        {"url": "..", "description": "The gateway through which this document was read."},
        {"url": "http://127.0.0.1:8080/function", "description": "That of the local stack."},
    ]
    return _document("Sentiment of English texts", "All functions, behind the gateway.", servers, [*ROUTES], "/{name}")


def _document(title: str, about: str, servers: list[Part], names: Sequence[str], prefix: str) -> Part:
    """Return the document of some functions; prefix: of their paths, with `{name}` for a function's."""
    schemas = _Schemas(names)
    paths = dict[str, Part]()
    for name, route in _routes(names):
        path = (prefix.format(name=name) + route.path).removesuffix("/") or "/"
        paths.setdefault(path, {})[route.method] = _operation(name, route, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": title,
            "version": VERSION,
            "description": f"{about} {_WORDS}",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": servers,
        "tags": [{"name": name, "description": ABOUT[name]} for name in names],
        "paths": paths,
        "components": {
            "schemas": schemas.components,
            "responses": {
                str(status): _refusal(status, why, schemas) for status, why in {**REFUSALS, 405: NO_METHOD}.items()
            },
            "securitySchemes": {
                scheme: _SCHEMES[scheme]
                for scheme in dict.fromkeys(
                    scheme for _, route in _routes(names) for needed in _SECURITY[route.auth] for scheme in needed
                )
            },
        },
    }


def _routes(names: Sequence[str]) -> Iterator[tuple[str, Route]]:
    return ((name, route) for name in names for route in ROUTES[name])


class _Schemas:
    """The schemas of what some functions take and answer."""

    def __init__(self, names: Sequence[str]) -> None:
        kinds: list[Any] = [ProblemDetails]
        for _, route in _routes(names):
            kinds += [route.query] if route.query else []
            kinds += [kind for body in route.bodies.values() for kind in body.kinds]
            kinds += [kind for answer in route.answers.values() for kind in answer]
        schemas, components = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
        self._schemas = dict(zip(kinds, schemas, strict=True))
        queries = {route.query.__name__ for _, route in _routes(names) if route.query}
        self.queries = {name: components.pop(name)["properties"] for name in queries}
        self.components = components
        for schema in components.values():
            schema["description"] = cleandoc(schema["description"])

    def of(self, *kinds: Any) -> Part:
        """Return the schema of what is one of the kinds."""
        found = [self._schemas[kind] for kind in kinds]
        return found[0] if len(found) == 1 else {"anyOf": found}


def _operation(name: str, route: Route, schemas: _Schemas) -> Part:
    words = [name, *(part.strip("{}") for part in route.path.split("/") if part)]
    operation: Part = {
        "operationId": "-".join([route.method, *words]),
        "tags": [name],
        "summary": route.does,
        "description": f"{route.does}. {route.more}".strip(),
        "responses": _responses(route, schemas),
    }
    if parameters := [*_parameters(route, schemas)]:
        operation["parameters"] = parameters
    if route.bodies:
        content = {media: _content(body, schemas) for media, body in route.bodies.items()}
        operation["requestBody"] = {"required": route.body_is_required, "content": content}
    if needed := _SECURITY[route.auth]:
        operation["security"] = needed
    return operation


def _parameters(route: Route, schemas: _Schemas) -> Iterator[Part]:
    for name, what in route.path_parameters.items():
        schema = {"type": "string", "minLength": 1}
        yield {"name": name, "in": "path", "required": True, "description": what, "schema": schema}
    if route.query:
        for name, schema in schemas.queries[route.query.__name__].items():
            own = {key: value for key, value in schema.items() if key != "description"}
            yield {"name": name, "in": "query", "description": schema["description"], "schema": own}


def _content(body: Body, schemas: _Schemas) -> Part:
    examples = {name: {"value": value} for name, value in body.examples.items()}
    return {"schema": schemas.of(*body.kinds), "examples": examples}


def _responses(route: Route, schemas: _Schemas) -> Part:
    found = dict[int, Part]()
    for status, kinds in route.answers.items():
        what = dict.fromkeys(cleandoc(kind.__doc__).partition("\n")[0] for kind in kinds)
        found[status] = {"description": " ".join(what) or "It is done."}
        if kinds:
            found[status]["content"] = {"application/json": {"schema": schemas.of(*kinds)}}
        if route.headers:
            found[status]["headers"] = {name: _header(what, {"type": "string"}) for name, what in route.headers.items()}
        if status in route.links:
            found[status]["links"] = route.links[status]
    for status in REFUSALS.keys() - route.refusals.keys():
        found[status] = {"$ref": f"#/components/responses/{status}"}
    for status, why in route.refusals.items():
        found[status] = _refusal(status, why, schemas)
        if status == HTTPStatus.UNAUTHORIZED and (TOKEN not in str(_SECURITY[route.auth])):
            del found[status]["headers"]
    return {str(status): found[status] for status in sorted(found)}


def _refusal(status: int, why: str, schemas: _Schemas) -> Part:
    refusal: Part = {
        "description": why,
        "content": {"application/problem+json": {"schema": schemas.of(ProblemDetails)}},
    }
    if status in _HEADERS:
        name, what, schema = _HEADERS[status]
        refusal["headers"] = {name: _header(what, schema)}
    return refusal


def _header(what: str, schema: Part) -> Part:
    return {"required": True, "description": what, "schema": schema}
