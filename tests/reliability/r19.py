#!/usr/bin/python3
"""R19: synced commits of a one-step command, and how long it is from the acceptance of a command to the first act of its
script, beside one synced commit of a journal like ours on the same disk, measured between the commands."""
import contextlib
import os
import sqlite3
import time

from row import Row

from harness import World, check, document, wait_for

N = {"sample": 30, "row": 1000, "long": 10000}
MAX_COMMITS, MAX_RATIO = 6, 5


def quantile(values, q):
    values = sorted(values)
    return values[min(len(values) - 1, int(q * len(values)))]


class Disk:
    """One synced commit of a few pages, again and again."""

    def __init__(self, directory):
        self.db = sqlite3.connect(os.path.join(directory, "floor.db"), isolation_level=None)
        for sql in ("PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL", "CREATE TABLE t (x BLOB)"):
            self.db.execute(sql)

    def commit_ms(self):
        begin = time.monotonic()
        self.db.execute("BEGIN")
        self.db.execute("INSERT INTO t VALUES (randomblob(2000))")
        self.db.execute("COMMIT")
        return (time.monotonic() - begin) * 1000


def begun_ms(world, n):
    """When the script did its first thing, as the file system wrote it down: a few milliseconds early at most."""
    return os.stat(world.path(f"begun.{n}")).st_mtime_ns / 1e6


def measure(world, row, count):
    agent = world.agent(world.hub("--log", "error"), workers=5).start().wait_until_serving()
    disk = Disk(agent.state_dir)
    floors, spans = [], []
    first = agent.status()["journal"]["n_commits"]
    for n in range(count):
        floors.append(disk.commit_ms())
        message = agent.hub.send(document(f": > {world.dir}/begun.{n}"))
        record = agent.wait_done(message, every=0.01)
        check([reply["Status"] for reply in record.terminal] == ["Success"], f"command {n}: {record.sequence}")
        row.count("commands")
    wait_for("all answers to be closed", lambda: not agent.query("SELECT 1 FROM outbox WHERE ended_unix_ms IS NULL"))
    row.figure("commits_per_command", round((agent.status()["journal"]["n_commits"] - first) / count, 2))
    accepted = {row_["job"]: row_["at"] for row_ in agent.query(
        "SELECT i.id AS job, t.at_unix_ms AS at FROM transition t JOIN instance i ON i.id = t.instance_id"
        " WHERE t.event = 'accepted'")}
    order = sorted(accepted.values())  # one after another: the n-th is the n-th
    check(len(order) == count, f"{len(order)} commands were accepted, {count} were sent")
    spans = [begun_ms(world, n) - at for n, at in enumerate(order)]
    with contextlib.closing(disk.db):
        for name, q in (("p50", .5), ("p99", .99)):
            row.figure(f"commit_{name}_ms", round(quantile(floors, q), 3))
            row.figure(f"accept_to_start_{name}_ms", round(quantile(spans, q), 3))
            row.figure(f"accept_to_start_in_commits_{name}", round(quantile(spans, q) / quantile(floors, q), 2))


def run(row, scale, random):
    if scale == "sample":  # other work on the machine says nothing about ours
        del row.targets["accept_to_start_in_commits_p99"]
    world = World()
    try:
        measure(world, row, N[scale])
        world.end_politely()
    finally:
        world.end()


if __name__ == "__main__":
    raise SystemExit(Row("R19", "one-step commands one after another, a synced commit of the same size on the same disk before each",
                         {"commits_per_command": ("<=", MAX_COMMITS),
                          "accept_to_start_in_commits_p99": ("<=", MAX_RATIO)}).main(run))
