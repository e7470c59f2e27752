#!/usr/bin/env bash
# Installs what the build and the tests need, and nothing when it is all there.
# In: nothing. Out: Debian packages, and .venv/ with the Python packages of requirements.txt.
# Requires: Debian 12 (or a later one that has LLVM 22), and root or sudo when packages are missing.
set -euo pipefail
cd "$(dirname "$0")/.."

packages=(
    llvm-22-dev libpolly-22-dev libzstd-dev zlib1g-dev libxml2-dev # inkwell links these
    autoconf automake libtool make gcc g++                         # isl's own build
    mold                                                           # the linker of .cargo/config.toml
    python3 python3-venv                                           # NumPy, to compare with
)
min_rust=1.95

fail() {
    echo "setup: $*" >&2
    exit 1
}

check_rust() {
    command -v cargo >/dev/null || fail "cargo is missing; install Rust $min_rust or later (https://rustup.rs)"
    local version
    version=$(rustc --version | cut -d' ' -f2)
    [ "$(printf '%s\n' "$min_rust" "$version" | sort -V | head -n 1)" = "$min_rust" ] ||
        fail "rustc is $version; Warploom needs $min_rust or later: rustup update stable"
}

install_packages() {
    command -v dpkg-query >/dev/null || fail "no Debian: install these by hand: ${packages[*]}"
    local missing=() package
    for package in "${packages[@]}"; do
        dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed ||
            missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    local as_root=()
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || fail "run as root: apt-get install ${missing[*]}"
        as_root=(sudo)
    fi
    echo "setup: installing ${missing[*]}"
    "${as_root[@]}" apt-get update -q
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -q -y --no-install-recommends "${missing[@]}"
}

# The stamp holds the requirements that were installed, so that a change of them is noticed and
# an installation that was cut off is done again.
install_python() {
    local stamp=.venv/requirements.installed python=/usr/bin/python3
    cmp -s scripts/requirements.txt "$stamp" && [ -x .venv/bin/python ] && return 0
    [ -x "$python" ] || python=python3
    echo "setup: creating .venv"
    "$python" -m venv --clear .venv
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps \
        -r scripts/requirements.txt
    cp scripts/requirements.txt "$stamp"
}

check_rust
install_packages
install_python
