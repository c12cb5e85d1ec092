#!/usr/bin/env bash
# Measures a node whose key service, policy guard and wallet are three processes of their own, over mTLS
# (tests/interop/upstream.py): ingest at so many ms of latency of each with tokens remembered, the same node
# with everything local, and, with all three breakers open, reads by a token that the key service vouched for.
#
#   scripts/upstreams.sh [LATENCY_MS]        CONNECTIONS (16), ENTRIES (60000), READS (2000), READ_MS_MAX (20)
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/node.sh

latency_ms=${1:-5}
connections=${CONNECTIONS:-16}
entries=${ENTRIES:-60000}
reads=${READS:-2000}
read_ms_max=${READ_MS_MAX:-20}
targets=(kms policy wallet)
stand_ins=()
trap 'stop; [ ${#stand_ins[@]} -eq 0 ] || kill "${stand_ins[@]}" 2>/dev/null || true; rm -rf "$dir"' EXIT

# An authority, and what it signs: one certificate for the stand-ins and one for the ledger.
certificates() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=authority \
        -keyout "$dir/ca.key" -out "$dir/ca.pem" 2>/dev/null
    for name in server client; do
        openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$name" \
            -keyout "$dir/$name.key" -out "$dir/$name.csr" 2>/dev/null
        openssl x509 -req -in "$dir/$name.csr" -CA "$dir/ca.pem" -CAkey "$dir/ca.key" -days 2 \
            -extfile <(printf 'subjectAltName=IP:127.0.0.1') -out "$dir/$name.pem" 2>/dev/null
        chmod 600 "$dir/$name.key"
    done
}

# stand_in TARGET: its orders go through a pipe, its port and answers come through a file.
stand_in() {
    mkfifo "$dir/$1.orders"
    python3 tests/interop/upstream.py --keyring "$dir/keyring" --cert "$dir/server.pem" \
        --key "$dir/server.key" --ca "$dir/ca.pem" <"$dir/$1.orders" >"$dir/$1.said" &
    stand_ins+=($!)
    exec {fd}>"$dir/$1.orders"
    orders[$1]=$fd
    until [ -s "$dir/$1.said" ]; do sleep 0.02; done
}
declare -A orders

order() {
    for target in "${targets[@]}"; do printf '%s\n' "$1" >&"${orders[$target]}"; done
    sleep 0.2
}

metric() { curl -s "$metrics_url/metrics" | awk -v name="$1" '$1 == name { print $2 }'; }

breakers() { for target in "${targets[@]}"; do metric "breaker_state{target=\"$target\"}"; done | tr '\n' ' '; }

# percentiles FILE: of times in seconds, one a line, in ms.
percentiles() {
    sort -n "$1" | awk '{ a[NR] = $1 * 1000 }
        END { printf "p50 %.1f ms, p99 %.1f ms, max %.1f ms of %d\n", a[int(NR * 0.5) + 1], a[int(NR * 0.99) + 1], a[NR], NR }'
}

load() { ctl --quiet bench --connections "$connections" --batch 16 --entries "$entries"; }

printf '== everything local\n'
settings macronode
start
load
stop
rm -rf "$dir/data"

certificates
remote=(upstream.ca_file="$dir/ca.pem" upstream.cert_file="$dir/client.pem" upstream.key_file="$dir/client.key")
for target in "${targets[@]}"; do
    stand_in "$target"
    remote+=("upstream.$target.mode=remote" "upstream.$target.url=https://127.0.0.1:$(head -1 "$dir/$target.said")/$target")
done
order "latency $latency_ms"
settings macronode "${remote[@]}"
printf '\n== key service, guard and wallet remote, %s ms each\n' "$latency_ms"
start
load
for target in "${targets[@]}"; do
    printf '  questions to %s: %s\n' "$target" "$(metric "upstream_calls_total{outcome=\"answered\",target=\"$target\"}")"
done

printf '\n== all three breakers open\n'
token=$(cat "$dir/token")
read_once() {
    curl -s -o /dev/null -w '%{http_code} %{time_total}\n' -H "authorization: bearer $token" "$@"
}
# One read with the key service there, so that it has vouched for the token.
read_once "$url/entries/1"
order 'status 500'
until [[ "$(breakers)" == '2 2 2 ' ]]; do
    ctl --quiet bench --connections 1 --batch 1 --entries 1 --mix mint=1 >/dev/null 2>&1 || true
    sleep 0.1
done
printf '  readyz: %s\n' "$(curl -s "$metrics_url/readyz" | tr ',' '\n' | grep -E '_ready|"ready"' | tr '\n' ' ')"
urls=()
for ((n = 0; n < reads / 4; n++)); do
    for path in entries/1 supply checkpoint 'roots?limit=1'; do urls+=(-o /dev/null "$url/$path"); done
done
curl -s -w '%{http_code} %{time_total}\n' -H "authorization: bearer $token" "${urls[@]}" >"$dir/reads"
awk '{ print $2 }' "$dir/reads" >"$dir/times"
printf '  reads: %s; not 200: %s; breakers after: %s\n' "$(percentiles "$dir/times")" \
    "$(awk '$1 != 200' "$dir/reads" | wc -l)" "$(breakers)"
since=$(date +%s%N)
order ok
until [[ "$(breakers)" == '0 0 0 ' ]]; do sleep 0.05; done
printf '  closed again %s ms after the services were back\n' $((($(date +%s%N) - since) / 1000000))
# Each of them, not one in a hundred: a read waits for no upstream.
slowest=$(sort -n "$dir/times" | tail -1)
awk -v most="$read_ms_max" -v slowest="$slowest" \
    '$1 != 200 { bad++ } END { exit bad > 0 || slowest * 1000 >= most }' "$dir/reads" ||
    { echo 'upstreams: a read failed, or they took too long' >&2; exit 1; }
