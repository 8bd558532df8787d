#!/usr/bin/python3
"""R8: clocks that are set while commands run, between two lives of ssmd, and over a reboot; and machines that sleep.

tests/lib/clocks.c gives ssmd, its runners and ssmctl their clocks. Scripts and the test have the kernel's: a time limit is
measured by the script, from its first line to its SIGTERM, beside the same limit under an agent whose clocks nobody touches.
sample: a case of each kind.  row: every jump, every kind, several times.  long: the same, a hundred times."""
import concurrent.futures
import contextlib
import json
import mmap
import os
import signal
import struct
import subprocess
import time

from row import NO_CRIMES, Row

from harness import MARK, Failure, World, check, document, marked_processes, program, wait_for

DAY = 86400
YEAR = 365 * DAY
JUMPS = tuple(sign * s for s in (1, 60, 3600, DAY, 30 * DAY, YEAR, 10 * YEAR) for sign in (1, -1))
SLEEPS = (8, 60, 3600, DAY)  # the longest limit is two days
KINDS = ("mid", "start", "reboot")
TIMES = {"row": 2, "long": 100}
JOBS = 5
LIMIT_S = 5          # the least that counts
OFF_S = 1.0          # a limit may be off by
TRIES = 3            # a machine that stands still is no wrong limit: the least of so many
DEADLINE_S = 180
STILL = "mi-0ffffffffffffffff"
NOTED = "read up rest < /proc/uptime; echo $up >"
FIGURES = {**NO_CRIMES, "forgotten": ("==", 0), "order": ("==", 0), "limit_off_s": ("<=", OFF_S), "control": ("==", 0)}


class Clocks:
    """What tests/lib/clocks.c adds to wall time and boot time."""

    def __init__(self, path):
        with open(path, "wb") as f:
            f.truncate(24)
        self.path = path
        self.file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        self.memory = mmap.mmap(self.file, 24)
        self.wall = self.boot = self.n = 0

    def jump(self, wall_s=0.0, boot_s=0.0):
        self.wall += int(wall_s * 1e9)
        self.boot += int(boot_s * 1e9)
        self.n += 1
        struct.pack_into("<qqQ", self.memory, 0, self.wall, self.boot, self.n)

    def close(self):
        self.memory.close()
        os.close(self.file)

    @property
    def environment(self):
        return {"LD_PRELOAD": program("tests/lib", "clocks.so"), "SSMD_CLOCKS": self.path}


def uptime():
    with open("/proc/uptime", encoding="ascii") as f:
        return float(f.read().split()[0])


class Case:
    """One world: an agent whose clocks jump by `jump` seconds in the way of `kind`, and one beside it in peace."""

    def __init__(self, kind, jump, random):
        self.kind, self.jump, self.random = kind, jump, random
        self.crimes = []  # (figure, text)
        self.jobs = []    # of the agent, in the order in which they were sent

    def __str__(self):
        return f"{self.kind}, {self.jump:+} s"

    def crime(self, name, text):
        self.crimes.append((name, f"{self}: {text}"))

    def go(self):
        self.world = World()
        self.clocks = Clocks(self.world.path("clocks"))
        try:
            hub = self.world.hub("--log", "error")
            more = {"workers": 20, "KillGraceMillis": 5000}
            self.still = self.world.agent(hub, name="still", instance=STILL, **more)
            self.agent = self.world.agent(hub, environment=self.clocks.environment, **more)
            self.agent.config["Ssmd"]["RunnerPath"] = program("tests/lib", "ssmd-runner-dynamic")
            self.agent.write_config()
            for agent in (self.still, self.agent):
                agent.start().wait_until_serving()
            first = self.send(self.script("first", "exit 3"))
            self.want(first, "first", "Failed", 3)
            getattr(self, self.kind)()
            self.look_back()
            self.world.end_politely()
        except Failure as failure:
            self.crime("lost", "\n".join([str(failure), *self.world.logs()]))
        finally:
            self.clocks.close()
            self.world.end()
        return self

    # ---- scripts ----

    def script(self, name, rest):
        return f"echo run >> {self.world.path('ran.' + name)}; {rest}"

    def gated(self, name, code):
        go = self.world.path("go")
        return self.script(name, f"while [ ! -e {go} ]; do sleep 0.05; done; exit {code}")

    def limited(self, name):
        ended = self.world.path("ended." + name)
        return (f"trap '{NOTED} {ended}; exit 1' TERM; {NOTED} {self.world.path('begun.' + name)};"
                f" {self.script(name, 'while :; do sleep 0.05; done')}")

    def send(self, *scripts, agent=None, **inputs):
        agent = agent or self.agent
        message = agent.hub.send(document(*scripts, **inputs), instance=agent.instance)
        if agent is self.agent:
            self.jobs.append(message)
        return message

    def start_all(self, limit_s=LIMIT_S):
        """One that comes to its limit, here and beside; one that waits, one that is cancelled, one that asks for a reboot."""
        self.timed = self.send(self.limited("timed"), timeoutSeconds=str(limit_s))
        self.beside = self.send(self.limited("beside"), agent=self.still, timeoutSeconds=str(LIMIT_S))
        long = {"timeoutSeconds": str(limit_s + 3600)}
        self.waiting = self.send(self.gated("waiting", 7), **long)
        self.cancelled = self.send(self.script("cancelled", "while :; do sleep 0.05; done"), **long)
        for name in ("timed", "beside", "waiting", "cancelled"):
            self.world.wait_file("ran." + name, DEADLINE_S)

    def noted(self, name):
        """(begin, SIGTERM) as the script has noted them."""
        return [float(self.world.lines(f"{part}.{name}")[0]) for part in ("begun", "ended")]

    def measure(self, shortened_by=0.0):
        """How much the limit was off, beyond what it is under the agent in peace."""
        want = LIMIT_S
        begin, end = self.noted("timed")
        begin_beside, end_beside = self.noted("beside")
        beside = max(0.0, end_beside - begin_beside - want)
        off = end - begin - want - shortened_by
        self.off_s = max(0.0, off - beside if off > 0 else -off)

    # ---- what happens ----

    def mid(self):
        self.start_all()
        time.sleep(self.random.uniform(0, 3))  # anywhere within the limit
        self.clocks.jump(wall_s=self.jump)
        self.finish()

    def control(self):
        """What no machine does: boot time jumps while it is awake. The limit must be measured as wrong."""
        self.start_all()
        self.clocks.jump(boot_s=self.jump)
        self.finish()
        self.off_s = 0.0 if self.off_s > OFF_S else 99.0

    def start(self):
        self.start_all()
        self.agent.kill()
        self.clocks.jump(wall_s=self.jump)
        self.agent.start()
        self.finish()

    def reboot(self):
        """The clock of the next boot is another one, and what was asked for before it goes on."""
        done = self.world.path("reboot")
        torn = self.send(self.script("torn", "while :; do sleep 0.05; done"))
        self.world.wait_file("ran.torn", DEADLINE_S)
        twice = self.send(self.script("twice", f"[ -e {done} ] && exit 5; touch {done}; exit 194"))
        wait_for("a reboot to be asked for", lambda: self.agent.reboots_asked, DEADLINE_S)
        self.agent.lose_power()
        self.clocks.jump(wall_s=self.jump, boot_s=-uptime() + 1)
        self.agent.start()
        self.want(twice, "twice", "Failed", 5, times=2)
        self.want(torn, "torn", "Failed", None)
        self.start_all()
        self.finish()

    def sleep(self):
        """All of the machine stands still; then its clocks are ahead by the sleep. A limit that is over by then acts at
        once; of a longer one what is left counts."""
        self.start_all(limit_s=self.jump + LIMIT_S)
        over = self.send(self.limited("over"), timeoutSeconds=str(LIMIT_S + 1))
        self.world.wait_file("ran.over", DEADLINE_S)
        pids = [self.agent.process.pid, *(p for p in marked_processes(self.agent.mark) if p != self.agent.process.pid)]
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
        asleep = uptime()
        self.clocks.jump(wall_s=self.jump, boot_s=self.jump)
        awake = uptime()
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        self.finish()
        self.want(over, "over", "TimedOut", None)
        _, end = self.noted("over")
        if asleep - self.noted("over")[0] < LIMIT_S + 1:  # else the machine was so slow that it was over before
            self.off_s = max(self.off_s, end - awake)

    # ---- the ends ----

    def finish(self):
        """All that runs comes to its end, and so does what comes anew and again."""
        self.agent.hub.cancel(self.cancelled)
        self.world.touch("go")
        self.want(self.waiting, "waiting", "Failed", 7)
        self.want(self.cancelled, "cancelled", "Cancelled", None)
        self.want(self.timed, "timed", "TimedOut", None)
        wait_for("the limit beside", lambda: self.world.lines("ended.beside"), DEADLINE_S)
        self.measure()
        for message in self.jobs:
            self.agent.hub.redeliver(message)
        self.want(self.send(self.script("new", "exit 9")), "new", "Failed", 9)
        made = self.agent.query("SELECT max(seq), created_unix_ms AS at FROM instance WHERE machine = 'command'")[0]["at"] / 1000
        check(abs(made - time.time() - self.clocks.wall / 1e9) < DEADLINE_S, "ssmd does not have the time that it was given")

    def want(self, message, name, status, code, times=1):
        record = self.agent.wait_done(message, timeout=DEADLINE_S)
        got = [reply["Status"] for reply in record.terminal]
        if len(got) != 1:
            self.crime("statuses", f"{name} has {got}")
        if got[0] != status or (code is not None and record.results["step1"]["code"] != code):
            self.crime("result", f"{name} has {got} {record.results['step1']}, wanted {status} {code}")
        ran = len(self.world.lines("ran." + name))
        if ran != times:
            self.crime("twice" if ran > times else "unrun", f"{name} ran {ran} times")

    def ssmctl(self, *words):
        return subprocess.run([program("ctl", "ssmctl"), "--root", self.agent.root, *words], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, check=False, timeout=DEADLINE_S,
                              env={**os.environ, **self.clocks.environment, MARK: self.agent.mark})

    def look_back(self):
        """Nothing that was done is forgotten, open, or in another order; a life on all the clocks changes nothing of it."""
        self.agent.wait_until_serving()
        check(self.agent.terminate(DEADLINE_S) == 0, "ssmd did not end well")
        self.agent.start().wait_until_serving()
        if self.agent.query("SELECT 1 FROM effect WHERE closed_unix_ms IS NULL"):
            self.crime("open", "effects are open")
        audit = self.ssmctl("audit", "verify")
        if audit.returncode != 0:
            self.crime("audit", audit.stdout)
        listed = self.ssmctl("--json", "jobs", "--all")
        got = [job["job"] for job in json.loads(listed.stdout)["jobs"] if job["machine"] == "command"]
        sent = [message.split(".")[2] for message in self.jobs]
        if sorted(got) != sorted(sent):
            self.crime("forgotten", f"ssmctl lists {len(got)} of {len(sent)} jobs")
        elif got[0] != sent[-1] or got[-1] != sent[0]:
            self.crime("order", f"ssmctl lists {got}, sent was {sent}")


def play(case):
    """The case, again where its limit was off: what is wrong is wrong each time."""
    for n in range(TRIES):
        played = Case(*case).go()
        if played.crimes or played.off_s <= OFF_S:
            break
    played.tries = n + 1
    return played


def judge(row, case):
    row.count("cases")
    row.count("cases_repeated", case.tries > 1)
    for name, text in case.crimes:
        row.count(name)
        row.fail(text)
    if case.kind == "control":
        row.count("control", int(getattr(case, "off_s", 99.0) > 0))
    elif hasattr(case, "off_s"):
        row.worst("limit_off_s", round(case.off_s, 2))


def cases(scale, random):
    if scale == "sample":
        return [("mid", 10 * YEAR), ("start", -10 * YEAR), ("reboot", 3600), ("sleep", 3600), ("control", -3)]
    return [("control", -3)] + [case for _ in range(TIMES[scale])
            for case in [*((kind, jump) for kind in KINDS for jump in JUMPS), *(("sleep", s) for s in SLEEPS)]]


def run(row, scale, random):
    for name in FIGURES:
        if name != "limit_off_s":
            row.count(name, 0)
    all_cases = [(*case, type(random)(random.random())) for case in cases(scale, random)]
    done = row.state.setdefault("done", 0)
    with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
        for n, case in enumerate(pool.map(play, all_cases[done:]), done + 1):
            judge(row, case)
            row.state["done"] = n
            row.save()


if __name__ == "__main__":
    raise SystemExit(Row("R8", "wall clocks of ssmd and its runners set by 1 s to 10 years, forward and back, under running commands, "
                         "between two lives, over a reboot; sleeps of 8 s to a day; limits measured on a clock that nobody set",
                         FIGURES).main(run))
