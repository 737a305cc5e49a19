# shellcheck shell=bash
# Shared by deploy.sh and test.sh: finds Python, makes the virtual environment, installs RabbitMQ.

say() { echo "$*" >&2; }
die() { say "${0##*/}: $*"; exit 1; }

# Sets PYTHON to a Python of version 3.11 or newer.
find_python() {
  local name
  for name in "${PYTHON:-}" python3 python3.14 python3.13 python3.12 python3.11; do
    if [ -n "$name" ] && "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      PYTHON=$name
      return
    fi
  done
  die "needs Python 3.11 or newer: apt-get install python3 python3-venv (Debian, Ubuntu) or brew install python (macOS)"
}

is_root() { [ "$(id -u)" = 0 ]; }
has_apt() { command -v apt-get >/dev/null; }

# Says what it is about to install, and asks where somebody is at a terminal: apt_install package ...
apt_install() {
  local answer output
  if [ -t 0 ] && [ -t 2 ] && [ "${CI:-}" != true ]; then
    say "$* is missing, and apt-get can install it on this system."
    read -r -p "Install it? [Y/n] " answer || answer=no # the end of the input, too
    case $answer in
      '' | [Yy]*) ;;
      *) say "$* is not installed"; return 1 ;;
    esac
  fi
  say "installing $* with apt-get ..."
  output=$(
    {
      apt-get update -qq || true
      DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$@"
    } 2>&1
  ) || { tail -n 5 <<<"$output" >&2; return 1; }
}

# Makes the virtual environment VENV (.venv) hold what the lock file says: make_venv local|dev.
# A VENV that the caller has set is taken as it is.
make_venv() {
  if [ -n "${VENV:-}" ]; then
    [ -x "$VENV/bin/python" ] || die "VENV=$VENV is not a virtual environment"
    return
  fi
  VENV=.venv
  local lock=requirements/$1.lock stamp=$VENV/$1.lock
  if [ -x $VENV/bin/python ] && cmp -s "$lock" "$stamp"; then return; fi
  if ! $VENV/bin/python -m pip --version >/dev/null 2>&1; then
    say "making the virtual environment $VENV ..."
    if ! "$PYTHON" -c 'import ensurepip, venv' 2>/dev/null; then
      if ! is_root || ! has_apt || ! apt_install python3-venv; then
        die "Python's venv is missing: apt-get install python3-venv"
      fi
    fi
    "$PYTHON" -m venv --clear $VENV || die "can't make the virtual environment $VENV"
  fi
  say "installing $lock into $VENV; the first time this takes a minute or two ..."
  $VENV/bin/python -m pip install -qq --disable-pip-version-check --require-hashes -r "$lock" ||
    die "can't install $lock, see above: check the network and pip's index, then run it again"
  cp "$lock" "$stamp"
  # What the tests need holds all that the local stack needs.
  if [ "$1" = dev ]; then cp requirements/local.lock $VENV/local.lock; fi
}

has_rabbitmq() { "$VENV/bin/python" -c 'from deploy.servers import rabbitmq_server; rabbitmq_server()' 2>/dev/null; }

# Installs Debian's RabbitMQ where we may and there is none; its own system service is neither started nor enabled.
install_rabbitmq() {
  if has_rabbitmq || ! is_root || ! has_apt; then return; fi
  local units="rabbitmq-server.service epmd.service epmd.socket" systemd=
  if [ -d /run/systemd/system ]; then systemd=yes; fi
  # shellcheck disable=SC2086 # a list of words
  if [ $systemd ]; then systemctl --quiet mask --runtime $units; fi
  # The run level of a system that starts nothing: package scripts honour it where there is no systemd.
  RUNLEVEL=1 apt_install rabbitmq-server || say "going on without rabbitmq-server, see above"
  # shellcheck disable=SC2086
  if [ $systemd ]; then
    systemctl --quiet unmask --runtime $units
    systemctl --quiet disable $units || true
  fi
}
