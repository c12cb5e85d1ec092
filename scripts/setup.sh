#!/usr/bin/env bash
# Finds what the build needs (Rust, a C++ compiler and libclang for RocksDB) and, on Debian and
# Ubuntu, installs the last two where it may. Does nothing when all is there; changes no settings.
# With --checks also what only checks need: systemd-analyze, promtool and valgrind, on Debian and Ubuntu.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'setup: %s\n' "$*" >&2; }
die() {
    say "$@"
    exit 1
}

check_rust() {
    command -v cargo >/dev/null && command -v rustc >/dev/null || die \
        "Rust is missing. Install it from https://rustup.rs and start a new shell."
    local have need
    need=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)
    have=$(rustc --version | cut -d' ' -f2)
    [ "$(printf '%s\n%s\n' "$need" "${have%%-*}" | sort -V | head -n1)" = "$need" ] || die \
        "rustc $have is too old, $need or newer is needed: rustup update stable"
}

has_cxx() {
    if [ -n "${CXX:-}" ]; then
        # CXX may hold a launcher and flags, "ccache g++".
        command -v "${CXX%% *}" >/dev/null
    else
        command -v c++ >/dev/null || command -v g++ >/dev/null || command -v clang++ >/dev/null
    fi
}

has_libclang() {
    local dir found
    if [ -n "${LIBCLANG_PATH:-}" ]; then
        [ -e "$LIBCLANG_PATH" ] && return 0
    fi
    # Asked without a pipe to grep -q: pipefail would take its early end for a failure.
    found=$(ldconfig -p 2>/dev/null || /sbin/ldconfig -p 2>/dev/null || true)
    # Not libclang-cpp, which is another library.
    case $found in *libclang.so* | *libclang-[0-9]*) return 0 ;; esac
    for dir in /usr/lib/llvm-*/lib /usr/lib64 /usr/lib /usr/local/lib \
        /opt/homebrew/opt/llvm/lib /Library/Developer/CommandLineTools/usr/lib; do
        compgen -G "$dir/libclang.so*" >/dev/null && return 0
        compgen -G "$dir/libclang-[0-9]*.so*" >/dev/null && return 0
        compgen -G "$dir/libclang.dylib" >/dev/null && return 0
    done
    return 1
}

# Debian has libclang without the headers that a C file includes first; libclang-dev brings both.
has_clang_headers() {
    command -v apt-get >/dev/null || return 0
    [ -z "${LIBCLANG_PATH:-}" ] || return 0
    compgen -G "/usr/lib/llvm-*/lib/clang/*/include/stddef.h" >/dev/null ||
        compgen -G "/usr/lib/clang/*/include/stddef.h" >/dev/null
}

# Installs Debian packages as root, or by sudo where that asks no password.
install_packages() {
    local by=()
    if ! command -v apt-get >/dev/null; then
        die "install these with your package manager: a C++20 compiler and libclang (needed: $*)"
    fi
    if [ "$(id -u)" -ne 0 ]; then
        if command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
            by=(sudo -n)
        else
            die "run this once, then try again: sudo apt-get install -y $*"
        fi
    fi
    say "installing $*"
    "${by[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -qq >&2
    # Prometheus is wanted for its programs: its service is not to be started, by either kind of init.
    if [[ " $* " == *" prometheus "* && -d /run/systemd/system ]]; then
        "${by[@]}" systemctl mask prometheus >&2
    fi
    "${by[@]}" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
        apt-get install -y -qq --no-install-recommends "$@" >&2
}

check_rust
missing=()
has_cxx || missing+=(g++)
{ has_libclang && has_clang_headers; } || missing+=(libclang-dev)
if [ "${1:-}" = --checks ] && command -v apt-get >/dev/null; then
    command -v systemd-analyze >/dev/null || missing+=(systemd)
    command -v promtool >/dev/null || missing+=(prometheus)
    command -v valgrind >/dev/null || missing+=(valgrind)
fi
[ "${#missing[@]}" -eq 0 ] && exit 0
install_packages "${missing[@]}"
has_cxx || die "there is still no C++ compiler: install one, or point CXX at it"
has_libclang || die "libclang is still not found: point LIBCLANG_PATH at the directory that holds it"
