"""mrcli as a user: where it takes a password from, what it says when that is wrong, and the hashes
that it makes."""
import os
import pty
import select
import subprocess
import unittest

from cli import CliCase, take_terminal
from server import DEADLINE, MRCLI, Server
from test_users import ALICE, BOB, own_address, user

USERS = "users:\n" + user("alice", "*:admin", password=ALICE) + user("bob", "main:read", password=BOB)


class AsUser(CliCase):
    """A server of users instead of the one of everybody; no TCP, so that nobody is known by uid."""

    @classmethod
    def setUpClass(cls):
        cls.mregiond = Server(config="listen: []\n")
        cls.addClassCleanup(cls.mregiond.remove)
        cls.mregiond.write_config("listen: [{unix: %s}]\nregions: [{name: main}, {name: other}]\n%s"
                                  % (cls.mregiond.path("s"), USERS))
        cls.mregiond.start()

    def setUp(self):
        self.folder = os.path.join(self.mregiond.folder, self.id().rsplit(".", 1)[-1])
        os.mkdir(self.folder)
        self.environment = {key: value for key, value in os.environ.items()
                            if not key.startswith("MREGION_")}
        self.environment.update(MREGION_SERVER="unix:" + self.mregiond.unix, MREGION_REGION="main",
                                HOME=self.folder, LC_ALL="C.UTF-8", TERM="xterm")

    def test_password_from_environment_and_file(self):
        self.assertEqual(self.out("-u", "alice", "list", env={"MREGION_PASSWORD": ALICE}),
                         "main\nother\n")
        self.assertEqual(self.out("list", env={"MREGION_PASSWORD": BOB, "MREGION_USER": "bob"}),
                         "main\n")
        for content in (ALICE, ALICE + "\n"):
            self.write("password", content.encode())
            told = self.out("--user", "alice", "--password-file", "password", "-o", "json",
                            "whoami")
            self.assertIn('"user":"alice"', told)
            self.assertIn('"by":"password"', told)
        # The file is what counts, and one connection is enough for many commands.
        ref = self.out("-u", "alice", "--password-file", "password", env={"MREGION_PASSWORD": "x"},
                       stdin=b"allocate 7\nsize\n")
        self.assertEqual(ref, "0+7\n7\n")

    def test_refusals(self):
        self.fails(77, r"unauthenticated: .*authenticate\(user, password\).*--user", "size")
        self.fails(77, "unauthenticated: authenticate: wrong user or password", "-u", "alice",
                   "size", env={"MREGION_PASSWORD": "wrong"})
        bob = {"MREGION_PASSWORD": BOB, "MREGION_USER": "bob"}
        self.fails(77, "denied: allocate: user bob may not do this to region main: .* write",
                   "allocate", "7", env=bob)
        self.fails(77, "denied: .* admin", "checkpoint", env=bob)
        self.fails(77, "denied: .* admin", "create", "new", env=bob)
        self.fails(3, "no_such_region: ", "-r", "other", "size", env=bob)
        self.fails(64, "there is no password for user alice: .*MREGION_PASSWORD.*--password-file",
                   "-u", "alice", "size")
        self.fails(74, "nowhere: cannot open: No such file", "-u", "alice", "--password-file",
                   "nowhere", "size")
        self.fails(74, ".*Is a directory", "-u", "alice", "--password-file", ".", "size")
        self.write("lines", b"one\ntwo\n")
        self.fails(64, "lines: a password is one line", "-u", "alice", "--password-file", "lines",
                   "size")
        self.write("long", b"x" * 2000)
        self.fails(64, "long: a password has at most 1024 bytes", "-u", "alice",
                   "--password-file", "long", "size")
        self.fails(64, "--user: the name is empty", "-u", "", "size")

    def test_a_password_does_not_leave_the_machine(self):
        server = Server(config="listen: []\n")
        self.addCleanup(server.remove)
        server.write_config("listen: [{tcp: '0.0.0.0:0'}]\nregions: [{name: main}]\n" + USERS)
        server.start()
        address = f"tcp:{own_address(self)}:{server.tcp[1]}"
        environment = {"MREGION_SERVER": address, "MREGION_PASSWORD": ALICE}
        self.fails(77, f"denied: a password is sent only over a Unix socket.* and {address} is",
                   "-u", "alice", "size", env=environment)
        server.stop()
        self.assertNotIn("audit:", server.log())

    def test_who_it_is_after_a_restart(self):
        """The server is another one in the middle of a script: mrcli says again who it is."""
        server = Server(config="listen: []\n")
        self.addCleanup(server.remove)
        server.write_config("listen: [{unix: %s}]\nregions: [{name: main}]\n%s"
                            % (server.path("s"), USERS))
        server.start()
        environment = {**self.environment, "MREGION_SERVER": "unix:" + server.unix,
                       "MREGION_PASSWORD": ALICE}
        with subprocess.Popen([MRCLI, "-u", "alice"], env=environment, stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, cwd=self.folder) as process:
            def ask(line):
                process.stdin.write(line + b"\n")
                process.stdin.flush()
                return process.stdout.readline()

            self.assertEqual(ask(b"allocate 7"), b"0+7\n")
            server.kill()
            server.start()
            self.assertEqual(ask(b"allocate 5"), b"7+5\n")
            process.stdin.close()
            self.assertEqual(process.wait(DEADLINE), 0)
        self.assertRegex(server.log(), "audit: user=alice .* act=authenticate .* result=ok")
        server.stop()

    def test_the_password_comes_from_a_terminal(self):
        status, shown = self.type_in(["-u", "alice", "list"],
                                     [(b"Password of alice: ", ALICE.encode() + b"\n")])
        self.assertEqual(status, 0, shown)
        self.assertIn("other", shown)
        self.assertNotIn(ALICE, shown)
        status, shown = self.type_in(["-u", "alice", "list"],
                                     [(b"Password of alice: ", b"oops\x15x\x7f" + b"\x03")])
        self.assertEqual(status, 74, shown)

    def test_passwd(self):
        hashed = self.out("passwd", stdin=b"hunter2\n").strip()
        self.assertRegex(hashed, r"\A\$argon2id\$v=19\$m=65536,t=2,p=1\$[^$]+\$[^$]+\Z")
        self.assertNotEqual(self.out("passwd", stdin=b"hunter2").strip(), hashed)
        item = self.out("passwd", "carol", stdin=b"hunter2\n")
        self.assertRegex(item, r"\A  - name: carol\n    password_hash: \$argon2id\S+\n"
                               r"    grants: \[\]\n\Z")
        self.assertEqual(self.out("-o", "json", "passwd", stdin=b"x\n")[:2], '"$')
        self.fails(64, "a password must not be empty", "passwd", stdin=b"\n")
        self.fails(64, "a user's name is", "passwd", "a b", stdin=b"x\n")
        self.fails(64, "- is standard input, which holds the commands", stdin=b"passwd\n")
        status, shown = self.type_in(["passwd"], [(b"New password: ", b"hunter2\n"),
                                                  (b"Once more: ", b"hunter2\n")])
        self.assertEqual(status, 0, shown)
        self.assertNotIn("hunter2", shown)
        status, shown = self.type_in(["passwd"], [(b"New password: ", b"hunter2\n"),
                                                  (b"Once more: ", b"hunter3\n")])
        self.assertEqual(status, 64, shown)
        self.assertIn("two different passwords", shown)
        # What it prints is what the server takes.
        server = Server(config="listen: []\n")
        self.addCleanup(server.remove)
        server.write_config(f"listen: [{{unix: {server.path('s')}}}]\nusers:\n" + item +
                            "  - name: dave\n    password_hash: " + hashed + "\n    grants:\n"
                            "      - {regions: main, access: write}\n")
        server.start()
        environment = {"MREGION_SERVER": "unix:" + server.unix, "MREGION_PASSWORD": "hunter2"}
        self.assertEqual(self.out("-u", "dave", "size", env=environment), "0\n")
        self.fails(77, "denied: size: user carol has no grants", "-u", "carol", "size",
                   env=environment)
        self.fails(64, "there is no region yet, or none that you may see", "-u", "carol", "size",
                   env={**environment, "MREGION_REGION": ""})
        server.stop()

    def type_in(self, args, answers):
        """Runs it on a terminal, and types each answer once its prompt is there. Returns the exit
        status and everything that was shown."""
        try:
            controller, terminal = pty.openpty()
        except OSError as error:
            self.skipTest(f"this machine has no terminals: {error}")
        process = subprocess.Popen([MRCLI, *args], stdin=terminal, stdout=terminal, stderr=terminal,
                                   cwd=self.folder, env=self.environment,
                                   preexec_fn=take_terminal)
        os.close(terminal)
        shown, seen, answers = b"", 0, list(answers)
        try:
            while True:
                if answers and (at := shown.find(answers[0][0], seen)) >= 0:
                    seen = at + len(answers[0][0])
                    os.write(controller, answers.pop(0)[1])
                if not select.select([controller], [], [], DEADLINE)[0]:
                    self.fail(f"it hangs: {shown!r}")
                try:
                    part = os.read(controller, 65536)
                except OSError:  # the other side is closed
                    break
                if not part:
                    break
                shown += part
            return process.wait(DEADLINE), shown.decode(errors="replace")
        finally:
            process.kill()
            process.wait()
            os.close(controller)


if __name__ == "__main__":
    unittest.main()
