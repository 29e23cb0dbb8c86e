"""Users: who is known, what they may do, what is refused in which words, what a reload changes.

The hashes are cheap ones (8 KiB, one pass), where what they cost is not what is tested."""
import os
import re
import signal
import socket
import subprocess
import sys
import unittest

import msgpack

from case import Case
from mpack import Client, RpcError, request
from server import DEADLINE

ALICE, BOB, READER, SLOW = "alice-secret", "bob-secret", "reader-secret", "slow-secret"
HASHES = {
    ALICE: "$argon2id$v=19$m=8,t=1,p=1$f/QgEQ2BMi0dHjRMlRh+1w"
           "$pGZkLlKKR56GS5NG6OpJimgjfmZUQpqgwFFUj/Nt7v4",
    BOB: "$argon2id$v=19$m=8,t=1,p=1$PKuU4JVTxtHJdxQTIqrx7g"
         "$FOA+/4fq4Fjflac8GppeeqTcNvmsY9nrTtW7Woaihtc",
    READER: "$argon2id$v=19$m=8,t=1,p=1$yZ3Sqad+L1z9q3ZvVU5CJA"
            "$IkHf71QclQ21Fu7ZSJktQrIf/JLxBrcH+I1q/L2Qlik",
    SLOW: "$argon2id$v=19$m=65536,t=1,p=1$D3VdKkVhNDaFWtd/G8XJDw"
          "$XuCnQXWyMQ26hTice6W2NMVbRE6+YQD7VEdQR5S4F14",  # 64 MiB
}


def user(name, *grants, **known_by):
    """One item of users; a grant is "PATTERN:ACCESS"; password stands for its hash."""
    if "password" in known_by:
        known_by["password_hash"] = HASHES[known_by.pop("password")]
    lines = [f"  - name: {name}"] + [f'    {key}: {value}' for key, value in known_by.items()]
    lines.append("    grants:" if grants else "    grants: []")
    for grant in grants:
        pattern, access = grant.split(":")
        lines.append(f'      - {{regions: "{pattern}", access: {access}}}')
    return "\n".join(lines) + "\n"


def own_address(case):
    """One of this machine's that is not loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
            address = probe.getsockname()[0]
        except OSError:
            address = "127.0.0.1"
    if address.startswith("127."):
        case.skipTest("this machine has no address but loopback")
    return address


def find_in_memory(case, server, what):
    """How often it is anywhere in the server's memory."""
    pid, found = server.process.pid, 0
    try:
        with open(f"/proc/{pid}/maps", encoding="ascii") as maps, \
                open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
            for line in maps:
                span, rights = line.split()[:2]
                start, end = (int(part, 16) for part in span.split("-"))
                if "w" not in rights or end - start > 1 << 28:
                    continue
                memory.seek(start)
                try:
                    found += memory.read(end - start).count(what)
                except OSError:
                    pass  # reserved only
    except PermissionError as error:
        case.skipTest(f"its memory cannot be read here: {error}")
    return found


ALL = [user("alice", "*:admin", password=ALICE), user("bob", "photos-*:write", password=BOB),
       user("reader", "photos-?:read", "photos-b:write", "mine*:admin", password=READER),
       user("nobody", password=READER)]


class Users(Case):
    def start(self, users, *, regions=("photos-a", "photos-b", "secret"), listen=None, more=""):
        """A server with these users, and what writes its configuration again."""
        server = self.server(config="listen: []\n")
        listen = listen or f"[{{unix: {server.path('s')}}}, {{tcp: '127.0.0.1:0'}}]"
        names = ", ".join(f"{{name: {name}}}" for name in regions)

        def write(new_users, extra=more):
            text = "users:\n" + "".join(new_users) if new_users else "users: []\n"
            server.write_config(f"listen: {listen}\nregions: [{names}]\n{text}{extra}")

        write(users)
        server.start()
        return server, write

    def client(self, server, name=None, password=None):
        """Over TCP, where nobody is known by the socket."""
        client = Client(server.tcp)
        self.addCleanup(client.close)
        if name is not None:
            self.assertIsNone(client.call("authenticate", name, password))
        return client

    def refused(self, client, code, method, *params):
        with self.assertRaises(RpcError) as caught:
            client.call(method, *params)
        self.assertEqual(caught.exception.code, code, caught.exception)
        return caught.exception.sentence

    def reload(self, server):
        count = server.log().count("reloaded the configuration")
        server.signal(signal.SIGHUP)
        server.wait_log("reloaded the configuration", count + 1)

    # ---- Who ----

    def test_without_users_everybody_may_do_everything(self):
        server = self.server().start()
        client = self.connect(server)
        self.assertEqual(client.call("whoAmI")["user"], None)
        self.assertEqual(client.call("whoAmI")["grants"], [{"regions": "*", "access": "admin"}])
        self.refused(client, "denied", "authenticate", "alice", ALICE)
        client.call("createRegion", "any")
        server.stop()

    def test_nobody_may_only_say_who_he_is(self):
        server, _ = self.start(ALL)
        client = self.client(server)
        self.assertEqual(client.call("ping"), "pong")
        self.assertEqual(client.call("whoAmI")["user"], None)
        self.assertEqual(client.call("whoAmI")["grants"], [])
        for method, *params in (("listRegions",), ("serverInfo",), ("size", "photos-a"),
                                ("addBlob", "photos-a", b"x"), ("size", "not-there"), ("size", 99),
                                ("createRegion", "new"), ("dropRegion", "photos-a"),
                                ("appendBlob", 1, b"x"), ("commitBlob", 1), ("noSuchMethod",),
                                ("size",), ("size", []), ("addBlob", "photos-a", 1.5),
                                ("batch", "photos-a", [])):
            sentence = self.refused(client, "unauthenticated", method, *params)
            self.assertIn("authenticate(user, password)", sentence)
        client.notify("clear", "photos-a")
        client.notify("dropRegion", "photos-a")
        self.assertEqual(client.call("ping"), "pong")
        alice = self.client(server, "alice", ALICE)
        self.assertEqual(alice.call("listRegions"), ["photos-a", "photos-b", "secret"])
        self.assertGreater(alice.call("serverInfo")["refusals"], 10)
        server.stop()

    def test_malformed_requests_of_nobody(self):
        """Nothing of what others sent before is looked at, or written down."""
        server, _ = self.start(ALL)
        alice = self.client(server, "alice", ALICE)
        stranger = self.client(server)
        for method in ("size", "createRegion", "loadBlob", "renameRegion", "restoreRegion"):
            for params in ((), (True,), (True, True)):
                self.refused(alice, "no_such_region", "addBlob", "tell-nobody", bytes(8 << 20))
                self.refused(stranger, "unauthenticated", method, *params)
        self.assertEqual(alice.call("ping"), "pong")
        self.assertRegex(server.log(), r"act=size region=- result=unauthenticated")
        self.assertNotIn("tell-nobody", server.log())
        server.stop()

    @unittest.skipUnless(os.geteuid() == 0, "takes root")
    def test_by_uid_where_users_are_not_seen(self):
        """In a namespace in which all others are user 65534, who is that is nobody."""
        namespace = ("unshare", "--user", "--map-root-user")
        if subprocess.run([*namespace, "true"], stderr=subprocess.DEVNULL, check=False).returncode != 0:
            self.skipTest("there are no user namespaces here")
        server = self.server(config="listen: []\n", wrapper=namespace)
        os.chmod(server.folder, 0o755)
        server.write_config(
            f"listen: [{{unix: {server.path('s')}, mode: 0666}}]\nusers:\n" +
            user("anybody", "*:admin", uid=65534) + user("group", "*:admin", gid=65534) +
            user("root", "*:admin", uid=0))
        server.start()
        self.assertEqual(self.connect(server).call("whoAmI")["user"], "root")
        script = ("import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); "
                  "s.sendall(bytes.fromhex('940001a677686f416d4990')); "
                  "sys.stdout.write(s.recv(4096).hex())")
        done = subprocess.run(["/usr/bin/python3", "-c", script, server.unix], user=1500, group=1500,
                              extra_groups=[1501], stdout=subprocess.PIPE, text=True, check=True)
        told = msgpack.unpackb(bytes.fromhex(done.stdout))[3]
        self.assertEqual((told["user"], told["by"]), (None, None))
        self.assertIn("uid 65534", told["peer"])
        server.wait_log("users: nobody can be known as anybody and 1 other by uid or gid")
        server.stop()

    def test_by_uid(self):
        server, _ = self.start([user("alice", "*:read", password=ALICE),
                                user("me", "*:admin", uid=os.getuid())])
        client = Client(server.unix)
        self.addCleanup(client.close)
        self.assertEqual(client.call("whoAmI")["user"], "me")
        self.assertEqual(client.call("whoAmI")["by"], "uid")
        client.call("addBlob", "secret", b"x")
        server.wait_log(r'audit: user=me peer="connection 1 \(unix, uid .*" act=authenticate '
                        r"by=uid result=ok")
        # Nobody else is compared with a hash that the password fits.
        self.refused(client, "unauthenticated", "authenticate", "me", ALICE)
        self.refused(client, "unauthenticated", "authenticate", "ghost", ALICE)
        client.call("authenticate", "alice", ALICE)  # less than before
        self.assertEqual(client.call("whoAmI")["by"], "password")
        self.refused(client, "denied", "addBlob", "secret", b"x")
        self.refused(self.client(server), "unauthenticated", "addBlob", "secret", b"x")
        server.stop()

    def test_by_gid(self):
        server, write = self.start([user("mine", "*:admin", gid=os.getgid())])
        with Client(server.unix) as client:
            self.assertEqual(client.call("whoAmI")["by"], "gid")
        others = [gid for gid in os.getgroups() if gid != os.getgid()]
        if not others and os.getuid() == 0:
            os.setgroups([os.getgid(), 4711])
            self.addCleanup(os.setgroups, [os.getgid()])
            others = [4711]
        if others:
            write([user("theirs", "*:read", gid=others[0])])
            self.reload(server)
            with Client(server.unix) as client:
                self.assertEqual(client.call("whoAmI")["user"], "theirs")
        server.stop()

    def test_passwords(self):
        server, _ = self.start(ALL)
        client = self.client(server)
        for name, password in (("alice", "wrong"), ("alice", BOB), ("alice", ""), ("", ""),
                               ("not-there", ALICE)):
            with self.subTest(name=name, password=password):
                fresh = self.client(server)
                sentence = self.refused(fresh, "unauthenticated", "authenticate", name, password)
                self.assertIn("mrcli passwd", sentence)
        client.call("authenticate", b"alice", ALICE.encode())
        self.assertEqual(client.call("whoAmI")["user"], "alice")
        self.refused(client, "invalid_argument", "authenticate", "alice", b"x" * 1025)
        self.refused(client, "invalid_argument", "authenticate", "alice")
        self.refused(client, "invalid_argument", "authenticate", "alice", 7)
        self.assertEqual(client.call("whoAmI")["user"], "alice")
        info = client.call("serverInfo")
        self.assertEqual((info["users"], info["authentications"]), (4, 1))
        self.assertEqual(info["authentication_failures"], 6)
        self.assertNotIn(ALICE, server.log())
        server.stop()

    def test_passwords_are_wiped(self):
        server, _ = self.start(ALL)
        client = self.client(server)
        whole = request(1, "authenticate", ["alice", ALICE])
        # At once; in pieces, which move to a buffer of their own; behind another request; malformed;
        # refused before they are looked at; longer than any; right in the end.
        client.send_raw(whole)
        for part in (whole[:-7], whole[-7:-2], whole[-2:]):
            client.send_raw(part)
            self.settle(server)
        for _ in range(2):
            client.receive()
        client.send_raw(request(2, "ping", []) + request(3, "authenticate", ["bob", ALICE]) +
                        request(4, "ping", []))
        client.send_raw(request(6, "authenticate", ["bob", ALICE * 100]))
        for _ in range(4):
            client.receive()
        client.send_raw(request(5, "authenticate", ["bob", ALICE, ALICE, ALICE]))
        client.receive()
        self.assertEqual(client.call("whoAmI")["user"], "alice")
        self.assertGreater(find_in_memory(self, server, HASHES[ALICE].encode()), 0)
        self.assertEqual(find_in_memory(self, server, ALICE.encode()), 0)
        server.stop()

    def settle(self, server):
        """Waits until the server has read what was sent."""
        with Client(server.tcp) as other:
            other.call("ping")
            other.call("ping")

    def test_a_failure_leaves_who_one_is_and_the_last_one_counts(self):
        server, _ = self.start(ALL)
        client = self.client(server, "alice", ALICE)
        self.refused(client, "unauthenticated", "authenticate", "bob", ALICE)
        self.assertEqual(client.call("whoAmI")["user"], "alice")
        client.call("size", "secret")
        client.call("authenticate", "bob", BOB)
        self.assertEqual(client.call("whoAmI")["user"], "bob")
        self.refused(client, "no_such_region", "size", "secret")
        client.call("authenticate", "bob", BOB)  # twice
        self.assertEqual(client.call("whoAmI")["user"], "bob")
        server.stop()

    def test_what_is_sent_behind_waits_for_the_result(self):
        server, _ = self.start(ALL)
        client = self.client(server)
        blob = b"z" * 300000  # more than nobody may send
        client.send_raw(b"".join([
            request(1, "addBlob", ["photos-a", b"before"]),
            request(2, "authenticate", ["alice", "wrong"]),
            request(3, "addBlob", ["photos-a", b"after a failure"]),
            request(4, "authenticate", ["bob", BOB]),
            request(5, "addBlob", ["photos-a", blob]),
            request(6, "size", ["secret"]),
            request(7, "authenticate", ["alice", ALICE]),
            request(8, "size", ["secret"]),
        ]))
        answers = {}
        while len(answers) < 8:
            msgid, error, result = client.receive()
            answers[msgid] = (error or "ok").split(":")[0], result
        self.assertEqual([answers[msgid][0] for msgid in range(1, 9)],
                         ["unauthenticated", "unauthenticated", "unauthenticated", "ok", "ok",
                          "no_such_region", "ok", "ok"])
        self.assertEqual(client.call("size", "photos-a"), len(blob))
        server.stop()

    def test_a_notification_authenticates_too(self):
        server, _ = self.start(ALL)
        client = self.client(server)
        client.notify("authenticate", "alice", "wrong")
        client.notify("authenticate", "bob", BOB)
        self.assertEqual(client.call("whoAmI")["user"], "bob")
        server.stop()

    def test_after_some_failures_the_connection_is_closed(self):
        server, _ = self.start(ALL)
        client = self.client(server)
        for i in range(12):
            client.send_raw(request(i, "authenticate", ["alice", f"guess {i}"]))
        client.send_raw(request(99, "authenticate", ["alice", ALICE]))
        answers = client.wait_closed()
        self.assertEqual([error.split(":")[0] for _, error, _ in answers],
                         ["unauthenticated"] * 6)
        client.close()
        server.wait_log("closing: 6 authentications have failed")
        self.client(server, "alice", ALICE)
        server.stop()

    def guess_until_closed(self, server):
        guesser = self.client(server)
        for i in range(6):
            guesser.send("authenticate", "alice", f"guess {i}")
        guesser.wait_closed()
        guesser.close()

    def test_too_many_attempts(self):
        server, _ = self.start(ALL)
        self.guess_until_closed(server)
        # Another one would be due in half a second, so that a hundred wait for much too long.
        clients = [self.client(server) for _ in range(120)]
        for client in clients:
            client.send("authenticate", "alice", "guess")
        clients[-1].send("ping")
        self.assertEqual(clients[-1].receive()[1].split(":")[0], "busy")
        self.assertEqual(clients[-1].receive()[2], "pong")
        for client in clients:
            client.close()
        server.wait_log("audit: failed authentications: [0-9]+ more like it were not logged")
        with Client(server.unix) as other:  # another peer: a user of this machine
            other.call("authenticate", "alice", ALICE)
            self.assertGreater(other.call("serverInfo")["authentication_failures"], 6)
        server.stop()

    def test_stop_while_attempts_wait(self):
        server, _ = self.start(ALL)
        self.guess_until_closed(server)
        clients = [self.client(server) for _ in range(5)]
        for client in clients:
            client.send_raw(request(0, "authenticate", ["alice", "guess"]) + request(1, "ping", []))
        clients[0].wait(1)  # the first one's turn has come
        server.stop()
        for client in clients[1:]:
            answers = [(error or "ok").split(":")[0] for _, error, _ in client.wait_closed()]
            self.assertEqual(answers, ["busy", "ok"])

    def test_gone_while_it_is_verified(self):
        server, _ = self.start([user("alice", "*:admin", password=ALICE),
                                user("slow", "*:admin", password=SLOW)])
        for _ in range(4):
            client = self.client(server)
            client.send("authenticate", "slow", "whatever")
            client.send("addBlob", "secret", b"never")
            client.reset()
        alice = self.client(server, "alice", ALICE)
        self.assertEqual(alice.call("size", "secret"), 0)
        client = self.client(server)
        client.send("authenticate", "slow", "whatever")
        client.close()
        server.stop()

    @unittest.skipIf(os.environ.get("MREGION_ASAN"), "its memory is not the server's alone")
    def test_two_at_a_time(self):
        server, _ = self.start([user("slow", "*:read", password=SLOW)])
        clients = [self.client(server) for _ in range(10)]
        attempts = [client.send("authenticate", "slow", SLOW) for client in clients]
        for client, msgid in zip(clients, attempts):
            client.wait(msgid)
            self.assertEqual(client.call("whoAmI")["user"], "slow")
        with open(f"/proc/{server.process.pid}/status", encoding="ascii") as file:
            peak = int(re.search(r"VmHWM:\s+(\d+) kB", file.read())[1])
        self.assertGreater(peak, 64 << 10)
        self.assertLess(peak, (2 * 64 + 32) << 10)
        server.stop()

    def test_nobody_sends_large_messages(self):
        server, _ = self.start(ALL)
        client = self.client(server)
        client.send_raw(request(5, "addBlob", ["photos-a", b"x" * 65536]))
        (msgid, error, _), = client.wait_closed()
        self.assertEqual((msgid, error.split(":")[0]), (5, "too_large"))
        client.close()
        client = self.client(server, "bob", BOB)
        client.call("addBlob", "photos-a", b"x" * 65536)
        server.stop()

    def test_nobody_makes_room_for_others(self):
        server, _ = self.start(ALL, more="max_connections: 3\n")
        alice = self.client(server, "alice", ALICE)
        idle = [self.client(server) for _ in range(2)]
        self.assertEqual(idle[1].call("ping"), "pong")
        bob = self.client(server, "bob", BOB)
        self.assertEqual(idle[0].wait_closed(), [])
        server.wait_log("is not known as a user's, and max_connections, 3, are open")
        self.assertEqual(idle[1].call("ping"), "pong")
        self.client(server, "bob", BOB)
        self.assertEqual(idle[1].wait_closed(), [])
        with self.client(server) as refused:  # all are known
            self.assertEqual(refused.wait_closed(), [])
        self.assertEqual(bob.call("whoAmI")["user"], "bob")
        self.assertEqual(alice.call("serverInfo")["connections"], 3)
        server.stop()

    # ---- What ----

    def test_grants(self):
        server, _ = self.start(ALL)
        alice = self.client(server, "alice", ALICE)
        reader = self.client(server, "reader", READER)
        address = alice.call("addBlob", "photos-a", b"picture")
        self.assertEqual(reader.call("listRegions"), ["photos-a", "photos-b"])
        self.assertEqual(reader.call("loadBlob", "photos-a", address, 7), b"picture")
        self.assertEqual(reader.call("whoAmI")["grants"],
                         [{"regions": "photos-?", "access": "read"},
                          {"regions": "photos-b", "access": "write"},
                          {"regions": "mine*", "access": "admin"}])
        token = {"token": b"0123456789abcdef"}
        for method, *params in (("addBlob", b"x"), ("storeBlob", address, b"x"),
                                ("removeBlob", address, 7), ("replaceBlob", address, 7, b"x"),
                                ("allocate", 8), ("deallocate", address, 7),
                                ("resize", address, 7, 8), ("deallocateRange", 0, 7), ("clear",),
                                ("clearAndRetainHeader", 0), ("grow", 1), ("beginBlob", 8),
                                ("batch", [["addBlob", b"x"]]), ("addBlob", b"x", token),
                                ("batch", [["addBlob", b"x"]], token)):
            sentence = self.refused(reader, "denied", method, "photos-a", *params)
            for word in ("reader", "photos-a", "write"):
                self.assertIn(word, sentence)
            reader.notify(method, "photos-a", *params)
        for method in ("checkpoint", "scrub", "dropRegion"):
            self.assertIn("admin", self.refused(reader, "denied", method, "photos-a"))
            self.assertIn("admin", self.refused(reader, "denied", method, "photos-b"))
        self.assertEqual(alice.call("allocated", "photos-a"), 7)
        reader.call("addBlob", "photos-b", b"x")
        # The pattern is of names that may not exist yet.
        reader.call("createRegion", "mine-1")
        for method in ("checkpoint", "scrub", "dropRegion"):
            reader.call(method, "mine-1")
        self.assertIn("other", self.refused(reader, "denied", "createRegion", "other"))
        self.assertIn("admin", self.refused(reader, "denied", "createRegion", "photos-c"))
        self.refused(reader, "denied", "createRegion", "photos-b")
        alice.call("createRegion", "photos-c")
        self.assertEqual(reader.call("listRegions"), ["photos-a", "photos-b", "photos-c"])
        server.stop()

    def test_what_one_may_not_see_does_not_exist(self):
        server, _ = self.start(ALL)
        alice = self.client(server, "alice", ALICE)
        reader = self.client(server, "reader", READER)
        hidden = alice.call("id", "secret")
        for method, *params in (("size",), ("loadBlob", 0, 1), ("addBlob", b"x"), ("clear",),
                                ("dropRegion",), ("checkpoint",), ("scrub",), ("regionInfo",),
                                ("batch", []), ("beginBlob", None), ("getFreeMemory",)):
            seen = self.refused(reader, "no_such_region", method, "secret", *params)
            missing = self.refused(reader, "no_such_region", method, "sesame", *params)
            self.assertEqual(seen, missing.replace("sesame", "secret"))
            seen = self.refused(reader, "no_such_region", method, hidden, *params)
            missing = self.refused(reader, "no_such_region", method, 999, *params)
            self.assertEqual(seen, missing.replace("999", str(hidden)))
        self.assertEqual(reader.call("serverInfo")["regions"], 2)
        self.assertEqual(alice.call("serverInfo")["regions"], 3)
        token = {"token": b"secret token 123"}
        upload = alice.call("beginBlob", "secret", 3)
        alice.call("appendBlob", upload, b"abc")
        alice.call("commitBlob", upload, token)
        self.refused(reader, "invalid_argument", "commitBlob", upload, token)
        self.assertEqual(alice.call("commitBlob", upload, token), 0)
        server.stop()

    @staticmethod
    def counted(client, region):
        told = client.call("stats")["regions"][region]
        return told["operations"], told["errors"]

    def test_refusals_do_not_tell_what_is_there(self):
        server, _ = self.start(ALL)
        bob, alice = self.client(server, "bob", BOB), self.client(server, "alice", ALICE)
        secret = alice.call("regionInfo", "secret")["id"]
        token = {"token": b"0123456789abcdef"}

        def steps(*regions):
            for region in regions:
                before = bob.call("serverInfo")["refusals"]
                self.refused(bob, "no_such_region", "size", region)
                yield bob.call("serverInfo")["refusals"] - before

        self.assertEqual(len(set(steps("secret", "sesame", secret, 12345))), 1)
        self.assertEqual(list(steps("photos-z")), [0])  # bob would see it
        before = self.counted(alice, "secret")
        self.refused(bob, "invalid_argument", "commitBlob", 4711, token)
        self.assertEqual(self.counted(alice, "secret"), before)
        server.stop()

    def test_a_token_of_an_upload_is_for_who_may_write(self):
        server, write = self.start(ALL)
        bob = self.client(server, "bob", BOB)
        token = {"token": b"0123456789abcdef"}
        upload = bob.call("beginBlob", "photos-a", None)
        bob.call("appendBlob", upload, b"abc")
        self.assertEqual(bob.call("commitBlob", upload, token), 0)
        self.assertEqual(bob.call("commitBlob", upload, token), 0)
        write([ALL[0], user("bob", "photos-*:read", password=BOB)])
        self.reload(server)
        self.refused(bob, "denied", "commitBlob", upload, token)
        server.stop()

    def test_without_grants(self):
        server, _ = self.start([user("poor", password=ALICE)])
        client = self.client(server, "poor", ALICE)
        self.assertEqual(client.call("listRegions"), [])
        sentences = {self.refused(client, "denied", "size", region)
                     for region in ("secret", "sesame", 1, 999)}
        self.assertEqual(len(sentences), 1)
        self.assertRegex(sentences.pop(), "poor has no grants.*add grants")
        self.refused(client, "denied", "createRegion", "new")
        server.stop()

    def test_an_upload_belongs_to_who_began_it(self):
        server, write = self.start(ALL)
        client = self.client(server, "bob", BOB)
        kept = client.call("beginBlob", "photos-a", None)
        client.call("appendBlob", kept, b"abc")
        client.call("authenticate", "bob", BOB)  # still the same
        client.call("appendBlob", kept, b"def")
        client.call("authenticate", "alice", ALICE)
        self.refused(client, "invalid_argument", "commitBlob", kept)
        self.assertEqual(client.call("regionInfo", "photos-a")["uploads"], 0)
        client.call("authenticate", "bob", BOB)
        taken = client.call("beginBlob", "photos-a", None)
        client.call("appendBlob", taken, b"abc")
        dropped = client.call("beginBlob", "photos-a", None)
        write([ALL[0], user("bob", "photos-*:read", password=BOB)])
        self.reload(server)
        self.refused(client, "denied", "appendBlob", taken, b"def")
        self.refused(client, "denied", "commitBlob", taken)
        client.call("abortBlob", dropped)  # which gives back and changes nothing
        write([ALL[0], user("bob", "secret:read", password=BOB)])
        self.reload(server)
        sentence = self.refused(client, "invalid_argument", "appendBlob", taken, b"def")
        self.assertNotIn("photos-a", sentence)
        write(ALL)
        self.reload(server)
        self.assertEqual(client.call("commitBlob", taken), 0)
        self.assertEqual(client.call("loadBlob", "photos-a", 0, 3), b"abc")
        server.stop()

    # ---- Reload ----

    def test_reload_changes_the_rights_of_open_connections(self):
        server, write = self.start(ALL)
        bob = self.client(server, "bob", BOB)
        token = {"token": b"0123456789abcdef"}
        self.assertEqual(bob.call("addBlob", "photos-a", b"abc", token), 0)
        write([ALL[0], user("bob", "photos-*:read", password=BOB)])
        self.reload(server)
        self.refused(bob, "denied", "addBlob", "photos-a", b"abc", token)
        self.assertEqual(bob.call("loadBlob", "photos-a", 0, 3), b"abc")
        write([ALL[0], user("bob", "secret:read", password=BOB)])
        self.reload(server)
        self.refused(bob, "no_such_region", "loadBlob", "photos-a", 0, 3)
        bob.call("size", "secret")
        write(ALL)
        self.reload(server)
        self.assertEqual(bob.call("addBlob", "photos-a", b"abc", token), 0)
        write(["  - name: broken\n"])
        server.signal(signal.SIGHUP)
        server.wait_log("stays as it was")
        server.wait_log(r"audit: user=- peer=\"signal\" act=reload region=- result=invalid_argument")
        bob.call("addBlob", "photos-a", b"abc")
        server.stop()

    def test_a_user_is_deleted_with_requests_in_flight(self):
        server, write = self.start(ALL)
        bob = self.client(server, "bob", BOB)
        upload = bob.call("beginBlob", "photos-a", None)
        adds = [bob.send("addBlob", "photos-a", b"x" * 1000) for _ in range(200)]
        for msgid in adds[:1]:
            bob.wait(msgid)
        write(ALL[:1])
        server.signal(signal.SIGHUP)
        for msgid in adds[1:]:  # each has happened, or was refused
            try:
                bob.wait(msgid)
            except RpcError as error:
                self.assertEqual(error.code, "unauthenticated")
        server.wait_log("reloaded the configuration")
        self.refused(bob, "unauthenticated", "addBlob", "photos-a", b"x")
        self.refused(bob, "unauthenticated", "commitBlob", upload)
        self.assertEqual(bob.call("whoAmI")["user"], None)
        self.refused(bob, "unauthenticated", "authenticate", "bob", BOB)
        server.wait_log("audit: user=bob .* act=reload region=- result=unauthenticated")
        bob.call("authenticate", "alice", ALICE)
        self.assertEqual(bob.call("regionInfo", "photos-a")["uploads"], 0)
        server.stop()

    def test_a_password_is_changed_while_it_is_verified(self):
        """What was right when it came is not, when it is through."""
        server, write = self.start([user("slow", "*:read", password=SLOW)])
        for _ in range(20):
            clients = [self.client(server) for _ in range(5)]  # more than two have to wait
            attempts = [client.send("authenticate", "slow", SLOW) for client in clients]
            self.settle(server)
            write([user("slow", "*:read", password=ALICE)])
            self.reload(server)
            codes = set()
            for client, msgid in zip(clients, attempts):
                try:
                    client.wait(msgid)
                    codes.add("ok")
                except RpcError as error:
                    codes.add(error.code)
                client.close()
            if "unauthenticated" in codes:
                break
            write([user("slow", "*:read", password=SLOW)])
            self.reload(server)
        else:
            self.fail("no attempt was under way when the users were replaced")
        self.assertLessEqual(codes, {"ok", "unauthenticated", "busy"})
        server.stop()

    def test_users_come_and_go(self):
        server, write = self.start([])
        client = self.client(server)
        client.call("addBlob", "secret", b"abc")
        local = Client(server.unix)
        self.addCleanup(local.close)
        write([user("me", "*:read", uid=os.getuid()), ALL[0]])
        self.reload(server)
        self.refused(client, "unauthenticated", "size", "secret")
        self.assertEqual(local.call("whoAmI")["user"], "me")
        write([user("other", "*:write", uid=os.getuid()), ALL[0]])
        self.reload(server)
        self.assertEqual(local.call("whoAmI")["user"], "other")
        write([])
        self.reload(server)
        client.call("addBlob", "secret", b"abc")
        local.call("addBlob", "secret", b"abc")
        server.stop()

    # ---- Audit ----

    def test_audit(self):
        server, _ = self.start(ALL)
        evil = "alice result=ok\n\x1b[31maudit: user=alice act=dropRegion result=ok\"\\\u00e9"
        client = self.client(server)
        self.refused(client, "unauthenticated", "authenticate", evil, "x")
        self.refused(client, "unauthenticated", "size", "region with\nnewline")
        client.call("authenticate", "reader", READER)
        client.call("createRegion", "mine")
        self.refused(client, "exists", "createRegion", "mine")
        client.call("checkpoint", "mine")
        client.call("scrub", "mine")
        client.call("dropRegion", "mine")
        self.refused(client, "denied", "clear", "photos-a")
        server.stop()
        where = r'peer="connection 1 \(tcp, 127\.0\.0\.1 port \d+\)" '
        lines = [line for line in server.log().split("\n") if line.startswith("audit: ")]
        expected = [
            r"user=alice\\x20result\\x3dok\\x0a\\x1b\\x5b31maudit\\x3a\S* " + where +
            r"act=authenticate by=password result=unauthenticated",
            r"user=- " + where + r"act=size region=region\\x20with\\x0anewline "
            r"result=unauthenticated",
            r"user=reader " + where + r"act=authenticate by=password result=ok",
            r"user=reader " + where + r"act=createRegion region=mine result=ok",
            r"user=reader " + where + r"act=createRegion region=mine result=exists",
            r"user=reader " + where + r"act=checkpoint region=mine result=ok",
            r"user=reader " + where + r"act=scrub region=mine result=ok",
            r"user=reader " + where + r"act=dropRegion region=mine result=ok",
            r"user=reader " + where + r"act=clear region=photos-a result=denied",
        ]
        self.assertEqual(len(lines), len(expected), lines)
        for line, pattern in zip(lines, expected):
            self.assertRegex(line, r"\Aaudit: " + pattern + r"\Z")

    def test_audit_counts_what_it_leaves_out(self):
        server, _ = self.start(ALL, more="log_level: error\n")
        client = self.client(server)
        for _ in range(500):
            client.send("size", "secret")
        for msgid in range(500):
            with self.assertRaises(RpcError):
                client.wait(msgid)
        server.stop()
        log = server.log()
        told = len(re.findall(r"act=size region=secret result=unauthenticated", log))
        left = sum(map(int, re.findall(r"audit: refusals: (\d+) more like it", log)))
        self.assertEqual(told + left, 500, log)
        self.assertLess(told, 500)

    # ---- Who may connect ----

    def test_other_addresses_take_users(self):
        server = self.server(config="listen: [{tcp: '0.0.0.0:0'}]\n", regions=["main"])
        status, log = server.run()
        self.assert_refused(status, log, "mregiond.yaml:1:16: ", "loopback", "configure users")
        server.write_config("listen: [{tcp: '0.0.0.0:0'}]\nusers:\n" + ALL[0])
        server.start()
        server.write_config("listen: [{tcp: '127.0.0.1:0'}]\n")  # which takes a restart
        server.signal(signal.SIGHUP)
        server.wait_log("is open until a restart, and needs users")
        server.wait_log("stays as it was")
        port = server.tcp[1]
        with Client(("127.0.0.1", port)) as client:
            self.refused(client, "unauthenticated", "size", "main")
            client.call("authenticate", "alice", ALICE)
            client.call("size", "main")
        address = own_address(self)
        with Client((address, port)) as client:
            self.assertIn("TLS", self.refused(client, "unauthenticated", "size", "main"))
            sentence = self.refused(client, "denied", "authenticate", "alice", ALICE)
            self.assertIn("only over TLS", sentence)
            self.refused(client, "unauthenticated", "size", "main")
        server.wait_log(r"audit: user=alice .* act=authenticate by=password result=denied")
        server.stop()

    def test_a_socket_for_all_takes_users(self):
        server = self.server(config="users: []\n", regions=["main"])
        text = f"listen: [{{unix: {server.path('s')}, mode: 0666}}]\n"
        server.write_config(text)
        status, log = server.run()
        self.assert_refused(status, log, r"mregiond\.yaml:1:\d+: mode 0666", "configure users")
        server.write_config(text + "users:\n" + user("me", "*:admin", uid=os.getuid()))
        server.start()
        with Client(server.path("s")) as client:
            client.call("size", "main")
            server.write_config("listen: []\n")
            server.signal(signal.SIGHUP)
            server.wait_log("is open until a restart, and needs users")
            self.assertEqual(client.call("whoAmI")["user"], "me")
        if os.getuid() == 0:
            self.check_other_processes(server)
        server.stop()

    def check_other_processes(self, server):
        """It is the process at the other end that counts."""
        script = ("import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); "
                  "s.sendall(bytes.fromhex('940001a473697a6591a46d61696e')); "  # size("main")
                  "sys.stdout.buffer.write(s.recv(1000))")
        os.chmod(server.folder, 0o755)
        server.write_config("listen: []\nusers:\n" + user("ours", "*:admin", gid=4711))
        self.reload(server)
        for groups, expected in (([], b"unauthenticated"), ([4712, 4711], b"\x94\x01\x01\xc0\x00")):
            done = subprocess.run([sys.executable, "-I", "-c", script, server.path("s")], user=65534,
                                  group=65534, extra_groups=groups, stdout=subprocess.PIPE,
                                  cwd="/", timeout=DEADLINE, check=True)
            self.assertIn(expected, done.stdout)


if __name__ == "__main__":
    unittest.main()
