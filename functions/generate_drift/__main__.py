"""Serves generate-drift (docs/http.md): `python -m functions.generate_drift`. SIGTERM: finish, exit 0."""

import os
import secrets

from flask import Response, request

from contracts.limits import MAX_BATCH_TEXTS, MAX_EMPTY_BODY_BYTES
from functions.generate_drift.generator import Generator, NotScored
from process.answers import Problem
from process.exclusive import Busy
from process.front import Front, Limits
from process.guard import SAFE_WHERE_GET_CHANGES, is_loopback
from process.run import run
from process.server import serve
from process.settings import SettingsError, listen_address, number, read_secret, whole_number
from process.web import FunctionApp, check_token_is_set, json_response, no_token, ready_if
from records import Records, RecordsUnavailable
from records.drift import GeneratedTexts

MAX_SEED = 2**32
OFF = "generate-drift is off, since it fills the records with texts that nobody wrote: set ENABLE_GENERATE_DRIFT=true."


def build(generator: Generator, *, enabled: bool, token: str | None) -> FunctionApp:
    """Return the app over a generator; not `enabled`, it says how to enable it and does nothing.

    token: what a request has to bring, None where it need not.
    """
    app = FunctionApp("generate-drift")
    app.answer_errors(400, SettingsError)
    app.answer_errors(409, Busy)
    app.answer_errors(503, RecordsUnavailable, NotScored, then="; try again.", Retry_After="5")

    @app.before_request
    def require_enabled() -> None:
        if not enabled:
            raise Problem(403, OFF)
        if not app.has_token(token):
            raise no_token("retrain-token", "This fills the records with texts that nobody wrote, or removes them")

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


def main() -> None:
    """Serve until SIGTERM; raises SettingsError."""
    limits = Limits.of(MAX_EMPTY_BODY_BYTES)
    records = Records.from_environment()
    generator = Generator(GeneratedTexts(records), os.environ.get("GATEWAY_URL") or "http://127.0.0.1:8080")
    token = read_secret("retrain-token", "RETRAIN_TOKEN")
    enabled = (os.environ.get("ENABLE_GENERATE_DRIFT") or "").lower() == "true"
    not_ready = ready_if(records.ping, errors=(RecordsUnavailable,)) if enabled else ready_if(errors=())
    address, _ = listen_address(8080)
    if enabled:
        check_token_is_set(token, "retrain-token", address)
    app = build(generator, enabled=enabled, token=None if is_loopback(address) else token)
    # It is asked by GET, so that a browser's address line will do.
    serve(Front(not_ready, limits, others=app.answer, threads=2, safe_methods=SAFE_WHERE_GET_CHANGES))
    records.close()


if __name__ == "__main__":
    run("generate-drift", main)
