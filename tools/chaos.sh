#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# tools/chaos.sh - `make chaos`: one scenario against the finished build. SCENARIO, SEED, ROUNDS, RESUME as in the
# Makefile; reports and state stay below chaos/reports/.
set -u
cd "$(dirname "$0")/.." || exit 1
set -- "${SCENARIO:-mix}"
[ -z "${SEED:-}" ] || set -- "$@" --seed "$SEED"
[ -z "${ROUNDS:-}" ] || set -- "$@" --rounds "$ROUNDS"
[ -z "${RESUME:-}" ] || [ "$RESUME" = 0 ] || set -- "$@" --resume
exec build/chaos/chaos "$@"
