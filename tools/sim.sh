#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# tools/sim.sh SEEDS [SEED] - the simulation: the seeds that ever failed, then SEEDS more on all cores; or one SEED, in
# full. FROM=n begins at seed n.
set -u
cd "$(dirname "$0")/.." || exit 1
seeds=$1
seed=${2:-}
from=${FROM:-1}
sim=build/chaos/sim/sim

if [ -n "$seed" ]; then
    exec "$sim" --seed "$seed" --verbose
fi
case $seeds in
'' | *[!0-9]* | 0)
    printf 'make sim: SEEDS is a number above 0, got "%s"\n' "$seeds" >&2
    exit 64
    ;;
esac

dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
cores=$(nproc)
[ "$cores" -le "$seeds" ] || cores=$seeds
"$sim" --seeds 0 --regressions chaos/sim/regressions.txt >"$dir/regressions" 2>&1
echo $? >"$dir/regressions.code"
part=0
while [ "$part" -lt "$cores" ]; do
    first=$((from + seeds * part / cores))
    next=$((from + seeds * (part + 1) / cores))
    (
        "$sim" --from "$first" --seeds $((next - first)) >"$dir/$part" 2>&1
        echo $? >"$dir/$part.code"
    ) &
    part=$((part + 1))
done
wait

code=0
for name in regressions $(seq 0 $((cores - 1))); do
    [ "$name" != regressions ] || printf 'regressions: '
    cat "$dir/$name"
    [ "$(cat "$dir/$name.code")" = 0 ] || code=1
done
[ "$code" = 0 ] || printf 'make sim: FAILED (above)\n' >&2
exit "$code"
