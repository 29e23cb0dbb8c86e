#!/bin/bash
# usage: test_use.sh STAGE      with PREFIX, LIBDIR, BINDIR, SBINDIR, CC, VERSION, SOVERSION in the environment
# A stranger's program builds and runs against what was installed, found through pkg-config and
# through the CMake package, with the shared library and with the static one.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
stage=$1
work=$(mktemp -d "${TMPDIR:-/tmp}/mregion-use.XXXXXX")
trap 'rm -rf "$work"' EXIT
export LD_LIBRARY_PATH=$stage$LIBDIR

fail() {
    echo "FAILED: $*"
    exit 1
}

# usage: expect_version PROGRAM
expect_version() {
    local said

    said=$("$1") || fail "$1: exit $?"
    [[ $said == "$VERSION" ]] || fail "$1 says '$said' instead of $VERSION"
}

echo "-- the programs run from where they were installed"
[[ $("$stage$BINDIR/mrcli" --version) == *"$VERSION"* ]] || fail "mrcli --version"
[[ $("$stage$SBINDIR/mregiond" --version) == *"$VERSION"* ]] || fail "mregiond --version"

echo "-- the shipped configuration is valid"
"$stage$SBINDIR/mregiond" --config "$stage$SYSCONFDIR/mregiond.yaml" --check-config

echo "-- pkg-config"
export PKG_CONFIG_SYSROOT_DIR=$stage
PKG_CONFIG_PATH=$stage$LIBDIR/pkgconfig
export PKG_CONFIG_PATH
pc() {
    pkg-config "$@" mregion
}
[[ $(pc --modversion) == "$VERSION" ]] || fail "pkg-config --modversion: $(pc --modversion)"
# shellcheck disable=SC2046  # one word per flag
"$CC" -Wall -Wextra -Werror -std=c11 "$here/use.c" -o "$work/shared" $(pc --cflags --libs)
expect_version "$work/shared"
readelf -d "$work/shared" | grep -q "libmregion.so.$SOVERSION" || fail "not linked with the soname"

echo "-- the examples build as they say"
for example in "$here"/../../client/examples/*.c; do
    # What stands behind mregion in the line that builds it.
    others=$(sed -n 's/^ \* *cc .*pkg-config --cflags --libs mregion *\([^)]*\)).*/\1/p' "$example")
    flags=
    if [[ -n $others ]]; then
        # shellcheck disable=SC2086
        if ! flags=$(env -u PKG_CONFIG_SYSROOT_DIR pkg-config --cflags --libs $others 2>/dev/null); then
            echo "${example##*/} was not built, for $others is not here"
            continue
        fi
    fi
    # shellcheck disable=SC2046,SC2086
    "$CC" -Wall -Wextra -Werror "$example" -o "$work/example" $(pc --cflags --libs) $flags
done

echo "-- the headers are good C99, C11 and C++17 by themselves"
# What a user of these would turn on, and what is an error to some of them.
strict=(-Wall -Wextra -Wpedantic -Wconversion -Wundef -Werror -fsyntax-only)
uv=$(env -u PKG_CONFIG_SYSROOT_DIR pkg-config --cflags libuv)
for standard in c99 c11; do
    # shellcheck disable=SC2046
    echo '#include <mregion.h>' | "$CC" -std=$standard "${strict[@]}" -Wshadow -Wstrict-prototypes $(pc --cflags) -xc -
    # libuv's own header wants more than standard C.
    # shellcheck disable=SC2046,SC2086
    echo '#include <mregion_uv.h>' | "$CC" -std=$standard -D_GNU_SOURCE "${strict[@]}" $(pc --cflags) $uv -xc -
done
if command -v c++ >/dev/null; then
    for standard in c++11 c++17; do
        # shellcheck disable=SC2046,SC2086
        c++ -std=$standard "${strict[@]}" -Wold-style-cast -Wzero-as-null-pointer-constant -DWITH_UV $(pc --cflags) \
            $uv "$here/header.cpp"
    done
    # shellcheck disable=SC2046
    c++ -std=c++17 "$here/header.cpp" -o "$work/header" $(pc --cflags --libs)
    expect_version "$work/header"
else
    echo "no C++ compiler is here: the headers were not tried as C++"
fi

echo "-- the shared library exports its own names only"
foreign=$(nm -D --defined-only "$stage$LIBDIR/libmregion.so" | awk '$2 != "A" && $3 !~ /^mregion_/ { print $3 }')
[[ -z $foreign ]] || fail "exported besides mregion_*: $foreign"

echo "-- and so does the static one"
foreign=$(nm -g --defined-only "$stage$LIBDIR/libmregion.a" | awk 'NF == 3 && $3 !~ /^mregion_/ { print $3 }')
[[ -z $foreign ]] || fail "exported besides mregion_*: $foreign"

echo "-- static, through pkg-config"
# shellcheck disable=SC2046
"$CC" -std=c11 "$here/use.c" -o "$work/static" $(pc --cflags) "$stage$LIBDIR/libmregion.a" \
    $(env -u PKG_CONFIG_SYSROOT_DIR pkg-config --static --libs-only-l mregion | sed 's/-lmregion//')
LD_LIBRARY_PATH='' expect_version "$work/static"

echo "-- CMake package"
cat >"$work/CMakeLists.txt" <<TEXT
cmake_minimum_required(VERSION 3.25)
project(use LANGUAGES C)
find_package(mregion ${VERSION%.*} REQUIRED)
add_executable(use "$here/use.c")
target_link_libraries(use PRIVATE mregion::mregion)
TEXT
cmake -G Ninja -S "$work" -B "$work/build" -DCMAKE_C_COMPILER="$CC" -DCMAKE_PREFIX_PATH="$stage$PREFIX" \
    --log-level=WARNING
cmake --build "$work/build" >"$work/log" || fail "$(cat "$work/log")"
expect_version "$work/build/use"
