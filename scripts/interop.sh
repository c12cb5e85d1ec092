#!/usr/bin/env bash
# Runs the tests that hold the ledger against other people's programs, with all of these at hand: Python's
# gRPC, OpenTelemetry's messages and Prometheus' parser in target/interop, and promtool.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=target/interop
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
"$venv/bin/pip" install --quiet --requirement tests/interop/requirements.txt
command -v promtool >/dev/null || printf 'interop: no promtool here (Debian: prometheus): not checked by it\n' >&2
RON_PYTHON="$PWD/$venv/bin/python" "${CARGO:-cargo}" test --release --locked --test it \
    whole::traces whole::scrapes whole::verifier -- --nocapture
