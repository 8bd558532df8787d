#!/usr/bin/python3
"""The disk is full: nothing is started or acknowledged that could not be journaled, it is said, and when
there is room again ssmd goes on by itself and reports everything.

A small tmpfs is the disk where this user may mount one; the same is done with a limit on the size of files
(RLIMIT_FSIZE) for everybody.
"""
import errno
import os
import resource
import subprocess
import tempfile

from harness import Suite, check, document, equal, wait_for

suite = Suite("no room for the journal", jobs=4)
SIZE = "24m"


def may_mount():
    with tempfile.TemporaryDirectory() as directory:
        if subprocess.run(["mount", "-t", "tmpfs", "none", directory], capture_output=True, check=False).returncode:
            return False
        subprocess.run(["umount", directory], check=True)
        return True


class TmpfsDisk:
    """The state directory on a file system that can be filled to its last byte."""

    def __init__(self, world, agent):
        self.directory = agent.state_dir
        self.ballast = os.path.join(self.directory, "ballast")
        os.makedirs(self.directory)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=0700", "none", self.directory], check=True)
        world.at_end.append(lambda: subprocess.run(["umount", "-l", self.directory], check=True))

    def fill(self):
        with open(self.ballast, "ab", buffering=0) as f:
            for size in (1 << 16, 4096, 1):
                try:
                    while True:
                        f.write(b"x" * size)
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise

    def free(self):
        os.unlink(self.ballast)


class LimitDisk:
    """No file of ssmd's may grow. Its runners, which are started without room, inherit that."""

    def __init__(self, world, agent):
        self.agent = agent

    def fill(self):
        resource.prlimit(self.agent.process.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))

    def free(self):
        resource.prlimit(self.agent.process.pid, resource.RLIMIT_FSIZE,
                         (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def running_script(world, code=3):
    return f"echo run >> {world.dir}/first; echo begun; while [ ! -e {world.dir}/go ]; do sleep 0.02; done; exit {code}"


def wait_no_room(agent):
    """Nothing can be journaled, or what can be is for what runs: the space in reserve was given up for that."""
    journal = wait_for("ssmd to say that there is no room",
                       lambda: (lambda j: j if j["state"] in ("suspended", "full") else None)(agent.status()["journal"]))
    check(journal["text"], "ssmd does not say why")
    return journal["state"]


def expect_untouched(world, agent, message):
    """What came while there was no room."""
    equal("what was said of it", agent.record(message).sequence, [])
    equal("how often it ran", world.lines("second"), [])


def expect_all_done(world, agent, first, second):
    wait_for("ssmd to go on", lambda: agent.status()["journal"]["state"] == "ok")
    agent.hub.redeliver(second)
    record = agent.wait_done(first)
    equal("the first: terminal replies", len(record.terminal), 1)
    equal("the first: code and output", (record.results["step1"]["code"], record.results["step1"]["standardOutput"]),
          (3, "begun\n"))
    record = agent.wait_done(second)
    equal("the second: terminal replies", len(record.terminal), 1)
    equal("the second: status", record.terminal[0]["Status"], "Success")
    equal("how often they ran", (len(world.lines("first")), len(world.lines("second"))), (1, 1))
    wait_for("nothing to be open", lambda: not agent.query("SELECT 1 FROM effect WHERE closed_unix_ms IS NULL"))


def full_while_a_script_runs(world, disk_of):
    agent = world.agent()
    disk = disk_of(world, agent)
    agent.start().wait_until_serving()
    first = agent.hub.send(document(running_script(world)))
    world.wait_file("first")
    wait_for("the acknowledgement of the first", lambda: agent.record(first).of_kind("ack"))
    disk.fill()
    second = agent.hub.send(document(f"echo run >> {world.dir}/second"))
    wait_no_room(agent)
    expect_untouched(world, agent, second)
    world.touch("go")
    exit_record = os.path.join(agent.jobs_dir, first.split(".")[2], "0.1", "exit")
    wait_for("the runner's exit record, for which room was set aside", lambda: os.path.exists(exit_record))
    expect_untouched(world, agent, second)
    disk.free()
    expect_all_done(world, agent, first, second)


def full_when_a_script_ends(world, disk_of):
    """The result is the first that finds no room."""
    agent = world.agent()
    disk = disk_of(world, agent)
    agent.start().wait_until_serving()
    first = agent.hub.send(document(running_script(world)))
    world.wait_file("first")
    agent.wait_state(first, "running")
    wait_for("all answers to be journaled", lambda: not agent.query(
        "SELECT 1 FROM effect WHERE closed_unix_ms IS NULL AND kind <> 'spawn'"))
    disk.fill()
    world.touch("go")
    if wait_no_room(agent) == "full":  # from what was kept in reserve
        equal("the first: terminal replies", len(agent.wait_done(first).terminal), 1)
    second = agent.hub.send(document(f"echo run >> {world.dir}/second"))
    expect_untouched(world, agent, second)
    disk.free()
    expect_all_done(world, agent, first, second)


def killed_while_full(world, disk_of):
    agent = world.agent()
    disk = disk_of(world, agent)
    agent.start().wait_until_serving()
    first = agent.hub.send(document(running_script(world)))
    world.wait_file("first")
    disk.fill()
    second = agent.hub.send(document(f"echo run >> {world.dir}/second"))
    wait_no_room(agent)
    agent.kill()
    world.touch("go")
    agent.start()
    wait_for("ssmd to serve or to say why it cannot", lambda: not agent.is_up or agent.status())
    if not agent.is_up:
        equal("the exit status of a start without room: try again", agent.process.returncode, 111)
    expect_untouched(world, agent, second)
    disk.free()
    if not agent.is_up:
        agent.start()
    agent.wait_until_serving()
    expect_all_done(world, agent, first, second)


def full_before_the_start(world, disk_of):
    """The start itself has no room for what SQLite needs: the reserve is for that, too."""
    agent = world.agent()
    disk = disk_of(world, agent)
    agent.start().wait_until_serving()
    first = agent.hub.send(document(running_script(world)))
    world.wait_file("first")
    wait_for("the acknowledgement of the first", lambda: agent.record(first).of_kind("ack"))
    agent.kill()
    os.unlink(agent.journal_path + "-shm")  # as it may be after the loss of power
    disk.fill()
    world.touch("go")
    agent.start().wait_until_serving()
    equal("what ssmd says of the journal", wait_no_room(agent), "full")
    equal("the first: terminal replies, on the full disk", len(agent.wait_done(first).terminal), 1)
    second = agent.hub.send(document(f"echo run >> {world.dir}/second"))
    expect_untouched(world, agent, second)
    disk.free()
    expect_all_done(world, agent, first, second)


def again_and_again(world, disk_of):
    agent = world.agent()
    disk = disk_of(world, agent)
    agent.start().wait_until_serving()
    sent = []
    for turn in range(5):
        disk.fill()
        message = agent.hub.send(document(f"echo run >> {world.dir}/turn.{turn}; exit {turn}"))
        wait_no_room(agent)
        equal("what ran without room", world.lines(f"turn.{turn}"), [])
        disk.free()
        wait_for("ssmd to go on", lambda: agent.status()["journal"]["state"] == "ok")
        agent.hub.redeliver(message)
        sent.append(agent.wait_done(message))
    for turn, record in enumerate(sent):
        equal("terminal replies", len(record.terminal), 1)
        equal("the code", record.results["step1"]["code"], turn)
        equal("how often it ran", len(world.lines(f"turn.{turn}")), 1)


CASES = {
    "full while a script runs": full_while_a_script_runs,
    "full when a script ends": full_when_a_script_ends,
    "killed while full": killed_while_full,
    "full before the start": full_before_the_start,
    "full again and again": again_and_again,
}
NO_MOUNT = None if may_mount() else "this user may not mount a tmpfs"
for TITLE, CASE in CASES.items():
    suite.add(f"a tmpfs, {TITLE}", CASE, TmpfsDisk, skip=NO_MOUNT)
    if CASE not in (killed_while_full, full_before_the_start):  # the limit ends with the process
        suite.add(f"a limit of file sizes, {TITLE}", CASE, LimitDisk)

if __name__ == "__main__":
    raise SystemExit(suite.main())
