"""Who is measured: a server as the load generator drives it, or a program of its own."""

import json
import os
import shutil
import subprocess

from . import servers
from .cells import OPERATIONS
from .servers import Failed, Server, pin

TIMEOUT = 60  # of a run that should take a second or two, and takes seven at most
DIRECT = 65536  # blobs of this size and more go past mregiond's journal, to their place at once


class Subject:
    """name as in the tables. covers(cell) says whether a cell means anything for it."""

    def __init__(self, name, bench, operations=OPERATIONS, transports=("unix", "tcp"), least=0):
        self.name, self.bench = name, bench
        self.operations, self.transports, self.least = operations, transports, least

    def covers(self, cell):
        return cell.operation in self.operations and cell.transport in self.transports and \
            cell.size >= self.least

    def run(self, cell, seconds):
        raise NotImplementedError

    def stop(self):
        """Ends what runs; the next run begins anew."""

    def command(self, core, words):
        """Runs one of our programs that prints its result as JSON."""
        done = subprocess.run(words, cwd=self.bench.scratch, stdin=subprocess.DEVNULL,
                              capture_output=True, preexec_fn=pin(core), timeout=TIMEOUT,
                              check=False)
        if done.returncode != 0:
            raise Failed(f"{self.name}: {os.path.basename(words[0])}: "
                         f"{done.stderr.decode(errors='replace').strip()}")
        return json.loads(done.stdout)


class Remote(Subject):
    """Driven over a socket, by one server or by one for each transport."""

    def __init__(self, name, bench, protocol, by_transport, options=lambda cell: ["--clear"], **rest):
        super().__init__(name, bench, transports=tuple(by_transport), **rest)
        self.protocol, self.by_transport, self.options = protocol, by_transport, options

    def run(self, cell, seconds):
        server = self.by_transport[cell.transport]
        address = server.address(cell.transport)
        return self.load(server, address, [
            "--size", cell.size, "--connections", cell.connections, "--pipeline", cell.pipeline,
            "--mix", cell.mix, "--preload", cell.preload(seconds), "--folder", ".",
            "--warmup", cell.warmup(seconds), "--seconds", seconds, *self.options(cell)])

    def load(self, server, address, words):
        return self.command(self.bench.client_core, [
            self.bench.program("tests/bench/bench_load"), "--json", "--protocol", self.protocol,
            "--server", address, "--pid", str(server.pid), *map(str, words)])

    def stop(self):
        for server in self.by_transport.values():
            server.stop()


class Disk(Subject):
    """What the disk takes: one write and sync for an add alone; for large ones, sequential writes
    with as many bytes to a sync as there can be in flight."""

    def __init__(self, name, bench, is_direct):
        super().__init__(name, bench, operations=("add",), transports=("unix",))
        self.is_direct = is_direct

    def covers(self, cell):
        is_alone = cell.size == 64 and (cell.connections, cell.pipeline) == (1, 1)
        return super().covers(cell) and (cell.size >= DIRECT or is_alone and not self.is_direct)

    def run(self, cell, seconds):
        size = max(cell.size, 4096)
        in_flight = min(cell.connections * cell.pipeline, (64 << 20) // size)
        result = self.command(self.bench.server_core, [
            self.bench.program("tests/bench/bench_sync"), "--json", "--size", str(size),
            "--per-sync", str(in_flight), "--seconds", str(seconds),
            *(["--direct"] if self.is_direct else []), "blocks"])
        os.unlink(os.path.join(self.bench.scratch, "blocks"))
        return result


class Lmdb(Subject):
    """No socket and no other thread: as many operations in a transaction as there are in flight."""

    def __init__(self, bench):
        super().__init__(LMDB, bench, transports=("unix",))

    def covers(self, cell):
        return super().covers(cell) and cell.connections == 1 and cell.pipeline in (1, 64)

    def run(self, cell, seconds):
        operation = {"add": "put", "load": "get", "remove": "del"}[cell.operation]
        folder = os.path.join(self.bench.scratch, "lmdb")
        try:
            return self.command(self.bench.server_core, [
                self.bench.program("tests/bench/bench_lmdb"), "--size", str(cell.size),
                "--per-sync", str(cell.pipeline), "--operation", operation,
                "--blobs", str(cell.preload(seconds)), "--seconds", str(seconds), "lmdb"])
        finally:
            shutil.rmtree(folder, ignore_errors=True)


MREGIOND = "mregiond"
KEPT = "mregiond, kept space"
DEALLOCATE = "mregiond deallocate"
ALWAYS, EVERYSEC, NO = "Redis always", "Redis everysec", "Redis no"
MEMCACHED, TARANTOOL = "memcached", "Tarantool fsync"
RAW, RAW_THREAD = "raw server", "raw server, thread"
DISK, DISK_DIRECT = "disk alone", "disk alone, O_DIRECT"
LMDB = "LMDB, embedded"
NAMES = (MREGIOND, KEPT, DEALLOCATE, ALWAYS, EVERYSEC, NO, MEMCACHED, TARANTOOL, LMDB, RAW,
         RAW_THREAD, DISK, DISK_DIRECT)


def both(server):
    return {"unix": server, "tcp": server}


def for_each_transport(name, bench, command, **rest):
    return {transport: Server(f"{name}-{transport}", bench, command(transport), (transport,), **rest)
            for transport in ("unix", "tcp")}


def fresh_if_large(cell):
    """Large blobs go into a file that grows, small ones into space that was used before."""
    return ["--region", "fresh", "--renew"] if cell.size >= DIRECT else ["--clear"]


def ours(bench):
    server = Server("mregiond", bench, servers.mregiond)
    yield Remote(MREGIOND, bench, "mregion", both(server), fresh_if_large)
    yield Remote(KEPT, bench, "mregion", both(server), operations=("add",), least=DIRECT)
    yield Remote(DEALLOCATE, bench, "mregion", both(server),
                 lambda cell: [*fresh_if_large(cell), "--deallocate"], operations=("remove",))
    yield Remote(RAW, bench, "raw", for_each_transport(
        "raw", bench, lambda transport: servers.raw(transport, False)))
    yield Remote(RAW_THREAD, bench, "raw", for_each_transport(
        "raw-thread", bench, lambda transport: servers.raw(transport, True)),
        operations=("add", "remove"))
    yield Disk(DISK, bench, False)
    yield Disk(DISK_DIRECT, bench, True)


def for_memory(bench):
    """Without page cache: what that holds is bounded, and would be filled meanwhile."""
    return Remote(MREGIOND, bench, "mregion",
                  both(Server("mregiond-memory", bench, servers.mregiond_without_cache)))


def references(bench):
    """Those that are installed. A load is the same whatever a Redis syncs: one of them does it."""
    if bench.has("redis-server"):
        for name, fsync in ((ALWAYS, "always"), (EVERYSEC, "everysec"), (NO, "no")):
            operations = ("add", "load", "remove") if fsync == "no" else ("add", "remove")
            yield Remote(name, bench, "resp", both(Server(f"redis-{fsync}", bench,
                         servers.redis(fsync), grows=True)), operations=operations)
    if bench.has("memcached"):
        yield Remote(MEMCACHED, bench, "memcached",
                     for_each_transport("memcached", bench, servers.memcached))
    if bench.has("tarantool"):
        yield Remote(TARANTOOL, bench, "iproto",
                     for_each_transport("tarantool", bench, servers.tarantool, grows=True))
    if bench.has_program("tests/bench/bench_lmdb", "liblmdb-dev"):
        yield Lmdb(bench)
