"""The configuration file, the options, and reading it again."""
import json
import os
import re
import signal
import subprocess
import unittest

from case import Case, run
from cli import CliCase
from mpack import Client, RpcError
from server import DEADLINE, MREGIOND
from test_users import ALICE, BOB, HASHES, user


class Configuration(Case):
    def refused(self, text, *patterns):
        server = self.server(config=text)
        status, log = server.run()
        self.assertEqual(status, 78, log)
        for pattern in patterns:
            self.assertRegex(log, pattern)
        self.assertFalse(os.path.exists(server.data_dir), "started half configured")
        done = run("--config", server.path("mregiond.yaml"), "--check-config")
        self.assertEqual(done.returncode, 78, done.stderr)
        for pattern in patterns:
            self.assertRegex(done.stdout + done.stderr, pattern)

    def test_position(self):
        self.refused("regions:\n  - name: main\n    fit: tigth\n", r"mregiond\.yaml:3:10: ", "tight")
        self.refused("max_mesage: 1MiB\n", r"mregiond\.yaml:1:1: ", "max_message")
        self.refused("max_message: 64MiB\nmax_message: 1MiB\n", r"mregiond\.yaml:2:1: ")
        self.refused("max_message: 64MB\n", r"mregiond\.yaml:1:14: ", "MiB")
        self.refused("listen: [\n", r"mregiond\.yaml:[12]:\d+: ")
        self.refused("listen:\n  - tcp: 0.0.0.0:7420\n", r"mregiond\.yaml:2:\d+: ", "loopback")

    def test_hostile(self):
        """What takes other readers of YAML memory or time is refused where it begins."""
        bomb = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
            f"{name}: &{name} [{', '.join(['*' + before] * 9)}]\n"
            for before, name in zip("abcdefgh", "bcdefghi"))
        self.refused(bomb, r"mregiond\.yaml:1:")
        self.refused("regions: &r\n  - name: main\nlisten: *r\n", r":1:10: anchors and aliases")
        self.refused("<<: {max_message: 1MiB}\n", r":1:1: unknown key")
        self.refused("listen: " + "[" * 100000, r"mregiond\.yaml:1:")
        self.refused("listen: " + "{a: " * 100000, r"mregiond\.yaml:1:")
        self.refused("#" * (2 << 20), "bytes")
        self.refused("max_message: !!python/object:os.system 1MiB\n", r":1:14: ")
        self.refused("max_message: 64MiB\n---\nmax_message: 1MiB\n", r"mregiond\.yaml:2:")
        self.refused("max_message: 1\0MiB\n", r"mregiond\.yaml:1:")
        self.refused("regions: [{name: main}, {name: main}]\n", r":1:\d+: .*main")
        self.refused("regions: [{name: ../main}]\n", r":1:18: ")
        self.refused("max_message: 99999999999999999999999999GiB\n", r":1:14: ")

    def test_missing_file(self):
        done = run("--config", "/nonexistent/mregiond.yaml", "--check-config")
        self.assertEqual(done.returncode, 78, done.stderr)
        self.assertRegex(done.stderr, "/nonexistent/mregiond.yaml.*No such file or directory")

    def test_check_config_touches_nothing(self):
        server = self.server(config="max_message: 1MiB\n")
        done = run("--config", server.path("mregiond.yaml"), "--data-dir", server.data_dir,
                   "--check-config")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertFalse(os.path.exists(server.data_dir))

    def test_print_config_reads_back(self):
        server = self.server(config="max_message: 1MiB\nregions:\n  - name: a\n    fit: lowest\n")
        first = run("--config", server.path("mregiond.yaml"), "--print-config")
        self.assertEqual(first.returncode, 0, first.stderr)
        self.assertRegex(first.stdout, r"(?m)^max_message: 1MiB$")
        server.write_config(first.stdout)
        second = run("--config", server.path("mregiond.yaml"), "--print-config")
        self.assertEqual(second.stdout, first.stdout)

    def test_shipped_file_is_the_defaults(self):
        shipped = os.path.join(os.path.dirname(__file__), "../../conf/mregiond.yaml")
        self.assertEqual(run("--config", shipped, "--print-config").stdout,
                         run("--print-config").stdout)

    def test_options_override_the_file(self):
        server = self.server(config="listen:\n  - tcp: 127.0.0.1:1\nregions:\n  - name: file\n",
                             listen=["tcp:127.0.0.1:0"], regions=["option"])
        server.start()
        self.assertEqual(self.connect(server).call("listRegions"), ["option"])
        server.stop()

    def test_wrong_usage(self):
        for args in (["--no-such-option"], ["--listen"], ["--listen", "nonsense"],
                     ["--region", "a/b"], ["surplus"]):
            done = run(*args)
            self.assertGreater(done.returncode, 0, args)
            self.assertIn("mregiond", done.stderr)

    def test_version_and_help(self):
        for option in ("--version", "--help"):
            done = run(option)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn("mregiond", done.stdout)

    def test_full_output(self):
        """What was asked for and could not be printed is no success."""
        for option in ("--version", "--help", "--print-config", "--check-config"):
            with open("/dev/full", "w", encoding="ascii") as full:
                done = subprocess.run([MREGIOND, option], stdout=full, stderr=subprocess.PIPE,
                                      text=True, timeout=DEADLINE, check=False)
            self.assertEqual(done.returncode, 74, option)
            self.assertRegex(done.stderr, r"\Amregiond: cannot write to standard output: .+\n\Z")


class Reload(Case):
    def config(self, server, *more):
        return f"listen:\n  - unix: {server.path('s')}\n" + "".join(f"{line}\n" for line in more)

    def test_new_region(self):
        server = self.server(config="listen: []\n")
        server.write_config(self.config(server, "regions:", "  - name: main"))
        server.start()
        server.write_config(self.config(server, "regions:", "  - name: main", "  - name: second"))
        server.signal(signal.SIGHUP)
        server.wait_log("reloaded the configuration: 1 changed")  # and it is there by then
        self.assertEqual(self.connect(server).call("listRegions"), ["main", "second"])
        server.stop()

    def begin_to_make_regions(self):
        names = [f"new-{number}" for number in range(20)]
        server = self.server(config="listen: []\n")
        server.write_config(self.config(server, "regions: []"))
        server.start()
        server.write_config(self.config(server, "regions:", *(f"  - name: {name}" for name in names)))
        server.signal(signal.SIGHUP)
        server.wait_log("region new-0: created")
        return server, names

    def test_asked_again_while_regions_are_made(self):
        """The next one begins when they are there, and finds them."""
        server, names = self.begin_to_make_regions()
        server.write_config(self.config(server, "regions:", *(
            f"  - {{name: {name}, max_size: 1GiB}}" for name in names)))
        server.signal(signal.SIGHUP)
        server.wait_log("reloaded the configuration", 2)
        self.assertNotIn("error: ", server.log())
        client = self.connect(server)
        for name in names:
            self.assertEqual(client.call("regionInfo", name)["max_size"], 1 << 30, name)
        server.stop()

    def test_stopped_while_regions_are_made(self):
        server, _ = self.begin_to_make_regions()
        server.stop()

    def test_wrong_file_changes_nothing(self):
        server = self.server(config="listen: []\n")
        server.write_config(self.config(server, "regions:", "  - name: main"))
        server.start()
        server.write_config(self.config(server, "regions:", "  - nam: main"))
        server.signal(signal.SIGHUP)
        server.wait_log(r"mregiond\.yaml:4:5: ")
        self.assert_serves(server)
        server.stop()

    def reload(self, server, text, pattern="reloaded the configuration"):
        """Reads this one, and returns what the log says about it."""
        server.write_config(text)
        seen = len(server.log().splitlines())
        count = server.log().count("reloaded the configuration")
        server.signal(signal.SIGHUP)
        if pattern == "reloaded the configuration":
            server.wait_log(pattern, count + 1)
        else:
            server.wait_log(pattern)
        return server.log().splitlines()[seen:]

    def told(self, lines):
        return [line.partition("reload: ")[2] for line in lines if "reload: " in line]

    def test_each_change_is_told(self):
        server = self.server(config="listen: []\n")
        first = self.config(server, "max_batch: 100", "regions: [{name: main}, {name: gone}]",
                            "log_level: info", "http: []")
        server.write_config(first)
        server.start()
        lines = self.reload(server, first)
        self.assertEqual(self.told(lines), [])
        self.assertTrue(lines[-1].endswith("reloaded the configuration: nothing has changed"), lines)
        second = self.config(
            server, "max_batch: 200", "idle_timeout: 1m", "data_dir: /elsewhere",
            "regions: [{name: main, max_size: 64MiB, fit: lowest}, {name: new}]",
            f"http: [{{unix: {server.path('h')}}}]", "user: nobody", "sandbox: off",
            "backup_reflinks: on")
        lines = self.reload(server, second)
        self.assertEqual(sorted(self.told(lines)), sorted([
            "changed max_batch from 100 to 200",
            "changed idle_timeout from 0ms to 1m",
            "changed regions.main.max_size from 0 to 64MiB",
            "changed regions.main.fit from tight to lowest",
            "added regions.new",
            "removed regions.gone",
            f"http needs a restart: is [], the file says [{{unix: {server.path('h')}, mode: 0660}}]",
            'user needs a restart: is "", the file says nobody',
            "sandbox needs a restart: is on, the file says off",
            "backup_reflinks needs a restart: is off, the file says on"]))
        self.assertRegex("\n".join(lines), "reloaded the configuration: 6 changed, 4 needs? a restart")
        client = self.connect(server)
        self.assertEqual(client.call("regionInfo", "main")["max_size"], 64 << 20)
        # what waits is told again, and what is as it was is not
        lines = self.reload(server, second)
        self.assertEqual(len(self.told(lines)), 4, lines)
        server.wait_log("region new: created")
        server.stop()

    def test_what_is_refused(self):
        server = self.server(config="listen: []\n")
        server.write_config(self.config(server, "regions: [{name: main}]"))
        server.start()
        lines = self.reload(server, "max_batch: 200\nmax_batch: 300\n", "stays as it was")
        self.assertRegex("\n".join(lines), r"reload: refused: .*mregiond\.yaml:2:1: .*max_batch")
        self.assertEqual(self.connect(server).call("serverInfo")["max_batch"], 1024)
        server.stop()

    def test_secrets_are_not_told(self):
        server = self.server(config="listen: []\n")
        users = "users:\n" + user("alice", "*:admin", uid=os.geteuid())
        server.write_config(self.config(server, "regions: []", users + (
            user("bob", "a*:read", password=ALICE))))
        server.start()
        lines = self.reload(server, self.config(server, "regions: []", users + (
            user("bob", "a*:read", "b:write", password=BOB) +
            user("carol", password=ALICE))))
        self.assertEqual(sorted(self.told(lines)), [
            "added users.carol",
            'changed users.bob.grants from [{regions: "a*", access: read}] to '
            '[{regions: "a*", access: read}, {regions: b, access: write}]',
            "changed users.bob.password_hash from (not shown) to (not shown)"])
        settings = self.connect(server).call("configGet", "*")
        self.assertEqual(settings["users.carol.password_hash"], {"value": "(not shown)"})
        lines = self.reload(server, self.config(server, "regions: []", users + (
            user("bob", "a*:read", "b:write", uid=12345))))
        self.assertEqual(sorted(self.told(lines)), [
            "changed users.bob.password_hash from (not shown) to none",
            "changed users.bob.uid from none to 12345",
            "removed users.carol"])
        for secret in (HASHES[ALICE], HASHES[BOB]):
            self.assertNotIn(secret, server.log())
            self.assertNotIn(secret, str(settings))
        server.stop()

    def test_many_reloads_while_serving(self):
        server = self.server(config="listen: []\n")
        server.write_config(self.config(server, "regions:", "  - name: main"))
        server.start()
        for _ in range(20):
            server.signal(signal.SIGHUP)
            self.assert_serves(server)
        server.stop()


class Get(CliCase):
    """configGet, and mrcli config get."""

    def setUp(self):
        super().setUp()
        self.client = self.connect(self.mregiond)

    def test_everything_as_it_would_stand_in_the_file(self):
        settings = self.client.call("configGet", "*")
        self.assertEqual(list(settings), sorted(settings))
        printed = run(*self.mregiond.command[1:], "--print-config")
        for name, setting in settings.items():
            self.assertEqual(list(setting), ["value"])
            if "." not in name and name not in ("listen", "http"):
                self.assertIn(f"\n{name}: {setting['value']}\n", printed.stdout)
        top = re.findall(r"^([a-z_]+):", printed.stdout, re.M)
        self.assertEqual(set(top), {name.split(".")[0] for name in settings} | {"users"})
        self.assertEqual(settings["regions.main.journal_size"]["value"], "256MiB")
        self.assertEqual(settings["listen"]["value"],
                         f"[{{unix: {self.mregiond.unix}, mode: 0660}}, {{tcp: 127.0.0.1:0}}]")

    def test_patterns(self):
        for pattern, expected in (
                ("max_batch", ["max_batch"]), ("max_u*", ["max_unread", "max_uploads"]),
                ("log_level,max_b?tch", ["log_level", "max_batch"]),
                ("regions.main.f*", ["regions.main.fit", "regions.main.flush_interval"]),
                ("", []), ("max_bach", []), (",,", []), ("*" * 4096, None)):
            found = self.client.call("configGet", pattern)
            self.assertEqual(list(found), expected or list(found))
        for pattern in ("x" * 4097, "a\0b", b"\0"):
            with self.assertRaises(RpcError) as caught:
                self.client.call("configGet", pattern)
            self.assertEqual(caught.exception.code, "invalid_argument")

    def test_command(self):
        self.assertEqual(self.out("config", "get", "max_batch", "log_l*"),
                         "log_level: info\nmax_batch: 1024\n")
        self.assertEqual(self.out("-o", "raw", "config", "get", "max_batch"), "1024\n")
        self.assertEqual(json.loads(self.out("-o", "json", "config", "get", "max_batch")),
                         {"max_batch": {"value": "1024"}})
        self.assertEqual(len(self.out("config", "get").splitlines()),
                         len(self.client.call("configGet", "*")))
        self.fails(3, "config: no such setting", "config", "get", "max_bach")
        self.fails(64, 'config: "put" is .*: expected get', "config", "put", "max_batch")
        self.fails(64, "", "config")

    def test_what_waits_for_a_restart(self):
        server = self.server(config="listen: []\n")
        text = f"listen: [{{unix: {server.path('s')}}}]\nregions: []\n"
        server.write_config(text)
        server.start()
        server.write_config(text + f"http: [{{unix: {server.path('h')}}}]\nmax_batch: 7\n")
        server.signal(signal.SIGHUP)
        server.wait_log("reloaded the configuration")
        client = self.connect(server)
        waits = {"value": "[]", "after_restart": f"[{{unix: {server.path('h')}, mode: 0660}}]"}
        self.assertEqual(client.call("configGet", "http,max_batch"),
                         {"http": waits, "max_batch": {"value": "7"}})
        done = self.run_mrcli("-s", "unix:" + server.unix, "config", "get", "http")
        self.assertEqual(done.stdout.decode(),
                         f"http: []  # after a restart: {waits['after_restart']}\n")
        # a file that is refused says nothing about it
        server.write_config("nonsense: 1\n")
        server.signal(signal.SIGHUP)
        server.wait_log("stays as it was")
        self.assertEqual(client.call("configGet", "http"), {"http": waits})
        server.write_config(text)
        server.signal(signal.SIGHUP)
        server.wait_log("reloaded the configuration", 2)
        self.assertEqual(client.call("configGet", "http"), {"http": {"value": "[]"}})
        server.stop()

    def test_beside_reloads(self):
        """Each answer is of one configuration, whoever asks how often, and goes meanwhile."""
        server = self.server(config="listen: []\n")

        def write(number):
            regions = ", ".join(f"{{name: r{i}, max_size: {number}MiB}}" for i in range(10))
            server.write_config(f"listen: [{{unix: {server.path('s')}}}]\nmax_batch: {number}\n"
                                f"max_uploads: {number}\nregions: [{regions}]\n")

        write(1)
        server.start()
        clients = [self.connect(server) for _ in range(3)]
        seen = set()
        for number in range(2, 12):
            write(number)
            asked = [(client, client.send("configGet", "*")) for client in clients for _ in range(10)]
            server.signal(signal.SIGHUP)
            with Client(server.unix) as hasty:
                for _ in range(10):
                    hasty.send("configGet", "*")
            asked += [(client, client.send("configGet", "*")) for client in clients for _ in range(10)]
            for client, msgid in asked:
                settings = client.wait(msgid)
                told = settings["max_batch"]["value"]
                self.assertEqual(settings["max_uploads"]["value"], told)
                self.assertEqual({settings[f"regions.r{i}.max_size"]["value"] for i in range(10)}, {told + "MiB"})
                seen.add(int(told))
            server.wait_log("reloaded the configuration", number - 1)
            self.assertEqual(clients[0].call("configGet", "max_batch"), {"max_batch": {"value": str(number)}})
        self.assertLessEqual(seen, set(range(1, 12)))
        for client in clients:
            client.send("configGet", "*")
        server.stop()

    def test_who_may_not_any_more(self):
        """Nobody hears what has taken from him that he may ask. Some always wait behind the reload."""
        server = self.server(config="listen: []\n")
        uid = os.geteuid()

        def write(max_batch, alice):
            server.write_config(f"listen: [{{unix: {server.path('s')}}}]\nregions: []\n"
                                f"max_batch: {max_batch}\nusers:\n{alice}")

        for code, alice in (("denied", user("alice", "a*:admin", uid=uid)),
                            ("unauthenticated", user("alice", "*:admin", uid=uid + 1))):
            write(100, user("alice", "*:admin", uid=uid))
            server.start()
            clients = [self.connect(server) for _ in range(4)]
            asked = [(client, client.send("configGet", "max_batch")) for _ in range(200)
                     for client in clients]
            write(777, alice)
            server.signal(signal.SIGHUP)
            refused = 0
            for client, msgid in asked:
                try:
                    self.assertEqual(client.wait(msgid), {"max_batch": {"value": "100"}})
                except RpcError as error:
                    self.assertEqual(error.code, code)
                    refused += 1
            self.assertGreater(refused, 0)
            server.stop()

    def test_who_may(self):
        server = self.server(config="listen: []\n")
        for grants, may in ((["*:admin"], True), (["**:admin", "x:read"], True), (["*:write"], False),
                            (["a*:admin"], False), (["?*:admin"], False), ([], False)):
            server.write_config(f"listen: [{{unix: {server.path('s')}}}]\nregions: []\nusers:\n" +
                                user("alice", *grants, uid=os.geteuid()))
            server.start()
            client = self.connect(server)
            if may:
                self.assertIn("max_batch", client.call("configGet", "*"))
            else:
                with self.assertRaises(RpcError) as caught:
                    client.call("configGet", "*")
                self.assertEqual(caught.exception.code, "denied")
                server.wait_log("act=configGet region=- result=denied")
            server.stop()


if __name__ == "__main__":
    unittest.main()
