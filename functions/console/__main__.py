"""Serves the console (docs/console.md): `python -m functions.console`. SIGTERM: answer what is in hand, exit 0."""

from contracts.limits import MAX_BODY_BYTES
from functions.console.access import Access
from functions.console.app import build
from functions.console.functions import Functions
from functions.console.overview import Overview
from functions.console.settings import Settings
from process.front import Front, Limits
from process.run import run
from process.server import serve
from process.web import ready_if
from records import Records
from records.recent import Recent


def main() -> None:
    """Serve until SIGTERM; raises SettingsError."""
    settings, limits = Settings(), Limits.of(MAX_BODY_BYTES)
    records = Records.from_environment()
    functions = Functions.at(settings.gateway_url)
    app = build(Access(settings.token), Overview(Recent(records), functions), functions)
    # A part that is away is shown as that: the console itself is ready.
    serve(Front(ready_if(errors=()), limits, others=app.answer, threads=8))
    records.close()


if __name__ == "__main__":
    run("console", main)
