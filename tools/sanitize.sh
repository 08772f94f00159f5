#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# tools/sanitize.sh asan|ubsan|tsan - builds with a sanitizer and runs the tests that fit it.
#
# Each test of Criterion is a process of its own whose exit code does not tell of a leak, so the sanitizers
# write their reports to files, and any such file is a failure. No leak is suppressed: every stack of a test has
# frames of Criterion in it, so that a suppression by its name would hide ours. Criterion does not start under
# ThreadSanitizer, which therefore runs the stress programs, which do without it.
set -u
cd "$(dirname "$0")/.." || exit 1
kind=$1
dir=build-$kind
suite=unit

case $kind in
asan)
    tools/build.sh "$dir" -Dbench=false -Dchaos=false -Ddebug_checks=true -Db_sanitize=address,undefined -Db_lundef=false \
        -Dc_args=-fno-sanitize-recover=all || exit 1
    ;;
ubsan)
    CC=clang tools/build.sh "$dir" -Dbench=false -Dchaos=false -Ddebug_checks=true -Db_sanitize=undefined -Db_lundef=false \
        -Dc_args=-fno-sanitize-recover=all || exit 1
    ;;
tsan)
    suite=stress
    tools/build.sh "$dir" -Dbench=false -Dchaos=false -Dtests=enabled -Db_sanitize=thread -Db_lundef=false || exit 1
    ;;
*)
    printf 'usage: tools/sanitize.sh asan|ubsan|tsan\n' >&2
    exit 2
    ;;
esac

reports=$PWD/$dir/reports
rm -rf "$reports"
mkdir -p "$reports"
code=0
# One test of a program at a time: Criterion's own process now and then loses 48 bytes when several end at once.
CRITERION_JOBS=1 \
ASAN_OPTIONS="log_path=$reports/asan:detect_stack_use_after_return=1" \
UBSAN_OPTIONS="log_path=$reports/ubsan:print_stacktrace=1" \
TSAN_OPTIONS="log_path=$reports/tsan:halt_on_error=0" \
    meson test -C "$dir" --no-rebuild --print-errorlogs --suite "$suite" --timeout-multiplier 5 || code=1

for report in "$reports"/*; do
    [ -f "$report" ] || continue
    code=1
    printf '\n%s:\n' "$report"
    head -n 60 "$report"
done
if [ "$code" = 0 ]; then
    printf 'make %s: no report, all tests passed\n' "$kind"
else
    printf 'make %s: FAILED (reports and logs above)\n' "$kind"
fi
exit "$code"
