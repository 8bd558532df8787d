"""Whole programs below which calls fail: the control file of tests/lib/failing, and runs of kill.py's scenarios in
which nothing dies by plan, but disk, memory, processes or descriptors are not to be had.
"""
import contextlib
import copy
import ctypes
import errno
import mmap
import os
import signal
import sqlite3
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "../integration"), os.path.join(HERE, "../crash/kill")]
import kill  # noqa: E402
from harness import Failure, World, check, program  # noqa: E402
from more_scenarios import TenSteps  # noqa: E402
from scenarios import UNKNOWN, Cancelled, OneStep, Reboot, StillRunning, with_fates  # noqa: E402

VERSION = 1
PATH_SIZE = 512
STACK_SIZE = 2048
MAX_PLACES = 65536
SSMD, RUNNER = 1, 2
CALLS = {"malloc": 1, "open": 2, "fork": 4, "socket": 8, "pipe": 16, "space": 32, "inodes": 64, "disk": 128}
NEVER, NTH, FROM_NTH, AT_PLACE, FROM_PLACE = range(5)

DEADLINE_S = 180  # of a whole run, on a busy machine
SEEN_S = 10       # so long a fault for good stands at the most, when nothing is to be seen of it
RESTART_S = 0.5   # the service manager's pause


class Place(ctypes.Structure):
    _fields_ = [("id", ctypes.c_uint64), ("first", ctypes.c_uint64)]


class Control(ctypes.Structure):
    """struct failing_control of tests/lib/failing/failing.h."""

    _fields_ = [("version", ctypes.c_uint32), ("programs", ctypes.c_uint32), ("calls", ctypes.c_uint32),
                ("mode", ctypes.c_uint32), ("error", ctypes.c_int32), ("is_placing", ctypes.c_uint32),
                ("n", ctypes.c_uint64), ("place", ctypes.c_uint64), ("root", ctypes.c_char * PATH_SIZE),
                ("n_calls", ctypes.c_uint64), ("n_hits", ctypes.c_uint64), ("room_bytes", ctypes.c_int64),
                ("n_places", ctypes.c_uint64), ("first_hit", ctypes.c_char * PATH_SIZE),
                ("stack", ctypes.c_char * STACK_SIZE), ("places", Place * MAX_PLACES)]


class Fault:
    """What is to fail: `kind` of CALLS, the n-th of them or the one at a place, once or for good."""

    def __init__(self, kind, error=0, n=0, place=0, is_for_good=False, programs=SSMD | RUNNER):
        self.kind, self.error, self.n, self.place = kind, error, n, place
        self.is_for_good, self.programs = is_for_good, programs

    @property
    def mode(self):
        if self.place:
            return FROM_PLACE if self.is_for_good else AT_PLACE
        if self.n:
            return FROM_NTH if self.is_for_good else NTH
        return NEVER

    def __str__(self):
        where = f"at place {self.place:x}" if self.place else f"number {self.n}"
        what = f"{self.kind} ({errno.errorcode[self.error]})" if self.error else self.kind
        return f"{what}, {where}, {'for good' if self.is_for_good else 'once'}"


class Layer:
    """The control file of one world."""

    def __init__(self, path, root, fault):
        self.path = path
        with open(path, "wb") as f:
            f.truncate(ctypes.sizeof(Control))
        self.file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        self.map = mmap.mmap(self.file, ctypes.sizeof(Control))
        self.control = Control.from_buffer(self.map)
        c = self.control
        c.programs, c.calls, c.error = fault.programs, CALLS[fault.kind], fault.error
        c.n, c.place, c.root = fault.n, fault.place, root.encode()
        c.is_placing = 1 if fault.mode == NEVER else 0
        c.mode, c.version = fault.mode, VERSION

    def lift(self):
        self.control.mode = NEVER

    def places(self):
        """(number of its first call, id), in the order in which they came."""
        c = self.control
        return sorted((p.first, p.id) for p in c.places if p.id)

    def close(self):
        self.places_seen = self.places() if self.control.is_placing else []
        self.n_calls, self.n_hits = self.control.n_calls, self.control.n_hits
        self.first_hit = self.control.first_hit.decode(errors="replace")
        self.stack = self.control.stack.decode(errors="replace").splitlines()
        self.control = None
        self.map.close()
        os.close(self.file)


# glibc's own (2.36): getaddrinfo() in a process that is short of memory uses what it did not get, or asserts. No call of
# ours can keep it from that; it is counted, and what follows is judged as after any other death.
LIBC_DEFECTS = ("nss_database.c", "resolv_conf.c")
LEAKED = 99  # the status of a program in which a sanitizer has found something
ENVIRONMENT = {"ASAN_OPTIONS": "verify_asan_link_order=0:detect_leaks=1:allocator_may_return_null=1:exitcode=%d" % LEAKED,
               "UBSAN_OPTIONS": "exitcode=%d" % LEAKED}


class Run(kill.Run):
    """One world in which something fails. Crimes beyond kill.py's: `crash` (ended by a signal, or by something
    else than "try again"), `slow` (not back at work in time), `unread` (ssmctl could not read), `unrecorded` (no
    room for the end of what ran)."""

    def __init__(self, scenario, fault, limit_s=60):
        super().__init__(scenario, ())
        self.fault = fault
        self.limit_s = limit_s
        self.layer = None
        self.restarts = self.n_unknown = self.n_libc = 0
        self.lifted_at = self.hit_at = self.back_s = None
        self.story = []

    # ---- what fails ----

    def start(self):
        if self.layer is None:
            self.agent.config["Ssmd"]["RunnerPath"] = program("tests/lib", "ssmd-runner-dynamic")
            self.agent.write_config()
            self.layer = Layer(self.world.path("failing"), self.agent.state_dir, self.fault)
        self.n_starts += 1
        self.agent.start(LD_PRELOAD=program("tests/lib", "failing.so"), FAILING_CONTROL=self.layer.path,
                         **ENVIRONMENT)

    def is_trouble_seen(self):
        """What an operator would see: the status says so, or ssmd ended and said why."""
        if not self.agent.is_up:
            return True
        with contextlib.suppress(OSError, ValueError):
            status = self.agent.status()
            return status is not None and status["journal"]["state"] != "ok"
        return False

    def watch(self):
        """A fault for good is lifted once it was seen, or when there is nothing to be seen of it."""
        if not self.fault.is_for_good or self.lifted_at or not self.layer.control.n_hits:
            return
        self.hit_at = self.hit_at or time.monotonic()
        if not self.is_trouble_seen() and time.monotonic() < self.hit_at + SEEN_S:
            return
        self.in_trouble()
        self.layer.lift()
        self.lifted_at = time.monotonic()

    def in_trouble(self):
        self.look_while_it_stands()
        done = subprocess.run([program("ctl", "ssmctl"), "--root", self.agent.root, "jobs"], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, check=False)
        if done.returncode != 0 and os.path.exists(self.agent.journal_path):
            tables = self.agent.query("SELECT name FROM sqlite_master WHERE name = 'instance'")
            if tables:  # else there is nothing to read yet
                self.crimes.append(kill.Crime("unread", f"ssmctl jobs ended with {done.returncode}: {done.stdout}"))
        self.end_what_runs()

    def end_what_runs(self):
        """On a full disk what runs must be able to record its end, in the room that was set aside for that."""
        exit_record = os.path.join(self.agent.jobs_dir, self.job, "0.1", "exit")
        if not isinstance(self.scenario, StillRunning) or self.fault.kind == "disk" or not self.ran(1) \
                or self.world.lines("go"):
            return
        self.world.touch("go")
        end = time.monotonic() + DEADLINE_S
        while not os.path.exists(exit_record):
            if time.monotonic() > end:
                self.crimes.append(kill.Crime("unrecorded", "no record of the script's end on a full disk"))
                return
            time.sleep(kill.TICK_S)

    def look_while_it_stands(self):
        """Nothing acknowledged, answered or started that the journal does not know."""
        for _ in range(20):
            if self.agent.is_up:
                self.agent.process.send_signal(signal.SIGSTOP)
            try:
                self.look_after_death()
                return
            except sqlite3.OperationalError:  # stopped in the middle of a checkpoint
                pass
            finally:
                if self.agent.is_up:
                    self.agent.process.send_signal(signal.SIGCONT)
            time.sleep(0.05)

    def has_written(self, step_directory):
        return super().has_written(step_directory) or bool(self.layer.control.n_hits and self.is_output_lost())

    def is_output_lost(self):
        return self.layer.control.first_hit.decode(errors="replace").endswith(("/stdout", "/stderr"))

    # ---- its life ----

    def note_end(self):
        status = self.agent.process.returncode
        self.restarts += 1
        if status == LEAKED:
            self.crimes.append(kill.Crime("leaks" if "LeakSanitizer" in self.agent.log() else "crash",
                                          "a sanitizer has found something"))
            raise kill.Crime("lost", "ssmd is not started again after that")
        if status < 0 and self.is_libcs_own():
            self.n_libc += 1
        elif status != 111:
            self.crimes.append(kill.Crime("crash", f"ssmd ended with {status}"))
        if not self.agent.log().strip():
            self.crimes.append(kill.Crime("crash", f"ssmd ended with {status} and did not say why"))
        check(self.restarts < 50, "ssmd does not stay up")
        time.sleep(RESTART_S)

    def is_libcs_own(self):
        frames = self.layer.control.stack.decode(errors="replace").splitlines()
        return any(name in name_frame(frame, program("agent", "ssmd")) for frame in frames[:4] for name in LIBC_DEFECTS)

    def live_until(self, what, is_so):
        end = time.monotonic() + DEADLINE_S
        while True:
            self.watch()
            if not self.agent.is_up:
                self.note_end()
                self.revive()
            self.scenario.tick(self)
            if is_so():
                return
            check(not World.is_last, "the test was stopped")
            if time.monotonic() > end:
                raise kill.Crime("lost", f"waited {DEADLINE_S} s for {what}: it is "
                                         f"{self.message and self.agent.job_state(self.message)}, the hub has "
                                         f"{self.message and self.record().sequence}")
            time.sleep(kill.TICK_S)

    def end_politely(self):
        while True:
            self.live_until("all jobs to be done", lambda: self.agent.status() and self.are_jobs_done())
            self.agent.process.terminate()
            status = self.agent.wait_end(60)
            if status == 0:
                break
            self.note_end()
        if self.lifted_at:
            self.back_s = time.monotonic() - self.lifted_at
            if self.back_s > self.limit_s:
                self.crimes.append(kill.Crime("slow", f"{self.back_s:.0f} s until the work was done"))

    def judge(self):
        self.allow_unknown()
        super().judge()

    def allow_unknown(self):
        """A runner that can neither finish nor remove its record of the start leaves it there, and does not begin.
        Nobody can tell that from a script whose end was not seen, so its outcome is unknown: never a success."""
        want = self.scenario.wanted(self)
        if want is None or not self.fault.is_for_good or self.fault.kind != "disk":
            return
        results = self.record().results
        fates = ["lost" if results.get(f"step{n}", {}).get("code") == UNKNOWN and self.ran(n) < told[4] else "true"
                 for n, told in enumerate(want.steps, 1)]
        if "lost" in fates:
            self.n_unknown = 1
            self.scenario = copy.copy(self.scenario)
            self.scenario.wanted = lambda run: with_fates(want, fates)

    def judge_step(self, n, got, told):
        if self.is_output_lost():
            told = (told[0], told[1], None, None, told[4])  # output that no disk took: counted, and said
        super().judge_step(n, got, told)

    def go(self):
        try:
            super().go()
        finally:
            if self.layer is not None:
                self.layer.close()
        return self


def play(scenario, fault, limit_s=60):
    """A run that has ended, whatever came of it."""
    run = Run(scenario, fault, limit_s)
    try:
        run.go()
    except Exception as error:  # a defect of the test is not a pass
        run.crimes.append(kill.Crime("lost", f"the test failed: {type(error).__name__}: {error}"))
    return run


def name_frame(frame, main):
    """A line of Control.stack, as function and line where there are any."""
    name, _, at = frame.rpartition(" ")
    done = subprocess.run(["addr2line", "-fspe", name or main, hex(int(at, 16) - 1)], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, text=True, check=False)
    text = done.stdout.strip()
    return text if text and not text.startswith("??") else f"{os.path.basename(name or main)} {at}"


def tell(run):
    """What went wrong, in one text."""
    hit, stack = "", []
    if run.layer is not None and hasattr(run.layer, "first_hit"):
        hit = run.layer.first_hit
        main = program("tests/lib", "ssmd-runner-dynamic") if hit.startswith("runner") else program("agent", "ssmd")
        stack = [name_frame(frame, main) for frame in run.layer.stack]
    return "\n".join([f"{run.scenario.name}: {run.fault} [{hit}]",
                      *(f"  {crime.kind}: {crime}" for crime in run.crimes),
                      *(f"  at {frame}" for frame in stack),
                      *(f"    {line}" for line in run.story)])


__all__ = ["CALLS", "Cancelled", "Failure", "Fault", "OneStep", "Reboot", "Run", "StillRunning", "TenSteps", "play", "tell"]
