"""The process has no more rights than it needs: the sandbox, and the user that it becomes."""
import os
import pwd
import re
import shutil
import signal
import socket
import ssl
import stat
import subprocess
import tempfile
import unittest

from case import Case, run
from mpack import RpcError
from server import DEADLINE
from test_tls_users import SUBJECT
from test_users import HASHES, SLOW
from tls import TlsCase

IS_RESTRICTED = not os.environ.get("MREGION_ASAN")  # there it is only prepared


def statuses(pid):
    """The status of each thread, as a dictionary."""
    found = []
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/status", encoding="ascii") as file:
            found.append(dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line))
    return found


class Rights(Case):
    def configured(self, *lines, **options):
        server = self.server(config=" ", **options)
        self.configure(server, *lines)
        return server

    @staticmethod
    def configure(server, *lines):
        """Writes the file as editors do: a new one takes the place of the old one."""
        text = "".join(f"{line}\n" for line in (
            "listen:", f"  - unix: {server.path('run/s')}", *lines))
        os.makedirs(server.path("run"), exist_ok=True)
        with open(server.path("new.yaml"), "w", encoding="utf-8") as file:
            file.write(text)
        os.rename(server.path("new.yaml"), server.path("mregiond.yaml"))

    def reload(self, server, *lines):
        self.configure(server, *lines)
        count = server.log().count("reloaded the configuration")
        server.signal(signal.SIGHUP)
        server.wait_log("reloaded the configuration", count=count + 1)


class Sandbox(Rights):
    def assert_in_force(self, server):
        info = self.connect(server).call("serverInfo")["sandbox"]
        self.assertIn(f"sandbox: {info}", server.log().split("\n"))
        if not IS_RESTRICTED:
            self.assertEqual(info, "none")
            return
        for name, what in (("Landlock", "landlock"), ("seccomp", "seccomp")):
            if f"sandbox: {name} is not to be had here" not in server.log():
                self.assertIn(what, info)
        for status in statuses(server.process.pid):
            self.assertEqual(status["NoNewPrivs"], "1")
            self.assertEqual(status["Seccomp"], "2" if "seccomp" in info else "0")

    def test_in_force_for_all_threads(self):
        server = self.configured().start()
        self.assert_serves(server)
        self.assert_in_force(server)
        client = self.connect(server)
        for _ in range(50):  # enough at a time to have more threads started
            client.send("addBlob", "main", bytes(300000))
        client.send("checkpoint", "main")
        client.call("ping")
        self.assert_serves(server)
        self.assert_in_force(server)
        server.stop()
        self.assertEqual(os.listdir(server.path("run")), [], "the socket's file is still there")

    def test_off(self):
        server = self.configured("sandbox: off").start()
        self.assertEqual(self.connect(server).call("serverInfo")["sandbox"], "none")
        for status in statuses(server.process.pid):
            self.assertEqual((status["NoNewPrivs"], status["Seccomp"]), ("0", "0"))
        self.assertNotIn("sandbox", server.log())
        server.stop()

    def test_reload_and_regions(self):
        server = self.configured("regions: [{name: main}]").start()
        self.reload(server, "regions: [{name: main}, {name: second}]")
        client = self.connect(server)
        client.call("createRegion", "third")
        server.wait_log("region second: created")
        for region in ("main", "second", "third"):
            address = client.call("addBlob", region, b"abc" * 5000)
            client.call("checkpoint", region)
            self.assertEqual(client.call("removeBlob", region, address, 15000), b"abc" * 5000)
        client.call("dropRegion", "third")
        self.assertEqual(client.call("listRegions"), ["main", "second"])
        self.reload(server, "sandbox: off", "user: somebody")
        server.wait_log("reload: sandbox needs a restart: is on, the file says off")
        server.wait_log("reload: user needs a restart: is .*, the file says ")
        self.assert_in_force(server)
        server.stop()

    def test_what_a_reload_cannot_reach_is_said(self):
        server = self.configured()
        other = self.server(config="regions: [{name: main}, {name: second}]\n")
        server.start()
        os.unlink(server.path("mregiond.yaml"))
        os.symlink(other.path("mregiond.yaml"), server.path("mregiond.yaml"))
        server.signal(signal.SIGHUP)
        if IS_RESTRICTED and "landlock" in self.connect(server).call("serverInfo")["sandbox"]:
            server.wait_log("cannot open the configuration: Permission denied")
            server.wait_log("reload: the sandbox forbids it, in which a reload reads only")
        else:
            server.wait_log("reloaded the configuration")
        self.assert_serves(server)
        server.stop()

    def test_file_that_is_a_link(self):
        server = self.configured()
        other = self.server(config=" ")
        os.rename(server.path("mregiond.yaml"), other.path("there.yaml"))
        os.symlink(other.path("there.yaml"), server.path("mregiond.yaml"))
        server.start()
        server.signal(signal.SIGHUP)
        server.wait_log("reloaded the configuration")
        server.stop()

    def test_wrong_word(self):
        status, log = self.configured("sandbox: maybe").run()
        self.assertEqual(status, 78, log)
        self.assertRegex(log, r"mregiond\.yaml:3:10: sandbox must be on or off")


class Tls(TlsCase):
    """What certificates and users need, in the sandbox."""

    def put(self, name):
        """Makes it the server's certificate as others do: by a new file under the old name."""
        for kind in "pem", "key":
            shutil.copy(self.file(f"{name}.{kind}"), self.file("new"))
            os.rename(self.file("new"), self.file(f"now.{kind}"))

    def reload(self, server, config, pattern="reloaded the configuration"):
        count = len(re.findall(pattern, server.log()))
        server.write_config(config)
        server.signal(signal.SIGHUP)
        server.wait_log(pattern, count + 1)

    def der(self, name):
        with open(self.file(name + ".pem"), encoding="ascii") as file:
            return ssl.PEM_cert_to_DER_cert(file.read())

    def asking(self, *users):
        return self.config("tls_clients: optional", f"tls_ca: {self.authority.file}",
                           f"users: [{', '.join(users)}]", certificate="now.pem", key="now.key")

    def test_certificates_and_passwords(self):
        grants = "grants: [{regions: '*', access: admin}]}"
        alice = f"{{name: alice, password_hash: '{HASHES[SLOW]}', {grants}"
        backup = f"{{name: backup, certificate: {SUBJECT}, {grants}"
        self.authority.issue("next")
        self.put("server")
        server = self.server(config=self.asking(alice)).start()
        client = self.client(server)
        self.assertEqual(client.certificate(), self.der("server"))
        client.call("authenticate", "alice", SLOW)
        client.call("addBlob", "main", b"blob" * 100000)

        self.put("next")
        self.reload(server, self.asking(alice, backup))
        new = self.client(server, certificate=self.file("client.pem"), key=self.file("client.key"))
        self.assertEqual(new.certificate(), self.der("next"))
        self.assertEqual(new.call("whoAmI")["user"], "backup")
        client.call("ping")

        # A password that is wrong takes another way to its end, and makes the server wait.
        for _ in range(3):
            with self.assertRaises(RpcError):
                new.call("authenticate", "alice", "wrong")
        server.stop()

    def test_hashes_of_passwords_are_not_dumped(self):
        listen = "listen: [tcp: '127.0.0.1:0']\n"
        nobody = r"Max core file size +0 +0 "

        def limits():
            with open(f"/proc/{server.process.pid}/limits", encoding="ascii") as file:
                return file.read()

        server = self.server(config=f"{listen}users: [{{name: root, uid: 0}}]\n").start()
        if re.search(nobody, limits()):
            self.skipTest("nobody can be dumped here")
        self.reload(server, f"{listen}users: [{{name: alice, password_hash: '{HASHES[SLOW]}'}}]\n")
        self.assertRegex(limits(), nobody)
        server.stop()
        server.start()
        self.assertRegex(limits(), nobody)
        server.stop()

    def test_files_elsewhere(self):
        """A file that a reload finds outside of the folders of the start cannot be read, and the
        server says why."""
        elsewhere = tempfile.mkdtemp(prefix="mregiond-elsewhere.")
        self.addCleanup(shutil.rmtree, elsewhere)
        for name in "server.pem", "server.key":
            shutil.copy(self.file(name), elsewhere)
        server = self.server(config=self.config()).start()
        config = self.config(certificate=os.path.join(elsewhere, "server.pem"),
                             key=os.path.join(elsewhere, "server.key"))
        if "landlock" not in self.client(server).call("serverInfo")["sandbox"]:
            self.reload(server, config)
            server.stop()
            return
        self.reload(server, config, f"tls_certificate: cannot read {elsewhere}/server.pem: the "
                    "sandbox forbids it, in which a reload reads only below the folders of the "
                    "files that the configuration named at the start; put the file there, or "
                    "restart the server")
        server.wait_log("the configuration stays as it was")
        self.assert_serves_tls(server)
        server.stop()
        server.start()
        self.assert_serves_tls(server)
        server.stop()

    def test_first_certificate_of_a_reload(self):
        """What the TLS library reads for itself is out of reach then."""
        config = "listen: [tcp: '127.0.0.1:0']\n"
        server = self.server(config=config)
        for name in "server.pem", "server.key":
            shutil.copy(self.file(name), server.folder)
        server.start()
        config += (f"tls_certificate: {server.path('server.pem')}\n"
                   f"tls_key: {server.path('server.key')}\n")
        for _ in range(2):
            self.reload(server, config, "reload: tls_certificate needs a restart: is none, the file says ")
        self.assertNotIn("TLS certificate:", server.log())
        server.stop()
        server.start()
        server.wait_log("TLS certificate: CN=server")
        server.stop()


class User(Rights):
    def test_no_such_user(self):
        server = self.configured("user: no-such-user")
        status, log = server.run()
        self.assertEqual(status, 78, log)
        self.assertRegex(log, r'mregiond\.yaml:3:7: there is no user "no-such-user" on this machine')
        self.assertFalse(os.path.exists(server.data_dir), "started half configured")
        done = run("--config", server.path("mregiond.yaml"), "--check-config")
        self.assertEqual(done.returncode, 78, done.stderr)
        self.assertRegex(done.stderr, r'mregiond\.yaml:3:7: there is no user "no-such-user"')

    def test_oneself(self):
        name = pwd.getpwuid(os.geteuid()).pw_name
        server = self.configured(f"user: {name}").start()
        self.assert_serves(server)
        self.assertNotIn("warning", server.log())
        server.stop()

    @unittest.skipUnless(os.geteuid() == 0, "takes root")
    def test_root_is_warned(self):
        server = self.configured().start()
        server.wait_log("warning: running as root.*set user")
        server.stop()


@unittest.skipUnless(os.geteuid() == 0, "takes root")
class FromRoot(Rights):
    """A server that becomes nobody."""

    def setUp(self):
        self.user = pwd.getpwnam("nobody")
        self.mregiond = self.configured("  - tcp: 127.0.0.1:0", "user: nobody")
        os.chmod(self.mregiond.folder, 0o755)

    def assert_is_nobody(self):
        for status in statuses(self.mregiond.process.pid):
            self.assertEqual(set(status["Uid"].split()), {str(self.user.pw_uid)})
            self.assertEqual(set(status["Gid"].split()), {str(self.user.pw_gid)})
            self.assertNotIn("0", status["Groups"].split())
            for name in ("CapPrm", "CapEff", "CapInh", "CapAmb"):
                self.assertEqual(int(status[name], 16), 0, name)

    def assert_owned(self):
        for folder, _, names in os.walk(self.mregiond.data_dir):
            for name in ("", *names):
                self.assertEqual(os.lstat(os.path.join(folder, name)).st_uid, self.user.pw_uid,
                                 name or folder)

    def test_everything_is_the_users(self):
        server = self.mregiond.start()
        self.assert_is_nobody()
        self.assert_serves(server)
        file = os.lstat(server.path("run/s"))
        self.assertEqual((file.st_uid, file.st_gid), (self.user.pw_uid, self.user.pw_gid))
        self.assertEqual(stat.S_IMODE(file.st_mode), 0o660)
        self.connect(server).call("checkpoint", "main")
        self.assert_owned()
        self.assertNotIn("warning", server.log())
        self.assertLess(server.log().index("running as user nobody"),
                        server.log().index("region main: created"))

        self.reload(server, "  - tcp: 127.0.0.1:0", "user: nobody",
                    "regions: [{name: main}, {name: second}]")
        server.wait_log("region second: created")
        self.assertEqual(self.connect(server).call("listRegions"), ["main", "second"])
        server.kill()
        server.start()  # the socket's file is still there, in a folder that is root's
        self.assert_is_nobody()
        self.assert_serves(server)
        server.stop()
        server.start()
        self.assert_serves(server)
        self.assert_owned()
        server.stop()

    def test_data_of_somebody_else(self):
        os.mkdir(self.mregiond.data_dir, 0o700)
        status, log = self.mregiond.run()
        self.assertEqual(status, 1, log)
        self.assertRegex(log, "cannot open data_dir .*: Permission denied")
        self.assertEqual(os.listdir(self.mregiond.data_dir), [])
        self.assertEqual(os.listdir(self.mregiond.path("run")), ["s"])

    @unittest.skipUnless(os.environ.get("MREGION_FAULT_LIBRARY"), "needs the preloaded library")
    def test_sockets_are_alive_while_regions_are_opened(self):
        """They are bound before the store is locked: another server must not take them for stale,
        and whoever connects meanwhile is served later."""
        lines = "  - tcp: 127.0.0.1:0", "user: nobody", "sandbox: off"
        first = self.mregiond
        self.configure(first, *lines)
        rules = first.path("rules")
        with open(rules, "w", encoding="ascii") as file:
            file.write("fsync hold regions\n")
        first.env.update(LD_PRELOAD=os.environ["MREGION_FAULT_LIBRARY"], MREGION_FAULT=rules)
        first.start(wait=False)
        first.wait_log("running as user nobody")

        second = self.server(config=" ")
        os.chmod(second.folder, 0o755)
        os.rename(second.path("mregiond.yaml"), second.path("unused.yaml"))
        os.link(first.path("mregiond.yaml"), second.path("mregiond.yaml"))
        status, log = second.run()
        self.assertEqual(status, 1, log)
        self.assertRegex(log, "in use by another server that is alive")

        with socket.socket(socket.AF_UNIX) as client:
            client.connect(first.path("run/s"))
            client.sendall(b"\x94\x00\x01\xa4ping\x90")
            self.assertNotIn("listening", first.log())
            os.unlink(rules)
            client.settimeout(DEADLINE)
            self.assertEqual(client.recv(100), b"\x94\x01\x01\xc0\xa4pong")
        first.wait_log(r"\bready\b")
        first.stop()

    def test_as_another_user(self):
        """Who is neither root nor that user is refused."""
        text = "user: root\n"
        self.mregiond.write_config(text)
        command = self.mregiond.command
        try:
            done = subprocess.run(command, user=self.user.pw_uid, group=self.user.pw_gid,
                                  extra_groups=[], stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                  timeout=DEADLINE, check=False)
        except PermissionError:
            self.skipTest(f"{command[0]} is where only root can go")
        self.assertEqual(done.returncode, 78, done.stderr)
        self.assertRegex(done.stderr, rf"mregiond\.yaml:1:7: started as user {self.user.pw_uid}, "
                                      'the server cannot become user "root"')


if __name__ == "__main__":
    unittest.main()
