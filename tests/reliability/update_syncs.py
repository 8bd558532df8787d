"""Updates in which syncs fail: of the updater, its supervisor and its guard, between versions that are stand-ins; and of
everything that is real (agents, stager, updater). The n-th sync fails and some after it, as in syncs.py; or all of them until the
updater, which has seen one fail, is killed: the one that follows finds a record that no disk may have. The power goes a few syncs
later, or at the end. On each disk nothing is done that the record does not announce, and what was called the end is the end.

usage: update_syncs.py [--way WAY] [--whole] [--every N] [--json FILE] good|bad
"""
import argparse
import collections
import concurrent.futures
import json
import os
import random
import signal
import sys
import time

import power  # first: it says where the others are
import syncs
import update_power
import updates
import whole_update
import whole_updates
from harness import check, marked_processes, wait_for
from updating import NEW, OLD

KILLED = "until the updater is killed, then the power"
WAYS = {**syncs.WAYS, KILLED: (1 << 30, 4)}
FOR_GOOD = "for good, then the power"
UPDATER = b"switch"  # the verb
ENDS = {"committed": "settling", "reverted": "confirming"}  # and the state that leads to nothing else


class FailingRun(update_power.StandInRun):
    def __init__(self, behaviour, at, way="once", seed=1, n_images=3):
        super().__init__(behaviour, 0, seed, n_images)
        self.way, self.fail_at = way, at
        self.failed_since = None
        self.n_kills = self.restarts = 0

    # ---- what fails ----

    def begin(self):
        loss, (n_fails, more) = self.loss, WAYS[self.way]
        self.machine.write_order()  # before the recording begins, as in StandInRun
        self.more = more and loss.random.randint(1, more)
        is_later = self.way in (KILLED, FOR_GOOD)
        loss.power = power.Power(self.path("power"), self.machine.root, fail_at=self.fail_at, n_fails=n_fails,
                                 die_at=self.fail_at + self.more if self.more and not is_later else 0)
        self.machine.supervise(**loss.power.environment)

    @property
    def has_died(self):
        if self.loss.power is None:
            return False
        if self.loss.power.n_failed and not self.is_over:
            self.on_failure()
            self.supervise_again()
        return self.loss.power.is_dead

    def on_failure(self):
        """Looked at all the time, until the power is gone."""
        self.failed_since = self.failed_since or time.monotonic()
        if self.way == KILLED and not self.n_kills:
            for pid in self.updaters():
                os.kill(pid, signal.SIGKILL)
                self.n_kills += 1
            self.loss.power.repair(die_after=self.more)
        elif self.way == FOR_GOOD and time.monotonic() - self.failed_since > syncs.GIVE_UP_S:
            self.loss.power.cut()

    def supervise_again(self):
        """As whoever started it does: it may end while the disk fails, and says so."""
        status = self.machine.supervisor.poll()
        if status is None or self.loss.power.is_dead:
            return
        self.restarts += 1
        check(status == 111, f"the supervisor ended with {status}")
        check(self.restarts < syncs.MAX_RESTARTS, "the supervisor does not stay up")
        time.sleep(syncs.RESTART_S)
        self.machine.supervise(**self.loss.power.environment)

    def updaters(self):
        for pid in marked_processes(self.machine.mark):
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as f:
                    if UPDATER in f.read().split(b"\0"):
                        yield pid
            except OSError:  # it has ended meanwhile
                pass

    # ---- the end ----

    def is_done(self):
        if self.has_died and not self.is_over:
            self.revive()
        is_done = self.machine.state_name in ENDS and not list(self.updaters())
        return is_done and (self.is_over or not self.loss.power.is_dead)  # else it is the power that took them, just now

    def judge(self):
        n_failed = self.loss.power.n_failed
        wait_for("the updater to be done with its record", self.is_done, 60)
        super().judge()
        machine, end = self.machine, self.machine.state_name
        if n_failed and end == "reverted" and "Input/output error" in machine.cause:
            self.crimes = [crime for crime in self.crimes if crime[0] != "result"]  # it did not come to be, and says why
        if self.is_over:  # it has been lost already
            return
        self.loss.power.cut()
        machine.lose_power()
        self.loss.end(lambda disk: self.look_at_end(disk, end))

    def look_at_end(self, disk, end):
        self.look_at(disk)
        machine = self.machine
        version = NEW if end == "committed" else OLD
        # Killed before the end was synced it comes to the same end from the state before.
        if machine.state_name not in (end, self.n_kills and ENDS[end]) or machine.links[:2] != (version, version):
            self.accuse("untrue", f"it had ended as {end}, the disk has {machine.state_name}, {machine.links} ({disk})")


class WholeFailing(update_power.WholeRun):
    """Agent before and after, stager, updater and runner as they are."""

    def __init__(self, behaviour, at, way="once", seed=1, n_images=2):
        super().__init__({"good": whole_updates.NEW, "bad": whole_updates.BAD}[behaviour], at, seed, n_images)
        self.behaviour, self.way, self.fail_at, self.n_kills = behaviour, way, at, 0
        loss = self.loss
        n_fails, more = WAYS[way]
        die_at = at + loss.random.randint(1, more) if more else 0

        def begin(directory, root):
            loss.power = power.Power(directory, root, fail_at=at, n_fails=n_fails, die_at=die_at)
            return loss.power.environment
        loss.begin = begin

    @property
    def crimes(self):
        return [("whole", self.crime)] if self.crime else []

    def accuse(self, kind, text):
        self.crime = f"{kind}: {text}"

    def judge(self, world, agent, update, version):
        terminal = agent.record(update).terminal[0]
        is_told = self.loss.power.n_failed and "Input/output error" in str(terminal)
        (whole_updates.Run if is_told else update_power.WholeRun).judge(self, world, agent, update, version)


def tell(run):
    return "\n".join([f"{run.behaviour}: sync {run.fail_at} fails {run.way}; {run.loss.place or 'no loss'}",
                      *(f"  {kind}: {text}" for kind, text in run.crimes), *(f"    {line}" for line in run.story[-40:])])


def live(kind, behaviour, at, way, seed, n_images):
    run = kind(behaviour, at, way, seed, n_images)
    try:
        run.go()
    except Exception as error:  # a defect of the test is not a pass
        run.accuse("stuck", f"the test failed: {type(error).__name__}: {error}")
    run.n_failed = run.loss.power.n_failed if run.loss.power else 0
    return run


def play(pool, kind, behaviour, every, chances, n_images):
    """A run in which nothing fails, then `every`: way -> step, of its syncs."""
    whole = live(kind, behaviour, 0, "once", 1, 1)
    n = whole.loss.power.n_syncs
    plans = [(at, way, chances.randrange(1 << 32)) for way, step in every.items()
             for at in range(chances.randrange(step) + 1, n + 1, step)]
    return [whole, *pool.map(lambda plan: live(kind, behaviour, *plan, n_images), plans)]


def prepare(is_whole):
    if is_whole:
        whole_update.programs(whole_update.OLD)
        whole_updates.RELEASE.get()


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--way", choices=WAYS, action="append")
    parser.add_argument("--whole", action="store_true")
    parser.add_argument("--every", type=int, default=1, metavar="N")
    parser.add_argument("--json")
    parser.add_argument("-j", type=int, default=4)
    parser.add_argument("behaviour", choices=updates.BEHAVIOURS)
    options = parser.parse_args()
    prepare(options.whole)
    with concurrent.futures.ThreadPoolExecutor(options.j) as pool:
        runs = play(pool, WholeFailing if options.whole else FailingRun, options.behaviour,
                    dict.fromkeys(options.way or WAYS, options.every), random.Random(1), 2 if options.whole else 5)
    crimes = collections.Counter(kind for run in runs for kind, _ in run.crimes)
    n_failed = sum(run.n_failed for run in runs)
    print(f"{'not ok' if crimes else 'ok'} - {options.behaviour}: {n_failed} failed syncs in {len(runs)} runs, "
          f"{sum(bool(run.loss.place) for run in runs)} losses, {sum(run.loss.images for run in runs)} disks, "
          f"{sum(run.n_kills for run in runs)} updaters killed; {dict(crimes)}")
    for run in [run for run in runs if run.crimes][:5]:
        print("".join(f"#   {line}\n" for line in tell(run).splitlines()), end="")
    if options.json:
        with open(options.json, "w", encoding="utf-8") as f:
            json.dump({options.behaviour: {"crimes": crimes}}, f)
    return 1 if crimes or not n_failed else 0


if __name__ == "__main__":
    sys.exit(main())
