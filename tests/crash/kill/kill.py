#!/usr/bin/python3
"""kill -9 of ssmd, of its runner, or of the whole machine, before and after every journal write and every
effect of a command's life.

For each scenario the n-th crash point (base/crashpoint.h) is the end, for n = 1, 2, ... until a life passes
without dying. After each death, before the restart: nothing may have been acknowledged, answered or started
that the journal does not know. After the restart: the command ends in one terminal status with its true exit
codes and all of its output, everything ran exactly as often as the document wants, and nothing stays open.

usage: kill.py [--long] [--json FILE] [-j N] [scenario ...]
  --long   also die a second time, at every point of the life after the first death
"""
import argparse
import collections
import concurrent.futures
import json
import os
import signal
import subprocess
import sys
import time
import uuid

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../integration"))
from harness import INSTANCE, Failure, World, document, iso, marked_processes, program, wait_for  # noqa: E402

DEADLINE_S = 30
TICK_S = 0.01
MORE_POINTS = 2  # tried beyond those of the life without a death: lives differ a little
NOT_ZERO = "failed to run commands: exit status "
UNKNOWN = 1000  # the code of a step whose end nobody saw

# What a run can be found guilty of: the columns of the table.
CRIMES = {
    "early": "acknowledged, answered or started before the journal knew",
    "lost": "no terminal status, or not at the service",
    "twice": "run more often than the document wants",
    "unrun": "run less often",
    "result": "not the true status, code or output",
    "statuses": "more than one terminal status or reply",
    "open": "not done, or something left open in the journal",
    "audit": "the journal's chains do not hold (ssmctl audit verify)",
}


class Crime(Exception):
    def __init__(self, kind, text):
        super().__init__(text)
        self.kind = kind


def step(n, script):
    """A script that leaves a line in ran.<n> for each time it is run."""
    return f"echo run >> @DIR@/ran.{n}; {script}"


class Want:
    """What is to come of a command: status, and for each step (status, code, stdout, stderr, times run)."""

    def __init__(self, status, *steps, acknowledged=True):
        self.status = status
        self.steps = steps
        self.acknowledged = acknowledged


class Scenario:
    """One command (or other message) and what the world does meanwhile."""

    name = ""
    settings = {}
    scripts = ()
    inputs = {}
    want = None
    lives = 1     # lives without a death that are worth dying in: 2 where the document reboots
    power = False  # a death takes the machine with it

    def settings_for(self, run):
        return dict(self.settings)

    def begin(self, run):
        run.message = run.send(*self.scripts, **self.inputs)

    def tick(self, run):
        """What the world does, whenever ssmd is up or not."""

    def wanted(self, run):
        return self.want

    def is_over(self, run):
        return any(r["Status"] != "SuccessAndReboot" for r in run.record().terminal)

    def judge(self, run):
        """What is particular about this scenario's end."""


class OneStep(Scenario):
    name = "one step"
    scripts = (step(1, "echo one; echo bad >&2; exit 7"),)
    want = Want("Failed", ("Failed", 7, "one\n", f"bad\n{NOT_ZERO}7", 1))


class StillRunning(Scenario):
    """The script is still running when ssmd comes back."""

    name = "one step that outlives ssmd"
    scripts = (step(1, "echo begun; while [ ! -e @DIR@/go ]; do sleep 0.02; done; echo ended"),)
    want = Want("Success", ("Success", 0, "begun\nended\n", "", 1))

    def tick(self, run):
        if run.ran(1) and not run.world.lines("go") and (
                run.n_starts > 1 and run.agent.status() or run.record().of_kind("ack")):
            run.world.touch("go")


class ThreeSteps(Scenario):
    name = "three steps"
    scripts = (step(1, "echo one"), step(2, "echo two; exit 3"), step(3, "echo three"))
    want = Want("Failed", ("Success", 0, "one\n", "", 1), ("Failed", 3, "two\n", f"{NOT_ZERO}3", 1),
                ("Success", 0, "three\n", "", 1))


class Reboot(Scenario):
    name = "exit 194"
    scripts = (step(1, "if [ $(wc -l < @DIR@/ran.1) -lt 2 ]; then echo before; exit 194; fi; echo after"),
               step(2, "echo two"))
    want = Want("Success", ("Success", 0, "before\nafter\n", "", 2), ("Success", 0, "two\n", "", 1))
    lives = 2

    def tick(self, run):
        if run.agent.reboots_asked > run.reboots_served:
            run.agent.lose_power()
            run.reboots_served = run.agent.reboots_asked
            run.start()


class Cancelled(Scenario):
    name = "cancelled"
    scripts = (step(1, "echo begun; while :; do sleep 0.05; done"), step(2, "echo never"))
    want = Want("Cancelled", ("Cancelled", 137, "begun\n", "", 1),
                ("Cancelled", 1, "", "", 0))

    def tick(self, run):
        if run.cancel is None and os.path.exists(os.path.join(run.agent.jobs_dir, run.job, "0.1", "stdout")) \
                and run.ran(1) and run.has_written("0.1"):
            run.cancel = run.note(run.hub.cancel(run.message))


class SlowRunner(OneStep):
    """Runners come to life late: a second one is started for the same step, and one of them runs it."""

    name = "runners that come late"

    def settings_for(self, run):
        path = run.world.path("late-runner")
        with open(path, "w", encoding="ascii") as f:
            f.write("#!/bin/sh\n"
                    f"echo started >> {run.world.dir}/runners\n"
                    f"while [ ! -e {run.world.dir}/runners-go ]; do sleep 0.02; done\n"
                    f"exec {program('executors', 'ssmd-runner')} \"$@\"\n")
        os.chmod(path, 0o700)
        return {"RunnerPath": path}

    def tick(self, run):
        n_lives = len(run.world.lines("runners"))
        if n_lives and (run.record().of_kind("ack") or n_lives > 1):
            run.world.touch("runners-go")


class CancelledBeforeRunner(SlowRunner):
    """A step is cancelled whose runner has not begun: it must never begin, however late it comes."""

    name = "cancelled before its runner began"
    want = Want("Cancelled", ("Cancelled", 1, "", "", 0))

    def tick(self, run):
        if run.cancel is None and run.world.lines("runners") and run.agent.is_up \
                and run.agent.job_state(run.message) == "running":
            run.cancel = run.note(run.hub.cancel(run.message))

    def judge(self, run):
        run.world.touch("runners-go")
        wait_for("the late runners to end", lambda: not list(marked_processes(run.agent.mark)))
        run.expect("twice", "runs after the cancel", run.ran(1), 0)


class TimedOut(Scenario):
    name = "timed out"
    scripts = (step(1, "echo begun; while :; do sleep 0.05; done"),)
    inputs = {"timeoutSeconds": 5}  # the least that counts
    want = Want("TimedOut", ("TimedOut", 137, "begun\n", "", 1))


class QueuedCancelled(Scenario):
    """One worker, which another command holds."""

    name = "cancelled in the queue"
    settings = {"workers": 1}
    scripts = (step(1, "echo never"),)
    want = Want("Cancelled", ("Cancelled", 1, "", "", 0))

    def begin(self, run):
        run.blocker = run.send_other("echo run >> @DIR@/blocked; while [ ! -e @DIR@/go ]; do sleep 0.02; done")
        run.message = run.send(*self.scripts)

    def tick(self, run):
        if run.cancel is None and run.agent.is_up and run.agent.job_state(run.message) == "queued" \
                and run.world.lines("blocked"):
            run.cancel = run.note(run.hub.cancel(run.message))
        if not os.path.exists(run.world.path("go")) and run.record().terminal:
            run.world.touch("go")

    def is_over(self, run):
        return run.record().terminal and run.record(run.blocker).terminal

    def judge(self, run):
        run.expect("result", "status of the other command", run.record(run.blocker).terminal[0]["Status"], "Success")
        run.expect("twice", "runs of the other command", len(run.world.lines("blocked")), 1)


class Rejected(Scenario):
    name = "document refused"
    want = Want("Failed", acknowledged=False)

    def begin(self, run):
        run.message = run.note(run.hub.send({"schemaVersion": "9999.0", "mainSteps": []}, command_id=run.job))


class Unhandled(Scenario):
    """A message that nobody here understands."""

    name = "topic refused"
    want = None

    def begin(self, run):
        run.message = run.note(run.hub.inject(MessageId=f"aws.ssm.{run.job}.{INSTANCE}", Destination=INSTANCE,
                                              Topic="aws.ssm.somethingElse", CreatedDate=iso(), Payload="{}"))

    def is_over(self, run):
        return run.record().of_kind("fail")

    def judge(self, run):
        run.expect("result", "replies", run.record().replies, [])


class Again(OneStep):
    """Each answer of the service has every message three times."""

    name = "delivered three times"

    def begin(self, run):
        run.hub.fault(kind="duplicate", operation="GetMessages", times=1000, copies=3)
        super().begin(run)


class Late(OneStep):
    """The service takes nothing at first."""

    name = "answers refused at first"

    def begin(self, run):
        for operation in ("SendReply", "AcknowledgeMessage"):
            run.hub.fault(kind="lose", operation=operation, times=1)
            run.hub.fault(kind="error", operation=operation, times=1, status=503, code="ServiceUnavailable")
        super().begin(run)


def fate(run, n):
    """What the records of step n's first attempt tell: true (the end is on disk), lost, or unbegun."""
    directory = os.path.join(run.agent.jobs_dir, run.job, f"{n - 1}.1")
    if os.path.exists(os.path.join(directory, "exit")):
        return "true"
    return "lost" if os.path.exists(os.path.join(directory, "started")) else "unbegun"


def with_fates(want, fates):
    """`want`, after the machine went down: a step that had begun without a recorded end is not run again and
    what became of it is not known; those after it do not run."""
    steps, is_lost = [], False
    for told, known in zip(want.steps, fates):
        if is_lost:
            steps.append(("Skipped", 0, "", "", 0))
        elif known == "lost":
            is_lost = True
            steps.append(("Failed", UNKNOWN, None, None, (0, 1)))
        else:
            steps.append(told)
    return Want("Failed" if is_lost else want.status, *steps)


class PowerLoss(Scenario):
    """With ssmd its runners and scripts end; it comes back in another boot."""

    power = True

    def wanted(self, run):
        return with_fates(self.want, run.fates or ["true"] * len(self.want.steps))

    def died(self, run):
        if run.fates is None:
            run.fates = [fate(run, n + 1) for n in range(len(self.want.steps))]


class PowerOneStep(PowerLoss):
    name = "power lost, one step"
    scripts = OneStep.scripts
    want = OneStep.want


class PowerThreeSteps(PowerLoss):
    name = "power lost, three steps"
    scripts = ThreeSteps.scripts
    want = ThreeSteps.want


class PowerLongStep(PowerLoss):
    """The script never ends by itself before the power is gone."""

    name = "power lost under a script"
    scripts = (step(1, "echo begun; while [ ! -e @DIR@/go ]; do sleep 0.02; done"),)
    want = Want("Success", ("Success", 0, "begun\n", "", 1))

    def tick(self, run):
        StillRunning.tick(self, run)


class RunnerKilled(Scenario):
    """The runner dies, ssmd lives."""

    name = "runner killed"
    scripts = ThreeSteps.scripts
    want = ThreeSteps.want

    def wanted(self, run):
        return with_fates(self.want, [fate(run, 1), "true", "true"]) if run.is_runner_dead else self.want


SCENARIOS = [OneStep(), StillRunning(), ThreeSteps(), Reboot(), Cancelled(), SlowRunner(),
             CancelledBeforeRunner(), TimedOut(), QueuedCancelled(), Rejected(),
             Unhandled(), Again(), Late(), PowerOneStep(), PowerThreeSteps(), PowerLongStep()]
RUNNER_SCENARIO = RunnerKilled()


def open_text(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as f:
            return f.read()
    except OSError:  # it has ended meanwhile
        return ""


class Run:
    """One world in which ssmd dies by plan: plan[k] is the crash point of its k-th life, 0 for none."""

    def __init__(self, scenario, plan, runner_at=0):
        self.scenario = scenario
        self.plan = plan
        self.runner_at = runner_at
        self.places = []  # the crash points at which it died
        self.crimes = []
        self.n_starts = 0
        self.reboots_served = 0
        self.cancel = self.blocker = self.fates = None
        self.messages = []
        self.passed = []  # crash points passed in each life

    # ---- what scenarios use ----

    def note(self, message_id):
        self.messages.append(message_id)
        return message_id

    def send(self, *scripts, **inputs):
        """The command that the scenario is about."""
        return self.send_as(self.job, document(*scripts, **inputs))

    def send_other(self, script):
        return self.send_as(str(uuid.uuid4()), document(script))

    def send_as(self, command_id, what):
        text = json.dumps(what).replace("@DIR@", self.world.dir)
        return self.note(self.hub.send(json.loads(text), command_id=command_id))

    def ran(self, n):
        return len(self.world.lines(f"ran.{n}"))

    def has_written(self, step_directory):
        path = os.path.join(self.agent.jobs_dir, self.job, step_directory, "stdout")
        return os.path.exists(path) and os.path.getsize(path) > 0

    def record(self, message_id=None):
        return self.agent.record(message_id or self.message)

    def expect(self, kind, what, got, want):
        if got != want:
            self.crimes.append(Crime(kind, f"{what}: {got!r}, wanted {want!r}"))

    # ---- the run ----

    @property
    def is_runner_dead(self):
        return os.path.exists(self.world.path("runner-died"))

    def start(self):
        at = self.plan[self.n_starts] if self.n_starts < len(self.plan) else 0
        self.n_starts += 1
        environment = {"SSMD_CRASH_TRACE": self.world.path(f"trace.{self.n_starts}")}
        if at:
            environment["SSMD_CRASH_AT"] = str(at)
        if self.runner_at:
            environment.update(RUNNER_SSMD_CRASH_AT=str(self.runner_at),
                               RUNNER_SSMD_CRASH_ONCE=self.world.path("runner-died"),
                               RUNNER_SSMD_CRASH_TRACE=self.world.path("runner-trace"))
        self.agent.start(**environment)

    def look_after_death(self):
        """ssmd is dead: what the world has seen must be in the journal."""
        agent = self.agent
        self.places.append((self.world.lines(f"trace.{self.n_starts}") or ["nowhere"])[-1])
        known = {row["message_id"] for row in agent.query("SELECT message_id FROM inbox")}
        promised = {row["reply_id"] for row in agent.query("SELECT reply_id FROM outbox")}
        for message_id in self.messages:
            record = self.record(message_id)
            answered = [event["Kind"] for event in record.events if event["Kind"] != "delivered"]
            if answered and message_id not in known:
                self.crimes.append(Crime("early", f"{message_id} has got {answered}, the journal does not know it"))
            for reply in record.terminal:
                if reply["ReplyId"] not in promised:
                    self.crimes.append(Crime("early", f"the reply {reply['Status']} is not in the journal"))
        spawned = collections.Counter(
            row["arg"] for row in agent.query("SELECT arg FROM effect WHERE kind = 'spawn' AND instance_id = ?", self.job))
        for n in range(1, len(self.scenario.scripts) + 1):
            if self.ran(n) > spawned[n - 1]:
                self.crimes.append(Crime("early", f"step {n} ran {self.ran(n)} times, the journal knows of "
                                                  f"{spawned[n - 1]} starts"))

    def audit(self):
        """The chains of the journal, as ssmctl sees them, also with ssmd dead in the middle of something."""
        if not self.agent.query("SELECT 1 FROM instance"):
            return
        done = subprocess.run([program("ctl", "ssmctl"), "--root", self.agent.root, "audit", "verify"],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        self.expect("audit", f"ssmctl audit verify says: {done.stdout}; its status", done.returncode, 0)

    def revive(self):
        self.look_after_death()
        self.audit()
        if self.scenario.power:
            self.agent.lose_power()
            self.scenario.died(self)
        self.start()
        for message_id in self.messages:  # what the service would do when its visibility time is over
            if self.hub.message(message_id)["State"] == "queued":
                self.hub.redeliver(message_id)

    def live_until(self, what, is_so):
        end = time.monotonic() + DEADLINE_S
        while True:
            if not self.agent.is_up:
                if self.agent.process.returncode != -signal.SIGKILL:
                    raise Failure(f"ssmd ended with {self.agent.process.returncode}")
                self.revive()
            self.scenario.tick(self)
            if is_so():
                return
            if time.monotonic() > end:
                raise Crime("lost", f"waited {DEADLINE_S} s for {what}: it is {self.agent.job_state(self.message)},"
                                    f" the hub has {self.record().sequence}")
            time.sleep(TICK_S)

    def are_jobs_done(self):
        rows = self.agent.query("SELECT state FROM instance")
        return rows and all(row["state"] == "done" for row in rows)

    def end_politely(self):
        """SIGTERM, in the middle of which it may die as well."""
        while True:
            self.live_until("all jobs to be done", lambda: self.agent.status() and self.are_jobs_done())
            self.agent.process.terminate()
            if self.agent.wait_end(20) == 0:
                break

    def go(self):
        self.world = World()
        try:
            self.job = str(uuid.uuid4())
            self.hub = self.world.hub("--log", "error")
            self.agent = self.world.agent(self.hub, **self.scenario.settings_for(self))
            self.scenario.begin(self)
            self.start()
            try:
                self.live_until("a terminal status", lambda: self.scenario.is_over(self))
                self.end_politely()
                self.judge()
                self.world.end_politely()
            except Crime as crime:
                self.crimes.append(crime)
            except Failure as failure:
                self.crimes.append(Crime("lost", str(failure)))
            if self.crimes:
                self.story = list(self.world.logs(60))
            self.passed = [len(self.world.lines(f"trace.{n}")) for n in range(1, self.n_starts + 1)]
            self.runner_passed = len(self.world.lines("runner-trace"))
        finally:
            self.world.end()
        return self

    def judge(self):
        want = self.scenario.wanted(self)
        record = self.record()
        if want is not None:
            last = [r for r in record.terminal if r["Status"] != "SuccessAndReboot"]
            self.expect("statuses", "terminal replies", len(last), 1)
            self.expect("result", "status", sorted({r["Status"] for r in last}), [want.status])
            self.expect("result", "acknowledged", bool(record.of_kind("ack")), want.acknowledged)
            results = record.results
            self.expect("result", "steps with results", len(results), len(want.steps))
            for n, told in enumerate(want.steps, 1):
                self.judge_step(n, results.get(f"step{n}", {}), told)
        left = self.agent.query("SELECT kind FROM effect WHERE closed_unix_ms IS NULL")
        self.expect("open", "effects left open", [row["kind"] for row in left], [])
        left = self.agent.query("SELECT kind FROM outbox WHERE ended_unix_ms IS NULL")
        self.expect("open", "replies left unsent", [row["kind"] for row in left], [])
        jobs = self.agent.query("SELECT id FROM instance WHERE id NOT IN (SELECT id FROM ledger)")
        self.expect("open", "jobs not in the ledger", [row["id"] for row in jobs], [])
        self.audit()
        self.scenario.judge(self)
        left = [open_text(f"/proc/{pid}/cmdline") for pid in marked_processes(self.agent.mark)]
        self.expect("open", "processes left behind", left, [])

    def judge_step(self, n, got, told):
        status, code, out, error, times = told
        self.expect("result", f"step {n}: status", got.get("status"), status)
        self.expect("result", f"step {n}: code", got.get("code"), code)
        if out is not None:
            self.expect("result", f"step {n}: output", got.get("standardOutput"), out)
            self.expect("result", f"step {n}: error output", got.get("standardError"), error)
        least, most = times if isinstance(times, tuple) else (times, times)
        if self.ran(n) > most:
            self.crimes.append(Crime("twice", f"step {n} ran {self.ran(n)} times, wanted {most}"))
        if self.ran(n) < least:
            self.crimes.append(Crime("unrun", f"step {n} ran {self.ran(n)} times, wanted {least}"))


class Series:
    """All runs of one scenario, and its line in the table."""

    def __init__(self, scenario):
        self.scenario = scenario
        self.points = self.deaths = self.runs = 0
        self.crimes = collections.Counter()
        self.stories = []
        self.seconds = 0

    def add(self, run):
        self.runs += 1
        self.deaths += len(run.places) + bool(run.runner_at and run.has_killed_runner)
        for crime in run.crimes:
            self.crimes[crime.kind] += 1
        if run.crimes:
            died = ", ".join(run.places) or (f"runner's point {run.runner_at}" if run.runner_at else "nowhere")
            self.stories.append([f"life plan {run.plan}, died at: {died}",
                                 *(f"{crime.kind}: {crime}" for crime in run.crimes), *run.story])


def live(scenario, plan, runner_at=0):
    run = Run(scenario, plan, runner_at)
    try:
        run.has_killed_runner = False
        run.go()
    except Exception as error:  # a defect of the test is not a pass
        run.crimes.append(Crime("lost", f"the test failed: {type(error).__name__}: {error}"))
        run.story = getattr(run, "story", [])
    return run


def play(pool, scenario, is_long):
    series = Series(scenario)
    begin = time.monotonic()
    whole = live(scenario, ())
    series.add(whole)
    plans = []
    for life in range(min(scenario.lives, len(whole.passed))):
        series.points += whole.passed[life]
        plans += [(0,) * life + (n,) for n in range(1, whole.passed[life] + MORE_POINTS + 1)]
    first = list(pool.map(lambda plan: live(scenario, plan), plans))
    for run in first:
        series.add(run)
    if is_long:
        again = [(*run.plan, m) for run in first if run.places and len(run.passed) > len(run.plan)
                 for m in range(1, run.passed[len(run.plan)] + 1)]
        for run in pool.map(lambda plan: live(scenario, plan), again):
            series.add(run)
    series.seconds = time.monotonic() - begin
    return series


def play_runner(pool, scenario):
    """The runner's own crash points: the first runner that comes to the n-th dies."""
    series = Series(scenario)
    begin = time.monotonic()
    whole = live(scenario, (), runner_at=1000)
    series.add(whole)
    series.points = whole.runner_passed // 3  # three steps, three runners
    for run in pool.map(lambda n: live(scenario, (), n), range(1, series.points + 1)):
        run.has_killed_runner = True
        series.add(run)
    series.seconds = time.monotonic() - begin
    return series


def print_table(table):
    names = list(CRIMES)
    width = max(len(series.scenario.name) for series in table)
    print(f"#\n# {'':{width}}  points  runs  deaths  " + "  ".join(names) + "       s")
    for series in table:
        print(f"# {series.scenario.name:{width}}  {series.points:6}  {series.runs:4}  {series.deaths:6}  " +
              "  ".join(f"{series.crimes[name]:{len(name)}}" for name in names) + f"  {series.seconds:6.1f}")
    for name in names:
        print(f"#   {name}: {CRIMES[name]}")


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--long", action="store_true")
    parser.add_argument("--json")
    parser.add_argument("-j", type=int, default=4)
    parser.add_argument("scenario", nargs="*")
    options = parser.parse_args()
    wanted = [s for s in [*SCENARIOS, RUNNER_SCENARIO] if not options.scenario or s.name in options.scenario]
    if not wanted:
        sys.exit("no such scenario; there are: " + ", ".join(s.name for s in [*SCENARIOS, RUNNER_SCENARIO]))
    table, failed = [], 0
    print(f"1..{len(wanted)}", flush=True)
    with concurrent.futures.ThreadPoolExecutor(options.j) as pool:
        for n, scenario in enumerate(wanted, 1):
            series = play_runner(pool, scenario) if scenario is RUNNER_SCENARIO else play(pool, scenario, options.long)
            table.append(series)
            is_bad = bool(series.stories) or series.deaths == 0
            failed += is_bad
            print(f"{'not ok' if is_bad else 'ok'} {n} - {scenario.name}: {series.deaths} deaths in {series.runs} runs",
                  flush=True)
            for story in series.stories[:3]:
                print("".join(f"#   {line}\n" for line in story), end="", flush=True)
    print_table(table)
    print(f"{len(wanted) - failed} passed, {failed} failed")
    if options.json:
        with open(options.json, "w", encoding="utf-8") as f:
            json.dump({s.scenario.name: {"runs": s.runs, "deaths": s.deaths, "crimes": s.crimes} for s in table}, f)
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
