#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# tools/test.sh - every test of a finished build: Meson's suites, then the end-to-end tests.
set -u
cd "$(dirname "$0")/.." || exit 1
code=0

meson test -C build --no-rebuild --print-errorlogs || code=1
if [ -f tests/e2e/package.json ]; then
    printf '\nend to end:\n'
    npm --prefix tests/e2e --silent test || code=1
fi
if [ "$code" = 0 ]; then
    printf '\nmake test: everything passed\n'
else
    printf '\nmake test: something FAILED (above; build/meson-logs/testlog.txt has all of it)\n'
fi
exit "$code"
