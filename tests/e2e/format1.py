#!/usr/bin/python3
"""Writes data directories of on-disk format 1, from core/FORMAT.md and without any code of mregiond's:

    format1.py FOLDER MIB       a data directory with one region, main, of so many MiB in use

    store = Store(folder)
    region = store.region("main", size=1000, free=[(100, 35)])
    region.record(put(0, b"bytes"))     # in the journal only, as after a kill
    region.write()
"""
import os
import struct
import sys

BLOCK = 4096
SEGMENT = 4 << 20
PAYLOAD = SEGMENT - BLOCK
PATTERN = 1048573  # bytes, a prime: no two pages of a region are alike


def _table():
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


TABLE = _table()


def crc32c(data, crc=0):
    crc ^= 0xFFFFFFFF
    for byte in data:
        crc = TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def sealed(block, at=12):
    """The structure with its checksum, which covers zeros in its own place."""
    return block[:at] + struct.pack("<I", crc32c(block)) + block[at + 4:]


def skipped(block, at=12):
    """The same where the checksum leaves its own place out."""
    return block[:at] + struct.pack("<I", crc32c(block[:at] + block[at + 4:])) + block[at + 4:]


def use(address, size):
    return struct.pack("<BQQ", 1, address, size)


def free(address, size):
    return struct.pack("<BQQ", 2, address, size)


def put(address, data):
    return struct.pack("<BQQ", 3, address, len(data)) + data


def save(path, data, length=None):
    with open(path, "wb") as file:
        file.write(data)
        if length is not None:
            file.truncate(length)


class Store:
    def __init__(self, folder):
        self.folder = folder
        self.next_id = 1
        os.makedirs(os.path.join(folder, "regions"))
        save(os.path.join(folder, "lock"), b"")

    def region(self, name, **options):
        region = Region(os.path.join(self.folder, "regions", name), name, self.next_id, **options)
        self.next_id += 1
        save(os.path.join(self.folder, "store"),
             skipped(struct.pack("<8sIIQ16s", b"MREGSTOR", 1, 0, self.next_id, os.urandom(16))))
        return region


class Region:
    """size bytes, all in use but for the free ones; what is in use has the pattern's bytes."""

    def __init__(self, folder, name, number, *, size, free=(), data_size=None):
        self.folder, self.name, self.number = folder, name, number
        self.size, self.free = size, sorted(free)
        self.data_size = data_size or -(-size // (1 << 20)) << 20
        self.secret = os.urandom(16)
        self.seed = crc32c(self.secret)
        self.pattern = os.urandom(PATTERN)
        self.stream = b""  # of the journal, from its beginning

    def expected(self, address, size):
        """What the data file has there."""
        start = address % PATTERN
        times = (start + size) // PATTERN + 1
        return (self.pattern * times)[start:start + size]

    def record(self, *effects):
        body = b"".join(effects)
        lsn = len(self.stream)
        head = struct.pack("<QQQI", lsn, 48 + len(body), lsn, len(effects))
        rest = head + struct.pack("<I8x", crc32c(head, self.seed)) + body
        self.stream += b"MGRC" + struct.pack("<I", crc32c(rest, self.seed)) + rest
        self.stream += bytes(-len(self.stream) % BLOCK)

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self):
        os.mkdir(self.folder)
        self._write_data()
        self._write_checkpoint()
        for seq in range(len(self.stream) // PAYLOAD + 2):
            header = struct.pack("<8sIIQQ16s", b"MREGJRNL", 1, 0, seq, 0, self.secret)
            part = self.stream[seq * PAYLOAD:(seq + 1) * PAYLOAD]
            save(self.path(f"journal-{seq:016x}"), sealed(header.ljust(BLOCK, b"\0")) + part, SEGMENT)
        meta = struct.pack("<8sIIIIQQQQ16s16s64s", b"MREGMETA", 1, 0, 0, 0, 100, 0, 256 << 20,
                           self.number, os.urandom(16), self.secret, self.name.encode())
        save(self.path("meta"), skipped(meta))

    def _write_data(self):
        with open(self.path("data"), "wb") as file:
            os.posix_fallocate(file.fileno(), 0, self.data_size)
            for address in range(0, self.size, PATTERN):
                file.write(self.pattern[:self.size - address])

    def _write_checkpoint(self):
        chunks, body = 0, b""
        for first in range(0, len(self.free), 8192):
            part = self.free[first:first + 8192]
            rest = struct.pack("<IQQ8x", len(part), 1, chunks)
            rest += b"".join(struct.pack("<QQ", *extent) for extent in part)
            body += struct.pack("<I", crc32c(rest, self.seed)) + rest
            chunks += 1
        header = struct.pack("<8sII16s8Q", b"MREGCKPT", 1, 0, self.secret, 1, 0, 0, self.size,
                             -(-self.size // 65536), len(self.free), chunks, len(body))
        save(self.path("checkpoint-1"), sealed(header.ljust(BLOCK, b"\0")) + body, 1 << 20)
        save(self.path("checkpoint-0"), b"", 1 << 20)


def main():
    folder, mib = sys.argv[1], int(sys.argv[2])
    Store(folder).region("main", size=mib << 20).write()


if __name__ == "__main__":
    main()
