"""Serves the console (docs/console.md): `python -m functions.console`. SIGTERM: answer what is in hand, exit 0."""

from pathlib import Path

from contracts.limits import MAX_BODY_BYTES
from functions.console.access import Access
from functions.console.app import HEADERS, build
from functions.console.functions import Functions
from functions.console.hour import LastHour
from functions.console.overview import Overview
from functions.console.settings import Settings
from process.bridge import Bridge
from process.front import Front, Limits
from process.run import run
from process.server import serve
from process.web import ready_if
from records import Records
from records.recent import Recent

THREADS = 8
DESCRIPTION = Path(__file__).with_name("openapi.json")


def main() -> None:
    """Serve until SIGTERM; raises SettingsError."""
    settings, limits = Settings(), Limits.of(MAX_BODY_BYTES)
    records = Records.from_environment()
    functions = Functions.of(settings)
    bridge = Bridge(settings.bridge_url) if settings.bridge_url else None
    recent = Recent(records)
    app = build(Access(settings.token), Overview(recent, functions, bridge, LastHour(recent)), functions)
    # A part that is away is shown as that: the console itself is ready.
    not_ready = ready_if(errors=())
    serve(Front(not_ready, limits, others=app.answer, description=DESCRIPTION, threads=THREADS, headers=HEADERS))
    records.close()


if __name__ == "__main__":
    run("console", main)
