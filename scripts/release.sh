#!/usr/bin/env bash
# Makes a release of this checkout: programs, units, configurations, documents, the list of all that is
# in them (CycloneDX), checksums of every file, and a signature of the checksums.
#
#   scripts/release.sh KEY [OUT]      KEY: an Ed25519 private key in PEM; OUT: a directory (./release)
#
# A key, once, kept away from the machine that builds where that can be:
#   openssl genpkey -algorithm ed25519 -out release.key && chmod 600 release.key
#   openssl pkey -in release.key -pubout -out release.pub
# The public half reaches users by another way than the release itself. They check with
#   openssl pkeyutl -verify -pubin -inkey release.pub -rawin -in SHA256SUMS -sigfile SHA256SUMS.sig
#   sha256sum --check SHA256SUMS
# RELEASE_TRIAL=DIR tries the script: with the programs in DIR, and whatever the checkout is like.
set -euo pipefail
cd "$(dirname "$0")/.."

die() {
    printf 'release: %s\n' "$*" >&2
    exit 1
}

key=${1:?usage: scripts/release.sh KEY [OUT]}
out=${2:-release}
[ -r "$key" ] || die "cannot read the key $key"
case $(stat -c %a "$key") in
*00) ;;
*) die "others can read $key: chmod 600 $key" ;;
esac
openssl pkey -in "$key" -noout -text 2>/dev/null | grep -qi '^ed25519' || die "$key is no Ed25519 key"
command -v cargo-cyclonedx >/dev/null || die "cargo-cyclonedx is missing: cargo install --locked cargo-cyclonedx"
trial=${RELEASE_TRIAL:-}
[ -n "$trial" ] || [ -z "$(git status --porcelain)" ] || die "the checkout differs from its commit"
[ ! -e "$out" ] || die "$out is there already"

version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n1)
target=$(rustc -vV | sed -n 's/^host: //p')
name=ron-ledger-$version-$target${trial:+-trial}
commit=$(git rev-parse HEAD)
# The time of the commit stands in every file: the same commit gives the same archive.
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH

build() {
    scripts/setup.sh
    # No path of this machine stays in the programs. These flags stand for those of .cargo/config.toml.
    local flags=("--remap-path-prefix=$PWD=/ron-ledger" "--remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo")
    case $target in x86_64-*) flags+=(-Ctarget-feature=+sse4.2,+pclmulqdq) ;; esac
    CARGO_ENCODED_RUSTFLAGS=$(printf '%s\x1f' "${flags[@]}" | sed 's/\x1f$//') \
        cargo build --release --locked --bins
}

programs=${trial:-${CARGO_TARGET_DIR:-target}/release}
[ -n "$trial" ] || build

work=$(mktemp -d)
trap 'rm -rf "$work"; find . -maxdepth 1 -name "$name.cdx.json" -delete' EXIT
mkdir -p "$work/$name"
install -m 755 "$programs"/ron-ledger{d,ctl} "$work/$name/"
cp -r systemd configs docs README.md RUNBOOK.md CHANGELOG.md SECURITY.md LICENSE-APACHE LICENSE-MIT "$work/$name/"
printf '%s\n' "$commit" >"$work/$name/COMMIT"
cargo cyclonedx --format json --spec-version 1.5 --target "$target" --override-filename "$name.cdx" --quiet
mkdir -p "$out"
sed "s|file://$PWD|file:///ron-ledger|g" "$name.cdx.json" >"$out/$name.cdx.json"
tar --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" \
    -C "$work" -cf - "$name" | gzip -n9 >"$out/$name.tar.gz"

(cd "$out" && sha256sum "$name.tar.gz" "$name.cdx.json" >SHA256SUMS)
openssl pkeyutl -sign -inkey "$key" -rawin -in "$out/SHA256SUMS" -out "$out/SHA256SUMS.sig"

# What users will do, done here: a release that they could not verify is none.
openssl pkey -in "$key" -pubout -out "$work/release.pub"
openssl pkeyutl -verify -pubin -inkey "$work/release.pub" -rawin -in "$out/SHA256SUMS" \
    -sigfile "$out/SHA256SUMS.sig"
(cd "$out" && sha256sum --check --quiet SHA256SUMS)
printf 'release: %s of commit %s in %s\n' "$name" "$commit" "$out"
