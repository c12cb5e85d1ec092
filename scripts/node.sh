# To be sourced: one throw-away node of the release build in a directory of its own, for scripts that
# measure. `settings PROFILE` writes its configuration, `start` runs it until it is ready, `stop` ends it.
# shellcheck shell=bash

programs=${CARGO_TARGET_DIR:-target}/release
port=${PORT:-5182}
url=http://127.0.0.1:$port
metrics_url=http://127.0.0.1:$((port + 1))
# On the disk that the checkout is on: a file system in memory would not fsync.
dir=$(mktemp -d "$PWD/dev-node.XXXXXX")
daemon=
trap 'stop; rm -rf "$dir"' EXIT

stop() {
    [ -z "$daemon" ] || { kill -TERM "$daemon" && wait "$daemon"; } 2>/dev/null || true
    daemon=
}

# settings PROFILE [SECTION.KEY=VALUE...]: those in addition go to the command line.
settings() {
    cat >"$dir/node.toml" <<TOML
profile = "$1"
[node]
environment = "dev"
data_dir = "$dir/data"
origin = "localhost/bench"
[http]
api_addr = "127.0.0.1:$port"
metrics_addr = "127.0.0.1:$((port + 1))"
[memory]
max_bytes = "4GiB"
[capabilities]
keyring_dir = "$dir/keyring"
signing_dir = "$dir/signing"
[governance]
reversible_bridges = "allow"
[keys]
dev = true
TOML
    shift
    more=()
    for setting in "$@"; do more+=(--set "$setting"); done
    "$programs/ron-ledgerctl" init --dev --config "$dir/node.toml" >/dev/null
}

# Returns when it is ready for writes.
start() {
    : >"$dir/log"
    "$programs/ron-ledgerd" --config "$dir/node.toml" "${more[@]}" 2>>"$dir/log" &
    daemon=$!
    for ((try = 0; try < 6000; try++)); do
        ! grep -q 'ready=1' "$dir/log" || return 0
        kill -0 "$daemon" 2>/dev/null || break
        sleep 0.005
    done
    cat "$dir/log" >&2
    exit 1
}

ctl() {
    "$programs/ron-ledgerctl" --url "$url" --metrics-url "$metrics_url" --token-file "$dir/token" "$@"
}

# The same in the background, as the process itself: to kill `ctl ... &` would kill the shell around it,
# and leave a client that offers load to the next life.
ctl_start() {
    "$programs/ron-ledgerctl" --url "$url" --metrics-url "$metrics_url" --token-file "$dir/token" "$@" \
        >/dev/null 2>&1 &
}

# status FIELD: a number of the daemon's /proc status, in KiB.
status() { awk -v field="$1:" '$1 == field { print $2 }' "/proc/$daemon/status"; }

# The CPU that the daemon has used, in ms.
cpu_ms() { awk -v tick="$(getconf CLK_TCK)" '{ printf "%d", ($14 + $15) * 1000 / tick }' "/proc/$daemon/stat"; }
