# shellcheck shell=bash
# What tests/monitoring needs: Prometheus and promtool, of Debian's package, which is unpacked in .cache.
# Sourced by test.sh, after deploy/local/prepare.sh.

has_prometheus() { "$VENV/bin/python" -c 'from tests.monitoring.server import program; program("promtool")' 2>/dev/null; }

# In CI, or where MONITORING_TESTS=yes asks for it. Installed, the package would start a server of its own.
install_prometheus() {
  if [ "${CI:-}" != true ] && [ "${MONITORING_TESTS:-}" != yes ]; then return; fi
  if has_prometheus || ! is_root || ! has_apt; then return; fi
  local folder=.cache/prometheus output
  say "unpacking Debian's prometheus in $folder ..."
  rm -rf $folder
  mkdir -p $folder
  output=$(
    {
      apt-get update -qq || true
      # By a relative path: root may not be who downloads.
      cd $folder && apt-get download -qq prometheus && dpkg -x prometheus_*.deb . && rm prometheus_*.deb
    } 2>&1
  ) || { tail -n 5 <<<"$output" >&2; say "going on without prometheus, see above"; }
}
