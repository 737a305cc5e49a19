#!/bin/sh
# Writes the lock files from pyproject.toml. dev.lock decides every version; the others are parts of it.
#   requirements/lock.sh [--upgrade]
set -eu
cd "$(dirname "$0")/.."
# With extras, as `coverage[toml]`: of what is wanted with one and pinned without, older releases of pip take the newest.
compile() {
  uv pip compile --quiet pyproject.toml --universal --generate-hashes --no-strip-extras \
    --no-emit-index-url --no-header --no-annotate "$@"
}
compile "$@" --extra dev --output-file requirements/dev.lock
# Constraints may not carry hashes: strip them.
versions=$(mktemp)
trap 'rm -f "$versions"' EXIT
sed -n 's/^\([a-z0-9].*[^ ]\) *\\$/\1/p' requirements/dev.lock > "$versions"
compile -c "$versions" --extra local --output-file requirements/local.lock
compile -c "$versions" --extra functions --output-file requirements/functions.lock
compile -c "$versions" --extra functions --extra console --output-file requirements/console.lock
# Retrain and drift, whose images so share their largest layer.
compile -c "$versions" --extra functions --extra train --extra drift --output-file requirements/functions-train.lock
compile -c "$versions" --extra bridge --output-file requirements/bridge.lock
# Beside any of these, for who wants spans.
compile -c "$versions" --extra otel --output-file requirements/otel.lock
