#!/usr/bin/python3
"""kill -9 of ssmd, of its runner, or of the whole machine, before and after every journal write and every
effect of a command's life.

For each scenario the n-th crash point (base/crashpoint.h) is the end, for n = 1, 2, ... until a life passes
without dying. After each death, before the restart: nothing may have been acknowledged, answered or started
that the journal does not know. After the restart: the command ends in one terminal status with its true exit
codes and all of its output, everything ran exactly as often as the document wants, and nothing stays open.

usage: kill.py [--long] [--more] [--json FILE] [-j N] [scenario ...]
  --long   also die a second time, at every point of the life after the first death
"""
import argparse
import collections
import concurrent.futures
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import uuid

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../integration"))
from harness import Failure, World, check, document, marked_processes, program, wait_for  # noqa: E402
from more_scenarios import MORE  # noqa: E402
from scenarios import RUNNER_SCENARIO, SCENARIOS  # noqa: E402

DEADLINE_S = 60
TICK_S = 0.01
MORE_POINTS = 2  # tried beyond those of the life without a death: lives differ a little

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


def open_text(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as f:
            return f.read()
    except OSError:  # it has ended meanwhile
        return ""


class Run:
    """One world in which ssmd dies by plan: plan[k] is the crash point of its k-th life, 0 for none."""

    deadline_s = DEADLINE_S
    has_lost_power = False  # where only processes are killed

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

    def expect_runs(self, n, times):
        least, most = times if isinstance(times, tuple) else (times, times)
        if self.ran(n) > most:
            self.crimes.append(Crime("twice", f"step {n} ran {self.ran(n)} times, wanted {most}"))
        if self.ran(n) < least:
            self.crimes.append(Crime("unrun", f"step {n} ran {self.ran(n)} times, wanted {least}"))

    def may_lack_output(self, job, n):
        """Of its n-th step, counted from 0: no disk took it, and that is known."""
        del job, n
        return False

    @property
    def runner(self):
        return program("executors", "ssmd-runner")

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

    def look_around(self):
        """Between two looks at ssmd: tests of other deaths have something to do here."""

    def look_after_death(self):
        """ssmd is dead: what the world has seen must be in the journal."""
        agent = self.agent
        self.scenario.look(self)
        self.places.append((self.world.lines(f"trace.{self.n_starts}") or ["nowhere"])[-1])
        known = {row["message_id"] for row in agent.query("SELECT message_id FROM inbox")}
        promised = {row["reply_id"] for row in agent.query("SELECT reply_id FROM outbox")}
        for message_id in self.messages:
            record = self.record(message_id)
            answered = [event["Kind"] for event in record.events if event["Kind"] not in ("delivered", "agent_job")]
            if answered and message_id not in known:
                self.crimes.append(Crime("early", f"{message_id} has got {answered}, the journal does not know it"))
            for reply in record.terminal:
                if reply["ReplyId"] not in promised:
                    self.crimes.append(Crime("early", f"the reply {reply['Status']} is not in the journal"))
        spawned = collections.Counter(
            row["arg"] for row in
            agent.query("SELECT arg FROM effect WHERE kind = 'spawn' AND instance_id = ?", self.job))
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

    def ended_by_itself(self, status):
        """Nobody killed it."""
        raise Failure(f"ssmd ended with {status}")

    def live_until(self, what, is_so):
        deadline_s = self.deadline_s * self.scenario.patience
        end = time.monotonic() + deadline_s
        while True:
            self.look_around()
            if not self.agent.is_up:
                if self.agent.process.returncode == -signal.SIGKILL:
                    self.revive()
                else:
                    self.ended_by_itself(self.agent.process.returncode)
            self.scenario.tick(self)
            if is_so():
                return
            check(not World.is_last, "the test was stopped")
            if time.monotonic() > end:
                raise Crime("lost", f"waited {deadline_s} s for {what}: it is {self.agent.job_state(self.message)},"
                                    f" the hub has {self.message and self.record().sequence}")
            time.sleep(TICK_S)

    def are_jobs_done(self):
        rows = self.agent.query("SELECT state FROM instance")
        return rows and all(row["state"] == "done" for row in rows)

    def end_politely(self):
        """SIGTERM, in the middle of which it may die as well."""
        while True:
            self.live_until("all jobs to be done", lambda: self.agent.status() and self.are_jobs_done())
            self.agent.process.terminate()
            if self.agent.wait_end() == 0:
                break

    def go(self):
        self.world = World()
        try:
            self.job = str(uuid.uuid4())
            self.hub = self.world.hub("--log", "error", control=self.scenario.is_control)
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

    def wanted(self):
        return self.scenario.wanted(self)

    def judge(self):
        want = self.wanted()
        if want is not None:
            record = self.record()
            last = [r for r in record.terminal if r["Status"] != "SuccessAndReboot"]
            self.expect("statuses", "terminal replies", len(last), 1)
            self.expect("result", "status", sorted({r["Status"] for r in last}), [want.status])
            is_acknowledged = bool(record.of_kind("ack") + record.of_kind("agent_job_ack"))
            if want.acknowledged is not None:
                self.expect("result", "acknowledged", is_acknowledged, want.acknowledged)
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
        with contextlib.suppress(Failure):  # a runner may have written its last word, and not have ended yet
            wait_for("all processes to end", lambda: not list(marked_processes(self.agent.mark)), self.deadline_s)
        left = [open_text(f"/proc/{pid}/cmdline") for pid in marked_processes(self.agent.mark)]
        self.expect("open", "processes left behind", left, [])

    def judge_step(self, n, got, told):
        status, code, out, error, times = told
        self.expect("result", f"step {n}: status", got.get("status"), status)
        self.expect("result", f"step {n}: code", got.get("code"), code)
        if out is not None:
            self.expect("result", f"step {n}: output", got.get("standardOutput"), out)
            self.expect("result", f"step {n}: error output", got.get("standardError"), error)
        self.expect_runs(n, times)


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


def play(pool, scenario, options):
    series = Series(scenario)
    begin = time.monotonic()
    whole = live(scenario, ())
    series.add(whole)
    plans = []
    every = 1 if options.long and options.every == 1 else scenario.one_in
    for life in range(min(scenario.lives, len(whole.passed))):
        series.points += whole.passed[life]
        plans += [(0,) * life + (n,) for n in range(1 + options.first % every, whole.passed[life] + MORE_POINTS + 1, every)]
    first = list(pool.map(lambda plan: live(scenario, plan), plans))
    for run in first:
        series.add(run)
    if options.long:
        again = [(*run.plan, m) for run in first if run.places and len(run.passed) > len(run.plan)
                 for m in range(1, run.passed[len(run.plan)] + 1)]
        spread = options.every * scenario.one_in ** (2 if every == 1 else 1)  # never all pairs of thousands of points
        for run in pool.map(lambda plan: live(scenario, plan), again[options.first::spread]):
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
    parser.add_argument("--long", action="store_true", help="a second death at every point after each first one")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="... of which every N-th is tried")
    parser.add_argument("--first", type=int, default=0, metavar="N", help="... counted from this one")
    parser.add_argument("--more", action="store_true", help="those of more_scenarios.py too")
    parser.add_argument("--list", action="store_true", help="names of the scenarios")
    parser.add_argument("--json")
    parser.add_argument("-j", type=int, default=4)
    parser.add_argument("scenario", nargs="*")
    options = parser.parse_args()
    known = [*SCENARIOS, RUNNER_SCENARIO, *MORE]
    if options.list:
        print("\n".join(s.name for s in known))
        return 0
    wanted = [s for s in known if (s.name in options.scenario if options.scenario else options.more or s not in MORE)]
    if not wanted:
        sys.exit("no such scenario; there are: " + ", ".join(s.name for s in known))
    table, failed = [], 0
    print(f"1..{len(wanted)}", flush=True)
    with concurrent.futures.ThreadPoolExecutor(options.j) as pool:
        for n, scenario in enumerate(wanted, 1):
            series = play_runner(pool, scenario) if scenario is RUNNER_SCENARIO else play(pool, scenario, options)
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
