#!/usr/bin/env bash
# Fuzzes the parsers of bytes from outside, one target after the other:
#   scripts/fuzz.sh SECONDS [TARGET...]     SECONDS for each target; without targets, all of them
# Needs a nightly toolchain (FUZZ_TOOLCHAIN, "nightly") and cargo-fuzz. What is found stays in
# fuzz/corpus (inputs that reach new code) and fuzz/artifacts (inputs that broke a promise: the
# end is then an error). A finding is fixed, and its input kept in fuzz/seeds.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:?usage: scripts/fuzz.sh SECONDS [TARGET...]}
shift
toolchain=${FUZZ_TOOLCHAIN:-nightly}
command -v cargo-fuzz >/dev/null || {
    echo "cargo-fuzz is missing: cargo install --locked cargo-fuzz" >&2
    exit 1
}
cargo "+$toolchain" --version >/dev/null 2>&1 || {
    echo "the toolchain $toolchain is missing: rustup toolchain install nightly" >&2
    exit 1
}
targets=("$@")
[ "${#targets[@]}" -gt 0 ] || mapfile -t targets < <(sed -n 's/^name = "\(.*\)"$/\1/p' fuzz/Cargo.toml | tail -n +2)

cargo "+$toolchain" fuzz build --fuzz-dir fuzz
log=$(mktemp)
trap 'rm -f "$log"' EXIT
failed=0
printf '%-12s %12s %10s %10s %8s %s\n' target executions per_second coverage corpus result
for target in "${targets[@]}"; do
    corpus=fuzz/corpus/$target
    mkdir -p "$corpus"
    # Bodies, exports and configurations are longer than what the fuzzer tries by itself.
    result=ok
    cargo "+$toolchain" fuzz run --fuzz-dir fuzz "$target" "$corpus" "fuzz/seeds/$target" -- \
        -max_total_time="$seconds" -max_len=16384 -timeout=10 -rss_limit_mb=2048 \
        -print_final_stats=1 >"$log" 2>&1 || result=FAILED
    stat() { sed -n "s/^stat::$1: *//p" "$log" | tail -n1; }
    reached=$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$log" | tail -n1)
    printf '%-12s %12s %10s %10s %8s %s\n' "$target" "$(stat number_of_executed_units)" \
        "$(stat average_exec_per_sec)" "$reached" "$(find "$corpus" -type f | wc -l)" "$result"
    if [ "$result" = FAILED ]; then
        failed=1
        tail -n 40 "$log" >&2
    fi
done
exit "$failed"
