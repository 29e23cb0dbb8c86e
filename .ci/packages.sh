# shellcheck shell=bash
# Sourced by daemon/run and tests/run: the Debian packages that they need, and their installation.

# shellcheck disable=SC2034  # for those who source this
build_packages=(gcc libc6-dev cmake ninja-build pkg-config libuv1-dev libmsgpack-dev libyaml-dev
    libisal-dev libmicrohttpd-dev libseccomp-dev libssl-dev libsystemd-dev libsodium-dev systemtap-sdt-dev
    libjansson-dev libedit-dev libsmartcols-dev libcairo2-dev uthash-dev)

# usage: need_packages PACKAGE...
# Installs those that are missing, as root or through sudo; says what is missing where it cannot.
need_packages() {
    local package missing=() as_root=()

    if ! command -v dpkg-query >/dev/null; then
        echo "${0##*/}: no Debian here; what its packages hold must be there already: $*" >&2
        return 0
    fi
    for package in "$@"; do
        if [[ " $(dpkg-query -W -f '${db:Status-Status} ' "$package" 2>/dev/null)" != *" installed "* ]]; then
            missing+=("$package")
        fi
    done
    if ((${#missing[@]} == 0)); then
        return 0
    fi
    echo "== installing ${missing[*]}"
    if ((EUID != 0)); then
        if ! command -v sudo >/dev/null; then
            echo "${0##*/}: packages are missing, and there is neither root nor sudo to install them. As root:" >&2
            echo "    apt-get install ${missing[*]}" >&2
            return 1
        fi
        as_root=(sudo)
    fi
    as_root+=(env DEBIAN_FRONTEND=noninteractive)
    "${as_root[@]}" apt-get -q -o DPkg::Lock::Timeout=300 update ||
        echo "${0##*/}: going on with the package lists that are there" >&2
    "${as_root[@]}" apt-get -qq -y -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 \
        install --no-install-recommends "${missing[@]}"
}
