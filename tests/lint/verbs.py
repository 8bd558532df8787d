#!/usr/bin/env python3
"""The table of verbs of ssmctl is the truth; its manual page and its completion for bash follow it.

    verbs.py SSMCTL MANUAL_PAGE COMPLETION

Compares the verbs and options that `SSMCTL --json help` prints with those of the manual page, in both
directions, and asks the completion for each of them. Prints one line per difference; exits 1 when
there is one.

    verbs.py --spoiled SSMCTL MANUAL_PAGE COMPLETION

spoils the table first, a verb more, a verb less and an option more, and exits 1 unless exactly that is
found: a comparison that finds nothing there has gone blind."""

import json
import re
import subprocess
import sys


def table_of(ssmctl):
    out = subprocess.run([ssmctl, "--json", "help"], check=True, capture_output=True, text=True).stdout
    return json.loads(out)


def check_manual(verbs, page):
    """Its section VERBS has a line `.It Cm <verb> ...` per verb, with `Fl \\-<option>` below."""
    with open(page, encoding="utf-8") as f:
        text = f.read()
    text = text.split("\n.Sh VERBS\n", 1)[1].split("\n.Sh ", 1)[0]
    entries = {}
    for block in re.split(r"^\.It Cm ", text, flags=re.M)[1:]:
        head, _, rest = block.partition("\n")
        words = head.split()
        name = words[0]
        if words[1:2] == ["Cm"]:
            name += " " + words[2]
        entries[name] = head + "\n" + rest
    for verb in verbs:
        block = entries.get(verb["name"])
        if block is None:
            yield f"manual page: the verb {verb['name']} is missing"
            continue
        for option in verb["options"]:
            name = re.escape(option["name"]).replace(r"\-", r"\\?-")
            if not re.search(r"Fl (\\-|-)" + name + r"\b", block):
                yield f"manual page: {verb['name']}: the option --{option['name']} is missing"
    for name in entries:
        if name not in [verb["name"] for verb in verbs]:
            yield f"manual page: {name} is no verb"


def completions(script, words):
    program = 'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _ssmctl; ' \
              'printf "%s\\n" "${COMPREPLY[@]}"'
    run = ["bash", "-c", program, "bash", script, *words]
    return subprocess.run(run, check=True, capture_output=True, text=True).stdout.split()


def check_completion(verbs, script):
    first = {verb["name"].split()[0] for verb in verbs}
    offered = set(completions(script, ["ssmctl", ""]))
    for word in sorted(first - offered):
        yield f"completion: the verb {word} is missing"
    for word in sorted(offered - first):
        yield f"completion: {word} is no verb"
    for verb in verbs:
        words = verb["name"].split()
        if len(words) == 2 and words[1] not in completions(script, ["ssmctl", words[0], ""]):
            yield f"completion: {verb['name']}: the second word is missing"
        offered = completions(script, ["ssmctl", *words, "--"])
        for option in verb["options"]:
            if "--" + option["name"] not in offered:
                yield f"completion: {verb['name']}: the option --{option['name']} is missing"


def spoil(verbs):
    """Returns the differences that must be found in what it did to the table."""
    gone = verbs.pop(0)["name"]
    verbs[0]["options"].append({"name": "frob"})
    verbs.append({"name": "frobnicate", "options": []})
    changed = verbs[0]["name"]
    return {
        f"manual page: {gone} is no verb",
        f"manual page: {changed}: the option --frob is missing",
        "manual page: the verb frobnicate is missing",
        f"completion: {gone} is no verb",
        f"completion: {changed}: the option --frob is missing",
        "completion: the verb frobnicate is missing",
    }


def main():
    words = sys.argv[1:]
    is_spoiled = words[:1] == ["--spoiled"]
    if len(words) != 3 + is_spoiled:
        print(__doc__, file=sys.stderr)
        return 2
    ssmctl, page, completion = words[is_spoiled:]
    verbs = table_of(ssmctl)["verbs"]
    expected = spoil(verbs) if is_spoiled else set()
    found = set(check_manual(verbs, page)) | set(check_completion(verbs, completion))
    for line in sorted(found - expected):
        print(line)
    for line in sorted(expected - found):
        print(f"not found, though it is so: {line}")
    return 0 if found == expected else 1


if __name__ == "__main__":
    sys.exit(main())
