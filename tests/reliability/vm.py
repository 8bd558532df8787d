"""A virtual machine that can be reset and lose its power: QEMU with the disk of vm_image.py behind vm_disk.py, and nothing else
to be reached than the port of this host that it is given. The processor is KVM's where a guest runs with it, else emulated."""
import base64
import contextlib
import functools
import json
import os
import re
import signal
import socket
import subprocess
import time
import uuid

import harness
import vm_image
from harness import Failure, check
from vm_disk import Disk

HUB_URL = "http://10.0.2.100:8080"  # as the guest sees it
BOOT_S = 900    # an emulated processor, on a host that is busy with other things
COMMAND_S = 300
KVM_TRIAL_S = 20
KERNEL_ARGUMENTS = ("root=/dev/nvme0n1 ro console=ttyS0 panic=-1 nokaslr mitigations=off random.trust_cpu=on "
                    "systemd.show_status=false audit=0")
NEVER = b"\0 what no shell says \0"
READY = re.compile(rb"READY ([0-9a-f-]{36})\n")


class Rebooted(Failure):
    """What was asked of the machine ended with the boot that it was asked in."""


@functools.lru_cache(None)
def accelerator():
    """KVM where it takes this kernel to the place where it looks for its disk; there are hosts where it only seems to work."""
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "tcg"
    _, kernel = vm_image.image()
    with contextlib.suppress(subprocess.TimeoutExpired):
        done = subprocess.run(["qemu-system-x86_64", "-accel", "kvm", "-m", "256", "-display", "none", "-no-reboot", "-serial",
                               "stdio", "-kernel", kernel, "-append", "console=ttyS0 panic=-1"], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=KVM_TRIAL_S, check=False)
        if b"Unable to mount root" in done.stdout:
            return "kvm"
    return "tcg"


class Machine:
    """One machine with a disk of its own in `directory`."""

    def __init__(self, directory, hub_port):
        self.dir, self.hub_port = directory, hub_port
        os.makedirs(directory, exist_ok=True)
        image, self.kernel = vm_image.image()
        self.disk_path = os.path.join(directory, "disk.raw")
        subprocess.run(["cp", "--sparse=always", image, self.disk_path], check=True)
        self.disk = Disk(self.disk_path, self.path("disk.sock"))
        self.process = self.qmp = self.console = None
        self.unread = b""
        self.boots = []  # boot ids, in their order

    def path(self, name):
        return os.path.join(self.dir, name)

    # ---- power ----

    def power_on(self):
        for name in ("qmp.sock", "console.sock"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.path(name))
        accel = accelerator()
        with open(self.path("qemu.log"), "ab") as log:
            self.process = subprocess.Popen(
                ["qemu-system-x86_64", "-accel", accel, "-cpu", "host" if accel == "kvm" else "qemu64,+rdrand", "-m", "512", "-smp", "1",
                 "-display", "none", "-nodefaults", "-rtc", "base=utc",
                 "-kernel", self.kernel, "-append", KERNEL_ARGUMENTS,
                 "-blockdev", f"driver=nbd,node-name=disk,server.type=unix,server.path={self.path('disk.sock')}",
                 "-device", "nvme,drive=disk,serial=disk",
                 "-netdev", f"user,id=net,restrict=on,guestfwd=tcp:10.0.2.100:8080-cmd:nc -N 127.0.0.1 {self.hub_port}",
                 "-device", "virtio-net-pci,netdev=net",
                 "-chardev", f"file,id=serial,path={self.path('serial.log')},append=on", "-serial", "chardev:serial",
                 "-chardev", f"socket,id=console,path={self.path('console.sock')},server=on,wait=off", "-serial", "chardev:console",
                 "-qmp", f"unix:{self.path('qmp.sock')},server=on,wait=off"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        self.qmp = self._connect("qmp.sock").makefile("rwb")
        self.qmp.readline()
        self._command("qmp_capabilities")
        self.console = self._connect("console.sock")
        self.unread = b""
        return self

    def reset(self):
        """The reset button: what was in memory is gone, what the disk was given stays."""
        self._command("system_reset")

    def lose_power(self, random):
        """The plug: memory is gone, and of what the disk has not been told to keep a random part. Returns what Disk does."""
        self._end_process()
        return self.disk.lose_power(random)

    def is_on(self):
        return self.process is not None and self.process.poll() is None

    def wait_off(self, timeout=COMMAND_S):
        """Until the guest has switched itself off."""
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise Failure(f"the machine did not switch itself off within {timeout} s") from None
        self._end_process()

    def _end_process(self):
        if self.process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)  # and the connections to the hub
        self.process.wait()
        for stream in (self.qmp, self.console):
            if stream:
                stream.close()
        self.process = self.qmp = self.console = None

    def end(self):
        self._end_process()
        self.disk.close()

    def _connect(self, name):
        def attempt():
            check(self.is_on(), f"QEMU ended at once: {self.tail('qemu.log')}")
            s = socket.socket(socket.AF_UNIX)
            try:
                s.connect(self.path(name))
                return s
            except OSError:
                s.close()
                return None
        return harness.wait_for(f"QEMU's {name}", attempt)

    def _command(self, name):
        self.qmp.write(json.dumps({"execute": name}).encode() + b"\n")
        self.qmp.flush()
        while True:
            line = self.qmp.readline()
            check(line, f"QEMU has gone: {self.tail('qemu.log')}")
            answer = json.loads(line)
            if "event" not in answer:
                check("return" in answer, f"{name}: {answer}")
                return

    def tail(self, name="serial.log", n_lines=60):
        with contextlib.suppress(FileNotFoundError), open(self.path(name), encoding="utf-8", errors="replace") as f:
            return "\n".join(line.rstrip() for line in f.readlines()[-n_lines:])
        return ""

    # ---- the shell on the second serial line ----

    def _read_until(self, end, deadline):
        """What came before `end`, or None. Nothing of it is lost when it does not come."""
        while True:
            before, found, after = self.unread.partition(end)
            if found:
                self.unread = after
                return before
            check(not harness.World.is_last, "the test was stopped")
            left = deadline - time.monotonic()
            if left <= 0:
                return None
            self.console.settimeout(min(left, 1))
            try:
                more = self.console.recv(65536)
            except socket.timeout:
                continue
            except ConnectionError:
                more = b""
            check(more, f"QEMU has gone: {self.process.poll()} {self.tail('qemu.log')}")
            self.unread += more
            if self._note_boots():
                raise Rebooted("the machine was booted meanwhile")

    def _note_boots(self):
        """A shell says at its begin of which boot it is. What came before is of a life that is over."""
        has_begun = False
        while found := READY.search(self.unread):
            self.unread = self.unread[found.end():]
            has_begun = True
            if found[1].decode() not in self.boots:
                self.boots.append(found[1].decode())
        return has_begun

    def wait_boot(self, timeout=BOOT_S):
        """After a reset or when it was switched on: until the shell of another boot answers. Returns the boot's id."""
        before, deadline = len(self.boots), time.monotonic() + timeout
        while time.monotonic() < deadline:
            with contextlib.suppress(Rebooted):
                if len(self.boots) == before:
                    self._read_until(NEVER, deadline)
                else:
                    self.ask("true", max(1, deadline - time.monotonic()))
                    return self.boots[-1]
        raise Failure(f"no other boot within {timeout} s; the machine says:\n{self.tail()}")

    def tell(self, script):
        """A shell script, of which nobody waits for what it says."""
        self.console.settimeout(COMMAND_S)
        self.console.sendall(f"\n{script}\n".encode())

    def ask(self, script, timeout=COMMAND_S):
        """(status, what it said) of a shell script. Rebooted when the machine was, before it answered."""
        word = uuid.uuid4().hex
        self.tell(f"o=$( {{ ( {script}\n); s=$?; echo; echo $s; }} 2>&1 </dev/null | base64 -w0 ); "
                  f"printf 'B%s %s E%s\\n' {word} \"$o\" {word}")
        deadline = time.monotonic() + timeout
        if self._read_until(f"B{word} ".encode(), deadline) is not None:
            text = self._read_until(f" E{word}\n".encode(), deadline)
            if text is not None:
                said = base64.b64decode(text).decode("utf-8", "replace")
                said, _, status = said.rstrip("\n").rpartition("\n")
                return int(status), said
        raise Failure(f"no answer within {timeout} s to: {script}\nthe machine says:\n{self.tail()}")

    def must(self, script, timeout=COMMAND_S):
        status, said = self.ask(script, timeout)
        check(status == 0, f"the machine was told: {script}\nit ended with {status}: {said}")
        return said

    def wait_for(self, what, script, timeout=BOOT_S):
        """What a script says as soon as it succeeds."""
        said = []

        def attempt():
            with contextlib.suppress(Rebooted):
                said[:] = self.ask(script)
                return said[0] == 0
            return False
        harness.wait_for(lambda: f"{what}; it says {said}; the machine:\n{self.tail()}", attempt, timeout, every=0.3)
        return said[1]

    # ---- the disk of a machine that is off ----

    def take(self, path, to):
        """A file of the disk while the machine is off, or None where there is none."""
        check(not self.is_on(), "the disk is in use")
        subprocess.run(["debugfs", "-R", f"dump {path} {to}", self.disk_path], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                       check=True)
        if os.path.exists(to) and os.path.getsize(to):
            return to
        return None
