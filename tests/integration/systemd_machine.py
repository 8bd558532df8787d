"""A machine with a real systemd: process 1 of namespaces of its own (processes, mounts, host name, IPC, cgroups, and time where
the kernel has it), on an overlay over the root of systemd_image.py. It boots within seconds. Its network is that of the test,
which is not the host's: own_network().

`power_off()` is SIGKILL to its process 1, with which the kernel ends all others at once: a reset. What was written and not
synced stays (the loss of that is R2's and R4's). Each boot has a boot id of its own."""
import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import time
import uuid

import systemd_image
from harness import Failure, check, wait_for

CLONE_NEWNET = 0x40000000
BOOT_S = 120
COMMAND_S = 180
UPPER = "upper"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
Unavailable = systemd_image.Unavailable

# In new namespaces; $1 the image, $2 the machine's directory, $3 its cgroup's name.
INIT = r"""set -e
mount --make-rprivate /
root=$2/root
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" "$root"
cd "$root"
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
if mountpoint -q sys/fs/cgroup; then umount sys/fs/cgroup; fi
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs tmpfs tmp
mount -t tmpfs -o mode=755 tmpfs dev
mkdir dev/pts dev/shm
for name in null zero full random urandom tty; do : >dev/$name; mount --bind /dev/$name dev/$name; done
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
# What belongs to the kernel that all share is not this machine's to change.
mount --bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys
mount --bind "$2/boot_id" proc/sys/kernel/random/boot_id
if [ -e proc/sysrq-trigger ]; then mount --bind dev/null proc/sysrq-trigger; fi
pivot_root . mnt
umount -l /mnt
exec env -i container=other PATH="$PATH" setpriv --bounding-set=-sys_module,-sys_time,-sys_rawio /lib/systemd/systemd --show-status=0 --log-target=journal
"""


def own_network():
    """A network namespace for this process and all that it starts, with loopback alone. Before the first thread,
    and after why_not(): an image comes from the network."""
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET) < 0:
        raise Unavailable(f"a network namespace cannot be made here: {os.strerror(ctypes.get_errno())}")
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def cgroup_mount():
    with open("/proc/self/mounts", encoding="utf-8") as f:
        for line in f:
            _, where, kind = line.split()[:3]
            if kind == "cgroup2":
                return where
    raise Unavailable("cgroup2 is mounted nowhere, and systemd needs it")


def why_not():
    """Why there can be no machine here, or None. Makes the image, if it is not there yet."""
    try:
        if os.geteuid():
            return "only root can boot a machine"
        probe = os.path.join(cgroup_mount(), f"ssmd-probe-{os.getpid()}")
        os.mkdir(probe)
        os.rmdir(probe)
        done = subprocess.run([*unshare_words(), "true"], capture_output=True, text=True, check=False)
        if done.returncode:
            return f"namespaces cannot be made here: {done.stderr.strip()}"
        systemd_image.image()
    except Unavailable as reason:
        return str(reason)
    except OSError as error:
        return f"a cgroup cannot be made here: {error}"
    return None


def unshare_words():
    words = ["unshare", "--pid", "--fork", "--mount", "--uts", "--ipc", "--cgroup", "--kill-child=KILL"]
    if os.path.exists("/proc/self/ns/time"):
        # The clock since the boot begins anew, as on a machine.
        gone = int(time.clock_gettime(time.CLOCK_BOOTTIME)) - 1
        words += ["--time", "--boottime", str(-gone), "--monotonic", str(-int(time.clock_gettime(time.CLOCK_MONOTONIC)) + 1)]
    return words


class Off(Failure):
    """It is off, or went off meanwhile."""


class SystemdMachine:
    """One machine, with its disk in `directory`."""

    def __init__(self, directory):
        self.dir = directory
        self.image = systemd_image.image()
        self.cgroup = os.path.join(cgroup_mount(), f"ssmd-{uuid.uuid4().hex[:12]}")
        self.process = self.pid = None  # unshare, and its child: the machine's process 1
        self.boot_ids = []
        for name in (UPPER, "work", "root"):
            os.makedirs(os.path.join(directory, name))

    # ---- power ----

    def boot(self):
        """On, until systemd has started what it was to start."""
        check(not self.is_on, "it is on")
        self.boot_ids.append(str(uuid.uuid4()))
        with open(os.path.join(self.dir, "boot_id"), "w", encoding="ascii") as f:
            f.write(self.boot_ids[-1] + "\n")
        os.makedirs(self.cgroup, exist_ok=True)
        join = f'echo $$ > "{self.cgroup}/cgroup.procs" && exec "$@"'
        with open(os.path.join(self.dir, "console"), "ab") as console:
            self.process = subprocess.Popen(
                ["sh", "-c", join, "sh", *unshare_words(), "sh", "-c", INIT, "sh", self.image, self.dir],
                env={"PATH": PATH}, stdin=subprocess.DEVNULL, stdout=console, stderr=console, start_new_session=True)
        self.pid = wait_for("process 1", self._child, BOOT_S)
        wait_for(lambda: f"the boot to end: {self.ask('systemctl is-system-running')} {self.console()}",
                 lambda: self.ask("systemctl is-system-running")[1].strip() in ("running", "degraded"), BOOT_S, every=0.1)
        return self

    def _child(self):
        check(self.is_on, f"the machine went off at once: {self.console()}")
        with contextlib.suppress(OSError), open(f"/proc/{self.process.pid}/task/{self.process.pid}/children", encoding="ascii") as f:
            for pid in f.read().split():
                with open(f"/proc/{pid}/comm", encoding="ascii") as comm:
                    if comm.read().strip() == "systemd":
                        return int(pid)
        return None

    @property
    def is_on(self):
        return self.process is not None and self.process.poll() is None

    def power_off(self):
        """Everything ends at once."""
        if self.process is None:
            return self
        with contextlib.suppress(ProcessLookupError):
            if self.pid:
                os.kill(self.pid, signal.SIGKILL)
            else:
                os.killpg(self.process.pid, signal.SIGKILL)
        self._gone()
        return self

    def reset(self):
        return self.power_off().boot()

    def wait_reboot(self, timeout=COMMAND_S):
        """Until it has ended itself in order to boot, and has booted."""
        try:
            status = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise Failure(f"the machine did not reboot within {timeout} s: {self.ask('systemctl list-jobs')}") from None
        self._gone()
        # What reboot() tells the parent of a process 1 that is not the kernel's: SIGHUP, where a halt is SIGINT.
        check(status in (-signal.SIGHUP, 128 + signal.SIGHUP), f"the machine went off with {status}, that is no reboot")
        return self.boot()

    def _gone(self):
        try:
            self.process.wait(COMMAND_S)
        except subprocess.TimeoutExpired:
            raise Failure("the machine's processes do not end when they are killed") from None
        self.process = self.pid = None
        for folder, _, _ in os.walk(self.cgroup, topdown=False):
            wait_for(f"{folder} to be empty", lambda folder=folder: self._remove_group(folder))

    @staticmethod
    def _remove_group(folder):
        with contextlib.suppress(OSError):
            os.rmdir(folder)
        return not os.path.exists(folder)

    def end(self):
        self.power_off()
        shutil.rmtree(self.dir, ignore_errors=True)

    # ---- commands ----

    def command(self, *words):
        """The words that run `words` in the machine."""
        check(self.is_on, "the machine is off")
        time_words = ["-T"] if os.path.exists("/proc/self/ns/time") else []
        return ["nsenter", "-t", str(self.pid), "-m", "-u", "-i", "-p", "-C", *time_words, "env", "-i", f"PATH={PATH}", "HOME=/root",
                "LC_ALL=C", *words]

    def ask(self, text, stdin=None, timeout=COMMAND_S):
        """Status and output of a line of sh."""
        if not self.is_on:
            return 255, "the machine is off"
        try:
            done = subprocess.run(self.command("sh", "-c", text), input=stdin, stdin=None if stdin else subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=timeout, check=False)
        except subprocess.TimeoutExpired:
            raise Failure(f"{text}: not done within {timeout} s") from None
        return done.returncode, done.stdout.decode(errors="replace")

    def must(self, text, stdin=None):
        """Its output, if its status is 0."""
        status, said = self.ask(text, stdin)
        if status:
            raise Off(f"{text}: {said}") if not self.is_on else Failure(f"{text}: status {status}: {said}")
        return said

    def wait_until(self, what, text, timeout=COMMAND_S):
        """Until the line of sh ends with 0; its output."""
        last = []

        def holds():
            last[:] = self.ask(text)
            return last[0] == 0
        wait_for(lambda: f"{what}: {text}: {last}\n{self.tell()}", holds, timeout, every=0.1)
        return last[1]

    # ---- files ----

    def write(self, path, data, mode=0o644):
        """A file of the machine, which is on or not."""
        data = data if isinstance(data, bytes) else data.encode()
        if self.is_on:
            self.must(f"mkdir -p '{os.path.dirname(path)}' && cat >'{path}' && chmod {mode:o} '{path}'", data or b"\n"[:0])
            return
        real = os.path.join(self.dir, UPPER, path.lstrip("/"))
        os.makedirs(os.path.dirname(real), exist_ok=True)
        with open(real, "wb") as f:
            f.write(data)
        os.chmod(real, mode)

    def read(self, path):
        """What the machine has written to a file, as it is on the disk; None without it."""
        with contextlib.suppress(OSError), open(os.path.join(self.dir, UPPER, path.lstrip("/")), encoding="utf-8", errors="replace") as f:
            return f.read()
        return None

    # ---- what it says ----

    def console(self):
        with contextlib.suppress(FileNotFoundError), open(os.path.join(self.dir, "console"), encoding="utf-8", errors="replace") as f:
            return f.read()[-2000:]
        return ""

    def tell(self, n_lines=60):
        """What its services said last."""
        return self.ask(f"systemctl --failed --no-legend; journalctl -q -n {n_lines} -o short-monotonic --no-hostname")[1]
