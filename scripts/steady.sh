#!/usr/bin/env bash
# Measures latency under a load that lasts: what a node carries over eight million entries, reads of each kind at
# that load, then half of it by a constant schedule for some minutes, beside a probe of the bare disk. What is
# captured, released and reversed is any entry of the run, however old.
#
#   scripts/steady.sh [SECONDS]                   300 by default
#   BATCH=256 CONNECTIONS=128 scripts/steady.sh   in larger requests
#   RATE=1900 scripts/steady.sh                   so many requests a second in place of half of the first part's
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/node.sh

seconds=${1:-300}
load=(--quiet bench --connections "${CONNECTIONS:-64}" --batch "${BATCH:-64}")
settings macronode
start
printf 'sustained over 8,000,000 entries:\n'
ctl "${load[@]}" --pid "$daemon" --entries 8000000 | tee "$dir/sustained"
rate=${RATE:-$(awk '$1 == "requests/s" { printf "%d", $2 / 2 }' "$dir/sustained")}

printf '\nreads at that load, ms:\n'
ctl_start "${load[@]}" --entries 3000000 --seed 5000
client=$!
# The requests are made before the first is sent.
sleep 12
scripts/probe.py reads "$url" "$dir/token" 8
wait "$client"

printf '\nby a constant schedule, %d requests/s for %d s:\n' "$rate" "$seconds"
# All requests are made before the first is sent: a generator that works meanwhile takes half a core.
entries=$((rate * seconds * ${BATCH:-64}))
ctl "${load[@]}" --pid "$daemon" --data-dir "$dir/data" --rate "$rate" --duration "${seconds}s" \
    --entries $((entries < 40000000 ? entries : 40000000)) --seed 100000 >"$dir/half" &
client=$!
commits() {
    curl --silent "$metrics_url/metrics" | awk '$1 == "ledger_commit_latency_seconds_count" { print $2 }'
}
before=$(commits)
while [ "$(commits)" = "$before" ]; do
    kill -0 "$client" 2>/dev/null || exit 1
    sleep 0.2
done
scripts/probe.py fsync "$dir" "$seconds" >"$dir/probe"
wait "$client"
cat "$dir/half"
printf '\nthe disk beside it, ms:\n'
cat "$dir/probe"
