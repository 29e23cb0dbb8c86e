"""Renaming and changing a region on a disk that is slow or fails."""
import errno
import os
import signal

from faults import FaultCase, main
from mpack import RpcError

FIRST = "meta-renamed"  # what is written first when a region is renamed


class RegionsCase(FaultCase):
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


class Regions(RegionsCase):
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
        listener = self.connect()
        listener.call("subscribe")
        self.assertFalse(renamer.readable(0.2))
        drop = self.client.send("dropRegion", "old")
        self.assertFalse(self.client.readable(0.2))
        self.rule()
        self.assertIsNone(renamer.wait(msgid))
        self.assertIsNone(self.client.wait(drop))
        # who listens knows the name that it is dropped under
        self.assertEqual(listener.wait_event(),
                         {"event": "renamed", "region": "new", "id": self.number, "before": "old"})
        self.assertEqual(listener.wait_event(),
                         {"event": "dropped", "region": "new", "id": self.number})
        self.assertEqual(self.client.call("listRegions"), ["main", "other"])
        self.assertEqual(sorted(os.listdir(self.daemon.data_dir + "/regions")), ["main", "other"])

    def test_a_limit_holds_while_it_is_written(self):
        """What is handed out meanwhile is within it, and a limit that came to nothing is none."""
        for outcome in (None, errno.EIO):
            self.rule("openat hold regions/old/meta.new")
            size = self.client.call("size", "old")
            setter = self.connect()
            msgid = setter.send("setRegion", "old", {"max_size": size + 10})
            self.assertFalse(setter.readable(0.2))
            self.refused(["no_space"], "allocate", "old", 11)
            self.client.call("allocate", "old", 10)
            if outcome is None:
                self.rule()
                self.assertIsNone(setter.wait(msgid))
                self.refused(["no_space"], "allocate", "old", 1)
                self.client.call("setRegion", "old", {"max_size": 0})
            else:
                self.rule(f"openat {outcome} regions/old/meta.new")
                with self.assertRaises(RpcError):
                    setter.wait(msgid)
                self.client.call("allocate", "old", 1)

    def test_it_may_have_happened(self):
        """Where the last sync has failed nobody knows until the next start, and the answer says so."""
        self.rule(f"fsync {errno.EIO} regions/old$")
        sentence = self.refused(["io_error"], "setRegion", "old", {"max_size": 1 << 30})
        self.assertIn("until the next start, which may find", sentence)
        self.daemon.wait_log("cannot change region old: .*until the next start, which may find")
        self.assertEqual(self.client.call("regionInfo", "old")["max_size"], 0)
        self.rule(f"openat {errno.EIO} {FIRST}")
        self.assertNotIn("next start", self.refused(["io_error"], "renameRegion", "old", "new"))
        self.rule(f"openat {errno.EIO} meta.new")
        self.assertNotIn("next start",
                         self.refused(["io_error"], "setRegion", "old", {"max_size": 2 << 30}))
        self.rule(f"fsync {errno.EIO} data/regions$")
        sentence = self.refused(["io_error"], "renameRegion", "old", "new")
        self.assertIn("called old until the next start, which may find it called new", sentence)
        self.daemon.wait_log("cannot rename region old: .*which may find it called new")
        self.rule()
        self.client.call("addBlob", "old", b"goes on")
        self.assertIn("restart", self.refused(["read_only"], "renameRegion", "old", "new"))
        self.restart()
        self.assert_intact("old")
        self.client.call("renameRegion", "old", "new")

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

    def dropped_with(self, pattern):
        """Dropping fails like this, and who listens knows that it is not there any more."""
        listener = self.connect()
        listener.call("subscribe")
        self.assertRegex(self.refused(["io_error"], "dropRegion", "old"), pattern)
        self.daemon.wait_log("cannot drop region old: .*" + pattern)
        self.assertEqual(listener.wait_event(),
                         {"event": "dropped", "region": "old", "id": self.number})
        self.assertEqual(self.client.call("listRegions"), ["main", "other"])

    def test_dropping_fails_at_the_end(self):
        """It is gone, its name is free, and the answer says what else there is to know."""
        folder = self.daemon.data_dir + "/regions"
        os.mkdir(folder + "/old/mine")
        self.dropped_with("is dropped, but its space is not free before the next start")
        self.number = self.client.call("createRegion", "old")
        self.rule(f"fsync {errno.EIO} data/regions$")
        self.dropped_with("gone until the next start, which may find it")
        self.rule()
        self.number = self.client.call("createRegion", "old")
        self.restart()
        self.assertEqual(self.client.call("id", "old"), self.number)

    def test_dropping_fails(self):
        """It is there as it was, unless it cannot be opened again."""
        folder = self.daemon.data_dir + "/regions/.drop-old"
        for name in [folder] + [f"{folder}.{i}" for i in range(1, 100)]:
            os.makedirs(name + "/mine")  # every name that it could have
        self.assertNotIn("not open", self.refused(["io_error"], "dropRegion", "old"))
        self.assert_intact("old")
        self.client.call("addBlob", "old", b"goes on")
        self.rule(f"openat {errno.EMFILE} regions/old/data")
        self.dropped_with("not open until the next start: restart mregiond .*Too many open files")
        self.rule()
        self.refused(["exists"], "createRegion", "old")
        self.restart()
        self.assert_intact("old")

    def test_a_region_that_has_failed(self):
        self.rule(f"fdatasync {errno.EIO} regions/old/")
        with self.assertRaises(RpcError):
            self.client.call("addBlob", "old", b"lost")
        self.rule()
        self.refused(["read_only"], "renameRegion", "old", "new")
        self.refused(["read_only"], "setRegion", "old", {"fit": "lowest"})
        self.restart()
        self.client.call("renameRegion", "old", "new")


class Reloads(RegionsCase):
    """The configuration names a region while it is renamed."""
    regions = []
    config = "regions: [name: main, name: other]\n"

    def reload(self, *regions, is_held=False):
        """Is through once its regions are there, which may be held up."""
        self.daemon.write_config("sandbox: off\nmax_uploads: 63\nregions: [" +
                                 ", ".join((*regions, "name: main", "name: other")) + "]\n")
        self.daemon.signal(signal.SIGHUP)
        if not is_held:
            self.daemon.wait_log("reloaded the configuration")
        while self.client.call("serverInfo")["max_uploads"] != 63:
            pass

    def test_its_name_is_configured_meanwhile(self):
        """The configuration has the last word: the region stays what is listed there."""
        renamer, msgid = self.hold()
        self.assertFalse(renamer.readable(0.2))
        listener = self.connect()
        listener.call("subscribe")
        self.reload("{name: old, max_size: 1GiB}")
        self.rule()
        with self.assertRaises(RpcError) as caught:
            renamer.wait(msgid)
        self.assertEqual(caught.exception.code, "invalid_argument")
        self.assertIn("configuration", caught.exception.sentence)
        for _ in range(2):
            self.assertEqual(self.client.call("listRegions"), ["main", "old", "other"])
            self.assertEqual(self.client.call("regionInfo", "old")["max_size"], 1 << 30)
            self.assert_intact("old")
            self.client.call("addBlob", "old", b"goes on")
            self.assertEqual(listener.events, [])
            self.restart()
        self.reload()
        self.client.call("renameRegion", "old", "new")

    def test_it_is_configured_while_it_is_changed(self):
        """Then it has what the configuration says, and what was asked for is refused as it would be
        now."""
        self.rule("openat hold regions/old/meta.new")
        setter = self.connect()
        msgid = setter.send("setRegion", "old", {"max_size": 3 << 30, "fit": "lowest"})
        self.assertFalse(setter.readable(0.2))
        self.reload("{name: old, max_size: 1GiB}")
        self.rule()
        with self.assertRaises(RpcError) as caught:
            setter.wait(msgid)
        self.assertEqual(caught.exception.code, "invalid_argument")
        self.assertEqual(caught.exception.sentence,
                         self.refused(["invalid_argument"], "setRegion", "old", {"fit": "lowest"}))
        info = self.client.call("regionInfo", "old")
        self.assertEqual((info["max_size"], info["fit"]), (1 << 30, "tight"))
        self.reload()
        self.restart()  # with what it has in its folder
        info = self.client.call("regionInfo", "old")
        self.assertEqual((info["max_size"], info["fit"]), (0, "tight"))
        self.assert_intact("old")

    def test_it_cannot_go_back(self):
        """Then it has the new name, as the log says, which names what the next start would make."""
        self.rule("fsync hold regions/new")  # the third step
        renamer = self.connect()
        msgid = renamer.send("renameRegion", "old", "new")
        self.assertFalse(renamer.readable(0.3))
        self.reload("{name: old, max_size: 1GiB}")
        self.rule(f"openat {errno.EIO} {FIRST}")
        with self.assertRaises(RpcError) as caught:
            renamer.wait(msgid)
        self.assertEqual(caught.exception.code, "io_error")
        self.daemon.wait_log("cannot rename region old: ")
        self.daemon.wait_log("region old is listed in the configuration.* called new")
        self.rule()
        self.assert_intact("new")
        self.assertEqual(self.client.call("listRegions"), ["main", "new", "other"])

    def test_the_other_name_is_configured_meanwhile(self):
        """It is the region that the configuration means, then, with the options from there."""
        renamer, msgid = self.hold()
        self.assertFalse(renamer.readable(0.2))
        self.reload("{name: new, max_size: 1GiB}", is_held=True)
        self.assertNotIn("reloaded the configuration", self.daemon.log())
        self.rule()
        self.assertIsNone(renamer.wait(msgid))
        self.client.call("createRegion", "behind")  # such tasks come one after the other
        for _ in range(2):
            self.assertEqual(self.client.call("regionInfo", "new")["max_size"], 1 << 30)
            self.assert_intact("new")
            self.assertNotIn("cannot", self.daemon.log())
            self.restart()


if __name__ == "__main__":
    main()
