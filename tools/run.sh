#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# tools/run.sh - `make run`: ObserveX in development mode, with the demo load unless DEMO=0.
#
# This shell becomes the heart (exec), so that Ctrl-C and SIGTERM reach it directly; the demo runs beside it and
# looks after it once a second.
set -u
cd "$(dirname "$0")/.." || exit 1
data=${DATA:-./observex-data}
ready=$data/ready.json

# Runs the demo from the moment this process is ready until it is gone.
demo() {
    heart=$1
    load=
    while kill -0 "$heart" 2>/dev/null; do
        if [ -z "$load" ] && grep -q "\"pid\":$heart," "$ready" 2>/dev/null; then
            http=$(sed -n 's/.*"otlp_http":"\([^"]*\)".*/\1/p' "$ready")
            build/observex demo --quiet --otlp-http "http://$http" >/dev/null 2>&1 &
            load=$!
        fi
        sleep 1
    done
    [ -z "$load" ] || kill "$load" 2>/dev/null
}

if [ "${DEMO:-1}" != 0 ] && build/observex help demo >/dev/null 2>&1; then
    demo $$ &
fi
# What is only informative would bury the addresses; OBSERVE_X_LOG_LEVEL=info shows it.
OBSERVE_X_LOG_LEVEL=${OBSERVE_X_LOG_LEVEL:-warn} exec build/observex serve --data "$data"
