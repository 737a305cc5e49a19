"""The HTTP interface of the console; see docs/http.md."""

import hashlib
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote, urlencode

from flask import Response, redirect, render_template, request, send_from_directory
from msgspec import Raw

from contracts.codec import encode, extended
from contracts.console import (
    Drift,
    Models,
    Part,
    ToLabel,
    read_label_request,
    read_login,
    read_retrain_state,
    read_text_request,
)
from contracts.retrain import LabelExample, read_rollback_request
from functions.console.access import Access
from functions.console.functions import Functions, answered
from functions.console.overview import Overview
from process.answers import Problem
from process.functions import FunctionUnavailable, RequestRefused
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
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
"""Of every answer, also of those that the front gives before the app sees a request."""
PAGES = {"": "try", "now": "now", "drift": "drift", "models": "models", "label": "label", "explore": "explore"}
"""Where each page is, and the template that it is made of."""


def build(access: Access, overview: Overview, functions: Functions) -> FunctionApp:
    """Return the app: what is not in OPEN needs a session."""
    app = FunctionApp("console")
    app.template_folder = str(FOLDER / "templates")
    access.guard(app)
    app.answer_errors(503, FunctionUnavailable, then="; try again.", Retry_After="5")
    version = _version()

    @app.before_request
    def let_in() -> Response | None:
        if request.endpoint in OPEN or access.has_entered():
            return None
        if request.endpoint == "show_page" and request.method in ("GET", "HEAD"):
            page = (request.view_args or {})["page"]
            return redirect(f"login?next={page}", 303)  # type: ignore[return-value] # a Response of Flask's base
        raise Problem(401, "Log in first: POST login with the console's token.")

    @app.after_request
    def keep_nothing(response: Response) -> Response:
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
        page = request.args.get("next", "")
        # Anybody can make such an address: it leads to a page of ours, or to none.
        return render_template("login.html", next=page if page in PAGES else "")

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
        text = parse(read_text_request, request.get_data(), '{"text": "..."}')
        query = "?explain=true&record=false"
        return json_response(answered(functions.predict, "POST", query=query, body=encode(text)))

    @app.get("/api/now")
    def now() -> Response:
        return json_response(overview.now())

    @app.get("/api/drift")
    def drift() -> Response:
        away = Missing()
        history = f"?limit={REPORTS_SHOWN}"
        found = Drift(
            now=away.unless("drift", lambda: functions.drift.call("GET", Raw)),
            reports=away.unless("drift", lambda: functions.drift.call("GET", Raw, path="/reports", query=history)),
            can_generate=away.unless("generate-drift", functions.can_generate) or False,
            away=away.parts,
        )
        return json_response(found)

    @app.post("/api/drift")
    def check() -> Response:
        return json_response(answered(functions.checks, "POST"))

    @app.route("/api/generate-drift", methods=["POST", "DELETE"])
    def generate_drift() -> Response:
        query = f"?{urlencode([*request.args.items(multi=True)])}" if request.args else ""
        return json_response(answered(functions.generating, request.method, query=query))

    @app.get("/api/models")
    def models() -> Response:
        away = Missing()
        found = Models(
            served=away.unless("predict", lambda: functions.predict.call("GET", Raw)),
            retrain=away.unless("retrain", lambda: functions.retrain.call("GET", Raw)),
            away=away.parts,
        )
        return json_response(found)

    @app.post("/api/rollback")
    def roll_back() -> Response:
        wanted = parse(read_rollback_request, request.get_data(), '{"to": "<version>"}')
        return json_response(answered(functions.training, "POST", path="/rollback", body=encode(wanted)))

    @app.get("/api/label")
    def to_label() -> Response:
        away = Missing()
        state = away.unless("retrain", lambda: functions.retrain.call("GET", read_retrain_state))
        texts = away.unless("mongodb", overview.unsure)
        return json_response(extended(state, ToLabel, texts=texts, away=away.parts))

    @app.post("/api/labels")
    def label() -> Response:
        given = parse(read_label_request, request.get_data(), '{"text": "...", "label": "negative" or "positive"}')
        example = LabelExample(given.text, given.label, "console")
        return json_response(answered(functions.labels, "POST", body=encode(example)), 202)

    @app.delete("/api/labels/<identifier>")
    def take_back(identifier: str) -> Response:
        if identifier == "..":  # which would make the address another one
            raise Problem(404, "There is no such label.")
        return json_response(answered(functions.training, "DELETE", path=f"/labels/{quote(identifier, '')}"))

    @app.post("/api/retrain")
    def train() -> Response:
        return json_response(answered(functions.training, "POST", query="?now=true"))

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
        except (FunctionUnavailable, RequestRefused, RecordsUnavailable) as error:
            self.parts.append(Part(name, False, str(error)))
            return None


def _static(folder: Path, name: str, *, is_this: bool) -> Response:
    """Return a file; is_this: whether it was asked for as it is now."""
    response = send_from_directory(folder, name)
    del response.headers["Date"]  # the front's own
    response.headers["Cache-Control"] = f"public, max-age={YEAR_SECONDS}, immutable" if is_this else "no-store"
    return response


def _version() -> str:
    """Return what changes whenever a static file does."""
    digest = hashlib.sha256((SWAGGER_UI / "VERSION").read_bytes())
    for path in sorted(STATIC.rglob("*")):
        if path.is_file():
            digest.update(f"{path.relative_to(STATIC)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:12]
