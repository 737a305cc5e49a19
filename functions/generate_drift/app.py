"""The HTTP interface of generate-drift; see docs/http.md."""

import secrets

from flask import Flask, Response, request

from functions.generate_drift.run import Busy, Generator, NotScored
from functions.web import MAX_BATCH_TEXTS, Problem, create_app, json_response
from records import Records, RecordsUnavailable

DEFAULT_COUNT = 500
DEFAULT_SHARE = 0.5
MAX_SEED = 2**32
OFF = "generate-drift is off, since it fills the records with texts that nobody wrote: set ENABLE_GENERATE_DRIFT=true."


def build(generator: Generator, records: Records, *, enabled: bool) -> Flask:
    """Return the app over a generator; not `enabled`, it says how to enable it and does nothing."""
    app = create_app("generate-drift", not_ready=lambda: _not_ready(records) if enabled else None)

    @app.errorhandler(RecordsUnavailable)
    @app.errorhandler(NotScored)
    def away(error: Exception) -> Response:
        return Problem(503, f"{error}; try again.", Retry_After="5").response()

    @app.errorhandler(Busy)
    def busy(error: Busy) -> Response:
        return Problem(409, f"{error}.").response()

    @app.route("/", methods=["GET", "POST"])
    def generate() -> Response:
        require(enabled=enabled)
        count = int(number("count", DEFAULT_COUNT, least=1, most=MAX_BATCH_TEXTS))
        share = number("share", DEFAULT_SHARE, least=0, most=1)
        seed = int(number("seed", secrets.randbelow(MAX_SEED), least=0, most=MAX_SEED))
        return json_response(generator.generate(count, share, seed))

    @app.delete("/")
    def delete() -> Response:
        require(enabled=enabled)
        return json_response({"deleted": generator.delete()})

    return app


def require(*, enabled: bool) -> None:
    """Raise Problem 403 unless the function is enabled."""
    if not enabled:
        raise Problem(403, OFF)


def number(name: str, default: float, *, least: float, most: float) -> float:
    """Return a number of the query; raises Problem 400 where it is none, or out of range."""
    value = request.args.get(name)
    if value is None:
        return default
    try:
        found = float(value)
    except ValueError:
        found = float("nan")
    if not least <= found <= most:
        raise Problem(400, f"{name} must be a number from {least:g} to {most:g}, not {value!r}.")
    return found


def _not_ready(records: Records) -> str | None:
    try:
        records.ping()
    except RecordsUnavailable as error:
        return str(error)
    return None
