#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# tools/build.sh DIR [MESON-OPTION...] - configures DIR if it is not yet and builds all of it, or only TARGET from the
# environment.
set -u
cd "$(dirname "$0")/.." || exit 1
dir=$1
shift
log=$(mktemp) || exit 1
trap 'rm -f "$log"' EXIT

# A folder of an interrupted or much older configuration is made anew rather than explained.
if [ ! -f "$dir/build.ninja" ]; then
    printf 'configuring and building %s\n' "$dir"
    rm -rf "$dir"
    if ! meson setup "$dir" "$@" >"$log" 2>&1; then
        tail -n 20 "$log" >&2
        printf 'observex build: Meson could not configure %s (above); make setup installs what is missing.\n' "$dir" >&2
        exit 1
    fi
fi
# Ninja's own lines only when something fails: a build that works says nothing.
# shellcheck disable=SC2086 # no TARGET is no word
if ! ninja -C "$dir" ${TARGET:-} >"$log" 2>&1; then
    grep -v '^\[[0-9]*/[0-9]*\] \|^ninja: Entering' "$log" | tail -n 60 >&2
    printf 'observex build: the compiler refused %s (above).\n' "$dir" >&2
    exit 1
fi
grep -A3 'warning:' "$log" >&2
exit 0
