#!/usr/bin/python3
"""kill -9 of ssmd (the version before and the one after), of the stager, the updater and the supervisor at every crash
point of a real update, forward and back; and power losses there, after which another boot begins.

In each run one process dies at the n-th place that it passes (SSMD_CRASH_OF names the program, SSMD_CRASH_FROM the moment
from which places count), for n = 1, 2, ... until nobody dies. At the end there must be one agent, of the version that both
links name; it takes a command and answers; the command that asked for the update has one terminal reply, which says what is
so; a script that ran through it has its own exit code; nothing is left open, and the journal's chains hold.

usage: whole_updates.py [--long] [--every N] [--list] [-j N] [NAME ...]
"""
import argparse
import concurrent.futures
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../integration"))
from harness import Failure, World, check, document, equal, program, wait_for  # noqa: E402
from whole_update import NEW, OLD, STEP, Shared, SlotAgent, programs, script  # noqa: E402

BAD = "0.1.1"
EVERY = 16       # of the points one is tried, unless --long
DEADLINE_S = 180
UNKNOWN = 1000   # the code of a step whose end nobody saw


def bad(files, version):
    """It ends as soon as it is started, and leaves a mark."""
    files["bin/ssmd"] = script(version, 'touch "$2/bad-ran"; exit 3')  # --root DIR


RELEASE = Shared(versions=(NEW,), bad={BAD: bad})


def slot(version, name):
    return f"versions/{version}/bin/{name}"


# name: whose places, the version that is asked for, whether places count only once the bad version has run
GROUPS = {
    "the old agent, forward": (slot(OLD, "ssmd"), NEW, False),
    "the stager": (slot(OLD, "ssmd-stager"), NEW, False),
    "the updater, forward": (slot(OLD, "ssmd-updater"), NEW, False),
    "the new agent": (slot(NEW, "ssmd"), NEW, False),
    "the supervisor": ("/update/ssmd-updater", BAD, False),
    "the updater, back": (slot(OLD, "ssmd-updater"), BAD, True),
    "the old agent, back": (slot(OLD, "ssmd"), BAD, True),
}


class Run:
    def __init__(self, group, n, power):
        self.group, self.n, self.power = group, n, power
        self.died = self.trace = "/nonexistent"
        self.has_died, self.passed, self.place, self.crime, self.story, self.took = False, 0, "", "", [], 0

    def go(self):
        begin = time.monotonic()
        world = World()
        try:
            self.live(world)
        except Failure as failure:
            self.crime = str(failure)
        except Exception as error:  # a defect of the test is not a pass
            self.crime = f"the test failed: {type(error).__name__}: {error}"
        finally:
            if self.crime:
                self.story = list(world.logs(120))
            places = world.lines(self.trace)
            self.passed, self.has_died = len(places), self.has_died or os.path.exists(self.died)
            self.place = places[self.n - 1] if self.has_died and len(places) >= self.n else ""
            world.end()
        self.took = time.monotonic() - begin
        return self

    def live(self, world):
        whose, version, is_back = GROUPS[self.group]
        agent = SlotAgent(world, release=RELEASE.get(), UpdateDeadlineSeconds=60)
        self.start(agent, whose, is_back)
        self.ask(world, agent, version)

    def start(self, agent, whose, is_back):
        self.died, self.trace = (os.path.join(agent.state_dir, "update", name) for name in ("died", "trace"))
        plan = {"SSMD_CRASH_OF": whose, "SSMD_CRASH_AT": str(self.n), "SSMD_CRASH_ONCE": self.died,
                "SSMD_CRASH_TRACE": self.trace}  # where the stager may write
        if is_back:
            plan["SSMD_CRASH_FROM"] = os.path.join(agent.root, "bad-ran")
        agent.start(**plan)

    def ask(self, world, agent, version):
        running = agent.hub.send(document(f"touch {world.dir}/runs; while [ ! -e {world.dir}/go ]; do sleep 0.1; done; exit 5"))
        update = agent.hub.send({"schemaVersion": "2.2", "mainSteps": [{
            "action": "aws:updateSsmAgent", "name": STEP,
            "inputs": {"agentName": "amazon-ssm-agent", "allowDowngrade": "false", "targetVersion": version}}]})
        self.wait(world, agent, "the end of the update", lambda: agent.record(update).terminal)
        self.judge(world, agent, update, version)
        world.touch("go")
        self.wait(world, agent, "the end of the script", lambda: agent.record(running).terminal)
        if not self.power:
            equal("the script's exit code", agent.record(running).results["step1"]["code"], 5)
        self.judge_rest(world, agent)

    def wait(self, world, agent, what, is_so):
        """Meanwhile what has died is started again, as a machine does with its supervisor."""
        end = time.monotonic() + DEADLINE_S
        while not is_so():
            if self.power and not self.has_died and self.is_time_to_die():
                self.has_died = True
                self.lose_power(agent)
                agent.start()
                self.offer_again(agent)
                end = time.monotonic() + DEADLINE_S
            if not agent.is_up:
                agent.process.wait()
                agent.start()
            check(not World.is_last, "the test was stopped")
            check(time.monotonic() < end, f"waited {DEADLINE_S} s for {what}: {agent.tell()}")
            time.sleep(0.01)

    def is_time_to_die(self):
        return os.path.exists(self.died)

    def lose_power(self, agent):
        agent.lose_power()

    @staticmethod
    def offer_again(agent):
        """What was delivered and not acknowledged, at once instead of after its visibility time."""
        for message in agent.hub.state()["Messages"]:
            if message["State"] == "queued" and message["Deliveries"] > 0:
                agent.hub.redeliver(message["MessageId"])

    def judge(self, world, agent, update, version):
        terminal = agent.record(update).terminal
        equal("terminal replies", len(terminal), 1)
        status = terminal[0]["Status"]
        check(version == NEW or status == "Failed", f"a bad version is called {status}")
        is_kept = status == "Success"
        runs = version if is_kept else OLD
        self.wait(world, agent, f"version {runs} to answer", lambda: agent.version == runs)
        equal("current and proven", (agent.link("current"), agent.link("proven")), (runs, runs))
        run = agent.hub.send(document("exit 6"))
        self.wait(world, agent, "the answer to another command", lambda: agent.record(run).terminal)
        code = agent.record(run).results["step1"]["code"]
        check(code == 6 or (self.power and code == UNKNOWN), f"its exit code is {code}")  # it may go down under it
        self.wait(world, agent, "one agent to run", lambda: len(agent.agents()) == 1)  # it may just have died
        equal("terminal replies afterwards", len(agent.record(update).terminal), 1)

    def judge_rest(self, world, agent):
        self.wait(world, agent, "all jobs to be done", lambda: agent.status() and all(
            row["state"] == "done" for row in agent.query("SELECT state FROM instance")))
        left = agent.query("SELECT kind FROM effect WHERE closed_unix_ms IS NULL")
        equal("effects left open", [row["kind"] for row in left], [])
        agent.process.terminate()
        equal("the supervisor's status after SIGTERM", agent.wait_end(), 0)
        done = subprocess.run([program("ctl", "ssmctl"), "--root", agent.root, "audit", "verify"],
                              capture_output=True, text=True, check=False)
        equal(f"the status of ssmctl audit verify: {done.stdout}{done.stderr}", done.returncode, 0)


def play(pool, group, power, every):
    """One run without a death tells how many places there are."""
    runs = [Run(group, 1000000, power).go()]
    points = list(range(1, runs[0].passed + 1))
    shift = (len(group) + power) % every if every > 1 else 0
    wanted = points[shift::every] or points[:1]
    runs += pool.map(lambda n: Run(group, n, power).go(), wanted)
    return runs


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--long", action="store_true", help="every point")
    parser.add_argument("--every", type=int, default=EVERY, metavar="N", help="one point of N")
    parser.add_argument("--list", action="store_true", help="names of the groups")
    parser.add_argument("-j", type=int, default=4)
    parser.add_argument("groups", nargs="*", metavar="NAME")
    options = parser.parse_args()
    if options.list:
        print("\n".join(GROUPS))
        return 0
    names = [name for name in GROUPS if not options.groups or name in options.groups]
    if not names:
        sys.exit("no such group; there are: " + ", ".join(GROUPS))
    failed = n_deaths = n_runs = 0
    programs(OLD)
    RELEASE.get()
    print(f"1..{2 * len(names)}", flush=True)
    with concurrent.futures.ThreadPoolExecutor(options.j) as pool, concurrent.futures.ThreadPoolExecutor(2) as groups:
        todo = [(name, power) for name in names for power in (False, True)]
        played = groups.map(lambda it: play(pool, *it, 1 if options.long else options.every), todo)
        for n, ((name, power), runs) in enumerate(zip(todo, played), 1):
            guilty = [run for run in runs if run.crime]
            deaths = sum(run.has_died for run in runs)
            is_bad = bool(guilty) or deaths == 0
            failed, n_deaths, n_runs = failed + is_bad, n_deaths + deaths, n_runs + len(runs)
            print(f"{'not ok' if is_bad else 'ok'} {n} - {name}{', power lost' if power else ''}: {deaths} deaths in "
                  f"{len(runs)} runs, {runs[0].passed} places", flush=True)
            for run in guilty[:3]:
                print(f"#   died at place {run.n} ({run.place or 'nowhere'}): {run.crime}")
                print("".join(f"#     {line}\n" for line in run.story), end="", flush=True)
    print(f"# {n_deaths} deaths in {n_runs} runs")
    print(f"{2 * len(names) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
