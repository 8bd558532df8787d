#!/usr/bin/python3
"""Controls of kill.py, updates.py and of the loss of power: builds of ssmd in which one promised ordering is broken on
purpose must be found guilty, each of the crime that it commits. A control passes when the suite fails for the right
reason.

usage: negative.py [suite]   (SSMD_BUILD_DIR names a build; broken ones are made below it)
Without a suite: those of kill.py, updates.py and test_crash_command; the others take minutes.
"""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

BUILD = os.environ.get("SSMD_BUILD_DIR", "")
HERE = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.path.abspath(os.path.join(HERE, "../../.."))
WORLD = ("ssmd", "ssmd-runner", "ssmd-download", "ssmctl", "ssmhub")
LAYER = ("powerloss", "ssmd-runner-dynamic")
IN_MEMORY = "test_crash_command"  # a program of the build, not of processes
TARGETS = {"kill.py": WORLD, "updates.py": ("ssmd-updater",), "power.py": (*WORLD, *LAYER), "syncs.py": (*WORLD, *LAYER),
           "update_syncs.py": ("ssmd-updater",), IN_MEMORY: (IN_MEMORY,)}
RELIABILITY = os.path.join(SOURCE, "tests/reliability")
SUITES = {"kill.py": HERE, "updates.py": HERE, "power.py": RELIABILITY, "syncs.py": RELIABILITY, "update_syncs.py": RELIABILITY}
WORDS = {"kill.py": [], "updates.py": ["--long"], "power.py": ["--every", "2"], "syncs.py": ["--way", "once"],
         "update_syncs.py": ["--way", "until the updater is killed, then the power"]}

# SSMD_BREAK -> the suite and its scenario that shows it, and the crimes of which one at least must be found.
CONTROLS = {
    "acknowledge-before-commit": ("kill.py", "one step", {"early"}),
    "spawn-before-commit": ("kill.py", "one step", {"early", "twice"}),
    "reply-before-result": ("kill.py", "one step", {"early"}),
    "no-exit-record": ("kill.py", "one step", {"result"}),
    "chain": ("kill.py", "one step", {"audit"}),
    "switch-before-order": ("updates.py", "good, power", {"early"}),
    "settle-before-proven": ("updates.py", "good, power", {"early"}),
    "progress-after-effect": ("updates.py", "good, power", {"early"}),
    "skip-sync": ("power.py", "one step", {"early", "lost"}),  # who reads beside it finds an index of what is not there
    "started-sync-skipped": ("power.py", "one step", {"early", "twice"}),
    "exit-sync-skipped": ("power.py", "one step", {"result"}),
    "directory-sync-skipped": ("power.py", "one step", {"result"}),
    "path-sync-skipped": ("power.py", "one step", {"early"}),
    "log-not-renewed": ("syncs.py", "one step", {"early", "audit"}),
    "journal-not-reopened": ("syncs.py", "one step", {"early"}),
    "progress-believed": ("update_syncs.py", "bad", {"early"}),
    "spawn-is-redo": (IN_MEMORY, "", {"twice"}),
}


def setting(name):
    with open(os.path.join(BUILD, "CMakeCache.txt"), encoding="utf-8") as f:
        found = re.search(rf"^{name}:\w+=(.*)$", f.read(), re.M)
    return found.group(1) if found else ""


def run(*words, **more):
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, **more)
    return done.returncode, done.stdout


def build(broken, targets):
    """A directory with the programs, broken in this way."""
    has_tests = "powerloss" in targets or IN_MEMORY in targets
    directory = os.path.join(BUILD, "broken", broken)
    words = [setting("CMAKE_COMMAND") or "cmake", "-S", SOURCE, "-B", directory, "-G", setting("CMAKE_GENERATOR"),
             f"-DSSMD_BREAK={broken}", f"-DSSMD_TESTS={'ON' if has_tests else 'OFF'}", "-DSSMD_CRASHPOINTS=ON",
             "-DCMAKE_BUILD_TYPE=Debug",
             f"-DCMAKE_C_COMPILER={setting('CMAKE_C_COMPILER')}"]
    if shutil.which("ccache"):
        words.append("-DCMAKE_C_COMPILER_LAUNCHER=ccache")
    for step in (words, [words[0], "--build", directory, "-j2", "--target", *targets]):
        status, text = run(*step, env={**os.environ, "CCACHE_NOHASHDIR": "1"})  # most objects are the same in all
        if status != 0:
            raise RuntimeError(f"{' '.join(step)}:\n{text[-3000:]}")
    return directory


def run_suite(suite, scenario, settings):
    """(status, output, crimes that it found)"""
    with tempfile.NamedTemporaryFile(suffix=".json") as table:
        status, text = run(sys.executable, os.path.join(SUITES[suite], suite), *WORDS[suite], "--json", table.name, scenario,
                           env={**os.environ, **settings})
        return status, text, set(json.load(table)[scenario]["crimes"]) if os.path.getsize(table.name) else set()


def control(broken, suite, scenario, crimes):
    """None when the suite was red for the right reason, else what happened instead."""
    directory = build(broken, TARGETS[suite])
    # Of an update only the updater is broken; the rest is this build's.
    settings = {"SSMD_UPDATER_BUILD_DIR" if TARGETS[suite] == ("ssmd-updater",) else "SSMD_BUILD_DIR": directory}
    if suite == IN_MEMORY:
        status, text = run(os.path.join(directory, "tests/crash", suite))
        found = {crime for crime in crimes if crime in text}
    else:
        status, text, found = run_suite(suite, scenario, settings)
    if status == 0:
        return f"the suite stayed green:\n{text}"
    if not found & crimes:
        return f"the suite found {sorted(found)}, wanted one of {sorted(crimes)}:\n{text[-3000:]}"
    print(f"# {broken}: found guilty of {', '.join(sorted(found))}")
    return None


def main():
    if not os.path.exists(os.path.join(BUILD, "CMakeCache.txt")):
        sys.exit(f"no build in {BUILD!r}: set SSMD_BUILD_DIR to one")
    suites = sys.argv[1:] or ["kill.py", "updates.py", IN_MEMORY]
    controls = {broken: told for broken, told in CONTROLS.items() if told[0] in suites}
    failed = 0
    print(f"1..{len(controls)}", flush=True)
    for n, (broken, (suite, scenario, crimes)) in enumerate(controls.items(), 1):
        problem = control(broken, suite, scenario, crimes)
        failed += problem is not None
        print(f"{'not ok' if problem else 'ok'} {n} - {broken} is noticed", flush=True)
        for line in (problem or "").splitlines():
            print(f"#   {line}", flush=True)
    print(f"{len(controls) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
