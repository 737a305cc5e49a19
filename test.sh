#!/usr/bin/env bash
# Makes the environment, installs what the tests need, and runs all of them: ./test.sh [pytest arguments]
set -euo pipefail
cd "$(dirname "$0")"
# shellcheck source=deploy/local/prepare.sh
. deploy/local/prepare.sh
find_python
make_venv dev
install_rabbitmq
# shellcheck source=tests/containers/install.sh
. tests/containers/install.sh
install_container_tools
# shellcheck source=tests/faults/install.sh
. tests/faults/install.sh
install_faketime
# shellcheck source=tests/browser/install.sh
. tests/browser/install.sh
install_browser
# shellcheck source=tests/cluster/install.sh
. tests/cluster/install.sh
install_rabbitmq4
# shellcheck source=tests/monitoring/install.sh
. tests/monitoring/install.sh
install_prometheus

export PATH="$VENV/bin:$PATH"
ruff check
ruff format --check
mypy
shellcheck ./*.sh deploy/local/*.sh deploy/local/rabbitmq/*.sh tests/*/*.sh requirements/*.sh .ci/run
# Of all tests together, the lines that none of them runs are shown.
if [ $# = 0 ]; then
  set -- --cov --cov-report=term
fi
exec pytest "$@"
