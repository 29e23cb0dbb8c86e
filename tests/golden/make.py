#!/usr/bin/python3
"""Makes the golden store of the present on-disk format, once, when a format is new:

    MREGIOND=build/daemon/mregiond tests/golden/make.py

writes format-N.tar.gz, the store's folder (an archive, because its segments are mostly zeros), and
format-N.json, what a later version must find in it. Both are committed and, once the format is
released, never made again: tests/e2e/test_golden.py opens the stores of all formats with the
mregiond of today.
"""
import hashlib
import json
import os
import sys
import tarfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "e2e"))
# pylint: disable=wrong-import-position
from mpack import Client, RpcError  # noqa: E402
from server import DEADLINE, Server  # noqa: E402

# Regions whose options only the configuration can give; mixed begins without checksums.
CONFIG = """
regions:
  - {{name: main}}
  - {{name: mixed, checksum: '{checksum}'}}
"""


def blob(name, size):
    """The same bytes every time, no two blobs alike at any offset, and small in the archive."""
    pattern = hashlib.shake_128(name.encode()).digest(61)
    return (pattern * (size // len(pattern) + 1))[:size]


class Maker:
    def __init__(self, client):
        self.client = client
        self.blobs = {}
        self.tokens = []

    def call(self, method, region, *params):
        return self.client.call(method, region, *params)

    def note(self, region, address, data):
        self.blobs.setdefault(region, {})[address] = data

    def add(self, region, name, size):
        data = blob(name, size)
        address = self.call("addBlob", region, data)
        self.note(region, address, data)
        return address

    def remove(self, region, address):
        data = self.blobs[region].pop(address)
        self.call("removeBlob", region, address, len(data))

    def replace(self, region, address, name, size):
        old, data = self.blobs[region].pop(address), blob(name, size)
        self.note(region, self.call("replaceBlob", region, address, len(old), data), data)

    def seed(self, region):
        """One block of 1000 bytes with three holes."""
        self.call("allocate", region, 1000)
        for address, size in ((100, 35), (200, 50), (300, 70)):
            self.call("deallocate", region, address, size)

    def churn(self, region, prefix):
        """Every way in which bytes get to the disk: journaled, straight, moved, in place."""
        addresses = [self.add(region, f"{prefix}-{i}", size)
                     for i, size in enumerate((1, 64, 511, 4096, 5000, 65535, 65536, 70001, 200000))]
        self.remove(region, addresses[3])
        self.remove(region, addresses[6])
        self.replace(region, addresses[1], f"{prefix}-grown", 3000)
        self.replace(region, addresses[7], f"{prefix}-large", 90000)
        data = self.blobs[region].pop(addresses[4])
        moved = self.call("resize", region, addresses[4], len(data), 2500)
        self.note(region, moved, data[:2500])
        data = blob(f"{prefix}-stored", 511)
        self.call("storeBlob", region, addresses[2], data)
        self.note(region, addresses[2], data)

    def mix(self, region):
        """With checksums on: pages that were written without, and that are changed in part, as a
        whole, and not at all."""
        addresses = sorted(self.blobs[region])
        for name, address, size in (("part", addresses[0], 100), ("whole", addresses[1], 30000)):
            data = blob(name, size)
            old = self.blobs[region][address]
            self.call("storeBlob", region, address, data)
            self.note(region, address, data + old[size:])
        self.add(region, "on", 70001)

    def punch(self, region):
        """A free block whose space goes back to the file system."""
        address = self.add(region, "punched", 5 << 20)
        self.add(region, "behind", 10)
        self.remove(region, address)
        self.call("checkpoint", region)
        deadline = time.monotonic() + DEADLINE
        while self.call("regionInfo", region)["discarded_bytes"] < 4 << 20:
            assert time.monotonic() < deadline, "no space was given back"
            time.sleep(0.05)

    def once(self, region, method, *params):
        """A change with a token. Blobs among the parameters are [name, size]."""
        token = hashlib.shake_128(f"{region} {len(self.tokens)}".encode()).digest(16)
        answer = self.call(method, region, *unfolded(params), {"token": token})
        self.tokens.append({"region": region, "method": method, "params": params,
                            "token": token.hex(), "answer": folded(answer)})
        return answer

    def tokens_and_batches(self, region):
        """Answers of each kind and size, kept in the checkpoint and in the journal."""
        for place in ("checkpoint", "journal"):
            self.once(region, "allocate", 0)
            named = {"blob": [f"{place}-token", 5000]}
            address = self.once(region, "addBlob", named)
            self.once(region, "removeBlob", address, 5000)
            changes = [["addBlob", {"blob": [f"{place}-first", 3000]}],
                       ["addBlob", {"blob": [f"{place}-second", 70000]}], ["allocate", 100],
                       ["grow", 1]]
            first, second, third, _ = self.once(region, "batch", changes)
            self.note(region, first, blob(f"{place}-first", 3000))
            self.note(region, second, blob(f"{place}-second", 70000))
            changes = [["deallocate", third, 100], ["deallocate", first, 1000]]
            self.once(region, "batch", changes)
            self.note(region, first + 1000, self.blobs[region].pop(first)[1000:])
            if place == "checkpoint":
                self.call("checkpoint", region)

    def found(self, region):
        info = self.call("regionInfo", region)
        kept = ("id", "name", "uuid", "durability", "flush_interval", "fit", "max_size",
                "journal_size", "pages", "size", "capacity", "allocated", "deallocated",
                "free_blocks", "largest_free")
        return {
            "info": {key: info[key] for key in kept},
            "free": self.call("getFreeMemory", region),
            "blobs": [[address, len(data), hashlib.sha256(data).hexdigest()]
                      for address, data in sorted(self.blobs.get(region, {}).items())],
        }


def unfolded(value):
    """A parameter from JSON: {"blob": [name, size]} stands for the bytes."""
    if isinstance(value, dict):
        return blob(*value["blob"])
    return [unfolded(item) for item in value] if isinstance(value, (list, tuple)) else value


def folded(value):
    """An answer for JSON: bytes as their hash."""
    if isinstance(value, bytes):
        return hashlib.sha256(value).hexdigest()
    return [folded(item) for item in value] if isinstance(value, list) else value


def knows_batches(client):
    try:
        client.call("batch", "main", [])
    except RpcError as error:
        assert error.code == "no_such_method", error
        return False
    return True


def make(server):
    server.write_config(CONFIG.format(checksum="off"))
    server.start()
    with Client(server.unix) as client:
        maker = Maker(client)
        for i in range(4):
            maker.add("mixed", f"off-{i}", 40000)
    server.stop()
    server.write_config(CONFIG.format(checksum="on"))
    server.start()
    with Client(server.unix) as maker.client:
        client = maker.client
        client.call("createRegion", "seed")
        client.call("createRegion", "packed", {"fit": "lowest", "max_size": 1 << 20,
                                               "durability": "interval", "flush_interval": 50})
        client.call("createRegion", "empty", {"fit": "largest", "durability": "none"})
        client.call("createRegion", "punched")
        if knows_batches(client):
            client.call("createRegion", "tokens")
            maker.tokens_and_batches("tokens")
        last_id = client.call("createRegion", "dropped")
        client.call("dropRegion", "dropped")
        maker.seed("seed")
        maker.churn("main", "before")
        maker.call("checkpoint", "main")
        maker.churn("main", "after")
        maker.call("grow", "main", 3)
        maker.mix("mixed")
        maker.punch("punched")
        maker.add("packed", "packed", 100)
        maker.call("checkpoint", "packed")
        regions = client.call("listRegions")
        found = {"last_id": last_id, "regions": {name: maker.found(name) for name in regions},
                 "tokens": maker.tokens}
        found_format = client.call("regionInfo", "main")["format"]
    server.kill()  # the journal has what came after the checkpoint
    return found_format, found


def main():
    server = Server(config="", regions=[])
    try:
        number, found = make(server)
        path = os.path.join(HERE, f"format-{number}")
        with tarfile.open(path + ".tar.gz", "w:gz") as archive:
            archive.add(server.data_dir, arcname="data", filter=anonymous)
        with open(path + ".json", "w", encoding="utf-8") as file:
            json.dump(found, file, indent=1)
            file.write("\n")
    finally:
        server.remove()
    if not found["tokens"]:
        print("without tokens and batches, which this mregiond does not know", file=sys.stderr)
    print(path)


def anonymous(entry):
    entry.uid = entry.gid = entry.mtime = 0
    entry.uname = entry.gname = ""
    return entry


if __name__ == "__main__":
    main()
