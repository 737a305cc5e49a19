"""Serves generate-drift (docs/http.md): `python -m functions.generate_drift`. SIGTERM: finish, exit 0."""

import os
import secrets
from pathlib import Path

from flask import Response
from msgspec import UNSET

from contracts.drift import MAX_SEED, read_generate_query
from contracts.limits import MAX_EMPTY_BODY_BYTES
from functions.generate_drift.generator import Generator, NotScored
from process.answers import Problem
from process.exclusive import Busy
from process.front import Front, Limits
from process.guard import SAFE_WHERE_GET_CHANGES, is_loopback
from process.run import run
from process.server import serve
from process.settings import listen_address, read_secret
from process.web import FunctionApp, asked, check_token_is_set, json_response, no_token, ready_if
from records import Records, RecordsUnavailable
from records.drift import GeneratedTexts

DESCRIPTION = Path(__file__).with_name("openapi.json")
OFF = "generate-drift is off, since it fills the records with texts that nobody wrote: set ENABLE_GENERATE_DRIFT=true."


def build(generator: Generator, *, enabled: bool, token: str | None) -> FunctionApp:
    """Return the app over a generator; not `enabled`, it says how to enable it and does nothing.

    token: what a request has to bring, None where it need not.
    """
    app = FunctionApp("generate-drift")
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
        query = asked(read_generate_query)
        seed = secrets.randbelow(MAX_SEED) if query.seed is UNSET else query.seed
        return json_response(generator.generate(query.count, query.share, seed))

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
    safe = SAFE_WHERE_GET_CHANGES
    serve(Front(not_ready, limits, others=app.answer, description=DESCRIPTION, threads=2, safe_methods=safe))
    records.close()


if __name__ == "__main__":
    run("generate-drift", main)
