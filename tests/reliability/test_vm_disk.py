#!/usr/bin/env python3
"""The disk of vm_disk.py keeps what was flushed and forgets, by chance, what was not: asked over its protocol, as QEMU does."""
import contextlib
import os
import random
import socket
import struct
import tempfile
import unittest

from vm_disk import (FLUSH, FUA, JOURNAL_MAGIC, MAGIC, OPT_GO, OPTION_MAGIC, READ, REP_ACK, REPLY_MAGIC, REQUEST_MAGIC,
                     SIMPLE_REPLY_MAGIC, WRITE, Disk, receive)

BLOCK = 4096
BLOCKS = 64
OLD, NEW, NEWER = (bytes([n]) * BLOCK for n in (1, 2, 3))


class Client:
    def __init__(self, path):
        self.s = socket.socket(socket.AF_UNIX)
        self.s.connect(path)
        magic, option_magic, _ = struct.unpack(">QQH", receive(self.s, 18))
        assert (magic, option_magic) == (MAGIC, OPTION_MAGIC)
        self.s.sendall(struct.pack(">IQII", 3, OPTION_MAGIC, OPT_GO, 6) + struct.pack(">IH", 0, 0))
        kind = None
        while kind != REP_ACK:
            magic, _, kind, length = struct.unpack(">QIII", receive(self.s, 20))
            assert magic == REPLY_MAGIC
            info = receive(self.s, length)
            if length:
                self.size = struct.unpack(">HQH", info)[1]

    def ask(self, what, block=0, data=b"", length=0, flags=0):
        self.s.sendall(struct.pack(">IHHQQI", REQUEST_MAGIC, flags, what, 7, block * BLOCK, len(data) or length) + data)
        magic, error, handle = struct.unpack(">IIQ", receive(self.s, 16))
        assert (magic, error, handle) == (SIMPLE_REPLY_MAGIC, 0, 7)
        return receive(self.s, length)


class TestDisk(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        path = os.path.join(directory.name, "disk")
        with open(path, "wb") as f:
            f.write(OLD * BLOCKS)
        self.disk = Disk(path, path + ".sock")
        self.addCleanup(self.disk.close)
        self.client = Client(path + ".sock")
        self.addCleanup(self.client.s.close)

    def blocks(self):
        with open(self.disk.path, "rb") as f:
            return [f.read(BLOCK) for _ in range(BLOCKS)]

    def lose_power(self, seed=1):
        self.client.s.close()
        return self.disk.lose_power(random.Random(seed))

    def test_the_guest_reads_what_it_wrote(self):
        self.assertEqual(self.client.size, BLOCK * BLOCKS)
        self.client.ask(WRITE, 3, NEW)
        self.assertEqual(self.client.ask(READ, 3, length=BLOCK), NEW)
        self.assertEqual(self.client.ask(READ, 4, length=BLOCK), OLD)

    def test_what_was_flushed_survives_always(self):
        for n in range(BLOCKS):
            self.client.ask(WRITE, n, NEW)
        self.client.ask(FLUSH)
        self.assertEqual(self.lose_power(), (0, 0))
        self.assertEqual(self.blocks(), [NEW] * BLOCKS)

    def test_of_what_was_not_flushed_some_is_lost_and_some_is_torn(self):
        for n in range(BLOCKS):
            self.client.ask(WRITE, n, NEW)
        held, hurt = self.lose_power()
        self.assertEqual(held, BLOCKS)
        kinds = [b if b in (OLD, NEW) else "torn" for b in self.blocks()]
        for kind in (OLD, NEW, "torn"):
            self.assertGreater(kinds.count(kind), BLOCKS // 32)
        self.assertEqual(hurt, BLOCKS - kinds.count(NEW))

    def test_a_lost_write_leaves_what_was_flushed_before_it(self):
        self.client.s.close()
        found = set()
        for seed in range(16):
            self.disk.write(0, NEW, False)
            self.disk.flush()
            for _ in range(2):
                self.disk.write(0, NEWER, False)
            self.lose_power(seed)
            found.add(self.blocks()[0])
        self.assertLessEqual({NEW, NEWER}, found)
        self.assertNotIn(OLD, found)

    def test_a_write_with_fua_survives_those_around_it_that_do_not(self):
        self.client.ask(WRITE, 0, NEW)
        self.client.ask(WRITE, 0, NEWER, flags=FUA)
        for n in range(1, BLOCKS):
            self.client.ask(WRITE, n, NEW)
        self.lose_power()
        self.assertEqual(self.blocks()[0], NEWER)
        self.assertIn(OLD, self.blocks())

    def test_what_ext4_sends_with_fua_survives_without_the_bit(self):
        def of_journal(kind):
            return (JOURNAL_MAGIC + struct.pack(">I", kind)).ljust(BLOCK, b"j")
        superblock = OLD[:1024 + 56] + b"\x53\xef" + OLD[1024 + 58:]
        fua = {0: superblock, 1: of_journal(2), 2: of_journal(4)}
        others = {n: of_journal(1) if n % 2 else superblock for n in range(3, BLOCKS)}
        for n, data in {**others, **fua}.items():
            self.client.ask(WRITE, n, data)
        self.lose_power()
        left = self.blocks()
        self.assertEqual({n: left[n] for n in fua}, fua)
        for data in (of_journal(1), superblock):
            self.assertTrue(any(left[n] == OLD for n in others if others[n] == data))

    def test_the_next_connection_finds_what_is_left(self):
        self.client.ask(WRITE, 5, NEW)
        self.client.ask(FLUSH)
        self.lose_power()
        with contextlib.closing(Client(self.disk.socket_path).s) as s:
            self.assertTrue(s)


if __name__ == "__main__":
    unittest.main()
