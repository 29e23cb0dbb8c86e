"""The configuration file, the options, and reading it again."""
import os
import signal
import unittest

from case import Case, run


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


class Reload(Case):
    def config(self, server, *more):
        return f"listen:\n  - unix: {server.path('s')}\n" + "".join(f"{line}\n" for line in more)

    def test_new_region(self):
        server = self.server(config="listen: []\n")
        server.write_config(self.config(server, "regions:", "  - name: main"))
        server.start()
        server.write_config(self.config(server, "regions:", "  - name: main", "  - name: second"))
        server.signal(signal.SIGHUP)
        server.wait_log("reload")
        server.wait_log("second")
        self.assertEqual(self.connect(server).call("listRegions"), ["main", "second"])
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

    def test_many_reloads_while_serving(self):
        server = self.server(config="listen: []\n")
        server.write_config(self.config(server, "regions:", "  - name: main"))
        server.start()
        for _ in range(20):
            server.signal(signal.SIGHUP)
            self.assert_serves(server)
        server.stop()


if __name__ == "__main__":
    unittest.main()
