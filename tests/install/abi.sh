#!/bin/bash
# usage: abi.sh STAGE            with LIBDIR, INCLUDEDIR, SOVERSION in the environment (CTest sets them)
#        abi.sh --renew STAGE    the same, to keep a new dump after functions or codes were added
# What the shared library promises to programs that were linked with it is what the kept dump says: not
# a function, a type or a number is gone or another one. Needs abigail-tools.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
dump=$here/libmregion.abi.gz
work=$(mktemp -d "${TMPDIR:-/tmp}/mregion-abi.XXXXXX")
trap 'rm -rf "$work"' EXIT
renew=0
if [[ $1 == --renew ]]; then
    renew=1
    shift
fi
stage=$1
library=$stage$LIBDIR/libmregion.so
headers=$stage$INCLUDEDIR

skip() {
    echo "skipped: $*"
    exit 77
}

write_dump() {
    abidw --headers-dir "$headers" --drop-private-types --drop-undefined-syms --exported-interfaces-only \
        --no-corpus-path --no-comp-dir-path --no-show-locs --no-elf-needed --no-write-default-sizes \
        --no-parameter-names --type-id-style hash "$library" | gzip -9n >"$dump"
}

# usage: compare DUMP [OPTION]...: abidiff's report; fails when there is something in it.
compare() {
    local kept=$1

    shift
    abidiff "$@" "$kept" "$library"
}

command -v abidiff >/dev/null || skip "abidiff is not here (package abigail-tools)"
[[ $(readelf -S "$library") == *.debug_info* ]] || skip "the library was built without debugging information"
gzip -dc "$dump" >"$work/kept.abi"
read -r first <"$work/kept.abi"
machine=$(uname -m)
[[ $first == *"$machine'"* ]] || skip "the dump is one of another machine than $machine"
[[ $first == *"soname='libmregion.so.$SOVERSION'"* ]] || {
    if ((renew == 0)); then
        echo "the dump is of another SOVERSION than $SOVERSION: tests/install/abi.sh --renew"
        exit 1
    fi
    write_dump
    exit 0
}

if ! compare "$work/kept.abi" --no-added-syms; then
    echo "programs that were linked with libmregion.so.$SOVERSION would break: take it back, or give the" \
        "library another MREGION_SOVERSION"
    exit 1
fi
if ! compare "$work/kept.abi" >"$work/report"; then
    if ((renew == 0)); then
        cat "$work/report"
        echo "the dump does not know of these yet: tests/install/abi.sh --renew"
        exit 1
    fi
    write_dump
fi

# A struct's size, a number and a function of another dump are found to be missing.
for edit in "s/\(mregion_server_info' size-in-bits='\)768/\1704/" "s/\(MREGION_ERR_FULL' value='\)106/\1107/" \
    "s/mregion_scrub'/mregion_scrubs'/"; do
    sed "$edit" "$work/kept.abi" >"$work/other.abi"
    if cmp -s "$work/kept.abi" "$work/other.abi" || compare "$work/other.abi" --no-added-syms >/dev/null; then
        echo "a planted change was not found: $edit"
        exit 1
    fi
done
