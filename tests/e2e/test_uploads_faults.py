"""Uploads while the disk is slow: whoever waits for an upload waits alone, and in little memory."""
import errno
import threading

from bad import MIB
from faults import FaultCase, main
from mpack import RpcError, request

SETTINGS = """max_message: 64KiB
max_buffered: 512KiB
regions: [{name: main}, {name: other}]
"""


HELD = "pwritev hold regions/main/data"


class Held(FaultCase):
    def setUp(self):
        super().setUp()
        self.spare = self.client.call("addBlob", "main", bytes(1000))

    def other_goes_on(self):
        """A change that writes nothing into the file that is held."""
        with self.connect() as other:
            other.call("deallocate", "main", self.spare, 10)
        self.spare += 10


class UploadFaults(Held):
    def begin(self, size, piece=MIB):
        """An upload with a piece that is being written, for as long as the rule is there."""
        upload = self.client.call("beginBlob", "main", size)
        self.client.call("checkpoint", "main")  # the region's growth is in place
        self.rule(HELD)
        return upload, self.client.send("appendBlob", upload, bytes(piece))

    def test_a_commit_that_waits_for_its_bytes_holds_up_nobody(self):
        upload, append = self.begin(MIB)
        commit = self.client.send("commitBlob", upload)
        self.other_goes_on()
        self.rule()
        self.assertIsNone(self.client.wait(append))
        address = self.client.wait(commit)
        self.assertEqual(self.client.call("loadBlob", "main", address, MIB), bytes(MIB))

    def test_a_commit_that_waits_for_its_space_holds_up_nobody(self):
        """Nothing is written before the region's growth is in the journal, which takes its time."""
        self.rule("pwritev hold regions/main/journal-")
        upload = self.client.call("beginBlob", "main", MIB)
        append = self.client.send("appendBlob", upload, bytes(MIB))
        commit = self.client.send("commitBlob", upload)
        with self.connect() as other:
            for _ in range(10):
                self.assertEqual(other.call("ping"), "pong")
        self.rule()
        self.assertIsNone(self.client.wait(append))
        address = self.client.wait(commit)
        self.assertEqual(self.client.call("loadBlob", "main", address, MIB), bytes(MIB))

    def test_a_piece_that_waits_for_room_holds_up_nobody(self):
        """The upload has to move, for somebody is right behind it, and has to once more after that."""
        upload = self.client.call("beginBlob", "main", None)
        self.client.call("appendBlob", upload, bytes(4 * MIB))
        self.client.call("addBlob", "main", b"in its way")
        self.client.call("checkpoint", "main")
        self.rule("pread hold regions/main/data")  # what is moved is read
        appends = [self.client.send("appendBlob", upload, bytes(MIB))]
        with self.connect() as other:
            while other.call("regionInfo", "main")["reserved"] == 4 * MIB:
                pass  # until it has its new place
            other.call("allocate", "main", 4096)
        sender = threading.Thread(target=lambda: appends.extend(
            [self.client.send("appendBlob", upload, bytes(MIB)) for _ in range(5)]))
        sender.start()
        self.assertFalse(self.client.readable(0.5))
        self.other_goes_on()
        self.rule()
        sender.join()
        for append in appends:
            self.assertIsNone(self.client.wait(append))
        address = self.client.call("commitBlob", upload)
        self.assertEqual(self.client.call("loadBlob", "main", address, 10 * MIB), bytes(10 * MIB))

    def test_a_commit_that_waits_while_its_region_is_dropped(self):
        upload, append = self.begin(MIB)
        commit = self.client.send("commitBlob", upload)
        with self.connect() as other:
            drop = other.send("dropRegion", "main")
            with self.assertRaises(RpcError) as caught:
                self.client.wait(commit)
            self.assertEqual(caught.exception.code, "invalid_argument")
            self.rule()
            with self.assertRaises(RpcError) as caught:
                self.client.wait(append)
            self.assertEqual(caught.exception.code, "no_such_region")
            self.assertIsNone(other.wait(drop))

    def test_a_connection_that_is_lost_while_its_commit_waits(self):
        upload, _ = self.begin(MIB)
        self.client.send("commitBlob", upload)
        self.client.close()
        self.other_goes_on()
        self.rule()
        self.client = self.connect()
        while self.client.call("serverInfo")["uploads"] > 0:
            pass
        self.assert_intact()


    def fill_journal(self):
        """Until the region refuses what needs more journal; nothing is under way then."""
        other = self.connect()
        address = other.call("addBlob", "main", bytes(50000))
        self.rule(f"fallocate {errno.ENOSPC} regions/main/",
                  f"pwritev {errno.ENOSPC} regions/main/checkpoint-")
        with self.assertRaises(RpcError) as caught:
            while True:
                other.call("storeBlob", "main", address, bytes(50000))
        self.assertEqual(caught.exception.code, "no_space")

    def test_no_journal_for_its_sums(self):
        """Each piece is answered, though the upload fails where no job of the region is done."""
        upload = self.client.call("beginBlob", "main", 80 * MIB)
        for _ in range(60):
            self.client.call("appendBlob", upload, bytes(MIB))
        self.fill_journal()
        answers = []
        for msgid in [self.client.send("appendBlob", upload, bytes(MIB)) for _ in range(10)]:
            try:
                answers.append(self.client.wait(msgid))
            except RpcError as error:
                answers.append(error.code)
        self.assertEqual(set(answers), {None, "no_space"})
        self.refused(["no_space"], "appendBlob", upload, b"x")
        self.rule()
        self.client.call("abortBlob", upload)
        self.assert_intact()


class UploadMemory(Held):
    def setUp(self):
        super().setUp()
        self.daemon.stop()
        self.daemon.write_config(SETTINGS)
        self.daemon.command += ["--config", self.daemon.path("mregiond.yaml")]
        self.daemon.start()
        self.client = self.connect()

    def test_small_pieces_do_not_pile_up(self):
        """What is not written yet is in memory, and memory is full: no more is taken."""
        pieces = [bytes([number]) * 60000 for number in range(40)]
        upload = self.client.call("beginBlob", "main", 40 * 60000)
        self.client.call("checkpoint", "main")
        self.rule(HELD)
        messages = b"".join(request(number, "appendBlob", [upload, piece])
                            for number, piece in enumerate(pieces))
        sender = threading.Thread(target=self.client.send_raw,
                                  args=(messages + request(99, "ping", []),))
        sender.start()
        # the ping is behind all of them
        self.assertFalse(self.client.readable(1))
        self.other_goes_on()
        self.rule()
        sender.join()
        for number in range(40):
            self.assertIsNone(self.client.wait(number))
        self.assertEqual(self.client.wait(99), "pong")
        address = self.client.call("commitBlob", upload)
        for number, piece in enumerate(pieces):
            self.assertEqual(self.client.call("loadBlob", "main", address + number * 60000, 60000),
                             piece)


if __name__ == "__main__":
    main()
