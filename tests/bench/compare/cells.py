"""What is measured: an operation, a size, how many connections, how much each has in flight."""

from dataclasses import dataclass

SIZES = (64, 1024, 4096, 65536, 1048576)
LOADS = ((1, 1), (1, 16), (1, 64), (50, 1), (50, 16), (50, 64))
OPERATIONS = ("add", "load", "remove")

PRELOAD_BYTES = 256 << 20
LOADED_BYTES = 64 << 20  # what is loaded again and again: in everybody's memory
IN_FLIGHT_MAX = 256 << 20  # bytes; servers are not made to hold more at a time
REMOVES_PER_SECOND = {(1, 1): 10_000, (1, 16): 100_000, (1, 64): 200_000, (50, 1): 150_000,
                      (50, 16): 600_000, (50, 64): 800_000}


@dataclass(frozen=True)
class Cell:
    operation: str
    size: int
    connections: int
    pipeline: int
    transport: str = "unix"

    def __str__(self):
        return f"{self.operation} {size_text(self.size)} {self.load} {self.transport}"

    @property
    def load(self):
        return f"{self.connections}x{self.pipeline}"

    @property
    def mix(self):
        return {"add": "100:0:0", "load": "0:100:0", "remove": "0:0:100"}[self.operation]

    def preload(self, seconds):
        """Blobs that are there before: to load them again and again, or enough to remove."""
        if self.operation == "load":
            count = min(20_000, LOADED_BYTES // self.size)
        else:
            count = int(REMOVES_PER_SECOND.get((self.connections, self.pipeline), 600_000) *
                        seconds)
            count = min(count, PRELOAD_BYTES // self.size)
        return max(count, self.connections * 2)

    def warmup(self, seconds):
        """Before it counts: loads of everything a few times. What is removed runs out: none."""
        return {"add": seconds / 5, "load": max(seconds / 5, 0.2), "remove": 0}[self.operation]


def size_text(size):
    for unit, factor in (("MiB", 1 << 20), ("KiB", 1 << 10)):
        if size >= factor:
            return f"{size // factor} {unit}"
    return f"{size} B"


def all_cells():
    """The whole grid over Unix sockets, and a part of it over TCP."""
    cells = [Cell(operation, size, *load)
             for operation in OPERATIONS for size in SIZES for load in LOADS]
    cells += [Cell(operation, size, *load, "tcp")
              for operation in OPERATIONS for size in (64, 4096, 1048576)
              for load in ((1, 1), (50, 1), (50, 16))]
    return [cell for cell in cells
            if cell.size * cell.connections * cell.pipeline <= IN_FLIGHT_MAX]
