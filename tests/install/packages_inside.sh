#!/bin/bash
# Run by the systemd of test_boot.sh, where nothing of ours is installed yet: packages come and go, and
# what was stored stays until a purge.
set -euo pipefail

export PATH=/usr/sbin:/usr/bin DEBIAN_FRONTEND=noninteractive
exec </dev/null # whoever asks gets no answer

finish() {
    # the end of this system, however it went
    systemctl --no-block exit 0
}
trap finish EXIT

fail() {
    echo "FAILED: $*"
    journalctl --no-pager -o cat -u mregiond.service | tail -n 20
    exit 1
}

# usage: state WORD      what systemctl is-active, is-enabled say
state() {
    systemctl "is-$1" mregiond.service 2>/dev/null || true
}

# usage: runs      the service, and from what the unit says
runs() {
    [[ $(state active) == active ]] || fail "the service is $(state active)"
    [[ $(readlink "/proc/$(main_pid)/exe") == /usr/sbin/mregiond ]] || fail "another program runs"
}

main_pid() {
    systemctl show -p MainPID --value mregiond.service
}

# usage: still_there      the blob that was stored
still_there() {
    runs
    rm -f /tmp/copy
    mrcli load "$reference" /tmp/copy || fail "cannot load $reference"
    cmp /tmp/photo /tmp/copy || fail "other bytes came back"
}

# usage: packages COMMAND...      dpkg's
packages() {
    dpkg "$@" || fail "dpkg $*: exit $?"
}

# usage: left      the files of the packages that are there, and those that came about besides
left() {
    local file

    while read -r file; do
        [[ ! -f $file ]] || echo "$file"
    done <<<"$files"
    find /etc /run /var/lib \( -name 'mregion*' -o -name '*mregiond.s*' \) -print
}

names=()
for deb in /debs/*.deb; do
    deb=${deb##*/}
    names+=("${deb%%_*}")
done
if [[ $(dpkg-query -W -f '${db:Status-Status} ' "${names[@]}" 2>/dev/null) == *installed* ]]; then
    packages --purge "${names[@]}" # of this machine
fi

echo "-- installed, and used at once"
packages -i /debs/*.deb
files=$(dpkg -L "${names[@]}")
(($(left | wc -l) > 20)) || fail "these files were installed: $(left)"
head -c 3000000 /dev/urandom >/tmp/photo
reference=$(mrcli add /tmp/photo) || fail "cannot add"
[[ $(state enabled) == enabled ]] || fail "the service is $(state enabled)"
[[ $(stat -c '%a %U' /var/lib/mregiond) == '700 mregiond' ]] || fail "$(stat -c '%a %U' /var/lib/mregiond)"
still_there

echo "-- upgraded: the new one runs, with the configuration as it was changed"
echo '# changed' >>/etc/mregiond.yaml
before=$(main_pid)
packages -i /debs/next/*.deb
[[ $(dpkg-query -f '${Version}' -W mregiond) == *.2 && $(main_pid) != "$before" ]] || fail "the old one still runs"
tail -n 1 /etc/mregiond.yaml | grep -qx '# changed' || fail "the configuration is another one"
still_there

echo "-- stopped and disabled, it stays so"
systemctl --quiet disable --now mregiond.service
packages -i /debs/next/*.deb
[[ $(state active) != active && $(state enabled) == disabled ]] || fail "it is $(state active), $(state enabled)"
systemctl --quiet enable --now mregiond.service
still_there

echo "-- removed: the program is gone, configuration and regions are not"
packages --remove mregiond
[[ $(state active) != active ]] || fail "it still runs"
[[ ! -e /usr/sbin/mregiond && -e /etc/mregiond.yaml && -n $(ls -A /var/lib/mregiond) ]] || fail "$(left)"

echo "-- and again: as if nothing had been"
packages -i /debs/mregiond_*.deb
tail -n 1 /etc/mregiond.yaml | grep -qx '# changed' || fail "the configuration is another one"
[[ $(state enabled) == enabled ]] || fail "the service is $(state enabled)"
still_there

echo "-- purged: everything is gone"
packages --purge "${names[@]}"
[[ ! -e /var/lib/mregiond && ! -e /run/mregiond && ! -e /etc/mregiond.yaml ]] || fail "$(left)"
[[ -z $(left) ]] || fail "left: $(left)"
[[ $(state active) != active ]] || fail "it still runs"

touch /out/passed
echo "-- all of it"
