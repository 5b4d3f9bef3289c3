# Shared by the scripts of this folder; source it, don't run it.
# shellcheck shell=bash

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

if [ -t 1 ] && [ -z "${NO_COLOR-}" ]; then
    bold=$'\e[1m' dim=$'\e[2m' red=$'\e[31m' green=$'\e[32m' yellow=$'\e[33m' plain=$'\e[0m'
else
    bold='' dim='' red='' green='' yellow='' plain=''
fi
export bold dim red green yellow plain

# fail TEXT: says why and ends the script.
fail() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

# as_root COMMAND...: runs it as root, through sudo where that is needed.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        fail "wants to run as root or to have sudo: $*"
    fi
}

# need PACKAGE...: installs the Debian packages that are missing.
need() {
    local package missing=()
    if ! command -v dpkg-query >/dev/null; then
        printf '%s: this is no Debian; taken as there: %s\n' "${0##*/}" "$*" >&2
        return
    fi
    for package in "$@"; do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    printf '%s: installs %s\n' "${0##*/}" "${missing[*]}" >&2
    local said
    if [ -z "${PACKAGE_LISTS_ARE_NEW-}" ]; then
        said=$(as_root apt-get update -q 2>&1) || fail "apt-get update failed: $said"
        export PACKAGE_LISTS_ARE_NEW=1
    fi
    said=$(as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -q -y --no-install-recommends "${missing[@]}" 2>&1) ||
        fail "can't install ${missing[*]}: $said"
}

# need_listed FILE: the same for a list, one package a line with a comment behind #.
need_listed() {
    local packages
    mapfile -t packages < <(sed -e 's/#.*//' -e 's/[[:space:]]//g' -e '/^$/d' "$1")
    need "${packages[@]}"
}

# need_swift: a Swift toolchain, and what it needs to link a static program.
need_swift() {
    need binutils g++ git libssh2-1-dev libssl-dev zlib1g-dev pkgconf
    if ! command -v swift >/dev/null && [ -x "${SWIFTLY_BIN_DIR:-$HOME/.local/share/swiftly/bin}/swift" ]; then
        PATH=${SWIFTLY_BIN_DIR:-$HOME/.local/share/swiftly/bin}:$PATH
    fi
    command -v swift >/dev/null ||
        fail "there is no swift in PATH; Debian has no package of it: https://www.swift.org/install/linux/"
    local version
    version=$(swift --version 2>/dev/null | sed -n 's/.*Swift version \([0-9]*\.[0-9]*\).*/\1/p' | head -n 1)
    case $version in
        [1-5].* | 6.[01]) fail "Swift $version is too old; 6.2 or newer is needed: https://www.swift.org/install/linux/" ;;
    esac
}

# version: of the product.
version() { sed -n 's/.*current = "\(.*\)".*/\1/p' "$(find "$root/Sources/SemQueueCLI" -name Version.swift)"; }
