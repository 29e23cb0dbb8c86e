#!/bin/bash
# Run by test_boot.sh's systemd, once mregiond.service is up: the service does all it should with
# the rights that the unit leaves it.
set -euo pipefail

export PATH=$PREFIX/bin:/usr/bin:/usr/sbin
LD_LIBRARY_PATH=$(dirname "$(find "$PREFIX/lib" -name libmregion.so.1 -print -quit)")
export LD_LIBRARY_PATH
unix=unix:/run/mregiond/mregiond.sock
tcp=tcp:127.0.0.1:7420

finish() {
    # the end of this system, however it went
    systemctl --no-block exit 0
}
trap finish EXIT

fail() {
    echo "FAILED: $*"
    journalctl --no-pager -o cat -u mregiond.service | tail -n 40
    exit 1
}

# usage: wait_for WHAT COMMAND...      test_boot.sh ends what hangs
wait_for() {
    local what=$1
    shift
    echo "waiting for $what"
    until "$@"; do
        sleep 0.05
    done
}

logged() {
    journalctl --no-pager -o cat -u mregiond.service | grep -q -- "$1"
}

main_pid() {
    systemctl show -p MainPID --value mregiond.service
}

# usage: status_of FIELD      of the daemon, from /proc
status_of() {
    sed -n "s/^$1:[[:space:]]*//p" "/proc/$(main_pid)/status"
}

# usage: drop_in LINE...      in [Service], and a restart
drop_in() {
    mkdir -p /run/systemd/system/mregiond.service.d
    printf '[Service]\n%s\n' "$@" >/run/systemd/system/mregiond.service.d/test.conf
    systemctl daemon-reload
    systemctl restart mregiond.service || fail "no restart with $*"
}

# usage: user_seen      who the daemon takes a member of the group for that is user 1500
user_seen() {
    setpriv --reuid 1500 --regid 1500 --groups "$(stat -c %g /run/mregiond/mregiond.sock)" \
        mrcli -s "$unix" ping >/dev/null || fail "a member of the group cannot connect"
    journalctl --no-pager -o cat -u mregiond.service | sed -n 's/.*(unix, uid \([0-9]*\), .*/\1/p' | tail -n 1
}

discarded() {
    (($(mrcli -s "$tcp" -o json info | tr ',' '\n' | sed -n 's/.*"discarded_bytes": *\([0-9]*\).*/\1/p') > 0))
}

echo "-- the service is up"
systemctl is-active mregiond.service || fail "it is not active"
[[ $(status_of Uid) == "$(id -u mregiond)"[[:space:]]* ]] || fail "it is user $(status_of Uid)"
for field in CapInh CapPrm CapEff CapBnd CapAmb; do
    [[ $(status_of $field) =~ ^0+$ ]] || fail "$field is $(status_of $field)"
done
[[ $(status_of NoNewPrivs) == 1 && $(status_of Seccomp) == 2 ]] || fail "it is not restricted"
sandbox=$(mrcli -s "$unix" server-info | sed -n 's/^sandbox *//p')
echo "sandbox: $sandbox"
[[ $sandbox == *seccomp* ]] || fail "its own filter is not in force"

echo "-- blobs in and out, holes, regions, reload"
head -c 3000000 /dev/urandom >/tmp/in
[[ $(mrcli -s "$unix" add /tmp/in) == 0+3000000 ]] || fail "cannot add"
mrcli -s "$tcp" load 0+3000000 /tmp/out
cmp /tmp/in /tmp/out || fail "other bytes came back"
mrcli -s "$tcp" deallocate 0+3000000
mrcli -s "$tcp" checkpoint
wait_for "space to be given back" discarded
mrcli -s "$tcp" create two
mrcli -s "$tcp" drop two
reference=$(mrcli -s "$tcp" add /tmp/in)
systemctl reload mregiond.service || fail "cannot reload"
logged 'reloaded the configuration' || fail "no reload"

echo "-- restart"
systemctl restart mregiond.service || fail "cannot restart"
mrcli -s "$tcp" load "$reference" /tmp/out
cmp /tmp/in /tmp/out || fail "other bytes came back"

echo "-- users, as the unit says"
[[ $(user_seen) == 65534 ]] || fail "user 1500 is taken for $(user_seen)"
logged 'cannot be told apart' || fail "that is not said"
drop_in PrivateUsers=no
[[ $(user_seen) == 1500 ]] || fail "user 1500 is taken for $(user_seen)"

echo "-- a credential"
(umask 077 && echo secret >/etc/tls.key)
drop_in LoadCredential=tls.key:/etc/tls.key
credential=/proc/$(main_pid)/root/run/credentials/mregiond.service/tls.key
[[ $(cat "$credential") == secret ]] || fail "no credential"
setpriv --reuid mregiond --regid mregiond --clear-groups cat /etc/tls.key 2>/dev/null &&
    fail "the service's user can read the key itself"

echo "-- the end"
systemctl stop mregiond.service
[[ $(systemctl show -p Result --value mregiond.service) == success ]] || fail "no orderly end"

echo "-- socket activation"
systemctl start mregiond.socket
[[ $(systemctl is-active mregiond.service) != active ]] || fail "it runs already"
mrcli -s "$unix" load "$reference" /tmp/out
cmp /tmp/in /tmp/out || fail "other bytes came back"
mrcli -s "$tcp" ping
logged "the service manager's sockets take the place" || fail "other sockets"

touch /out/passed
echo "-- all of it"
