"""Lists of blocks that are put together a stretch at a time."""
import threading
import unittest

import region
from mpack import Client, RpcError, request

COUNT = 20000  # holes of 16 bytes, 16 in use in between


def setUpModule():
    region.start()


def tearDownModule():
    region.stop()


class LongLists(region.Region):
    def setUp(self):
        super().setUp()
        self.call("allocate", COUNT * 32)
        ids = [self.client.send("deallocate", self.region, i * 32, 16) for i in range(COUNT)]
        for msgid in ids:
            self.client.wait(msgid)

    def call(self, method, *params):
        return self.client.call(method, self.region, *params)

    HOLES = [[i * 32, 16] for i in range(COUNT)]

    def test_all_of_them(self):
        self.assertEqual(self.call("getFreeMemory"), self.HOLES)
        self.assertEqual(self.call("deallocatedBlocksInRange", 0, COUNT * 32), self.HOLES)
        self.assertEqual(self.call("allocatedBlocksInRange", 0, COUNT * 32),
                         [[i * 32 + 16, 16] for i in range(COUNT)])
        self.assertEqual(self.call("allocatedBlocksInRange", 20, COUNT * 32 - 20)[-1],
                         [COUNT * 32 - 48, 16])

    def test_limits(self):
        for limit in (0, 1, 255, 256, 257, 2047, 2048, 2049, 8191, 8192, 8193, COUNT - 1, COUNT,
                      COUNT + 1, 2**64 - 1):
            self.assertEqual(self.call("getFreeMemory", {"limit": limit}), self.HOLES[:limit])
            self.assertEqual(self.call("getFreeMemory", {"from": 3200, "limit": limit}),
                             self.HOLES[100:][:limit])

    def test_order_on_a_connection(self):
        """A list shows what came before it and not what came behind it."""
        for _ in range(5):
            ids = []
            for method, *params in (["deallocate", 16, 16], ["getFreeMemory"], ["allocate", 48],
                                    ["getFreeMemory"], ["deallocate", 0, 16],
                                    ["deallocate", 32, 16]):
                ids.append(self.client.send(method, self.region, *params))
            results = [self.client.wait(msgid) for msgid in ids]
            self.assertEqual(results[1], [[0, 48]] + self.HOLES[2:])
            self.assertEqual(results[2], 0)
            self.assertEqual(results[3], self.HOLES[2:])

    def test_while_others_change(self):
        """What nobody changes is listed once and as it is."""
        ending = threading.Event()

        def change():
            with Client(self.server.unix) as client:
                while not ending.is_set():
                    client.call("deallocate", self.region, 16016, 16)
                    client.call("storeBlob", self.region, 48, b"x" * 16)
                    client.call("resize", self.region, 48, 16, 16)
                    while client.call("allocate", self.region, 48) != 16000:
                        pass
                    client.call("deallocate", self.region, 16000, 16)
                    client.call("deallocate", self.region, 16032, 16)

        thread = threading.Thread(target=change)
        thread.start()
        try:
            for _ in range(20):
                found = self.call("getFreeMemory")
                end = 0
                for address, size in found:
                    self.assertGreaterEqual(address, end)
                    end = address + size
                others = [block for block in found if not 15900 < block[0] < 16100]
                self.assertEqual(others, [block for block in self.HOLES
                                          if not 15900 < block[0] < 16100])
        finally:
            ending.set()
            thread.join()

    def test_in_the_middle(self):
        """Connections that are closed, and a region that is dropped, while lists are made."""
        with Client(self.server.unix) as other:
            other.call("createRegion", "dropped")
            other.call("allocate", "dropped", COUNT * 32)
            for i in range(COUNT):
                other.notify("deallocate", "dropped", i * 32, 16)
            other.call("ping")
            for i in range(20):
                client = Client(self.server.unix)
                client.send_raw(b"".join(request(k, "getFreeMemory", ["dropped"])
                                         for k in range(1 + i % 3)))
                if i % 2 == 0:
                    client.reset()
                else:
                    client.close()
            waiting = [other.send("getFreeMemory", "dropped") for _ in range(2)]
            dropping = self.client.send("dropRegion", "dropped")
            for msgid in waiting:
                try:
                    self.assertEqual(other.wait(msgid), self.HOLES)
                except RpcError as error:
                    self.assertEqual(error.code, "no_such_region")
            self.client.wait(dropping)


if __name__ == "__main__":
    unittest.main()
