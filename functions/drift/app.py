"""The HTTP interface of drift; see docs/http.md."""

from collections.abc import Callable

from flask import Flask, Response, request

from functions.drift.checker import Checker
from model_store.errors import StoreError
from process.settings import SettingsError, whole_number
from process.web import FunctionApp, json_response
from records import InvalidRecord, RecordsUnavailable
from sentiment.artifact import ArtifactError


def build(checker: Checker, *, not_ready: Callable[[], str | None]) -> Flask:
    """Return the app over a checker; raises SettingsError."""
    app = FunctionApp("drift", not_ready=not_ready)
    app.answer_errors(400, SettingsError)
    app.answer_errors(500, InvalidRecord)
    app.answer_errors(503, RecordsUnavailable, StoreError, ArtifactError, then="; try again.", Retry_After="5")

    @app.route("/", methods=["GET", "POST"])
    def check_now() -> Response:
        return json_response(checker.run())

    @app.get("/reports")
    def history() -> Response:
        limit = whole_number("limit", 100, least=1, most=1_000, given=request.args)
        return json_response(checker.reports(limit))

    return app
