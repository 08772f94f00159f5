#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# tools/bench.sh - runs the programs in bench/ one after the other and prints what they measure, in some ten
# minutes. ROUNDS (3) of the comparison end to end, BACKPRESSURE_S (20) seconds under ten times the load.
# docs/performance.md says how to read it. The exit code is 1 when something that must hold does not.
set -u
cd "$(dirname "$0")/.." || exit 1
observex=build/observex
code=0

part() {
    printf '\n== %s\n' "$1"
    shift
    "$@" || code=1
}

printf 'machine: %s x %s, Linux %s, %s\n' "$(nproc)" \
    "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)" "$(uname -r)" "$(date -u +%Y-%m-%dT%H:%MZ)"
part '(a) decode: wire to batch against protobuf-c with an arena' build/bench/decode_bench
part 'encode: batch to columns' build/bench/encode_bench
part '(b) stages, each by itself' build/bench/stage_bench
for signal in traces logs metrics; do
    part "(b) end to end against the floor: $signal" build/bench/pipeline_bench "$observex" --signal "$signal" \
        --records 500000 --rounds "${ROUNDS:-3}"
    build/bench/pipeline_bench "$observex" --signal "$signal" --records 60000 --floor-only 1 --floor-rows 1000 || code=1
done
part '(g) messages between actors, and idle actors' build/bench/message_bench
part '(h) a quiet tenant beside a noisy one' build/bench/isolation_bench "$observex" --rounds "${ROUNDS:-3}"
part '(g) 100,000 idle tenants on a node' build/bench/tenants_bench "$observex"
part '(j) API keys: validations per second, 100,000 keys' build/bench/keys_bench
part '(l) tail sampling: spans that wait, traces that are decided' build/bench/sampler_bench
part 'TLS: handshakes, bytes against plain, memory of a connection' build/bench/tls_bench
part '(i) from a crash to going on' build/bench/restart_bench "$observex"
part '(c) gateway and log alone, with the disk floor' build/bench/gateway_bench
part 'acknowledgement: wal.ack durable, interval, and no journal; recovery of a journal' build/bench/journal_bench
part '(d, e) full load of three signals: memory, bytes on disk' build/bench/full_bench "$observex"
part '(f) storage takes a tenth of what arrives' build/bench/backpressure_bench "$observex" \
    --seconds "${BACKPRESSURE_S:-20}"
exit "$code"
