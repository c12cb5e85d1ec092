#!/usr/bin/env bash
# Measures backup and restore on one node: a ledger of so many entries, p99 of commits under a steady load
# before and during a snapshot, in one run; then the machine is lost (kill -9), and the ledger is made
# again of snapshot and archive, with the same root. Ends with a verdict.
#
#   scripts/backup.sh [ENTRIES]        RATE (300 requests/s of 16), SECONDS_EACH (20), RTO_MAX (900)
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/node.sh

entries=${1:-1000000}
rate=${RATE:-300}
seconds=${SECONDS_EACH:-20}
rto_max=${RTO_MAX:-900}
failed=

expect() {
    if [ "$2" == "$3" ]; then printf '  ok    %s: %s\n' "$1" "$2"; else
        printf '  WRONG %s: %s, not %s\n' "$1" "$2" "$3"
        failed=1
    fi
}

# field NAME: the first value of that name in the JSON on stdin.
field() { grep -m1 "\"$1\":" | sed 's/^[^:]*: *//; s/[",]//g'; }

# load SEED SECONDS: p99 of what was accepted, in ms.
load() {
    ctl --quiet --json bench --mix mint=1 --batch 16 --connections 32 --rate "$rate" --duration "$2s" --seed "$1" \
        >"$dir/load.$1.json"
    grep -A5 '"accepted_ms"' "$dir/load.$1.json" | field p99
}

head_seq() { curl -fsS "$metrics_url/metrics" | awk '$1 == "ledger_published_size" { print $2 }'; }

settings macronode uds.path="$dir/socket" archive.url="file://$dir/archive" archive.interval=30s
start
vkey=$(curl -fsS "$url/version" | tr ",{}" "\n\n\n" | field verifier_key)
printf 'filling the ledger with %s entries\n' "$entries"
ctl --quiet bench --mix mint=1 --connections 32 --batch 100 --entries "$entries" >/dev/null

before=$(load 1000001 "$seconds")
(
    # In the middle of the load that is measured.
    sleep 2
    began=$(date +%s%N)
    ctl --quiet --json --socket "$dir/socket" snapshot create --out "$dir/one.tar.zst" --vkey "$vkey" >"$dir/made.json"
    echo $((($(date +%s%N) - began) / 1000000)) >"$dir/made.ms"
) &
making=$!
during=$(load 1000002 "$seconds")
wait "$making"
after=$(load 1000003 "$seconds")
printf 'p99 of commits, ms: %s before, %s during, %s after a snapshot of %s entries in %s ms, %s bytes packed\n' \
    "$before" "$during" "$after" "$(field entries <"$dir/made.json")" "$(cat "$dir/made.ms")" \
    "$(stat -c %s "$dir/one.tar.zst")"

# What is in the archive when the machine is lost, in the middle of an interval.
ctl_start --quiet bench --mix mint=1 --batch 16 --connections 16 --rate "$rate" --duration 120s --seed 1000004
busy=$!
sleep 45
lag=$(curl -fsS "$metrics_url/metrics" | awk '$1 == "archive_lag_seconds" { print $2 }')
at_loss=$(head_seq)
kill -9 "$daemon"
wait "$daemon" 2>/dev/null || true
kill "$busy" 2>/dev/null || true
wait "$busy" 2>/dev/null || true
archived=$("$programs/ron-ledgerctl" --json archive status --url "file://$dir/archive" --vkey "$vkey" | field entries)
printf 'lost machine: %s entries published, %s archived, the oldest that is missing waited %s s\n' \
    "$at_loss" "$archived" "$lag"

began=$(date +%s%N)
"$programs/ron-ledgerctl" --quiet --json snapshot restore --in "$dir/one.tar.zst" \
    --archive "file://$dir/archive" --vkey "$vkey" --data-dir "$dir/restored" >"$dir/restored.json"
restored_ms=$((($(date +%s%N) - began) / 1000000))
expect 'entries restored' "$(field entries <"$dir/restored.json")" "$archived"
expect 'takes writes' "$(field takes_writes <"$dir/restored.json")" true
expect 'each is proven' "$(field is_proven <"$dir/restored.json")" true
root=$(field root <"$dir/restored.json")
# The old directory has every root that was signed.
mv "$dir/data" "$dir/lost"
mv "$dir/restored" "$dir/data"
start
expect 'root at that size after the start' \
    "$(curl -fsS "$url/roots?since=$((archived - 1))&limit=1" | tr '{},' '\n' | field root)" "$root"
stop
rto_ms=$((($(date +%s%N) - began) / 1000000))
mv "$dir/data" "$dir/restored"
mv "$dir/lost" "$dir/data"
start
expect 'root at that size on the old disk' \
    "$(curl -fsS "$url/roots?since=$((archived - 1))&limit=1" | tr '{},' '\n' | field root)" "$root"
printf 'restored in %s ms, serving after %s ms\n' "$restored_ms" "$rto_ms"
[ "$rto_ms" -le $((rto_max * 1000)) ] || { echo "backup: over $rto_max s" >&2; failed=1; }
awk "BEGIN { exit !($lag <= 60) }" || { echo 'backup: more than a minute is not archived' >&2; failed=1; }
[ -z "$failed" ] || { echo 'backup: not as it should be' >&2; exit 1; }
