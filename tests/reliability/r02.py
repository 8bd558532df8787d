#!/usr/bin/python3
"""R2: the loss of power at every sync of agent and runner in every scenario. What was not synced is lost, torn and
reordered; power.py has the runs, disk.py the disks, tests/lib/powerloss.c the recording.

sample: some of the syncs of some scenarios.  row: every sync of every one (of two hundred commands at once: a spread of
them), ten disks each, one of which lives on; and builds in which one sync is left out, which must be found guilty.
long: again and again with other chances, and a second loss during each recovery."""
import concurrent.futures
import sys
import time

from row import NO_CRIMES, Row

import power
from more_scenarios import MORE
from scenarios import SCENARIOS

JOBS = 4
N_IMAGES = 10
N_ROUNDS_LONG = 20
SAMPLE = {"one step": 4, "exit 194": 12, "exit 194 inside a nested document": 15}  # one of so many syncs


def tell(row, found):
    row.count("runs", found.runs)
    row.count("losses", found.losses)
    row.count("disks", found.images)
    for kind, n in found.crimes.items():
        row.count(kind, n)
    for story in found.stories:
        row.fail(story)
    if found.losses == 0:
        row.fail(f"{found.scenario.name}: the power was never lost")


def run(row, scale, random):
    done = row.state.setdefault("done", [])
    for name in NO_CRIMES:
        row.count(name, 0)
    with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
        for n in range(N_ROUNDS_LONG if scale == "long" else 1):
            for scenario in (*SCENARIOS, *MORE):
                every = SAMPLE.get(scenario.name) if scale == "sample" else 1
                key, seed = f"{n}/{scenario.name}", random.randrange(1 << 32)
                if every is None or key in done:
                    continue
                begin = time.monotonic()
                found = power.play(pool, scenario, every, type(random)(seed), 3 if scale == "sample" else N_IMAGES,
                                   scale == "long")
                tell(row, found)
                row.say(f"{scenario.name}: {found.losses} losses in {found.runs} runs, {found.images} disks, "
                        f"{time.monotonic() - begin:.0f} s")
                if n == 0:
                    row.count("scenarios")
                done.append(key)
                row.save()
    if scale != "sample":
        power.controls(row, "power.py")


def targets():
    is_sample = "--scale" not in sys.argv or "sample" in sys.argv
    return {**NO_CRIMES, **({} if is_sample else {"controls_missed": ("==", 0), "scenarios": (">=", 20)})}


if __name__ == "__main__":
    raise SystemExit(Row("R2", "loss of power at every sync of agent and runner, in every scenario: ten disks each, on which "
                         "what was not synced is lost, torn and reordered; the agent goes on from one of them",
                         targets()).main(run))
