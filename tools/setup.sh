#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# tools/setup.sh [all] - installs what is missing: Debian packages and the storage engine; `all`: also what only
# tests and checks need.
#
# Asks nothing. Changes nothing when nothing is missing, so a second run takes a moment. Each failure is one
# sentence and what to do.
set -u
cd "$(dirname "$0")/.." || exit 1

LIBCHDB=engine/npm/node_modules/@chdb/lib-linux-x64-gnu/libchdb.so

fail() {
    printf 'observex set-up: %s\n' "$1" >&2
    exit 1
}

check_machine() {
    machine=$(uname -m)
    [ "$(uname -s) $machine" = 'Linux x86_64' ] ||
        fail "this machine is $(uname -s) on $machine; the storage engine exists for Linux on x86-64 only, so use such a machine."
    need_mib=200
    [ -f "$LIBCHDB" ] || need_mib=2048
    free_mib=$(df -Pm . | awk 'NR == 2 { print $4 }')
    [ "$free_mib" -ge "$need_mib" ] ||
        fail "this disk has $free_mib MiB free and set-up and build need $need_mib; make room first."
}

lists=tools/packages.txt
[ "${1:-}" = all ] && lists="$lists tools/packages-test.txt"

# Packages of the lists that are neither installed nor replaced by their command.
missing_packages() {
    # shellcheck disable=SC2086 # one word per list
    sed -e 's/#.*//' $lists | while read -r package command; do
        [ -n "$package" ] || continue
        [ -n "$command" ] && command -v "$command" >/dev/null 2>&1 && continue
        case $(dpkg-query -W -f '${Status}' "$package" 2>/dev/null) in
        *' installed') ;;
        *) printf '%s ' "$package" ;;
        esac
    done
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    else
        sudo -n "$@"
    fi
}

install_packages() {
    command -v apt-get >/dev/null 2>&1 ||
        fail "this is no Debian system (no apt-get); install the equivalents of $lists, then run ninja yourself (README, 'Other systems')."
    missing=$(missing_packages)
    [ -n "$missing" ] || return 0
    if [ "$(id -u)" != 0 ] && ! sudo -n true 2>/dev/null; then
        fail "packages are missing and sudo wants a password: run 'sudo apt-get install $missing', then make again."
    fi
    printf 'observex set-up: installing %s\n' "$missing"
    log=$(mktemp) || fail "no temporary file can be made in ${TMPDIR:-/tmp}; is the disk full?"
    # shellcheck disable=SC2086 # one word per package
    if ! { as_root env DEBIAN_FRONTEND=noninteractive apt-get -q update &&
        as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends \
            -o DPkg::Lock::Timeout=300 install $missing; } >"$log" 2>&1; then
        tail -n 15 "$log" >&2
        rm -f "$log"
        fail "apt could not install the packages (its last lines are above): check the network and /etc/apt/sources.list, then make again."
    fi
    rm -f "$log"
}

# npm ci in folder $1, unless the lock file is the one that was installed last. $2 says what for.
install_npm() {
    [ -f "$1/package-lock.json" ] || return 0
    sum=$(sha256sum <"$1/package-lock.json")
    [ -f "$1/node_modules/.lock-sum" ] && [ "$(cat "$1/node_modules/.lock-sum")" = "$sum" ] && return 0
    command -v npm >/dev/null 2>&1 || fail "npm is missing and no package brought it: install Node.js 18 or newer with npm, then make again."
    printf 'observex set-up: fetching %s with npm\n' "$2"
    log=$(mktemp) || fail "no temporary file can be made in ${TMPDIR:-/tmp}; is the disk full?"
    if ! (cd "$1" && npm ci --no-audit --no-fund) >"$log" 2>&1; then
        tail -n 15 "$log" >&2
        rm -f "$log"
        fail "npm could not fetch $2 (its last lines are above): check the network and the free space, then make again."
    fi
    rm -f "$log"
    printf '%s\n' "$sum" >"$1/node_modules/.lock-sum"
}

check_machine
install_packages
install_npm engine/npm "the storage engine (about 140 MB)"
[ -f "$LIBCHDB" ] ||
    fail "the storage engine is not where npm should have put it: remove engine/npm/node_modules, then make again."
[ "${1:-}" = all ] && install_npm tests/e2e "the end-to-end tests' OpenTelemetry SDK and browser driver"
exit 0
