#!/usr/bin/env bash
# Measures what a setting changes: for each, a fresh node with it and one without it, in turns, since a
# machine is not the same from minute to minute.
#
#   scripts/knobs.sh [SECTION.KEY=VALUE...]       a set of its own by default
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/node.sh

rounds=3 entries=1500000
knobs=("$@")
[ $# -gt 0 ] || knobs=(
    ledger.hash=blake3
    derived.flush_entries=50000
    rocksdb.block_cache_bytes=512MiB
    rocksdb.write_buffer_bytes=256MiB
    rocksdb.background_jobs=2
    commit.batch_max_entries=1024
    concurrency.prevalidators=1
    http.workers=1
)

# measure FILE [SETTING]: entries a second, p99 of requests and the most memory of a fresh node.
measure() {
    local file=$1
    shift
    settings macronode "$@"
    start
    ctl --quiet --json bench --pid "$daemon" --connections 64 --batch 64 --entries "$entries" >"$dir/result.json"
    python3 - "$dir/result.json" "$(status VmHWM)" >>"$file" <<'PY'
import json, sys
result = json.load(open(sys.argv[1]))
print(round(result["entries_per_second"]), result["request_ms"]["p99"], int(sys.argv[2]) // 1024)
PY
    stop
    rm -rf "$dir/data" "$dir/keyring" "$dir/signing"
}

# column N FILE: its median.
column() { awk -v n="$1" '{ print $n }' "$2" | sort -n | awk '{ all[NR] = $1 } END { print all[int((NR + 1) / 2)] }'; }

printf '| setting | entries/s | of the default | request p99, ms, beside the default | memory, most, MiB, beside the default |\n|---|---|---|---|---|\n'
for knob in "${knobs[@]}"; do
    : >"$dir/with" && : >"$dir/without"
    for ((round = 0; round < rounds; round++)); do
        measure "$dir/without"
        measure "$dir/with" "$knob"
    done
    awk -v knob="$knob" -v with="$(column 1 "$dir/with")" -v without="$(column 1 "$dir/without")" \
        -v p99="$(column 2 "$dir/with")" -v usual="$(column 2 "$dir/without")" \
        -v memory="$(column 3 "$dir/with")" -v less="$(column 3 "$dir/without")" \
        'BEGIN { printf "| `%s` | %d | %.2f | %.1f, %.1f | %d, %d |\n", knob, with, with / without, p99, usual, memory, less }'
done
