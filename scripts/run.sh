#!/usr/bin/env bash
# Runs a development node from the release build: keys and data under ./dev, a sample workload once it
# is ready, then its log until Ctrl-C. Ends with the daemon's exit code.
set -euo pipefail
cd "$(dirname "$0")/.."

config=configs/ledger.dev.toml
log=dev/ron-ledgerd.log
ready_seconds_max=60
programs=${CARGO_TARGET_DIR:-target}/release
daemon=
started=
demo=
stopping=

bold='' plain=''
[ ! -t 1 ] || bold=$'\033[1m' plain=$'\033[0m'
say() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }
fail() {
    printf '\nrun: %s\n' "$*" >&2
    [ -n "$started" ] && [ -s "$log" ] && { printf 'run: the end of %s:\n' "$log"; tail -n 20 "$log"; } >&2
    exit 1
}

# Without curl: is the answer of the readiness probe a 200?
ready() {
    (
        exec 3<>/dev/tcp/127.0.0.1/9909
        printf 'GET /readyz HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n' >&3
        IFS=' ' read -r -t 2 _ status _ <&3 && [ "$status" = 200 ]
    ) 2>/dev/null
}

port_taken() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# Passes the signal on; what waits then goes on waiting until the drain has ended.
stop() {
    stopping=1
    [ -z "$demo" ] || kill -TERM "$demo" 2>/dev/null || true
    [ -z "$daemon" ] || kill -TERM "$daemon" 2>/dev/null || true
}

# Waits for the daemon. A trapped signal ends `wait` early, so it is asked until the child is gone.
wait_for_exit() {
    local code=0
    while true; do
        code=0
        wait "$daemon" || code=$?
        kill -0 "$daemon" 2>/dev/null || break
    done
    daemon=
    return "$code"
}

for program in ron-ledgerd ron-ledgerctl; do
    [ -x "$programs/$program" ] || fail "$programs/$program is missing: make build"
done
for port in 5082 9909; do
    ! port_taken "$port" || fail \
        "port $port of 127.0.0.1 is taken: is another node running? Stop it and try again"
done

mkdir -p dev
chmod 700 dev
: >"$log"
# Makes what is missing and keeps what is there; a development token near its end is made anew.
"$programs/ron-ledgerctl" init --dev || fail "the development keys could not be made"

# Its own process group: Ctrl-C reaches this script alone, which then stops the daemon in order.
set -m
"$programs/ron-ledgerd" --config "$config" >>"$log" 2>&1 &
daemon=$!
started=1
set +m
trap stop INT TERM

for ((tenth = 0; tenth < ready_seconds_max * 10; tenth++)); do
    kill -0 "$daemon" 2>/dev/null && [ -z "$stopping" ] || break
    ! ready || break
    sleep 0.1
done
if [ -z "$stopping" ] && ! kill -0 "$daemon" 2>/dev/null; then
    code=0
    wait_for_exit || code=$?
    fail "ron-ledgerd ended with code $code before it was ready"
elif [ -z "$stopping" ] && ! ready; then
    stop
    wait_for_exit || true
    fail "ron-ledgerd was not ready after ${ready_seconds_max}s"
fi

if [ -z "$stopping" ]; then
    say "ron-ledgerd is ready: API http://127.0.0.1:5082, metrics http://127.0.0.1:9909/metrics"
    # In the background, so that a signal to this script is served at once.
    "$programs/ron-ledgerctl" demo &
    demo=$!
    wait "$demo" || [ -n "$stopping" ] ||
        printf 'run: the sample workload failed; the node goes on\n' >&2
    demo=
fi
[ -n "$stopping" ] || say "Serving until Ctrl-C. The log is $log."
code=0
wait_for_exit || code=$?
if [ "$code" -eq 0 ]; then
    say "ron-ledgerd has drained and stopped."
else
    printf '\nrun: ron-ledgerd ended with code %s\n' "$code" >&2
    tail -n 20 "$log" >&2
fi
exit "$code"
