#!/bin/bash
# Run by test_boot.sh's systemd, once mregiond.service is up: the service does all it should with
# the rights that the unit leaves it.
set -euo pipefail

export PATH=$PREFIX/bin:/usr/bin:/usr/sbin
LD_LIBRARY_PATH=$(dirname "$(find "$PREFIX/lib" -name libmregion.so.1 -print -quit)")
export LD_LIBRARY_PATH
unix=unix:/run/mregiond/mregiond.sock
tcp=tcp:127.0.0.1:7420
configuration=$(systemctl show -p ExecStart --value mregiond.service | sed -n 's/.*--config \([^ ;]*\).*/\1/p')

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
    systemctl reset-failed mregiond.service # so many restarts are no failure here
    systemctl restart mregiond.service || fail "no restart with $*"
}

# usage: configure LINE...      the service's configuration, in force with the next start
configure() {
    printf '%s\n' 'regions: [{name: main}]' \
        "listen: [{unix: /run/mregiond/mregiond.sock, mode: 0666}, {tls: '0.0.0.0:7421'}]" \
        'tls_certificate: /etc/tls.pem' "$@" >"$configuration"
}

# usage: who_is GROUP      as whom the daemon knows user 1500, when a member of that group
who_is() {
    setpriv --reuid 1500 --regid 1500 --groups "$1" mrcli -s "$unix" -o json whoami
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

printf '[req]\ndistinguished_name=name\n[name]\n' >/tmp/openssl.cnf
umask 077
openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out /etc/tls.key
umask 022
# usage: issue      a new certificate, for the same key
issue() {
    openssl req -x509 -config /tmp/openssl.cnf -key /etc/tls.key -subj /CN=mregiond -days 30 \
        -addext subjectAltName=IP:127.0.0.1,IP:192.0.2.1 -out /etc/tls.new
    mv /etc/tls.new /etc/tls.pem
}
issue
cp "$configuration" /etc/changed.yaml
mount --bind /etc/changed.yaml "$configuration" # which may lie where nothing can be written

echo "-- users of the configuration who are users of the machine"
setpriv --reuid mregiond --regid mregiond --clear-groups cat /etc/tls.key 2>/dev/null &&
    fail "the service's user can read the key itself"
group=$(id -g mregiond)
hash=$(echo secret | mrcli passwd)
# shellcheck disable=SC2016  # the daemon's own
configure 'tls_key: ${CREDENTIALS_DIRECTORY}/tls.key' 'users:' \
    "  - {name: stranger, uid: 65534, grants: [{regions: '*', access: admin}]}" \
    '  - {name: somebody, uid: 1500}' "  - {name: member, gid: $group}" \
    "  - {name: alice, password_hash: '$hash', grants: [{regions: '*', access: admin}]}"
drop_in LoadCredential=tls.key:/etc/tls.key
[[ $(who_is 1500) == *'"user":null'* ]] || fail "user 1500 is known: $(who_is 1500)"
[[ $(who_is "$group") == *'"user":"member"'* ]] || fail "a member is not known: $(who_is "$group")"
logged 'nobody can be known as stranger and 1 other by uid or gid' || fail "that is not said"
drop_in LoadCredential=tls.key:/etc/tls.key PrivateUsers=no IPAddressAllow=192.0.2.0/24
[[ $(who_is 1500) == *'"user":"somebody"'* ]] || fail "user 1500 is not known: $(who_is 1500)"

echo "-- TLS, with a key that is a credential"
echo secret >/tmp/password
address=127.0.0.1
if ip address add 192.0.2.1/32 dev lo; then
    address=192.0.2.1
fi
over_tls() {
    mrcli -s "tls:$address:7421" --ca /etc/tls.pem --user alice --password-file /tmp/password "$@"
}
over_tls load "$reference" /tmp/out || fail "no TLS over $address"
cmp /tmp/in /tmp/out || fail "other bytes came back"
issue
over_tls ping && fail "another certificate than the one that is trusted was taken"
systemctl reload mregiond.service
wait_for "the new certificate" over_tls ping
umount "$configuration"
drop_in

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
