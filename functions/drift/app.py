"""The HTTP interface of drift; see docs/http.md."""

from collections.abc import Callable

from flask import Flask, Response, request

from functions.drift.checker import Checker
from model_store.errors import StoreError
from process.web import FunctionApp, Problem, json_response
from records import InvalidRecord, RecordsUnavailable
from sentiment.artifact import ArtifactError

MAX_REPORTS_SHOWN = 1_000
REPORTS_SHOWN = 100


def build(checker: Checker, *, not_ready: Callable[[], str | None]) -> Flask:
    """Return the app over a checker; raises SettingsError."""
    app = FunctionApp("drift", not_ready=not_ready)
    app.answer_errors(500, InvalidRecord)
    app.answer_errors(503, RecordsUnavailable, StoreError, ArtifactError, then="; try again.", Retry_After="5")

    @app.route("/", methods=["GET", "POST"])
    def check_now() -> Response:
        return json_response(checker.run())

    @app.get("/reports")
    def history() -> Response:
        limit = request.args.get("limit", str(REPORTS_SHOWN))
        if not limit.isdecimal() or not 1 <= int(limit) <= MAX_REPORTS_SHOWN:
            raise Problem(400, f"limit must be a whole number from 1 to {MAX_REPORTS_SHOWN}.")
        return json_response(checker.reports(int(limit)))

    return app
