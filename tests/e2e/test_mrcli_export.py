"""mrcli export and import: a region, address by address, through files and pipes, and what is left
where it fails."""
import json
import os
import random
import resource
import signal
import socket
import subprocess
import threading
import unittest

from cli import CliCase, FakeServer, default_signals
from mpack import Client, RpcError
from server import DEADLINE, MRCLI, Server

MIB = 1 << 20


class Export(CliCase):
    def setUp(self):
        super().setUp()
        # What is imported has the same options, and nobody here waits for a disk.
        self.out("drop", "main")
        self.out("create", "--durability", "none", "main")
        self.client = Client(self.mregiond.unix)
        self.addCleanup(self.client.close)

    def blocks(self, region):
        size = self.client.call("size", region)
        return self.client.call("allocatedBlocksInRange", region, 0, size)

    def assert_same(self, one, other):
        """Sizes, holes and bytes."""
        self.assertEqual(self.client.call("memoryInfo", one), self.client.call("memoryInfo", other))
        self.assertEqual(self.client.call("getFreeMemory", one),
                         self.client.call("getFreeMemory", other))
        for address, size in self.blocks(one):
            for at in range(address, address + size, MIB):
                part = min(MIB, address + size - at)
                self.assertTrue(self.client.call("loadBlob", one, at, part) ==
                                self.client.call("loadBlob", other, at, part), (at, part))

    def fill(self, seed, blobs=60, holes=30):
        """Blobs and holes of many sizes, at the end and at the beginning too."""
        dice = random.Random(seed)
        for _ in range(blobs):
            size = dice.choice((1, 7, 4096, 5000, 65536, 300000, 1200000))
            self.client.call("addBlob", "main", dice.randbytes(size))
        size = self.client.call("size", "main")
        for _ in range(holes):
            at = dice.randrange(size)
            length = dice.choice((1, 100, 4096, 65535, 65536, 70000, 2 * MIB))
            self.client.call("deallocateRange", "main", at, min(at + length, size))
        return size

    def pipe(self, command, status=0):
        done = subprocess.run(["bash", "-o", "pipefail", "-c", command, MRCLI],
                              env=self.environment, cwd=self.folder, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=DEADLINE, check=False)
        self.assertEqual(done.returncode, status, (command, done.stderr))
        return done.stdout.decode(), done.stderr.decode()

    def regions(self):
        return self.out("list").split()

    def renames(self):
        """Whether this server gives regions other names."""
        try:
            self.client.call("renameRegion", "nobody", "other")
        except RpcError as error:
            return "no_such_method" not in str(error)
        return True

    def start_import(self, content, name="copy"):
        """An import that has got this much, and waits for more; what its region is called so far."""
        process = subprocess.Popen([MRCLI, "import", "-", name], env=self.environment,
                                   cwd=self.folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, preexec_fn=default_signals)
        process.stdin.write(content)
        process.stdin.flush()
        while True:
            names = [one for one in self.regions() if one != "main"]
            if names:
                return process, names[0]
            self.assertIsNone(process.poll(), process.returncode)

    def read_first(self, pipe):
        """So much of an export that its blocks have been listed, and wait for the reader."""
        first = b""
        while len(first) < 20000:
            part = pipe.read(20000)
            self.assertTrue(part)
            first += part
        return first

    # ---- What comes back ----

    def test_holes_everywhere(self):
        size = self.fill(1)
        self.client.call("deallocateRange", "main", 0, 100)
        self.client.call("deallocateRange", "main", size - 3 * MIB, size)
        self.client.call("grow", "main", 3)
        self.out("export", "file")
        self.assertEqual(self.out("import", "file", "copy"), "copy\n")
        self.assert_same("main", "copy")
        self.pipe('"$0" export | "$0" import - piped')
        self.assert_same("main", "piped")
        self.assertEqual(sorted(os.listdir(self.folder)), ["file"])

    def test_many_small_blocks(self):
        """More than a record holds, and more than the server lists at a time."""
        self.client.call("allocate", "main", 7000 * 48)
        for base in range(0, 7000, 1000):
            self.client.call("batch", "main", [["deallocate", (base + i) * 48, 17]
                                               for i in range(1000)])
        self.assertEqual(len(self.blocks("main")), 7000)
        self.pipe('"$0" export - | "$0" import - copy')
        self.assert_same("main", "copy")

    def test_empty_regions(self):
        self.pipe('"$0" export | "$0" import - copy')
        self.assertEqual(self.out("-r", "copy", "size"), "0\n")
        self.out("allocate", "100000")
        self.out("clear")
        self.pipe('"$0" export | "$0" import - all-free')
        self.assert_same("main", "all-free")

    def test_options_and_name_come_along(self):
        self.out("create", "--fit", "largest", "--durability", "interval", "--flush-interval", "7s",
                 "--token-window", "77", "--checksum", "off", "--max-size", "1GiB", "other")
        self.out("-r", "other", "add", self.write("x", b"blob"))
        self.out("-r", "other", "export", "file")
        self.out("drop", "other")
        answer = json.loads(self.out("-o", "json", "import", "file", env={"MREGION_REGION": ""}))
        self.assertEqual(answer, {"region": "other", "size": 4, "allocated": 4, "blocks": 1})
        info = self.client.call("regionInfo", "other")
        self.assertEqual([info[key] for key in ("fit", "durability", "flush_interval",
                                                "token_window", "checksum", "max_size")],
                         ["largest", "interval", 7000, 77, "off", 1 << 30])
        self.assertEqual(self.out("-r", "other", "load", "0+4"), "blob")

    def test_a_region_that_was_never_used(self):
        self.fill(2, blobs=5, holes=3)
        self.out("export", "file")
        number = self.out("create", "fresh")
        self.out("-r", "fresh", "import", "file")
        self.assertEqual(self.out("-r", "fresh", "id"), number)
        self.assert_same("main", "fresh")

    def test_memory_does_not_grow_with_the_region(self):
        """An address space that holds little more than the program."""
        self.write("x", bytes(200 * MIB))
        self.out("add", "x")
        limit = None
        if not os.environ.get("MREGION_ASAN"):
            def limit():
                resource.setrlimit(resource.RLIMIT_AS, (160 * MIB, 160 * MIB))
        self.out("export", "file", preexec_fn=limit)
        self.out("import", "file", "copy", preexec_fn=limit)
        self.assertEqual(self.client.call("allocated", "copy"), 200 * MIB)

    # ---- What does not ----

    def test_used_regions_are_refused(self):
        self.fill(3, blobs=5, holes=3)
        self.out("export", "file")
        before = self.client.call("regionInfo", "main")
        self.fails(1, "main is there and has been used .*drop it", "import", "file")
        self.assertEqual(self.client.call("regionInfo", "main")["commits"], before["commits"])
        self.out("clear")
        self.fails(1, "main is there and has been used", "import", "file")
        self.fails(64, "import: a name has at most 64", "import", "file", "x" * 65)
        self.fails(1, "invalid_argument", "import", "file", "no name")
        self.fails(3, "no_such_region", "-r", "nobody", "export", "other")
        self.assertEqual(self.regions(), ["main"])
        self.assertEqual(os.listdir(self.folder), ["file"])

    def test_cut_and_changed_streams_leave_nothing(self):
        self.fill(4, blobs=8, holes=4)
        self.out("export", "file")
        whole = self.read("file")
        self.write("none", b"")
        self.write("some", whole[:100])
        self.write("cut", whole[:-1])
        self.write("middle", whole[:len(whole) // 2])
        self.write("more", whole + b"\n")
        for name in ("none", "some", "cut", "middle", "more"):
            self.fails(6, f"{name}: record [0-9]+, before byte", "import", name, "copy")
            self.assertEqual(self.regions(), ["main"], name)
        for at in random.Random(5).sample(range(len(whole)), 8):
            changed = bytearray(whole)
            changed[at] ^= 1 << at % 8
            self.write("bad", bytes(changed))
            self.fails(6, "bad: record [0-9]+, before byte", "import", "bad", "copy")
            self.assertEqual(self.regions(), ["main"], at)
        self.fails(6, ".*/x: record 0, .*no export", "import", self.write("x", b"x" * 999), "copy")
        self.fails(74, "nowhere: cannot open", "import", "nowhere", "copy")
        self.fails(74, "/: cannot read", "import", "/", "copy")

    def test_a_region_that_was_there_says_what_is_left(self):
        self.fill(6, blobs=8, holes=4)
        self.out("export", "file")
        self.write("cut", self.read("file")[:-1])
        self.out("create", "fresh")
        done = self.run_mrcli("import", "cut", "fresh")
        self.assertEqual(done.returncode, 6)
        self.assertRegex(done.stderr.decode(), r"cut off\nmrcli: fresh is empty, but has been used")
        self.assertEqual(self.out("-r", "fresh", "allocated"), "0\n")

    def test_a_region_that_was_there_and_got_nothing_is_as_it_was(self):
        self.fill(6, blobs=8, holes=4)
        self.out("export", "file")
        self.write("some", self.read("file")[:2000])
        number = self.out("create", "fresh")
        commits = self.client.call("regionInfo", "fresh")["commits"]
        self.fails(6, "some: record 1, before byte [0-9]+: the stream is cut off", "import", "some",
                   "fresh")
        self.assertEqual(self.client.call("regionInfo", "fresh")["commits"], commits)
        self.out("import", "file", "fresh")
        self.assertEqual(self.out("-r", "fresh", "id"), number)
        self.assert_same("main", "fresh")

    def test_no_space(self):
        self.out("create", "--max-size", "1MiB", "small")
        self.out("-r", "small", "allocate", "1MiB")
        self.out("-r", "small", "export", "file")
        content = self.read("file").replace(b"max_size 1048576", b"max_size 0000001")
        self.write("other", content)  # its checksum is wrong then
        self.fails(6, "other: record 0", "import", "other", "copy")
        self.out("create", "--max-size", "64KiB", "tiny")
        done = self.run_mrcli("import", "file", "tiny")
        self.assertEqual(done.returncode, 5, done.stderr)
        self.assertEqual(self.out("-r", "tiny", "allocated"), "0\n")

    def test_full_disks_and_closed_pipes(self):
        self.fill(7, blobs=30, holes=0)
        if os.path.exists("/dev/full"):
            self.fails(74, "/dev/full: cannot write: No space left", "export", "/dev/full")

        def small_files():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (2 * MIB, 2 * MIB))
        self.fails(74, "file: cannot write: File too large", "export", "file",
                   preexec_fn=small_files)
        self.assertEqual(os.listdir(self.folder), [])
        _, said = self.pipe('"$0" export | head -c 100000 >/dev/null', status=74)
        self.assertEqual(said, "mrcli: standard output: cannot write: Broken pipe\n")
        _, said = self.pipe('"$0" export | head -c 100000 | "$0" import - copy', status=6)
        self.assertIn("cut off", said)
        self.assertEqual(self.regions(), ["main"])

    def test_a_terminal_is_no_place_for_it(self):
        status, shown = self.on_terminal("export")
        self.assertEqual(status, 64)
        self.assertIn("standard output is a terminal", shown)

    def test_in_scripts(self):
        self.out("add", self.write("x", b"blob"))
        self.assertEqual(self.out(stdin=b"export file\nimport file copy\nsize\nuse copy\nload 0+4\n"),
                         "copy\n4\nblob")
        self.fails(64, "- is standard input, which holds the commands", stdin=b"import - c2\n")

    # ---- Changes ----

    def test_a_region_that_is_changed_meanwhile(self):
        """The stream waits in the pipe for a change of every kind; it then has no end."""
        self.fill(8, blobs=40, holes=0)
        address = self.client.call("addBlob", "main", b"there")
        for change in (lambda: self.client.call("storeBlob", "main", address, b"other"),
                       lambda: self.client.call("deallocate", "main", 0, 2 * MIB),
                       lambda: self.client.call("addBlob", "main", b"more"),
                       lambda: self.client.call("clear", "main")):
            process = subprocess.Popen([MRCLI, "export"], env=self.environment, cwd=self.folder,
                                       stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                       bufsize=0)
            first = self.read_first(process.stdout)
            change()
            rest, said = process.communicate(timeout=DEADLINE)
            self.assertEqual(process.returncode, 75, said)
            self.assertRegex(said.decode(), r"\Amrcli: main is being changed: .*try again")
            self.write("file", first + rest)
            self.fails(6, "file: record .* cut off", "import", "file", "copy")
            self.assertEqual(self.regions(), ["main"])

    def test_changed_anyway(self):
        """Most of the blocks are listed when the change comes, and not loaded yet."""
        self.write("x", random.Random(12).randbytes(32 * MIB))
        self.out("add", "x")
        process = subprocess.Popen([MRCLI, "export", "--anyway"], env=self.environment,
                                   cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   bufsize=0)
        first = self.read_first(process.stdout)
        self.client.call("deallocate", "main", 28 * MIB + 100, MIB)
        self.client.call("deallocate", "main", 30 * MIB, MIB)
        self.client.call("deallocate", "main", 31 * MIB + 5, 10)
        self.client.call("storeBlob", "main", 27 * MIB, b"new")
        self.client.call("addBlob", "main", bytes(MIB + 10))
        self.client.call("addBlob", "main", b"behind")
        rest, said = process.communicate(timeout=DEADLINE)
        told = b"mrcli: %s was changed while it was exported: its blocks are of different moments\n"
        self.assertEqual((process.returncode, said), (0, told % b"main"))
        self.write("file", first + rest)
        done = self.run_mrcli("import", "file", "copy")
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, b"copy\n", told % b"copy"))
        self.assertEqual(self.client.call("loadBlob", "copy", 27 * MIB, 3), b"new")
        size = self.client.call("size", "copy")
        self.assertEqual(size, 32 * MIB)
        self.assertEqual(self.client.call("deallocatedBlocksInRange", "main", 0, size),
                         self.client.call("getFreeMemory", "copy"))
        self.out("-r", "copy", "export", "--anyway", "again")
        self.assertEqual(self.out("import", "again", "second"), "second\n")
        self.assert_same("copy", "second")

    def test_somebody_else_writes_to_the_region(self):
        self.fill(9, blobs=30, holes=0)
        self.out("export", "file")
        content = self.read("file")
        process, building = self.start_import(content[:len(content) // 2])
        self.client.call("addBlob", building, b"in between")
        _, said = process.communicate(content[len(content) // 2:], timeout=DEADLINE)
        self.assertEqual(process.returncode, 1, said)
        self.assertIn(b"somebody else changes the region", said)
        self.assertEqual(self.regions(), ["main"])

    def test_somebody_else_writes_to_a_region_that_was_there(self):
        """What is not the import's stays, also where the import fails of something else."""
        self.fill(9, blobs=30, holes=0)
        self.out("export", "file")
        content = self.read("file")
        for rest, status, reason in ((content[len(content) // 2:], 1, b"somebody else changes"),
                                     (b"", 6, b"cut off")):
            self.out("create", "fresh")
            process, _ = self.start_import(content[:len(content) // 2], "fresh")
            while self.client.call("regionInfo", "fresh")["uploads"] == 0:
                self.assertIsNone(process.poll(), process.returncode)
            address = self.client.call("addBlob", "fresh", b"in between")
            _, said = process.communicate(rest, timeout=DEADLINE)
            self.assertEqual(process.returncode, status, said)
            self.assertIn(reason, said)
            self.assertIn(b"fresh may have a part of it beside what others have put there", said)
            self.assertEqual(self.client.call("loadBlob", "fresh", address, 10), b"in between")
            self.out("drop", "fresh")

    def test_what_was_under_way_hides_nothing_of_others(self):
        """Nor do adds that nobody waits for any more, because one before them was refused; nor
        holes that are free already."""
        self.client.call("addBlob", "main", os.urandom(6 * MIB))
        self.client.call("deallocate", "main", 2 * MIB, MIB)
        self.out("export", "file")

        def answer(method, params):
            if method == "memoryInfo":
                return None, {"size": taken[0], "allocated": in_use()}
            if method == "addBlob" or method == "allocate":
                if taken[0] == room:
                    return "no_space: the region is full", None
                size = params[1] if method == "allocate" else len(params[1])
                taken[0] += size
                return None, taken[0] - size
            if method == "batch":
                freed.append(params[1][0][2])
                return None, [None]
            if method == "grow" and freed:
                return "no_space: the disk is full", None
            return {"serverInfo": (None, {"max_message": 64 * MIB, "max_batch": 1000}),
                    "beginBlob": ("busy: there are too many", None),
                    "pages": (None, 1)}.get(method, (None, 1))

        def in_use():
            return taken[0] - sum(freed) + (10 if taken[0] > 0 else 0)  # 10 bytes are another's

        for room in (MIB, None):
            taken, freed = [0], []
            with FakeServer(answer) as fake:
                done = self.run_mrcli("-s", fake.address, "import", "file", "fresh")
            self.assertEqual(done.returncode, 5, done.stderr)
            self.assertIn(b"fresh may have a part of it beside what others have put there",
                          done.stderr)
            self.assertNotIn("clear", [method for method, _ in fake.requests])

    # ---- Signals and lost servers ----

    def test_interrupted(self):
        self.fill(10, blobs=30, holes=0)
        process = subprocess.Popen([MRCLI, "export", "file"], env=self.environment,
                                   cwd=self.folder, stderr=subprocess.PIPE,
                                   preexec_fn=default_signals)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=DEADLINE)
        self.assertIn(process.returncode, (-signal.SIGINT, 0))
        self.assertIn(os.listdir(self.folder), ([], ["file"]))
        self.out("export", "file")
        content = self.read("file")
        process, _ = self.start_import(content[:len(content) // 2])
        process.send_signal(signal.SIGINT)
        process.wait(DEADLINE)
        process.stdin.close()
        process.stdout.close()
        process.stderr.close()
        self.assertEqual(process.returncode, -signal.SIGINT)
        self.assertEqual(self.regions(), ["main"])

    def kill_import(self, content, name="copy"):
        """Nothing is cleared up. Returns what its region is called."""
        process, building = self.start_import(content, name)
        while self.client.call("size", building) == 0:
            self.assertIsNone(process.poll())
        process.kill()
        process.communicate()
        return building

    def test_killed(self):
        """What is left is not called what the whole was to be called, and has nothing in use where it was
        to be one upload."""
        self.fill(13, blobs=30, holes=3)
        self.out("export", "file")
        content = self.read("file")
        building = self.kill_import(content[:-100])
        while self.client.call("regionInfo", building)["uploads"] > 0:
            pass
        self.assertEqual(self.client.call("allocated", building), 0)
        if not self.renames():
            self.assertEqual(building, "copy")
            return
        self.assertEqual(building, "copy.importing")
        self.fails(1, "copy.importing is there: copy is being imported .* drop it", "import", "file",
                   "copy")
        self.assertEqual(self.regions(), ["copy.importing", "main"])
        self.out("drop", building)
        self.out("import", "file", "copy")
        self.assert_same("main", "copy")
        self.assertEqual(self.regions(), ["copy", "main"])

    def test_killed_in_a_region_that_was_there(self):
        self.fill(14, blobs=30, holes=3)
        self.out("export", "file")
        self.out("create", "fresh")
        self.assertEqual(self.kill_import(self.read("file")[:-100], "fresh"), "fresh")
        while self.client.call("regionInfo", "fresh")["uploads"] > 0:
            pass
        self.assertEqual(self.client.call("allocated", "fresh"), 0)
        self.fails(1, "fresh is there and has been used", "import", "file", "fresh")

    def test_the_name_comes_last(self):
        """What a server is asked that gives regions other names: and one whose answer to that is lost."""
        self.out("add", self.write("x", b"blob"))
        self.out("export", "file")
        for answer_to_rename, status in ((None, 0), ("exists: copy exists", 1), ("", 0)):
            regions = {}

            def answer(method, params):
                if method == "createRegion":
                    regions[params[0]] = 0
                elif method == "memoryInfo":
                    if params[0] not in regions:
                        return "no_such_region: none", None
                    size = regions[params[0]]
                    return None, {"pages": 1, "size": size, "allocated": size}
                elif method == "addBlob":
                    regions[params[0]] = 4
                    return None, 0
                elif method == "renameRegion":
                    if len(params) != 2:
                        return "invalid_argument: two parameters", None
                    if answer_to_rename:
                        return answer_to_rename, None
                    regions[params[1]] = regions.pop(params[0])
                    if answer_to_rename == "":
                        fake.connections[-1].shutdown(socket.SHUT_RDWR)
                        return None
                elif method == "dropRegion":
                    del regions[params[0]]
                return None, {"serverInfo": {"max_message": MIB, "max_batch": 9}, "pages": 1,
                              "listRegions": []}.get(method)

            with FakeServer(answer) as fake:
                done = self.run_mrcli("-s", fake.address, "import", "file", "copy")
            self.assertEqual(done.returncode, status, (answer_to_rename, done.stderr))
            self.assertEqual(regions, {} if status else {"copy": 4})
            names = [params[0] for method, params in fake.requests
                     if method in ("createRegion", "addBlob", "renameRegion") and params]
            self.assertEqual(set(names), {"copy.importing"})

    def test_a_region_that_nobody_says_was_made(self):
        """Where createRegion has no answer, what it may leave is named."""
        self.out("export", "file")
        regions = set()

        def answer(method, params):
            if method == "memoryInfo":
                if params[0] not in regions:
                    return "no_such_region: no", None
                return None, {"size": 0, "allocated": 0, "pages": 1, "capacity": 65536}
            if method == "renameRegion":
                return "invalid_argument: two parameters", None
            if method == "createRegion":
                if is_made:
                    regions.add(params[0])
                if is_lost:
                    fake.connections[-1].shutdown(socket.SHUT_RDWR)
                return None
            return None, {"serverInfo": {"max_message": MIB, "max_batch": 9}}.get(method)

        for is_lost, is_made in ((False, True), (True, True), (True, False)):
            regions.clear()
            with FakeServer(answer) as fake:
                done = self.run_mrcli("-s", fake.address, "--timeout", "500ms", "import", "file",
                                      "copy")
            self.assertEqual(done.returncode, 69 if is_lost else 75, done.stderr)
            self.assertEqual(b"copy.importing may have been made" in done.stderr, is_made,
                             (is_lost, done.stderr))

    # ---- How it is sent ----

    def requests(self, method):
        return self.client.call("stats")["methods"].get(method, {}).get("requests", 0)

    def test_few_requests(self):
        """Blobs side by side and small holes are one upload, and holes go many in a message; where most
        of the region is a hole it is allocated."""
        self.out("add", self.write("x", random.Random(15).randbytes(40 * MIB)))
        for base in range(0, 3000, 1000):
            self.client.call("batch", "main", [["deallocate", (base + i) * 4096, 100]
                                               for i in range(1000)])
        self.out("export", "file")
        before = {method: self.requests(method) for method in
                  ("addBlob", "allocate", "deallocate", "batch", "commitBlob", "appendBlob")}
        self.out("import", "file", "copy")
        took = {method: self.requests(method) - count for method, count in before.items()}
        self.assertEqual(took, {"addBlob": 0, "allocate": 0, "deallocate": 0, "batch": 3,
                                "commitBlob": 1, "appendBlob": 40})
        self.assert_same("main", "copy")
        self.client.call("allocate", "main", 400 * MIB)
        self.client.call("deallocate", "main", 35 * MIB, 404 * MIB)
        self.out("export", "file")
        uploads = self.requests("commitBlob")
        self.out("import", "file", "sparse")
        self.assertEqual(self.requests("commitBlob"), uploads)
        self.assert_same("main", "sparse")

    def test_no_room_for_an_upload(self):
        """Others have as many open as there may be: then it is added piece by piece."""
        self.fill(16, blobs=30, holes=10)
        self.out("export", "file")
        self.out("create", "--durability", "none", "other")
        maximum = self.client.call("serverInfo")["max_uploads"]
        for _ in range(maximum):
            self.client.call("beginBlob", "other", 1)
        commits = self.requests("commitBlob")
        self.out("import", "file", "copy")
        self.assertEqual(self.requests("commitBlob"), commits)
        self.assert_same("main", "copy")

    def test_a_server_that_goes_away(self):
        """In the middle of the loads: the error says so, and no file appears."""
        info = {"uuid": "u", "changes": 1, "size": 64 * MIB, "pages": 1024, "allocated": 64 * MIB}
        loads = threading.Semaphore(3)

        def answer(method, params):
            if method == "loadBlob":
                if not loads.acquire(blocking=False):
                    for connection in fake.connections:
                        connection.close()
                    return None
                return None, bytes(params[2])
            return {"serverInfo": (None, {"max_message": 64 * MIB, "uptime_s": 1}),
                    "regionInfo": (None, {"name": "main", **info}),
                    "allocatedBlocksInRange": (None, [[0, 64 * MIB]])}.get(method)

        with FakeServer(answer) as fake:
            done = self.run_mrcli("-s", fake.address, "--timeout", "2s", "export", "file")
        self.assertIn(done.returncode, (69, 75), done.stderr)
        self.assertEqual(os.listdir(self.folder), [])

    def test_a_list_that_goes_beyond_what_was_asked_for(self):
        """There is no room for it, however large the server says that it is."""
        lists = []

        def answer(method, params):
            if method == "loadBlob":
                return ("not_allocated: gone", None) if params[2] == 65536 else \
                    (None, bytes(params[2]))
            if method == "allocatedBlocksInRange":
                lists.append(params)
                return None, [[0, 65536 if len(lists) == 1 else 8 * MIB]]
            return None, {"serverInfo": {"max_message": 64 * MIB, "uptime_s": 1},
                          "regionInfo": {"name": "main", "uuid": "u", "size": MIB, "pages": 16,
                                         "allocated": MIB, "changes": len(lists)}}[method]

        with FakeServer(answer) as fake:
            self.fails(69, "the server.s answer is not what the method promises", "-s", fake.address, "export", "--anyway",
                       "file")

    def test_a_restart_shows(self):
        before = self.client.call("regionInfo", "main")["changes"]
        self.mregiond.kill()
        self.mregiond.start()
        info = json.loads(self.out("-o", "json", "info"))
        self.assertGreater(info["changes"], before)

    def looks(self, first, later):
        """Exports from a server that answers regionInfo with this, and from the second time on that."""
        answers = [first]
        info = {"name": "main", "uuid": "u", "commits": 1, "size": 9, "pages": 1, "allocated": 9}

        def answer(method, params):
            if method == "regionInfo":
                return None, {**info, **(answers.pop() if answers else later)}
            return None, {"loadBlob": bytes(9), "serverInfo": {"max_message": MIB, "uptime_s": 1},
                          "allocatedBlocksInRange": [[0, 9]]}[method]

        with FakeServer(answer) as fake:
            return self.run_mrcli("-s", fake.address, "export", "file")

    def test_what_counts_as_a_change(self):
        """The count of changes alone where there is one; an older server has others."""
        for first, later, status in (
                ({"changes": 5}, {"changes": 5, "commits": 2}, 0),
                ({"changes": 5}, {"changes": 6}, 75), ({"changes": 5}, {"changes": 4}, 75),
                ({"changes": 5}, {"changes": 5, "uuid": "v"}, 75),
                ({"changes": 5}, {}, 75), ({}, {"commits": 2}, 75), ({}, {"allocated": 8}, 75),
                ({}, {}, 0)):
            done = self.looks(first, later)
            self.assertEqual(done.returncode, status, (first, later, done.stderr))

    def test_damage_is_told(self):
        with FakeServer(lambda method, params: {
                "loadBlob": ("corrupt: page 0 is damaged", None),
                "serverInfo": (None, {"max_message": MIB, "uptime_s": 1}),
                "regionInfo": (None, {"name": "main", "size": 9, "allocated": 9}),
                "allocatedBlocksInRange": (None, [[0, 9]])}[method]) as fake:
            self.fails(6, "corrupt: page 0 is damaged", "-s", fake.address, "export", "file")
        self.assertEqual(os.listdir(self.folder), [])


class SmallMessages(CliCase):
    """The stream's records are larger than the server's messages."""

    @classmethod
    def setUpClass(cls):
        cls.mregiond = Server(config="x")
        cls.addClassCleanup(cls.mregiond.remove)
        cls.mregiond.write_config(f"listen: [unix: {cls.mregiond.path('s')}]\n"
                                  "max_message: 64KiB\nregions: [name: main]\n")
        cls.mregiond.start()

    def test_there_and_back(self):
        content = random.Random(11).randbytes(3 * MIB + 17)
        self.out("add", self.write("x", content))
        self.out("deallocate", "100+20")
        self.out("deallocate", "1MiB+100KiB")
        self.out("export", "file")
        self.out("import", "file", "copy")
        for command in (("free-list",), ("load", "120+900KiB"), ("load", "2MiB+1MiB")):
            self.assertEqual(self.run_mrcli(*command).stdout,
                             self.run_mrcli("-r", "copy", *command).stdout, command)
        self.assertEqual(self.run_mrcli("-r", "copy", "load", "2MiB+1MiB").stdout,
                         content[2 * MIB:3 * MIB])


if __name__ == "__main__":
    unittest.main()
