#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# tools/fuzz.sh SECONDS - runs every fuzz target for its share of the time, from the committed corpus on.
#
# What a run finds new stays in build-fuzz/corpus/ and is used by the next; inputs that crash are kept in
# build-fuzz/crashes/.
set -u
cd "$(dirname "$0")/.." || exit 1
seconds=$1
case $seconds in
'' | *[!0-9]*)
    printf 'observex fuzz: SECONDS=%s is no whole number\n' "$seconds" >&2
    exit 2
    ;;
esac

CC=clang tools/build.sh build-fuzz -Dfuzz=true -Dtests=disabled -Dbench=false -Dchaos=false -Db_lundef=false || exit 1
targets=$(find build-fuzz/tests/fuzz -maxdepth 1 -type f -name 'fuzz_*' -perm -u+x | sort)
count=$(printf '%s\n' "$targets" | grep -c .)
[ "$count" -gt 0 ] || {
    printf 'observex fuzz: no target was built\n' >&2
    exit 1
}
share=$((seconds / count))
[ "$share" -gt 0 ] || share=1
mkdir -p build-fuzz/crashes
code=0
for target in $targets; do
    name=$(basename "$target" | sed 's/^fuzz_//')
    mkdir -p "build-fuzz/corpus/$name"
    seeds=
    [ -d "tests/fuzz/corpus/$name" ] && seeds=tests/fuzz/corpus/$name
    # shellcheck disable=SC2086 # no seeds, no argument
    if "$target" -max_total_time="$share" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
        -artifact_prefix="build-fuzz/crashes/$name-" "build-fuzz/corpus/$name" $seeds >"build-fuzz/$name.log" 2>&1; then
        printf '%-20s %s runs in %s s\n' "$name" "$(sed -n 's/^stat::number_of_executed_units: *//p' "build-fuzz/$name.log")" "$share"
    else
        code=1
        tail -n 40 "build-fuzz/$name.log"
        printf '%-20s FAILED (build-fuzz/%s.log, input in build-fuzz/crashes/)\n' "$name" "$name"
    fi
done
exit "$code"
