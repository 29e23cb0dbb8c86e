#!/bin/bash
# usage: test_files.sh STAGE      with PREFIX, SYSCONFDIR, LIBDIR, INCLUDEDIR, MANDIR, BINDIR, SBINDIR, VERSION,
# SOVERSION in the environment: what was installed is what files.txt says, not one file more or less, and each
# has the permissions that Debian expects.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
stage=$1
wanted=$(sed -e '/^#/d' -e '/^$/d' -e "s,@PREFIX@,$PREFIX,;s,@SYSCONFDIR@,$SYSCONFDIR,;s,@LIBDIR@,$LIBDIR," \
    -e "s,@INCLUDEDIR@,$INCLUDEDIR,;s,@MANDIR@,$MANDIR,;s,@BINDIR@,$BINDIR,;s,@SBINDIR@,$SBINDIR," \
    -e "s,@VERSION@,$VERSION,;s,@SOVERSION@,$SOVERSION,;s,@CONFIG@,$CONFIG," "$here/files.txt" | sort)
found=$(cd "$stage" && find . ! -type d -printf '%M %P\n' |
    sed -e 's,^l[rwx]* ,link /,' -e 's,^-rwxr-xr-x ,0755 /,' -e 's,^-rw-r--r-- ,0644 /,' | sort)
if [[ $wanted != "$found" ]]; then
    echo "what should be installed (<) and what is (>):"
    diff <(echo "$wanted") <(echo "$found") || true
    exit 1
fi
