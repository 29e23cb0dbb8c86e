"""Real file systems for a test, none of which outlives it.

A script that mounts calls main(), which runs it once more in mount and process namespaces of its
own: whoever ends it, and however, its servers end, its mounts go away, and its loop devices with
them. Everything lies in a tmpfs of that namespace, so that no file is left either.
"""
import ctypes
import fcntl
import os
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import unittest

MIB = 1 << 20
LONG = bool(os.environ.get("KERNEL_LONG"))  # all that there is, and not a sample
SHUTDOWN = 0x8004587D  # EXT4_IOC_SHUTDOWN and XFS_IOC_GOINGDOWN, _IOR('X', 125, __u32)
FLUSH_NOTHING = 2  # not even the file system's own log, as when the power goes
GET_FLAGS = 0x80086601  # FS_IOC_GETFLAGS, _IOR('f', 1, long)
IN_PLACE = 0x00800000  # FS_NOCOW_FL
MAKE = {
    "ext4": ["mkfs.ext4", "-q", "-F", "-m", "0"],
    "xfs": ["mkfs.xfs", "-q", "-f"],
    "btrfs": ["mkfs.btrfs", "-q", "-f"],
}


def main(must_mount=True):
    """Instead of unittest.main(). Where nothing can be mounted the script is skipped, or runs as it
    is."""
    if can_mount():
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6g", "mregiond", tempfile.gettempdir()],
                       check=True)
        unittest.main()
    # Mounted over in each namespace, and never removed: that would detach the mounts below it in all
    # of them, and leave these without anybody who can unmount them.
    folder = "/tmp/mregiond-kernel"
    os.makedirs(folder, mode=0o755, exist_ok=True)
    command = ["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child",
               "--mount-proc"]
    tried = subprocess.run([*command, "mount", "-t", "tmpfs", "mregiond", folder],
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if tried.returncode == 0:
        done = subprocess.run([*command, sys.executable, *sys.argv], check=False,
                              preexec_fn=die_with_parent,
                              env={**os.environ, "KERNEL_INSIDE": "1", "TMPDIR": folder})
        sys.exit(done.returncode)
    if must_mount:
        print(f"skipped: cannot mount here: {tried.stdout.strip()}")
        sys.exit(77)
    unittest.main()


def is_in_place(path):
    """Whether btrfs writes to the file, or to files made in the folder, in place."""
    fd = os.open(path, os.O_RDONLY)
    try:
        return bool(struct.unpack("L", fcntl.ioctl(fd, GET_FLAGS, bytes(8)))[0] & IN_PLACE)
    except OSError:
        return False  # a file system without attributes
    finally:
        os.close(fd)


def restore(data_dir):
    """As from a backup: on btrfs to files that it copies when it writes."""
    folder = os.path.join(data_dir, "regions")
    subprocess.run(["cp", "-a", "--reflink=never", folder, folder + ".copy"], check=True)
    shutil.rmtree(folder)
    os.rename(folder + ".copy", folder)


def can_mount():
    return "KERNEL_INSIDE" in os.environ


def die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


class Disk:
    """A file system in a file, or a tmpfs, and where it is mounted."""

    def __init__(self, kind, size, options=(), make=()):
        self.kind, self.size, self.options = kind, size, list(options)
        self.folder = tempfile.mkdtemp(prefix=f"{kind}.")
        self.image = self.folder + ".image"
        if kind != "tmpfs":
            self.make(make)
        self.mount()

    def make(self, options):
        with open(self.image, "wb") as file:
            file.truncate(self.size)
        self.command(*MAKE[self.kind], *options, self.image)

    @staticmethod
    def command(*words):
        """Skips the test where the program, or the kernel's part, is missing."""
        try:
            done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                  check=False)
        except FileNotFoundError as error:
            raise unittest.SkipTest(str(error)) from None
        if done.returncode != 0:
            raise unittest.SkipTest(f"{' '.join(words)}: {done.stdout.strip()}")

    def mount(self):
        if self.kind == "tmpfs":
            words = ["-t", "tmpfs", "-o", ",".join([f"size={self.size}", *self.options]), "mregiond"]
        else:
            words = ["-t", self.kind, "-o", ",".join(["loop", *self.options]), self.image]
        self.command("mount", *words, self.folder)

    def remount(self):
        """Another mount of the same device: the file system's own recovery runs. Never skips."""
        self.unmount()
        self.mount_again()

    def mount_again(self):
        subprocess.run(["mount", "-t", self.kind, "-o", ",".join(["loop", *self.options]),
                        self.image, self.folder], check=True)

    def unmount(self):
        subprocess.run(["umount", self.folder], check=True)

    def cut_power(self):
        """From here on nothing reaches the device any more."""
        fd = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.ioctl(fd, SHUTDOWN, struct.pack("I", FLUSH_NOTHING))
        finally:
            os.close(fd)

    def remove(self):
        if os.path.ismount(self.folder):
            self.unmount()
        os.rmdir(self.folder)
        if os.path.exists(self.image):
            os.remove(self.image)
