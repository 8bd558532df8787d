#!/usr/bin/python3
"""R7: each malloc, open, fork, socket and pipe of agent and runner fails once; and the agent works with 64 descriptors.

A call is known by its stack, so that each place is tried, however often it is passed: that is what "all n" is.
sample: a spread of places.  row: every place, and a spread of them under the address sanitizer, which looks for leaks;
long: every place under both."""
# builds: asan
# packages: libc6-dbg
import concurrent.futures
import json
import os
import resource
import subprocess
import sys

from row import TOP, NO_CRIMES, Row

import failing
from failing import Fault, Failure, play, tell
from harness import World, document, equal, wait_for

JOBS = 3
EVERY = {"sample": {"malloc": 400, "open": 12, "fork": 1, "socket": 4, "pipe": 4},
         "row": dict.fromkeys(("malloc", "open", "fork", "socket", "pipe"), 1)}
EVERY["long"] = EVERY["row"]
ASAN_EVERY = {"row": {"malloc": 8, "open": 2, "fork": 1, "socket": 1, "pipe": 1}, "long": EVERY["row"]}
COMMANDS = 40
TARGETS = {**NO_CRIMES, "crash": ("==", 0), "leaks": ("==", 0)}


def play_places(row, every, random, prefix=""):
    """Each chosen place of each kind fails once in a run of one step."""
    scenario = failing.OneStep()
    for kind, step in every.items():
        whole = play(scenario, Fault(kind))
        judge(row, whole, prefix)
        places = whole.layer.places_seen
        if not places:
            row.fail(f"{kind}: no call was counted")
            continue
        row.count(f"{prefix}places_{kind}", len(places))
        row.count(f"{prefix}calls_{kind}", whole.layer.n_calls)
        chosen = places[random.randrange(step)::step] or places[:1]
        with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
            for played in pool.map(lambda place, kind=kind: play(scenario, Fault(kind, place=place[1])), chosen):
                judge(row, played, prefix)


def judge(row, run, prefix):
    row.count(f"{prefix}runs")
    for crime in run.crimes:
        row.count(crime.kind)
    if run.crimes:
        row.fail(tell(run))
    row.count("restarts", run.restarts)
    row.count("ended_by_libc", run.n_libc)
    if run.layer is not None:
        row.count(f"{prefix}failed_calls", run.layer.n_hits)


def with_64_descriptors(row):
    """Many commands at once, each with a runner, where the agent has 64 descriptors."""
    world = World()
    try:
        agent = world.agent(workers=COMMANDS)
        agent.start().wait_until_serving()
        resource.prlimit(agent.process.pid, resource.RLIMIT_NOFILE, (64, 64))
        sent = [agent.hub.send(document(f"echo run >> {world.dir}/ran.{n}; echo {n}; exit {n % 3}"))
                for n in range(COMMANDS)]
        for n, message in enumerate(sent):
            record = agent.wait_done(message, timeout=300)
            result = record.results["step1"]
            equal("terminal replies", len(record.terminal), 1)
            equal("code and output", (result["code"], result["standardOutput"]), (n % 3, f"{n}\n"))
            equal("how often it ran", len(world.lines(f"ran.{n}")), 1)
        wait_for("nothing to be open", lambda: not agent.query("SELECT 1 FROM effect WHERE closed_unix_ms IS NULL"))
        world.end_politely()
        row.count("commands_with_64_descriptors", COMMANDS)
    except Failure as failure:
        row.count("lost")
        row.fail("with 64 descriptors: " + "\n".join([str(failure), *world.logs()]))
    finally:
        world.end()


def under_asan(row, scale, seed):
    """The same in a build with sanitizers, which say at the end of ssmd what was leaked."""
    directory = os.environ.get("SSMD_ASAN_BUILD_DIR") or os.path.join(TOP, "build/asan")
    if not os.access(os.path.join(directory, "agent/ssmd"), os.X_OK):
        row.fail(f"there is no build with sanitizers in {directory}; set SSMD_ASAN_BUILD_DIR")
        return
    done = subprocess.run([sys.executable, os.path.abspath(__file__), "--asan", scale, str(seed)],
                          env={**os.environ, "SSMD_BUILD_DIR": directory}, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        row.fail(f"the runs under the address sanitizer ended with {done.returncode}")
        return
    told = json.loads(done.stdout.splitlines()[-1])
    for name, n in told["figures"].items():
        row.count(name, n)
    for text in told["failures"]:
        row.fail(text)


def run(row, scale, random):
    for name in TARGETS:
        row.count(name, 0)
    with_64_descriptors(row)
    play_places(row, EVERY[scale], random)
    if scale in ASAN_EVERY:
        under_asan(row, scale, row.seed)


def asan_main(scale, seed):
    import random
    row = Row("R7", "", {})
    play_places(row, ASAN_EVERY[scale], random.Random(seed), "asan_")
    print(json.dumps({"figures": row.figures, "failures": row.failures}))
    return 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--asan"]:
        raise SystemExit(asan_main(sys.argv[2], sys.argv[3]))
    raise SystemExit(Row("R7", "each place of agent and runner that asks for memory, a descriptor, a process, a socket or a "
                         "pipe is refused once; 40 commands at once with 64 descriptors", TARGETS).main(run))
