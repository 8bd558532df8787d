"""A life of ssmd in which syncs fail: the n-th one, a few in a row, or all from there on. The kernel calls what it could not
write clean, so that a later sync that succeeds says nothing of it (disk.py). What the service has got must be on the disk all
the same, and after a failure of the journal nothing is started before it was opened and synced anew.

usage: syncs.py [--way WAY] [--json FILE] scenario     every sync of one scenario, as kill.py
"""
import argparse
import collections
import concurrent.futures
import json
import os
import random
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "../crash/kill"), os.path.join(HERE, "../integration")]
from disk import CREATE, MKDIR, OPEN, RENAME, SPAWN, SYNC, SYNC_FAILED, read_log  # noqa: E402
from harness import check  # noqa: E402
from kill import Crime  # noqa: E402
from more_scenarios import AtOnce  # noqa: E402
from power import Power, PowerRun, live, lucks  # noqa: E402
from scenarios import SCENARIOS  # noqa: E402

# How many syncs fail, and how many later the power fails too (0: it does not).
WAYS = {"once": (1, 0), "four times": (4, 0), "once, then the power": (1, 4), "for good, then the power": (1 << 30, 0)}
GIVE_UP_S = 2      # of failing for good, until the power goes: a moment like any other
RESTART_S = 0.3    # the service manager's pause
MAX_RESTARTS = 30
JOURNAL = ("journal.db", "journal.db-wal")
AT_ONCE = AtOnce(20, workers=8)


class SyncRun(PowerRun):
    """plan: (life, n, way). The n-th sync of that life and those after it fail."""

    deadline_s = 180

    def __init__(self, scenario, plan, seed=1, n_images=3):
        super().__init__(scenario, (), seed, n_images)
        self.fail_life, self.fail_at, self.way = plan or (0, 0, "once")
        self.n_failed = self.restarts = self.suspicions = 0
        self.failed_since = None
        self.failed_names = set()

    # ---- what fails ----

    def make_power(self, life, at):
        directory = self.world.path(f"power.{life}")
        if life != self.fail_life or not self.fail_at:
            return Power(directory, self.agent.root)
        n_fails, more = WAYS[self.way]
        loss = self.fail_at + self.random.randint(1, more) if more else 0
        return Power(directory, self.agent.root, die_at=loss, fail_at=self.fail_at, n_fails=n_fails)

    def look_around(self):
        super().look_around()
        if self.way != "for good, then the power" or not self.power.n_failed or self.power.is_dead:
            return
        self.failed_since = self.failed_since or time.monotonic()
        if time.monotonic() - self.failed_since > GIVE_UP_S:
            self.power.cut()
            if self.agent.is_up:
                self.agent.kill()

    # ---- its life ----

    def ended_by_itself(self, status):
        """As it may while the disk fails; the service manager starts it again."""
        if self.power.is_dead:
            self.revive()
            return
        self.restarts += 1
        if status != 111 or not self.power.n_failed:
            self.crimes.append(Crime("lost", f"ssmd ended with {status}"))
        check(self.restarts < MAX_RESTARTS, "ssmd does not stay up")
        time.sleep(RESTART_S)
        self.agent.start()

    def start(self):
        if self.power is not None:
            self.look_at_log()
        super().start()

    def judge(self):
        self.look_at_log()
        super().judge()
        disk = self.power.follow()
        for luck in lucks(self.random, self.n_images):  # what the service has got by now, after another loss
            disk.image(luck, self.agent.root)
            self.look_at_image(luck)

    def may_lack_output(self, job, n):
        lost = self.agent.query("SELECT output_lost FROM command_unit WHERE instance_id = ? AND n = ?", job, n)
        return self.n_failed and lost and lost[0]["output_lost"]

    def judge_step(self, n, got, told):
        if self.may_lack_output(self.job, n - 1):
            told = (told[0], told[1], None, None, told[4])  # counted, and said
        super().judge_step(n, got, told)

    def look_at_log(self):
        """After a sync of the journal has failed it is opened anew and synced, before anything is started."""
        names, suspect, was_opened = {}, 0, False
        for entry in read_log(self.power.log):
            if entry.kind in (OPEN, CREATE, MKDIR):
                names[entry.ino] = entry.name
            elif entry.kind == RENAME:
                names[entry.ino] = entry.name2
            name = names.get(entry.ino)
            if entry.kind == OPEN and name == JOURNAL[0]:
                was_opened = True
            elif entry.kind == SYNC_FAILED:
                self.n_failed += 1
                self.failed_names.add(name)
                if name in JOURNAL:
                    suspect, was_opened = entry.number, False
                    self.suspicions += 1
            elif entry.kind == SYNC and name in JOURNAL and was_opened:
                suspect = 0
            elif entry.kind == SPAWN and suspect:
                self.crimes.append(Crime("early", f"the runner of {entry.name} was started after sync {suspect} had failed, "
                                                  f"of the journal, which was not opened and synced anew"))


def tell(run):
    """What went wrong, in one text."""
    return "\n".join([f"{run.scenario.name}: sync {run.fail_at} of life {run.fail_life + 1} fails {run.way}"
                      f" [{', '.join(sorted(str(name) for name in run.failed_names))}]",
                      *(f"  {crime.kind}: {crime}" for crime in run.crimes), *(f"    {line}" for line in run.story)])


def play(pool, scenario, every, chances, n_images):
    """Runs of one scenario: one in which nothing fails, then `every`: way -> step, of the syncs of each life."""
    whole = live(scenario, None, 0, 1, SyncRun)
    plans = [(life, n, way) for life in range(min(scenario.lives, len(whole.syncs_passed))) for way, step in every.items()
             for n in range(chances.randrange(step) + 1, whole.syncs_passed[life] + 1, step)]
    seeds = [chances.randrange(1 << 32) for _ in plans]
    return [whole, *pool.map(lambda plan, seed: live(scenario, plan, seed, n_images, SyncRun), plans, seeds)]


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--way", choices=WAYS, action="append")
    parser.add_argument("--json")
    parser.add_argument("-j", type=int, default=4)
    parser.add_argument("scenario", choices=[scenario.name for scenario in SCENARIOS])
    options = parser.parse_args()
    scenario = next(scenario for scenario in SCENARIOS if scenario.name == options.scenario)
    with concurrent.futures.ThreadPoolExecutor(options.j) as pool:
        runs = play(pool, scenario, dict.fromkeys(options.way or WAYS, 1), random.Random(1), 5)
    crimes = collections.Counter(crime.kind for run in runs for crime in run.crimes)
    print(f"{'not ok' if crimes else 'ok'} - {scenario.name}: {sum(run.n_failed for run in runs)} failed syncs in "
          f"{len(runs)} runs")
    for run in [run for run in runs if run.crimes][:3]:
        print("".join(f"#   {line}\n" for line in tell(run).splitlines()), end="")
    if options.json:
        with open(options.json, "w", encoding="utf-8") as f:
            json.dump({scenario.name: {"crimes": crimes}}, f)
    return 1 if crimes or not sum(run.n_failed for run in runs) else 0


if __name__ == "__main__":
    sys.exit(main())
