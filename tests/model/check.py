#!/usr/bin/env python3
"""Checks the model of a command with spin (tests/model/command.pml).

    check.py SSMCTL              the model has the transitions of the table that runs, spin finds no broken
                                 promise within the budgets below, and finds one in each model that is
                                 broken on purpose
    check.py SSMCTL --long       with larger budgets: hours, and some GB of memory

TAP on standard output."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
MODEL = os.path.join(HERE, "command.pml")

# Transitions of the machine that the model leaves out, and why.
LEFT_OUT = {
    ("received", "rejected", "reporting"): "such a document starts nothing: only its report is sent",
    ("queued", "start", "reporting"): "nothing of the document is to run: only its report is sent",
    ("queued", "cancel", "reporting"): "the model's command is started in the turn that accepts it",
    ("running", "begun", "running"): "moves a deadline; the model has no clock",
    ("stopping", "overdue", "reporting"): "a process that SIGKILL does not end; the model's stop does",
    ("reporting", "refused", "done"): "the service of the model takes the reply in the end",
    ("queued", "runaway", "reporting"): "a counter that no run of the model comes near",
    ("running", "runaway", "reporting"): "a counter that no run of the model comes near",
    ("rebooting", "runaway", "reporting"): "a counter that no run of the model comes near",
    ("stopping", "runaway", "reporting"): "a counter that no run of the model comes near",
}

# name, budgets
SOUND = [
    ("one death of agent and runner, lost answers", dict(AGENT_DEATHS=1, OFFERS=1, TIMEOUTS=0, POWER_LOSSES=0, CANCELS=0)),
    ("and a cancel", dict(AGENT_DEATHS=1, OFFERS=1, TIMEOUTS=0, POWER_LOSSES=0)),
    ("a power loss beside them", dict(AGENT_DEATHS=1, OFFERS=1, TIMEOUTS=0, CANCELS=0)),
]
LONG = [
    ("two deaths of the agent, a power loss, a cancel", dict(AGENT_DEATHS=2, OFFERS=1, TIMEOUTS=0)),
    ("a time limit and a cancel", dict(AGENT_DEATHS=1, OFFERS=1)),
]
SMALL = dict(AGENT_DEATHS=1, OFFERS=1, TIMEOUTS=0, POWER_LOSSES=0)
BROKEN = [
    ("ACKNOWLEDGE", "acknowledged before it is journaled"),
    ("SPAWN", "a runner before its commit"),
    ("PROBE", "a restart starts the step again, and the runner looks at no record"),
    ("LOST", "a step whose end nobody saw is called a success"),
    ("VOID", "a step is cancelled without making it void"),
    ("STARTED", "the script before its record"),
]

n_tests = 0
n_failed = 0


def tell(is_ok, name, details=""):
    global n_tests, n_failed
    n_tests += 1
    print(f"{'ok' if is_ok else 'not ok'} {n_tests} - {name}", flush=True)
    if not is_ok:
        n_failed += 1
        for line in details.splitlines()[-60:]:
            print(f"# {line}")


def spin(budgets, broken=None, memory_mb=2000):
    """What pan says: (number of errors or None, all of its text)."""
    defines = [f"-D{k}={v}" for k, v in budgets.items()]
    if broken is not None:
        defines.append(f"-DBREAK_{broken}")
    with tempfile.TemporaryDirectory(prefix="ssmd-model-") as where:
        made = subprocess.run(["spin", "-a", *defines, MODEL], cwd=where, capture_output=True, text=True)
        if made.returncode != 0 or not os.path.exists(f"{where}/pan.c"):
            return None, made.stdout + made.stderr
        subprocess.run(["cc", "-w", "-O2", "-DSAFETY", "-DCOLLAPSE", f"-DMEMLIM={memory_mb}", "-o", "pan", "pan.c"],
                       cwd=where, check=True)
        run = subprocess.run(["./pan", "-m400000"], cwd=where, capture_output=True, text=True)
        text = run.stdout + run.stderr
        errors = re.search(r"errors: (\d+)", text)
        if errors and errors.group(1) != "0" and broken is None:
            trail = subprocess.run(["spin", "-t", "-p", "-g", *defines, MODEL], cwd=where, capture_output=True, text=True)
            text += trail.stdout
        is_whole = "Search not completed" not in text and "out of memory" not in text and "max search depth" not in text
        if errors is None or (errors.group(1) == "0" and not is_whole):
            return None, text
        return int(errors.group(1)), text


def compare(ssmctl):
    with open(MODEL, encoding="utf-8") as f:
        text = f.read()
    modelled = set(re.findall(r"T\(S_(\w+), E_(\w+), S_(\w+)\)", text))
    states = set(re.search(r"mtype = \{ (S_[^}]*) \}", text).group(1).replace("S_", "").split(", "))
    table = json.loads(subprocess.run([ssmctl, "fsm", "command", "--json"], check=True, capture_output=True).stdout)
    rows = {(r["from"], r["event"], r["to"]) for r in table["transitions"]}
    tell(states == {s["name"] for s in table["states"]}, "the model has the states of the machine",
         f"model {sorted(states)}")
    tell(modelled <= rows, "each transition of the model is one of the machine", str(sorted(modelled - rows)))
    tell(rows <= modelled | set(LEFT_OUT), "each transition of the machine is in the model, or left out with a reason",
         str(sorted(rows - modelled - set(LEFT_OUT))))
    tell(set(LEFT_OUT) <= rows - modelled, "nothing is left out that is not there",
         str(sorted(set(LEFT_OUT) - (rows - modelled))))


def main():
    arguments = [a for a in sys.argv[1:] if a != "--long"]
    if len(arguments) != 1:
        sys.exit(__doc__)
    if shutil.which("spin") is None:
        sys.exit("spin is not installed (package spin)")
    is_long = "--long" in sys.argv
    compare(os.path.abspath(arguments[0]))
    for name, budgets in SOUND + (LONG if is_long else []):
        errors, text = spin(budgets, memory_mb=20000 if is_long else 2000)
        tell(errors == 0, f"every promise holds: {name}", text)
    for macro, name in BROKEN:
        errors, text = spin(SMALL, macro)
        tell(errors == 1 and "assertion violated" in text, f"spin notices: {name}", text)
    print(f"1..{n_tests}")
    sys.exit(1 if n_failed else 0)


if __name__ == "__main__":
    main()
