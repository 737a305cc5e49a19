#!/bin/sh
# Starts a private node of RabbitMQ, apart from any that the system runs: start.sh EPMD RABBITMQ_SERVER
# Its data and rabbitmq.conf are in the working directory; RABBITMQ_NODENAME, ERL_EPMD_ADDRESS, ERL_EPMD_PORT and
# RABBITMQ_DIST_PORT are set by the caller.
set -eu
settings=$(dirname "$0")
export HOME="$PWD"
export ERL_INETRC="$settings/inetrc" ERL_CRASH_DUMP_SECONDS=0
export RABBITMQ_CONF_ENV_FILE=/dev/null
export RABBITMQ_CONFIG_FILE="$PWD/rabbitmq.conf" RABBITMQ_CONFIG_FILES="$PWD/conf.d/*.conf"
export RABBITMQ_ADVANCED_CONFIG_FILE="$settings/advanced.config"
export RABBITMQ_ENABLED_PLUGINS_FILE="$settings/../../chart/files/enabled_plugins"
export RABBITMQ_MNESIA_BASE="$PWD/data" RABBITMQ_LOG_BASE="$PWD/log"
# Loopback for the Erlang protocol too, and no scheduler that spins while it waits for work.
loopback='-kernel inet_dist_use_interface {127,0,0,1}'
export RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="$loopback +sbwt none +sbwtdcpu none +sbwtdio none"
# Erlang's port mapper beside it, in the same process group: Erlang would start one as a daemon that outlives it.
export ERL_FLAGS='-start_epmd false'
# The nodes of a cluster share one, which runs already.
if ! "$1" -names > /dev/null 2>&1; then "$1" & fi
until "$1" -names > /dev/null 2>&1; do sleep 0.1; done
exec "$2"
