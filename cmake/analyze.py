#!/usr/bin/env python3
"""analyze.py COMMANDS FOLDER...: gcc -fanalyzer over every C file of these folders, as it is compiled (COMMANDS:
compile_commands.json). Ends with 1 where there is a finding.

Off is what finds nothing here but false alarms:
  malloc-leak   does not see AUTO(x), TAKE(x) and what is embedded (container_of), so every owner leaks for it, as for
                clang-analyzer's unix.Malloc; ASan and valgrind look instead
"""
import concurrent.futures
import json
import os
import re
import shlex
import subprocess
import sys

OFF = ("malloc-leak",)
MAX_S = 900
FINDING = re.compile(r"^(/\S+?):(\d+):\d+: (warning|error): .*$", re.M)


def analysis(entry):
    """The command that only looks."""
    words = shlex.split(entry["command"])
    at = words.index("-o")
    words[at + 1] = "/dev/null"
    for option in ("-MF", "-MT"):  # the dependencies of the build stay as they are
        if option in words:
            at = words.index(option)
            del words[at:at + 2]
    words = [word for word in words if word not in ("-MD", "-Werror") and not word.startswith(("-specs=", "-flto"))]
    if os.path.basename(words[0]) == "ccache":
        del words[0]
    return [*words, "-fanalyzer", *(f"-Wno-analyzer-{name}" for name in OFF)]


def look(entry):
    """(file, what was found)"""
    done = subprocess.run(analysis(entry), cwd=entry["directory"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          errors="replace", timeout=MAX_S, env={**os.environ, "LC_ALL": "C", "CCACHE_DISABLE": "1"}, check=False)
    found = FINDING.search(done.stdout)
    if found or done.returncode != 0:
        return entry["file"], done.stdout
    return entry["file"], ""


def main():
    folders = tuple(os.path.join(folder, "") for folder in sys.argv[2:])
    with open(sys.argv[1], encoding="utf-8") as f:
        entries = {entry["file"]: entry for entry in json.load(f)
                   if entry["file"].endswith(".c") and entry["file"].startswith(folders)}
    if not entries:
        sys.exit(f"analyze.py: {sys.argv[1]} has no file of {', '.join(folders)}")
    n_bad = 0
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for file, found in pool.map(look, entries.values()):
            if found:
                n_bad += 1
                print(f"{file}:\n{found}", flush=True)
    print(f"{len(entries)} files, findings in {n_bad}")
    return 1 if n_bad else 0


if __name__ == "__main__":
    sys.exit(main())
