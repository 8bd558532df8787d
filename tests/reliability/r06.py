#!/usr/bin/python3
"""R6: each sync of agent and runner fails, once, four times, or until the power fails too; and those of an update: of the
updater between stand-ins, and of everything as it is. syncs.py and update_syncs.py have the runs, power.py the disks,
tests/lib/powerloss.c the recording.

sample: some of the syncs of one step, of many commands and of updates between stand-ins.  row: every sync of a few scenarios and
of updates between stand-ins, and a spread of those of many commands at once and of whole updates; builds in which something is out of order must be found guilty.  long: again and again with other chances."""
import concurrent.futures
import sys

from row import NO_CRIMES, Row

import power
import syncs
import update_syncs
import updates
from more_scenarios import TenSteps
from scenarios import Cancelled, NestedReboot, OneStep, Reboot

JOBS = 4
N_ROUNDS_LONG = 20
SCENARIOS = [OneStep(), TenSteps(), Reboot(), NestedReboot(), Cancelled(), syncs.AT_ONCE]
# Of the syncs, every n-th, in each way of failing.
SAMPLE = {"one step": {"once": 9, "four times": 18, "once, then the power": 9, "for good, then the power": 18},
          syncs.AT_ONCE.name: {"once, then the power": 60}}
ROW = {scenario.name: dict.fromkeys(syncs.WAYS, 1) for scenario in SCENARIOS}
ROW["ten steps"] = {"once": 3, "four times": 9, "once, then the power": 1, "for good, then the power": 9}
ROW[syncs.AT_ONCE.name] = dict.fromkeys(syncs.WAYS, 9)
# Of those of an update, of the two kinds: the same.
UPDATES = {"sample": [(update_syncs.FailingRun, {update_syncs.KILLED: 8, "once, then the power": 16})],
           "row": [(update_syncs.FailingRun, dict.fromkeys(update_syncs.WAYS, 1)),
                   (update_syncs.WholeFailing, {"once": 12, "four times": 24, "once, then the power": 12})]}
UPDATES["long"] = UPDATES["row"]
EVERY = {"sample": SAMPLE, "row": ROW, "long": ROW}
ALL_CRIMES = {**NO_CRIMES, **{name: ("==", 0) for name in (*updates.CRIMES, "whole")}}
N_IMAGES = {"sample": 3, "row": 5, "long": 10}


def judge(row, run):
    row.count("runs")
    for crime in run.crimes:
        row.count(crime.kind)
    if run.crimes:
        row.fail(syncs.tell(run))
    row.count("failed_syncs", run.n_failed)
    row.count("of_the_journal", run.suspicions)
    row.count("losses", len(run.places))
    row.count("disks", run.images)
    row.count("restarts", run.restarts)


def play(row, pool, scenario, every, random, n_images):
    runs = syncs.play(pool, scenario, every, random, n_images)
    for run in runs:
        judge(row, run)
    if not sum(run.n_failed for run in runs):
        row.fail(f"{scenario.name}: no sync failed, so nothing was shown")


def play_updates(row, pool, kind, behaviour, every, random, n_images):
    runs = update_syncs.play(pool, kind, behaviour, every, random, n_images)
    for run in runs:
        row.count("updates")
        for crime, _ in run.crimes:
            row.count(crime)
        if run.crimes:
            row.fail(update_syncs.tell(run))
        row.count("failed_syncs", run.n_failed)
        row.count("losses", bool(run.loss.place))
        row.count("disks", run.loss.images)
    if not sum(run.n_failed for run in runs):
        row.fail(f"an update, {behaviour}: no sync failed, so nothing was shown")
    row.say(f"{kind.__name__}, {behaviour}: so far {row.figures['updates']} updates, {row.figures['failed_syncs']} failed syncs")


def run(row, scale, random):
    done = row.state.setdefault("done", [])
    for name in ALL_CRIMES:
        row.count(name, 0)
    update_syncs.prepare(scale != "sample")
    with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
        for n in range(N_ROUNDS_LONG if scale == "long" else 1):
            for scenario in SCENARIOS:
                every = EVERY[scale].get(scenario.name)
                key, chances = f"{n}/{scenario.name}", type(random)(random.randrange(1 << 32))
                if every is None or key in done:
                    continue
                play(row, pool, scenario, every, chances, N_IMAGES[scale])
                row.say(f"{scenario.name}: so far {row.figures['runs']} runs, {row.figures['failed_syncs']} failed syncs")
                done.append(key)
                row.save()
            for kind, every in UPDATES[scale]:
                for behaviour in updates.BEHAVIOURS:
                    key, chances = f"{n}/{kind.__name__}/{behaviour}", type(random)(random.randrange(1 << 32))
                    if key not in done:
                        play_updates(row, pool, kind, behaviour, every, chances, N_IMAGES[scale])
                        done.append(key)
                        row.save()
    if scale != "sample":
        power.controls(row, "syncs.py", "update_syncs.py")


def targets():
    is_sample = "--scale" not in sys.argv or "sample" in sys.argv
    return {**ALL_CRIMES, **({} if is_sample else {"controls_missed": ("==", 0)})}


if __name__ == "__main__":
    raise SystemExit(Row("R6", "each sync of agent and runner, and of an update's programs, fails, once, four times, or until the "
                         "power fails too: what the service has, and what an update has done, must be on every disk that may be left", targets()).main(run))
