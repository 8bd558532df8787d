#!/usr/bin/python3
"""R12: ssmd is killed, stopped and replaced by another version under running commands. Each script tells its own number and
ends with a code of its own, and writes down when it begins and when it ends by itself. While it is replaced, the service gap is
measured."""
import collections
import contextlib
import os
import signal
import statistics
import threading
import time
import uuid

from row import Row

from harness import CODES, INSTANCE, Record, World, document, wait_for
from whole_update import NEW, OLD, Shared, SlotAgent

SIZES = {"sample": (20,), "row": (10, 100, 1000), "long": (10, 100, 1000)}
ROUNDS = {"sample": 1, "row": 3, "long": 30}
KINDS = {"sample": ("killed", "stopped")}  # the suite of updates replaces
ALL_KINDS = ("killed", "stopped", "replaced")
TIMES = {"sample": 1, "row": 5, "long": 10}  # killed or stopped in one run
LONG_S = 600  # for a thousand of anything on a busy machine
RELEASE = Shared(versions=(NEW,), bad={})


def code_of(n):
    return CODES[n % len(CODES)]


def script(world, n, pause):
    name = f"{world.dir}/ran/{n}"
    return (f"echo b >> {name}; while [ ! -e {world.dir}/go ]; do sleep {pause}; done; echo number {n}; echo e >> {name};"
            f" exit {code_of(n)}")


class Run:
    """One world: `size` commands, an agent to which `kind` is done while they run."""

    def __init__(self, row, kind, size, random):
        self.row, self.kind, self.size, self.random = row, kind, size, random

    def go(self):
        self.world = world = World()
        try:
            os.mkdir(world.path("ran"))
            more = {"workers": self.size + 100}
            if self.kind == "replaced":
                self.agent = SlotAgent(world, release=RELEASE.get(), UpdateDeadlineSeconds=280, **more)
            else:
                self.agent = world.agent(world.hub("--log", "error"), **more)
            self.agent.start().wait_until_serving()
            sent = [self.agent.hub.send(document(script(world, n, max(0.1, self.size / 500)))) for n in range(self.size)]
            self.wait("all scripts to run", lambda: len(os.listdir(world.path("ran"))) == self.size)
            getattr(self, self.kind)()
            world.touch("go")
            self.wait("all results to be reported", lambda: self.agent.query(
                "SELECT count(*) AS n FROM instance WHERE machine = 'command' AND state = 'done'")[0]["n"] == self.size)
            self.judge(sent)
            world.end_politely()
        finally:
            world.end()

    @staticmethod
    def wait(what, ask):
        wait_for(what, ask, timeout=LONG_S, every=0.2)

    def again(self):
        """Back, and it knows all that run; or killed before it does."""
        self.agent.start()
        if self.random.random() < 0.5:
            self.wait("ssmd to know what runs", lambda: (self.agent.status() or {}).get("n_running") == self.size)
        else:
            time.sleep(self.random.uniform(0, 0.5))  # anywhere in its start
        self.row.count("restarts")

    def killed(self):
        for _ in range(TIMES[self.row.scale]):
            self.agent.kill()
            self.again()

    def stopped(self):
        for _ in range(TIMES[self.row.scale]):
            self.agent.wait_until_serving()
            self.agent.process.send_signal(signal.SIGTERM)
            if self.agent.wait_end(LONG_S) != 0:
                self.row.fail(f"ssmd ended with {self.agent.process.returncode} after SIGTERM")
            self.again()

    def replaced(self):
        before = self.agent.pid
        with self.gap_measured():
            done = self.agent.ssmctl("update", "--to", NEW)
            if done.returncode != 0:
                self.row.fail(f"ssmctl update: {done.stdout}{done.stderr}")
            self.wait(f"version {NEW} to be proven", lambda: self.agent.link("proven") == NEW)
            self.wait("it to serve", lambda: self.agent.version == NEW)
        if self.agent.pid == before or self.agent.link("current") != NEW:
            self.row.fail(f"{OLD} was not replaced: {self.agent.tell()}")
        self.row.count("replacements")

    @contextlib.contextmanager
    def gap_measured(self):
        """Meanwhile there is always a message for whoever polls; the longest time between two that were taken is the gap."""
        messages, is_over = [], threading.Event()

        def offer():
            while not is_over.wait(0.02):
                messages.append(self.agent.hub.cancel(f"aws.ssm.{uuid.uuid4()}.{INSTANCE}"))

        thread = threading.Thread(target=offer)
        thread.start()
        try:
            yield
        finally:
            is_over.set()
            thread.join()
        self.wait("the last message to be taken", lambda: Record(self.agent.hub.message(messages[-1])).of_kind("delivered"))
        records = {message["MessageId"]: Record(message) for message in self.agent.hub.state()["Messages"]}
        at = sorted(event["At"] for message in messages for event in records[message].of_kind("delivered"))
        gap = max(after - before for before, after in zip(at, at[1:]))
        self.row.say(f"service gap with {self.size}: {gap:.2f} s between {len(at)} messages")
        self.row.state.setdefault("gaps", []).append([self.size, gap])

    def judge(self, sent):
        records = {message["MessageId"]: Record(message) for message in self.agent.hub.state()["Messages"]}
        what = f"{self.kind}, {self.size} at once"
        wrong = collections.Counter()
        for n, message in enumerate(sent):
            record, code = records[message], code_of(n)
            result = record.results.get("step1", {})
            truth = "".join(self.world.lines(f"ran/{n}"))
            wrong["twice"] += truth.count("b") > 1
            wrong["children_killed"] += truth.count("e") == 0
            wrong["statuses"] += len(record.terminal) > 1
            wrong["lost"] += not record.terminal
            is_true = (result.get("code"), result.get("standardOutput"), [r["Status"] for r in record.terminal]) == \
                (code, f"number {n}\n", ["Failed" if code else "Success"])
            wrong["untrue"] += not is_true
            if not is_true or truth != "be":
                self.row.fail(f"{what}: command {n}: {result.get('status')}, {result.get('code')}, wanted {code};"
                              f" {record.sequence}; the script wrote {truth!r}")
        for name, count in wrong.items():
            self.row.count(name, count)
        self.row.count("commands", self.size)
        self.row.count("true_codes", self.size - wrong["untrue"])


def typical_gap(row, few):
    """The median: one of a moment in which the machine did something else says nothing of ssmd."""
    return round(statistics.median(gap for size, gap in row.state["gaps"] if (size < 1000) == few), 2)


def run(row, scale, random):
    done = row.state.setdefault("done", [])
    for name in ("untrue", "children_killed", "twice", "lost", "statuses", "restarts", "replacements"):
        row.count(name, 0)
    for n in range(ROUNDS[scale]):
        for size in SIZES[scale]:
            for kind in KINDS.get(scale, ALL_KINDS):
                seed = random.getrandbits(64)
                if [n, size, kind] in done:
                    continue
                begin = time.monotonic()
                Run(row, kind, size, type(random)(seed)).go()
                row.say(f"{kind} under {size}: {time.monotonic() - begin:.0f} s")
                done.append([n, size, kind])
                row.save()
    if scale == "sample":
        del row.targets["replacements"], row.targets["service_gap_s"]
    else:
        row.figure("service_gap_s", typical_gap(row, few=True))
        row.figure("service_gap_with_1000_s", typical_gap(row, few=False))
    row.figure("true_codes_percent", 100 * row.figures["true_codes"] / row.figures["commands"])


if __name__ == "__main__":
    raise SystemExit(Row("R12", "ssmd is killed, stopped and replaced by another version under 10, 100 and 1,000 running commands",
                         {"true_codes_percent": ("==", 100), "children_killed": ("==", 0), "untrue": ("==", 0), "twice": ("==", 0),
                          "lost": ("==", 0), "statuses": ("==", 0), "restarts": (">=", 2), "replacements": (">=", 1),
                          "service_gap_s": ("<=", 2)}).main(run))
