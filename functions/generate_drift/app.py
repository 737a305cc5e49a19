"""The HTTP interface of generate-drift; see docs/http.md."""

import secrets
from collections.abc import Callable

from flask import Flask, Response, request

from contracts.limits import MAX_BATCH_TEXTS
from functions.generate_drift.generator import Generator, NotScored
from process.exclusive import Busy
from process.settings import SettingsError, number, whole_number
from process.web import FunctionApp, Problem, json_response
from records import RecordsUnavailable

MAX_SEED = 2**32
OFF = "generate-drift is off, since it fills the records with texts that nobody wrote: set ENABLE_GENERATE_DRIFT=true."


def build(generator: Generator, *, enabled: bool, not_ready: Callable[[], str | None]) -> Flask:
    """Return the app over a generator; not `enabled`, it says how to enable it and does nothing."""
    app = FunctionApp("generate-drift", not_ready=not_ready)
    app.answer_errors(400, SettingsError)
    app.answer_errors(409, Busy)
    app.answer_errors(503, RecordsUnavailable, NotScored, then="; try again.", Retry_After="5")

    @app.before_request
    def require_enabled() -> None:
        if not enabled:
            raise Problem(403, OFF)

    @app.route("/", methods=["GET", "POST"])
    def generate() -> Response:
        count = whole_number("count", 500, least=1, most=MAX_BATCH_TEXTS, given=request.args)
        share = number("share", 0.5, least=0, most=1, given=request.args)
        seed = whole_number("seed", secrets.randbelow(MAX_SEED), least=0, most=MAX_SEED, given=request.args)
        return json_response(generator.generate(count, share, seed))

    @app.delete("/")
    def delete() -> Response:
        return json_response(generator.delete())

    return app
