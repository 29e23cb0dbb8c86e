"""A change is answered once it is durable, while its pages are put in place: what is asked, stopped,
killed or fails in this moment."""
import errno
import os
import signal

from faults import FaultCase, main
from mpack import RpcError

IN_PLACE = "regions/main/data"


def token():
    return {"token": os.urandom(16)}


class Durable(FaultCase):
    def setUp(self):
        super().setUp()
        # A load waits until the blob is in place, so only what comes from here on is held; its page is
        # in the cache then.
        self.client.call("loadBlob", "main", self.address, 1000)

    def hold(self):
        """From here on nothing is put in place. The next change is answered all the same."""
        self.rule(f"pwritev hold {IN_PLACE}")
        self.new = os.urandom(300)
        self.client.call("storeBlob", "main", self.address + 100, self.new)
        self.old = self.blob
        self.blob = self.old[:100] + self.new + self.old[400:]

    def test_loads_wait(self):
        self.hold()
        other = self.connect()
        first = other.send("loadBlob", "main", self.address, 1000)
        second = self.client.send("addBlob", "main", b"behind it")
        # what the change left alone is to be had, as it is in the cache
        self.assertEqual(self.connect().call("loadBlob", "main", self.address, 100), self.old[:100])
        self.assertFalse(other.readable(0.2))
        self.assertFalse(self.client.readable(0))
        self.rule()
        self.assertEqual(other.wait(first), self.blob)
        self.assertEqual(self.client.call("loadBlob", "main", self.client.wait(second), 9),
                         b"behind it")

    def test_the_same_token_again(self):
        self.rule(f"pwritev hold {IN_PLACE}")
        option = token()
        address = self.client.call("addBlob", "main", b"once", option)
        self.assertEqual(self.connect().call("addBlob", "main", b"once", option), address)
        self.restart()
        self.assertEqual(self.client.call("addBlob", "main", b"once", option), address)
        self.assertEqual(self.client.call("loadBlob", "main", address, 4), b"once")

    def test_killed(self):
        self.hold()
        self.restart()
        self.assert_intact()

    def test_killed_while_many_are_written_ahead(self):
        """Nobody has been told: they are there or not, and nothing else is harmed."""
        self.rule(f"pwritev hold {IN_PLACE}")
        allocated = self.client.call("allocated", "main")
        for _ in range(200):
            self.client.send("addBlob", "main", bytes(5000))
        self.restart()
        self.assert_intact()
        self.assertEqual((self.client.call("allocated", "main") - allocated) % 5000, 0)

    def test_stopped(self):
        for times in (1, 2):
            self.hold()
            for said in ("stopping", "asked again")[:times]:
                self.daemon.signal(signal.SIGTERM)
                self.daemon.wait_log(said)
            self.client.wait_closed()
            self.assertIsNone(self.daemon.process.poll())
            self.rule()
            self.assertEqual(self.daemon.wait(), 0)
            self.daemon.start()
            self.client = self.connect()
            self.assert_intact()

    def test_dropped(self):
        self.hold()
        msgid = self.client.send("dropRegion", "main")
        self.assertFalse(self.client.readable(0.2))
        self.rule()
        self.client.wait(msgid)
        self.client.call("createRegion", "main")
        self.assertEqual(self.client.call("allocated", "main"), 0)

    def test_fails(self):
        """What was answered still counts, and is there after a restart; what came behind it is
        refused."""
        self.rule(f"pwritev hold {IN_PLACE}")
        blob = os.urandom(5000)
        address = self.client.call("addBlob", "main", blob)
        allocated = self.client.call("allocated", "main")
        behind = self.client.send("addBlob", "main", b"behind it")
        load = self.client.send("loadBlob", "main", address, 5000)
        self.rule(f"pwritev {errno.EIO} {IN_PLACE}")
        for msgid in (behind, load):
            with self.assertRaises(RpcError) as caught:
                self.client.wait(msgid)
            self.assertEqual(caught.exception.code, "io_error")
        self.refused(["io_error"], "loadBlob", "main", address, 5000)
        self.refused(["read_only"], "addBlob", "main", b"x")
        self.assertEqual(self.client.call("allocated", "main"), allocated)
        self.restart()
        self.assertEqual(self.client.call("loadBlob", "main", address, 5000), blob)
        self.assertEqual(self.client.call("allocated", "main"), allocated)
        self.assert_intact()


if __name__ == "__main__":
    main()
