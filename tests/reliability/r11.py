#!/usr/bin/python3
"""R11: SIGKILL at every crash point, and the loss of power at every sync, of an update that is good and of one that
is rolled back: of the updater and its supervisor between stand-in agents, and of everything (agent before and after,
runner, stager, updater) between real ones. tests/crash/kill has the kills, update_power.py the losses of power. And under a
real systemd with the units that users have (tests/integration/test_systemd.py): updater, agent or process 1 killed, in each state
and at random moments.

sample: some losses (tests/crash/kill has samples of its own).  row: every kill between stand-ins, one of sixteen
between real ones, every loss of power.  long: every kill, and losses again and again with other chances."""
import concurrent.futures
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time

from row import TOP, Row

import update_power
import whole_update
import whole_updates
from updates import BEHAVIOURS, CRIMES

JOBS = 4
N_IMAGES = {"stand-ins": 10, "whole": 4}  # the programs of three versions are on each of the latter
N_ROUNDS_LONG = 20
N_RANDOM = {"row": 20, "long": 500}  # updates under systemd from which something dies at random moments
MORE_SYNCS = 2  # lives differ a little
WHOLE = {"good": whole_updates.NEW, "bad": whole_updates.BAD}
SAMPLE = {"stand-ins": {"good": 7, "bad": 11}, "whole": {"good": 50, "bad": 110}}  # one of so many syncs


def stand_in(behaviour, at, seed, n_images):
    run = update_power.StandInRun(behaviour, at, seed, n_images)
    try:
        run.go()
    except Exception as error:  # a defect of the test is not a pass
        run.accuse("stuck", f"the test failed: {type(error).__name__}: {error}")
    return run.loss, run.crimes, run.story


def whole(behaviour, at, seed, n_images):
    run = update_power.WholeRun(WHOLE[behaviour], at, seed, n_images).go()
    return run.loss, [("whole", run.crime)] if run.crime else [], run.story


def lose_power(row, pool, what, live, behaviour, every, rng, n_images):
    """At every (or one in `every`) sync of an update."""
    begin = time.monotonic()
    first, crimes, story = live(behaviour, 0, 1, 1)
    n = first.power.n_syncs
    plans = [(at, rng.randrange(1 << 32)) for at in range(rng.randrange(every) + 1, n + MORE_SYNCS + 1, every)]
    found = [(first, crimes, story), *pool.map(lambda plan: live(behaviour, *plan, n_images), plans)]
    losses = [loss for loss, _, _ in found if loss.place]
    row.count("losses", len(losses))
    row.count("disks", sum(loss.images for loss in losses))
    for loss, crimes, story in found:
        for kind, text in crimes:
            row.count(kind)
            row.fail("\n".join([f"{what}, {behaviour}: {loss.place or 'no loss'}: {text}", *story[-60:]]))
    if not losses:
        row.fail(f"{what}, {behaviour}: the power was never lost")
    row.say(f"{what}, {behaviour}: {len(losses)} losses at {n} syncs, {time.monotonic() - begin:.0f} s")


def kill_stand_ins(row):
    with tempfile.NamedTemporaryFile(suffix=".json") as told:
        done = subprocess.run([sys.executable, os.path.join(TOP, "tests/crash/kill/updates.py"), "--long", "-j", str(JOBS),
                               "--json", told.name], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        try:
            table = json.load(told)
        except ValueError:
            table = {}
    row.count("kills", sum(t["deaths"] for t in table.values()))
    for t in table.values():
        for kind, n in t["crimes"].items():
            row.count(kind, n)
    judge("updates.py", row, done)


def kill_whole(row, every):
    done = subprocess.run([sys.executable, os.path.join(TOP, "tests/crash/kill/whole_updates.py"), "--every", str(every),
                           "-j", str(JOBS)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    deaths = re.search(r"^# (\d+) deaths", done.stdout, re.M)
    row.count("kills", int(deaths[1]) if deaths else 0)
    row.count("whole", len(re.findall(r"^#   died at place", done.stdout, re.M)))
    judge("whole_updates.py", row, done)


def under_systemd(row, n_random):
    done = subprocess.run([sys.executable, os.path.join(TOP, "tests/integration/test_systemd.py"), "--all", "--random", str(n_random),
                           "--seed", str(row.seed)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    n_updates = len(re.findall(r"^(?:not )?ok \d+ - a version", done.stdout, re.M))
    row.count("under_systemd", n_updates)
    if n_updates == 0:
        row.fail(f"no update was tried under systemd: {done.stdout[:500]}")
    row.count("wrong_under_systemd", len(re.findall(r"^not ok", done.stdout, re.M)))
    judge("test_systemd.py", row, done)


def judge(name, row, done):
    row.say(f"{name}: " + done.stdout.strip().rsplit("\n", 1)[-1])
    if done.returncode != 0:
        row.fail(f"{name}: {done.stdout[-4000:]}")


def run(row, scale, chance):
    done = row.state.setdefault("done", [])
    for name in (*CRIMES, "whole", "wrong_under_systemd"):
        row.count(name, 0)

    def once(key, work):
        if key not in done:
            work()
            done.append(key)
            row.save()

    whole_update.programs(whole_update.OLD)
    whole_updates.RELEASE.get()
    with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
        for n in range(N_ROUNDS_LONG if scale == "long" else 1):
            for what, live in (("stand-ins", stand_in), ("whole", whole)):
                for behaviour in BEHAVIOURS:
                    every = SAMPLE[what][behaviour] if scale == "sample" else 1
                    rng = random.Random(chance.randrange(1 << 32))
                    once(f"{n}/{what}/{behaviour}", lambda: lose_power(row, pool, what, live, behaviour, every, rng,
                                                                       2 if scale == "sample" else N_IMAGES[what]))
    if scale != "sample":
        once("kills of stand-ins", lambda: kill_stand_ins(row))
        once("under systemd", lambda: under_systemd(row, N_RANDOM[scale]))
        once("kills of whole updates", lambda: kill_whole(row, 16 if scale == "row" else 1))


if __name__ == "__main__":
    raise SystemExit(Row("R11", "SIGKILL at crash points and loss of power at every sync of an update, forward and back: of the "
                         "updater between stand-ins, and of agents, runner, stager and updater as they are; under a real systemd, updater, "
                         "ssmd and process 1 killed at random moments",
                         {name: ("==", 0) for name in (*CRIMES, "whole", "wrong_under_systemd")}).main(run))
