#!/usr/bin/python3
"""Writes docs/reliability.md from the results in docs/reliability/*.json, and says when the two do not agree.

usage: page.py            write the page
       page.py --check    compare it; with a file beside each name in docs/reliability that a row has
       page.py --publish RESULT.json ...   take these results in, and write the page
"""
import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import row  # noqa: E402
import rows  # noqa: E402

INTRODUCTION = """\
# Reliability, measured

The promises of the [README](../README.md) as figures. This page is generated from the results in
[reliability/](reliability/): no figure is typed in by hand, and a test compares the two.

Each line can be measured again, on any Debian 12 or Ubuntu LTS, with one command; it installs what it needs, builds, runs the
row, prints its line and leaves its result in `build/reliability/`:

    scripts/reliability R1            # one row: minutes, up to about half an hour
    scripts/reliability               # all of them
    scripts/reliability --long R3     # the long run of a row: hours; broken off, it goes on where it was
    scripts/reliability --seed 7 R3   # another course of chance

`scripts/test` runs samples of most rows. What was *not measured* has no published result yet. Every figure that is to be 0
counts what went wrong: *early*: acknowledged, answered or started before the journal knew; *lost*: no terminal status, or
none at the service; *twice*: run more often than the document wants; *unrun*: less often; *result*: not the true status, code
or output; *statuses*: more than one terminal status; *open*: something left open in the journal or running; *audit*: the
journal's chains do not hold. [tests/reliability/README.md](../tests/reliability/README.md) tells how rows are made.

| row | test | figure to reach | figure reached | measured |
|---|---|---|---|---|
"""


def cell(text):
    return text.replace("|", "\\|").replace("\n", " ")


def measured(result):
    machine = result["machine"]
    return (f"{result['scale']}, seed {result['seed']}, {result['seconds']:,} s; {machine['cpus']} processors,"
            f" {machine['filesystem']}, Linux {machine['kernel']}; ssmd {result['version']}; {result['when'][:10]}")


def page(results):
    lines = []
    for name, test, target in rows.ROWS:
        result = results.get(name)
        if result is None:
            lines.append(f"| {name} | {cell(test)} | {cell(target)} | not measured | |")
            continue
        reached = row.told_figures(result)
        if not result["met"]:
            reached = f"**not reached:** {reached}: " + "; ".join(text.splitlines()[-1] for text in result["failures"][:3])
        lines.append(f"| {name} | {cell(result['test'])} | {cell(target)} | {cell(reached)} | {cell(measured(result))} |")
    return INTRODUCTION + "\n".join(lines) + "\n"


def read_results(directory):
    """row id -> result. Each file is named for its row."""
    found = {}
    if os.path.isdir(directory):
        for name in sorted(os.listdir(directory)):
            if not name.endswith(".json"):
                sys.exit(f"{directory}/{name} is no result of a row")
            with open(os.path.join(directory, name), encoding="utf-8") as f:
                result = json.load(f)
            problem = wrong_with(result)
            if problem or name != f"{result['row']}.json":
                sys.exit(f"{directory}/{name}: {problem or 'is named for another row'}")
            found[result["row"]] = result
    return found


def wrong_with(result):
    """Why this is not a result that may be published, or None. `met` is not taken on trust."""
    if result["row"] not in rows.IDS:
        return f"there is no row {result['row']}"
    if result["scale"] == "sample":
        return "a sample is not published: run the row (scripts/reliability ROW)"
    judge = row.Row(result["row"], result["test"], result["targets"])
    judge.figures = result["figures"]
    missed = list(judge.missed())
    if result["met"] and (missed or result["failures"]):
        return f"says that its target was met, and it was not: {missed + result['failures']}"
    return None


def main(arguments):
    documents = os.path.join(os.environ.get("SSMD_PAGE_DOCS") or os.path.join(row.TOP, "docs"))
    directory, path = os.path.join(documents, "reliability"), os.path.join(documents, "reliability.md")
    if arguments[:1] == ["--publish"] and len(arguments) > 1:
        for name in arguments[1:]:
            with open(name, encoding="utf-8") as f:
                result = json.load(f)
            problem = wrong_with(result)
            if problem:
                sys.exit(f"{name}: {problem}")
            row.write_json(os.path.join(directory, f"{result['row']}.json"), result)
    elif arguments not in ([], ["--check"]):
        sys.exit(__doc__)
    text = page(read_results(directory))
    if arguments == ["--check"]:
        with open(path, encoding="utf-8") as f:
            if f.read() != text:
                sys.exit(f"{path} is not what the results in {directory} make: scripts/reliability --page writes it")
        return 0
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
