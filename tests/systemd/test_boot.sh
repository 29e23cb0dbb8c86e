#!/bin/bash
# usage: test_boot.sh STAGE [INSIDE DEBS]      with PREFIX in the environment
# The service under a real systemd: one is booted with what is installed, and nothing else, in namespaces
# of its own, where inside.sh tries everything. With the folder DEBS, which is /debs in there, nothing is
# installed: INSIDE does it, with a dpkg that knows the packages of this machine but ours. Takes root.
set -euo pipefail

stage=$1
inside=${2:-${BASH_SOURCE[0]%/*}/inside.sh}
debs=${3:-}
seconds=120 # until a boot that hangs is ended

skip() {
    echo "skipped: $*"
    exit 77
}

((EUID == 0)) || skip "takes root"
for program in /usr/lib/systemd/systemd unshare pivot_root setpriv findmnt; do
    command -v "$program" >/dev/null || skip "$program is not here"
done
groups=$(findmnt -n -t cgroup2 -o TARGET | head -n 1)
[[ -n $groups ]] || skip "no cgroup2 is mounted here"
group=$groups/mregiond-boot.$$
mkdir "$group" 2>/dev/null || skip "cannot make a control group in $groups"
work=$(mktemp -d "${TMPDIR:-/tmp}/mregiond-boot.XXXXXX")

clean_up() {
    # What systemd has made in there is empty by now.
    find "$group" -depth -type d -exec rmdir {} + 2>/dev/null || true
    rm -rf "$work"
}
trap clean_up EXIT

mkdir "$work/root" "$work/out"
cp "$inside" "$work/inside.sh"

# In the namespaces: the root of the new system, in memory but for /usr, over which lies what is
# installed, and its first process.
# shellcheck disable=SC2016  # for the shell in there
boot='
set -euo pipefail
root=$1/root
mount --make-rprivate /
mount -t tmpfs -o mode=755 tmpfs "$root"
mkdir -p "$root"/{etc/systemd/system,usr,run,var/lib,proc,sys,dev,tmp,out}
for folder in bin sbin lib lib64; do
    ln -s "usr/$folder" "$root/$folder"
done
if [[ -z $3 ]]; then
    mount -t overlay -o "lowerdir=$2/usr:/usr" overlay "$root/usr"
else
    mkdir -p "$root"/{debs,var/log,var/lib/dpkg,etc/ld.so.conf.d,over/{usr,dpkg}/{upper,work}}
    mount --bind "$3" "$root/debs"
    mount -t overlay -o "lowerdir=/usr,upperdir=$root/over/usr/upper,workdir=$root/over/usr/work" overlay "$root/usr"
    mount -t overlay -o "lowerdir=/var/lib/dpkg,upperdir=$root/over/dpkg/upper,workdir=$root/over/dpkg/work" overlay \
        "$root/var/lib/dpkg"
    cp /etc/ld.so.conf.d/* "$root/etc/ld.so.conf.d"
    echo "include /etc/ld.so.conf.d/*.conf" >"$root/etc/ld.so.conf"
    # What keeps services from starting, users that are not in here, an index that takes its time.
    rm -f "$root/usr/sbin/policy-rc.d"
    : >"$root/var/lib/dpkg/statoverride"
    sed -i "/ man-db/d" "$root/var/lib/dpkg/triggers/File"
fi
# Only units that are named: others of this machine have no business in here.
for folder in "$root"/usr/lib/systemd/system/*.wants "$root/usr/lib/systemd/system-generators"; do
    mount -t tmpfs tmpfs "$folder"
done
if [[ -z $3 && -d $2/etc ]]; then
    cp -a "$2/etc/." "$root/etc"
fi
mount --bind "$1/out" "$root/out"
cp /etc/nsswitch.conf /etc/ld.so.cache "$root/etc"
printf "root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n" >"$root/etc/passwd"
printf "root:x:0:\nnogroup:x:65534:\n" >"$root/etc/group"
echo 0123456789abcdef0123456789abcdef >"$root/etc/machine-id"
mount -t proc proc "$root/proc"
mount --bind "$root/proc/sys" "$root/proc/sys"
mount -o remount,ro,bind "$root/proc/sys"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for device in null zero full random urandom tty; do
    touch "$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir "$root/dev/pts" "$root/dev/shm"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
service=
if [[ -z $3 ]]; then
    systemd-sysusers --root="$root" mregiond.conf
    systemd-tmpfiles --root="$root" --create mregiond.conf
    service=mregiond.service
fi
cp "$1/inside.sh" "$root/inside.sh"
cat >"$root/etc/systemd/system/default.target" <<END
[Unit]
Wants=systemd-journald.service $service inside.service
END
cat >"$root/etc/systemd/system/inside.service" <<END
[Unit]
After=mregiond.service
[Service]
Type=oneshot
Environment=PREFIX=$PREFIX
ExecStart=/bin/bash /inside.sh
StandardOutput=append:/out/log
StandardError=append:/out/log
END
cd "$root"
pivot_root . tmp
umount -l /tmp
mount --make-rshared / # as outside of containers; credentials come from elsewhere
exec env -i container=test /usr/lib/systemd/systemd --log-target=journal
'

[[ $PREFIX == /usr || $PREFIX == /usr/* ]] || skip "what is installed in $PREFIX is not below /usr"

echo "-- booting"
status=0
# shellcheck disable=SC2016
timeout -s KILL "$seconds" bash -c 'echo $$ >"$1/cgroup.procs" && shift && exec "$@"' - "$group" \
    unshare --cgroup --pid --mount --ipc --uts --net --kill-child --fork \
    bash -c "$boot" - "$work" "$stage" "$debs" >"$work/boot.log" 2>&1 </dev/null || status=$?
if [[ ! -e $work/out/log ]]; then
    skip "no systemd can be booted here (exit $status): $(tail -n 3 "$work/boot.log")"
fi
cat "$work/out/log"
[[ -e $work/out/passed ]] || {
    echo "FAILED (exit $status)"
    exit 1
}
