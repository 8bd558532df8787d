#!/usr/bin/python3
"""ssmd-stager alone: from an update source to a sealed slot; what changed on the way or on the disk is seen, and whoever kills it,
it is done again."""
import os
import random
import signal
import stat
import subprocess

import update_source
from harness import Suite, check, equal, program, wait_for
from stager_node import ASK, METADATA, flip, is_zombie, node, node_of, parse, record, silent, spoil, stalled
from update_source import FILE_NAME, contents, package

suite = Suite("ssmd-stager", jobs=4)

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
    equal("verdict", (answer["verdict"], answer["text"]), ("skip", "amazon-ssm-agent 1.1.0.0 has already been installed"))
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


# ---- packages that are not what was signed ----

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
    pid = int(wait_for("the shell to say whom it started", lambda: world.lines("pid"))[0])
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
