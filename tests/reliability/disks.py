"""Real file systems on loop devices that fill up, run out of inodes, fail, or turn read-only under a whole agent. What this
machine cannot make or mount is counted as skipped."""
import errno
import fcntl
import os
import subprocess
import tempfile
import time
import traceback

import row as _  # noqa: F401 (the paths of the other folders)
import test_journal_full as full
from harness import Failure, World, check, document, equal, program, wait_for

MKFS = {"ext4": ("mkfs.ext4", "-q", "-F", "-m", "0"), "xfs": ("mkfs.xfs", "-q", "-f"), "btrfs": ("mkfs.btrfs", "-q", "-f")}
SIZE_MIB = {"ext4": 64, "xfs": 320, "btrfs": 160}
FEW_INODES = 600
SHUTDOWN = 0x8004587d  # FS_IOC_SHUTDOWN: from now on every access fails, as on a device that is gone
SHUTDOWN_NOLOGFLUSH = (2).to_bytes(4, "little")
UNKNOWN = 1000


def tool(*words):
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    check(done.returncode == 0, f"{' '.join(words)}: {done.stdout.strip()}")


class LoopDisk:
    """The state directory on a file system of its own."""

    def __init__(self, world, agent, kind, make=(), options="loop"):
        self.directory = agent.state_dir
        self.kind = kind
        self.options = options
        self.image = world.path(f"disk.{os.path.basename(agent.root)}")
        self.ballast = os.path.join(self.directory, "ballast")
        self.freed_at = None
        with open(self.image, "wb") as f:
            f.truncate(SIZE_MIB[kind] << 20)
        tool(*MKFS[kind], *make, self.image)
        os.makedirs(self.directory)
        self.mount()
        world.at_end.append(self.unmount)
        os.chmod(self.directory, 0o700)

    def mount(self):
        tool("mount", "-o", self.options, self.image, self.directory)

    def unmount(self):
        subprocess.run(["umount", "-l", self.directory], check=False, capture_output=True)

    def device(self):
        with open("/proc/self/mounts", encoding="utf-8") as f:
            return next(line.split()[0] for line in f if line.split()[1] == self.directory)

    def fill(self):
        with open(self.ballast, "ab", buffering=0) as f:
            for size in (1 << 20, 1 << 14, 512):
                try:
                    while True:
                        f.write(b"x" * size)
                        if size < 1 << 20:
                            os.fsync(f.fileno())  # what is allocated late fails late
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise

    def take_inodes(self):
        os.makedirs(self.ballast)
        n = 0
        try:
            while True:
                os.close(os.open(os.path.join(self.ballast, str(n)), os.O_CREAT | os.O_WRONLY))
                n += 1
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise

    def free(self):
        if os.path.isdir(self.ballast):
            for name in os.listdir(self.ballast):
                os.unlink(os.path.join(self.ballast, name))
        else:
            os.truncate(self.ballast, 0)
            os.unlink(self.ballast)
            os.sync()  # what was removed can be had again when that is on the disk
        self.freed_at = time.monotonic()

    def fail(self):
        fd = os.open(self.directory, os.O_RDONLY)
        try:
            fcntl.ioctl(fd, SHUTDOWN, SHUTDOWN_NOLOGFLUSH)
        finally:
            os.close(fd)

    def turn_read_only(self):
        """As the kernel does when it finds the file system damaged."""
        name = os.path.basename(self.device())
        with open(f"/sys/fs/ext4/{name}/trigger_fs_error", "w", encoding="ascii") as f:
            f.write("test")

    def repair(self):
        """What an operator does, with the machine started anew."""
        self.unmount()
        wait_for("the old mount to be gone", lambda: not os.path.ismount(self.directory))
        if self.kind == "ext4":
            done = subprocess.run(["e2fsck", "-fy", self.image], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                  text=True, check=False)
            check(done.returncode in (0, 1), f"e2fsck: {done.stdout}")
        self.mount()
        self.freed_at = time.monotonic()


def without_inodes(world, disk_of):
    agent = world.agent()
    disk = disk_of(world, agent)
    agent.start().wait_until_serving()
    first = agent.hub.send(document(full.running_script(world)))
    world.wait_file("first")
    agent.wait_state(first, "running")
    disk.take_inodes()
    second = agent.hub.send(document(f"echo run >> {world.dir}/second"))
    wait_for("ssmd to say that there is no room", lambda: agent.status()["journal"]["state"] != "ok" or
             "No space left" in agent.log())
    equal("how often the second ran", world.lines("second"), [])
    world.touch("go")
    exit_record = os.path.join(agent.jobs_dir, first.split(".")[2], "0.1", "exit")
    wait_for("the runner's exit record", lambda: os.path.exists(exit_record))
    tool(program("ctl", "ssmctl"), "--root", agent.root, "jobs")
    disk.free()
    full.expect_all_done(world, agent, first, second)


def breaks(world, disk_of, how, can_read):
    """The disk fails or turns read-only; the machine is started anew with the disk repaired."""
    agent = world.agent()
    disk = disk_of(world, agent)
    agent.start().wait_until_serving()
    first = agent.hub.send(document(full.running_script(world)))
    world.wait_file("first")
    agent.wait_state(first, "running")
    wait_for("the acknowledgement of the first", lambda: agent.record(first).of_kind("ack"))
    how(disk)
    second = agent.hub.send(document(f"echo run >> {world.dir}/second"))
    wait_for("ssmd to say that it cannot go on",
             lambda: not agent.is_up or agent.status()["journal"]["state"] != "ok")
    full.expect_untouched(world, agent, second)
    if can_read:
        tool(program("ctl", "ssmctl"), "--root", agent.root, "jobs")
    agent.lose_power()
    disk.repair()
    agent.start().wait_until_serving()
    agent.hub.redeliver(second)
    record = agent.wait_done(first)
    equal("the first: terminal replies", len(record.terminal), 1)
    equal("the first: status and code", (record.terminal[0]["Status"], record.results["step1"]["code"]), ("Failed", UNKNOWN))
    record = agent.wait_done(second)
    equal("the second: status", [reply["Status"] for reply in record.terminal], ["Success"])
    equal("how often they ran", (len(world.lines("first")), len(world.lines("second"))), (1, 1))
    wait_for("nothing to be open", lambda: not agent.query("SELECT 1 FROM effect WHERE closed_unix_ms IS NULL"))
    tool(program("ctl", "ssmctl"), "--root", agent.root, "audit", "verify")


def fails(world, disk_of):
    breaks(world, disk_of, LoopDisk.fail, can_read=False)


def turns_read_only(world, disk_of):
    breaks(world, disk_of, LoopDisk.turn_read_only, can_read=True)


# title, case, file systems, what mkfs is told, mount options
CASES = [*((title, case, ("ext4", "xfs", "btrfs"), (), "loop") for title, case in full.CASES.items()),
         ("inodes are gone", without_inodes, ("ext4",), ("-N", str(FEW_INODES)), "loop"),
         ("the device fails", fails, ("ext4", "xfs"), (), "loop"),
         ("read-only after an error", turns_read_only, ("ext4",), (), "loop,errors=remount-ro")]


def may_mount(kind):
    """None, or why this machine cannot have such a file system."""
    with tempfile.TemporaryDirectory() as directory:
        image, place = os.path.join(directory, "image"), os.path.join(directory, "place")
        os.mkdir(place)
        with open(image, "wb") as f:
            f.truncate(SIZE_MIB[kind] << 20)
        for words in ((*MKFS[kind], image), ("mount", "-o", "loop", image, place)):
            try:
                done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
            except OSError as error:
                return f"{words[0]}: {error.strerror}"
            if done.returncode != 0:
                return f"{words[0]}: {done.stdout.strip()}"
        subprocess.run(["umount", place], check=False)
    return None


def play(row, title, case, kind, make, options):
    world = World()
    disks = []

    def disk_of(in_world, agent):
        disks.append(LoopDisk(in_world, agent, kind, make, options))
        return disks[0]

    try:
        case(world, disk_of)
        if disks[0].freed_at is not None and case is not full.again_and_again:
            row.worst("back_to_work_s", time.monotonic() - disks[0].freed_at)
        world.end_politely()
        row.count(f"cases_on_{kind}")
    except Exception as error:  # a defect of the test is not a pass
        told = str(error) if isinstance(error, Failure) else traceback.format_exc()
        row.count("lost")
        row.fail("\n".join([f"{kind}: {title}: {told}", *world.logs()]))
    finally:
        world.end()


def run(row, scale):
    """Every case on every file system; a sample is the first on ext4."""
    skipped = {}
    for kind in MKFS if scale != "sample" else ("ext4",):
        why = may_mount(kind)
        if why is not None:
            skipped[kind] = why
            row.say(f"skipped: no {kind} on this machine: {why}")
    row.figure("filesystems_skipped", len(skipped))
    for title, case, kinds, make, options in CASES if scale != "sample" else CASES[:1]:
        for kind in kinds if scale != "sample" else kinds[:1]:
            if kind not in skipped:
                play(row, title, case, kind, make, options)
