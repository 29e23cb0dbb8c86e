"""Changes of every kind, and a model that knows what they must leave.

A Step is one request. A Model holds the blocks of one region; Steps made by a Maker change it when
their answers come (settle). What a step without an answer did is found out afterwards: sent again
where it has a token, else by looking at what is there.
"""
import os
import random

from mpack import RpcError

SIZES = [0, 1, 60, 1000, 4096, 5000, 20000, 66000, 150000, 700000]
WEIGHTS = [1, 5, 30, 20, 10, 10, 8, 4, 3, 1]
KEPT_MAX = 65536  # bytes that a removal with a token answers here, so that all answers are remembered


class Step:
    """method, params: the request. gone: addresses of the blocks that it frees, or writes anew.
    settle(result): what its answer makes of the model. guess(address): the answer that it must have
    had, if what it made is at this address."""

    def __init__(self, method, params, taken=(), settle=lambda result: None,
                 guess=lambda address: None):
        self.method, self.params = method, list(params)
        self.gone = list(taken)
        self.settle, self.guess = settle, guess
        self.msgid = self.answer = None

    def __str__(self):
        return f"{self.method}({', '.join(repr(value)[:40] for value in self.params)})"

    @property
    def has_token(self):
        return bool(self.params) and isinstance(self.params[-1], dict) and "token" in self.params[-1]


class Model:
    """The blocks of a region: {address: (size, the bytes that are known, from the first one on)}."""

    def __init__(self, region):
        self.region = region
        self.blocks = {}

    def put(self, address, data, size=None):
        size = len(data) if size is None else size
        if size > 0:
            assert address not in self.blocks, f"{address} was handed out twice"
            self.blocks[address] = (size, data)

    def allocated(self):
        return sum(size for size, _ in self.blocks.values())

    def ranges(self, without=()):
        """What is in use, merged."""
        merged = []
        for address in sorted(self.blocks.keys() - set(without)):
            size = self.blocks[address][0]
            if merged and merged[-1][0] + merged[-1][1] == address:
                merged[-1][1] += size
            else:
                assert not merged or sum(merged[-1]) < address, "blocks overlap"
                merged.append([address, size])
        return merged

    # ---- Against the server ----

    def differences(self, client):
        """What the server has that the model has not, or the other way round; None if they agree."""
        there = ranges_there(client, self.region)
        if there != self.ranges():
            return f"in use: {difference(there, self.ranges())} (too many, missing)"
        if client.call("allocated", self.region) != self.allocated():
            return "allocated does not agree with the blocks"
        for address, (_, data) in self.blocks.items():
            if data and client.call("loadBlob", self.region, address, len(data)) != data:
                return f"other bytes at {address}"
        return None

    def find(self, client, step):
        """Settles a step without an answer and a token, if it happened; returns whether."""
        if self.differences(client) is None:
            return False
        made = subtract(ranges_there(client, self.region), self.ranges(step.gone))
        step.settle(step.guess(made[0][0] if made else 0))
        left = self.differences(client)
        assert left is None, f"a part of {step} happened: {left}"
        return True


def ranges_there(client, region):
    return client.call("allocatedBlocksInRange", region, 0, client.call("size", region))


def subtract(ranges, others):
    """The parts of ranges that no other has."""
    left = []
    for start, size in ranges:
        end = start + size
        for first, length in sorted(others):
            if first + length <= start or first >= end:
                continue
            if first > start:
                left.append([start, first - start])
            start = first + length
        if start < end:
            left.append([start, end - start])
    return left


def difference(there, wanted):
    return subtract(there, wanted), subtract(wanted, there)


class Maker:
    """Makes steps, the same ones for the same seed as long as the answers are the same. held: the
    addresses that this maker may touch, all of its model by default."""

    def __init__(self, seed, model, blocks_max=40, token_part=0.7, sizes=None):
        self.random = random.Random(seed)
        self.model, self.blocks_max, self.token_part = model, blocks_max, token_part
        self.sizes, self.weights = sizes or (SIZES, WEIGHTS)
        self.held = set()
        self.busy = set()  # taken by steps on their way

    def blob(self):
        size = self.random.choices(self.sizes, self.weights)[0]
        return self.random.randbytes(size + self.random.randrange(16))

    def step(self, method, params, taken=(), settle=None, guess=lambda address: None):
        if self.random.random() < self.token_part:
            params = [*params, {"token": self.random.randbytes(16)}]
        self.busy.update(taken)

        def settled(result):
            self.busy.difference_update(taken)
            for address in taken:
                self.held.discard(address)
            return settle(result)

        return Step(method, [self.model.region, *params], taken, settled, guess)

    def keep(self, address, data, size=None):
        if data or size:
            self.model.put(address, data, size)
            self.held.add(address)

    def drop(self, address):
        return self.model.blocks.pop(address)

    # ---- Kinds of changes ----

    def choose(self):
        free = sorted(self.held - self.busy)
        dice = self.random.random()
        if not free or (dice < 0.3 and len(self.held) < self.blocks_max):
            return self.add()
        if dice < 0.5:
            return self.batch(free)
        address = self.random.choice(free)
        if len(self.held) >= self.blocks_max or dice < 0.62:
            return self.random.choice((self.remove, self.deallocate))(address)
        return self.random.choice((self.store, self.replace, self.resize, self.allocate))(address)

    def add(self):
        blob = self.blob()
        return self.step("addBlob", [blob], (), lambda address: self.keep(address, blob),
                         lambda address: address)

    def allocate(self, _):
        size = self.random.randrange(1, 30000)
        return self.step("allocate", [size], (), lambda address: self.keep(address, b"", size),
                         lambda address: address)

    def remove(self, address):
        size, data = self.model.blocks[address]
        if size > KEPT_MAX:
            return self.deallocate(address)

        def settle(got):
            assert len(got) == size and got.startswith(data), "removeBlob answered other bytes"
            self.drop(address)

        return self.step("removeBlob", [address, size], [address], settle,
                         lambda _: data.ljust(size))

    def deallocate(self, address):
        size, _ = self.model.blocks[address]
        method = self.random.choice(("deallocate", "deallocateRange"))
        end = size if method == "deallocate" else address + size
        answer = None if method == "deallocate" else size

        def settle(got):
            assert got == answer, (method, got)
            self.drop(address)

        return self.step(method, [address, end], [address], settle, lambda _: answer)

    def store(self, address):
        size, _ = self.model.blocks[address]
        blob = self.random.randbytes(size)

        def settle(_):
            self.drop(address)
            self.keep(address, blob)

        return self.step("storeBlob", [address, blob], [address], settle)

    def replace(self, address):
        size, _ = self.model.blocks[address]
        blob = self.blob()

        def settle(new):
            self.drop(address)
            self.keep(new, blob)

        return self.step("replaceBlob", [address, size, blob], [address], settle,
                         lambda address: address)

    def resize(self, address):
        size, data = self.model.blocks[address]
        new_size = self.random.randrange(1, 2 * size + 2)

        def settle(new):
            self.drop(address)
            self.keep(new, data[:new_size], new_size)

        return self.step("resize", [address, size, new_size], [address], settle,
                         lambda new: new)

    def batch(self, free):
        """Some blocks go or get other bytes, one blob comes."""
        taken = self.random.sample(free, min(len(free), self.random.randrange(1, 5)))
        changes, settles, guesses, gone = [], [], [], []
        for address in taken:
            one = self.random.choice((self.remove, self.deallocate, self.store))(address)
            changes.append([one.method, *[p for p in one.params[1:] if not isinstance(p, dict)]])
            settles.append(one.settle)
            guesses.append(one.guess)
            gone += [address] if one.method != "storeBlob" else []
        at = self.random.randrange(len(changes) + 1)
        blob = self.blob()
        changes.insert(at, ["addBlob", blob])
        settles.insert(at, lambda new: self.keep(new, blob))
        guesses.insert(at, lambda new: new)

        def settle(results):
            assert len(results) == len(settles)
            for index in sorted(range(len(settles)), key=lambda index: index == at):
                settles[index](results[index])  # the new blob may be where an old one was

        step = self.step("batch", [changes], taken, settle,
                         lambda new: [guess(new) for guess in guesses])
        step.gone = gone
        return step

    def clear(self, header=None):
        """Everything, or everything behind the header."""
        gone = [a for a in sorted(self.model.blocks) if header is None or a >= header]

        def settle(_):
            for address in gone:
                self.drop(address)

        if header is None:
            return self.step("clear", [], gone, settle)
        return self.step("clearAndRetainHeader", [header], gone, settle)

    def grow(self):
        return self.step("grow", [self.random.randrange(3)], (), lambda got: None)


def perform(client, step):
    """Sends a step, waits, settles it."""
    step.answer = client.call(step.method, *step.params)
    step.settle(step.answer)


def token():
    return {"token": os.urandom(16)}


def outcome(client, method, *params):
    """The result, or the code of the error."""
    try:
        return client.call(method, *params)
    except RpcError as error:
        return error.code
