#!/bin/bash
# usage: packages.sh BUILD-FOLDER      with PREFIX, LIBDIR and so on in the environment
# The Debian packages that cpack makes of the build: what is installed is in exactly one of them, lintian
# finds no errors, what was stripped off each program is in a package beside its own, and under a systemd of its own, where dpkg installs them, the service does all that
# packages_inside.sh asks of it. The last takes root.
set -euo pipefail

build=$1
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/mregion-packages.XXXXXX")
trap 'rm -rf "$work"' EXIT
debs=$work/debs
packages=(libmregion-dev "libmregion$SOVERSION" mrcli mregiond)

skip() {
    echo "skipped: $*"
    exit 77
}

fail() {
    echo "FAILED: $*"
    exit 1
}

# usage: make_packages [CPACK-OPTION]...      into $debs
make_packages() {
    (cd "$build" && cpack -B "$work/cpack" -D CPACK_DEBIAN_PACKAGE_RELEASE=1 "$@") >"$work/log" 2>&1 || return 1
    mv "$work/cpack"/*.deb "$debs"
    mkdir -p "$work/debug"
    mv "$work/cpack"/*.ddeb "$work/debug"
}

# usage: check_debug PACKAGE FILE      its debugging information is where a debugger finds it, and not in it
check_debug() {
    local id sections

    mkdir "$work/unpacked"
    dpkg-deb -x "$debs/$1"_*.deb "$work/unpacked"
    dpkg-deb -x "$work/debug/$1"-dbgsym_*.ddeb "$work/unpacked"
    id=$(readelf -n "$work/unpacked$2" | sed -n 's/.*Build ID: //p')
    sections=$(readelf -SW "$work/unpacked$2")
    [[ $sections != *.debug_info* && $sections != *.symtab* ]] || fail "$1: $2 is not stripped"
    # It misses the interpreter's name, which is not in such a file, and says so.
    sections=$(readelf -SW "$work/unpacked/usr/lib/debug/.build-id/${id:0:2}/${id:2}.debug" 2>&1)
    [[ $sections == *.debug_info* ]] || fail "$1-dbgsym has nothing on $2, build id $id"
    dpkg-deb -e "$work/debug/$1"-dbgsym_*.ddeb "$work/unpacked/DEBIAN"
    (cd "$work/unpacked" && md5sum --quiet -c DEBIAN/md5sums) || fail "$1-dbgsym: md5sums"
    rm -r "$work/unpacked"
}

# usage: make_successor      the package of the server once more, as the next revision
make_successor() {
    dpkg-deb -R "$debs"/mregiond_*.deb "$work/next"
    sed -i 's/^Version: .*/&.2/' "$work/next/DEBIAN/control"
    mkdir "$debs/next"
    dpkg-deb -Zgzip -z1 --root-owner-group -b "$work/next" "$debs/next" >/dev/null
}

for program in cpack dpkg dpkg-deb dpkg-shlibdeps file; do
    command -v "$program" >/dev/null || skip "$program is not here (packages cmake, dpkg-dev, file)"
done
mkdir "$debs"

echo "-- cpack, of a build for another place"
if make_packages -D CPACK_MREGION_PREFIX=/opt || ! grep -q 'packages are made of a build for /usr' "$work/log"; then
    fail "$(cat "$work/log")"
fi
[[ $PREFIX == /usr ]] || skip "packages are not made of a build for $PREFIX"

echo "-- cpack"
make_packages || fail "$(cat "$work/log")"
found=$(cd "$debs" && for deb in *.deb; do echo "${deb%%_*}"; done)
[[ $found == "$(printf '%s\n' "${packages[@]}")" ]] || fail "these were made: $found"

echo "-- what is installed is in one of them"
for deb in "$debs"/*.deb; do
    dpkg-deb --fsys-tarfile "$deb" | tar t
done | sed -n -e '/\/$/d' -e '\,^\./usr/share/doc/,d' -e 's,^\.,,p' |
    sed -e '/\/man\//s/\.gz$//' -e 's,/zsh/vendor-completions/,/zsh/site-functions/,' | sort >"$work/packed"
(cd "$build/stage" && find . ! -type d) | sed 's,^\.,,' | sort >"$work/installed"
diff "$work/installed" "$work/packed" || fail "installed (<) and packed (>) differ"

if [[ $(readelf -S "$build/daemon/mregiond") == *.debug_info* ]]; then
    echo "-- debugging information"
    check_debug mregiond /usr/sbin/mregiond
    check_debug mrcli /usr/bin/mrcli
    check_debug "libmregion$SOVERSION" "$LIBDIR/libmregion.so.$SOVERSION"
fi

if command -v lintian >/dev/null; then
    echo "-- lintian"
    lintian --no-cfg --allow-root --fail-on error --suppress-tags initial-upload-closes-no-bugs "$debs"/*.deb \
        "$work/debug"/*.ddeb ||
        fail "lintian finds errors"
else
    echo "lintian is not here: it was not asked"
fi

echo "-- dpkg"
make_successor
"$here/../systemd/test_boot.sh" "$build/stage" "$here/packages_inside.sh" "$debs"
