#!/usr/bin/env bash
# Measures the release build over real HTTP: a fresh node in a directory of its own, the load of
# `ron-ledgerctl bench`, and the node thrown away again.
#
#   scripts/bench.sh                              the standard set of docs/PERFORMANCE.md
#   scripts/bench.sh macronode --batch 64 ...     one run, with the options of `ron-ledgerctl bench`
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/node.sh

# run PROFILE OPTIONS...: a fresh node each time, so that no run stands on what another one left.
run() {
    local profile=$1
    shift
    printf '\n== %s %s\n' "$profile" "$*"
    settings "$profile"
    start
    ctl bench "$@"
    stop
    rm -rf "$dir/data"
}

if [ $# -gt 0 ]; then
    run "$@"
else
    run macronode --connections 64 --batch 16 --entries 400000
    run macronode --connections 256 --batch 16 --entries 400000
    # Without postings, whose reversal is a request of its own: full batches.
    run macronode --connections 32 --batch 1000 --entries 1000000 \
        --mix mint=5,burn=3,transfer=58,hold=12,capture=9,release=3
    run macronode --connections 1 --batch 16 --entries 20000
    run micronode --connections 64 --batch 8 --entries 400000
fi
