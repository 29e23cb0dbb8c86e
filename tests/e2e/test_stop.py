"""Signals that come while the server stops, and whom a stop waits for."""
import errno
import os
import signal
import time
import unittest

from case import Case
from faults import FAULT, FaultCase


class Stop(Case):
    def test_asked_again_and_again(self):
        """However late another signal comes, the status is that of an orderly stop."""
        for number in (signal.SIGTERM, signal.SIGINT):
            for _ in range(3):
                server = self.server().start()
                self.connect(server).call("addBlob", "main", bytes(100000))
                server.signal(signal.SIGTERM)
                while server.process.poll() is None:
                    server.signal(number)
                self.assertEqual(server.wait(), 0, server.log())

    def test_before_it_is_ready(self):
        """The status is no other one, and the next start finds everything in order."""
        regions = [f"region-{number}" for number in range(30)]
        for number in (signal.SIGTERM, signal.SIGINT):
            server = self.server(regions=regions).start(wait=False)
            server.wait_log("region region-0: created")
            server.signal(number)
            self.assertEqual(server.wait(), 0, server.log())
            server.start()
            self.assertEqual(self.connect(server).call("listRegions"), sorted(regions))
            server.stop()


@unittest.skipIf(FAULT is None, "a preloaded library and AddressSanitizer do not get along")
class Slow(FaultCase):
    """On a disk that takes longer than clients have at a stop to take their answers."""

    def wait_connection(self, is_wanted):
        while not any(map(is_wanted, self.client.call("connections")["connections"])):
            pass

    def test_who_waits_for_the_server(self):
        """It keeps its connection, and has as long for its answers as everybody, once they are there."""
        blobs = [os.urandom(950000) for _ in range(2)]  # more than a socket takes at once
        addresses = [self.client.call("addBlob", "main", blob) for blob in blobs]
        self.client.call("addBlob", "other", b"first")  # which has some space by that
        silent, slow, adder, parked = (self.connect() for _ in range(4))
        silent.send("loadBlob", "main", addresses[0], len(blobs[0]))
        self.assertTrue(silent.readable(silent.timeout))
        self.rule(f"preadv2 {errno.EAGAIN} regions/main/data", "pread hold regions/main/data",
                  "fdatasync hold regions/other/")
        load = slow.send("loadBlob", "main", addresses[1], len(blobs[1]))
        add = adder.send("addBlob", "other", b"second")
        self.wait_connection(lambda row: row["requests"] == row["in_flight"] == 1 and row["unread"] == 0)
        late = parked.send("addBlob", "other", bytes(4 << 20))  # for which space has to be made first
        self.wait_connection(lambda row: row["requests"] == 0 and row["buffered"] > 4 << 20)
        self.client.close()
        self.daemon.signal(signal.SIGTERM)
        self.daemon.wait_log("did not take its answers")  # which is the silent one's time
        adder.send("ping")  # is not read any more, but may not cost it its answers
        self.rule()
        self.assertTrue(slow.readable(slow.timeout))
        time.sleep(1)  # the server looks at its connections meanwhile
        self.assertEqual(slow.wait(load), blobs[1])
        adder.wait(add)
        adder.close()
        parked.wait(late)
        self.assertEqual(self.daemon.wait(), 0)
        self.assertEqual(self.daemon.log().count("closed: "), 1, self.daemon.log())


if __name__ == "__main__":
    unittest.main()
