"""A steady flow of commands of all kinds, and SIGKILL for ssmd and its runners at random moments: the work of row R3.

One `Storm` is one world for a minute or two. A supervisor starts ssmd again at once. What really happened is written by the
scripts themselves into a directory of their own, a line when one begins and one when it ends; what a killed runner or a lost
boot left on the disk is noted at that moment (`fate_of`). When the flow has drained, what the service was told is compared
with that."""
import collections
import contextlib
import json
import os
import select
import signal
import subprocess
import time
import uuid

from harness import Failure, Record, World, check, document, marked_processes, program, wait_for

UNKNOWN = 1000  # the code of a step whose end nobody saw
EXIT_OFFSET = 4096  # of the record of the end, behind that of the start
WORKERS = 12
STALLED_S = 180  # without any progress: lost
TICK_S = 0.02


class Command:
    """One command: its steps as (script, exit code, output), and what may come of it."""

    is_cancelled = is_timed_out = False
    reboots = 0

    def __init__(self, n, steps, **inputs):
        self.n, self.steps, self.inputs = n, steps, inputs
        self.job = str(uuid.uuid4())
        self.message = self.cancel_at = None

    def document(self, truth):
        scripts = []
        for s, (script, code, _) in enumerate(self.steps):
            name = f"{truth}/{self.n}.{s}"
            scripts.append(f"echo b >> {name}; {script.replace('@TRUTH@', name)}; echo e >> {name}; exit {code}")
        return document(*scripts, **self.inputs)


# ---- kinds of commands: (n, random) -> Command ----

def quick(n, random):
    return Command(n, [(f"echo one {n}", random.choice((0, 0, 1, 7, 255)), f"one {n}\n")])


def three_steps(n, random):
    return Command(n, [(f"echo {s}; sleep 0.{random.randrange(5)}", code, f"{s}\n") for s, code in enumerate((0, 3, 0))])


def ten_steps(n, random):
    return Command(n, [(f"echo {s}", 0, f"{s}\n") for s in range(10)])


def sleeper(n, random):
    return Command(n, [(f"echo asleep; sleep {random.uniform(0.3, 5):.1f}; echo awake", 0, "asleep\nawake\n")])


def forker(n, random):
    """Leaves children behind, one in another session, without the output."""
    return Command(n, [("sleep 1 >/dev/null 2>&1 & setsid sleep 1 >/dev/null 2>&1 & echo forked", 4, "forked\n")])


def closer(n, random):
    return Command(n, [("echo last; exec >&- 2>&-; sleep 0.5", 3, "last\n")])


def loud(n, random):
    return Command(n, [("seq 1 150000", 0, None)])


def stubborn(n, random):
    """Does not end by itself, nor for SIGTERM."""
    command = Command(n, [("trap '' TERM; echo begun; while :; do sleep 0.1; done", 0, None)], timeoutSeconds=5)
    command.is_timed_out = True
    return command


def cancelled(n, random):
    command = Command(n, [(f"echo begun; sleep {random.uniform(1, 8):.1f}", 0, "begun\n"), ("echo more", 0, "more\n")])
    command.is_cancelled = True
    command.cancel_at = random.uniform(0, 8)
    return command


def reboots(n, random):
    command = Command(n, [("echo x; [ $(grep -c b @TRUTH@) -gt 1 ] || { echo e >> @TRUTH@; exit 194; }", 0, "x\nx\n"),
                          ("echo after", 0, "after\n")])
    command.reboots = 1
    return command


KINDS = ((quick, 30), (three_steps, 15), (ten_steps, 5), (sleeper, 25), (forker, 5), (closer, 5), (loud, 4), (stubborn, 4),
         (cancelled, 10), (reboots, 1))


# ---- what is on the disk ----

def read(path):
    try:
        with open(path, "rb") as f:
            return f.read()
    except FileNotFoundError:
        return b""


def fate_of(directory, runner=None):
    """What the records of an attempt tell: "true" (its end is on disk), "lost" (it may have begun), or "unbegun". With
    `runner`: of that runner, and "unbegun" if the records are another's."""
    for name, is_last in (("exit", True), ("started", True), (".started.tmp", False)):
        data = read(os.path.join(directory, name))
        if not data:
            continue
        start, end = data[:EXIT_OFFSET], data[EXIT_OFFSET:].split(b"\0")[0]
        if runner is not None and start.strip(b"\0") and f"\nrunner_pid={runner}\n".encode() not in start:
            return "unbegun"
        if end.endswith(b"\nend\n") or name == "exit":
            return "true"
        return "lost" if is_last or start.split(b"\0")[0].endswith(b"\nend\n") else "unbegun"
    return "unbegun"


class Storm:
    """One round. `crimes` counts what went wrong in the words of kill.py, and false_success; `stories` tells it."""

    def __init__(self, random, n_commands, n_kills):
        self.random = random
        self.n_commands, self.n_kills = n_commands, n_kills
        self.is_control = random.random() < 0.5
        self.crimes = collections.Counter()
        self.deaths = collections.Counter()
        self.stories = []
        self.commands = []
        self.cancels = set()  # their message ids
        self.fates = {}  # (job, "<step>.<attempt>") -> "lost": its runner died before its end was on disk
        self.reboots_served = 0

    def accuse(self, kind, text):
        self.crimes[kind] += 1
        if len(self.stories) < 20:
            self.stories.append(f"{kind}: {text}")

    # ---- the world ----

    def send(self):
        make = self.random.choices([kind for kind, _ in KINDS], [weight for _, weight in KINDS])[0]
        command = make(len(self.commands), self.random)
        command.message = self.hub.send(command.document(self.truth), command_id=command.job)
        if command.cancel_at is not None:
            command.cancel_at += time.monotonic()
        self.commands.append(command)

    def send_cancels(self, now):
        for command in self.commands:
            if command.cancel_at is not None and command.cancel_at <= now:
                self.cancels.add(self.hub.cancel(command.message))
                command.cancel_at = None

    def kill(self):
        if self.random.random() < 0.3:
            self.kill_runner()
        else:
            self.agent.process.kill()
            self.agent.process.wait()

    def kill_runner(self):
        runners = []
        for pid in marked_processes(self.agent.mark):
            with contextlib.suppress(OSError):
                if os.path.basename(os.readlink(f"/proc/{pid}/exe")) == "ssmd-runner":
                    runners.append(pid)
        if not runners:
            return
        pid = self.random.choice(runners)
        try:
            fd = os.pidfd_open(pid)
        except ProcessLookupError:
            return
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                words = f.read().decode().split("\0")
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(fd, signal.SIGKILL)
            select.select([fd], [], [])
        except OSError:  # it has ended meanwhile
            return
        finally:
            os.close(fd)
        directory = next((word for word in words if word.startswith(self.agent.jobs_dir)), None)
        if directory is None:
            return  # not yet, or no longer, a runner with a directory: between fork and exec
        self.deaths["runner"] += 1
        self.note_fate(directory, fate_of(directory, pid))

    def note_fate(self, directory, fate):
        if fate == "lost":
            job, attempt = directory.rstrip("/").split("/")[-2:]
            self.fates[job, attempt] = fate

    def note_lost_boot(self):
        for job in os.listdir(self.agent.jobs_dir):
            for attempt in os.listdir(os.path.join(self.agent.jobs_dir, job)):
                directory = os.path.join(self.agent.jobs_dir, job, attempt)
                if os.path.isdir(directory):
                    self.note_fate(directory, fate_of(directory))

    def revive(self):
        """ssmd is dead. It must have been killed; now and then it is looked whether it did too much before."""
        status = self.agent.process.returncode
        if status == -signal.SIGKILL:
            self.deaths["agent"] += 1
        else:
            self.accuse("lost", f"ssmd ended by itself, with {status}")
        if self.random.random() < 0.2:
            self.look_after_death()
        self.agent.start()

    def serve_reboot(self):
        self.agent.lose_power()
        self.deaths["machine"] += 1
        self.note_lost_boot()
        self.reboots_served = self.agent.reboots_asked
        self.agent.start()

    def look_after_death(self):
        records = self.records()
        known = {row["message_id"] for row in self.agent.query("SELECT message_id FROM inbox")}
        spawned = collections.Counter((row["instance_id"], str(row["arg"])) for row in self.agent.query(
            "SELECT instance_id, arg FROM effect WHERE kind = 'spawn'"))
        for command in self.commands:
            answered = records[command.message].of_kind("ack") + records[command.message].of_kind("agent_job_ack")
            if answered and command.message not in known:
                self.accuse("early", f"command {command.n} was acknowledged, the journal does not know it")
            for s in range(len(command.steps)):
                n = self.truth_of(command, s).count("b")
                if n > spawned[command.job, str(s)]:
                    self.accuse("early", f"command {command.n}: step {s} has begun {n} times, the journal knows of "
                                         f"{spawned[command.job, str(s)]} starts")

    def truth_of(self, command, s):
        """What step s wrote: "b" for each begin, "e" for each end."""
        return "".join(self.world.lines(f"truth/{command.n}.{s}"))

    def records(self):
        return {message["MessageId"]: Record(message) for message in self.hub.state()["Messages"]}

    def progress(self):
        """(jobs, jobs that are not done): cancels are jobs of their own."""
        row = self.agent.query("SELECT count(*) AS n, count(CASE WHEN state <> 'done' THEN 1 END) AS n_open FROM instance")[0]
        return row["n"], row["n_open"]

    def unanswered(self):
        records = self.records()
        return [command for command in self.commands if not records[command.message].terminal]

    def has_all_cancels(self):
        known = {row["message_id"] for row in self.agent.query("SELECT message_id FROM inbox")}
        return all(command.cancel_at is None for command in self.commands) and self.cancels <= known

    # ---- the course of it ----

    def tick(self):
        check(not World.is_last, "the test was stopped")
        if self.agent.reboots_asked > self.reboots_served:
            self.serve_reboot()
        elif not self.agent.is_up:
            self.revive()
        self.send_cancels(time.monotonic())

    def blow(self):
        """Commands are sent, and processes killed, until there were enough of both."""
        kills = 0
        next_kill = next_send = time.monotonic()
        pace = max(self.n_kills, 1) * 2.55 / max(self.n_commands, 1)  # both shall end at about the same time
        while len(self.commands) < self.n_commands or kills < self.n_kills:
            self.tick()
            now = time.monotonic()
            if now >= next_send and len(self.commands) < self.n_commands:
                self.send()
                next_send = now + self.random.uniform(0, 2 * pace)
            if now >= next_kill and kills < self.n_kills:
                self.kill()
                kills += 1
                next_kill = now + self.random.uniform(0.1, 5)
            time.sleep(TICK_S)

    def drain(self):
        """Until every command is reported, and everything has ended that was cancelled."""
        seen, since = None, time.monotonic()
        while True:
            self.tick()
            now = self.progress() if self.agent.status() else seen
            if now and now[1] == 0 and not self.unanswered() and self.has_all_cancels():
                return True
            if now != seen:
                seen, since = now, time.monotonic()
            elif time.monotonic() - since > STALLED_S:
                return False
            time.sleep(0.3)

    def go(self):
        self.world = World()
        try:
            os.mkdir(self.world.path("truth"), 0o700)
            self.truth = self.world.path("truth")
            self.hub = self.world.hub("--log", "error", control=self.is_control)
            self.agent = self.world.agent(self.hub, workers=WORKERS).start()
            self.blow()
            if not self.drain():
                self.accuse("open", f"nothing moves for {STALLED_S} s: {self.progress()}; without an answer are "
                            f"{[(c.n, self.agent.job_state(c.message)) for c in self.unanswered()][:5]}")
            self.judge()
            self.world.end_politely()
        except Failure as failure:
            self.accuse("lost", str(failure))
        finally:
            if self.crimes:
                self.stories += list(self.world.logs(60))
            self.world.end()
        return self

    # ---- the judgement ----

    def judge(self):
        records = self.records()
        for command in self.commands:
            self.judge_command(command, records[command.message])
        # A cancel that came again, or late, is a job of its own: nothing may be open in any of them.
        for what, sql in (("effects", "SELECT kind AS what FROM effect WHERE closed_unix_ms IS NULL"),
                          ("replies", "SELECT kind AS what FROM outbox WHERE ended_unix_ms IS NULL"),
                          ("jobs not in the ledger", "SELECT id AS what FROM instance WHERE id NOT IN (SELECT id FROM ledger)")):
            left = [row["what"] for row in self.agent.query(sql)]
            if left:
                self.accuse("open", f"{what}: {left}")
        try:
            wait_for("scripts to end", lambda: self.left_behind() == [])
        except Failure as failure:
            self.accuse("open", f"{failure}: {self.left_behind()}")
        self.agent.terminate()
        done = subprocess.run([program("ctl", "ssmctl"), "--root", self.agent.root, "audit", "verify"], text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        if done.returncode:
            self.accuse("audit", done.stdout)

    def left_behind(self):
        found = []
        for pid in marked_processes(self.agent.mark):
            with contextlib.suppress(OSError):
                if pid != self.agent.process.pid:
                    found.append(read(f"/proc/{pid}/cmdline").replace(b"\0", b" ").decode(errors="replace"))
        return found

    def judge_command(self, command, record):
        what = f"command {command.n} ({command.job})"
        last = [reply for reply in record.terminal if reply["Status"] != "SuccessAndReboot"]
        if not last:
            self.accuse("lost", f"{what} has no terminal status; {record.sequence}")
            return
        if len(last) > 1:
            self.accuse("statuses", f"{what}: {record.sequence}")
        status, results = last[0]["Status"], record.results
        for s in range(len(command.steps)):
            self.judge_success(command, s, results.get(f"step{s + 1}", {}), what)
        if status == "Success" and any(result["status"] != "Success" for result in results.values()):
            self.accuse("false_success", f"{what} is a success, its steps are {self.told(results)}")
        if command.is_cancelled and status == "Cancelled":
            return  # it came in time; how far the steps had come is anybody's guess
        want, is_lost = [], False
        for s, (_, code, out) in enumerate(command.steps):
            lost = any(job == command.job and attempt.split(".")[0] == str(s) for job, attempt in self.fates)
            if is_lost:
                want.append(("Skipped", 0, ""))
            elif lost:
                is_lost = True
                want.append(("Failed", UNKNOWN, None))
            elif command.is_timed_out:
                want.append(("TimedOut", 137, "begun\n"))
            else:
                want.append(("Failed" if code else "Success", code, out))
        got = [results.get(f"step{s + 1}", {}) for s in range(len(command.steps))]
        for s, (told, wanted) in enumerate(zip(got, want)):
            if (told.get("status"), told.get("code")) != wanted[:2] or wanted[2] not in (None, told.get("standardOutput")):
                self.accuse("result", f"{what}: step {s} is {self.told({s: told})}, wanted {wanted}")
            elif wanted[0] == "Success" and "e" not in self.truth_of(command, s):
                self.accuse("unrun", f"{what}: step {s} did not come to its end")
        whole = "TimedOut" if command.is_timed_out and not is_lost else \
            "Failed" if any(wanted[0] == "Failed" for wanted in want) else "Success"
        if status != whole:
            self.accuse("result", f"{what} is {status}, wanted {whole}")

    def judge_success(self, command, s, result, what):
        truth = self.truth_of(command, s)
        if truth.count("b") > (2 if command.reboots and s == 0 else 1):
            self.accuse("twice", f"{what}: step {s} has run {truth.count('b')} times")
        if result.get("status") == "Success" and (
                truth.count("e") < truth.count("b") or not truth or command.steps[s][1] != 0):
            self.accuse("false_success", f"{what}: step {s} is a success; what it wrote is {truth!r}")

    @staticmethod
    def told(results):
        return json.dumps({name: [r.get("status"), r.get("code"), (r.get("standardOutput") or "")[:40]]
                           for name, r in results.items()})
