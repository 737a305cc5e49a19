# shellcheck shell=bash
# What tests/cluster needs where the system has no RabbitMQ 4: one of Debian 13's packages in a root of its own.
# Sourced by test.sh, after tests/containers/install.sh.

has_rabbitmq4() { "$VENV/bin/python" -c 'from tests.cluster.installation import rabbitmq4; rabbitmq4()' 2>/dev/null; }

# In CI, or where CLUSTER_TESTS=yes asks for it: that takes a minute or more and 300 MB, once.
install_rabbitmq4() {
  if [ "${CI:-}" != true ] && [ "${CLUSTER_TESTS:-}" != yes ]; then return; fi
  if has_rabbitmq4 || ! is_root || ! has_apt; then return; fi
  install_missing debootstrap:debootstrap
  # The keys by which Debian's packages are known, which Ubuntu does not have by itself.
  if [ ! -e /usr/share/keyrings/debian-archive-keyring.gpg ]; then
    apt_install debian-archive-keyring || say "going on without debian-archive-keyring, see above"
  fi
  say "making a root directory with RabbitMQ 4 in .cache; this takes a minute or more, once ..."
  "$VENV/bin/python" -m tests.cluster.installation || say "can't make it, see above"
}
