#!/usr/bin/python3
"""R20: what sanitizers, valgrind and analyzers have to say of the code: nothing.

Each tool first has to find a mistake that is planted for it. Then: clang-tidy, cppcheck and gcc -fanalyzer over every file of
the product; the unit suites under address and undefined-behaviour sanitizers, which look for leaks as well; the agent under
the thread sanitizer, in the suites that make it use libuv's pool; the runner and the suites of what it is made of under
valgrind's memcheck. There is no sample: scripts/test has the analyzers and the address sanitizer whole.
SSMD_R20_PARTS="plant runners" plays these parts alone; the row is not met by them."""
# packages: valgrind gcc clang clang-tidy cppcheck
# builds: asan tsan
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

from row import TOP, Row  # first: it says where the others are
from harness import World, check, document, equal, program

MAX_S = 3600
# Suites that make the agent use libuv's pool: retention and output of nested documents, uploads, keys of registrations,
# sweeps of updates; and what stops and starts it in the middle.
POOLED = ("test_nested.py", "test_uploads.py", "test_identity.py", "test_restart.py", "test_documents.py")
# The runner's own, and what else reads bytes from outside without a library in between.
UNDER_VALGRIND = ("runner", "runner_versions", "script", "handover_files", "digest", "fs", "base_text", "json", "ws_codec")
FINDING = re.compile(r": (warning|error|style|performance|portability): ", re.M)

# tool -> a program with a mistake that it must find
PLANTED = {
    "clang-tidy": "#include <string.h>\nint f(const char *s);\nint f(const char *s)\n{\n"
                  "    char *p = 0;\n    return strlen(s) > 3 ? *p : 0;\n}\n",
    "cppcheck": "int f(void);\nint f(void)\n{\n    int a[2] = {0};\n    return a[2];\n}\n",
    "gcc-analyzer": "#include <stdlib.h>\nint f(void);\nint f(void)\n{\n    int *p = malloc(sizeof(*p));\n    *p = 1;\n"
                    "    free(p);\n    return *p;\n}\n",
    "asan": "#include <stdlib.h>\nint main(int n, char **a)\n{\n    char *p = malloc(4);\n    (void)a;\n    p[3 + n] = 1;\n"
            "    free(p);\n    return 0;\n}\n",
    "tsan": "#include <pthread.h>\nstatic int n;\nstatic void *f(void *x)\n{\n    n++;\n    return x;\n}\nint main(void)\n{\n"
            "    pthread_t t;\n    pthread_create(&t, 0, f, 0);\n    n++;\n    pthread_join(t, 0);\n    return 0;\n}\n",
    "valgrind": "#include <stdio.h>\n#include <stdlib.h>\nint main(void)\n{\n    int *p = malloc(sizeof(*p));\n"
                "    if (*p == 7)\n        puts(\"seven\");\n    free(p);\n    return 0;\n}\n",
}
VALGRIND = ("valgrind", "--quiet", "--error-exitcode=99", "--leak-check=full", "--errors-for-leak-kinds=definite",
            "--trace-children=no", "--num-callers=20")

# Name, script and what is done to it: the life of a runner in all its ways.
LIVES = (
    ("output", "echo out; echo err >&2; exit 3", {}),
    ("much output", "head -c 3000000 /dev/zero | tr '\\0' x", {}),
    ("closed output", "exec >&- 2>&-; true", {}),
    ("children", "(sleep 0.1; echo late) & setsid sh -c 'sleep 0.1; echo later'; wait", {}),
    ("a signal", "kill -9 $$", {}),
    ("time out", "trap '' TERM; while :; do sleep 0.1; done", {"timeoutSeconds": 5}),
    ("no such interpreter", "#!/no/such/thing\ntrue", {}),
    ("other directory", "pwd", {"workingDirectory": "/"}),
)


def sh(*words, **more):
    return subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", check=False,
                          stdin=subprocess.DEVNULL, timeout=MAX_S, **more)


def build_directory(name):
    path = os.environ.get(f"SSMD_{name.upper()}_BUILD_DIR") or os.path.join(TOP, "build", name)
    check(os.path.exists(os.path.join(path, "CMakeCache.txt")), f"{path} is not a build: scripts/reliability makes it")
    return path


def newest(*names):
    found = next((path for path in map(shutil.which, names) if path), None)
    check(found, f"none of {', '.join(names)} is installed")
    return found


# ---- the tools see ----

def sees(tool, source, directory):
    """What the tool says of the planted mistake."""
    binary = os.path.join(directory, "planted")
    if tool == "clang-tidy":
        return FINDING.search(sh(newest("clang-tidy-14", "clang-tidy"), f"--config-file={TOP}/.clang-tidy", source, "--",
                                 "-std=c11").stdout)
    if tool == "cppcheck":
        return sh("cppcheck", "--quiet", "--error-exitcode=1", "--enable=warning", source).returncode == 1
    if tool == "gcc-analyzer":
        database = os.path.join(directory, "compile_commands.json")
        with open(database, "w", encoding="utf-8") as f:
            json.dump([{"file": source, "directory": directory, "command": f"gcc -std=c11 -o planted.o -c {source}"}], f)
        return sh(sys.executable, os.path.join(TOP, "cmake/analyze.py"), database, directory).returncode == 1
    options = {"asan": ["-fsanitize=address,undefined"], "tsan": ["-fsanitize=thread"], "valgrind": ["-O0"]}[tool]
    equal("the status of the compiler", sh("gcc", "-g", *options, "-o", binary, source, "-lpthread").returncode, 0)
    return sh(*(VALGRIND if tool == "valgrind" else ()), binary).returncode != 0


def plant(row):
    for tool, text in PLANTED.items():
        with tempfile.TemporaryDirectory(prefix="planted-") as directory:
            source = os.path.join(directory, "planted.c")
            with open(source, "w", encoding="ascii") as f:
                f.write(text)
            row.count("tools")
            if not sees(tool, source, directory):
                row.count("blind")
                row.fail(f"{tool} does not find what was planted for it")


# ---- what they say ----

def analyze(row):
    for target in ("clang-tidy", "cppcheck", "gcc-analyzer"):
        done = sh("cmake", "--build", os.environ["SSMD_BUILD_DIR"], "--target", target)
        found = FINDING.findall(done.stdout)
        row.count("findings", max(len(found), done.returncode != 0))
        row.figure(target.replace("-", "_"), len(found))
        if done.returncode != 0:
            row.fail(f"{target}: {done.stdout[-3000:]}")
        row.say(f"{target}: {len(found)}")


def suites_of(directory, label):
    listed = json.loads(sh("ctest", "--show-only=json-v1", "-L", label, cwd=directory).stdout)
    return [test["name"] for test in listed["tests"]]


def address(row):
    directory = build_directory("asan")
    done = sh("ctest", "-L", "unit", "-j2", "--output-on-failure", cwd=directory)
    row.count("suites_asan", len(suites_of(directory, "unit")))
    if done.returncode != 0:
        row.count("reports", max(1, done.stdout.count("Sanitizer: ") + done.stdout.count("runtime error:")))
        row.fail(f"asan: {done.stdout[-3000:]}")


def threads(row):
    directory = build_directory("tsan")
    with tempfile.TemporaryDirectory(prefix="tsan-") as logs:
        for name in POOLED:
            done = sh("/usr/bin/python3", os.path.join(TOP, "tests/integration", name), env={
                **os.environ, "SSMD_BUILD_DIR": directory,
                "TSAN_OPTIONS": f"halt_on_error=0:exitcode=0:log_path={logs}/report"})
            row.count("suites_tsan")
            if done.returncode != 0:
                row.fail(f"{name} under the thread sanitizer: {done.stdout[-2000:]}")
        for name in sorted(os.listdir(logs)):
            with open(os.path.join(logs, name), encoding="utf-8", errors="replace") as f:
                reports = [text for text in f.read().split("=" * 18) if "WARNING: ThreadSanitizer" in text]
            for report in filter(is_race, reports):
                row.count("reports")
                row.fail(f"thread sanitizer: {report[:3000]}")


def is_race(report):
    """libuv closes descriptors by a system call that the sanitizer does not see: it takes a number that was given again
    for the descriptor that had it before."""
    return "Location is file descriptor" not in report


def runners(row):
    """Every life of a runner under memcheck, its own child as well until it becomes the script."""
    world = World()
    try:
        logs = world.path("valgrind")
        os.mkdir(logs)
        wrapper = world.path("runner")
        with open(wrapper, "w", encoding="ascii") as f:
            f.write(f"#!/bin/sh\nexec {shutil.which('valgrind')} {' '.join(VALGRIND[1:])} --log-file={logs}/%p"
                    f" {program('tests/lib', 'ssmd-runner-dynamic')} \"$@\"\n")
        os.chmod(wrapper, 0o700)
        agent = world.agent(world.hub(), RunnerPath=wrapper).start().wait_until_serving()
        messages = {name: agent.hub.send(document(script, **inputs)) for name, script, inputs in LIVES}
        messages["cancel"] = agent.hub.send(document(f"touch {world.dir}/begun; while :; do sleep 0.1; done"))
        world.wait_file("begun", timeout=300)
        agent.hub.cancel(messages["cancel"])
        for name, message in messages.items():
            agent.wait_done(message, timeout=300)
            row.count("runner_lives")
        world.end_politely()
        files = os.listdir(logs)
        check(len(files) >= len(messages), f"{len(files)} logs of valgrind, {len(messages)} runners")
        for name in files:
            with open(os.path.join(logs, name), encoding="utf-8", errors="replace") as f:
                text = f.read()
            if re.search(r"^==\d+== ", text, re.M):  # "--1234--" is what valgrind says of itself
                row.count("reports")
                row.fail(f"valgrind, a runner: {text[:2000]}")
    finally:
        world.end()


def suites_under_valgrind(row):
    folder = os.path.join(os.environ["SSMD_BUILD_DIR"], "tests/unit")
    for name in UNDER_VALGRIND:
        done = sh(*VALGRIND, os.path.join(folder, f"test_{name}"), env={**os.environ, "CK_TIMEOUT_MULTIPLIER": "50"})
        row.count("suites_valgrind")
        if done.returncode != 0:
            row.count("reports", max(1, len(re.findall(r"^==\d+== \S.* (lost|uninitialised|Invalid)", done.stdout, re.M))))
            row.fail(f"valgrind, test_{name}: {done.stdout[-2500:]}")


PARTS = (plant, runners, suites_under_valgrind, threads, address, analyze)


def run(row, scale, random):
    del random  # everything, always
    for name in ("reports", "findings", "blind"):
        row.count(name, 0)
    check(scale != "sample", "R20 has no sample: scripts/test looks with these tools itself")
    done = row.state.setdefault("done", [])
    wanted = os.environ.get("SSMD_R20_PARTS", "").split()
    for part in PARTS:
        if part.__name__ in done or (wanted and part.__name__ not in wanted):
            continue
        with contextlib.ExitStack() as stack:
            stack.callback(row.say, f"{part.__name__}: done")
            part(row)
        done.append(part.__name__)
        row.save()


if __name__ == "__main__":
    raise SystemExit(Row(
        "R20", "clang-tidy, cppcheck and gcc -fanalyzer over the product; unit suites under the address and undefined-behaviour "
        "sanitizers; the agent under the thread sanitizer where it uses threads; the runner under valgrind; each tool first "
        "finds what was planted for it",
        {"reports": ("==", 0), "findings": ("==", 0), "blind": ("==", 0), "tools": (">=", 6), "runner_lives": (">=", 9),
         "suites_asan": (">=", 50), "suites_tsan": (">=", 5), "suites_valgrind": (">=", 9)}).main(run))
