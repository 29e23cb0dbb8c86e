"""Connections that change a region at full speed until its disk dies, and what must be there then."""
import collections
import threading

from mpack import Client, Closed, RpcError
from workload import Maker, Model, ranges_there

DISK_ERRORS = ("io_error", "read_only")


class Writer(threading.Thread):
    """One connection with changes on their way, all with tokens, whose answers it takes in order.

    With a history (only where it has its region for itself) it knows every state that the region has
    been in since the last one that a checkpoint made durable."""

    def __init__(self, region, seed, window, has_history=False):
        super().__init__(daemon=True)
        self.model = Model(region)
        self.maker = Maker(seed, self.model, token_part=1)
        self.window, self.has_history = window, has_history
        self.pending = collections.deque()
        self.answered = collections.deque(maxlen=30)
        self.history = [{}]
        self.total = 0
        self.address = self.failure = None
        self.is_over = self.is_cut = False
        self.gate = threading.Lock()  # who holds it sees no answer being taken

    def heir(self):
        """A writer that goes on with the same blocks; a thread runs only once."""
        heir = Writer.__new__(Writer)
        threading.Thread.__init__(heir, daemon=True)
        heir.__dict__.update({name: self.__dict__[name] for name in (
            "model", "maker", "window", "has_history", "pending", "answered", "history", "total")})
        heir.address = heir.failure = None
        heir.is_over = heir.is_cut = False
        heir.gate = threading.Lock()
        return heir

    # ---- The work ----

    def run(self):
        try:
            with Client(self.address) as client:
                while not self.is_over:
                    self.fill(client)
                    if not self.is_over:
                        self.take(client)
                if not self.is_cut:
                    self.drain(client)
        except (Closed, OSError):
            pass
        except BaseException as error:  # pylint: disable=broad-except
            self.failure = error

    def fill(self, client):
        if self.has_history and self.total % 64 == 63:
            while self.pending and not self.is_over:
                self.take(client)
            self.mark(client)
        while len(self.pending) < self.window and not self.is_over:
            step = self.maker.choose()
            step.failed = False
            self.pending.append(step)
            step.msgid = client.send(step.method, *step.params)

    def mark(self, client):
        """A state that is durable."""
        try:
            client.call("checkpoint", self.model.region)
        except RpcError as error:
            self.fail(error)
        with self.gate:
            if not self.is_over:
                self.history = [dict(self.model.blocks)]
                self.total += 1

    def take(self, client):
        """The answer to the oldest one; one that fails stays, since nobody knows what it did."""
        step = self.pending[0]
        try:
            result = client.wait(step.msgid)
        except RpcError as error:
            step.failed = True
            self.fail(error)
            return
        with self.gate:
            if not self.is_over:
                self.settle(step, result)
                self.pending.popleft()

    def settle(self, step, result):
        step.answer = result
        step.settle(result)
        self.answered.append(step)
        self.total += 1
        if self.has_history:
            self.history.append(dict(self.model.blocks))

    def fail(self, error):
        if error.code not in DISK_ERRORS:
            raise error
        self.is_over = True

    def drain(self, client):
        """Answers that were on their way when the first one failed count too."""
        left = collections.deque()
        try:
            while self.pending:
                step = self.pending.popleft()
                left.append(step)
                if step.failed:
                    continue
                try:
                    result = client.wait(step.msgid)
                except RpcError as error:
                    self.fail(error)
                    continue
                left.pop()
                self.settle(step, result)
        finally:
            self.pending = left + self.pending

    def close_gate(self):
        """No answer that comes later counts."""
        with self.gate:
            self.is_over = self.is_cut = True

    # ---- Afterwards ----

    def send_again(self, client):
        """Those without an answer once more, and some that had one."""
        for step in self.answered:
            assert client.call(step.method, *step.params) == step.answer, f"another answer to {step}"
        again = len(self.answered) + len(self.pending)
        while self.pending:
            step = self.pending.popleft()
            self.settle(step, client.call(step.method, *step.params))
        return again

    def settle_history(self, client, may_lose_bytes):
        """Finds the state that the region has come back to, and goes on from it. Returns how many
        changes were lost, and how many blocks are refused as damaged."""
        durable = self.history[0]
        for lost, blocks in enumerate(reversed(self.history)):
            damaged = self.damaged(client, blocks, durable, may_lose_bytes)
            if damaged is not None:
                self.model.blocks = dict(blocks)
                break
        else:  # all of them, and some that had no answer
            self.answered.clear()
            self.send_again(client)
            damaged, lost = self.damaged(client, self.model.blocks, durable, may_lose_bytes), 0
            assert damaged is not None, "the region is in none of the states that it has been in"
        for address in damaged:
            client.call("deallocate", self.model.region, address,
                        self.model.blocks.pop(address)[0])
        self.pending.clear()
        self.answered.clear()
        self.maker.busy.clear()
        self.maker.held = set(self.model.blocks)
        client.call("checkpoint", self.model.region)
        self.history = [dict(self.model.blocks)]
        return lost, len(damaged)

    def damaged(self, client, blocks, durable, may_lose_bytes):
        """The blocks that are refused as damaged; None where the state is another one."""
        model = Model(self.model.region)
        model.blocks = blocks
        if ranges_there(client, model.region) != model.ranges():
            return None
        damaged = []
        for address, (size, data) in blocks.items():
            try:
                got = client.call("loadBlob", model.region, address, len(data)) if data else data
            except RpcError as error:
                assert error.code == "corrupt" and may_lose_bytes, error
                assert durable.get(address) != (size, data), f"{error}: it was durable"
                damaged.append(address)
                continue
            if got != data:
                return None
        return damaged


def union(writers):
    """What they hold together, of one region."""
    model = Model(writers[0].model.region)
    for writer in writers:
        for address, block in writer.model.blocks.items():
            assert address not in model.blocks, "two writers were given one address"
            model.blocks[address] = block
    return model
