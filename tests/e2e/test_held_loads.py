"""Blobs are sent from the cache of verified pages, without a copy: the answer is what was there when
the load was executed, however late it is taken and whatever becomes of the block, the cache, the
region or the peer meanwhile."""
import random
import signal
import time
import unittest

from bad import MIB
from mpack import Client, Closed
from server import Server
from test_large_loads import Loads

KIB = 1024


class Idler(Client):
    """Asks, and does not read what is answered before it is told to."""

    def ask(self, *blocks, region="main"):
        self.ids = [self.send("loadBlob", region, *block) for block in blocks]
        return self

    def take(self):
        return [self.wait(msgid) for msgid in self.ids]


class HeldLoads(Loads):
    CONFIG = "stall_timeout: 8s\nregions: [{name: main, page_cache: 4MiB}, {name: other}]\n"

    def setUp(self):
        self.daemon = Server(config=self.CONFIG)
        self.daemon.command += ["--listen", "unix:" + self.daemon.path("s")]
        self.addCleanup(self.daemon.remove)
        self.daemon.start()
        self.client = self.connect()

    def blob(self, size, region="main", seed=1):
        blob = random.Random(seed).randbytes(size)
        return self.client.call("addBlob", region, blob), blob

    def load(self, address, size, region="main"):
        return self.client.call("loadBlob", region, address, size)

    def idle(self, *blocks, region="main"):
        """A connection whose loads are executed: what it sent behind them is."""
        idler = self.connect(Idler).ask(*blocks, region=region)
        mark = random.randbytes(8)
        at = self.client.call("addBlob", "other", bytes(8))
        idler.send("storeBlob", "other", at, mark)
        while self.load(at, 8, "other") != mark:
            pass
        return idler

    def test_every_size(self):
        """Around pages, and around what makes a load small or large."""
        address, blob = self.blob(2 * MIB)
        sizes = (1, 2 * KIB - 1, 2 * KIB, 4 * KIB, 4 * KIB + 1, 16 * KIB, 64 * KIB, 64 * KIB + 1,
                 256 * KIB, MIB - 1, MIB, MIB + 1)
        for _ in range(2):
            for size in sizes:
                for start in (0, 1, 4095, 4096, 70000):
                    self.assertTrue(self.load(address + start, size) == blob[start:start + size],
                                    (start, size))

    def test_the_block_changes_while_its_answer_waits(self):
        for size in (64 * KIB, 512 * KIB, MIB):
            name = f"of-{size}"
            self.client.call("createRegion", name)
            address, blob = self.blob(size, name)
            self.load(address, size, name)
            idlers = [self.idle((address, size), region=name),
                      self.idle((address + 5, size - 5), region=name)]
            self.client.call("storeBlob", name, address, b"\1" * size)
            self.assertTrue(self.load(address, size, name) == b"\1" * size)
            self.client.call("deallocate", name, address, size)
            self.assertEqual(self.client.call("addBlob", name, b"\2" * size), address)
            self.assertTrue(self.load(address, size, name) == b"\2" * size)
            self.assertTrue(idlers[0].take() == [blob])
            self.assertTrue(idlers[1].take() == [blob[5:]])

    def test_pipelined_among_others(self):
        """Answers come in order, small ones between them."""
        address, blob = self.blob(MIB)
        ids = []
        for i in range(200):
            size = (3 * KIB, 4 * KIB, 20 * KIB, 100 * KIB)[i % 4]
            ids.append((self.client.send("loadBlob", "main", address + i, size),
                        blob[i:i + size]))
            ids.append((self.client.send("ping"), "pong"))
            ids.append((self.client.send("loadBlob", "main", address, 10), blob[:10]))
        for msgid, answer in ids:
            self.assertTrue(self.client.wait(msgid) == answer)

    def test_peers_that_go_away(self):
        """What they held can be held by others."""
        address, blob = self.blob(MIB)
        for i in range(40):
            idler = self.idle((address, MIB))
            idler.reset() if i % 2 == 0 else idler.close()
            self.assertTrue(self.load(address, MIB) == blob)

    def test_nearly_everything_is_held(self):
        """More than half of the cache is not: others are served by other means, and get what is
        there."""
        blobs = [self.blob(512 * KIB, seed=i) for i in range(12)]
        idlers = [self.idle((address, 512 * KIB), (address, 512 * KIB)) for address, _ in blobs]
        for address, blob in blobs:
            self.assertTrue(self.load(address, 512 * KIB) == blob)
            self.assertTrue(self.load(address + 1, 5000) == blob[1:5001])
            self.client.call("storeBlob", "main", address + 4096, b"new")
            self.assertTrue(self.load(address + 1, 5000) == blob[1:4096] + b"new" + blob[4099:5001])
        for idler, (_, blob) in zip(idlers, blobs):
            self.assertTrue(idler.take() == [blob, blob])

    def test_who_moves_slowly_is_not_closed(self):
        """Who does not move at all is, when others cannot hold pages."""
        size = 900 * KIB
        (slow_at, blob), (idle_at, _), (at, _) = (self.blob(size, seed=i) for i in range(3))
        idler, slow = self.idle((idle_at, size)), self.idle((slow_at, size))
        while "has hardly moved" not in self.daemon.log():
            self.load(at, 400 * KIB)
            slow.unpacker.feed(slow.socket.recv(8 * KIB))
            time.sleep(0.2)
        self.assertTrue(slow.take() == [blob])
        with self.assertRaises(Closed):
            idler.take()

    def test_the_region_is_dropped(self):
        self.client.call("createRegion", "gone")
        address, blob = self.blob(MIB, "gone")
        idlers = [self.idle((address, MIB), region="gone") for _ in range(3)]
        self.client.call("dropRegion", "gone")
        idlers.pop().reset()
        for idler in idlers:
            self.assertTrue(idler.take() == [blob])

    def test_page_cache_is_set_anew(self):
        address, blob = self.blob(MIB)
        for count, size in enumerate(("1MiB", "0", "2MiB", "64MiB"), 1):
            idlers = [self.idle((address, MIB)) for _ in range(2)]
            self.daemon.write_config(self.CONFIG.replace("4MiB", size))
            self.daemon.signal(signal.SIGHUP)
            self.daemon.wait_log("reloaded", count)
            self.assertTrue(self.load(address, MIB) == blob)
            idlers.pop().close()
            self.assertTrue(idlers[0].take() == [blob])
            self.assertTrue(self.load(address, MIB) == blob)

    def test_stop(self):
        """Who reads gets it all."""
        address, blob = self.blob(MIB)
        idler = self.idle((address, MIB))
        self.daemon.signal(signal.SIGTERM)
        self.daemon.wait_log("stopping")
        self.assertTrue(idler.take() == [blob])
        self.assertEqual(self.daemon.wait(), 0)
        self.daemon.start()

    def test_damage_is_answered(self):
        """Of a page that is in the cache as well as of one that is not; the others go on."""
        address, blob = self.blob(128 * KIB)
        with open(self.daemon.data_dir + "/regions/main/data", "r+b") as file:
            file.seek(address + 70000)
            file.write(bytes([blob[70000] ^ 1]))
        for _ in range(3):
            with self.assertRaisesRegex(Exception, "does not match its checksum"):
                self.load(address, 128 * KIB)
            self.assertTrue(self.load(address, 64 * KIB) == blob[:64 * KIB])


del Loads  # its own tests are elsewhere

if __name__ == "__main__":
    unittest.main()
