#!/usr/bin/env bash
# Measures latency under a load that lasts: what a node carries for some minutes, as fast as it goes, with reads of
# each kind at that load; then, on another one that eight million entries were filled into in one go, half of that
# rate by a constant schedule for as long, while what the fill has left is merged, beside a probe of the bare disk.
# What is captured, released and reversed is any entry of the run, however old.
#
#   scripts/steady.sh [SECONDS]                   300 by default
#   BATCH=256 CONNECTIONS=128 scripts/steady.sh   in larger requests
#   RATE=1900 scripts/steady.sh                   the second part alone, with so many requests a second
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/node.sh

seconds=${1:-300}
batch=${BATCH:-64}
load=(--quiet bench --connections "${CONNECTIONS:-64}" --batch "$batch")
# Requests are made before the first is sent, as far as they find room in memory: a generator that works meanwhile
# takes half a core.
made_max=40000000

commits() {
    curl --silent "$metrics_url/metrics" | awk '$1 == "ledger_commit_latency_seconds_count" { print $2 }'
}

# offer FILE OPTIONS...: load in the background, as `client`; returns when the first of it is committed.
offer() {
    local before file=$1
    shift
    before=$(commits)
    ctl "${load[@]}" --pid "$daemon" --data-dir "$dir/data" "$@" >"$file" &
    client=$!
    while [ "$(commits)" = "$before" ]; do
        kill -0 "$client" 2>/dev/null || exit 1
        sleep 0.2
    done
}

settings macronode
start
if [ -z "${RATE:-}" ]; then
    offer "$dir/sustained" --duration "${seconds}s" --entries "$made_max"
    sleep "$((seconds / 3))"
    scripts/probe.py reads "$url" "$dir/token" 8 >"$dir/reads"
    wait "$client"
    printf 'sustained for %d s:\n' "$seconds"
    cat "$dir/sustained"
    printf '\nreads at that load, ms:\n'
    cat "$dir/reads"
    stop
    rm -rf "$dir/data" "$dir/keyring" "$dir/signing"
    settings macronode
    start
fi
rate=${RATE:-$(awk '$1 == "requests/s" { printf "%d", $2 / 2 }' "$dir/sustained")}

printf '\na fill of 8,000,000 entries:\n'
ctl "${load[@]}" --pid "$daemon" --entries 8000000 | grep entries/s
printf '\nby a constant schedule, %d requests/s for %d s:\n' "$rate" "$seconds"
entries=$((rate * seconds * batch))
offer "$dir/half" --rate "$rate" --duration "${seconds}s" \
    --entries $((entries < made_max ? entries : made_max)) --seed 100000
scripts/probe.py fsync "$dir" "$seconds" >"$dir/probe"
wait "$client"
cat "$dir/half"
printf '\nthe disk beside it, ms:\n'
cat "$dir/probe"
