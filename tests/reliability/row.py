"""One row of docs/reliability.md as a program: its command line, its figures against their targets, its state where it takes
hours, its JSON. README.md of this folder tells how a row is written.

usage of a row: rNN.py [--scale sample|row|long] [--seed N] [--json FILE]
It ends with status 0 if and only if every figure reaches its target and nothing was said with fail().
"""
import argparse
import contextlib
import datetime
import json
import operator
import os
import random
import re
import subprocess
import sys
import tempfile
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [HERE, os.path.join(TOP, "tests/integration"), os.path.join(TOP, "tests/crash/kill")]

import rows  # noqa: E402

SCALES = ("sample", "row", "long")
COMPARISONS = {"==": operator.eq, "<=": operator.le, ">=": operator.ge, "<": operator.lt, ">": operator.gt}
MAX_FAILURES = 20
# What a run of commands can be found guilty of, in the words of tests/crash/kill/kill.py; for `targets`.
CRIMES = ("early", "lost", "twice", "unrun", "result", "statuses", "open", "audit")
NO_CRIMES = {name: ("==", 0) for name in CRIMES}


def results_directory():
    return os.environ.get("SSMD_RELIABILITY_DIR") or os.path.join(TOP, "build/reliability")


def version():
    """Of the programs under test, as they say it themselves."""
    path = os.path.join(os.environ.get("SSMD_BUILD_DIR", ""), "agent/ssmd")
    try:
        said = subprocess.run([path, "--version"], stdout=subprocess.PIPE, text=True, check=False).stdout
        found = re.search(r"\d+(\.\d+)+", said)
        if found:
            return found[0]
    except OSError:
        pass  # a row that needs no built ssmd
    with open(os.path.join(TOP, "CMakeLists.txt"), encoding="utf-8") as f:
        return re.search(r"project\(ssmd VERSION ([\d.]+)", f.read())[1]


def filesystem(path):
    """The type of the filesystem that `path` is on."""
    found, length = "unknown", -1
    path = os.path.realpath(path)
    with open("/proc/self/mounts", encoding="utf-8") as f:
        for line in f:
            _, where, kind = line.split()[:3]
            where = where.rstrip("/")
            if (path == where or path.startswith(where + "/")) and len(where) >= length:
                found, length = kind, len(where)
    return found


def write_json(path, what):
    """Whole or not at all."""
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    with open(path + ".tmp", "w", encoding="utf-8") as f:
        json.dump(what, f, indent=1, ensure_ascii=False)
        f.write("\n")
    os.replace(path + ".tmp", path)


class Row:
    """`targets`: figure -> (comparison, value). A figure with a target that the run never told is not reached."""

    def __init__(self, row_id, test, targets):
        self.id = row_id
        self.test = test
        self.targets = dict(targets)
        self.target = rows.told(row_id)[1]
        self.figures = {}
        self.failures = []
        self.n_failures = 0
        self.state = {}
        self.scale = None
        self.seed = 0
        self.seconds_before = 0.0  # of a long run that was broken off
        self.begun = time.monotonic()
        for name, (how, _) in self.targets.items():
            assert how in COMPARISONS, f"{row_id}: {name}: {how}"

    # ---- for the run ----

    def count(self, name, n=1):
        """Add to a figure; n = 0 says that it was looked for and is not there yet."""
        self.figures[name] = self.figures.get(name, 0) + n

    def figure(self, name, value):
        """Set a figure."""
        self.figures[name] = value

    def worst(self, name, value):
        """The largest value told so far is the figure."""
        self.figures[name] = max(value, self.figures.get(name, value))

    def fail(self, text):
        """Something went wrong, whatever the figures say."""
        self.n_failures += 1
        if len(self.failures) < MAX_FAILURES:
            self.failures.append(str(text))
        self.say(f"WRONG: {text}")

    def say(self, text):
        print("".join(f"# {line}\n" for line in str(text).splitlines()), end="", flush=True)

    def save(self):
        """A long run can be broken off here and goes on from here: `state`, figures and failures are kept."""
        if self.scale == "long":
            write_json(self._state_path, {
                "seed": self.seed, "version": version(), "state": self.state, "figures": self.figures,
                "failures": self.failures, "n_failures": self.n_failures, "seconds": self._seconds()})

    # ---- the program ----

    @property
    def _state_path(self):
        return os.path.join(results_directory(), f"{self.id}.state.json")

    def _seconds(self):
        return round(self.seconds_before + time.monotonic() - self.begun, 1)

    def _resume(self):
        with contextlib.suppress(FileNotFoundError), open(self._state_path, encoding="utf-8") as f:
            kept = json.load(f)
            if kept["seed"] != self.seed or kept["version"] != version():
                self.say(f"{self._state_path} is of another seed or version: this run begins at the beginning")
                return
            self.state, self.figures, self.failures = kept["state"], kept["figures"], kept["failures"]
            self.n_failures, self.seconds_before = kept["n_failures"], kept["seconds"]
            self.say(f"going on from {self._state_path}, after {self.seconds_before:.0f} s")

    def missed(self):
        """The figures that do not reach their targets, told."""
        for name, (how, wanted) in self.targets.items():
            got = self.figures.get(name)
            if got is None:
                yield f"{name} was not measured, wanted {how} {wanted}"
            elif not COMPARISONS[how](got, wanted):
                yield f"{name} is {got}, wanted {how} {wanted}"

    def result(self):
        return {"row": self.id, "test": self.test, "target": self.target, "scale": self.scale, "seed": self.seed,
                "figures": self.figures, "targets": {name: list(target) for name, target in self.targets.items()},
                "met": not self.n_failures and not list(self.missed()), "seconds": round(self._seconds()),
                "version": version(),
                "machine": {"kernel": os.uname().release, "filesystem": filesystem(tempfile.gettempdir()),
                            "cpus": len(os.sched_getaffinity(0))},
                "when": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
                "failures": [*self.failures, *self.missed()][:MAX_FAILURES]}

    def main(self, run, arguments=None):
        """The whole program: run(row, scale, random) does the work. Returns the exit status."""
        parser = argparse.ArgumentParser(description=f"{self.id}: {self.test}. To reach: {self.target}.")
        parser.add_argument("--scale", choices=SCALES, default="sample")
        parser.add_argument("--seed", type=int, default=1)
        parser.add_argument("--json", metavar="FILE", help="where the result is written")
        options = parser.parse_args(arguments)
        self.scale, self.seed = options.scale, options.seed
        self.begun = time.monotonic()
        if self.scale == "long":
            self._resume()
        try:
            run(self, self.scale, random.Random(f"{self.id}/{self.seed}"))
        except Exception:  # a defect of the test is not a pass
            self.fail(traceback.format_exc())
        result = self.result()
        if options.json:
            write_json(options.json, result)
        if self.scale == "long":
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._state_path)
        for text in self.missed():
            self.say(f"NOT REACHED: {text}")
        print(line(result), flush=True)
        return 0 if result["met"] else 1


def told_figure(name, value):
    """"back_to_work_s", 4.2 -> "back to work 4.2 s"."""
    for ending, unit in (("_ms", " ms"), ("_s", " s"), ("_mib", " MiB"), ("_percent", " %")):
        if name.endswith(ending):
            name = name[:-len(ending)]
            break
    else:
        unit = ""
    if isinstance(value, float):
        value = f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"
    elif isinstance(value, int) and not isinstance(value, bool):
        value = f"{value:,}"
    return f"{name.replace('_', ' ')} {value}{unit}"


def told_figures(result):
    """Those with a target first, zeros of crimes together."""
    figures, targets = result["figures"], result["targets"]
    zeros = [name for name in targets if figures.get(name) == 0 and targets[name] == ["==", 0]]
    told = [told_figure(name, figures[name]) for name in [*targets, *(n for n in figures if n not in targets)]
            if name in figures and name not in zeros]
    if zeros:
        told.insert(0, "0 " + ", 0 ".join(name.replace("_", " ") for name in zeros))
    return "; ".join(told)


def line(result):
    """One line of the table, for the terminal."""
    return (f"{result['row']}  {'reached' if result['met'] else 'NOT REACHED'}  {told_figures(result)}"
            f"  ({result['scale']}, seed {result['seed']}, {result['seconds']} s)")
