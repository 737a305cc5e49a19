"""The HTTP interface of the console; see docs/http.md."""

import hashlib
from pathlib import Path

from flask import Response, redirect, render_template, request, send_from_directory

from contracts.codec import encode
from contracts.console import TextRequest, read_login, read_text_request
from functions.console.access import Access
from functions.console.functions import Functions
from functions.console.overview import Overview
from process.answers import Answer, Problem
from process.web import FunctionApp, json_response, parse

FOLDER = Path(__file__).parent
STATIC = FOLDER / "static"
YEAR_SECONDS = 365 * 24 * 3600
OPEN = ("show_login", "log_in", "static_file")
"""What is answered without a session: nothing of it holds data."""
SECURITY = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
PAGES = {"": "try", "now": "now", "drift": "drift", "models": "models", "label": "label"}
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
        response = send_from_directory(STATIC, name)
        del response.headers["Date"]  # the front's own
        is_this = of == version
        response.headers["Cache-Control"] = f"public, max-age={YEAR_SECONDS}, immutable" if is_this else "no-store"
        return response

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
    @app.get("/<any(now, drift, models, label):page>")
    def show_page(page: str) -> str:
        return render_template(f"{PAGES[page]}.html", page=PAGES[page])

    @app.post("/api/predict")
    def predict() -> Response:
        text = parse(read_text_request, request.get_data(), '{"text": "..."}').text
        return _handed_on(functions.ask("POST", "predict", "?explain=true&record=false", encode(TextRequest(text))))

    @app.get("/api/now")
    def now() -> Response:
        return json_response(overview.now())

    return app


def _handed_on(answer: Answer) -> Response:
    return Response(answer.body, answer.status, answer.headers)


def _version() -> str:
    """Return what changes whenever a static file does."""
    digest = hashlib.sha256()
    for path in sorted(STATIC.rglob("*")):
        if path.is_file():
            digest.update(f"{path.relative_to(STATIC)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:12]
