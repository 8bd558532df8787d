#!/usr/bin/python3
"""R1: SIGKILL at every crash point of a command's life in every scenario, and a second one at every later point of the
recovery. tests/crash/kill/kill.py does the work; this turns what it counts into figures.

sample: every first death.  row: also in more_scenarios.py, and one of so many second deaths.  long: all of them."""
import argparse
import concurrent.futures

from row import NO_CRIMES, Row

import kill
from more_scenarios import MORE
from scenarios import RUNNER_SCENARIO, SCENARIOS

ROW_EVERY = 40  # of the second deaths, in a row that is to take half an hour
JOBS = 4


def play(pool, scenario, every, first):
    if scenario is RUNNER_SCENARIO:
        return kill.play_runner(pool, scenario)
    return kill.play(pool, scenario, argparse.Namespace(long=every > 0, every=every, first=first))


def run(row, scale, random):
    every = {"sample": 0, "row": ROW_EVERY, "long": 1}[scale]
    done = row.state.setdefault("done", [])
    for name in NO_CRIMES:
        row.count(name, 0)
    with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
        for scenario in [*SCENARIOS, RUNNER_SCENARIO, *(MORE if every else ())]:
            first = random.randrange(every) if every else 0
            if scenario.name in done:
                continue
            series = play(pool, scenario, every, first)
            row.say(f"{scenario.name}: {series.deaths} deaths in {series.runs} runs, {series.seconds:.0f} s")
            for name, n in series.crimes.items():
                row.count(name, n)
            for story in series.stories:
                row.fail(f"{scenario.name}: " + "\n".join(story))
            if series.deaths == 0:
                row.fail(f"{scenario.name}: nothing died")
            row.count("scenarios")
            row.count("deaths", series.deaths)
            row.count("runs", series.runs)
            done.append(scenario.name)
            row.save()


if __name__ == "__main__":
    raise SystemExit(Row("R1", "SIGKILL of agent, runner or machine before and after each journal write and each effect of a "
                         "command, in every scenario; again in the recovery",
                         {**NO_CRIMES, "scenarios": (">=", 20)}).main(run))
