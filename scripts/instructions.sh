#!/usr/bin/env bash
# Counts the instructions of each step of the commit path under callgrind and holds them against
# benches/instructions.txt: a step that takes more than a tenth more fails. `--write` makes the counts the
# new baseline. Counts are of one compiler and one profile: write them anew after a change of either.
set -euo pipefail
cd "$(dirname "$0")/.."
export LC_ALL=C

baseline=benches/instructions.txt
command -v valgrind >/dev/null || { echo "valgrind is missing: scripts/setup.sh --checks" >&2; exit 1; }
program=$(${CARGO:-cargo} bench --locked --bench instructions --no-run --message-format json |
    sed -n 's/.*"executable":"\([^"]*instructions-[^"]*\)".*/\1/p' | tail -n 1)
counts=$(mktemp)
trap 'rm -f "$counts"' EXIT

for step in $("$program" list); do
    said=$(valgrind --tool=callgrind --callgrind-out-file=/dev/null --toggle-collect='*instructions::measured*' \
        "$program" "$step" 2>&1) || { printf '%s\n' "$said" >&2; exit 1; }
    count=$(sed -n 's/.*Collected : \([0-9]*\).*/\1/p' <<<"$said")
    [ -n "$count" ] || { printf '%s: nothing was counted\n%s\n' "$step" "$said" >&2; exit 1; }
    printf '%s %s\n' "$step" "$count" >>"$counts"
done

if [ "${1:-}" = --write ]; then
    cp "$counts" "$baseline"
    chmod 644 "$baseline"
fi
awk 'NR == FNR { before[$1] = $2; next }
    { change = before[$1] ? 100 * ($2 / before[$1] - 1) : 0
      printf "%-22s %12d  %+6.1f %%\n", $1, $2, change
      if (!before[$1] || change > 10) failed = 1 }
    END { if (failed) print "slower than benches/instructions.txt by more than a tenth, or not in it"; exit failed }' \
    "$baseline" "$counts"
