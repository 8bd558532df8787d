#!/usr/bin/python3
"""Packages that a source has signed and that no machine takes: 0 accepted, nothing left, and the text says why."""
import bz2
import gzip
import lzma
import os
import struct
import tarfile
import zlib

import update_source
from harness import Suite, check, equal, wait_for
from stager_node import has_landlock, is_zombie, node
from update_source import contents, entry, package, tar_of

suite = Suite("signed packages that are refused", jobs=4)

# ---- packages that a source signed and that are still refused ----

def raw_header(name, size=0, kind=b"0", mode=0o644, size_field=None, behind=b"", **fields):
    """A ustar header with anything in it."""
    form = {"name": name, "mode": b"%07o\0" % mode, "uid": b"0000000\0", "gid": b"0000000\0",
            "size": b"%011o\0" % size if size_field is None else size_field,
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


if __name__ == "__main__":
    raise SystemExit(suite.main())
