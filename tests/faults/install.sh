# shellcheck shell=bash
# What tests/faults needs for its clock that jumps: Debian's libfaketime.
# Sourced by test.sh, after tests/containers/install.sh.

# In CI, or where FAULT_TESTS=yes asks for it.
install_faketime() {
  if [ "${CI:-}" != true ] && [ "${FAULT_TESTS:-}" != yes ]; then return; fi
  if ! is_root || ! has_apt; then return; fi
  install_missing faketime:faketime
}
