#!/usr/bin/python3
"""Writes docs/performance.md from the figures in docs/performance/*.json, and says when the two do not agree.

usage: page.py               write the page
       page.py --check       compare it
       page.py --publish     measure all of it now, of the release build in SSMD_BUILD_DIR, and write the page (bench/publish)
"""
import datetime
import json
import os
import subprocess
import sys
import tempfile

TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
sys.path.insert(0, os.path.join(TOP, "tests/reliability"))
import row  # noqa: E402

KINDS = ("latency", "throughput", "footprint")
DIRECTORY = os.path.join(TOP, "docs/performance")
PAGE = os.path.join(TOP, "docs/performance.md")

INTRODUCTION = """\
# Performance, measured

What ssmd needs, beside what the reference agent was seen to need. This page is generated from the results in
[performance/](performance/): no figure of ssmd's is typed in by hand, and a test compares the two. Measure it yourself:

    cmake --preset release && cmake --build --preset release
    bench/latency; bench/throughput; bench/footprint

The reference's figures were taken over `ec2messages` on another machine of two shared cores, whose disk is not known: compare
orders of magnitude. Beside times stands the *floor* of the same run: to start a process, see it end, and sync three SQLite
commits. The hub keeps its own files in memory, because the service has disks of its own. Where the time goes, and what the file
system has to do with it: [internals/performance.md](internals/performance.md).
"""


def measure():
    for kind in KINDS:
        done = subprocess.run([sys.executable, os.path.join(TOP, "bench/bench.py"), kind, "--json"], check=True,
                              stdout=subprocess.PIPE, text=True)
        row.write_json(os.path.join(DIRECTORY, f"{kind}.json"), {
            "figures": json.loads(done.stdout),
            "machine": {"kernel": os.uname().release, "filesystem": row.filesystem(tempfile.gettempdir()),
                        "cpus": len(os.sched_getaffinity(0))},
            "when": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d")})


def number(value):
    return "" if value is None else f"{value:,}"


def times(name, value, reference):
    """How many times better: of most figures less is."""
    if not value or not reference or value == reference:
        return ""
    is_more_better = name.startswith("commands per second")
    return f"{value / reference if is_more_better else reference / value:.1f}"


def page():
    lines = [INTRODUCTION]
    for kind in KINDS:
        with open(os.path.join(DIRECTORY, f"{kind}.json"), encoding="utf-8") as f:
            result = json.load(f)
        machine = result["machine"]
        lines += [f"## {kind.capitalize()}", "",
                  f"{machine['cpus']} processors, {machine['filesystem']}, Linux {machine['kernel']}; {result['when']}", "",
                  "| | ssmd | reference | times better | goal |", "|---|---|---|---|---|"]
        for name, told in result["figures"].items():
            value, reference = told["value"], told["reference"]
            lines.append(f"| {name} | {number(value)} | {number(reference)} | {times(name, value, reference)} |"
                         f" {number(told['goal'])} |")
        lines.append("")
    return "\n".join(lines).rstrip("\n") + "\n"


def main(arguments):
    if arguments == ["--publish"]:
        measure()
    elif arguments not in ([], ["--check"]):
        sys.exit(__doc__)
    text = page()
    if arguments == ["--check"]:
        with open(PAGE, encoding="utf-8") as f:
            if f.read() != text:
                sys.exit(f"{PAGE} is not what the results in {DIRECTORY} make: bench/page.py writes it")
        return 0
    with open(PAGE, "w", encoding="utf-8") as f:
        f.write(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
