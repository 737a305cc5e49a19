"""The HTTP interface of the console; see docs/http.md."""

import hashlib
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

from flask import Response, redirect, render_template, request, send_from_directory

from contracts.codec import Malformed, encode, extended
from contracts.console import (
    Drift,
    Models,
    Part,
    TextRequest,
    ToLabel,
    read_label_request,
    read_login,
    read_retrain_state,
    read_text_request,
)
from contracts.retrain import LabelExample, read_rollback_request
from functions.console.access import Access
from functions.console.functions import RUN_TIMEOUT_SECONDS, Away, Functions
from functions.console.overview import Overview
from process.answers import Answer, Problem
from process.web import FunctionApp, json_response, parse
from records import RecordsUnavailable

T = TypeVar("T")
FOLDER = Path(__file__).parent
STATIC = FOLDER / "static"
SWAGGER_UI = Path(str(files("flask_swagger_ui"))) / "dist"
"""Swagger UI, as a wheel brings it: of it the page `explore` is made."""
REPORTS_SHOWN = 50
YEAR_SECONDS = 365 * 24 * 3600
OPEN = ("show_login", "log_in", "static_file", "swagger_ui_file")
"""What is answered without a session: nothing of it holds data."""
SECURITY = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
PAGES = {"": "try", "now": "now", "drift": "drift", "models": "models", "label": "label", "explore": "explore"}
"""Where each page is, and the template that it is made of."""


def build(access: Access, overview: Overview, functions: Functions) -> FunctionApp:
    """Return the app: what is not in OPEN needs a session."""
    app = FunctionApp("console")
    app.template_folder = str(FOLDER / "templates")
    access.guard(app)
    version = _version()

    @app.before_request
    def let_in() -> Response | None:
        if request.endpoint in OPEN or access.has_entered():
            return None
        if request.endpoint == "show_page" and request.method in ("GET", "HEAD"):
            return redirect("login", 303)  # type: ignore[return-value] # a Response of Flask's base
        raise Problem(401, "Log in first: POST login with the console's token.")

    @app.after_request
    def protect(response: Response) -> Response:
        response.headers.update(SECURITY)
        response.headers.setdefault("Cache-Control", "no-store")
        return response

    @app.context_processor
    def for_templates() -> dict[str, object]:
        # By the path and not by a query: modules that import each other by relative names get the same version.
        return {"static": lambda name: f"static/{version}/{name}"}

    @app.get("/static/<of>/<path:name>")
    def static_file(of: str, name: str) -> Response:
        return _static(STATIC, name, is_this=of == version)

    @app.get("/static/<of>/swagger-ui/<name>")
    def swagger_ui_file(of: str, name: str) -> Response:
        return _static(SWAGGER_UI, name, is_this=of == version)

    @app.get("/login")
    def show_login() -> str:
        return render_template("login.html")

    @app.post("/login")
    def log_in() -> tuple[str, int]:
        access.enter(parse(read_login, request.get_data(), '{"token": "..."}').token)
        return "", 204

    @app.post("/logout")
    def log_out() -> tuple[str, int]:
        access.leave()
        return "", 204

    @app.get("/", defaults={"page": ""})
    @app.get("/<any(now, drift, models, label, explore):page>")
    def show_page(page: str) -> str:
        return render_template(f"{PAGES[page]}.html", page=PAGES[page])

    @app.post("/api/predict")
    def predict() -> Response:
        text = parse(read_text_request, request.get_data(), '{"text": "..."}').text
        return _handed_on(functions.ask("POST", "predict", "?explain=true&record=false", encode(TextRequest(text))))

    @app.get("/api/now")
    def now() -> Response:
        return json_response(overview.now())

    @app.get("/api/drift")
    def drift() -> Response:
        away = Missing()
        return json_response(
            Drift(
                now=away.unless("drift", lambda: functions.read("drift")),
                reports=away.unless("drift", lambda: functions.read("drift", f"/reports?limit={REPORTS_SHOWN}")),
                can_generate=away.unless("generate-drift", overview.can_generate) or False,
                away=away.parts,
            )
        )

    @app.post("/api/drift")
    def check() -> Response:
        return _handed_on(functions.ask("POST", "drift", timeout_seconds=RUN_TIMEOUT_SECONDS))

    @app.route("/api/generate-drift", methods=["POST", "DELETE"])
    def generate_drift() -> Response:
        query = f"?{request.query_string.decode('ascii', 'replace')}" if request.query_string else ""
        return _handed_on(
            functions.ask(
                request.method, "generate-drift", query, as_operator=True, timeout_seconds=RUN_TIMEOUT_SECONDS
            )
        )

    @app.get("/api/models")
    def models() -> Response:
        away = Missing()
        return json_response(
            Models(
                served=away.unless("predict", lambda: functions.read("predict")),
                retrain=away.unless("retrain", lambda: functions.read("retrain", as_operator=True)),
                away=away.parts,
            )
        )

    @app.post("/api/rollback")
    def roll_back() -> Response:
        wanted = parse(read_rollback_request, request.get_data(), '{"to": "<version>"}')
        return _handed_on(functions.ask("POST", "retrain", "/rollback", encode(wanted), as_operator=True))

    @app.get("/api/label")
    def to_label() -> Response:
        away = Missing()
        found = away.unless("retrain", lambda: read_retrain_state(functions.read("retrain", as_operator=True)))
        texts = away.unless("mongodb", overview.unsure)
        return json_response(extended(found, ToLabel, texts=texts, away=away.parts))

    @app.post("/api/labels")
    def label() -> Response:
        given = parse(read_label_request, request.get_data(), '{"text": "...", "label": "negative" or "positive"}')
        example = LabelExample(given.text, given.label, "console")
        return _handed_on(functions.ask("POST", "retrain", body=encode(example), as_sender=True))

    @app.delete("/api/labels/<identifier>")
    def take_back(identifier: str) -> Response:
        return _handed_on(functions.ask("DELETE", "retrain", f"/labels/{quote(identifier, '')}", as_operator=True))

    @app.post("/api/retrain")
    def train() -> Response:
        return _handed_on(
            functions.ask("POST", "retrain", "?now=true", as_operator=True, timeout_seconds=RUN_TIMEOUT_SECONDS)
        )

    return app


class Missing:
    """What can't be had for an answer, by the parts that are away."""

    def __init__(self) -> None:
        self.parts: list[Part] = []

    def unless(self, name: str, ask: Callable[[], T]) -> T | None:
        """Return what `ask` does, None where the part of that name is away, which is noted once."""
        if any(part.name == name for part in self.parts):
            return None  # and not waited for again
        try:
            return ask()
        except Away as away:
            says = away.says
        except Problem as problem:
            says = problem.detail
        except RecordsUnavailable as error:
            says = str(error)
        except Malformed as error:
            says = f"does not answer as it should: what came {error}"
        self.parts.append(Part(name, False, says))
        return None


def _static(folder: Path, name: str, *, is_this: bool) -> Response:
    """Return a file; is_this: whether it was asked for as it is now."""
    response = send_from_directory(folder, name)
    del response.headers["Date"]  # the front's own
    response.headers["Cache-Control"] = f"public, max-age={YEAR_SECONDS}, immutable" if is_this else "no-store"
    return response


def _handed_on(answer: Answer) -> Response:
    return Response(answer.body, answer.status, answer.headers)


def _version() -> str:
    """Return what changes whenever a static file does."""
    digest = hashlib.sha256((SWAGGER_UI / "VERSION").read_bytes())
    for path in sorted(STATIC.rglob("*")):
        if path.is_file():
            digest.update(f"{path.relative_to(STATIC)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:12]
