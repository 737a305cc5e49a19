"""Runs generate-drift: `python -m functions.generate_drift`. SIGTERM: answer what is in hand, exit 0."""

import os

from functions.generate_drift.app import build
from functions.generate_drift.generator import Generator
from process.run import run
from process.server import serve
from process.web import ready_if
from records import Records, RecordsUnavailable
from records.drift import GeneratedTexts


def main() -> None:
    """Serve until SIGTERM; raises SettingsError."""
    records = Records.from_environment()
    generator = Generator(GeneratedTexts(records), os.environ.get("GATEWAY_URL") or "http://127.0.0.1:8080")
    enabled = (os.environ.get("ENABLE_GENERATE_DRIFT") or "").lower() == "true"
    not_ready = ready_if(records.ping, errors=(RecordsUnavailable,)) if enabled else ready_if(errors=())
    # Probes are answered while one thread waits for predict.
    serve(build(generator, enabled=enabled, not_ready=not_ready), blocking_threads=2)
    records.close()


if __name__ == "__main__":
    run("generate-drift", main)
