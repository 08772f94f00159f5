#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# tools/bench.sh - runs the programs in bench/ one after the other and prints what they measure.
set -u
cd "$(dirname "$0")/.." || exit 1
code=0
for program in $(find build/bench -maxdepth 1 -type f -name '*_bench' -perm -u+x | sort); do
    printf '\n== %s\n' "$(basename "$program")"
    "$program" || code=1
done
exit "$code"
