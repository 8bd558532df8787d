#!/usr/bin/python3
"""kill -9 of ssmd-updater, of the supervisor and its guard, of the agent, or of the whole machine, at every crash
point of an update that is good and of one that is rolled back.

After each death, before anything goes on: nothing may have been done that the updater's record does not announce.
At the end: exactly one agent runs, of the version that `current` and `proven` name, and the record says which and
why. Versions are stand-ins (tests/integration/standin_agent.c).

usage: updates.py [--long] [--json FILE] [-j N] [scenario ...]
  --long   every point; else one of a few
"""
import argparse
import collections
import concurrent.futures
import json
import os
import signal
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../integration"))
from harness import Failure, World, check, wait_for  # noqa: E402
from updating import NEW, OLD, Machine  # noqa: E402

SAMPLE = 8  # without --long every so many-th point is tried
END_S = 180
BEHAVIOURS = {"good": "", "bad": "crash"}
# Who dies: at the n-th point of the updater alone; with the agent; with everything, and another boot begins; at the
# n-th point of the supervisor, which is the guard too; or that in every life of a supervisor without updater.
VICTIMS = ("updater", "updater and agent", "power", "supervisor")

CRIMES = {
    "early": "done before it was on record",
    "stuck": "no end",
    "untrue": "the record says something else than what is",
    "nobody": "no agent runs, or not the one that should",
    "many": "more than one agent runs",
    "result": "a good version was not kept, or a bad one was",
    "left": "something is left over",
}
# States in which the record allows what was seen.
MAY_POINT = ("pointing", "restarting", "proving", "settling", "committed", "reverting")
MAY_PROVE = ("settling", "committed")


class Run:
    def __init__(self, behaviour, victim, at):
        self.behaviour, self.victim, self.at = behaviour, victim, at
        self.crimes = []
        self.story = []
        self.place = None

    def accuse(self, kind, text):
        self.crimes.append((kind, text))

    def environment(self):
        if self.is_over or not self.at:
            return {}
        names = {"AT": str(self.at), "ONCE": self.path("died"), "TRACE": self.path("trace")}
        before = "" if self.victim == "supervisor" else "UPDATER_"
        return {f"{before}SSMD_CRASH_{name}": value for name, value in names.items()}

    def path(self, name):
        return os.path.join(self.machine.root, name)

    @property
    def has_died(self):
        return os.path.exists(self.path("died"))

    def trace(self):
        try:
            with open(self.path("trace"), encoding="ascii") as f:
                return f.read().split()
        except FileNotFoundError:
            return []

    # ---- after a death ----

    def look(self):
        machine = self.machine
        while True:
            state, links, story = machine.state_name, machine.links, machine.story
            if machine.state_name == state:  # else the next updater has gone on meanwhile: what it did it has on record
                break
        if links[0] == NEW and state not in MAY_POINT:
            self.accuse("early", f"current leads to {NEW} in state {state}")
        if links[1] == NEW and state not in MAY_PROVE:
            self.accuse("early", f"proven leads to {NEW} in state {state}")
        if state in (None, "ordered", "pointing") and len(story) > 1:
            self.accuse("early", f"the agent was restarted in state {state}: {story}")

    def revive(self):
        machine = self.machine
        self.place = (self.trace() or ["nowhere"])[-1]
        self.look()
        self.is_over = True
        if self.victim == "updater and agent":
            for pid, _ in machine.agents():
                os.kill(pid, signal.SIGKILL)
        elif self.victim == "power":
            machine.lose_power()
            machine.supervise()
        elif self.victim == "supervisor":
            machine.supervisor.wait()
            machine.supervise()

    # ---- the end ----

    def judge(self):
        machine = self.machine
        state, links = machine.state_name, machine.links
        want = "committed" if self.behaviour == "good" else "reverted"
        if state != want:
            self.accuse("result", f"{state} ({machine.cause})")
        version = NEW if state == "committed" else OLD
        if links[:2] != (version, version) or (state == "committed" and links[2] != OLD):
            self.accuse("untrue", f"{state}, and the links lead to {links}")
        if state == "reverted" and not machine.cause:
            self.accuse("untrue", "reverted without a cause")
        if machine.read_record("progress").get("field.is_doubtful") == "1":
            self.accuse("untrue", "the old version came up, and the record doubts it")
        try:
            wait_for("one agent", lambda: [v for _, v in machine.agents()] == [version])
        except Failure:
            running = list(machine.agents())
            self.accuse("many" if len(running) > 1 else "nobody", f"agents: {running}")
        if left := [name for name in os.listdir(machine.slots) if name.startswith(".")]:
            self.accuse("left", f"in the slots: {left}")

    def begin(self):
        self.machine.supervise(**self.environment())
        if self.victim == "supervisor":
            # Its first points come before there is an order.
            wait_for("an agent or a death", lambda: self.has_died or self.machine.story)
        else:
            self.machine.wait_agent()
        self.machine.write_order()

    def go(self):
        world = World()
        try:
            self.machine = machine = Machine(world, BEHAVIOURS[self.behaviour], proving_ms=200)
            self.is_over = False
            self.begin()
            end = time.monotonic() + END_S
            while machine.state_name not in ("committed", "reverted") or (self.has_died and not self.is_over):
                if self.has_died and not self.is_over:
                    self.revive()
                check(not World.is_last, "the test was stopped")
                if time.monotonic() > end:
                    raise Failure(f"no end: {machine.tell()}")
                time.sleep(0.01)
            self.judge()
            if self.crimes:
                self.story = machine.tell().splitlines()
        except Failure as failure:
            self.accuse("stuck", str(failure))
        finally:
            world.end()
        return self


def live(behaviour, victim, at):
    run = Run(behaviour, victim, at)
    try:
        run.go()
    except Exception as error:  # a defect of the test is not a pass
        run.accuse("stuck", f"the test failed: {type(error).__name__}: {error}")
    return run


def count_points(behaviour, victim):
    """How many points a life without a death passes: one that dies so late that it does not."""
    run = Run(behaviour, victim, 100000)
    world = World()
    try:
        run.machine = Machine(world, BEHAVIOURS[behaviour], proving_ms=200)
        run.is_over = False
        run.machine.supervise(**run.environment())
        run.machine.wait_agent()
        run.machine.write_order()
        run.machine.wait_end()
        return len(run.trace())
    finally:
        world.end()


def play(pool, behaviour, victim, options):
    n = count_points(behaviour, victim)
    step = 1 if options.long else SAMPLE
    first = 1 + (VICTIMS.index(victim) if not options.long else 0)  # others for each victim
    return n, list(pool.map(lambda at: live(behaviour, victim, at), range(first, n + 1, step)))


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--long", action="store_true")
    parser.add_argument("--list", action="store_true", help="names of the scenarios")
    parser.add_argument("--json")
    parser.add_argument("-j", type=int, default=6)
    parser.add_argument("scenario", nargs="*")
    options = parser.parse_args()
    scenarios = {f"{b}, {v}": (b, v) for b in BEHAVIOURS for v in VICTIMS}
    if options.list:
        print("\n".join(scenarios))
        return 0
    wanted = [name for name in scenarios if not options.scenario or name in options.scenario]
    if not wanted:
        sys.exit("no such scenario; there are: " + "; ".join(scenarios))
    table, failed = {}, 0
    print(f"1..{len(wanted)}", flush=True)
    with concurrent.futures.ThreadPoolExecutor(options.j) as pool:
        for number, name in enumerate(wanted, 1):
            begin = time.monotonic()
            n_points, runs = play(pool, *scenarios[name], options)
            crimes = collections.Counter(kind for run in runs for kind, _ in run.crimes)
            deaths = sum(run.place is not None for run in runs)
            is_bad = bool(crimes) or deaths == 0
            failed += is_bad
            table[name] = {"points": n_points, "runs": len(runs), "deaths": deaths, "crimes": crimes}
            print(f"{'not ok' if is_bad else 'ok'} {number} - {name}: {deaths} deaths in {len(runs)} runs, "
                  f"{n_points} points # {time.monotonic() - begin:.1f} s", flush=True)
            for run in [run for run in runs if run.crimes][:3]:
                print(f"#   died at point {run.at}, {run.place}")
                for kind, text in run.crimes:
                    print(f"#   {kind}: {text}")
                for line in run.story:
                    print(f"#   {line}")
    for kind, text in CRIMES.items():
        print(f"# {kind}: {sum(row['crimes'][kind] for row in table.values())}  ({text})")
    print(f"{len(wanted) - failed} passed, {failed} failed")
    if options.json:
        with open(options.json, "w", encoding="utf-8") as f:
            json.dump(table, f)
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
