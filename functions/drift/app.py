"""The HTTP interface of drift; see docs/http.md."""

from typing import Any

from flask import Flask, Response, request

from functions.drift.metrics import Metrics
from functions.drift.run import Checker
from functions.web import Problem, create_app, json_response
from model_store import ModelStore, StoreError
from records import RecordsUnavailable
from records.drift import DriftRecords
from records.mongo import Document
from sentiment.artifact import ArtifactError

MAX_REPORTS_SHOWN = 1_000
REPORTS_SHOWN = 100


def build(checker: Checker, store: ModelStore, records: DriftRecords, metrics: Metrics) -> Flask:
    """Return the app over a checker, and what its readiness rests on."""
    app = create_app("drift", not_ready=lambda: _not_ready(store, records))

    @app.errorhandler(RecordsUnavailable)
    @app.errorhandler(StoreError)
    @app.errorhandler(ArtifactError)
    def away(error: Exception) -> Response:
        return Problem(503, f"{error}; try again.", Retry_After="5").response()

    @app.route("/", methods=["GET", "POST"])
    def check_now() -> Response:
        with metrics.seconds.time():
            report = checker.run()
        return json_response(_shown(report))

    @app.get("/reports")
    def history() -> Response:
        limit = request.args.get("limit", str(REPORTS_SHOWN))
        if not limit.isdecimal() or not 1 <= int(limit) <= MAX_REPORTS_SHOWN:
            raise Problem(400, f"limit must be a whole number from 1 to {MAX_REPORTS_SHOWN}.")
        return json_response({"reports": [_shown(report) for report in records.reports(int(limit))]})

    return app


def _shown(report: Document) -> dict[str, Any]:
    return {key: value for key, value in report.items() if key != "_id"}


def _not_ready(store: ModelStore, records: DriftRecords) -> str | None:
    try:
        store.current()
        records.ping()
    except (StoreError, RecordsUnavailable) as error:
        return str(error)
    return None
