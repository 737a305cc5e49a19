"""Runs generate-drift: `python -m functions.generate_drift`. SIGTERM: answer what is in hand, exit 0."""

import os

from functions.generate_drift.app import build
from functions.generate_drift.run import Generator
from functions.serve import serve
from model_store.process import run
from records import Records
from records.drift import GeneratedTexts

# Probes are answered while one thread waits for predict.
THREADS = 2


def main() -> int:
    """Serve until SIGTERM; returns the exit code."""
    records = Records.from_environment()
    generator = Generator(GeneratedTexts(records), os.environ.get("GATEWAY_URL") or "http://127.0.0.1:8080")
    enabled = (os.environ.get("ENABLE_GENERATE_DRIFT") or "").lower() == "true"
    serve(build(generator, records, enabled=enabled), blocking_threads=THREADS)
    records.close()
    return 0


if __name__ == "__main__":
    run("generate-drift", main)
