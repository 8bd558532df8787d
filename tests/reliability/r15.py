#!/usr/bin/python3
"""R15: steps whose processes fork, open sessions of their own, ignore every signal that can be ignored, become daemons, stop
themselves, start each other again or flee from process to process, and that are cancelled or run out of time. Five seconds
after SIGKILL was due, and when the service is told the end, none of them is left."""
import os
import time

from row import Row

from harness import World, check, document

# trees, of which so many at once
SIZES = {"sample": (6, 6), "row": (400, 10), "long": (10000, 10)}
LIMIT_S = 5       # the least time limit that counts
GRACE_MS = 500
# After SIGKILL was due. In a sample, beside which the machine has much else to do, it says only that they end.
LEFT_S = {"sample": 60, "row": 5, "long": 5}
LOST_S = 120
SCAN_S = 0.05
# Whatever happens to the test, nothing here lives on without its world's directory, and no process has more children than
# its file says.
LOOP = "while [ -e @ALIVE@ ]; do sleep 0.2; done"
ENDINGS = (LOOP, f"wait; {LOOP}", f"kill -STOP $$; {LOOP}",
           "while [ -e @ALIVE@ ]; do sh -c 'echo $$ >> @PIDS@; sleep 0.3'; done", "sleep 0.1; exit 0")
FLIGHT = "[ -e @ALIVE@ ] && [ ${1:-0} -lt 2000 ] || exit 0\necho $$ >> @PIDS@\nsleep 0.02\nsetsid sh %s $((${1:-0} + 1)) &\nexit 0"
STARTS = {
    "fork": "sh {file} &",
    "session": "setsid sh {file} &",
    "daemon": "( setsid sh {file} >/dev/null 2>&1 </dev/null & )",
    "no environment": "env -i PATH=\"$PATH\" SSM_COMMAND_ID=\"$SSM_COMMAND_ID\" sh {file} &",
    "no output": "sh {file} >&- 2>&- <&- &",
    "low priority": "nice -n 19 setsid sh {file} &",
}


class Tree:
    """A random tree of processes: a file for each, which starts its children. It writes down every process id."""

    def __init__(self, world, n, random):
        self.world, self.n, self.random = world, n, random
        self.n_nodes = 0
        self.is_timed_out = random.random() < 0.3
        self.dies_meanwhile = not self.is_timed_out and random.random() < 0.3  # ssmd, when the stop was asked for
        self.pids = world.path(f"pids.{n}")
        self.root = self.node(3, is_root=True)
        self.kill_at = self.cancelled_at = self.gone_at = self.ended = None
        self.sent_at = time.monotonic()

    def node(self, depth, is_root=False):
        """Writes the file of a process with all below it; returns its path."""
        random, self.n_nodes = self.random, self.n_nodes + 1
        path = self.world.path(f"tree.{self.n}.{self.n_nodes}")
        if not is_root and random.random() < 0.1:  # it flees: each process starts the next, and ends; it has no children else
            return self.write(path, [FLIGHT % path])
        lines = ["trap '' TERM HUP INT QUIT USR1"] if random.random() < 0.6 else []
        lines.append("echo $$ >> @PIDS@")
        for _ in range(random.randrange(1 if is_root else 0, 4) if depth > 0 else 0):
            lines.append(random.choice(list(STARTS.values())).format(file=self.node(depth - 1)))
        lines.append(f"touch {self.world.dir}/ready.{self.n}\n{LOOP}" if is_root else random.choice(ENDINGS))
        return self.write(path, lines)

    def write(self, path, lines):
        with open(path, "w", encoding="ascii") as f:
            f.write("\n".join(lines).replace("@PIDS@", self.pids).replace("@ALIVE@", self.world.path("alive")) + "\n")
        return path


class Forest:
    """Trees under one agent, some at once."""

    def __init__(self, row, random, n_trees, at_once):
        self.row, self.random, self.n_trees, self.at_once = row, random, n_trees, at_once
        self.trees = {}  # job -> those that are not over

    def go(self):
        self.world = World()
        try:
            self.world.touch("alive")
            self.agent = self.world.agent(self.world.hub("--log", "error"), workers=self.at_once, KillGraceMillis=GRACE_MS)
            self.agent.start().wait_until_serving()
            n = 0
            while n < self.n_trees or self.trees:
                check(not World.is_last, "the test was stopped")
                if n < self.n_trees and len(self.trees) < self.at_once:
                    self.plant(n)
                    n += 1
                self.look()
                time.sleep(SCAN_S)
            self.world.end_politely()
        finally:
            os.unlink(self.world.path("alive"))
            self.world.end()

    def plant(self, n):
        tree = Tree(self.world, n, self.random)
        limits = {"timeoutSeconds": LIMIT_S} if tree.is_timed_out else {}
        tree.message = self.agent.hub.send(document(f"exec sh {tree.root}", **limits))
        tree.job = tree.message.split(".")[2]
        tree.directory = os.path.join(self.agent.jobs_dir, tree.job, "0.1")
        tree.cancel_after = self.random.uniform(0, 1)
        self.trees[tree.job] = tree

    def processes(self):
        """job -> processes that are there now."""
        found = {job: [] for job in self.trees}
        for name in os.listdir("/proc"):
            if name.isdigit():
                try:
                    with open(f"/proc/{name}/environ", "rb") as f:
                        for word in f.read().split(b"\0"):
                            if word.startswith(b"SSM_COMMAND_ID=") and word[15:].decode() in found:
                                found[word[15:].decode()].append(int(name))
                except OSError:  # it has ended meanwhile
                    pass
        return found

    def look(self):
        begin = time.clock_gettime(time.CLOCK_BOOTTIME)
        found = self.processes()
        if not self.agent.is_up:
            self.agent.start()
        for tree in list(self.trees.values()):
            pids = found[tree.job]
            self.ask_to_stop(tree)
            if tree.kill_at is None:
                tree.kill_at = self.kill_time(tree)
            elif pids and begin > tree.kill_at + LEFT_S[self.row.scale]:
                self.end(tree, f"{len(pids)} processes are left {begin - tree.kill_at:.1f} s after SIGKILL was due: "
                         f"{[self.tell(pid) for pid in pids[:5]]}")
                continue
            if not pids and tree.kill_at is not None and begin > tree.kill_at - GRACE_MS / 1000:
                tree.gone_at = tree.gone_at or begin
            if tree.gone_at is not None and pids:
                tree.gone_at = None  # it was seen between two processes
            if os.path.exists(os.path.join(tree.directory, "exit")) or time.monotonic() - tree.sent_at > LOST_S:
                self.look_at_end(tree)

    def ask_to_stop(self, tree):
        if tree.is_timed_out or tree.cancelled_at is not None or not os.path.exists(self.world.path(f"ready.{tree.n}")):
            return
        tree.ready_at = getattr(tree, "ready_at", time.monotonic())
        if time.monotonic() - tree.ready_at >= tree.cancel_after:
            self.agent.hub.cancel(tree.message)
            tree.cancelled_at = time.monotonic()
            if tree.dies_meanwhile:
                self.agent.kill()

    def kill_time(self, tree):
        """When SIGKILL was due, on CLOCK_BOOTTIME; None as long as nobody has asked for it."""
        try:
            if not tree.is_timed_out:
                asked = os.stat(os.path.join(tree.directory, "cancel")).st_mtime
                return asked - time.time() + time.clock_gettime(time.CLOCK_BOOTTIME) + GRACE_MS / 1000
            for name in ("started", "exit"):
                path = os.path.join(tree.directory, name)
                if os.path.exists(path):
                    with open(path, "rb") as f:
                        for line in f.read(4096).split(b"\n"):
                            if line.startswith(b"started_boottime_ms="):
                                return int(line.split(b"=")[1]) / 1000 + LIMIT_S + GRACE_MS / 1000
        except FileNotFoundError:
            pass  # not yet, or it is being renamed
        return None

    def look_at_end(self, tree):
        """The runner has recorded the end: by then nothing may be left, and soon the service has it."""
        record = self.agent.record(tree.message)
        if not record.terminal:
            if time.monotonic() - tree.sent_at > LOST_S:
                self.row.count("lost")
                self.end(tree, f"no terminal status within {LOST_S} s: {record.sequence}")
            return
        left = self.processes()[tree.job]
        if left:
            self.row.count("left_at_the_end", len(left))
            self.end(tree, f"the end was told, and there are {[self.tell(pid) for pid in left[:5]]}")
            return
        want = "TimedOut" if tree.is_timed_out else "Cancelled"
        got = [reply["Status"] for reply in record.terminal]
        if got != [want]:
            self.row.count("result")
            self.end(tree, f"the status is {got}, wanted {want}")
            return
        if tree.gone_at is not None and tree.kill_at is not None:
            # Where ssmd died with the order half given, its next life has to begin first.
            name = "gone_after_kill_and_a_restart_s" if tree.dies_meanwhile else "gone_after_kill_s"
            self.row.worst(name, round(max(0.0, tree.gone_at - tree.kill_at), 3))
        with open(tree.pids, encoding="ascii") as f:
            self.row.count("processes", len(f.readlines()))
        self.end(tree)

    def end(self, tree, problem=None):
        if problem:
            self.row.count("left_after_5_s")
            self.row.fail(f"tree {tree.n} ({'time-out' if tree.is_timed_out else 'cancel'}): {problem}")
        self.row.count("timed_out" if tree.is_timed_out else "cancelled")
        del self.trees[tree.job]

    @staticmethod
    def tell(pid):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                return f"{pid}: {f.read().decode(errors='replace')}".replace("\0", " ")
        except OSError:
            return str(pid)


def run(row, scale, random):
    trees, at_once = SIZES[scale]
    row.figure("gone_after_kill_and_a_restart_s", 0.0)  # a sample may have none
    for name in ("gone_after_kill_s", "gone_after_kill_and_a_restart_s"):
        row.targets[name] = ("<=", LEFT_S[scale])
    for name in ("left_after_5_s", "left_at_the_end", "lost", "result"):
        row.count(name, 0)
    part = 400  # a world each, so that a long run can be broken off
    done = row.state.setdefault("done", 0)
    for n in range((trees + part - 1) // part):
        seed = random.getrandbits(64)
        if n >= done:
            Forest(row, type(random)(seed), min(part, trees - n * part), at_once).go()
            row.state["done"] = n + 1
            row.save()
    row.count("trees", row.figures.get("cancelled", 0) + row.figures.get("timed_out", 0))


if __name__ == "__main__":
    raise SystemExit(Row("R15", "cancel and time-out of random trees of processes that fork, call setsid, ignore signals, become "
                         "daemons, stop themselves, start each other again, flee; ssmd dies meanwhile",
                         {"left_after_5_s": ("==", 0), "left_at_the_end": ("==", 0), "lost": ("==", 0), "result": ("==", 0),
                          "gone_after_kill_s": ("<=", LEFT_S["row"]), "gone_after_kill_and_a_restart_s": ("<=", LEFT_S["row"]), "cancelled": (">=", 2), "timed_out": (">=", 1)}).main(run))
