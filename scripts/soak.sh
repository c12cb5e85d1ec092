#!/usr/bin/env bash
# Mixed load at a constant rate for long, reads meanwhile, and a restart now and then: kill -9 or
# SIGTERM, by chance. Samples memory and open files every 10 s into a CSV, and ends with a verdict: what
# was acknowledged against what is there, no gap, memory and files flat over the lives.
#
#   scripts/soak.sh [MINUTES]            RATE (100), BATCH (8), LIFE_SECONDS_MAX (120), SEED (1)
#                                        CSV (dev-soak.csv)
# A day: RATE=20 BATCH=4 LIFE_SECONDS_MAX=3600 scripts/soak.sh 1440
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/node.sh

minutes=${1:-30}
rate=${RATE:-100}
batch=${BATCH:-8}
life_max=${LIFE_SECONDS_MAX:-120}
csv=${CSV:-dev-soak.csv}
RANDOM=${SEED:-1}
kills=0
stops=0
slowest=0

settings macronode
start
echo 'second,life,age_seconds,rss_kib,fds,head' >"$csv"
began=$SECONDS
ends=$((SECONDS + minutes * 60))
ctl --quiet --json bench --connections 16 --batch "$batch" --rate "$rate" --duration "${minutes}m" --verify \
    >"$dir/report.json" 2>"$dir/report.err" &
load=$!
trap 'kill "$load" 2>/dev/null || true; stop; rm -rf "$dir"' EXIT

sample() {
    local fds head
    fds=$(find "/proc/$daemon/fd" -mindepth 1 | wc -l)
    head=$(ctl --quiet --json status 2>/dev/null | grep -m1 '"head_seq"' | tr -cd 0-9) || true
    echo "$((SECONDS - began)),$life,$((SECONDS - born)),$(status VmRSS),$fds,${head:-}" >>"$csv"
}

# Reads of every kind, beside the writes.
reads() {
    ctl --quiet supply && ctl --quiet checkpoint && ctl --quiet roots && ctl --quiet entry 1
} >/dev/null 2>&1

life=1
born=$SECONDS
next=$((SECONDS + 10 + RANDOM % life_max))
while [ "$SECONDS" -lt "$ends" ]; do
    for ((second = 0; second < 10 && SECONDS < ends; second++)); do
        # One that fails finds a ledger that is empty yet, or that was just killed.
        reads || true
        sleep 1
    done
    sample
    # None at the very end: the last life is the one that is read back.
    if [ "$SECONDS" -ge "$next" ] && [ "$((ends - SECONDS))" -gt 15 ]; then
        if [ $((RANDOM % 2)) -eq 0 ]; then
            kill -9 "$daemon"
            kills=$((kills + 1))
        else
            kill -TERM "$daemon"
            stops=$((stops + 1))
        fi
        wait "$daemon" 2>/dev/null || true
        from=$(date +%s%N)
        start
        took=$((($(date +%s%N) - from) / 1000000))
        [ "$took" -le "$slowest" ] || slowest=$took
        life=$((life + 1))
        born=$SECONDS
        next=$((SECONDS + 10 + RANDOM % life_max))
    fi
done
verdict=0
wait "$load" || verdict=$?
grep -A12 '"requests"\|"audit"' "$dir/report.json" || cat "$dir/report.err"
printf 'lives %d: %d kill -9, %d SIGTERM; slowest start %d ms; samples in %s\n' \
    "$life" "$kills" "$stops" "$slowest" "$csv"
# Straight lines through the samples that are at least 20 s into a life: caches are warm by then.
awk -F, 'NR > 1 && $3 >= 20 { n++; x += $1; y += $4; z += $5; xx += $1 * $1; xy += $1 * $4; xz += $1 * $5
        if ($4 > top) top = $4; if ($5 > files) files = $5 }
    END { d = n * xx - x * x
        if (n < 3 || d == 0) { print "too few samples for a slope"; exit }
        rss = (n * xy - x * y) / d * 60; fds = (n * xz - x * z) / d * 60
        printf "memory: %+.1f KiB/min, at most %d MiB; open files: %+.2f/min, at most %d\n",
            rss, top / 1024, fds, files }' "$csv"
[ "$verdict" -eq 0 ] && echo 'soak: the ledger kept its word' || { echo 'soak: FAILED' >&2; exit 1; }
