#!/usr/bin/env python3
"""A variable marked AUTO is freed on every way out of its scope, so it must have a value from its first line on.

usage: owners.py FOLDER...      prints file:line of each that has none; status 1 if there are any
"""
import pathlib
import re
import sys

DECLARATION = re.compile(r"\bAUTO\(\w+\)\s[^=;{}]*;")


def main(folders):
    bad = 0
    for folder in folders:
        for path in sorted(pathlib.Path(folder).rglob("*.[ch]")):
            text = path.read_text(encoding="utf-8")
            for found in DECLARATION.finditer(text):
                line = text.count("\n", 0, found.start()) + 1
                print(f"{path}:{line}: an owner without a value: {found.group(0)}")
                bad += 1
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or ["."]))
