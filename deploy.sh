#!/usr/bin/env bash
# Runs the whole system, on this machine or on OpenFaaS: see usage below, and docs/ for what it consists of.
set -euo pipefail

usage() {
  cat >&2 <<'END'
usage: ./deploy.sh --local             start everything, show the log; Ctrl-C stops all of it
       ./deploy.sh --local --detach    start everything, return when it is ready
       ./deploy.sh --stop              stop it; models, records and streams stay in .local/
       ./deploy.sh --status            say what runs

       ./deploy.sh                     deploy to the OpenFaaS gateway at OPENFAAS_URL (docs/deploying.md)
       ./deploy.sh --kubernetes        the same, with the servers and the bridge on the cluster of kubectl
       ./deploy.sh --check             say what is missing for that, and the command that brings it
       ./deploy.sh --dry-run           print each step, do none
       ./deploy.sh --remove [--data]   take it all away; data stay without --data

Settings are environment variables. LOCAL_PORT: the port of the gateway (8080). TRAIN_DATA: imdb, starter or a
path to a CSV, JSONL or aclImdb archive of labelled texts. TRAINER: multinomial-nb or nb-logistic.
S3_ENDPOINT_URL, MONGODB_URL, RABBITMQ_URL, GATEWAY_URL: servers of yours in the place of the ones that this starts.
END
  exit 2
}

local='' detach='' command=up openfaas=()
for argument in "$@"; do
  case $argument in
    --local) local=yes ;;
    --detach) detach=--detach ;;
    --stop) command=stop ;;
    --status) command=status ;;
    --check | --dry-run | --kubernetes | --remove | --data) openfaas+=("$argument") ;;
    *) usage ;;
  esac
done
if [ -n "$local$detach" ] || [ $command != up ]; then
  if [ ${#openfaas[@]} -gt 0 ] || { [ $command = up ] && [ -z "$local" ]; }; then usage; fi
fi

case ${TRAIN_DATA:-} in
  '' | imdb | starter | /*) ;;
  *) TRAIN_DATA=$PWD/$TRAIN_DATA ;;
esac
case ${CA_FILE:-} in
  '' | /*) ;;
  *) CA_FILE=$PWD/$CA_FILE ;;
esac
case ${VENV:-} in
  '' | /*) ;;
  *) VENV=$PWD/$VENV ;;
esac
cd "$(dirname "$0")"
# shellcheck source=deploy/local/prepare.sh
. deploy/local/prepare.sh

if [ $command = up ] && [ -z "$local" ]; then
  find_python
  exec "$PYTHON" -m deploy.openfaas ${openfaas[@]+"${openfaas[@]}"}
fi

if [ $command != up ]; then
  # The stack may have been started with a VENV that the caller does not repeat.
  known=$(cat .local/venv 2>/dev/null || true)
  python=${VENV:-${known:-.venv}}/bin/python
  if [ ! -d .local ] || [ ! -x "$python" ]; then
    echo "nothing was started here"
    if [ $command = status ]; then exit 3; fi
    exit 0
  fi
  exec "$python" -m deploy.local $command
fi

case ${TRAIN_DATA:-} in
  /*) [ -e "$TRAIN_DATA" ] || die "TRAIN_DATA=$TRAIN_DATA: no such file; give imdb, starter or a path" ;;
esac
case ${LOCAL_PORT:-8080} in
  *[!0-9]*) die "LOCAL_PORT=$LOCAL_PORT is not a port number" ;;
esac
find_python
if [ -n "${TRAIN_DATA:-}" ]; then
  echo "training data: $TRAIN_DATA"
elif [ -f .local/trained ]; then
  echo "training data: none needed, a model is in .local/"
else
  choice=$("$PYTHON" -m deploy.training_data "${SENTIMENT_CACHE:-.local/cache}")
  echo "training data: $choice"
  TRAIN_DATA=${choice%% *}
fi
export TRAIN_DATA
make_venv local
if [ -z "${RABBITMQ_URL:-}" ]; then install_rabbitmq; fi
(umask 077 && mkdir -p .local && echo "$VENV" > .local/venv.part && mv .local/venv.part .local/venv) ||
  die "can't write .local/venv, see above"
# shellcheck disable=SC2086 # no word when empty
exec "$VENV/bin/python" -m deploy.local up $detach
