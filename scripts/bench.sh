#!/usr/bin/env bash
# Measures the release build over real HTTP: a fresh node in a directory of its own, the load of
# `ron-ledgerctl bench`, and the node thrown away again; then the engine alone, in a store of its own.
#
#   scripts/bench.sh                              the standard set; its tables in docs/PERFORMANCE.md are
#                                                 written anew
#   scripts/bench.sh macronode --batch 64 ...     one run, with the options of `ron-ledgerctl bench`
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/node.sh

# run PROFILE COMMAND...: a fresh node each time, so that no run stands on what another one left.
run() {
    local profile=$1
    shift
    settings "$profile"
    start
    "$@" --pid "$daemon"
    stop
    rm -rf "$dir/data"
}

# row PROFILE OPTIONS...: the same, its result kept for the table.
row() {
    local profile=$1
    shift
    printf '== %s %s\n' "$profile" "$*" >&2
    count=$((count + 1))
    run "$profile" ctl --quiet --json bench "$@" >"$(printf '%s/results/%02d-%s.json' "$dir" "$count" "$profile")"
}

# engine OPTIONS...: without a node.
engine() {
    printf '== engine %s\n' "$*" >&2
    count=$((count + 1))
    ctl --quiet --json bench --in-process --arms --rounds 3 --data-dir "$dir/engine" "$@" \
        >"$(printf '%s/results/%02d-engine.json' "$dir" "$count")"
}

if [ $# -gt 0 ]; then
    profile=$1
    shift
    run "$profile" ctl bench "$@"
    exit
fi

mkdir "$dir/results"
count=0
# Without postings, which are never split, and whose reversal is a request of its own: requests of one
# entry, and full batches.
plain=mint=5,burn=3,transfer=58,hold=12,capture=9,release=3
row macronode --connections 1 --batch 1 --entries 10000 --mix "$plain"
row macronode --connections 1 --batch 16 --entries 100000
row macronode --connections 64 --batch 1 --entries 150000 --mix "$plain"
row macronode --connections 64 --batch 16 --entries 1000000
row macronode --connections 64 --batch 64 --entries 2000000
row macronode --connections 256 --batch 16 --entries 1000000
row macronode --connections 32 --batch 1000 --entries 2000000 --mix "$plain"
row micronode --connections 64 --batch 8 --entries 1000000
# So many that what is left to be merged at the end counts for little.
for size in 64 512 8189; do
    engine --groups "$size" --entries 3000000
done
python3 scripts/bench_table.py docs/PERFORMANCE.md "$dir"/results/*.json
