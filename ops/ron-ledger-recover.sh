#!/usr/bin/env bash
# Restarts a ledger whose trouble a restart ends, and verifies that it has ended: RUNBOOK.md, "Safe-mode".
# Refuses, and touches nothing, where a restart does not help or would do harm.
#
#   ron-ledger-recover.sh [--dry-run]
#
# Exit codes: 0 recovered, or nothing to do; 1 restarted and still not well; 2 refused, nothing was touched.
# In the environment, with what the shipped configuration has: UNIT, API_URL, METRICS_URL, DATA_DIR, KEEP_DIR
# (where the answers from before are kept), VKEY (the ledger's verifier key, or a file with it: proves that the
# log has only grown), FREE_PERCENT_MIN, WAIT_SECONDS, SYSTEMCTL, CTL.
set -euo pipefail

unit=${UNIT:-ron-ledger}
api_url=${API_URL:-http://127.0.0.1:5082}
metrics_url=${METRICS_URL:-http://127.0.0.1:9909}
data_dir=${DATA_DIR:-/var/lib/ron-ledger}
keep_dir=${KEEP_DIR:-/var/tmp/ron-ledger-recover-$(date -u +%Y%m%dT%H%M%SZ)}
wait_seconds=${WAIT_SECONDS:-120}
systemctl=${SYSTEMCTL:-systemctl}
ctl=${CTL:-ron-ledgerctl}
free_percent_min=${FREE_PERCENT_MIN:-10}

step() { printf '[recover] %s\n' "$*"; }

refuse() {
    printf '[recover] REFUSED: %s\n' "$*" >&2
    printf '[recover] nothing was touched\n' >&2
    exit 2
}

fail() {
    printf '[recover] NOT RECOVERED: %s\n' "$*" >&2
    printf '[recover] what it said before is in %s\n' "$keep_dir" >&2
    exit 1
}

# look URL: the answer, whatever its status; empty when there is none.
look() { curl --silent --max-time 5 "$1" || true; }

# text NAME, number NAME: a field of the JSON on standard input.
text() { sed -n 's/.*"'"$1"'":"\(\([^"\\]\|\\.\)*\)".*/\1/p'; }
number() { sed -n 's/.*"'"$1"'":\([0-9][0-9]*\).*/\1/p'; }

# metric NAME: a series without labels.
metric() { look "$metrics_url/metrics" | sed -n "s/^$1 //p"; }

# May it be restarted in this mode? Says why not.
judge() {
    case $1 in
        '') step 'it does not answer: it is started again' ;;
        'safe_mode: write_unknown' | 'safe_mode: committer_crashed')
            step "a restart verifies the store and ends this: $1" ;;
        'safe_mode: recovering' | 'safe_mode: checking')
            refuse "$1: it verifies its store, wait (RUNBOOK.md, Safe-mode)" ;;
        'safe_mode: operator' | frozen | maintenance)
            refuse "$1: an operator has ordered it, and it outlives a restart: ron-ledgerctl safe-mode status" ;;
        safe_mode:*)
            refuse "$1: a restart does not end it, the store itself is in doubt: copy $data_dir (RUNBOOK.md, Safe-mode)" ;;
        ready) refuse "it takes writes; what is wrong needs no restart: ${2:-unknown} (RUNBOOK.md, Health)" ;;
        draining) refuse 'it is stopping: wait' ;;
        *) refuse "unknown mode $1" ;;
    esac
}

dry_run=
[ "${1:-}" != --dry-run ] || dry_run=1
[ -n "$dry_run" ] || [ $# -eq 0 ] || { printf 'usage: %s [--dry-run]\n' "$0" >&2; exit 2; }

step "1. what does it say? $metrics_url/readyz"
before=$(look "$metrics_url/readyz")
mode=$(text mode <<<"$before")
reason=$(text reason <<<"$before")
step "   mode: ${mode:-no answer}; reason: ${reason:-none}"
if [ "$mode" = ready ] && [[ $before == *'"ready":true'* && $before == *'"degraded":false'* ]]; then
    step 'it is well: nothing to do'
    exit 0
fi
judge "$mode" "$reason"
profile=$(look "$metrics_url/version" | text profile)
[ "$profile" != micronode ] || refuse 'a micronode has its ledger in memory: a restart would delete it'
gaps=$(metric ledger_seq_gap_detected_total)
[ "${gaps:-0}" = 0 ] || refuse "$gaps gaps were found in the log: RUNBOOK.md, A gap"

step "2. is there room? $data_dir"
used=$(df --output=pcent "$data_dir" | tr -dc '0-9')
step "   $used % in use"
[ "$used" -le $((100 - free_percent_min)) ] ||
    refuse "less than $free_percent_min % are free: free space first, then run this again"

step "3. keep what it says: $keep_dir"
if [ -z "$dry_run" ]; then
    (umask 077 && mkdir -p "$keep_dir")
    printf '%s\n' "$before" >"$keep_dir/readyz.json"
    look "$metrics_url/metrics" >"$keep_dir/metrics.txt"
    # Of a ledger that does not answer an older one, where it was kept, has to do.
    if "$ctl" --url "$api_url" checkpoint >"$keep_dir/checkpoint.part" 2>/dev/null; then
        mv "$keep_dir/checkpoint.part" "$keep_dir/checkpoint.note"
    fi
fi
size=$(number published_size <<<"$before")
step "   published: ${size:-unknown}"

if [ -n "$dry_run" ]; then
    step 'this was a dry run: it would be restarted now'
    exit 0
fi
step "4. stop: $systemctl stop $unit"
"$systemctl" stop "$unit"
step "5. start: $systemctl start $unit"
"$systemctl" reset-failed "$unit" || true
"$systemctl" start "$unit" || fail "$systemctl start $unit: the last line of its log says why"

step "6. wait until it takes writes, at most $wait_seconds s"
for ((second = 0; ; second++)); do
    after=$(look "$metrics_url/readyz")
    [[ $after != *'"ready":true'* ]] || break
    [ "$second" -lt "$wait_seconds" ] ||
        fail "mode: $(text mode <<<"$after"); reason: $(text reason <<<"$after")"
    sleep 1
done

step '7. is the log whole?'
gaps=$(metric ledger_seq_gap_detected_total)
[ "$gaps" = 0 ] || fail "ledger_seq_gap_detected_total is ${gaps:-not there}"
[ "$(metric ledger_safe_mode)" = 0 ] || fail 'ledger_safe_mode is not 0'
now=$(number published_size <<<"$after")
step "   no gaps; published: $now, before: ${size:-unknown}"
[ "$now" -ge "${size:-0}" ] || fail 'it has published more before'
if [ -n "${VKEY:-}" ] && [ -s "$keep_dir/checkpoint.note" ]; then
    "$ctl" --url "$api_url" proof consistency --since "$keep_dir/checkpoint.note" --vkey "$VKEY" >/dev/null ||
        fail 'the log does not begin with what was published before: RUNBOOK.md, An incident'
    step '   the log begins with what was published before: proven'
else
    step '   that it begins with what was published before is not proven: no VKEY, or no checkpoint'
fi
step 'recovered'
