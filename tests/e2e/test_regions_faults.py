"""Renaming and changing a region on a disk that is slow or fails."""
import errno
import os
import signal

from faults import FaultCase, main
from mpack import RpcError

FIRST = "meta-renamed"  # what is written first when a region is renamed


class Regions(FaultCase):
    def setUp(self):
        super().setUp()
        self.number = self.client.call("createRegion", "old")
        self.address = self.client.call("addBlob", "old", self.blob)
        self.client.call("loadBlob", "old", self.address, 1000)

    def hold(self):
        """A renaming is under way from here on; returns who waits for it, and its msgid."""
        self.rule(f"openat hold {FIRST}")
        renamer = self.connect()
        return renamer, renamer.send("renameRegion", "old", "new")

    def assert_intact(self, name):
        self.assertEqual(self.client.call("id", name), self.number)
        self.assertEqual(self.client.call("loadBlob", name, self.address, 1000), self.blob)
        self.assertEqual(os.listdir(self.daemon.data_dir + "/regions/" + name).count(FIRST), 0)

    def test_what_goes_on_meanwhile(self):
        renamer, msgid = self.hold()
        writer = self.connect()
        change = writer.send("addBlob", self.number, b"waits")
        self.assertFalse(writer.readable(0.3))
        self.assertEqual(self.client.call("loadBlob", "old", self.address, 1000), self.blob)
        self.client.call("addBlob", "main", b"another region")
        uploader = self.connect()
        upload = uploader.call("beginBlob", self.number, 100000)
        piece = uploader.send("appendBlob", upload, bytes(100000))
        second = self.connect()
        after = second.send("createRegion", "next")  # such tasks come one after the other
        self.assertFalse(renamer.readable(0.2))
        self.rule()
        self.assertIsNone(renamer.wait(msgid))
        self.assertEqual(self.client.call("loadBlob", "new", writer.wait(change), 5), b"waits")
        self.assertIsNone(uploader.wait(piece))
        uploader.call("commitBlob", upload)
        second.wait(after)
        self.assert_intact("new")

    def test_stopped_meanwhile(self):
        _, _ = self.hold()
        writer = self.connect()
        change = writer.send("addBlob", self.number, b"waits")
        self.assertFalse(writer.readable(0.2))
        self.daemon.signal(signal.SIGTERM)
        self.daemon.wait_log("stopping")
        self.rule()
        at = writer.wait(change)
        self.assertEqual(self.daemon.wait(), 0)
        self.daemon.start()
        self.client = self.connect()
        self.assert_intact("new")
        self.assertEqual(self.client.call("loadBlob", "new", at, 5), b"waits")

    def test_killed_meanwhile(self):
        self.hold()
        self.restart()
        self.assert_intact("old")
        self.client.call("renameRegion", "old", "new")
        self.assert_intact("new")

    def test_killed_between_the_steps(self):
        """The folder's own sync is the end of the first, and of the third."""
        for folder, name in (("regions/old", "old"), ("regions/new", "new")):
            self.rule(f"fsync hold {folder}")
            renamer = self.connect()
            renamer.send("renameRegion", "old", "new")
            self.assertFalse(renamer.readable(0.3))
            self.restart()
            self.assert_intact(name)

    def test_dropped_meanwhile(self):
        renamer, msgid = self.hold()
        self.assertFalse(renamer.readable(0.2))
        drop = self.client.send("dropRegion", "old")
        self.assertFalse(self.client.readable(0.2))
        self.rule()
        self.assertIsNone(renamer.wait(msgid))
        self.assertIsNone(self.client.wait(drop))
        self.assertEqual(self.client.call("listRegions"), ["main", "other"])
        self.assertEqual(sorted(os.listdir(self.daemon.data_dir + "/regions")), ["main", "other"])

    def test_it_fails(self):
        for number, code in ((errno.ENOSPC, "no_space"), (errno.EIO, "io_error")):
            self.rule(f"openat {number} {FIRST}")
            self.refused([code], "renameRegion", "old", "new")
            self.client.call("addBlob", "old", b"goes on")
            self.rule()
            self.assert_intact("old")
        self.rule(f"openat {errno.ENOSPC} meta.new")
        self.refused(["no_space"], "setRegion", "old", {"max_size": 1 << 30})
        self.assertEqual(self.client.call("regionInfo", "old")["max_size"], 0)
        self.rule()
        self.client.call("setRegion", "old", {"max_size": 1 << 30})
        self.restart()
        self.assertEqual(self.client.call("regionInfo", "old")["max_size"], 1 << 30)

    def test_a_region_that_has_failed(self):
        self.rule(f"fdatasync {errno.EIO} regions/old/")
        with self.assertRaises(RpcError):
            self.client.call("addBlob", "old", b"lost")
        self.rule()
        self.refused(["read_only"], "renameRegion", "old", "new")
        self.refused(["read_only"], "setRegion", "old", {"fit": "lowest"})
        self.restart()
        self.client.call("renameRegion", "old", "new")


if __name__ == "__main__":
    main()
