#!/usr/bin/python3
"""R5: no space, no inodes, errors and a read-only disk at each write of agent and runner, once and for good: by a layer
below whole programs, and on real file systems where this machine can mount them.

sample: a spread of the writes.  row: each write of one step, and a spread of those of the other scenarios.  long: all."""
# packages: xfsprogs ?btrfs-progs
import concurrent.futures
import errno

from row import NO_CRIMES, Row

import disks
import failing
from failing import Fault, play, tell

JOBS = 3
BACK_S = 60
KINDS = {"no space": ("space", errno.ENOSPC), "no inodes": ("inodes", errno.ENOSPC),
         "errors": ("disk", errno.EIO), "read-only": ("disk", errno.EROFS)}
SCENARIOS = [failing.OneStep(), failing.StillRunning(), failing.Reboot(), failing.Cancelled(), failing.TenSteps()]
# Of the writes, every n-th, for (once, for good); first the scenario that is looked at closest.
EVERY = {"sample": {"one step": (29, 0), "one step that outlives ssmd": (0, 29)},
         "row": {"one step": (1, 4), "one step that outlives ssmd": (4, 1), "exit 194": (9, 9), "cancelled": (9, 9),
                 "ten steps": (31, 31)},
         "long": {scenario.name: (1, 1) for scenario in SCENARIOS}}
TARGETS = {**NO_CRIMES, "crash": ("==", 0), "unread": ("==", 0), "unrecorded": ("==", 0), "slow": ("==", 0),
           "back_to_work_s": ("<=", BACK_S)}


def plan(row, scenario, every, random):
    """Faults of one scenario: how many writes there are is counted first."""
    for title, (kind, error) in KINDS.items():
        whole = play(scenario, Fault(kind, error))
        judge(row, whole)
        row.count(f"writes_{title.replace(' ', '_').replace('-', '_')}", whole.layer.n_calls)
        for is_for_good, step in zip((False, True), every):
            if step:
                for n in range(1 + random.randrange(step), whole.layer.n_calls + 1, step):
                    yield Fault(kind, error, n=n, is_for_good=is_for_good)


def judge(row, run):
    row.count("runs")
    for crime in run.crimes:
        row.count(crime.kind)
    if run.crimes:
        row.fail(tell(run))
    row.count("outcomes_unknown", run.n_unknown)
    row.count("restarts", run.restarts)
    if run.layer is not None:
        row.count("failed_calls", run.layer.n_hits)
    if run.back_s is not None:
        row.worst("back_to_work_s", run.back_s)


def run(row, scale, random):
    for name in TARGETS:
        row.count(name, 0)
    for scenario in SCENARIOS:
        every = EVERY[scale].get(scenario.name)
        if not every or scenario.name in row.state.setdefault("done", []):
            continue
        faults = list(plan(row, scenario, every, random))
        with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
            runs = list(pool.map(lambda fault, scenario=scenario: play(scenario, fault), faults))
        for played in runs:
            judge(row, played)
        if not sum(played.layer.n_hits for played in runs if played.layer is not None):
            row.fail(f"{scenario.name}: nothing failed, so nothing was shown")
        row.say(f"{scenario.name}: {len(runs)} runs")
        row.state["done"].append(scenario.name)
        row.save()
    disks.run(row, scale)


if __name__ == "__main__":
    raise SystemExit(Row("R5", "each write of agent and runner fails (no space, no inodes, error, read-only), once and "
                         "until it was noticed; real full, failing and read-only ext4, xfs and btrfs", TARGETS).main(run))
