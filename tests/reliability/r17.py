#!/usr/bin/python3
"""R17: a million commands, one after another and in bursts. What is kept of finished and reported jobs stays below its
limits the whole time, every id is known ever after, and neither a start nor a look at a job gets slow; nor does the agent
need more memory.

sample: 100 commands under small limits, so that retention has work, behind a journal of 2,000.
row: 5,000 commands to an agent whose journal has a million jobs behind it: grow_journal let the product's own journal
live through them. And starts with the largest journal that is read whole at a start.
long: a million commands, each with its runner and its script; it can be broken off, keeps its state, and goes on."""
import contextlib
import functools
import hashlib
import os
import shutil
import subprocess
import time
import uuid

from row import Row, results_directory  # first: it says where the others are
from harness import INSTANCE, Record, World, check, document, equal, program, wait_for

COMMANDS = {"sample": 100, "row": 5000, "long": 1000000}
GROWN = {"sample": 1500, "row": 1000000, "long": 0}
ERA = {"sample": 100, "row": 1000, "long": 2000}  # commands to one ssmhub: it never forgets one, and gets slow
SETTINGS = {"sample": {"RetentionFiles": 200, "RetentionMiB": 16}, "row": {}, "long": {}}
MAX_FILES = {"sample": 200, "row": 1000, "long": 1000}
MAX_MIB = {"sample": 16, "row": 256, "long": 256}
ASKED_AGAIN = {"sample": 10, "row": 200, "long": 2000}  # of all ids that there were, delivered again
MEASURED = {"sample": 1, "row": 7, "long": 7}  # starts and looks; the middle one counts
BURST = 50
TIMED = ("start_s", "start_read_whole_s", "show_ms", "pss_growth_mib")
READ_WHOLE_MIB, READ_WHOLE_JOBS = 25, 4500  # what is kept ends below 24 MiB, up to which a start reads all of it
MIB = 1 << 20
LONG_S = 600


def command_id(n):
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"command {n}"))


def grown_id(n):
    """As grow_journal names them."""
    return f"2b196342-d7d4-436e-8f09-{n:012x}"


def middle(values):
    return sorted(values)[len(values) // 2]


def files_of(path):
    n = size = 0
    for folder, _, names in os.walk(path):
        for name in (folder, *(os.path.join(folder, name) for name in names)):
            with contextlib.suppress(FileNotFoundError):
                size += os.lstat(name).st_blocks * 512
                n += 1
    return n, size


def pss_kib(pid):
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("Pss:"))


def forget_pages(directory):
    """What the page cache has of these files goes: the next start reads them from the disk."""
    for name in os.listdir(directory):
        path = os.path.join(directory, name)
        if os.path.isfile(path):
            fd = os.open(path, os.O_RDONLY)
            try:
                os.fsync(fd)
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(fd)


def grow(directory, n_jobs, mib):
    """A directory with a journal that has so many jobs behind it."""
    growing = f"{directory}.tmp"
    shutil.rmtree(growing, ignore_errors=True)
    os.makedirs(growing, mode=0o700)
    subprocess.run([program("tests/reliability", "grow_journal"), growing, str(n_jobs), str(mib)], check=True)
    os.rename(growing, directory)
    return directory


def grown(n_jobs, mib):
    """The same, kept for the next time where it takes long: half an hour for a million."""
    with open(program("tests/reliability", "grow_journal"), "rb") as f:
        maker = hashlib.sha256(f.read()).hexdigest()[:12]
    directory = os.path.join(results_directory(), f"grown-{n_jobs}-{mib}-{maker}")
    return directory if os.path.exists(directory) else grow(directory, n_jobs, mib)


class Node:
    """An agent that stays while its hubs come and go."""

    def __init__(self, row, world):
        self.row, self.world = row, world
        self.agent = world.agent(world.hub("--log", "error"), **SETTINGS[row.scale])
        self.n_hubs = 1

    def take_state(self, directory):
        """Its journal and jobs are those of `directory` from now on."""
        os.makedirs(os.path.dirname(self.agent.state_dir), exist_ok=True)
        shutil.copytree(directory, self.agent.state_dir)

    def new_hub(self):
        """A hub that has never seen a command, and a start of ssmd."""
        if self.agent.is_up:
            equal("the exit status of ssmd after SIGTERM", self.agent.terminate(), 0)
        self.agent.hub.stop()
        self.n_hubs += 1
        hub = self.world.hub("--log", "error", name=f"hub{self.n_hubs}")
        self.agent.hub = hub
        for section in ("Ssm", "Mgs", "S3", "Mds"):
            self.agent.config[section]["Endpoint"] = hub.url
        self.agent.write_config()
        self.agent.start().wait_until_serving()
        return hub

    def look(self):
        """What is kept of finished and reported jobs now."""
        agent, files, size = self.agent, 0, 0
        ended = {r["id"] for r in agent.query(
            "SELECT id FROM instance WHERE ended_unix_ms IS NOT NULL AND NOT EXISTS (SELECT 1 FROM outbox"
            " WHERE outbox.instance_id = instance.id AND outbox.ended_unix_ms IS NULL)")}
        names = os.listdir(agent.jobs_dir) if os.path.exists(agent.jobs_dir) else ()
        for name in names:
            n, kept = files_of(os.path.join(agent.jobs_dir, name))
            size += kept
            files += n if name in ended else 0
        for name in ("journal.db", "journal.db-wal"):
            with contextlib.suppress(FileNotFoundError):
                size += os.stat(os.path.join(agent.state_dir, name)).st_size
        self.row.worst("kept_files", files)
        self.row.worst("kept_mib", round(size / MIB, 1))
        self.row.count("looks")

    # ---- work ----

    def ledger(self, after):
        return {r["id"]: r["status"] for r in self.agent.query("SELECT id, status FROM ledger WHERE n > ?", after)}

    def ledger_end(self):
        return self.agent.query("SELECT ifnull(max(n), 0) AS n FROM ledger")[0]["n"]

    def send(self, numbers, ran):
        """Commands of these numbers at once, and all of them to their end."""
        before = self.ledger_end()
        for n in numbers:
            self.agent.hub.send(document(f"echo {n} >> {ran}; echo {n}"), command_id=command_id(n))
        done = {}

        def is_over():
            done.update(self.ledger(before))
            return len(done) >= len(numbers)
        wait_for(f"{len(numbers)} commands to be done", is_over, timeout=LONG_S, every=0.005 if len(numbers) == 1 else 0.05)
        for n in numbers:
            if done.get(command_id(n)) != "Success":
                self.row.fail(f"command {n}: {done.get(command_id(n))}")

    def era(self, first, last):
        """Bursts, and every fifth time one after another; then what the service and the scripts say of all."""
        ran = self.world.path(f"ran.{first}")
        hub = self.agent.hub
        for begin in range(first, last, BURST):
            numbers = range(begin, min(begin + BURST, last))
            if begin // BURST % 5 == 1:
                for n in numbers:
                    self.send([n], ran)
                    if n % 10 == 9:
                        self.look()
            else:
                self.send(numbers, ran)
            self.look()
        with open(ran, encoding="ascii") as f:
            lines = [int(line) for line in f]
        os.unlink(ran)
        self.row.count("twice", len(lines) - len(set(lines)))
        self.row.count("unrun", last - first - len(set(lines)))
        records = {m["MessageId"]: Record(m) for m in hub.state()["Messages"]}
        for n in range(first, last):
            told = [r["Status"] for r in records[message_id(command_id(n))].terminal]
            self.row.count("lost", not told)
            if told != ["Success"]:
                self.row.fail(f"command {n}: the service was told {told}")
        self.row.count("commands", last - first)

    # ---- measures ----

    def measure_start(self, figure):
        """From exec to the service's answer to the first poll, with nothing of the journal in the page cache."""
        starts = []
        for _ in range(MEASURED[self.row.scale]):
            if self.agent.is_up:
                equal("the exit status of ssmd after SIGTERM", self.agent.terminate(), 0)
            forget_pages(self.agent.state_dir)
            message = self.agent.hub.send(document("true"))  # who polls first gets it
            check("FirstDelivery" not in self.agent.hub.message(message), "somebody polls while no ssmd is up")
            began = time.time()
            self.agent.start()
            starts.append(float(wait_for("the first poll", lambda: self.agent.hub.message(message).get("FirstDelivery"),
                                         every=0.05)) - began)
            self.agent.wait_done(message)
        self.row.worst(figure, round(middle(starts), 3))

    def measure_show(self):
        job = self.agent.query("SELECT id FROM instance WHERE machine = 'command' ORDER BY seq DESC LIMIT 1")[0]["id"]
        looks = []
        for _ in range(MEASURED[self.row.scale]):
            began = time.monotonic()
            shown = subprocess.run([program("ctl", "ssmctl"), "--root", self.agent.root, "show", job], capture_output=True,
                                   text=True, check=False, stdin=subprocess.DEVNULL)
            looks.append(time.monotonic() - began)
            equal(f"the exit status of ssmctl show: {shown.stderr}", shown.returncode, 0)
            check(job in shown.stdout, f"ssmctl show {job} tells another job: {shown.stdout}")
        self.row.worst("show_ms", round(1000 * middle(looks)))


def message_id(name):
    return f"aws.ssm.{name}.{INSTANCE}"


def claim_known(row, node, known_ids, random):
    """Every id, asked as the product asks; then some are delivered again: nothing is started for them, and they are
    acknowledged. Of a job whose history is still here the service gets the terminal reply again."""
    agent = node.agent
    equal("the exit status of ssmd after SIGTERM", agent.terminate(), 0)
    asked = subprocess.run([program("tests/reliability", "grow_journal"), "--ask", agent.state_dir],
                           input="".join(f"{name}\n" for name in [*known_ids, *(str(uuid.uuid4()) for _ in range(10))]),
                           stdout=subprocess.PIPE, text=True, check=True)
    strangers = int(asked.stdout) - 10  # ids of nobody: the question can be answered with no
    check(strangers >= 0, "ids that nobody has had are said to be known")
    row.count("forgotten", strangers)
    row.figure("ids", len(known_ids))
    hub = node.new_hub()
    here = {r["id"] for r in agent.query("SELECT id FROM instance")}
    mark = node.world.path("ran-again")
    some = {*random.sample(known_ids, ASKED_AGAIN[row.scale]), *known_ids[:3], *known_ids[-3:]}
    n_before = agent.query("SELECT max(seq) AS n FROM instance")[0]["n"]
    for name in some:
        hub.send(document(f"echo {name} >> {mark}"), command_id=name)
    stranger = hub.send(document(f"echo stranger >> {mark}"))  # one that nobody has seen is run
    agent.wait_terminal(stranger, timeout=LONG_S)

    def answered():
        return {m["MessageId"].split(".")[2]: Record(m) for m in hub.state()["Messages"]
                if m["MessageId"] != stranger and Record(m).of_kind("ack")}
    wait_for("all of them to be acknowledged", lambda: len(answered()) == len(some), timeout=LONG_S, every=0.2)
    for name, record in answered().items():
        told = [reply["Status"] for reply in record.replies]
        if name not in here and told != ["InProgress"]:  # the receipt that every delivery by this channel gets
            row.fail(f"{name}: answered with {told}; nothing of it is kept")
        row.count("answered_again", bool(record.terminal))
    wait_for("replies of jobs that are still here", lambda: all(
        record.terminal for name, record in answered().items() if name in here), timeout=LONG_S, every=0.2)
    row.count("twice", len([line for line in node.world.lines("ran-again") if line != "stranger"]))
    row.count("twice", agent.query("SELECT count(*) AS n FROM instance WHERE seq > ?", n_before)[0]["n"] - 1)
    equal("runs of the one that is new", node.world.lines("ran-again").count("stranger"), 1)
    row.count("asked_again", len(some))


def measure_small(row, world):
    """The memory of an agent with nothing behind it; and starts with the largest journal that is read whole."""
    node = Node(row, world)
    node.agent.start().wait_until_serving()
    node.agent.wait_done(node.agent.hub.send(document("echo first")))
    node.new_hub()
    node.agent.wait_done(node.agent.hub.send(document("echo second")))
    small = pss_kib(node.agent.process.pid)
    equal("the exit status of ssmd after SIGTERM", node.agent.terminate(), 0)
    shutil.rmtree(node.agent.state_dir)
    node.take_state(grown(READ_WHOLE_JOBS, READ_WHOLE_MIB))
    size = os.stat(os.path.join(node.agent.state_dir, "journal.db")).st_size
    check(20 * MIB < size <= 24 * MIB, f"the journal that is to be read whole has {size} bytes")
    node.measure_start("start_read_whole_s")
    equal("the exit status of ssmd after SIGTERM", node.agent.terminate(), 0)
    return small


def take_up(row, node):
    """The state of a long run that was broken off; its last era is not counted."""
    kept = row.state.get("state_dir")
    if kept and os.path.exists(kept):
        node.take_state(kept)
        shutil.rmtree(kept)
    row.state["state_dir"] = node.agent.state_dir
    row.save()


def put_away(row, node):
    if row.scale == "long" and os.path.exists(node.agent.state_dir):
        node.agent.end()
        kept = os.path.join(results_directory(), "R17.state")
        shutil.rmtree(kept, ignore_errors=True)
        shutil.move(node.agent.state_dir, kept)
        row.state["state_dir"] = kept
        row.save()


def live(row, node, random):
    scale, n_grown = row.scale, GROWN[row.scale]
    if n_grown:
        make = functools.partial(grow, node.world.path("grown")) if scale == "sample" else grown
        node.take_state(make(n_grown, MAX_MIB[scale]))
        row.figure("grown", n_grown)
    take_up(row, node)
    node.agent.start().wait_until_serving()
    row.count("commands", 0)
    row.state.setdefault("next", 0)
    while row.figures["commands"] < COMMANDS[scale]:
        begin = row.state["next"]
        row.state["next"] = begin + ERA[scale]  # broken off in it: those that ran of it ran, others come instead
        row.save()
        node.era(begin, begin + ERA[scale])
        row.say(f"{row.figures['commands']} commands: {row.figures['kept_files']} files, {row.figures['kept_mib']} MiB")
        row.state.setdefault("eras", []).append(begin)
        row.save()
        node.new_hub()
    if scale != "sample":
        node.agent.wait_done(node.agent.hub.send(document("echo last")))
        row.figure("pss_mib", round(pss_kib(node.agent.process.pid) / 1024, 2))
    known = [grown_id(n) for n in range(1, n_grown + 1)]
    known += [command_id(n) for begin in row.state["eras"] for n in range(begin, begin + ERA[scale])]
    claim_known(row, node, known, random)
    node.new_hub()
    node.measure_start("start_s")
    node.measure_show()
    equal("the exit status of ssmd after SIGTERM", node.agent.terminate(), 0)
    done = subprocess.run([program("ctl", "ssmctl"), "--root", node.agent.root, "audit", "verify"], check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    row.count("audit", done.returncode != 0)
    if done.returncode != 0:
        row.fail(f"ssmctl audit verify: {done.stdout}")


def run(row, scale, random):
    for name in ("twice", "unrun", "lost", "forgotten", "audit"):
        row.count(name, 0)
    row.targets["kept_files"] = ("<=", MAX_FILES[scale])
    row.targets["kept_mib"] = ("<=", MAX_MIB[scale])
    row.targets["ids"] = (">=", GROWN[scale] + COMMANDS[scale])
    if scale == "sample":  # what else the machine does is not ours
        for name in TIMED:
            del row.targets[name]
    elif "pss_small_kib" not in row.state:
        world = World()
        try:
            row.state["pss_small_kib"] = measure_small(row, world)
        finally:
            world.end()
        row.save()
    world = World()
    node = Node(row, world)
    try:
        live(row, node, random)
    finally:
        put_away(row, node)
        world.end()
    if scale != "sample":
        row.figure("pss_growth_mib", round(row.figures["pss_mib"] - row.state["pss_small_kib"] / 1024, 2))


if __name__ == "__main__":
    raise SystemExit(Row(
        "R17", "commands in bursts and one after another, behind a journal that has lived through a million; every id is asked "
        "for again, some by the service",
        {"start_s": ("<=", 1), "start_read_whole_s": ("<=", 1), "show_ms": ("<=", 200), "kept_mib": ("<=", 256),
         "kept_files": ("<=", 1000), "pss_growth_mib": ("<=", 1), "forgotten": ("==", 0), "twice": ("==", 0),
         "unrun": ("==", 0), "lost": ("==", 0), "audit": ("==", 0), "commands": (">=", 100),
         "asked_again": (">=", 10)}).main(run))
