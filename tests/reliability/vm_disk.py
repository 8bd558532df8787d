"""A disk with a volatile write cache, for a virtual machine: an NBD server on a Unix socket, in a thread.

What the guest has written is in the file at once, and stays there when the guest is reset. What it has not flushed since is
also remembered with what was there before, so that lose_power() can do what a real disk does: of the writes after the last
flush some survive and some do not, and of some only a part of their sectors. A write with FUA survives always. QEMU's NVMe (7.2)
tells the guest that it knows FUA and drops the bit, so what ext4 writes with it is known by its contents.

One connection at a time, one request after the other; so a flush covers exactly what was answered before it."""
import contextlib
import os
import socket
import struct
import threading

SECTOR = 512
CACHE_BYTES = 64 << 20  # what a disk may hold back: above it the older half has gone to the platters
TEAR = 0.25             # of the writes that survive, so many are torn

MAGIC, OPTION_MAGIC, REPLY_MAGIC = 0x4e42444d41474943, 0x49484156454f5054, 0x3e889045565a9
REQUEST_MAGIC, SIMPLE_REPLY_MAGIC = 0x25609513, 0x67446698
OPT_EXPORT_NAME, OPT_ABORT, OPT_GO = 1, 2, 7
REP_ACK, REP_INFO, REP_ERR_UNSUP = 1, 3, 0x80000001
READ, WRITE, DISCONNECT, FLUSH = range(4)
CAN = 1 | 4 | 8  # has flags, flush, FUA
FUA = 1
EINVAL = 22

# What ext4 sends with FUA, where there are barriers: the commits of its journal, that journal's superblock, its own.
JOURNAL_MAGIC = b"\xc0\x3b\x39\x98"
JOURNAL_FUA = (2, 3, 4)
SUPERBLOCK, SUPERBLOCK_MAGIC = 1024, b"\x53\xef"


class Gone(Exception):
    """The other side has closed, as one that is killed does."""


def receive(connection, length):
    parts = []
    while length:
        part = connection.recv(min(length, 1 << 20))
        if not part:
            raise Gone
        parts.append(part)
        length -= len(part)
    return b"".join(parts)


def is_sent_with_fua(offset, data):
    if data[:4] == JOURNAL_MAGIC:
        return int.from_bytes(data[4:8], "big") in JOURNAL_FUA
    at = SUPERBLOCK - offset
    return 0 <= at and data[at + 56:at + 58] == SUPERBLOCK_MAGIC


class Disk:
    def __init__(self, path, socket_path):
        self.path, self.socket_path = path, socket_path
        self.fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        self.size = os.fstat(self.fd).st_size
        self.pending = []  # (offset, before, after, is_durable), in the order of the writes
        self.held = 0
        self.flushes = 0
        self.listener = socket.socket(socket.AF_UNIX)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(socket_path)
        self.listener.bind(socket_path)
        self.listener.listen(1)
        self.is_idle = threading.Event()
        self.is_idle.set()
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self):
        self.listener.close()
        self.is_idle.wait(60)
        os.close(self.fd)

    # ---- what survives ----

    def write(self, offset, data, is_durable):
        self.pending.append((offset, os.pread(self.fd, len(data), offset), data, is_durable))
        self.held += len(data)
        os.pwrite(self.fd, data, offset)
        if self.held > CACHE_BYTES:
            del self.pending[:len(self.pending) // 2]
            self.held = sum(len(data) for _, _, data, _ in self.pending)

    def flush(self):
        self.pending.clear()
        self.held = 0
        self.flushes += 1

    def lose_power(self, random):
        """The machine is off: forget some of what was not flushed. Returns (writes that were held, writes that are gone or
        torn)."""
        self.is_idle.wait(60)
        for offset, before, _, _ in reversed(self.pending):
            os.pwrite(self.fd, before, offset)
        hurt = 0
        for offset, _, after, is_durable in self.pending:
            if is_durable or random.random() < 0.5:
                if is_durable or random.random() >= TEAR or len(after) <= SECTOR:
                    os.pwrite(self.fd, after, offset)
                    continue
                for at in range(0, len(after), SECTOR):
                    if random.random() < 0.5:
                        os.pwrite(self.fd, after[at:at + SECTOR], offset + at)
            hurt += 1
        held = len(self.pending)
        self.pending.clear()
        self.held = 0
        return held, hurt

    # ---- the protocol: github.com/NetworkBlockDevice/nbd, doc/proto.md ----

    def _serve(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.is_idle.clear()
            with connection, contextlib.suppress(Gone, ConnectionError):
                if self._shake_hands(connection):
                    self._answer(connection)
            self.is_idle.set()

    def _shake_hands(self, connection):
        connection.sendall(struct.pack(">QQH", MAGIC, OPTION_MAGIC, 3))  # fixed newstyle, no zeroes
        receive(connection, 4)
        while True:
            _, option, length = struct.unpack(">QII", receive(connection, 16))
            receive(connection, length)
            if option == OPT_EXPORT_NAME:
                connection.sendall(struct.pack(">QH", self.size, CAN))
                return True
            if option == OPT_GO:
                info = struct.pack(">HQH", 0, self.size, CAN)
                connection.sendall(struct.pack(">QIII", REPLY_MAGIC, option, REP_INFO, len(info)) + info +
                                   struct.pack(">QIII", REPLY_MAGIC, option, REP_ACK, 0))
                return True
            connection.sendall(struct.pack(">QIII", REPLY_MAGIC, option,
                                           REP_ACK if option == OPT_ABORT else REP_ERR_UNSUP, 0))
            if option == OPT_ABORT:
                return False

    def _answer(self, connection):
        while True:
            magic, flags, what, handle, offset, length = struct.unpack(">IHHQQI", receive(connection, 28))
            if magic != REQUEST_MAGIC or what == DISCONNECT:
                return
            error, data = 0, b""
            if what == READ:
                data = os.pread(self.fd, length, offset)
            elif what == WRITE:
                given = receive(connection, length)
                self.write(offset, given, bool(flags & FUA) or is_sent_with_fua(offset, given))
            elif what == FLUSH:
                self.flush()
            else:
                error = EINVAL
            connection.sendall(struct.pack(">IIQ", SIMPLE_REPLY_MAGIC, error, handle) + data)
