#!/usr/bin/env bash
# Puts the programs and what belongs to them below $DESTDIR: for `make install`, and for packages. Makes no
# user, no key and no data, and leaves a configuration that is there as it is.
#
#   DESTDIR=/tmp/stage scripts/install.sh
set -euo pipefail
cd "$(dirname "$0")/.."

programs=${CARGO_TARGET_DIR:-target}/release
root=${DESTDIR:-}
manuals=$(mktemp -d)
trap 'rm -rf "$manuals"' EXIT

put() { install -D -m "$1" "$2" "$root$3"; }

"$programs/examples/manuals" "$manuals"
for program in ron-ledgerd ron-ledgerctl; do
    put 755 "$programs/$program" "/usr/bin/$program"
    # Line numbers are most of it; names for backtraces stay.
    strip --strip-debug "$root/usr/bin/$program"
    put 644 "$manuals/bash/$program.bash" "/usr/share/bash-completion/completions/$program"
    put 644 "$manuals/zsh/_$program" "/usr/share/zsh/vendor-completions/_$program"
    put 644 "$manuals/fish/$program.fish" "/usr/share/fish/vendor_completions.d/$program.fish"
done
for page in "$manuals"/man/*; do
    put 644 "$page" "/usr/share/man/man${page##*.}/${page##*/}"
done
for unit in systemd/*; do
    put 644 "$unit" "/usr/lib/systemd/system/${unit##*/}"
done
for doc in README.md RUNBOOK.md CHANGELOG.md SECURITY.md docs/*.md; do
    [ ! -e "$doc" ] || put 644 "$doc" "/usr/share/doc/ron-ledger/$doc"
done
put 755 ops/ron-ledger-recover.sh /usr/bin/ron-ledger-recover.sh
for file in ops/prometheus/*.yml ops/grafana/* ops/otel/* ops/incidents/*; do
    put 644 "$file" "/usr/share/ron-ledger/$file"
done
for config in configs/*.toml; do
    put 644 "$config" "/usr/share/doc/ron-ledger/examples/${config##*/}"
done
[ -e "$root/etc/ron/ledger.toml" ] || put 644 configs/macronode.toml /etc/ron/ledger.toml
