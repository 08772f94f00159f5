#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# tools/check.sh - what a reviewer should not have to look for: warnings, layout, suspicious code, shell syntax.
set -u
cd "$(dirname "$0")/.." || exit 1
code=0

say() {
    printf 'check: %-22s %s\n' "$1" "$2"
}

# Two compilers warn about different things.
for compiler in gcc clang; do
    dir=build-check
    [ "$compiler" = gcc ] || dir=build-check-$compiler
    if CC=$compiler tools/build.sh "$dir" --werror; then
        say "warnings of $compiler" none
    else
        say "warnings of $compiler" FAILED
        code=1
    fi
done

sources=$(git ls-files '*.c' '*.h')
# shellcheck disable=SC2086 # one word per file
if clang-format --dry-run --Werror $sources 2>build-check/format.log; then
    say clang-format ok
else
    grep 'error:' build-check/format.log | cut -d: -f1 | sort | uniq -c
    say clang-format 'FAILED (clang-format -i on the files above)'
    code=1
fi

mkdir -p build-check/cppcheck
if cppcheck --project=build-check/compile_commands.json --cppcheck-build-dir=build-check/cppcheck \
    --suppressions-list=tools/cppcheck.supp --inline-suppr --enable=warning,portability --error-exitcode=1 \
    --quiet -j "$(nproc)" 2>build-check/cppcheck.log; then
    say cppcheck ok
else
    cat build-check/cppcheck.log
    say cppcheck FAILED
    code=1
fi

for script in $(git ls-files '*.sh') .ci/run; do
    sh -n "$script" || code=1
done
say 'shell syntax' checked

# House style, section 3: every source says what it is.
for file in $sources; do
    head -n 1 "$file" | grep -q 'SPDX-License-Identifier: Apache-2.0' || {
        printf '%s: the SPDX line is missing\n' "$file"
        code=1
    }
done
say 'file headers' checked
exit "$code"
