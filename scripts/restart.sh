#!/usr/bin/env bash
# Measures how long a node takes from its start to ready for writes after a kill -9 under load, and
# where the time goes: a ledger of about so many entries, killed several times.
#
#   scripts/restart.sh [ENTRIES]
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/node.sh

entries=${1:-1000000}
seconds_max=2
settings macronode
start
ctl --quiet bench --connections 32 --batch 100 --entries "$entries" >/dev/null
worst=0
for kill in 1 2 3 4 5; do
    ctl_start --quiet bench --connections 64 --rate 5000 --duration 60s --seed "$((kill * 1000))"
    load=$!
    sleep "$((kill + 1))"
    kill -9 "$daemon"
    wait "$daemon" 2>/dev/null || true
    kill "$load" 2>/dev/null || true
    wait "$load" 2>/dev/null || true
    began=$(date +%s%N)
    start
    took=$((($(date +%s%N) - began) / 1000000))
    [ "$took" -le "$worst" ] || worst=$took
    said=$(grep 'the log is verified' "$dir/log" |
        grep -o '"\(head\|filter_behind\|filter_ms\|replayed\|replay_ms\)":[0-9]*' | tr -d '"' | tr '\n' ' ')
    opened=$(grep -E '(truth|derived data) is open"' "$dir/log" |
        sed -E 's/.*"message":"(truth|derived).*"millis":([0-9]+).*/\1_ms:\2/;s/.*"millis":([0-9]+).*"message":"(truth|derived).*/\2_ms:\1/' |
        tr '\n' ' ')
    printf 'kill %d: ready after %d ms, %d ms of CPU; %s%s\n' "$kill" "$took" "$(cpu_ms)" "$opened" "$said"
done
printf 'worst: %d ms\n' "$worst"
[ "$worst" -le "$((seconds_max * 1000))" ] || { echo "restart: over $seconds_max s" >&2; exit 1; }
