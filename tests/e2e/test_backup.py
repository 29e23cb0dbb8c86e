"""Backups and regions made out of them: under load, in every way that they may end, by whom."""
import json
import os
import resource
import shutil
import signal
import stat
import struct
import threading
import unittest

from case import Case, contents, run
from faults import FAULT
from mpack import Client, RpcError
from server import mrcli
from test_users import ALICE, BOB, user

CONFIG = """
listen: [unix: {folder}/s, tcp: "127.0.0.1:0"]
backup_dir: {folder}/backups
regions: [name: main, name: other]
"""
PAIR = 16  # bytes of a counter, twice in a region, always changed together


class BackupCase(Case):
    def backed_up(self, extra="", **options):
        """A server with a place for backups, started."""
        server = self.server(config="listen: []\n", regions=[], **options)
        off = "sandbox: off\n" if not options.get("sandbox", True) else ""
        server.write_config(off + CONFIG.format(folder=server.folder) + extra)
        server.start()
        return server

    def refused(self, client, code, *call):
        with self.assertRaises(RpcError) as caught:
            client.call(*call)
        self.assertEqual(caught.exception.code, code, caught.exception)
        return caught.exception.sentence

    def assert_blobs(self, client, region, blobs):
        for address, blob in blobs.items():
            self.assertEqual(client.call("loadBlob", region, address, len(blob)), blob)

    def assert_well(self, client, region):
        scrub = client.call("scrub", region)
        self.assertEqual((scrub["damaged"], scrub["unverified"]), (0, 0))


class Writer(threading.Thread):
    """Adds blobs, removes some, and changes two places with one number, all or nothing."""

    def __init__(self, server, seed):
        super().__init__()
        self.client, self.seed, self.is_over, self.error = Client(server.unix), seed, False, None
        self.kept = {}  # as answered
        self.pair = [self.client.call("addBlob", "main", bytes(PAIR)) for _ in range(2)]
        self.begun = self.answered = 0

    def run(self):
        try:
            while not self.is_over:
                self.step()
        except Exception as error:  # told by the test
            self.error = error

    def step(self):
        self.begun += 1
        number = struct.pack("<QQ", self.begun, self.seed)
        self.client.call("batch", "main", [["storeBlob", at, number] for at in self.pair])
        self.answered = self.begun
        blob = os.urandom(40 + self.begun * 7919 % 9000)
        address = self.client.call("addBlob", "main", blob)
        if self.begun % 3 == 0:
            self.client.call("deallocate", "main", address, len(blob))
        else:
            self.kept[address] = blob

    def stop(self):
        self.is_over = True
        self.join()
        self.client.close()


class Load(BackupCase):
    def test_under_load(self):
        server = self.backed_up()
        client = self.connect(server)
        large = os.urandom(20 << 20)
        place = client.call("addBlob", "main", large)
        writers = [Writer(server, seed) for seed in range(3)]
        for writer in writers:
            writer.start()
        before, after = {}, {}
        for name in ("one", "two", "three"):
            before[name] = [(w.answered, dict(w.kept)) for w in writers]
            self.assertGreaterEqual(client.call("backupRegion", "main", name), len(large))
            after[name] = [w.begun for w in writers]
        for writer in writers:
            writer.stop()
            self.assertIsNone(writer.error)
        self.assertEqual([b["name"] for b in client.call("listBackups")], ["one", "three", "two"])
        for name in before:
            client.call("restoreRegion", name, "again-" + name)
            self.assert_well(client, "again-" + name)
            self.assert_blobs(client, "again-" + name, {place: large})
            for writer, (answered, kept), begun in zip(writers, before[name], after[name]):
                self.assert_blobs(client, "again-" + name, kept)
                pair = [client.call("loadBlob", "again-" + name, at, PAIR) for at in writer.pair]
                self.assertEqual(pair[0], pair[1])
                number = struct.unpack("<QQ", pair[0])[0]
                self.assertTrue(answered <= number <= begun, (answered, number, begun))
        # What was restored lives on by itself.
        client.call("clear", "again-one")
        self.assert_blobs(client, "again-two", {place: large})
        self.assert_blobs(client, "main", {place: large})
        infos = [client.call("regionInfo", name) for name in ("main", "again-one", "again-two")]
        self.assertEqual(len({info["id"] for info in infos}), 3)
        self.assertEqual(len({info["uuid"] for info in infos}), 3)
        server.stop()
        server.start()
        with Client(server.unix) as again:
            self.assert_blobs(again, "again-three", {place: large})

    def test_one_after_the_other(self):
        server = self.backed_up()
        client = self.connect(server)
        for region in ("main", "other"):
            client.call("addBlob", region, bytes(range(256)) * 10000)
        ids = [client.send("backupRegion", region, f"{region}-{i}")
               for i in range(3) for region in ("main", "other", "main")]
        answers = []
        for msgid in ids:
            try:
                answers.append(client.wait(msgid))
            except RpcError as error:
                answers.append(error.code)
        self.assertEqual([answers[i] for i in (2, 5, 8)], ["exists"] * 3)
        self.assertTrue(all(isinstance(answer, int) for answer in answers[:2] + answers[3:5]))
        self.assertEqual(len(client.call("listBackups")), 6)

    def test_all_regions(self):
        """mrcli backup --all: those that can be, whatever becomes of the others."""
        server = self.backed_up()
        client = self.connect(server)
        client.call("addBlob", "main", os.urandom(10000))
        long = "x" * 64
        client.call("createRegion", long)

        def mrcli_out(*args):
            done = mrcli(server, *args, check=False)
            return done.returncode, done.stdout.decode(), done.stderr.decode()

        status, out, errors = mrcli_out("-o", "raw", "backup", "--all", "monday")
        self.assertEqual(out, "main-monday\t12288\nother-monday\t0\n")
        self.assertEqual(len(errors.splitlines()), 1)
        self.assertIn("invalid_argument", errors)
        self.assertEqual(status, 1)
        client.call("dropRegion", long)
        status, out, errors = mrcli_out("-o", "json", "backup", "--all", "tuesday")
        self.assertEqual((status, errors), (0, ""))
        self.assertEqual([json.loads(line) for line in out.splitlines()],
                         [{"region": "main", "backup": "main-tuesday", "bytes": 12288},
                          {"region": "other", "backup": "other-tuesday", "bytes": 0}])
        status, out, errors = mrcli_out("backup", "--all")
        self.assertEqual((status, errors), (0, ""))
        self.assertRegex(out, r"^main-\d{8}T\d{6}Z +12288\nother-\d{8}T\d{6}Z +0\n$")
        status, out, errors = mrcli_out("backup", "--all", "monday")
        self.assertEqual((out, errors.count("exists: ")), ("", 2))
        self.assertIn("--all", mrcli_out("backup")[2])
        self.assertEqual(mrcli_out("remove-backup", "main-monday"), (0, "", ""))
        self.assertNotEqual(mrcli_out("remove-backup", "main-monday")[0], 0)
        self.assertEqual(len(client.call("listBackups")), 5)

    def test_by_hand(self):
        server = self.backed_up()
        client = self.connect(server)
        blob = os.urandom(300000)
        address = client.call("addBlob", "main", blob)
        token = b"0123456789abcdef"
        once = client.call("addBlob", "main", b"once", {"token": token})
        client.call("backupRegion", "main", "b")
        client.call("clear", "main")
        server.stop()
        region = os.path.join(server.data_dir, "regions", "main")
        shutil.rmtree(region)
        shutil.copytree(server.path("backups/b"), region)
        done = run("--config", server.path("mregiond.yaml"), "--data-dir", server.data_dir, "--check")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        server.start()
        with Client(server.unix) as again:
            self.assert_blobs(again, "main", {address: blob})
            self.assertEqual(again.call("addBlob", "main", b"once", {"token": token}), once)
            self.assert_well(again, "main")

    def test_mrcli(self):
        server = self.backed_up()
        address = mrcli(server, "-r", "main", "add", "-", stdin=b"a blob").stdout.strip()
        self.assertEqual(mrcli(server, "-r", "main", "backup", "b").stdout, b"4096\n")
        mrcli(server, "restore", "b", "again")
        self.assertEqual(mrcli(server, "-r", "again", "load", address.decode()).stdout, b"a blob")
        listed = json.loads(mrcli(server, "-o", "json", "backups").stdout)
        self.assertEqual([(one["name"], one["region"], one["size"]) for one in listed],
                         [("b", "main", 6)])
        self.assertEqual(mrcli(server, "-o", "raw", "backups").stdout,
                         f"b\tmain\t6\t{listed[0]['made']}\n".encode())
        self.assertRegex(mrcli(server, "backups").stdout.decode(),
                         r"\ABACKUP REGION +SIZE MADE\nb +main +6 bytes \d{4}-\d\d-\d\d \d\d:\d\d:\d\d\n\Z")
        done = mrcli(server, "-r", "main", "backup", "b", check=False)
        self.assertIn(b"exists", done.stderr)


class Refusals(BackupCase):
    def test_nowhere(self):
        server = self.server()
        server.start()
        client = self.connect(server)
        for call in (("backupRegion", "main", "b"), ("restoreRegion", "b", "c"), ("listBackups",)):
            self.assertIn("backup_dir", self.refused(client, "invalid_argument", *call))

    def test_names(self):
        server = self.backed_up()
        client = self.connect(server)
        for name in ("", ".", "..", "../b", "/tmp/b", ".new-b", "a" * 65, "a b", b"\xff"):
            self.refused(client, "invalid_argument", "backupRegion", "main", name)
            self.refused(client, "invalid_argument", "restoreRegion", name, "x")
            if name != "":
                self.refused(client, "invalid_argument", "restoreRegion", "b", name)
        client.call("backupRegion", "main", "b")
        before = contents(server.path("backups"))
        self.refused(client, "exists", "backupRegion", "other", "b")
        self.refused(client, "exists", "restoreRegion", "b", "main")
        self.refused(client, "invalid_argument", "restoreRegion", "c", "x")
        self.refused(client, "no_such_region", "backupRegion", "nobody", "x")
        # Neither is a folder that is no backup, nor a link out of it.
        os.mkdir(server.path("backups/empty"))
        os.symlink(server.data_dir + "/regions/main", server.path("backups/link"))
        for name in ("empty", "link"):
            self.refused(client, "invalid_argument", "restoreRegion", name, "x")
        self.assertEqual([b["name"] for b in client.call("listBackups")], ["b"])
        self.assertEqual(contents(server.path("backups")), before)
        self.assertEqual(client.call("listRegions"), ["main", "other"])

    def test_more_than_fit_a_message(self):
        server = self.backed_up("max_message: 64KiB\nmax_buffered: 64KiB\n")
        client, folder = self.connect(server), server.path("backups")
        client.call("backupRegion", "main", "b")
        names = [f"{number:0>64}" for number in range(600)]  # 64 characters each
        for name in names:
            os.mkdir(f"{folder}/{name}")
            for part in os.listdir(f"{folder}/b"):
                os.link(f"{folder}/b/{part}", f"{folder}/{name}/{part}")
        self.assertIn("max_message", self.refused(client, "too_large", "listBackups"))
        for name in names[300:]:
            shutil.rmtree(f"{folder}/{name}")
        self.assertEqual([b["name"] for b in client.call("listBackups")], names[:300] + ["b"])

    def test_what_is_no_file(self):
        """A pipe or a socket where a file should be, anywhere in a backup: nobody waits for who may
        write to it."""
        server = self.backed_up()
        client = self.connect(server)
        client.call("addBlob", "main", bytes(range(256)))
        client.call("backupRegion", "main", "good")
        backups = server.path("backups")
        os.mkdir(backups + "/bad")
        for i in range(5):  # more than there are workers
            os.mkdir(f"{backups}/alone-{i}")
            os.mkfifo(f"{backups}/alone-{i}/meta")
        self.assertEqual([b["name"] for b in client.call("listBackups")], ["good"])
        self.refused(client, "invalid_argument", "restoreRegion", "alone-1", "x")
        names = os.listdir(backups + "/good")
        self.assertGreaterEqual(len(names), 6)
        for name in names:
            for kind in ("pipe", "socket"):
                shutil.rmtree(backups + "/bad")
                shutil.copytree(backups + "/good", backups + "/bad")
                os.remove(f"{backups}/bad/{name}")
                if kind == "pipe":
                    os.mkfifo(f"{backups}/bad/{name}")
                else:
                    os.mknod(f"{backups}/bad/{name}", stat.S_IFSOCK | 0o600)
                with self.assertRaises(RpcError) as caught:
                    client.call("restoreRegion", "bad", "x")
                if name != "meta":
                    self.assertIn(f"bad/{name}: it is not a regular file", str(caught.exception))
        client.call("restoreRegion", "good", "x")

    def test_links(self):
        """What a link leads to is not tidied up in the place of what a backup has left."""
        server = self.backed_up()
        client = self.connect(server)
        number = client.call("regionInfo", "main")["id"]
        blob = os.urandom(5000)
        address = client.call("addBlob", "main", blob)
        client.call("checkpoint", "main")
        link = server.path(f"backups/.new-b.{number}")
        os.symlink(server.data_dir + "/regions/main", link)
        before = contents(server.data_dir + "/regions")
        client.call("backupRegion", "main", "b")
        self.assertEqual(contents(server.data_dir + "/regions"), before)
        self.assertEqual(sorted(os.listdir(server.path("backups"))), [".lock", "b"])
        # Nor when the server starts.
        os.symlink(server.data_dir + "/regions/main", link)
        server.stop()
        server.start()
        with Client(server.unix) as again:
            self.assert_blobs(again, "main", {address: blob})
            again.call("backupRegion", "main", "c")
            again.call("restoreRegion", "b", "x")
            self.assert_blobs(again, "x", {address: blob})

    def test_the_directory(self):
        server = self.backed_up()
        second = self.server(config="listen: []\n", regions=[])
        second.write_config(f"listen: [unix: {second.path('s')}]\nbackup_dir: {server.path('backups')}\n")
        self.assert_refused(*second.run(), "backup_dir.*another mregiond")
        for place in (second.data_dir, second.data_dir + "/regions", second.folder):
            second.write_config(f"listen: [unix: {second.path('s')}]\nbackup_dir: {place}\n")
            self.assert_refused(*second.run(), "backup_dir.*outside data_dir")

    def test_damage(self):
        server = self.backed_up()
        client = self.connect(server)
        blob = os.urandom(100000)
        client.call("addBlob", "main", blob)
        client.call("backupRegion", "main", "good")
        client.call("checkpoint", "main")
        for folder in (server.data_dir + "/regions/main", server.path("backups/good")):
            with open(folder + "/data", "r+b") as data:
                data.seek(5 * 4096 + 7)
                data.write(b"not what was stored")
        self.assertIn("page at 20480", self.refused(client, "corrupt", "backupRegion", "main", "bad"))
        self.assertIn("page at 20480", self.refused(client, "corrupt", "restoreRegion", "good", "x"))
        self.assertEqual(sorted(os.listdir(server.path("backups"))), [".lock", "good"])
        self.assertEqual(os.listdir(server.data_dir + "/regions").count("x"), 0)
        self.assertEqual(client.call("regionInfo", "main")["damages"], [20480])
        client.call("addBlob", "main", b"goes on")

    def test_users(self):
        users = "users:\n" + user("alice", "a-*:admin", "main:read", password=ALICE) + \
            user("bob", "*:admin", password=BOB)
        server = self.backed_up(users)
        with Client(server.unix) as bob, Client(server.unix) as alice:
            bob.call("authenticate", "bob", BOB)
            alice.call("authenticate", "alice", ALICE)
            alice.call("createRegion", "a-1")
            bob.call("addBlob", "main", b"secret")
            bob.call("backupRegion", "main", "main-1")
            alice.call("backupRegion", "a-1", "a-backup")
            self.refused(alice, "denied", "backupRegion", "main", "x")
            self.refused(alice, "no_such_region", "backupRegion", "other", "x")
            self.assertEqual([b["name"] for b in alice.call("listBackups")], ["a-backup"])
            self.assertEqual([b["name"] for b in bob.call("listBackups")], ["a-backup", "main-1"])
            # What she may not have is not there.
            missing = self.refused(alice, "invalid_argument", "restoreRegion", "nothing", "a-2")
            hidden = self.refused(alice, "invalid_argument", "restoreRegion", "main-1", "a-2")
            self.assertEqual(hidden.replace("main-1", "nothing"), missing)
            self.refused(alice, "denied", "restoreRegion", "a-backup", "b-2")
            alice.call("restoreRegion", "a-backup", "a-2")
            bob.call("restoreRegion", "main-1", "a-3")
            self.assertEqual(alice.call("loadBlob", "a-3", 0, 6), b"secret")
            # So it is with removing.
            missing = self.refused(alice, "invalid_argument", "removeBackup", "nothing")
            hidden = self.refused(alice, "invalid_argument", "removeBackup", "main-1")
            self.assertEqual(hidden.replace("main-1", "nothing"), missing)
            self.assertIsNone(alice.call("removeBackup", "a-backup"))
            self.assertEqual([b["name"] for b in bob.call("listBackups")], ["main-1"])
        server.wait_log("audit: user=alice .* act=removeBackup region=- backup=a-backup result=ok")
        server.wait_log("audit: user=alice .* act=removeBackup region=- backup=main-1 result=invalid_argument")
        server.wait_log("region a-1: backup a-backup removed")
        server.wait_log("audit: user=alice .* act=restoreRegion region=a-2 backup=a-backup result=ok")
        server.wait_log("audit: user=bob .* act=backupRegion region=main backup=main-1 result=ok")


@unittest.skipIf(FAULT is None, "a preloaded library and AddressSanitizer do not get along")
class Faults(BackupCase):
    def setUp(self):
        self.daemon = self.backed_up(sandbox=False)
        self.daemon.kill()
        self.rules = self.daemon.path("rules")
        self.daemon.env.update(LD_PRELOAD=FAULT, MREGION_FAULT=self.rules)
        self.daemon.start()
        self.client = self.connect(self.daemon)
        self.blob = os.urandom(3 << 20)
        self.address = self.client.call("addBlob", "main", self.blob)

    def tearDown(self):
        self.rule()
        if self.daemon.process is not None:
            self.daemon.kill()

    def rule(self, *lines):
        with open(self.rules + ".new", "w", encoding="ascii") as file:
            file.writelines(line + "\n" for line in lines)
        os.replace(self.rules + ".new", self.rules)

    def left(self):
        return sorted(os.listdir(self.daemon.path("backups")))

    def wait_begun(self):
        while self.left() == [".lock"]:
            pass

    def test_full(self):
        for function in ("pwritev", "fallocate", "openat"):
            for part in ("data", "sums", "checkpoint-b", "journal", "meta"):
                if function == "fallocate" and part in ("data", "meta"):
                    continue
                if function == "pwritev" and part == "sums":
                    continue
                self.rule(f"{function} 28 .new-b.1/{part}")  # ENOSPC
                self.refused(self.client, "no_space", "backupRegion", "main", "b")
                self.assertEqual(self.left(), [".lock"], (function, part))
        self.rule("fdatasync 5 .new-b.1/")
        self.refused(self.client, "io_error", "backupRegion", "main", "b")
        self.assertEqual(self.left(), [".lock"])
        self.rule()
        self.client.call("backupRegion", "main", "b")
        self.client.call("addBlob", "main", b"and the region never noticed")
        self.rule("pwritev 28 regions/.new-x/data")
        self.refused(self.client, "no_space", "restoreRegion", "b", "x")
        self.rule()
        self.client.call("restoreRegion", "b", "x")
        self.assert_blobs(self.client, "x", {self.address: self.blob})

    def test_killed(self):
        """In the middle, and at the end; the region is what it was and no backup is there."""
        for place in ("pwritev hold .new-b.1/data", "fdatasync hold .new-b.1/",
                      "fdatasync hold .new-b.1/meta"):
            self.rule(place)
            self.client.send("backupRegion", "main", "b")
            self.wait_begun()
            added = self.client.call("addBlob", "main", b"meanwhile")  # nobody waits for it
            self.daemon.kill()
            self.rule()
            self.daemon.start()
            self.assertEqual(self.left(), [".lock"])
            self.client = self.connect(self.daemon)
            self.assertEqual(self.client.call("listBackups"), [])
            self.assert_blobs(self.client, "main", {self.address: self.blob, added: b"meanwhile"})
            self.assert_well(self.client, "main")
        self.client.call("backupRegion", "main", "b")

    def test_dropped(self):
        self.rule("pwritev hold .new-b.1/data")
        first = self.client.send("backupRegion", "main", "b")
        self.wait_begun()
        with Client(self.daemon.unix) as other:
            second = other.send("backupRegion", "main", "c")
            drop = other.send("dropRegion", "main")
            with self.assertRaises(RpcError) as caught:
                other.wait(second)
            self.assertEqual(caught.exception.code, "no_such_region")
            self.rule()
            other.wait(drop)
        with self.assertRaises(RpcError) as caught:
            self.client.wait(first)
        self.assertEqual(caught.exception.code, "no_such_region")
        self.assertEqual(self.left(), [".lock"])
        self.client.call("backupRegion", "other", "b")

    def test_stopped(self):
        self.rule("pwritev hold .new-b.1/data")
        msgid = self.client.send("backupRegion", "main", "b")
        self.wait_begun()
        self.daemon.signal(signal.SIGTERM)
        self.daemon.wait_log("stopping")
        self.rule()
        with self.assertRaises(RpcError) as caught:
            self.client.wait(msgid)
        self.assertEqual(caught.exception.code, "shutting_down")
        self.assertEqual(self.daemon.wait(), 0)
        self.assertEqual(self.left(), [".lock"])

    def test_not_renamed_meanwhile(self):
        """It would wait for the copy, and all changes for it."""
        number = self.client.call("createRegion", "x")
        self.client.call("addBlob", "x", bytes(5000))
        self.rule(f"pwritev hold .new-b.{number}/data")
        with Client(self.daemon.tcp) as other:
            backup = other.send("backupRegion", "x", "b")
            while f".new-b.{number}" not in self.left():
                pass
            self.refused(self.client, "busy", "renameRegion", "x", "y")
            self.client.call("addBlob", "x", b"x")
            self.rule()
            other.wait(backup)
        self.client.call("renameRegion", "x", "y")

    def test_who_goes_away(self):
        """What he has asked for is made all the same, as it is with changes."""
        self.rule("pwritev hold .new-b.1/data")
        other = Client(self.daemon.tcp)
        other.send("backupRegion", "main", "b")
        self.wait_begun()
        other.send("backupRegion", "other", "c")
        self.assertEqual(other.call("ping"), "pong")
        other.reset()
        self.rule()
        self.daemon.wait_log("backed up as c")
        self.assertEqual([b["name"] for b in self.client.call("listBackups")], ["b", "c"])

    def hold_restore(self, client, backup, name):
        """One that is being copied as long as the rule stands."""
        self.rule(f"pwritev hold regions/.new-{name}/data")
        msgid = client.send("restoreRegion", backup, name)
        while f".new-{name}" not in os.listdir(self.daemon.data_dir + "/regions"):
            pass
        return msgid

    def test_restoring_is_waited_for_by_nobody(self):
        """But by who asks for the same name, in this order, and by the next one that restores."""
        self.client.call("backupRegion", "main", "b")
        with Client(self.daemon.tcp) as first, Client(self.daemon.tcp) as second, \
                Client(self.daemon.tcp) as third, Client(self.daemon.tcp) as fourth:
            restored = self.hold_restore(first, "b", "x")
            number = self.client.call("createRegion", "y")
            self.client.call("addBlob", "y", b"y")
            self.client.call("renameRegion", "y", "z")
            self.client.call("setRegion", "z", {"max_size": "1GiB"})
            self.client.call("backupRegion", "z", "c")
            self.client.call("createRegion", "to-be-renamed")
            create = second.send("createRegion", "x")
            rename = third.send("renameRegion", "to-be-renamed", "x")
            again = fourth.send("restoreRegion", "c", "y")
            self.client.call("dropRegion", "z")
            self.client.call("createRegion", "z")
            for name in ("z", "to-be-renamed"):
                self.client.call("regionInfo", name)
            # What waits is not done.
            self.refused(self.client, "no_such_region", "regionInfo", "x")
            self.refused(self.client, "no_such_region", "regionInfo", "y")
            self.rule()
            restored = first.wait(restored)
            self.assertLess(restored, number)
            for client, msgid in ((second, create), (third, rename)):
                with self.assertRaises(RpcError) as caught:
                    client.wait(msgid)
                self.assertEqual(caught.exception.code, "exists")
            fourth.wait(again)
            self.assertEqual(self.client.call("loadBlob", "y", 0, 1), b"y")
            self.assert_blobs(self.client, "x", {self.address: self.blob})
            self.assertEqual(self.client.call("regionInfo", "x")["id"], restored)
        self.daemon.stop()
        self.daemon.start()
        with Client(self.daemon.unix) as client:
            self.assertEqual(client.call("listRegions"),
                             ["main", "other", "to-be-renamed", "x", "y", "z"])
            self.assert_blobs(client, "x", {self.address: self.blob})

    def test_what_comes_after_a_name_that_is_restored(self):
        """Whoever drops a region waits for what was asked of it before."""
        self.client.call("backupRegion", "main", "b")
        self.client.call("createRegion", "y")
        with Client(self.daemon.tcp) as first, Client(self.daemon.tcp) as second, \
                Client(self.daemon.tcp) as third, Client(self.daemon.tcp) as fourth:
            restored = self.hold_restore(first, "b", "x")
            rename = second.send("renameRegion", "y", "x")
            drop = third.send("dropRegion", "y")
            while "y" in self.client.call("listRegions"):
                pass
            create = fourth.send("createRegion", "y")
            self.client.call("createRegion", "z")
            self.assertEqual(self.client.call("listRegions"), ["main", "other", "z"])
            self.rule()
            first.wait(restored)
            with self.assertRaises(RpcError):
                second.wait(rename)
            third.wait(drop)
            fourth.wait(create)
        self.assertEqual(self.client.call("listRegions"), ["main", "other", "x", "y", "z"])

    def test_what_a_reload_wants_of_a_name_that_is_restored(self):
        """What it has changed is in force, and told, meanwhile. The next one comes behind it."""
        self.client.call("backupRegion", "main", "b")

        def reload(number):
            config = CONFIG.format(folder=self.daemon.folder).replace("name: other", "name: other, name: x")
            self.daemon.write_config(f"sandbox: off\n{config}max_batch: {number}\n")
            self.daemon.signal(signal.SIGHUP)

        def told():
            return self.client.call("configGet", "max_batch")["max_batch"]["value"]

        with Client(self.daemon.tcp) as first:
            restored = self.hold_restore(first, "b", "x")
            reload(777)
            while told() != "777":
                pass
            reload(778)
            self.assertEqual(self.client.call("serverInfo")["max_batch"], 777)
            self.assertEqual(told(), "777")
            self.assertNotIn("reloaded", self.daemon.log())
            self.rule()
            first.wait(restored)
        self.daemon.wait_log("reloaded the configuration", 2)
        self.assertEqual(told(), "778")
        steps = [word for line in self.daemon.log().splitlines() for word in ("reloading", "reloaded")
                 if word in line]
        self.assertEqual(steps, ["reloading", "reloaded"] * 2)
        self.daemon.stop()

    def test_restoring_counts(self):
        """As a region that there will be."""
        self.client.call("backupRegion", "main", "b")
        self.daemon.stop()
        self.daemon.write_config("sandbox: off\n" + CONFIG.format(folder=self.daemon.folder) +
                                 "max_regions: 4\n")
        self.daemon.start()
        with Client(self.daemon.unix) as client, Client(self.daemon.tcp) as first:
            restored = self.hold_restore(first, "b", "x")
            client.call("createRegion", "y")
            self.refused(client, "busy", "createRegion", "z")
            self.rule()
            first.wait(restored)
            self.refused(client, "busy", "createRegion", "z")
            client.call("dropRegion", "y")
            client.call("createRegion", "z")

    def test_restoring_is_killed(self):
        self.client.call("backupRegion", "main", "b")
        with Client(self.daemon.tcp) as first:
            self.hold_restore(first, "b", "x")
            number = self.client.call("createRegion", "y")
            self.daemon.kill()
        self.rule()
        self.daemon.start()
        with Client(self.daemon.unix) as client:
            self.assertEqual(client.call("listRegions"), ["main", "other", "y"])
            self.assertEqual(sorted(os.listdir(self.daemon.data_dir + "/regions")),
                             ["main", "other", "y"])
            self.assertGreater(client.call("restoreRegion", "b", "x"), number)

    def regions_left(self):
        return sorted(os.listdir(self.daemon.data_dir + "/regions"))

    def test_restoring_fails_at_the_end(self):
        """Then its name is free at once, and so it is where a region is made."""
        self.client.call("backupRegion", "main", "b")
        for method, params in (("restoreRegion", ("b", "x")), ("createRegion", ("x",))):
            self.rule("openat 5 regions/x/data")  # EIO
            self.refused(self.client, "io_error", method, *params)
            self.assertEqual(self.regions_left(), ["main", "other"])
            self.rule("fsync 5 data/regions$")
            self.assertIn("the next start may find it",
                          self.refused(self.client, "io_error", method, *params))
            self.daemon.wait_log("cannot (restore|create) region x: .*the next start may find it")
            self.assertNotIn("x", self.client.call("listRegions"))
            self.rule()
            self.client.call(method, *params)
            if method == "restoreRegion":
                self.assert_blobs(self.client, "x", {self.address: self.blob})
            self.client.call("dropRegion", "x")
            self.assertEqual(self.regions_left(), ["main", "other"])

    def test_restoring_without_descriptors(self):
        """They were spent while it was being copied."""
        self.client.call("backupRegion", "main", "b")
        others = [Client(self.daemon.unix) for _ in range(40)]
        for other in others:
            self.assertEqual(other.call("ping"), "pong")
        with Client(self.daemon.unix) as first:
            msgid = self.hold_restore(first, "b", "x")
            pid = self.daemon.process.pid
            limit = max(int(fd) for fd in os.listdir(f"/proc/{pid}/fd")) + 10
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (limit, limit))
            self.rule()
            with self.assertRaises(RpcError) as caught:
                first.wait(msgid)
            self.assertEqual(caught.exception.code, "busy")
            self.assertIn("descriptors", caught.exception.sentence)
            self.assertEqual(self.regions_left(), ["main", "other"])
            for other in others:
                other.close()
            while len(os.listdir(f"/proc/{pid}/fd")) > limit - 40:
                pass
            first.call("restoreRegion", "b", "x")
            self.assert_blobs(first, "x", {self.address: self.blob})

    def test_removed(self):
        """Not what is being made, or read; and wholly or not at all."""
        for name in ("a", "b"):
            self.client.call("backupRegion", "main", name)
        for name in ("none", ".lock", "a/data", ""):
            self.refused(self.client, "invalid_argument", "removeBackup", name)
        with Client(self.daemon.unix) as other:
            self.rule("fsync hold /backups$")  # it has its name
            backup = other.send("backupRegion", "main", "c")
            while "c" not in self.left():
                pass
            self.assertIn("is being made", self.refused(self.client, "busy", "removeBackup", "c"))
            self.rule()
            other.wait(backup)
            self.rule("pwritev hold regions/.new-x/data")
            restore = other.send("restoreRegion", "b", "x")
            while ".new-x" not in os.listdir(self.daemon.data_dir + "/regions"):
                pass
            self.assertIn("being made of", self.refused(self.client, "busy", "removeBackup", "b"))
            self.assertIsNone(self.client.call("removeBackup", "a"))  # others are in nobody's way
            self.rule()
            other.wait(restore)
        with Client(self.daemon.unix) as other, Client(self.daemon.unix) as third:
            self.rule("fsync hold /backups$")  # it has lost its name
            remove = other.send("removeBackup", "b")
            while "b" in self.left():
                pass
            twice = [third.send("removeBackup", "b") for _ in range(100)]
            self.assertFalse(third.readable(0.1))  # one after the other
            self.rule()
            self.assertIsNone(other.wait(remove))
            for msgid in twice:
                with self.assertRaises(RpcError) as caught:
                    third.wait(msgid)
                self.assertEqual(caught.exception.code, "invalid_argument")
        self.refused(self.client, "invalid_argument", "removeBackup", "b")
        self.refused(self.client, "invalid_argument", "restoreRegion", "b", "y")
        self.assert_blobs(self.client, "x", {self.address: self.blob})
        self.assertEqual(self.left(), [".lock", "c"])
        self.rule("fsync 5 /backups$")
        self.assertIn("until the next start", self.refused(self.client, "io_error", "removeBackup", "c"))
        self.daemon.wait_log("cannot remove backup c: .*until the next start")
        self.assertEqual(self.left(), [".lock", "c"])
        self.rule("fsync hold /backups$")  # renamed, and not one file removed
        self.client.send("removeBackup", "c")
        while ".drop-c" not in self.left():
            pass
        self.assertEqual(self.client.call("listBackups"), [])
        self.daemon.kill()
        self.rule()
        self.daemon.start()
        self.assertEqual(self.left(), [".lock"])

    def test_restoring_is_stopped(self):
        self.client.call("backupRegion", "main", "b")
        self.rule("pwritev hold regions/.new-x/data")
        msgid = self.client.send("restoreRegion", "b", "x")
        while ".new-x" not in os.listdir(self.daemon.data_dir + "/regions"):
            pass
        self.assertEqual(self.client.call("ping"), "pong")  # which does not wait for it
        self.daemon.signal(signal.SIGTERM)
        self.daemon.wait_log("stopping")
        self.rule()
        with self.assertRaises(RpcError) as caught:
            self.client.wait(msgid)
        self.assertEqual(caught.exception.code, "shutting_down")
        self.assertEqual(self.daemon.wait(), 0)
        self.assertEqual(sorted(os.listdir(self.daemon.data_dir + "/regions")), ["main", "other"])


if __name__ == "__main__":
    unittest.main()
