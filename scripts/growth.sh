#!/usr/bin/env bash
# Measures what a ledger's size costs: a node is filled, and at each size it is measured under load with
# random ids and with ordered ones, in turns with a fresh node of 100,000 entries, since a machine is not
# the same from minute to minute. Then it is stopped, started, killed under load and started again.
#
#   scripts/growth.sh [ENTRIES [ACCOUNTS]]        sizes 1,000,000, 10,000,000 ... up to ENTRIES
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/node.sh

entries_max=${1:-10000000}
accounts=${2:-10000}
chunk=500000 rounds=3 measured=1000000 small=100000
runs=0 entries=0

# load ENTRIES OPTIONS...: each run has a seed of its own, or the ledger would say "replayed".
load() {
    local count=$1
    shift
    runs=$((runs + 1))
    ctl --quiet --json bench --pid "$daemon" --accounts "$accounts" --zipf 0 --seed "$((runs * 1000))" \
        --connections 64 --batch 64 --entries "$count" "$@" >"$dir/result.json"
    entries=$(curl -s "$url/checkpoint" | sed -n 2p)
}

# To a request of each connection less than asked for: fewer entries would make no whole request.
fill() {
    while [ "$((entries + 64 * 64))" -lt "$1" ]; do
        local left=$(($1 - entries))
        load "$((left < chunk ? left : chunk))" --format binary
        printf '\r%s of %s entries ' "$entries" "$1" >&2
    done
    printf '\n' >&2
}

# ready: starts the node; milliseconds until it is ready for writes.
ready() {
    local began
    began=$(date +%s%N)
    start
    took=$((($(date +%s%N) - began) / 1000000))
}

rate() { sed -n 's/.*"entries_per_second": \([0-9]*\).*/\1/p' "$dir/result.json"; }
p99_us() { sed -n '/"request_ms"/,/}/s/.*"p99": \([0-9.]*\).*/\1/p' "$dir/result.json" | awk '{ printf "%d\n", $1 * 1000 }'; }

# beside: a node of its own, thrown away again, that has 100,000 entries and takes as many more as the
# large one does in a measured run.
beside() (
    trap 'stop; rm -rf "$dir"' EXIT
    PORT=$((port + 10)) dir=
    . scripts/node.sh
    settings macronode
    start
    load "$small" --format binary
    load "$measured" --uuid v4
    rate
)

median() { sort -n | awk '{ all[NR] = $1 } END { printf "%d", all[int((NR + 1) / 2)] }'; }

settings macronode
start
printf '| entries | accounts | entries/s at 100,000 | random ids | of that | ordered ids | random of ordered | request p99, ms | memory, most, MiB | bytes an entry on disk, logs among them | ready after a stop, ms | after kill -9, ms |\n'
for ((size = 1000000; size <= entries_max; size *= 10)); do
    fill "$size"
    : >"$dir/small" && : >"$dir/v4" && : >"$dir/ordered" && : >"$dir/p99"
    for ((round = 0; round < rounds; round++)); do
        beside >>"$dir/small"
        for ids in v4 ordered; do
            load "$measured" --uuid "$ids"
            rate >>"$dir/$ids"
            p99_us >>"$dir/p99"
        done
    done
    memory=$(($(status VmHWM) / 1024))
    stop
    disk=$(($(du -sb "$dir/data" | cut -f 1) / entries))
    ready
    stopped=$took
    ctl_start --quiet bench --seed "$((++runs * 1000))" --connections 64 --batch 64 --duration 60s
    client=$!
    sleep 4
    kill -9 "$daemon"
    wait "$daemon" 2>/dev/null || true
    kill "$client" 2>/dev/null || true
    wait "$client" 2>/dev/null || true
    ready
    few=$(median <"$dir/small") random=$(median <"$dir/v4") ordered=$(median <"$dir/ordered")
    awk -v size="$size" -v accounts="$accounts" -v few="$few" -v random="$random" -v ordered="$ordered" -v p99="$(median <"$dir/p99")" \
        -v memory="$memory" -v disk="$disk" -v stopped="$stopped" -v killed="$took" \
        'BEGIN { printf "| %d | %d | %d | %d | %.2f | %d | %.2f | %.1f | %d | %d | %d | %d |\n",
                 size, accounts, few, random, random / few, ordered, random / ordered, p99 / 1000,
                 memory, disk, stopped, killed }'
    entries=$(curl -s "$url/checkpoint" | sed -n 2p)
done
