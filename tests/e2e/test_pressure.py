"""Too little memory, too few file descriptors: who waits gets its turn, and no region suffers."""
import signal
import unittest

from case import Case
from mpack import RpcError, request

KIB = 1 << 10
MIB = 1 << 20


def config(server, max_message, max_buffered):
    return (f"data_dir: {server.data_dir}\n"
            f"listen:\n  - unix: {server.path('s')}\n"
            f"max_message: {max_message}\nmax_buffered: {max_buffered}\n"
            "regions:\n  - name: main\n")


class Memory(Case):
    def configured(self, max_message, max_buffered):
        server = self.server(config="{}")
        server.write_config(config(server, max_message, max_buffered))
        return server.start()

    def test_many_half_messages(self):
        """More connections hold the beginning of a message than memory was meant for: one after
        the other they come to their end."""
        server = self.configured("1MiB", "1MiB")
        message = request(1, "addBlob", ["main", b"x" * 200000])
        clients = [self.connect(server) for _ in range(100)]
        for client in clients:
            client.send_raw(message[:70000])
        for client in clients:  # until all of them have been read from, and wait
            client.send_raw(message[70000:100000])
        for client in clients:
            client.send_raw(message[100000:])
        for client in clients:
            self.assertIsInstance(client.wait(1), int)

    def test_small_answers_that_nobody_reads(self):
        """Each is too small to wait for memory, and many clients together let them pile up."""
        server = self.configured("128KiB", "1MiB")
        patient = self.connect(server)
        address = patient.call("addBlob", "main", b"x" * 60000)
        clients = [self.connect(server) for _ in range(40)]
        asked = {client: [client.send("loadBlob", "main", address, 60000) for _ in range(40)]
                 for client in clients}
        most = max(patient.call("serverInfo")["buffered"] for _ in range(100))
        self.assertLess(most, 1 * MIB + len(clients) * 192 * KIB)
        for client in clients:
            for msgid in asked[client]:
                self.assertEqual(len(client.wait(msgid)), 60000)
        self.assertEqual(patient.call("serverInfo")["buffered"], 0)

    def test_less_after_a_reload(self):
        """Those that wait for memory when the limits sink learn that they wait in vain."""
        server = self.configured("8MiB", "8MiB")
        patient = self.connect(server)
        head = (b"\x94\x00\x01\xa7addBlob\x92\xa4main" +  # and a bin of 7 MiB
                b"\xc6" + (7 * MIB).to_bytes(4, "big"))
        clients = [self.connect(server) for _ in range(12)]
        for client in clients:
            client.socket.setblocking(False)
        for client in clients:  # as much as is taken of it
            data = memoryview(head + b"x" * (4 * MIB))
            try:
                while data:
                    data = data[client.socket.send(data):]
                    self.assertEqual(patient.call("ping"), "pong")
            except BlockingIOError:
                pass
        server.write_config(config(server, "128KiB", "128KiB"))
        server.signal(signal.SIGHUP)
        server.wait_log("reloaded the configuration")
        for client in clients:
            try:
                client.socket.send(b"x")  # for those whose bytes had all been taken
            except OSError:
                pass
            client.socket.settimeout(client.timeout)
            # a refusal and the end; or just the end, if bytes crossed on the way
            self.assertIn([code.split(":")[0] for _, code, _ in client.wait_closed()],
                          (["too_large"], []))
        address = patient.call("addBlob", "main", b"y" * (100 * KIB))
        self.assertEqual(len(patient.call("loadBlob", "main", address, 100 * KIB)), 100 * KIB)


class Descriptors(Case):
    FILES = 96

    def limited(self):
        limit = 'ulimit -n %d; exec "$@"' % self.FILES
        return self.server(wrapper=["bash", "-c", limit, "limited"]).start()

    def test_connections_leave_some_to_the_regions(self):
        server = self.limited()
        client = self.connect(server)
        others = [self.connect(server) for _ in range(2 * self.FILES)]
        for other in others:
            other.send("ping")
        server.wait_log("accepting pauses")
        for _ in range(300):  # the journal needs a new file now and then
            client.call("storeBlob", "main", client.call("addBlob", "main", bytes(60000)),
                        bytes(60000))
        client.call("checkpoint", "main")
        self.assertFalse(client.call("regionInfo", "main")["read_only"])
        self.assertLess(client.call("serverInfo")["connections"], self.FILES)
        for other in others:  # the later ones once the earlier ones have left
            self.assertEqual(other.wait(0), "pong")
            other.close()
        self.assertEqual(client.call("serverInfo")["connections_refused"], 0)

    def test_regions_leave_some_to_each_other(self):
        server = self.limited()
        client = self.connect(server)
        made = ["main"]
        with self.assertRaises(RpcError) as refused:
            while len(made) < self.FILES:
                client.call("createRegion", f"r{len(made)}")
                made.append(f"r{len(made)}")
        self.assertEqual(refused.exception.code, "busy")
        self.assertGreater(len(made), 1)
        for name in made:
            for _ in range(100):
                client.call("addBlob", name, bytes(60000))
            client.call("checkpoint", name)
            self.assertFalse(client.call("regionInfo", name)["read_only"])
        self.connect(server).call("ping")  # and one to those who look after them
        client.call("dropRegion", made[-1])
        client.call("createRegion", "again")


if __name__ == "__main__":
    unittest.main()
