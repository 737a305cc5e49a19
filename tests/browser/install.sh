# shellcheck shell=bash
# What tests/browser needs: Debian's Chromium, and a typeface for its screenshots.
# Sourced by test.sh, after tests/containers/install.sh.

# In CI, or where BROWSER_TESTS=yes asks for it.
install_browser() {
  if [ "${CI:-}" != true ] && [ "${BROWSER_TESTS:-}" != yes ]; then return; fi
  if ! is_root || ! has_apt; then return; fi
  install_missing chromium:chromium
  dpkg -s fonts-inter >/dev/null 2>&1 || apt_install fonts-inter || say "going on without fonts-inter, see above"
}
