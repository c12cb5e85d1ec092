#!/usr/bin/env bash
# Offers a node ten times what it takes, by an open loop on the same machine: once above
# limits.requests_per_second, once with short queues and no such limit. Ends with a verdict: refusals
# say when to come again, memory is bounded, what is accepted is quick, what was acknowledged is there
# once, and right after it half the rate passes without a refusal.
#
#   scripts/overload.sh [SECONDS]        RATE (12000), LIMIT (1200), P99_MS_MAX (150), RSS_MIB_MAX (600)
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/node.sh

seconds=${1:-30}
rate=${RATE:-12000}
limit=${LIMIT:-1200}
p99_ms_max=${P99_MS_MAX:-150}
rss_mib_max=${RSS_MIB_MAX:-600}
failed=

# value NAME FILE: the first value of that name in a JSON report.
value() { grep -m1 "\"$1\":" "$2" | tr -cd '0-9.'; }

expect() {
    if awk "BEGIN { exit !($2 $3 $4) }"; then printf '  ok    %s: %s %s %s\n' "$1" "$2" "$3" "$4"; else
        printf '  WRONG %s: %s, not %s %s\n' "$1" "$2" "$3" "$4"
        failed=1
    fi
}

# Only new value, so that no entry depends on one that was refused.
offer() { ctl --quiet --json bench --mix mint=1 --batch 16 --verify "$@"; }

show() {
    grep -A10 '"requests"' "$1" | tr -d '\n ,"' | sed 's/:{/: /; s/[a-z_]*:[0-9]*/& /g; s/}.*//'
    printf '\n'
    for since in accepted_ms accepted_sent_ms; do
        printf '  %s: %s\n' "$since" \
            "$(grep -A5 "\"$since\"" "$1" | tail -n +2 | tr -d '" \n' | tr , ' ')"
    done
    printf '  CPU, s: client %s, ledger %s\n' "$(value client_cpu_seconds "$1")" "$(value cpu_seconds "$1")"
}

# overload CONNECTIONS SETTINGS...
overload() {
    local connections=$1
    shift
    printf '\n== %s requests/s of 16 for %s s over %s connections; %s\n' "$rate" "$seconds" "$connections" "$*"
    settings macronode telemetry.log=warn,ron_ledger::app=info "$@"
    start
    offer --connections "$connections" --rate "$rate" --duration "${seconds}s" >"$dir/flood.json"
    show "$dir/flood.json"
    expect 'refused (429 + 503 + 504)' \
        "$(value busy "$dir/flood.json") + $(value unavailable "$dir/flood.json") + $(value late "$dir/flood.json")" '>' 0
    expect 'refusals without Retry-After' "$(value without_retry_after "$dir/flood.json")" == 0
    expect 'lost' "$(value lost "$dir/flood.json")" == 0
    expect 'doubled' "$(value doubled "$dir/flood.json")" == 0
    printf '  acknowledged %s, present %s\n' \
        "$(value acknowledged "$dir/flood.json")" "$(value present "$dir/flood.json")"
    expect 'peak memory, MiB' "$(($(status VmHWM) / 1024))" '<=' "$rss_mib_max"
    offer --connections 16 --rate "$((limit / 2))" --duration 5s --seed 100000 >"$dir/after.json"
    expect 'refused right after' "$(value busy "$dir/after.json")" == 0
    expect 'not answered with 200 right after' \
        "$(value planned "$dir/after.json") - $(value ok "$dir/after.json")" == 0
}

overload 256 limits.requests_per_second="$limit"
# Of what is sent: on one machine with its generator, the wait for the generator is no work of the node.
p99=$(grep -A4 '"accepted_sent_ms"' "$dir/flood.json" | sed -n 's/.*"p99": \([0-9.]*\).*/\1/p')
expect 'p99 of the accepted since sent, ms' "$p99" '<=' "$p99_ms_max"
stop
rm -rf "$dir/data"
overload 2000 limits.inflight_requests=512 queues.ingress=256 queues.prevalidator=256 queues.commit=256
stop
[ -z "$failed" ] || { echo 'overload: not as it should be' >&2; exit 1; }
