#!/usr/bin/env bash
# Measures the release build over real HTTP: a fresh node in a directory of its own, the load of
# `ron-ledgerctl bench`, and the node thrown away again.
#
#   scripts/bench.sh                              the standard set of docs/PERFORMANCE.md
#   scripts/bench.sh macronode --batch 64 ...     one run, with the options of `ron-ledgerctl bench`
set -euo pipefail
cd "$(dirname "$0")/.."

programs=${CARGO_TARGET_DIR:-target}/release
# On the disk that the checkout is on: a file system in memory would not fsync.
dir=$(mktemp -d "$PWD/dev-bench.XXXXXX")
daemon=
trap 'stop; rm -rf "$dir"' EXIT

stop() {
    [ -z "$daemon" ] || { kill -TERM "$daemon" && wait "$daemon"; } 2>/dev/null || true
    daemon=
}

start() {
    cat >"$dir/node.toml" <<TOML
profile = "$1"
[node]
environment = "dev"
data_dir = "$dir/data"
origin = "localhost/bench"
[http]
api_addr = "127.0.0.1:5182"
metrics_addr = "127.0.0.1:9919"
[memory]
max_bytes = "4GiB"
[capabilities]
keyring_dir = "$dir/keyring"
signing_dir = "$dir/signing"
[governance]
reversible_bridges = "allow"
[telemetry]
log = "warn"
[keys]
dev = true
TOML
    "$programs/ron-ledgerctl" init --dev --config "$dir/node.toml" >/dev/null
    "$programs/ron-ledgerd" --config "$dir/node.toml" 2>"$dir/log" &
    daemon=$!
    for ((tenth = 0; tenth < 300; tenth++)); do
        ! (exec 3<>/dev/tcp/127.0.0.1/5182) 2>/dev/null || return 0
        sleep 0.1
    done
    cat "$dir/log" >&2
    exit 1
}

# run PROFILE OPTIONS...: a fresh node each time, so that no run stands on what another one left.
run() {
    local profile=$1
    shift
    printf '\n== %s %s\n' "$profile" "$*"
    start "$profile"
    "$programs/ron-ledgerctl" --url http://127.0.0.1:5182 --metrics-url http://127.0.0.1:9919 \
        --token-file "$dir/token" bench "$@"
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
