"""SIGKILL at the nth system call that changes something, n = 1, 2, … until a run comes through.

The workload has changes of every kind, single, in batches and in bursts, with tokens and without,
small and large; checkpoints, a scrub, regions made and dropped, a reload, space given back, and a
stop. What is killed is started again, and killed again at the first call, the second, … of its
recovery, before it may come through. Then everything that was acknowledged must be there, what was
not is there whole or not at all, tokens give the answers that they gave first, and not one byte more
is in use than the model says.

KERNEL_LONG=1 for all n, KERNEL_FROM=n for those from n on; KERNEL_SEED for another workload;
KERNEL_AT=12:before for one run alone, how as in kill.c.
"""
import collections
import itertools
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
from concurrent import futures

import disks
from case import Case, run
from mpack import Client, Closed
from server import ServerError
from workload import Maker, Model, Step, perform

LIBRARY = os.environ.get("KILL_LIBRARY")
SEED = int(os.environ.get("KERNEL_SEED", "1"))
FROM = int(os.environ.get("KERNEL_FROM", "1"))  # the first n
SAMPLE = 10  # runs without KERNEL_LONG
LIVES = 8  # at once, with it
CALLS = ("pwritev,fdatasync,fsync,fallocate,ftruncate,renameat,renameat2,unlinkat,mkdirat,mkdir,"
         "rename,unlink")
FIRST, OTHER = "100ms", "1s"  # flush_interval before and after the reload
MIB = 1 << 20
# Without the sandbox: what is preloaded writes a file of its own.
CONFIG = """
sandbox: off
listen: [{{unix: "{path}"}}]
regions:
  - {{name: main, journal_size: 16MiB, discard: 64KiB, flush_interval: {interval}}}
"""


class Killed(Exception):
    pass


class Workload:
    """One life of a data directory, as far as it comes."""

    def __init__(self, server, seed):
        self.server, self.client = server, None
        self.models = {"main": Model("main"), "side": Model("side")}
        self.makers = {name: Maker(f"{seed}{name}", model, 25)
                       for name, model in self.models.items()}
        self.acknowledged = []  # steps, in order
        self.pending = []  # sent, not answered
        self.has_side = False

    def configure(self, interval):
        self.server.write_config(CONFIG.format(path=self.server.path("s"), interval=interval))

    def do(self, step):
        self.pending.append(step)
        perform(self.client, step)
        self.pending.remove(step)
        self.acknowledged.append(step)

    def call(self, method, *params, settle=lambda result: None):
        self.do(Step(method, params, (), settle))

    def some(self, count, region="main"):
        for _ in range(count):
            self.do(self.makers[region].choose())

    def burst(self, count):
        """So many at once, which share commits."""
        maker = self.makers["main"]
        part, maker.token_part = maker.token_part, 1  # else nobody can tell what happened
        for _ in range(count):
            step = maker.choose()
            self.pending.append(step)
            step.msgid = self.client.send(step.method, *step.params)
        maker.token_part = part
        while self.pending:
            step = self.pending[0]
            step.answer = self.client.wait(step.msgid)
            step.settle(step.answer)
            self.acknowledged.append(self.pending.pop(0))

    def large(self):
        """Past a segment of the journal, and space that goes back."""
        maker = self.makers["main"]
        maker.sizes, maker.weights = [3 * MIB], [1]
        self.do(maker.add())
        maker.sizes, maker.weights = Maker(0, None).sizes, Maker(0, None).weights
        address = max(maker.held, key=lambda held: maker.model.blocks[held][0])
        for _ in range(2):
            self.do(maker.store(address))
        self.do(maker.replace(address))
        folder = os.path.join(self.server.data_dir, "regions/main")
        while (self.client.call("regionInfo", "main")["discarded_bytes"] == 0 and
               not disks.is_in_place(os.path.join(folder, "data"))):
            pass

    def side(self, is_there):
        def settle(_):
            self.has_side = is_there
        self.call("createRegion" if is_there else "dropRegion", "side", settle=settle)

    def reload(self):
        self.configure(OTHER)
        self.server.signal(signal.SIGHUP)
        self.server.wait_log("reloaded the configuration")

    def run(self):
        """Up to the stop; raises Killed."""
        try:
            self.server.start()
            self.client = Client(self.server.unix)
            self.work()
        except (Closed, OSError, ServerError) as error:
            raise Killed(error) from error
        finally:
            if self.client is not None:
                self.client.close()
        self.server.signal(signal.SIGTERM)

    def work(self):
        main = self.makers["main"]
        self.some(12)
        self.burst(6)
        self.call("checkpoint", "main")
        self.some(6)
        self.side(True)
        self.some(4, "side")
        self.do(main.grow())
        self.large()
        self.call("scrub", "main")
        self.reload()
        self.burst(6)
        self.call("checkpoint", "main")
        self.do(main.clear(sorted(main.held)[len(main.held) // 2]))
        self.side(False)
        self.some(5)
        self.do(main.clear())
        self.some(5)

    # ---- After the kill ----

    def resolve(self, client):
        """What became of the steps without an answer."""
        regions = client.call("listRegions")
        for step in self.pending:
            if step.method in ("createRegion", "dropRegion"):
                step.settle(None) if ("side" in regions) != self.has_side else None
            elif step.has_token:
                step.answer = client.call(step.method, *step.params)
                step.settle(step.answer)
                self.acknowledged.append(step)
            elif step.method not in ("checkpoint", "scrub"):
                self.models[step.params[0]].find(client, step)
        for maker in self.makers.values():
            maker.busy.clear()
        self.pending = []

    def check(self, client):
        names = ["main", "side"] if self.has_side else ["main"]
        assert client.call("listRegions") == names, (client.call("listRegions"), names)
        for name in names:
            left = self.models[name].differences(client)
            assert left is None, f"{name}: {left}"

    def send_again(self, client):
        """All that had an answer, by their tokens."""
        steps = [step for step in self.acknowledged
                 if step.has_token and (step.params[0] == "main" or self.has_side)]
        for step in steps:
            step.msgid = client.send(step.method, *step.params)
        for step in steps:
            assert client.wait(step.msgid) == step.answer, f"another answer to {step}"
        return len(steps)


class KillNth(Case):
    kills = restarts_killed = retried = 0
    counting = threading.Lock()

    @classmethod
    def setUpClass(cls):
        """On ext4 where it can be mounted, else wherever temporary files go."""
        if disks.can_mount():
            disk = disks.Disk("ext4", 2048 * MIB)
            cls.addClassCleanup(disk.remove)
            cls.addClassCleanup(setattr, tempfile, "tempdir", tempfile.tempdir)
            tempfile.tempdir = disk.folder

    def tearDown(self):
        print(f"kills: {KillNth.kills} at a system call, {KillNth.restarts_killed} more in a restart, "
              f"{KillNth.retried} tokens sent again")

    def count(self, **numbers):
        with self.counting:
            for name, number in numbers.items():
                setattr(KillNth, name, getattr(KillNth, name) + number)

    def life(self, at, how, deaths):
        """One data directory with a kill at the nth call; deaths: at which calls of the recovery, one
        start each. Returns the line of kill.c about the call, or about the end without one."""
        server = self.server(config="listen: []\n", env={"LD_PRELOAD": LIBRARY})
        server.env.update(KILL_AT=str(at), KILL_HOW=how, KILL_LOG=server.path("log"))
        self.live(server, deaths, f"{at}:{how}")
        with open(server.path("log"), encoding="ascii") as file:
            line = file.readline()
        server.remove()
        return line

    def strace_life(self, at):
        """The same at the nth call of some thread, without a preload."""
        server = self.server(config="listen: []\n")
        plain, inject = server.command, f"inject={CALLS}:signal=KILL:when={at}"
        server.command = ["strace", "-D", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={CALLS}", "-e",
                          inject, *plain]
        killed = self.live(server, lambda _: setattr(server, "command", plain) or (), f"{at}:strace")
        server.remove()
        return killed

    def live(self, server, deaths, name):
        try:
            workload = Workload(server, SEED)
            workload.configure(FIRST)
            return self.live_and_die(server, workload, deaths)
        except BaseException:
            print(f"---- log of mregiond\n{server.log()}\n---- again with\n"
                  f"    KERNEL_SEED={SEED} KERNEL_AT={name} ctest --test-dir .build/release "
                  f"--output-on-failure -R kernel/test_kill_nth", flush=True)
            raise

    def live_and_die(self, server, workload, deaths):
        """Returns whether it was killed."""
        reason = None
        try:
            workload.run()
        except Killed as error:
            reason = error
        status = server.wait()
        if status == 0:
            self.assertEqual((workload.pending, reason), ([], None))
        else:
            self.assertEqual(status, -signal.SIGKILL, server.log())
            self.count(kills=1)
        server.env["KILL_LOG"] = server.path("log-of-restart")
        self.verify(server)
        for at in deaths(server):
            server.env["KILL_AT"] = str(at)
            if self.dies(server):
                self.count(restarts_killed=1)
            else:
                break
        server.env.pop("KILL_AT", None)
        server.start()
        with Client(server.unix) as workload.client:
            workload.resolve(workload.client)
            workload.check(workload.client)
            self.count(retried=workload.send_again(workload.client))
            workload.some(6)
            workload.burst(4)
            workload.check(workload.client)
        server.stop()
        self.verify(server)
        server.start()
        with Client(server.unix) as client:
            workload.check(client)
            workload.send_again(client)
        server.kill()
        return status != 0

    def dies(self, server):
        """Whether a start is killed before it is ready."""
        server.start(wait=False)
        try:
            server.wait_log(r"\bready\b")
        except ServerError:
            self.assertEqual(server.wait(), -signal.SIGKILL, server.log())
            return True
        server.kill()
        return False

    def verify(self, server):
        """mregiond --check, unless there is nothing yet."""
        if os.path.exists(os.path.join(server.data_dir, "store")):
            report = run("--data-dir", server.data_dir, "--check")
            self.assertEqual(report.returncode, 0, report.stdout + report.stderr)

    def test_every_nth(self):
        if "KERNEL_AT" in os.environ:
            at, how = os.environ["KERNEL_AT"].split(":")
            if how != "strace":
                self.life(int(at), how, lambda _: range(1, 1000))
            return
        total = int(self.life(0, "before", lambda _: ()).split()[0])
        print(f"{total} calls in a run without a kill")
        self.assertGreater(total, 150)
        if disks.LONG:
            self.kill_all()
        else:
            self.kill_some(total)

    def kill_all(self):
        """Several at once: most of the time goes into waiting."""
        with futures.ThreadPoolExecutor(LIVES) as pool:
            done = itertools.chain.from_iterable(
                pool.map(self.kill_at, range(first, first + 8 * LIVES))
                for first in itertools.count(FROM, 8 * LIVES))
            names = []
            for name in itertools.takewhile(lambda name: name != "end", done):
                names.append(name)
                if len(names) % 50 == 0:
                    print(f"{len(names)} calls, {KillNth.kills} kills", flush=True)
        print("killed at", ", ".join(f"{number} {name}" for name, number in
                                     sorted(collections.Counter(names).items())))

    def kill_at(self, at):
        """In all ways; returns what it was that was called, or "end". Every few the recovery is killed
        at each of its calls."""
        deaths = range(1, 1000) if at % 8 == 1 else [at % 37 + 1, at % 11 + 1]
        name = self.life(at, "before", lambda _: deaths).split()[1]
        hows = {"end": [], "pwritev": ["after", "half"]}.get(name, ["after"])
        for how in hows:
            self.life(at, how, lambda _: [at % 37 + 1])
        return name

    def kill_some(self, total):
        rng = random.Random(SEED)
        for part in range(SAMPLE):  # from all parts of the run
            at = 1 + (part * total + rng.randrange(total)) // SAMPLE
            how = ("before", "after", "half")[part % 3]
            self.life(at, how, lambda _: [rng.randrange(1, 40)])

    def test_strace(self):
        """Another way to kill, in case the preloaded one misses a call."""
        if "KERNEL_AT" in os.environ:
            at, how = os.environ["KERNEL_AT"].split(":")
            if how == "strace":
                self.strace_life(int(at))
            return
        if shutil.which("strace") is None:
            self.skipTest("there is no strace")
        killed = [self.strace_life(at) for at in (range(1, 200, 3) if disks.LONG else (5, 40))]
        self.assertTrue(killed[0])


if __name__ == "__main__":
    if LIBRARY is None:
        print("skipped: KILL_LIBRARY is not set: run it with ctest")
        sys.exit(77)
    disks.main(must_mount=False)
