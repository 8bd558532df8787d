#!/usr/bin/python3
"""ssmd-stager alone: from an update source to a sealed slot, and everything that must not become one."""
import bz2
import contextlib
import ctypes
import gzip
import hashlib
import io
import lzma
import os
import random
import signal
import ssl
import stat
import struct
import subprocess
import tarfile
import zlib

import update_source
from harness import Suite, check, equal, program, wait_for
from update_source import FILE_NAME, Mirror, Source, contents, entry, package, tar_of

suite = Suite("ssmd-stager", jobs=4)

ASK = {"phase": "fetch", "update_id": "update-1", "package": "amazon-ssm-agent", "asked": "latest", "from": "1.0.0",
       "allow_downgrade": "0", "region": "us-east-1", "node_id": "mi-0123456789abcdef0", "ca_file": "",
       "user_agent": "ssmd/1.0.0", "limit_ms": "20000", "stall_ms": "1500", "target": "", "sha256": "",
       "length_bytes": "0", "manifest_version": "0"}


def record(kind, fields):
    def quote(value):
        return str(value).replace("%", "%25").replace("\r", "%0d").replace("\n", "%0a")
    return "".join([f"ssmd-record 1 {kind}\n", *(f"{k}={quote(v)}\n" for k, v in fields.items()), "end\n"])


def parse(text):
    lines = text.split("\n")
    equal("the answer's frame", (lines[0], lines[-2:]), ("ssmd-record 1 stage-answer", ["end", ""]))
    fields = dict(line.split("=", 1) for line in lines[1:-2])
    return {k: v.replace("%0a", "\n").replace("%0d", "\r").replace("%25", "%") for k, v in fields.items()}


class Node:
    """A machine: its slots and its state, and requests to ssmd-stager about them."""

    def __init__(self, world, source, url=None):
        self.world, self.source = world, source
        self.slots, self.update = world.path("opt"), world.path("state/update")
        os.makedirs(self.versions, mode=0o755)
        os.chmod(self.slots, 0o755)
        self.fields = {**ASK, "source": url or source.url, "root_file": source.root_file,
                       "update_dir": self.update, "slots_dir": self.slots}
        self.said = ""

    @property
    def versions(self):
        return os.path.join(self.slots, "versions")

    def work(self, name=""):
        return os.path.join(self.update, "work", name)

    def start(self, phase, environment=None, prefix=(), **fields):
        process = subprocess.Popen([*prefix, program("update", "ssmd-stager")], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                   env={**os.environ, **(environment or {})})
        process.stdin.write(record("stage-ask", {**self.fields, "phase": phase, **fields}))
        process.stdin.close()
        process.stdin = None
        return process

    def ask(self, phase, **more):
        process = self.start(phase, **more)
        out, self.said = process.communicate(timeout=60)
        equal(f"exit status of {phase} ({self.said})", process.returncode, 0)
        answer = parse(out)
        check(answer["verdict"] != "fail" or (answer["code"] and len(answer["text"]) > 20), f"bare failure: {answer}")
        if phase == "fetch" and answer["verdict"] == "ok":
            self.fields.update({k: answer[k] for k in ("target", "sha256", "length_bytes", "manifest_version")})
        return answer

    def get(self, phase, **more):
        answer = self.ask(phase, **more)
        equal(f"{phase}: {answer['text']} ({self.said})", answer["verdict"], "ok")
        return answer

    def all(self, **more):
        for phase in ("fetch", "verify", "stage"):
            self.get(phase, **more)

    def until_refused(self, phase, *words, code=None, **more):
        """Phases up to this one, which must fail, say why, and leave nothing."""
        order = ("fetch", "verify", "stage")
        for earlier in order[:order.index(phase)]:
            self.get(earlier, **more)
        return self.refused(phase, *words, code=code, **more)

    def refused(self, phase, *words, code=None, may_have=(), **more):
        answer = self.ask(phase, **more)
        equal(f"{phase} ({answer})", answer["verdict"], "fail")
        for word in words:
            check(word in answer["text"], f"the text does not say {word!r}: {answer['text']!r}")
        if code:
            equal(f"code of {answer['text']!r}", answer["code"], code)
        equal("slots", sorted(os.listdir(self.versions)), sorted(may_have))
        return answer


def node(world, *packages, served=False, **fields):
    """A node, and a source with these (version, bytes); the default is one good package."""
    source = Source(world.path("source"))
    for version, data in packages or [("1.1.0", package("1.1.0"))]:
        source.add(version, data, **fields)
    source.publish()
    mirror = Mirror(world, source) if served else None
    made = Node(world, source, mirror.url if served else None)
    made.mirror = mirror
    return made


# ---- what is good ----

@suite.case
def a_package_becomes_a_sealed_slot(world):
    n = node(world, ("1.1.0", package("1.1.0", files={**contents("1.1.0"), "share/man/man8/ssmd.8": b"page"})), served=True)
    answer = n.get("fetch")
    equal("target", (answer["target"], answer["url"], answer["manifest_version"], answer["root_version"]),
          ("1.1.0", f"{n.mirror.url}/ssmd/1.1.0/{FILE_NAME}", "1", "1"))
    equal("before it is verified", os.listdir(n.versions), [])
    check(not os.path.exists(os.path.join(n.update, "trust", "trusted")), "believed before it was verified")
    n.get("verify")
    check(os.path.exists(os.path.join(n.update, "trust", "trusted")), "nothing was remembered")
    n.get("stage")
    equal("slots", os.listdir(n.versions), ["1.1.0"])
    slot = os.path.join(n.versions, "1.1.0")
    equal("what is in it", sorted(os.listdir(slot)), ["bin", "sealed", "share"])
    for name, mode in (("bin/ssmd", 0o555), ("share/man/man8/ssmd.8", 0o444), ("bin", 0o555), ("sealed", 0o444)):
        equal(name, stat.S_IMODE(os.stat(os.path.join(slot, name)).st_mode), mode)
    equal("the links", [name for name in os.listdir(n.slots) if name != "versions"], [])
    check(not os.path.exists(n.work("package")), "the package is kept though it is a slot now")


@suite.case
def what_is_there_already_is_used_again(world):
    n = node(world, served=True)
    n.get("fetch")
    n.get("fetch")
    n.get("fetch")
    equal("packages fetched", len([path for path in n.mirror.asked if path.endswith(FILE_NAME)]), 1)
    n.get("verify")
    n.get("verify")
    n.get("stage")
    before = os.stat(os.path.join(n.versions, "1.1.0")).st_ino
    n.get("stage")
    check("is here already" in n.said, n.said)
    equal("the slot", os.stat(os.path.join(n.versions, "1.1.0")).st_ino, before)


@suite.case
def a_check_keeps_nothing(world):
    n = node(world, served=True)
    answer = n.get("check")
    equal("what it found", (answer["target"], answer["url"]), ("1.1.0", f"{n.mirror.url}/ssmd/1.1.0/{FILE_NAME}"))
    check(not os.path.exists(n.update), "a check made the directory of updates")
    check(not any(path.endswith(FILE_NAME) for path in n.mirror.asked), "a check fetched the package")


@suite.case
def nothing_to_do_is_no_failure_and_is_remembered(world):
    n = node(world)
    answer = n.ask("fetch", **{"from": "1.1.0"})
    equal("verdict", (answer["verdict"], answer["text"]), ("skip", "amazon-ssm-agent 1.1.0 has already been installed"))
    check(not os.path.exists(n.work("package")), "a package was fetched for nothing")
    with open(n.source.path("timestamp.json"), "rb") as f:
        old_stamp = f.read()
    with open(n.source.path("manifest.json"), "rb") as f:
        old = f.read()
    n.source.add("1.2.0", package("1.2.0")).publish()
    equal("a newer one", n.ask("fetch", **{"from": "1.2.0"})["verdict"], "skip")
    n.source.put("timestamp.json", old_stamp)
    n.source.put("manifest.json", old)
    n.refused("fetch", "version 1", "version 2 was seen before", code="ErrorDownloadManifest_d6")


@suite.case
def a_rotated_root_is_followed_from_the_source_and_from_the_disk(world):
    n = node(world, served=True)
    old = n.source.keys
    n.source.keys = {role: update_source.Key() for role in old}
    n.source.write_root(2, signers=[old["root"], n.source.keys["root"]])
    n.source.publish()
    equal("root", n.get("fetch")["root_version"], "2")
    n.get("verify")
    n.get("stage")


@suite.case
def a_version_that_was_asked_for_is_staged_though_it_is_lower(world):
    n = node(world, ("0.9.0", package("0.9.0")), ("1.1.0", package("1.1.0")))
    n.refused("fetch", "allow downgrade", code="ErrorAttempToDowngrade", asked="0.9.0")
    n.all(asked="0.9.0", allow_downgrade="1")
    equal("slots", os.listdir(n.versions), ["0.9.0"])


@suite.case
def what_an_earlier_run_left_is_removed(world):
    n = node(world)
    for name in (".1.1.0.new", ".7.7.7.new", ".1.1.0.gone"):
        os.makedirs(os.path.join(n.versions, name, "bin"))
        os.chmod(os.path.join(n.versions, name, "bin"), 0o555)
    os.makedirs(n.work(), mode=0o700)
    for name in ("package.part", "9.root.json", ".manifest.json.tmp"):
        with open(n.work(name), "w", encoding="ascii") as f:
            f.write("rubbish")
    n.all()
    equal("slots", os.listdir(n.versions), ["1.1.0"])
    equal("work", sorted(os.listdir(n.work())), ["manifest.json", "timestamp.json"])


def damage(path):
    os.chmod(path, 0o755)
    with open(path, "ab") as f:
        f.write(b"# changed")


@suite.case
def a_damaged_slot_that_nothing_names_is_replaced(world):
    n = node(world)
    n.all()
    damage(os.path.join(n.versions, "1.1.0/bin/ssmd"))
    n.all()
    with open(os.path.join(n.versions, "1.1.0/bin/ssmd"), "rb") as f:
        check(b"changed" not in f.read(), "the damaged slot was used")
    equal("slots", os.listdir(n.versions), ["1.1.0"])


@suite.case
def a_damaged_slot_that_a_link_names_is_left_alone(world):
    n = node(world)
    for link in ("current", "proven", "previous"):
        if not os.path.exists(os.path.join(n.versions, "1.1.0")):
            n.all()
            damage(os.path.join(n.versions, "1.1.0/bin/ssmd"))
        os.symlink("versions/1.1.0", os.path.join(n.slots, link))
        n.get("fetch")
        n.get("verify")
        n.refused("stage", "damaged", f"{link} names it", code="ErrorFailedPrecondition", may_have=["1.1.0"])
        os.unlink(os.path.join(n.slots, link))
    with open(os.path.join(n.versions, "1.1.0/bin/ssmd"), "rb") as f:
        check(b"changed" in f.read(), "a slot that was named was replaced")


# ---- packages that a source signed and that are still refused ----

def raw_header(name, size=0, kind=b"0", mode=0o644, size_field=None, behind=b"", **fields):
    """A ustar header with anything in it."""
    form = {"name": name, "mode": b"%07o\0" % mode, "uid": b"0000000\0", "gid": b"0000000\0", "size": b"%011o\0" % size if size_field is None else size_field,
            "mtime": b"00000000000\0", "kind": kind, "link": b"", "magic": b"ustar\x0000", **fields}
    head = b"".join([form["name"].ljust(100, b"\0"), form["mode"], form["uid"], form["gid"], form["size"], form["mtime"],
                     b" " * 8, form["kind"], form["link"].ljust(100, b"\0"), form["magic"]]).ljust(386, b"\0") + behind.ljust(126, b"\0")
    return head[:148] + b"%06o\0 " % sum(head) + head[156:]


OPEN_TAR = tar_of(contents("1.1.0"))[:2 * 512 * len(update_source.PROGRAMS)]  # each a header and a block; no end


# 512 bytes at offset 100,000 of a file of 200,000, as old GNU tar wrote it.
OLD_MAP = b"%011o\0%011o\0" % (100000, 512) + bytes(73) + b"%011o\0" % 200000


def raw(*headers):
    """Good programs, and behind them these headers."""
    return gzip.compress(OPEN_TAR + b"".join(headers) + bytes(1024))


def with_entry(name, data=b"", **more):
    return package("1.1.0", (entry(name, **more), data if more.get("kind", tarfile.REGTYPE) == tarfile.REGTYPE else None))


def without(name):
    files = contents("1.1.0")
    del files[f"bin/{name}"]
    return package("1.1.0", files=files)


def without_mode(name):
    files = contents("1.1.0")
    data = files.pop(f"bin/{name}")
    return package("1.1.0", (entry(f"bin/{name}", 0o644), data), files=files)


def replaced(name, data):
    return package("1.1.0", files={**contents("1.1.0"), f"bin/{name}": data})


def pax(key, value):
    return with_entry("bin/plain", b"x", pax_headers={key: value})


def elf(machine, bits=64):
    """The head of a program for that kind of machine."""
    ident = b"\x7fELF" + bytes([2 if bits == 64 else 1, 1, 1]) + bytes(9)
    if bits == 64:
        head = struct.pack("<HHIQQQIHHHHHH", 2, machine, 1, 0x400000, 64, 0, 0, 64, 56, 1, 0, 0, 0)
        load = struct.pack("<IIQQQQQQ", 1, 5, 0, 0x400000, 0x400000, 4096, 4096, 4096)
    else:
        head = struct.pack("<HHIIIIIHHHHHH", 2, machine, 1, 0x8000, 52, 0, 0, 52, 32, 1, 0, 0, 0)
        load = struct.pack("<IIIIIIII", 1, 0, 0x8000, 0x8000, 4096, 4096, 5, 4096)
    return (ident + head + load).ljust(4096, b"\0")


OTHER_MACHINE = 243  # RISC-V, which packages are not made for


def lacks_library():
    """A program of this machine that wants a library which is not here: /bin/true with another name in it."""
    with open("/bin/true", "rb") as f:
        return f.read().replace(b"libc.so.6", b"libq.so.6")


def lacks_loader():
    with open("/bin/true", "rb") as f:
        return f.read().replace(b"/lib64/ld-linux", b"/lib65/ld-linux").replace(b"/lib/ld-linux", b"/lic/ld-linux")


def endless(head, block, times):
    """A gzip file of `head` and so many times `block`, which is compressed once; its end is missing."""
    squeeze = zlib.compressobj(9, zlib.DEFLATED, 31)
    first = squeeze.compress(head) + squeeze.flush(zlib.Z_FULL_FLUSH)
    return first + (squeeze.compress(block) + squeeze.flush(zlib.Z_FULL_FLUSH)) * times


def long_of(kind, n):
    """A GNU long name (L), a GNU long link (K) or a pax header (x) of n bytes before an entry."""
    return raw(raw_header(b"././@LongLink", n, kind), bytes(n) if n < 1 << 24 else b"", raw_header(b"bin/x"))


ODD_NAMES = ["/bin/x", "//bin/x", "bin//x", "../x", "bin/../../../../tmp/x", "bin/..", "bin/./x", "./../x", "bin/.hidden", ".",
             "bin/-x", "-rf", "bin/a b", "bin/a\nb", "bin/a\tb", "bin/a\x1b[31m", "bin/a\\b", "bin/a:b", "bin/a*", "bin/$(id)",
             "bin/`id`", "bin/a;b", "bin/café", "bin/\u202egnp", "bin/a/b/c/d/e/f/g/h/i/j", "bin/" + "n" * 198,
             "bin/" + "d/" * 120 + "x", "etc/passwd", "usr/bin/x", "sealed", "versions/1.1.0", "binary", "share", "bin",
             "lib", "LICENSE/x", "README.md.exe", "C:/x", "%2e%2e/x", "~/x"]

SIGNED = {f"a name {name[:40]!r}": (lambda name=name: with_entry(name, b"x"), ["entry" if name.isascii() else "Pathname"])
          for name in ODD_NAMES}
SIGNED.update({
    "a symbolic link out of the slot": (lambda: with_entry("bin/x", kind=tarfile.SYMTYPE, link="/etc/passwd"), ["symbolic link"]),
    "a symbolic link inside the slot": (lambda: with_entry("bin/x", kind=tarfile.SYMTYPE, link="ssmd"), ["symbolic link"]),
    "a symbolic link in place of a folder": (
        lambda: package("1.1.0", (entry("bin", kind=tarfile.SYMTYPE, link="/tmp"), None)), ["symbolic link"]),
    "a hard link out of the slot": (lambda: with_entry("bin/x", kind=tarfile.LNKTYPE, link="/etc/passwd"), ["hard link"]),
    "a hard link inside the slot": (lambda: package("1.1.0", (entry("bin/x", kind=tarfile.LNKTYPE, link="bin/ssmd"), None),
                                                    order="after"), ["hard link"]),
    "a character device": (lambda: with_entry("bin/x", kind=tarfile.CHRTYPE, devmajor=1, devminor=3), ["device"]),
    "a block device": (lambda: with_entry("bin/x", kind=tarfile.BLKTYPE, devmajor=8), ["device"]),
    "a named pipe": (lambda: with_entry("bin/x", kind=tarfile.FIFOTYPE), ["named pipe"]),
    "a contiguous file with a set-user-id bit": (lambda: raw(raw_header(b"bin/x", kind=b"7", mode=0o4755)), ["set-user-id"]),
    "a set-user-id bit": (lambda: with_entry("bin/x", b"x", mode=0o4755), ["set-user-id"]),
    "a set-group-id bit": (lambda: with_entry("bin/x", b"x", mode=0o2755), ["set-group-id"]),
    "a sticky bit": (lambda: with_entry("bin/x", b"x", mode=0o1755), ["sticky"]),
    "a set-group-id directory": (lambda: with_entry("share/x", kind=tarfile.DIRTYPE, mode=0o2755), ["set-group-id"]),
    "a sticky directory": (lambda: with_entry("share/x", kind=tarfile.DIRTYPE, mode=0o1777), ["sticky"]),
    "capabilities": (lambda: pax("SCHILY.xattr.security.capability", "x"), ["extended attributes"]),
    "a pax name that leaves": (lambda: pax("path", "../../x"), ["entry"]),
    "a pax name that is absolute": (lambda: pax("path", "/x"), ["entry"]),
    "a pax size": (lambda: pax("size", "109951162777600"), ["more than"]),
    "a negative pax size": (lambda: pax("size", "-5"), ["damaged"]),
    "a sparse file": (lambda: with_entry("share/x", b"0" * 512, pax_headers={
        "GNU.sparse.realsize": "1000000", "GNU.sparse.map": "0,512", "GNU.sparse.name": "share/x"}), ["sparse"]),
    "an old sparse file": (lambda: raw(raw_header(b"share/x", 512, b"S", magic=b"ustar  \0", behind=OLD_MAP), b"x" * 512),
                           ["sparse"]),
    "a name twice": (lambda: package("1.1.0", (entry("bin/ssmd"), b"#!/bin/sh\necho ssmd 1.1.0"), order="after"), ["twice"]),
    "a name twice, in two ways": (lambda: package("1.1.0", (entry("./bin/ssmd"), b"x"), order="after"), ["twice"]),
    "a folder twice": (lambda: package("1.1.0", (entry("share", kind=tarfile.DIRTYPE), None),
                                       (entry("share/", kind=tarfile.DIRTYPE), None)), ["twice"]),
    "a file where a folder is": (lambda: package("1.1.0", (entry("share/x"), b"x"), (entry("share/x/y"), b"y")), ["is a file before"]),
    "one file too many": (lambda: package("1.1.0", files={**contents("1.1.0"), **{f"share/f{i}": b"" for i in range(251)}}),
                          ["more than 256 files"]),
    "a million entries": (lambda: endless(OPEN_TAR, b"".join(raw_header(b"share/f%d" % i) for i in range(1000)), 1000),
                          ["more than 256 files"]),
    "ten gigabytes of zeros": (lambda: endless(OPEN_TAR + raw_header(b"share/x", 0o77777777777), bytes(1 << 20), 10 << 10),
                               ["more than"]),
    "a header that lies about gigabytes": (lambda: raw(raw_header(b"share/x", 0o77777777777)), ["more than"]),
    "a negative size": (lambda: raw(raw_header(b"share/x", size_field=b"\xff" * 12)), ["damaged"]),
    "a long name of megabytes": (lambda: long_of(b"L", 8 << 20), ["damaged"]),
    "a long link of megabytes": (lambda: long_of(b"K", 8 << 20), ["damaged"]),
    "a pax header of megabytes": (lambda: long_of(b"x", 8 << 20), ["damaged"]),
    "a checksum of a header that does not fit": (lambda: raw(raw_header(b"bin/x").replace(b"bin/x", b"bin/y")), ["damaged"]),
    "an archive of nothing": (lambda: gzip.compress(bytes(10240)), ["empty"]),
    "an empty gzip file": (lambda: gzip.compress(b""), ["archive"]),
    "a tar archive without gzip": (lambda: tar_of(contents("1.1.0")), ["compressed once with gzip"]),
    "gzip around gzip": (lambda: gzip.compress(package("1.1.0")), ["archive"]),
    "bzip2": (lambda: bz2.compress(tar_of(contents("1.1.0"))), ["archive"]),
    "xz": (lambda: lzma.compress(tar_of(contents("1.1.0"))), ["archive"]),
    "a cpio archive": (lambda: gzip.compress(b"070701" + b"0" * 104 + b"bin/ssmd\0"), ["archive"]),
    "a text": (lambda: b"<html>Please log in to the network</html>" * 20, ["archive"]),
    "a gzip file cut in its head": (lambda: package("1.1.0")[:7], ["archive"]),
    "a gzip file cut in its middle": (lambda: package("1.1.0")[:150], ["archive"]),
    "a gzip file of another method": (lambda: b"\x1f\x8b\x07" + package("1.1.0")[3:], ["archive"]),
    "bin/ssmd alone": (lambda: package("1.1.0", files={"bin/ssmd": contents("1.1.0")["bin/ssmd"]}), ["it has no program"]),
    "another version's programs": (lambda: package("1.1.1"), ['"ssmd 1.1.1"', '"ssmd 1.1.0"']),
    "a version that only begins right": (lambda: package("1.1.0.5"), ['"ssmd 1.1.0.5"']),
    "an updater of another version": (
        lambda: replaced("ssmd-updater", update_source.program("ssmd-updater", "1.0.9")), ['"ssmd-updater 1.0.9"']),
    "another program of that name": (lambda: replaced("ssmd", b"#!/bin/sh\necho busybox\n"), ['"busybox"']),
    "a program of another machine": (lambda: replaced("ssmd", elf(OTHER_MACHINE)), ["cannot be executed here", "Exec format error"]),
    "an updater of another machine": (
        lambda: replaced("ssmd-updater", elf(OTHER_MACHINE)), ["ssmd-updater", "Exec format error"]),
    "a program that lacks a library": (lambda: replaced("ssmd", lacks_library()), ["bin/ssmd", "libq.so.6"]),
    "a program that lacks its loader": (lambda: replaced("ssmd", lacks_loader()), ["cannot be executed here", "loader"]),
    "a script that lacks its interpreter": (lambda: replaced("ssmd", b"#!/no/such/shell\n"), ["cannot be executed here"]),
    "a program that is empty": (lambda: replaced("ssmd", b""), ["bin/ssmd", "Exec format error"]),
    "a program cut short": (lambda: replaced("ssmd", lacks_library()[:200]), ["bin/ssmd"]),
    "a program that says nothing": (lambda: replaced("ssmd", b"#!/bin/sh\n"), ['it says ""']),
    "a program that fails": (lambda: replaced("ssmd", b"#!/bin/sh\necho no license >&2; exit 3\n"), ["status 3", "no license"]),
    "a program that dies": (lambda: replaced("ssmd", b"#!/bin/sh\nkill -SEGV $$\n"), ["signal 11"]),
    "a program that never ends": (lambda: replaced("ssmd", b"#!/bin/sh\nexec sleep 1000\n"), ["did not end within 10 seconds"]),
    "a program that never ends to speak": (lambda: replaced("ssmd", b"#!/bin/sh\nexec yes\n"), ["bin/ssmd"]),
    "a program that waits for input": (lambda: replaced("ssmd", b"#!/bin/sh\nread x; echo waited; exit 9\n"), ["status 9"]),
})
SIGNED.update({f"a package without {name}": (lambda name=name: without(name), [f"it has no program bin/{name}"])
               for name in update_source.PROGRAMS})
SIGNED.update({f"a package whose {name} is not executable": (lambda name=name: without_mode(name), [f"it has no program bin/{name}"])
               for name in update_source.PROGRAMS})


def signed_but_refused(world, make, words):
    n = node(world, ("1.1.0", make()))
    n.get("fetch")  # verify would read the same again, and does so in other cases
    answer = n.refused("stage", *words[:1], code="ErrorInvalidPackage")
    check(all(word in answer["text"] for word in words), answer["text"])
    equal("worth another try", answer["is_retry_worthwhile"], "0")
    equal("what lies about", sorted(name for name in os.listdir(world.path(".")) if name not in
                                    ("opt", "state", "source", "source.root.json")), [])


for title, (make_package, what_it_says) in SIGNED.items():
    suite.add(f"signed and refused: {title}", signed_but_refused, make_package, what_it_says)


@suite.case
def more_than_the_manifest_says_is_not_unpacked(world):
    files = {**contents("1.1.0"), "share/x": b"x" * 5000}
    size = sum(len(data) for data in files.values())
    n = node(world, ("1.1.0", package("1.1.0", files=files)), UnpackedLength=size - 1)
    n.until_refused("stage", f"more than {size - 1} bytes", code="ErrorInvalidPackage")
    n.source.add("1.1.0", package("1.1.0", files=files), UnpackedLength=size).publish()
    n.all()


@suite.case
def a_program_that_is_tried_leaves_nobody_behind(world):
    pid_file = world.path("state/update/pid")
    n = node(world, ("1.1.0", package("1.1.0", files=contents("1.1.0", ssmd=f"sleep 1000 & echo $! > {pid_file}"))))
    n.all()
    with open(pid_file, encoding="ascii") as f:
        pid = int(f.read())
    wait_for("what it started to end", lambda: not os.path.exists(f"/proc/{pid}") or is_zombie(pid))


def has_landlock():
    call = ctypes.CDLL(None).syscall
    return call(444, None, ctypes.c_size_t(0), 1) >= 1  # landlock_create_ruleset: which version


@suite.case
def nothing_is_written_but_where_updates_are_prepared(world):
    outside = world.path("outside")
    with open(outside, "w", encoding="ascii") as f:
        f.write("kept")
    inside = world.path("state/update/inside")
    script = f"cd /; (echo spoiled > {outside}; rm {outside}; mkdir {outside}.dir; ln -s x {outside}.link) 2>/dev/null; echo > {inside}"
    n = node(world, ("1.1.0", package("1.1.0", files=contents("1.1.0", ssmd=script))))
    n.all()
    check(os.path.exists(inside), "the program was not tried")
    if has_landlock():
        with open(outside, encoding="ascii") as f:
            equal("a file of others", f.read(), "kept")
        equal("what was made", [name for name in os.listdir(world.path(".")) if name.startswith("outside")], ["outside"])


def is_zombie(pid):
    with contextlib.suppress(OSError), open(f"/proc/{pid}/stat", encoding="ascii") as f:
        return f.read().rsplit(")", 1)[1].split()[0] == "Z"
    return True


@suite.case
def a_program_is_tried_with_an_environment_of_its_own(world):
    said = world.path("state/update/env")
    script = f"env > {said}; pwd >> {said}; [ -t 0 ] || read x; ulimit -c >> {said}"
    n = node(world, ("1.1.0", package("1.1.0", files=contents("1.1.0", ssmd=script))))
    n.all(environment={"AWS_SECRET_ACCESS_KEY": "hush", "https_proxy": "http://user:hush@proxy"})
    with open(said, encoding="ascii") as f:
        text = f.read()
    check("hush" not in text and "LC_ALL=C" in text, text)
    equal("where it runs", text.split()[-2], os.path.join(n.versions, ".1.1.0.new"))


# ---- packages that are not what was signed ----

def flip(data, at, bit=0):
    return data[:at] + bytes([data[at] ^ (1 << bit)]) + data[at + 1:]


def regions(data):
    """Where to flip bits: all of the gzip head, the first blocks, the middle, all of the trailer."""
    yield from range(10)
    yield from range(10, len(data) - 8, max(1, (len(data) - 18) // 12))
    yield from range(len(data) - 8, len(data))


@suite.case
def a_bit_that_changed_on_the_way_is_seen_by_fetch(world):
    good = package("1.1.0")
    n = node(world)
    for at in regions(good):
        n.source.put(f"ssmd/1.1.0/{FILE_NAME}", flip(good, at, at % 8))
        n.refused("fetch", "SHA-256", code="ErrorTargetPkgDownload")
        check(not [name for name in os.listdir(n.work()) if name.startswith("package")], "the package was kept")
    n.source.put(f"ssmd/1.1.0/{FILE_NAME}", good)
    n.all()


def spoil(path, data):
    os.chmod(path, 0o600)
    with open(path, "wb") as f:
        f.write(data)


@suite.case
def a_bit_that_changed_on_the_disk_is_seen_by_verify_and_by_stage(world):
    good = package("1.1.0")
    n = node(world)
    n.get("fetch")
    for phase in ("verify", "stage"):
        for at in regions(good):
            spoil(n.work("package"), flip(good, at, 7 - at % 8))
            n.refused(phase, "SHA-256", "the manifest says")
        for end in (0, 1, 9, 10, 100, len(good) // 2, len(good) - 8, len(good) - 1):
            spoil(n.work("package"), good[:end])
            n.refused(phase, f"{end} bytes long")
        spoil(n.work("package"), good + b"x")
        n.refused(phase, f"{len(good) + 1} bytes long")
        spoil(n.work("package"), good)
        n.get(phase)


@suite.case
def a_package_of_another_length_is_not_fetched(world):
    good = package("1.1.0")
    n = node(world)
    for end in (0, 1, 9, 10, 100, len(good) // 2, len(good) - 8, len(good) - 1):
        n.source.put(f"ssmd/1.1.0/{FILE_NAME}", good[:end])
        n.refused("fetch", f"it is {end} bytes long, the manifest says {len(good)}", code="ErrorTargetPkgDownload")
    n.source.put(f"ssmd/1.1.0/{FILE_NAME}", good + b"x")
    n.refused("fetch", "longer than the", code="ErrorTargetPkgDownload")


@suite.case
def another_good_package_is_not_the_one_that_was_signed(world):
    n = node(world)
    n.source.put(f"ssmd/1.1.0/{FILE_NAME}", package("1.1.0", files={**contents("1.1.0"), "share/other": b"x"}))
    n.refused("fetch", code="ErrorTargetPkgDownload")


@suite.case
def a_package_that_is_no_file_is_refused(world):
    n = node(world)
    n.get("fetch")
    os.unlink(n.work("package"))
    os.symlink("/etc/passwd", n.work("package"))
    n.refused("verify", "package")
    n.refused("stage", "package")
    os.unlink(n.work("package"))
    os.mkfifo(n.work("package"))
    n.refused("verify", "package")
    os.unlink(n.work("package"))
    n.refused("verify", "package", "No such file")
    n.refused("stage", "package", "No such file")
    n.all()


@suite.case
def metadata_that_changed_on_the_disk_is_refused(world):
    n = node(world)
    n.get("fetch")
    for phase in ("verify", "stage"):
        for name in ("timestamp.json", "manifest.json"):
            with open(n.work(name), "rb") as f:
                good = f.read()
            for at in random.Random(7).sample(range(len(good)), 12):
                spoil(n.work(name), flip(good, at, 1))
                n.refused(phase, name)
            os.unlink(n.work(name))
            n.refused(phase, name)
            with open(n.work(name), "wb") as f:
                f.write(good)
        n.get(phase)


@suite.case
def metadata_of_another_update_is_refused(world):
    n = node(world)
    n.get("fetch")
    mine = dict(n.fields)
    n.source.add("1.2.0", package("1.2.0")).publish()
    n.get("fetch")
    n.fields = mine
    n.refused("verify", "not that of the update under way")
    n.refused("stage", "not that of the update under way")


@suite.case
def a_request_for_another_package_than_was_fetched_is_refused(world):
    n = node(world)
    n.get("fetch")
    for name, value in (("sha256", "0" * 64), ("length_bytes", "1"), ("target", "1.1.1"), ("manifest_version", "2")):
        n.refused("verify", "update under way", **{name: value})
        n.refused("stage", "update under way", **{name: value})


# ---- mirrors ----

METADATA = ("2.root.json", "timestamp.json", "manifest.json")
EVERYTHING = (*METADATA, FILE_NAME)


def code_of(name):
    return "ErrorTargetPkgDownload" if name == FILE_NAME else "ErrorDownloadManifest_d3"


def faulty(world, fault, *words, names=EVERYTHING, retry=None, code=None, **fields):
    """Each file of the source goes wrong in the same way; at last it goes right."""
    n = node(world, served=True)
    n.fields.update(fields)
    for name in names:
        n.mirror.faults = {name: fault}
        answer = n.refused("fetch", *words, code=code or code_of(name))
        if retry is not None:
            equal(f"worth another try ({answer['text']})", answer["is_retry_worthwhile"], "1" if retry else "0")
    n.mirror.faults = {}
    n.mirror.hurry.set()
    n.all()


def status(number, **headers):
    return lambda handler: handler.send(number, b"<html>" + b"x" * 3000, **headers)


@suite.case
def a_mirror_that_fails_is_worth_another_try(world):
    faulty(world, status(500), "status 500", names=("2.root.json", FILE_NAME), retry=True)


@suite.case
def a_mirror_that_is_busy_is_worth_another_try(world):
    faulty(world, status(503, **{"Retry-After": "0"}), "status 503", names=("manifest.json", FILE_NAME), retry=True)


@suite.case
def a_mirror_that_throttles_is_worth_another_try(world):
    faulty(world, status(429), "status 429", names=("timestamp.json", FILE_NAME), retry=True)


@suite.case
def what_is_not_there_is_not_asked_for_again(world):
    for number in (404, 403, 410):
        n = node_of(world, f"n{number}")
        for name in ("timestamp.json", "manifest.json", FILE_NAME):
            n.mirror.faults = {name: status(number)}
            n.mirror.asked.clear()
            answer = n.refused("fetch", f"status {number}", name, code=code_of(name))
            equal("times asked", len([path for path in n.mirror.asked if path.endswith(name)]), 1)
            equal("worth another try", answer["is_retry_worthwhile"], "0")


def node_of(world, name):
    """One of several in a world."""
    class Part:
        at_end = world.at_end

        @staticmethod
        def path(below):
            return os.path.join(world.path(name), below)
    os.makedirs(world.path(name))
    return node(Part, served=True)


@suite.case
def other_answers_are_no_files(world):
    for number in (204, 206, 400, 401, 407, 304):
        n = node_of(world, f"n{number}")
        for name in ("timestamp.json", FILE_NAME):
            n.mirror.faults = {name: status(number)}
            n.refused("fetch", name, code=code_of(name))


@suite.case
def a_page_to_log_in_is_no_metadata(world):
    faulty(world, status(200), code="ErrorDownloadManifest_d6", names=("2.root.json", "timestamp.json"), retry=False)


@suite.case
def a_page_to_log_in_is_no_package(world):
    faulty(world, status(200), names=(FILE_NAME,), retry=False)


@suite.case
def a_failure_that_passes_is_waited_out(world):
    n = node(world, served=True)
    left = dict.fromkeys(EVERYTHING, 2)

    def fault(name):
        def answer(handler):
            left[name] -= 1
            return handler.send(500) if left[name] >= 0 else handler.send_file()
        return answer
    n.mirror.faults = {name: fault(name) for name in EVERYTHING}
    n.all()
    equal("failures", set(left.values()), {-1})


def redirect(to, number=302):
    return lambda handler: handler.send(number, Location=to(handler) if callable(to) else to)


@suite.case
def redirects_are_followed_but_not_for_ever(world):
    n = node(world, served=True)
    os.makedirs(n.source.path("elsewhere"))
    os.rename(n.source.path("timestamp.json"), n.source.path("elsewhere/stamp"))
    n.mirror.faults = {"/timestamp.json": redirect("/elsewhere/stamp")}
    n.all()
    n = node_of(world, "loop")
    n.mirror.faults = {FILE_NAME: redirect(lambda handler: handler.path)}
    n.refused("fetch", FILE_NAME, code="ErrorTargetPkgDownload")
    n.mirror.faults = {"timestamp.json": redirect(lambda handler: handler.path)}
    n.refused("fetch", "timestamp.json", code="ErrorDownloadManifest_d3")


@suite.case
def a_redirect_to_another_scheme_is_not_followed(world):
    n = node(world, served=True)
    for to in (n.source.url + "/timestamp.json", "ftp://127.0.0.1/timestamp.json", "gopher://127.0.0.1/x", "//\x00",
               "data:text/plain,x"):
        n.mirror.faults = {"/timestamp.json": redirect(to)}
        n.refused("fetch", "timestamp.json", code="ErrorDownloadManifest_d3")


def truncated(handler):
    handler.send(200, b"x" * 100, length=5000)


def garbage(handler):
    handler.wfile.write(b"SSH-2.0-OpenSSH_9.2\r\n")
    handler.close_connection = True


def nothing(handler):
    handler.close_connection = True


@suite.case
def an_answer_that_breaks_off_is_worth_another_try(world):
    faulty(world, truncated, names=("timestamp.json", FILE_NAME), retry=True)


@suite.case
def an_answer_that_is_not_http_is_told(world):
    faulty(world, garbage, names=("timestamp.json", FILE_NAME), retry=True)


@suite.case
def an_empty_answer_is_told(world):
    faulty(world, nothing, names=("timestamp.json", FILE_NAME), retry=True)


def without_end(handler):
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    block = b"10000\r\n" + b"x" * 65536 + b"\r\n"
    while not handler.server_is_ending():
        handler.wfile.write(block)


@suite.case
def data_without_end_is_cut_off(world):
    faulty(world, without_end, "it may have", names=METADATA[:2], code="ErrorDownloadManifest_d6", retry=False)


@suite.case
def a_manifest_without_end_is_cut_off(world):
    faulty(world, without_end, "it may have", names=("manifest.json",), code="ErrorDownloadManifest_d4", retry=True)


@suite.case
def a_package_without_end_is_cut_off(world):
    faulty(world, without_end, "longer than the", names=(FILE_NAME,), retry=False)


def stalled(handler):
    handler.send_response(200)
    handler.send_header("Content-Length", "200")
    handler.end_headers()
    handler.wfile.write(b"x" * 100)
    handler.wait()


def silent(handler):
    handler.wait()


@suite.case
def a_mirror_that_stalls_is_given_up(world):
    faulty(world, stalled, names=(FILE_NAME,), retry=True, stall_ms="300")


@suite.case
def a_mirror_that_says_nothing_is_given_up(world):
    faulty(world, silent, names=("2.root.json",), retry=True, stall_ms="300")


def drip(handler):
    handler.send_response(200)
    handler.end_headers()
    while not handler.server_is_ending():
        handler.wfile.write(b"x")
        handler.wait(0.05)


@suite.case
def a_mirror_that_drips_ends_with_the_phase(world):
    n = node(world, served=True)
    for name in ("timestamp.json", FILE_NAME):
        n.mirror.faults = {name: drip}
        answer = n.refused("fetch", "not done within 1 seconds", code=code_of(name), limit_ms="1000")
        equal("worth another try", answer["is_retry_worthwhile"], "1")


@suite.case
def a_mirror_that_is_not_there_is_worth_another_try(world):
    n = node(world, served=True)
    n.mirror.server.server_close()
    answer = n.refused("fetch", "127.0.0.1", code="ErrorDownloadManifest_d3")
    equal("worth another try", answer["is_retry_worthwhile"], "1")


@suite.case
def a_source_that_is_changed_meanwhile_is_read_again(world):
    n = node(world, served=True)
    calls = []

    def change(handler):
        calls.append(handler.path)
        if len(calls) == 1:  # between its timestamp and its manifest
            n.source.add("1.2.0", package("1.2.0")).publish()
        return handler.send_file()
    n.mirror.faults = {"manifest.json": change}
    equal("target", n.get("fetch")["target"], "1.2.0")
    equal("manifests read", len(calls), 2)


@suite.case
def a_manifest_of_another_timestamp_is_refused(world):
    n = node(world)
    with open(n.source.path("manifest.json"), "rb") as f:
        old = f.read()
    n.source.add("1.2.0", package("1.2.0")).publish()
    n.source.put("manifest.json", old)
    answer = n.refused("fetch", "not the manifest that timestamp.json names", code="ErrorDownloadManifest_d4")
    equal("worth another try", answer["is_retry_worthwhile"], "1")


# ---- what is configured, and the machine ----

@suite.case
def a_source_that_is_no_url_of_a_directory_is_refused(world):
    n = node(world)
    for url, word in (("", "Ssmd.UpdateSource"), ("ftp://x/y", "not an https://"), ("/srv/updates", "not an https://"),
                      ("file://relative/path", "not an https://"), ("javascript:x", "not an https://"),
                      ("https://user:hush@updates.example/", "user or password"), ("https://x/y?key=z", "directory"),
                      ("https://x/y#z", "directory")):
        answer = n.refused("fetch", word, code="ErrorDownloadManifest_d1", source=url)
        check("hush" not in answer["text"], answer["text"])
        equal("worth another try", answer["is_retry_worthwhile"], "0")
        n.refused("check", word, code="ErrorDownloadManifest_d1", source=url)


@suite.case
def a_source_with_slashes_at_its_end_is_the_same_source(world):
    n = node(world)
    n.all(source=n.source.url + "//")


@suite.case
def without_a_root_file_nothing_is_believed(world):
    n = node(world)
    n.refused("fetch", world.path("no-such-root.json"), root_file=world.path("no-such-root.json"))
    with open(world.path("rubbish"), "wb") as f:
        f.write(b"{}")
    n.refused("fetch", code="ErrorDownloadManifest_d6", root_file=world.path("rubbish"))
    other = Source(world.path("other"))
    n.refused("fetch", "signed by", code="ErrorDownloadManifest_d6", root_file=other.root_file)


@suite.case
def a_clock_in_1970_is_told(world):
    n = node(world)
    n.source.write_root(1, issued=56 * 365, expires=57 * 365)
    os.replace(n.source.path("1.root.json"), n.source.root_file)
    n.source.publish(issued=56 * 365, expires=56.5 * 365, timestamp_expires=56.1 * 365)
    answer = n.refused("fetch", "clock", code="ErrorDownloadManifest_d6")
    check("set the clock" in answer["text"], answer["text"])


@suite.case
def a_clock_in_2100_is_told(world):
    n = node(world)
    n.source.write_root(1, issued=-75 * 365, expires=-74 * 365)
    os.replace(n.source.path("1.root.json"), n.source.root_file)
    n.source.publish(issued=-75 * 365, expires=-74.5 * 365, timestamp_expires=-74.9 * 365)
    n.refused("fetch", "expired", "clock says", code="ErrorDownloadManifest_d6")
    for days, words in ((-0.1, "timestamp.json"), (None, "manifest.json")):
        n = node_of(world, f"n{words}")
        n.source.publish(**({"timestamp_expires": days, "issued": -1} if days else {"expires": -0.1, "issued": -1}))
        n.refused("fetch", "expired", words, code="ErrorDownloadManifest_d6")


@suite.case
def metadata_that_expires_between_the_phases_is_refused(world):
    n = node(world)
    n.source.publish(timestamp_expires=2 / 86400)
    n.get("fetch")
    wait_for("the timestamp to expire", lambda: n.ask("verify")["verdict"] == "fail")
    n.refused("verify", "expired", code="ErrorDownloadManifest_d6")


IS_ROOT = os.geteuid() == 0
NOT_ROOT = None if IS_ROOT else "only root may mount"


def mount(world, where, options, kind="tmpfs"):
    os.makedirs(where, exist_ok=True)
    subprocess.run(["mount", "-t", kind, "-o", options, "none", where], check=True)
    world.at_end.append(lambda: subprocess.run(["umount", "-l", where], check=True))


def a_full_disk_for_slots(world):
    n = node(world, UnpackedLength=8 << 20)
    mount(world, n.versions, "size=20m,mode=0755")
    n.get("fetch")
    n.get("verify")
    answer = n.refused("stage", "Insufficient available disk space", n.slots, "MiB", code="ErrorCreateUpdateFolder")
    equal("worth another try", answer["is_retry_worthwhile"], "0")
    subprocess.run(["mount", "-o", "remount,size=64m", n.versions], check=True)
    n.get("stage")


def a_disk_that_is_filled_meanwhile(world):
    """The manifest promises less than there is room for; somebody else takes the room while it is unpacked."""
    n = node(world, ("1.1.0", package("1.1.0", files={**contents("1.1.0"), "share/x": random.Random(1).randbytes(3 << 20)})),
             UnpackedLength=4 << 20)
    mount(world, n.versions, "size=24m,mode=0755,nr_inodes=8")
    n.get("fetch")
    n.get("verify")
    n.refused("stage", "No space left on device", code="ErrorCreateUpdateFolder")
    subprocess.run(["mount", "-o", "remount,nr_inodes=200", n.versions], check=True)
    n.get("stage")


def a_full_disk_for_state(world):
    n = node(world)
    mount(world, n.update, "size=8m,mode=0700")
    n.refused("fetch", "Insufficient available disk space", n.update, code="ErrorCreateUpdateFolder")
    subprocess.run(["mount", "-o", "remount,size=64m", n.update], check=True)
    n.all()


def a_disk_too_full_for_metadata(world):
    n = node(world)
    mount(world, n.update, "size=64m,mode=0700")
    with contextlib.suppress(OSError), open(os.path.join(n.update, "ballast"), "wb", buffering=0) as f:
        while f.write(bytes(65536)):
            pass
    n.refused("fetch", "No space left on device", "keep the metadata", code="ErrorDownloadManifest_d2")
    os.unlink(os.path.join(n.update, "ballast"))
    n.all()


def read_only_slots(world):
    n = node(world)
    subprocess.run(["mount", "--bind", n.slots, n.slots], check=True)
    world.at_end.append(lambda: subprocess.run(["umount", "-l", n.slots], check=True))
    subprocess.run(["mount", "-o", "remount,bind,ro", n.slots], check=True)
    n.get("fetch")
    n.get("verify")
    n.refused("stage", "Read-only file system", code="ErrorCreateUpdateFolder")
    subprocess.run(["mount", "-o", "remount,bind,rw", n.slots], check=True)
    n.get("stage")


def read_only_state(world):
    n = node(world)
    os.makedirs(n.update)
    subprocess.run(["mount", "--bind", n.update, n.update], check=True)
    world.at_end.append(lambda: subprocess.run(["umount", "-l", n.update], check=True))
    subprocess.run(["mount", "-o", "remount,bind,ro", n.update], check=True)
    n.refused("fetch", "Read-only file system", code="ErrorCreateUpdateFolder")
    n.get("check")
    subprocess.run(["mount", "-o", "remount,bind,rw", n.update], check=True)
    n.all()


def slots_mounted_noexec(world):
    n = node(world, UnpackedLength=1 << 20)
    mount(world, n.versions, "size=64m,mode=0755,noexec")
    n.until_refused("stage", "cannot be executed here", "noexec", code="ErrorInvalidPackage")


for function in (a_full_disk_for_slots, a_disk_that_is_filled_meanwhile, a_full_disk_for_state, a_disk_too_full_for_metadata,
                 read_only_slots, read_only_state, slots_mounted_noexec):
    suite.add(function.__name__.replace("_", " "), function, skip=NOT_ROOT)


@suite.case
def a_limit_of_file_sizes_is_a_full_disk(world):
    files = {**contents("1.1.0"), "share/x": random.Random(1).randbytes(1 << 20)}
    n = node(world, ("1.1.0", package("1.1.0", files=files)))
    n.refused("fetch", "File too large", code="ErrorTargetPkgDownload", prefix=("prlimit", "--fsize=100000"))
    n.get("fetch")
    n.get("verify")
    n.refused("stage", "File too large", code="ErrorCreateUpdateFolder", prefix=("prlimit", "--fsize=100000"))
    n.get("stage")


@suite.case
def slots_that_others_may_write_to_are_not_used(world):
    n = node(world)
    n.get("fetch")
    n.get("verify")
    for path in (n.slots, n.versions):
        os.chmod(path, 0o777)
        n.refused("stage", "writable by nobody else", code="ErrorFailedPrecondition")
        os.chmod(path, 0o755)
    n.get("stage")


@suite.case
def a_machine_without_slots_is_told(world):
    n = node(world)
    n.get("fetch")
    n.get("verify")
    n.refused("stage", "has no versions", code="ErrorFailedPrecondition", slots_dir=world.path("elsewhere"))


@suite.case
def state_that_others_may_write_to_is_not_used(world):
    n = node(world)
    os.makedirs(n.work(), mode=0o700)
    os.chmod(n.work(), 0o777)
    n.refused("fetch", "writable by nobody else", code="ErrorCreateUpdateFolder")
    os.rmdir(n.work())
    os.mkdir(world.path("elsewhere"))
    os.symlink(world.path("elsewhere"), n.work()[:-1])
    n.refused("fetch", "symbolic link", code="ErrorCreateUpdateFolder")
    equal("behind the link", os.listdir(world.path("elsewhere")), [])


# ---- on the way to the source ----

def with_tls(world, mirror):
    """The same mirror behind a certificate for this address; returns the file of who signed it."""
    key, certificate = world.path("key.pem"), world.path("certificate.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                    "-subj", "/CN=mirror", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate],
                   check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    mirror.server.socket = context.wrap_socket(mirror.server.socket, server_side=True)
    mirror.url = mirror.url.replace("http:", "https:")
    return certificate


@suite.case
def over_tls_the_mirror_must_be_one_that_is_trusted(world):
    n = node(world, served=True)
    plain = Mirror(world, n.source)
    certificate = with_tls(world, n.mirror)
    n.refused("fetch", "certificate", code="ErrorDownloadManifest_d3", source=n.mirror.url)
    n.fields.update(source=n.mirror.url, ca_file=certificate)
    n.mirror.faults = {"timestamp.json": redirect(f"{plain.url}/timestamp.json")}
    n.refused("fetch", "timestamp.json", code="ErrorDownloadManifest_d3")
    equal("asked without TLS", plain.asked, [])
    n.mirror.faults = {}
    n.all()


@suite.case
def a_proxy_is_used(world):
    n = node(world, served=True)
    n.fields["source"] = "http://updates.invalid/ssmd-updates"
    os.makedirs(n.source.path("http://updates.invalid"))
    os.symlink(n.source.directory, n.source.path("http:/updates.invalid/ssmd-updates"))
    n.all(environment={"http_proxy": n.mirror.url, "no_proxy": ""})
    check(any(path.startswith("http://updates.invalid/") for path in n.mirror.asked), f"the proxy was not asked: {n.mirror.asked}")


@suite.case
def a_source_that_ssmctl_made_is_read(world):
    site, data = world.path("site"), world.path(f"ssmd-1.1.0-linux-{update_source.ARCH}.tar.gz")
    with open(data, "wb") as f:
        f.write(package("1.1.0"))

    def release(*words):
        done = subprocess.run([program("ctl", "ssmctl"), "release", *words], capture_output=True, text=True, check=False)
        equal(f"ssmctl release {words}: {done.stdout} {done.stderr}", done.returncode, 0)
    os.makedirs(site)
    for role in ("root", "release", "timestamp"):
        release("keygen", world.path(f"{role}.pem"))
    release("root", site, "--root-key", world.path("root.pem.pub"), "--release-key", world.path("release.pem.pub"),
            "--timestamp-key", world.path("timestamp.pem.pub"))
    release("sign", site, "--key", world.path("root.pem"))
    release("add", site, data)
    release("sign", site, "--key", world.path("release.pem"))
    release("timestamp", site, "--key", world.path("timestamp.pem"))
    n = Node(world, Source(world.path("unused")))
    n.fields.update(source=f"file://{site}", root_file=os.path.join(site, "1.root.json"))
    n.all()
    equal("slots", os.listdir(n.versions), ["1.1.0"])


# ---- dying ----

def ended(process):
    process.kill()
    process.communicate()


@suite.case
def only_one_works_at_a_time(world):
    n = node(world, served=True)
    n.mirror.faults = {FILE_NAME: silent}
    first = n.start("fetch")
    wait_for("the package to be asked for", lambda: any(path.endswith(FILE_NAME) for path in n.mirror.asked))
    answer = n.refused("fetch", "another ssmd-stager works", code="ErrorCreateUpdateFolder")
    equal("worth another try", answer["is_retry_worthwhile"], "1")
    n.get("check")
    ended(first)
    n.mirror.faults = {}
    n.all()


@suite.case
def it_ends_with_who_started_it(world):
    n = node(world, served=True)
    n.mirror.faults = {FILE_NAME: silent}
    request = world.path("request")
    with open(request, "w", encoding="ascii") as f:
        f.write(record("stage-ask", n.fields))
    parent = subprocess.Popen(["sh", "-c", f"{program('update', 'ssmd-stager')} <{request} >/dev/null & echo $! >{world.path('pid')}; wait"])
    wait_for("the package to be asked for", lambda: any(path.endswith(FILE_NAME) for path in n.mirror.asked))
    with open(world.path("pid"), encoding="ascii") as f:
        pid = int(f.read())
    check(not is_zombie(pid), "it did not start")
    ended(parent)
    wait_for("it to end", lambda: is_zombie(pid))
    n.mirror.faults = {}
    n.all()


def killed_after(n, amount):
    """The mirror sends so many bytes of the package and no more; there the stager is killed."""
    def some(handler):
        with open(n.source.path(handler.path.lstrip("/")), "rb") as f:
            data = f.read()
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data[:amount])
        sent.append(amount)
        handler.wait()
    sent = []
    n.mirror.faults = {FILE_NAME: some}
    process = n.start("fetch")
    wait_for("the bytes to be sent", lambda: sent)
    path = n.work("package.part")
    wait_for("the bytes to be written", lambda: os.path.exists(path) and os.path.getsize(path) == amount)
    ended(process)


@suite.case
def killed_anywhere_in_a_package_it_is_fetched_again(world):
    files = {**contents("1.1.0"), "share/x": random.Random(1).randbytes(1 << 20)}
    n = node(world, ("1.1.0", package("1.1.0", files=files)), served=True)
    for amount in (0, 1, 1000, 65536, 500000, 1 << 20):
        killed_after(n, amount)
        check(not os.path.exists(n.work("package")), "half a package has the name of a whole one")
    n.mirror.faults = {}
    n.all()


@suite.case
def killed_while_metadata_comes_it_is_fetched_again(world):
    n = node(world, served=True)
    for fault in (silent, stalled):
        for name in METADATA:
            n.mirror.faults = {name: fault}
            n.mirror.asked.clear()
            process = n.start("fetch")
            wait_for(f"{name} to be asked for", lambda: any(path.endswith(name) for path in n.mirror.asked))
            ended(process)
    n.mirror.faults = {}
    n.all()


@suite.case
def killed_at_every_place_each_phase_is_done_again(world):
    places = world.path("state/update/places")
    killed = {}
    n = node(world, ("1.1.0", package("1.1.0", files={**contents("1.1.0"), "share/x": b"x" * 100000})))
    for phase in ("fetch", "verify", "stage"):
        for at in range(1, 100):
            process = n.start(phase, environment={"SSMD_CRASH_AT": str(at), "SSMD_CRASH_TRACE": places})
            out, said = process.communicate(timeout=60)
            check(process.returncode in (0, -signal.SIGKILL), f"{phase}: {process.returncode} {said}")
            equal("slots", [name for name in os.listdir(n.versions) if name[0] != "." and not
                            os.path.exists(os.path.join(n.versions, name, "sealed"))], [])
            if process.returncode == 0:
                equal(f"{phase} ({out})", parse(out)["verdict"], "ok")
                break
            killed[phase] = at
            if phase == "fetch" and at % 2:  # done again from where it was, and from the beginning
                n.fields["update_id"] = f"update-{at}"
        n.get(phase)
    if killed:  # a release has no such places
        check(killed.get("fetch", 0) >= 2 and killed.get("stage", 0) >= 4, f"places in each phase: {killed}")
    equal("slots", os.listdir(n.versions), ["1.1.0"])


@suite.case
def killed_by_what_it_tries_it_is_done_again(world):
    for name in ("ssmd", "ssmd-updater"):
        n = node_of(world, name)
        flag = os.path.join(n.update, "killed")
        script = f"[ -e {flag} ] || {{ touch {flag}; kill -9 $PPID; }}"
        n.source.add("1.1.0", package("1.1.0", files=contents("1.1.0", **{name.replace('-', '_'): script}))).publish()
        n.get("fetch")
        n.get("verify")
        process = n.start("stage")
        process.communicate(timeout=60)
        equal("how it ended", process.returncode, -signal.SIGKILL)
        equal("slots", [entry_ for entry_ in os.listdir(n.versions) if entry_[0] != "."], [])
        n.get("stage")
        equal("slots", os.listdir(n.versions), ["1.1.0"])


# ---- the program ----

@suite.case
def a_request_that_makes_no_sense_is_not_answered(world):
    good = record("stage-ask", {**ASK, "source": "file:///x", "root_file": "/x", "update_dir": world.path("u"), "slots_dir": "/x"})
    for text in ("", "x", good[:-4], good.replace("phase=fetch", "phase=switch"), good.replace("from=1.0.0", "from=1.0.0/.."),
                 good.replace("update_dir=/", "update_dir="), good.replace("phase=fetch", "phase=stage"), good * 1000):
        done = subprocess.run([program("update", "ssmd-stager")], input=text, capture_output=True, text=True, check=False)
        equal("exit status and answer", (done.returncode, done.stdout), (1, ""))
        check(len(done.stderr) > 10, f"{text[:40]!r}: {done.stderr!r}")
    check(not os.path.exists(world.path("u")), "something was made")
    done = subprocess.run([program("update", "ssmd-stager"), "--help"], capture_output=True, text=True, check=False)
    equal("with an argument", done.returncode, 100)
    done = subprocess.run([program("update", "ssmd-stager"), "--version"], capture_output=True, text=True, check=True)
    check(done.stdout.startswith("ssmd-stager "), done.stdout)


@suite.case
def what_it_did_is_told_in_lines_for_the_log(world):
    n = node(world, served=True)
    n.get("fetch")
    check(f"fetching {n.mirror.url}/ssmd/1.1.0/{FILE_NAME}" in n.said, n.said)
    n.get("verify")
    n.get("stage")
    check("unpacked 6 files and directories" in n.said, n.said)


if __name__ == "__main__":
    raise SystemExit(suite.main())
