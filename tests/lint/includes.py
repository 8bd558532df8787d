#!/usr/bin/env python3
"""Reads every #include "..." of our folders against the table of who may include whom, and looks for
what must not be in the tree at all. Prints one line per finding; exits 1 when there is one.

    includes.py TREE              no finding is expected
    includes.py TREE FILE         exactly the findings in FILE are

The second form is run over tests/lint/fixture, which breaks each rule once: a check that finds
nothing there has gone blind."""

import os
import re
import sys

# A folder may include its own files, those of the folders named here, and the single headers named
# here. "agent" and "tests" wire everything together.
ALL = ["base", "schema", "fsm", "journal", "transport", "executors", "download", "update", "hub", "ctl", "agent"]
MAY_INCLUDE = {
    "base": [],
    "schema": ["base"],
    "fsm": ["base"],
    "journal": ["base", "fsm"],
    "transport": ["base", "schema"],
    "executors": ["base", "schema"],
    # A helper program: talks like the agent, knows nothing of it.
    "download": ["base", "schema", "transport"],
    # Version slots and what is done to them: a library and two programs. The operator's tool signs releases.
    "update": ["base", "schema", "fsm", "transport"],
    # What agent and service compute alike: signatures and frames.
    "hub": ["base", "schema", "transport/sigv4.h", "transport/sigv4_rsa.h", "transport/rsa_key.h",
            "transport/ws_codec.h", "transport/agent_message.h"],
    "ctl": ["base", "schema", "fsm", "journal/reader.h", "journal/audit.h", "update"],
    # `ssmd register` asks an ssmd that runs, as ssmctl does.
    "agent": [folder for folder in ALL if folder not in ("download", "hub", "ctl")] + ["ctl/client.h"],
    "tests": ALL + ["tests"],
}
# A private header stays in its folder; tests may look inside.
PRIVATE = re.compile(r"_internal\.h$")
# The runner links libc only.
RUNNER = re.compile(r"^executors/runner[^/]*\.[ch]$")
# So does the updater: it must work where the rest of the machine does not.
UPDATER = re.compile(r"^update/(updater|slots|handover)[^/]*\.[ch]$")

INCLUDE = re.compile(r'^\s*#\s*include\s*"([^"]+)"')
COMMENT_OR_STRING = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)
BANNED_CALL = re.compile(r"(?<![\w.>])(system|popen|strcpy|strcat|sprintf|vsprintf|gets|tmpnam|mktemp|alloca)\s*\(")
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
SOURCE = (".c", ".h")
TEXT = SOURCE + (".py", ".sh", ".cmake", ".txt", ".md", ".in", ".json", ".1", ".5", ".8")
SKIPPED = {"build", ".git", "corpus", "fixture", "fixtures", "__pycache__"}


def files_below(tree):
    for where, folders, names in os.walk(tree):
        folders[:] = sorted(f for f in folders if f not in SKIPPED)
        for name in sorted(names):
            yield os.path.relpath(os.path.join(where, name), tree)


def may_include(folder, allowed, target):
    target_folder = target.split("/", 1)[0]
    if target_folder == folder:
        return True
    if PRIVATE.search(target) and folder != "tests":
        return False
    return target_folder in allowed or target in allowed


def check_includes(tree, path, text):
    folder = path.split("/", 1)[0]
    allowed = ["base"] if RUNNER.match(path) else ["base", "fsm"] if UPDATER.match(path) else MAY_INCLUDE[folder]
    for number, line in enumerate(text.splitlines(), 1):
        m = INCLUDE.match(line)
        if m is None:
            continue
        target = m.group(1)
        if "/" not in target and folder == "tests":
            continue  # a helper beside the test
        if "/" not in target:
            yield number, f'#include "{target}": write "folder/file.h"'
        elif not may_include(folder, allowed, target):
            names = ", ".join(allowed) or "nothing of ours"
            yield number, f'{folder} includes "{target}"; it may include {names}'
        elif not os.path.exists(os.path.join(tree, target)):
            yield number, f'#include "{target}": there is no such file'


def check_calls(path, text):
    if path.startswith("tests/"):
        return
    blank = COMMENT_OR_STRING.sub(lambda m: re.sub(r"[^\n]", " ", m.group(0)), text)
    for number, line in enumerate(blank.splitlines(), 1):
        m = BANNED_CALL.search(line)
        if m is not None:
            yield number, f"calls {m.group(1)}()"


def check_opening(text):
    if not text.startswith("/*"):
        yield 1, "does not open with a comment that says what it is responsible for"


def findings(tree):
    for path in files_below(tree):
        folder = path.split("/", 1)[0]
        if not path.endswith(TEXT) and os.path.basename(path) != "CMakeLists.txt":
            continue
        with open(os.path.join(tree, path), encoding="utf-8", errors="replace") as f:
            text = f.read()
        if path != "tests/lint/includes.py":  # names what it looks for
            for number, line in enumerate(text.splitlines(), 1):
                m = UNFINISHED.search(line)
                if m is not None:
                    yield path, number, f"{m.group(1)} is left"
        if path.endswith(SOURCE) and folder in MAY_INCLUDE:
            for check in (check_includes(tree, path, text), check_calls(path, text), check_opening(text)):
                for number, what in check:
                    yield path, number, what


def main():
    if len(sys.argv) not in (2, 3):
        print(__doc__, file=sys.stderr)
        return 2
    found = [f"{path}:{number}: {what}" for path, number, what in findings(sys.argv[1])]
    expected = []
    if len(sys.argv) == 3:
        with open(sys.argv[2], encoding="utf-8") as f:
            expected = f.read().splitlines()
    for line in found:
        if line not in expected:
            print(line)
    for line in expected:
        if line not in found:
            print(f"not found, though it is there: {line}")
    return 0 if found == expected else 1


if __name__ == "__main__":
    sys.exit(main())
