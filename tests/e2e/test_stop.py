"""Signals that come while the server stops."""
import signal
import unittest

from case import Case


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


if __name__ == "__main__":
    unittest.main()
