"""What a service manager hears of the service."""
import socket

from server import DEADLINE


class NotifySocket:
    """The service manager's end of sd_notify: collects the lines that a service sends."""

    def __init__(self, path):
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(path)
        self.socket.settimeout(DEADLINE)
        self.lines = []

    def wait(self, wanted, count=1):
        """Receives until count lines start with wanted; returns them."""
        while len(found := [line for line in self.lines if line.startswith(wanted)]) < count:
            self.lines += self.socket.recv(65536).decode().split("\n")
        return found

    def close(self):
        self.socket.close()
