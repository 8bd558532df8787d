"""What a disk may hold after the loss of power, made from a recording of tests/lib/powerloss.c.

A Disk begins with what is there (all of it durable) and follows the recording. What is not synced may be lost; what
may happen to it, and what not, is in tests/reliability/README.md.
"""
import os
import shutil
import stat
import struct

SECTOR = 512
HEADER = struct.Struct("<IHHHHIQQQQ")
(PROGRAM, OPEN, CREATE, MKDIR, SYMLINK, LINK, UNLINK, RENAME, WRITE, TRUNCATE, EXTEND, CHMOD, SYNC, SYNC_FAILED,
 SYNC_ALL, DEATH, SPAWN) = range(1, 18)
SYNCS = (SYNC, SYNC_FAILED, SYNC_ALL, DEATH)
ZERO = bytes(SECTOR)
TREES = ("var", "opt")  # below the root: what is recorded


class Entry:
    """One record of the log."""

    __slots__ = ("kind", "pid", "ino", "parent", "parent2", "number", "name", "name2", "data")

    def __init__(self, log, at):
        (size, self.kind, n, n2, _, self.pid, self.ino, self.parent, self.parent2, self.number) = \
            HEADER.unpack_from(log, at)
        start = at + HEADER.size
        self.name = os.fsdecode(log[start:start + n])
        self.name2 = os.fsdecode(log[start + n:start + n + n2])
        self.data = log[start + n + n2:at + size]


def read_log(path):
    try:
        with open(path, "rb") as f:
            log = f.read()
    except FileNotFoundError:
        return []
    found, at = [], 0
    while at + HEADER.size <= len(log):
        size = HEADER.unpack_from(log, at)[0]
        if at + size > len(log):  # who wrote it was killed in the middle
            break
        found.append(Entry(log, at))
        at += size
    return found


class File:
    """A plain file: what is durable, what programs see, and for each sector what lies between."""

    def __init__(self, mode, data=b""):
        self.modes = [mode]
        self.durable = bytearray(data)
        self.cache = bytearray(data)
        self.sizes = []   # since the last sync
        self.dirty = {}   # sector -> its contents since the last sync
        self.stuck = {}   # sector -> what may be on the disk since a sync failed, and no later one repairs

    @staticmethod
    def sector(data, n):
        return bytes(data[n * SECTOR:(n + 1) * SECTOR]).ljust(SECTOR, b"\0")

    def touch(self, start, end):
        for n in range(start // SECTOR, (end + SECTOR - 1) // SECTOR):
            self.dirty.setdefault(n, []).append(self.sector(self.cache, n))

    def resize(self, size):
        old = len(self.cache)
        if size < old:
            del self.cache[size:]
            self.touch(size, old)
        elif size > old:
            self.cache.extend(bytes(size - old))
        if size != old:
            self.sizes.append(size)

    def write(self, at, data):
        if at + len(data) > len(self.cache):
            self.resize(at + len(data))
        self.cache[at:at + len(data)] = data
        self.touch(at, at + len(data))

    def sync(self):
        size = len(self.cache)
        self.durable = self.durable[:size].ljust(size, b"\0")
        for n, contents in self.dirty.items():
            self.stuck.pop(n, None)
            if n * SECTOR < size:
                self.durable[n * SECTOR:(n + 1) * SECTOR] = contents[-1][:size - n * SECTOR]
        self.dirty, self.sizes, self.modes = {}, [], self.modes[-1:]

    def sync_failed(self):
        """The kernel calls what it could not write clean: a later sync that succeeds says nothing of it."""
        for n, contents in self.dirty.items():
            self.stuck[n] = self.stuck.get(n, [self.sector(self.durable, n)]) + contents
        self.dirty = {}

    def survive(self, luck):
        size = luck.pick(len(self.durable), self.sizes)
        data = bytearray(self.durable[:size].ljust(size, b"\0"))
        for n in sorted(self.dirty.keys() | self.stuck.keys()):
            if n * SECTOR < size:
                base = luck.random.choice(self.stuck[n]) if n in self.stuck else self.sector(self.durable, n)
                data[n * SECTOR:(n + 1) * SECTOR] = luck.pick(base, self.dirty.get(n, []))[:size - n * SECTOR]
        return bytes(data)


class Link:
    def __init__(self, target):
        self.target = target


class Directory:
    def __init__(self, mode, entries=None):
        self.modes = [mode]
        self.entries = entries or {}  # durable: name -> node


class Luck:
    """What survives in one image: each thing with the same chance, or nothing, or everything."""

    def __init__(self, random, chance, order):
        self.random = random
        self.chance = chance
        self.order = order  # of changes of names: "any", or "prefix" (what comes after the first lost one is lost)

    def pick(self, durable, later):
        """One of the later contents, mostly the last, or the durable one."""
        if not later or self.random.random() >= self.chance:
            return durable
        return later[-1] if self.random.random() < 0.7 else self.random.choice(later)

    def keep(self, changes):
        if self.order == "prefix":
            return changes[:round(len(changes) * self.chance * self.random.uniform(0.5, 1.5))]
        return [c for c in changes if self.random.random() < self.chance]


class Change:
    """A change of names that is not durable yet: names removed and given, all of it or nothing."""

    def __init__(self, removed, given):
        self.removed = removed  # [(directory, name, node or None for whatever stands there)]
        self.given = given      # [(directory, name, node)]

    def directories(self):
        return [d for d, _, _ in self.removed + self.given]

    def apply(self, entries_of):
        for directory, name, node in self.removed:
            entries = entries_of(directory)
            if node is None or entries.get(name) is node:
                entries.pop(name, None)
        for directory, name, node in self.given:
            entries_of(directory)[name] = node

    def is_possible(self, entries_of):
        return all(node is None or entries_of(d).get(name) is node for d, name, node in self.removed)


class Disk:
    def __init__(self, root):
        self.root = root
        self.nodes = {}      # inode -> node, as programs see it
        self.changes = []    # of names, not durable, in order
        self.syncs = 0
        self.top = Directory(0o700)
        self.nodes[os.stat(root).st_ino] = self.top
        for name in TREES:
            if os.path.isdir(os.path.join(root, name)):
                self.top.entries[name] = self._scan(os.path.join(root, name))

    def _scan(self, path):
        st = os.lstat(path)
        if stat.S_ISLNK(st.st_mode):
            node = Link(os.readlink(path))
        elif stat.S_ISDIR(st.st_mode):
            node = Directory(stat.S_IMODE(st.st_mode))
            for entry in os.scandir(path):
                if not entry.name.endswith("-shm") and (entry.is_symlink() or entry.is_dir() or entry.is_file()):
                    node.entries[entry.name] = self._scan(entry.path)
        else:
            with open(path, "rb") as f:
                node = File(stat.S_IMODE(st.st_mode), f.read())
        self.nodes[st.st_ino] = node
        return node

    # ---- following ----

    def _give(self, entry, node):
        parent = self.nodes.get(entry.parent)
        if isinstance(parent, Directory) and entry.name != "run":
            self.nodes[entry.ino] = node
            self.changes.append(Change([], [(parent, entry.name, node)]))

    def _now(self, parent, name):
        """What stands under a name, as programs see it."""
        node = parent.entries.get(name)
        for change in self.changes:
            if any(d is parent and n == name for d, n, _ in change.removed):
                node = None
            for d, n, given in change.given:
                if d is parent and n == name:
                    node = given
        return node

    def follow(self, entry):
        kind = entry.kind
        if kind == CREATE:
            self._give(entry, File(stat.S_IMODE(entry.number)))
        elif kind == OPEN:
            parent = self.nodes.get(entry.parent)
            if isinstance(parent, Directory) and self._now(parent, entry.name) is None:
                self._give(entry, File(0o600))  # made by a reader that nobody records: an empty log of SQLite's
        elif kind == MKDIR:
            self._give(entry, Directory(stat.S_IMODE(entry.number)))
        elif kind == SYMLINK:
            self._give(entry, Link(os.fsdecode(entry.data)))
        elif kind in (UNLINK, RENAME):
            parent = self.nodes.get(entry.parent)
            if isinstance(parent, Directory):
                node = self._now(parent, entry.name)
                parent2 = self.nodes.get(entry.parent2)
                given = [(parent2, entry.name2, node)] if kind == RENAME else []
                if node is not None:
                    self.changes.append(Change([(parent, entry.name, node)], given))
        elif kind == LINK:
            if entry.ino in self.nodes:
                self._give(entry, self.nodes[entry.ino])
        elif kind == SYNC_ALL:
            for change in self.changes:
                change.apply(lambda d: d.entries)
            self.changes = []
            for node in self.nodes.values():
                if isinstance(node, File):
                    node.sync()
        else:
            self._follow_file(kind, entry, self.nodes.get(entry.ino))
        if kind in SYNCS and entry.kind != DEATH:
            self.syncs += 1

    def _follow_file(self, kind, entry, node):
        if kind == SYNC and isinstance(node, Directory):
            self._sync_directory(node)
        elif kind == CHMOD and isinstance(node, (File, Directory)):
            node.modes.append(stat.S_IMODE(entry.number))
        elif not isinstance(node, File):
            return
        elif kind == WRITE:
            node.write(entry.number, entry.data)
        elif kind == TRUNCATE:
            node.resize(entry.number)
        elif kind == EXTEND:
            node.resize(max(entry.number, len(node.cache)))
        elif kind == SYNC:
            node.sync()
        elif kind == SYNC_FAILED:
            node.sync_failed()

    def _sync_directory(self, directory):
        directory.modes = directory.modes[-1:]
        left = []
        for change in self.changes:
            if any(d is directory for d in change.directories()):
                change.apply(lambda d: d.entries)
                # What was renamed away from another directory cannot come back there by an older change.
                for d, name, node in change.removed:
                    left = [c for c in left if not (node is not None and (d, name, node) in c.given)]
            else:
                left.append(change)
        self.changes = left

    # ---- surviving ----

    def image(self, luck, to):
        """The trees that survive, written to `to`/var and `to`/opt, which are made anew. Nothing else in `to` is
        touched."""
        entries = {}

        def entries_of(directory):
            if id(directory) not in entries:
                entries[id(directory)] = dict(directory.entries)
            return entries[id(directory)]

        for change in luck.keep(self.changes):
            if change.is_possible(entries_of):
                change.apply(entries_of)
        for name in TREES:
            path = os.path.join(to, name)
            remove_tree(path)
            tree = entries_of(self.top).get(name)
            if tree is not None:
                self._write(tree, path, luck, entries_of)

    def _write(self, node, path, luck, entries_of):
        if isinstance(node, Link):
            os.symlink(node.target, path)
            return
        mode = luck.pick(node.modes[0], node.modes[1:])
        if isinstance(node, Directory):
            os.mkdir(path, 0o700)
            for name, child in entries_of(node).items():
                self._write(child, os.path.join(path, name), luck, entries_of)
                if name.endswith("-wal") and luck.random.random() < 0.5:  # never synced: anything may be in it
                    with open(os.path.join(path, name[:-3] + "shm"), "wb") as f:
                        f.write(luck.random.choice((b"", bytes(32768), luck.random.randbytes(32768))))
        else:
            data = node.survive(luck)
            with open(path, "wb") as f:
                f.write(data.rstrip(b"\0"))
                f.truncate(len(data))
        os.chmod(path, mode)


def remove_tree(path):
    for folder, _, _ in os.walk(path) if os.path.isdir(path) else ():  # what is sealed may not be written to
        os.chmod(folder, 0o700)
    shutil.rmtree(path, ignore_errors=True)
