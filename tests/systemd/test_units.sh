#!/bin/bash
# usage: test_units.sh STAGE SANDBOX_CALLS_C      with PREFIX in the environment
# systemd's own tools have nothing to say about what is installed: the units, as they lie in the
# stage beside the program that they start, and the user and the folder that they need.
set -euo pipefail

stage=$1
calls=$2
units=$stage$PREFIX/lib/systemd/system
exposure_max=1.0

if ! command -v systemd-analyze >/dev/null; then
    echo "skipped: systemd-analyze is not here (package systemd)"
    exit 77
fi
work=$(mktemp -d "${TMPDIR:-/tmp}/mregiond-units.XXXXXX")
trap 'rm -rf "$work"' EXIT

fail() {
    echo "FAILED: $*"
    exit 1
}

# usage: id_in passwd|group
id_in() {
    awk -F: '$1 == "mregiond" { print $3 }' "$root/etc/$1"
}

# The root that the tools work on: the stage, and what our units ask from any system.
root=$work/root
cp -a "$stage" "$root"
mkdir -p "$root"/{etc,run,var/lib,usr/bin,usr/lib/systemd}
for folder in bin sbin lib; do
    ln -sfn "usr/$folder" "$root/$folder"
done
mkdir -p "$root/usr/lib/systemd/system"
cp -an /usr/lib/systemd/system/. "$root/usr/lib/systemd/system"
cp /bin/kill "$root/usr/bin/kill"

echo "-- systemd-analyze verify"
output=$(systemd-analyze verify --man=no --root="$root" mregiond.service mregiond.socket 2>&1) ||
    fail "verify: exit $?: $output"
[[ -z $output ]] || fail "verify: $output"

# The same must notice a program that is not there, or it proves nothing.
mkdir "$work/broken"
cp -a "$root/." "$work/broken"
find "$work/broken" -path '*/sbin/mregiond' -delete
if systemd-analyze verify --man=no --root="$work/broken" mregiond.service 2>/dev/null; then
    fail "verify accepts a unit whose program is missing"
fi

echo "-- manual pages that the units name"
for page in $(sed -n 's/^Documentation=//p' "$units"/mregiond.{service,socket} | tr ' ' '\n' | sort -u); do
    name=${page#man:}
    section=${name##*(}
    section=${section%)}
    name=${name%(*}
    [[ -n $(find "$stage" -path "*/man$section/$name.$section") ]] || fail "no such manual page: $page"
done

echo "-- systemd-analyze security"
output=$(systemd-analyze security --offline=true --no-pager "$units/mregiond.service" 2>&1) ||
    fail "security: exit $?: $output"
exposure=$(sed -n 's/.*Overall exposure level for mregiond.service: \([0-9.]*\).*/\1/p' <<<"$output")
[[ $exposure =~ ^[0-9]+\.[0-9]+$ ]] || fail "security: no exposure level in: $output"
echo "exposure $exposure, at most $exposure_max"
awk -v a="$exposure" -v b="$exposure_max" 'BEGIN { exit !(a <= b) }' ||
    fail "security: $exposure is above $exposure_max: $output"

# usage: expand NAME|@SET...      the names of the system calls
expand() {
    local name
    for name in "$@"; do
        if [[ $name == @* ]]; then
            # shellcheck disable=SC2046  # names
            expand $(systemd-analyze --no-pager syscall-filter "$name" | sed '1d;s/#.*//')
        else
            echo "$name"
        fi
    done
}

# usage: filter PREFIX      what SystemCallFilter=PREFIX... lists
filter() {
    # shellcheck disable=SC2046  # names
    expand $(sed -n "s/^SystemCallFilter=$1\([^~].*\)/\1/p" "$units/mregiond.service")
}

echo "-- SystemCallFilter has what the daemon's own filter has, and what that is made with"
{
    sed -n '/^static const int allowed/,/^};/s/SCMP_SYS(\([a-z0-9_]*\))/\n\1\n/gp' "$calls" | grep -x '[a-z0-9_]*'
    echo landlock_create_ruleset landlock_add_rule landlock_restrict_self seccomp prctl clone mmap | tr ' ' '\n'
} | sort -u >"$work/needed"
(($(wc -l <"$work/needed") > 100)) || fail "no list of system calls in $calls"
comm -23 <(filter '' | sort -u) <(filter '~' | sort -u) >"$work/allowed"
# glibc sets limits with prlimit64; the others are for old processors
missing=$(comm -23 "$work/needed" "$work/allowed" | grep -vx 'setrlimit\|ugetrlimit' || true)
[[ -z $missing ]] || fail "these would end the daemon: $missing"

if ((EUID != 0)); then
    echo "-- systemd-sysusers, systemd-tmpfiles: dry run only, the rest needs root"
    systemd-sysusers --root="$root" --dry-run mregiond.conf
    exit 0
fi

echo "-- systemd-sysusers"
output=$(systemd-sysusers --root="$root" mregiond.conf 2>&1) || fail "sysusers: exit $?: $output"
grep -q '^mregiond:[^:]*:[0-9]*:[0-9]*:[^:]*:/var/lib/mregiond:/usr/sbin/nologin$' "$root/etc/passwd" ||
    fail "sysusers made: $(cat "$root/etc/passwd")"
grep -q '^mregiond:' "$root/etc/group" || fail "sysusers made no group mregiond"

echo "-- systemd-tmpfiles"
output=$(systemd-tmpfiles --root="$root" --create mregiond.conf 2>&1) || fail "tmpfiles: exit $?: $output"
[[ -z $output ]] || fail "tmpfiles: $output"
wanted="755 $(id_in passwd) $(id_in group)"
found=$(stat -c '%a %u %g' "$root/run/mregiond")
[[ $found == "$wanted" ]] || fail "tmpfiles made /run/mregiond with $found instead of $wanted"
