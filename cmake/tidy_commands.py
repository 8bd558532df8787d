#!/usr/bin/env python3
"""tidy_commands.py FROM TO: compile commands as clang understands them.

What is compiled with musl as well is looked at once, and GCC's way to name a C library, which clang does not
know, is left out."""

import json
import os
import re
import sys


def main():
    with open(sys.argv[1], encoding="utf-8") as f:
        commands = json.load(f)
    commands.sort(key=lambda c: "-specs=" in c["command"])
    chosen = {}
    for c in commands:
        c["command"] = re.sub(r" -specs=\S+", "", c["command"])
        chosen.setdefault(c["file"], c)
    os.makedirs(os.path.dirname(sys.argv[2]), exist_ok=True)
    with open(sys.argv[2], "w", encoding="utf-8") as f:
        json.dump(list(chosen.values()), f, indent=1)


main()
