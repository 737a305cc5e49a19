#!/bin/sh
# Writes an SBOM (CycloneDX, JSON) of each lock file, of what an image or the local stack installs with pip:
#   requirements/sbom.sh FOLDER
# Equal lock files give equal SBOMs. cyclonedx-py is wanted on PATH: it is in requirements/dev.lock.
set -eu
mkdir -p "$1"
folder=$(cd "$1" && pwd)
cd "$(dirname "$0")/.."
for lock in functions console functions-train bridge otel local; do
  # It warns that a lock file, which is a list, does not say what needs what.
  PYTHONWARNINGS=ignore cyclonedx-py requirements "requirements/$lock.lock" --pyproject pyproject.toml \
    --output-reproducible --output-file "$folder/$lock.cdx.json"
done
