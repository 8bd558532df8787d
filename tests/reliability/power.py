#!/usr/bin/python3
"""A life of ssmd that ends with the loss of power: everything ends at a sync or a crash point, a random part of what
was not synced survives, and the machine comes back in another boot. Judged like kill.py judges.

What every image of the disk has to hold is asked of many, cheaply; the last one goes on to the end, against the hub
that it had: what was acknowledged or answered by then counts.

usage: power.py [--every N] [--images N] [--json FILE] scenario ...     as kill.py; --every: of the syncs
"""
import argparse
import collections
import concurrent.futures
import contextlib
import json
import mmap
import os
import random
import subprocess
import struct
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../crash/kill"))
sys.path.insert(0, os.path.join(HERE, "../integration"))
from disk import Disk, Luck, read_log, remove_tree  # noqa: E402
from harness import program  # noqa: E402
from kill import Crime, Run  # noqa: E402
from more_scenarios import MORE  # noqa: E402
from scenarios import SCENARIOS, more_fates  # noqa: E402

CONTROL = struct.Struct("<6I")  # struct control of powerloss.c
CHANCES = (0, 0.1, 0.5, 0.9, 1)
EXIT_OFFSET = 4096              # executors/step_dir.h


def layer():
    return program("tests/lib", "powerloss.so")


class Power:
    """The control file and the log of one life."""

    def __init__(self, directory, root, die_at=0, fail_at=0, n_fails=0):
        os.makedirs(directory)
        self.directory = directory
        self.root = root
        self.log = os.path.join(directory, "log")
        self.disk = Disk(root)
        path = os.path.join(directory, "control")
        with open(path, "wb") as f:
            f.write(CONTROL.pack(0, 0, die_at, fail_at, n_fails, 0))
        with open(path, "r+b") as f:
            self.memory = mmap.mmap(f.fileno(), CONTROL.size)

    @property
    def environment(self):
        return {"LD_PRELOAD": layer(), "SSMD_POWER_DIR": self.directory, "SSMD_POWER_ROOT": self.root}

    @property
    def is_dead(self):
        return CONTROL.unpack_from(self.memory)[0] != 0

    @property
    def n_syncs(self):
        return CONTROL.unpack_from(self.memory)[1]

    @property
    def n_failed(self):
        return CONTROL.unpack_from(self.memory)[5]

    def cut(self):
        """Who comes to the disk now ends."""
        struct.pack_into("<I", self.memory, 0, 1)

    def disarm(self):
        """The chosen sync does not come any more."""
        struct.pack_into("<I", self.memory, 8, 0)

    def repair(self, die_after):
        """No sync fails any more; so many later the power does."""
        struct.pack_into("<3I", self.memory, 8, self.n_syncs + die_after, 0, 0)

    def follow(self):
        """The disk with everything that was recorded. Everybody is dead."""
        self.entries = read_log(self.log)
        for entry in self.entries:
            self.disk.follow(entry)
        return self.disk


def lucks(rng, n):
    """n ways to survive, nothing and everything among them, in any order: one of them is lived on with."""
    chances = [CHANCES[(0, 4, 2, 1, 3)[i % 5]] for i in range(n)]
    rng.shuffle(chances)
    return [Luck(random.Random(rng.random()), chance, rng.choice(("any", "any", "prefix"))) for chance in chances]


# ---- what a step's records say ----

def read_bytes(path):
    with contextlib.suppress(OSError), open(path, "rb") as f:
        return f.read()
    return None


def has_record(data, kind):
    if kind == "exit":
        data = data[EXIT_OFFSET:]
    data = data.split(b"\0", 1)[0]
    return data.startswith(b"ssmd-record 1 " + kind.encode() + b"\n") and data.endswith(b"\nend\n")


def fate_of(directory):
    """Of one attempt: true (its end is on the disk), lost, or unbegun."""
    names = {name: read_bytes(os.path.join(directory, name)) for name in ("exit", "started", ".started.tmp")}
    if any(data is not None and has_record(data, "exit") for data in names.values()):
        return "true"
    if names["exit"] is not None or names["started"] is not None or has_record(names[".started.tmp"] or b"", "started"):
        return "lost"
    return "unbegun"


def outputs_of(directory):
    """For each output: its name, its bytes as the record of the end tells them, those that are there."""
    for name in ("exit", "started", ".started.tmp"):
        data = read_bytes(os.path.join(directory, name))
        if data is not None and has_record(data, "exit"):
            told = dict(line.split(b"=", 1) for line in data[EXIT_OFFSET:].splitlines() if b"=" in line)
            if int(told[b"output_lost"]):  # it says itself that it does not know which are there
                return
            for stream in ("stdout", "stderr"):
                there = read_bytes(os.path.join(directory, stream))
                yield stream, int(told[stream.encode() + b"_bytes"]), len(there or b"")
            return


def fates_of(jobs, job, n_steps):
    """For each step, of its attempts: lost if one is, else true if one is."""
    fates = []
    for n in range(n_steps):
        with contextlib.suppress(FileNotFoundError):
            found = {fate_of(os.path.join(jobs, job, name)) for name in os.listdir(os.path.join(jobs, job))
                     if name.startswith(f"{n}.")}
            fates.append("lost" if "lost" in found else "true" if "true" in found else "unbegun")
            continue
        fates.append("unbegun")
    return fates


# ---- one run ----

class PowerRun(Run):
    """plan[k] is the sync at which the power fails in the k-th life, 0 for none; as Run otherwise, where it counts
    crash points. Of each death n_images images are looked at; the last one lives on."""

    def __init__(self, scenario, plan, seed=1, n_images=3, crash_plan=()):
        super().__init__(scenario, crash_plan)
        self.sync_plan = plan
        self.n_images = n_images
        self.random = random.Random(seed)
        self.power = None
        self.fates = None
        self.images = 0
        self.syncs_passed = []

    @property
    def runner(self):
        return program("tests/lib", "ssmd-runner-dynamic")

    @property
    def has_lost_power(self):
        return bool(self.places)

    def start(self):
        if self.power is not None:
            self.syncs_passed.append(self.power.n_syncs)
        life = self.n_starts
        if life == 0 and self.agent.config["Ssmd"]["RunnerPath"] == super().runner:
            self.agent.config["Ssmd"]["RunnerPath"] = self.runner
            self.agent.write_config()
        at = self.sync_plan[life] if life < len(self.sync_plan) else 0
        self.power = self.make_power(life, at)
        self.agent.environment = self.power.environment
        super().start()

    def make_power(self, life, at):
        return Power(self.world.path(f"power.{life}"), self.agent.root, die_at=at)

    def look_around(self):
        if self.power.is_dead and self.agent.is_up:
            self.agent.kill()

    def revive(self):
        """The power is gone; what is left of the disk is looked at, and lived on with."""
        self.power.cut()
        self.agent.lose_power()
        disk = self.power.follow()
        self.places.append(self.tell_place())
        for luck in lucks(self.random, self.n_images):
            disk.image(luck, self.agent.root)
            remove_tree(os.path.join(self.agent.root, "run"))
            self.look_at_image(luck)
        self.remember_fates()
        self.start()
        for message_id in self.messages:
            if self.hub.message(message_id)["State"] == "queued":
                self.hub.redeliver(message_id)

    def tell_place(self):
        last = self.power.entries[-1] if self.power.entries else None
        return f"sync {self.power.n_syncs} of life {self.n_starts}" + (f" of inode {last.ino}" if last else "")

    def look_at_image(self, luck):
        self.images += 1
        before = len(self.crimes)
        places = list(self.places)
        self.look_after_death()
        self.places = places
        self.audit()
        self.open_journal()
        self.look_at_records()
        for crime in self.crimes[before:]:
            crime.args = (f"{crime} (image {self.images}: chance {luck.chance}, {luck.order}, died at {(places or ['its end'])[-1]})",)

    def look_at_records(self):
        """What ran has begun on the disk, and what the journal calls ended has ended there."""
        job = self.scenario.script_job(self)
        directory = os.path.join(self.agent.jobs_dir, job)
        attempts = os.listdir(directory) if os.path.isdir(directory) else []
        fates = {name: fate_of(os.path.join(directory, name)) for name in attempts}
        for n in range(len(self.scenario.inner or self.scenario.scripts)):
            begun = sum(fate != "unbegun" for name, fate in fates.items() if name.startswith(f"{n}."))
            if self.ran(n + 1) > begun:
                self.crimes.append(Crime("twice", f"step {n + 1} ran {self.ran(n + 1)} times, the disk has {begun} records "
                                                  "of a start: it will be started again"))
        for name in attempts:
            for stream, told, there in outputs_of(os.path.join(directory, name)):
                if there != told:
                    self.crimes.append(Crime("result", f"{name}/{stream}: {there} bytes, its record of the end says {told}"))
        for row in self.agent.query("SELECT n, detail FROM transition WHERE instance_id = ? AND event = 'exited'", job):
            step = row["detail"].split(" ")[1] if row["detail"].startswith("step ") else ""
            if step in fates and fates[step] != "true":
                self.crimes.append(Crime("result", f"the journal says \"{row['detail'][:80]}\", and the disk has no record"))

    def open_journal(self):
        """The journal opens as it is: ssmctl reads it, and nothing has to be repaired by hand."""
        if not os.path.exists(self.agent.journal_path):
            return
        done = subprocess.run([program("ctl", "ssmctl"), "--root", self.agent.root, "status", "--json"],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        self.expect("audit", f"ssmctl status says: {done.stdout[-300:]}; its status", done.returncode in (0, 1), True)

    def remember_fates(self):
        now = self.scenario.fates(self, lambda job, n: fates_of(self.agent.jobs_dir, job, n))
        self.fates = more_fates(self.fates, now)

    def wanted(self):
        return self.scenario.wanted(self) if self.fates is None else self.scenario.after_loss(self)

    def go(self):
        super().go()
        self.syncs_passed.append(self.power.n_syncs)
        return self


# ---- all runs of one scenario ----

MORE_SYNCS = 2  # lives differ a little


def live(scenario, plan, seed, n_images, kind=PowerRun):
    run = kind(scenario, plan, seed, n_images)
    run.story = []
    try:
        run.go()
    except Exception as error:  # a defect of the test is not a pass
        run.crimes.append(Crime("lost", f"the test failed: {type(error).__name__}: {error}"))
    return run


class Losses:
    """What came of the runs of one scenario."""

    def __init__(self, scenario):
        self.scenario = scenario
        self.runs = self.losses = self.images = 0
        self.crimes = collections.Counter()
        self.stories = []

    def add(self, run):
        self.runs += 1
        self.losses += len(run.places)
        self.images += run.images
        self.crimes.update(crime.kind for crime in run.crimes)
        if run.crimes:
            self.stories.append("\n".join([
                f"{self.scenario.name}, power lost at {', '.join(run.places) or 'no time'} (plan {run.sync_plan})",
                *(f"{crime.kind}: {crime}" for crime in run.crimes), *run.story]))


def play(pool, scenario, every, rng, n_images, has_second=False):
    """The power is lost at every (or one in `every`) sync of each life; with has_second once more in the recovery."""
    found = Losses(scenario)
    whole = live(scenario, (), 0, 1)
    found.add(whole)
    plans = []
    every *= scenario.one_in
    for life in range(min(scenario.lives, len(whole.syncs_passed))):
        first = rng.randrange(every) + 1
        plans += [(0,) * life + (n,) for n in range(first, whole.syncs_passed[life] + MORE_SYNCS + 1, every)]

    def all_of(plans):
        seeds = [rng.randrange(1 << 32) for _ in plans]
        return list(pool.map(lambda plan, seed: live(scenario, plan, seed, n_images), plans, seeds))

    runs = all_of(plans)
    if has_second:
        runs += all_of([(*run.sync_plan, rng.randrange(run.syncs_passed[len(run.sync_plan)]) + 1) for run in runs
                        if run.places and len(run.syncs_passed) > len(run.sync_plan)
                        and run.syncs_passed[len(run.sync_plan)] > 0])
    for run in runs:
        found.add(run)
    return found


def controls(row, *suites):
    """Builds of tests/crash/kill/negative.py in which something is left out, which one of `suites` must find guilty."""
    done = subprocess.run([sys.executable, os.path.join(HERE, "../crash/kill/negative.py"), *suites],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    row.say(done.stdout)
    row.figure("controls_missed", done.stdout.count("\nnot ok ") if "passed" in done.stdout else 1)
    if done.returncode != 0:
        row.fail(f"the negative controls: {done.stdout[-2000:]}")


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--every", type=int, default=1, metavar="N")
    parser.add_argument("--images", type=int, default=10, metavar="N")
    parser.add_argument("--json")
    parser.add_argument("-j", type=int, default=4)
    parser.add_argument("scenario", nargs="+")
    options = parser.parse_args()
    known = [*SCENARIOS, *MORE]
    wanted = [s for s in known if s.name in options.scenario]
    if len(wanted) != len(options.scenario):
        sys.exit("no such scenario; there are: " + ", ".join(s.name for s in known))
    told = {}
    with concurrent.futures.ThreadPoolExecutor(options.j) as pool:
        for scenario in wanted:
            found = play(pool, scenario, options.every, random.Random(1), options.images)
            told[scenario.name] = {"runs": found.runs, "deaths": found.losses, "crimes": found.crimes}
            print(f"{'not ok' if found.stories else 'ok'} - {scenario.name}: {found.losses} losses, {found.images} disks",
                  flush=True)
            for story in found.stories[:3]:
                print("".join(f"#   {line}\n" for line in story.splitlines()), end="", flush=True)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as f:
            json.dump(told, f)
    return 1 if any(result["crimes"] for result in told.values()) else 0


if __name__ == "__main__":
    raise SystemExit(main())
