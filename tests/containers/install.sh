# shellcheck shell=bash
# What tests/containers needs, from Debian's packages: an engine, compose, and debootstrap for the base image.
# Sourced by test.sh, after deploy/local/prepare.sh.

# Installs the packages of the programs that are missing: install_missing program:package ...
install_missing() {
  local missing=() tool
  for tool in "$@"; do
    # Debian keeps some of these in /usr/sbin, which is not on every PATH.
    if [ ! -x "/usr/sbin/${tool%%:*}" ] && ! command -v "${tool%%:*}" >/dev/null; then missing+=("${tool##*:}"); fi
  done
  if [ ${#missing[@]} -gt 0 ]; then
    RUNLEVEL=1 apt_install "${missing[@]}" || say "going on without ${missing[*]}, see above"
  fi
}

# In CI, or where CONTAINER_TESTS=yes asks for it: an engine is more than one expects of a test script.
install_container_tools() {
  if [ "${CI:-}" != true ] && [ "${CONTAINER_TESTS:-}" != yes ]; then return; fi
  if ! is_root || ! has_apt; then return; fi
  # The tests start an engine of their own where none runs, so the package need not.
  install_missing dockerd:docker.io debootstrap:debootstrap docker-compose:docker-compose
}
