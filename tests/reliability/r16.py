#!/usr/bin/python3
"""R16: whoever changes the history in a journal is found out, and the first bad row is named.

A real journal: ssmhub, ssmd and its runners work off commands of many kinds; retention takes old ones away, one is
still running, and a migration has been through it. Then, one at a time and on a copy, a random change from outside
(edit, empty, copy over, delete, insert, exchange, cut off the tail; in the transitions, the ledger and the columns of
instances and of what belongs to them), and the real `ssmctl audit verify`. Which row is the first bad one is found by
comparing the copy with the original, which ssmctl does not have. What nobody changed must pass: copies, the journal
of a ssmd at work, and one whose write-ahead log ends in the middle of a commit.

Whoever can write the journal *and* what stands beside it can forge a whole history; that is not a row's change, and
`ssmctl audit verify` says so itself."""
import collections
import concurrent.futures
import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import uuid

from row import Row  # first: it says where the others are
from harness import INSTANCE, World, check, document, equal, iso, program, wait_for
from more_scenarios import become_schema_1
from outputs import client, make_agent

CHANGES = {"sample": 100, "row": 10000, "long": 100000}
WAL_HEADER, SECTOR = 32, 512  # bytes
LOOKS = {"sample": 3, "row": 100, "long": 1000}   # at the journal of a ssmd at work, and at torn logs
HISTORY = ("transition", "ledger", "instance")    # and the tables of each machine
NOT_HISTORY = {"transition": {"seq"}, "instance": {"seq"}}  # row numbers
MIB = 1 << 20
JOBS, PART = 4, 50  # changes at a time; of one worker


# ---- a journal with everything in it ----

def shell(name, *lines, **inputs):
    return {"action": "aws:runShellScript", "name": name, "inputs": {"runCommand": list(lines), **inputs}}


def steps(*mine):
    return {"schemaVersion": "2.2", "description": "test", "mainSteps": list(mine)}


def commands(world, agent):
    """Message ids of commands that end, of every kind that a service sends."""
    hub = agent.hub
    yield hub.send(document("echo one", "echo two; exit 3", "echo three >&2"))
    yield hub.send(document("echo out; echo err >&2"), OutputS3BucketName="outputs", OutputS3KeyPrefix="pre")
    yield hub.send(document("sleep 600", timeoutSeconds=5))
    yield hub.send({"schemaVersion": "9999.0", "mainSteps": []})
    yield hub.send({"schemaVersion": "1.2", "runtimeConfig": {"aws:runShellScript": {"properties": [
        {"id": "0.aws:runShellScript", "runCommand": ["echo a"]}]}}})
    yield hub.send(steps({"action": "aws:runDocument", "name": "outer",
                          "inputs": {"documentType": "SSMDocument", "documentPath": "Sub"}}))
    yield hub.send(steps(shell("umlaut", "echo 'ä \U0001f41a'; exit 168"), shell("never", "true")))
    yield hub.send(steps({"action": "aws:updateSsmAgent", "name": "awsupdateSsmAgent",
                          "inputs": {"agentName": "amazon-ssm-agent", "targetVersion": "", "allowDowngrade": "false"}}))
    cancelled = hub.send(document(f"touch {world.dir}/begun; sleep 600"))
    world.wait_file("begun")
    hub.cancel(cancelled)
    yield cancelled
    for i in range(8):
        yield hub.send(document(f"echo {i}; exit {i % 3}"))


def ssmctl(agent, *words):
    return subprocess.run([program("ctl", "ssmctl"), "--root", agent.root, *words], capture_output=True, text=True,
                          check=False, stdin=subprocess.DEVNULL)


def fill(world):
    """An agent whose journal has all of that, and which is still up."""
    agent = make_agent(world, RetentionMiB=16)
    client(agent.hub, "s3").create_bucket(Bucket="outputs")
    agent.hub.ssm.create_document(Name="Sub", Content=json.dumps(steps(shell("a", "echo inner"), shell("b", "exit 4"))),
                                  DocumentType="Command")
    agent.start().wait_until_serving()
    for i in range(6):
        agent.wait_done(agent.hub.send(document(f"echo old {i}")))
    agent.hub.send(document("head -c 24000000 /dev/zero"))  # too much: it goes, and what is older
    wait_for("retention to remove it", lambda: agent.query(
        "SELECT 1 FROM ledger WHERE n >= 7 AND NOT EXISTS (SELECT 1 FROM instance i WHERE i.id = ledger.id)"))
    for message in list(commands(world, agent)):
        agent.wait_done(message)
    path = os.path.join(world.dir, "local.json")
    with open(path, "w", encoding="ascii") as f:
        json.dump(document("echo local"), f)
    equal("ssmctl run", ssmctl(agent, "run", path).returncode, 0)
    agent.hub.inject(MessageId=f"aws.ssm.{uuid.uuid4()}.{INSTANCE}", Destination=INSTANCE, CreatedDate=iso(),
                     Topic="aws.ssm.somethingElse", Payload="{}")
    running = agent.hub.send(document(f"while [ ! -e {world.dir}/go ]; do sleep 0.1; done"))
    agent.wait_state(running, "running")
    agent.terminate()
    check(become_schema_1(agent.journal_path), "no migration has added a table")
    agent.start().wait_until_serving()
    agent.wait_state(running, "running")
    return agent


# ---- copies ----

class Copy:
    """The files of a journal below a root of their own."""

    NAMES = ("journal.db", "journal.db-wal", "ledger.head")

    def __init__(self, root):
        self.root = root
        self.state = os.path.join(root, "var/lib/ssmd")
        self.path = os.path.join(self.state, "journal.db")
        os.makedirs(self.state, mode=0o700)

    def take(self, state_dir):
        for name in os.listdir(self.state):
            os.unlink(os.path.join(self.state, name))
        for name in self.NAMES:
            with contextlib.suppress(FileNotFoundError):
                shutil.copyfile(os.path.join(state_dir, name), os.path.join(self.state, name))

    def verify(self):
        """(exit status, findings as (table, row, text))"""
        done = subprocess.run([program("ctl", "ssmctl"), "--root", self.root, "--json", "audit", "verify"],
                              capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
        if done.returncode not in (0, 1):
            return done.returncode, [("", "", done.stderr)]
        return done.returncode, [(f["table"], f["row"], f["text"]) for f in json.loads(done.stdout)["findings"]]


class Snapshot:
    """What a journal holds, without row numbers. Compared as it is stored; `of` has it by whom it belongs to."""

    def __init__(self, db, tables):
        self.rows = {}
        for table in tables:
            columns = [row[1] for row in db.execute(f'PRAGMA table_info("{table}")')
                       if row[1] not in NOT_HISTORY.get(table, ())]
            names = ", ".join(f'"{name}"' for name in columns)
            self.rows[table] = [dict(zip(columns, row))
                                for row in db.execute(f'SELECT {names} FROM "{table}" ORDER BY rowid')]
        self.owned = {}

    def of(self, table, name):
        """The rows of this instance, in the order of their numbers where they have one."""
        if table not in self.owned:
            key = "id" if table == "instance" else "instance_id"
            self.owned[table] = collections.defaultdict(list)
            for row in self.rows[table]:
                self.owned[table][row[key]].append(row)
        rows = self.owned[table].get(name, [])
        if len(rows) > 1 and "n" in rows[0]:
            rows = sorted(rows, key=lambda row: str(type(row["n"])) + str(row["n"]).zfill(20))
        return rows


# ---- which row is the first bad one ----

def first_difference(before, after):
    """The first place where two sequences differ; None: nowhere."""
    for i, pair in enumerate(zip(before, after)):
        if pair[0] != pair[1]:
            return i
    return None if len(before) == len(after) else min(len(before), len(after))


def first_bad(before, after, machines):
    """What may be named: a set of (table, row). The order is the audit's: ledger, then the instances as they were
    made, and of each its transitions before the row that they made; then what belongs to nobody."""
    numbered = {row["n"]: row for row in after.rows["ledger"]}
    old = {row["n"]: row for row in before.rows["ledger"]}
    for n in sorted(set(old) | set(numbered)):
        if old.get(n) != numbered.get(n):
            return {("ledger", f"n={n}")}
    ids = {row["id"]: None for row in after.rows["instance"]}
    for name in ids:
        was, now = before.of("transition", name), after.of("transition", name)
        at = first_difference(was, now)
        if at is not None:
            if not now:
                return {("instance", name), ("transition", f"{name} n=0")}
            return {("transition", f"{name} n={at}")}
        if before.of("instance", name) != after.of("instance", name):
            return {("instance", name)}
        for table in (table for pair in machines for table in pair if table):
            if before.of(table, name) != after.of(table, name):
                return {("instance", name), (table, name)}
    gone = [row["id"] for row in before.rows["instance"] if row["id"] not in ids]
    strangers = [("transition", f"{row['instance_id']} n={row['n']}") for row in after.rows["transition"]
                 if row["instance_id"] not in ids]
    strangers += [(table, row["instance_id"]) for pair in machines for table in pair if table
                  for row in after.rows[table] if row["instance_id"] not in ids]
    return {("instance", name) for name in gone} | set(strangers[:1])


# ---- changes ----

class Tamperer:
    def __init__(self, db, random, machines):
        self.db, self.random = db, random
        self.tables = [*HISTORY, *[t for pair in machines for t in pair if t]]
        self.columns = {t: [row[1] for row in db.execute(f'PRAGMA table_info("{t}")')
                            if row[1] not in NOT_HISTORY.get(t, ())] for t in self.tables}

    def row(self, table):
        rows = [r[0] for r in self.db.execute(f'SELECT rowid FROM "{table}"')]
        return self.random.choice(rows) if rows else None

    def value(self, old):
        """Another one of the same kind, or nearly."""
        pick = self.random.random()
        if isinstance(old, int):
            return self.random.choice([old + 1, old - 1, 0, old ^ (1 << self.random.randrange(40)), -old - 1])
        if isinstance(old, str) and old and pick < 0.8:
            at = self.random.randrange(len(old))
            letter = self.random.choice("0123456789abcdefxyzü\x00 '\"")
            return self.random.choice([old[:at] + letter + old[at + 1:], old[:at] + old[at + 1:], old + letter,
                                       old + "\x00" + letter, old.upper(), ""])
        return self.random.choice(["", "x", 1, None])

    def edit(self, table):
        row, column = self.row(table), self.random.choice(self.columns[table])
        old = self.db.execute(f'SELECT "{column}" FROM "{table}" WHERE rowid = ?', (row,)).fetchone()
        if old:
            self.db.execute(f'UPDATE "{table}" SET "{column}" = ? WHERE rowid = ?', (self.value(old[0]), row))
        return f"{column} of row {row}"

    def copy_over(self, table):
        row, other, column = self.row(table), self.row(table), self.random.choice(self.columns[table])
        self.db.execute(f'UPDATE "{table}" SET "{column}" = (SELECT "{column}" FROM "{table}" WHERE rowid = ?)'
                        " WHERE rowid = ?", (other, row))
        return f"{column} of row {row} from {other}"

    def delete(self, table):
        row = self.row(table)
        self.db.execute(f'DELETE FROM "{table}" WHERE rowid = ?', (row,))
        return f"row {row}"

    def insert(self, table):
        """A row like another one, where there is room for it."""
        row = self.row(table)
        made = dict(zip(self.columns[table], self.db.execute(
            f'SELECT {", ".join(self.columns[table])} FROM "{table}" WHERE rowid = ?', (row,)).fetchone() or ()))
        if not made:
            return "nothing"
        name = "id" if "id" in made else "instance_id"
        if "n" in made and self.random.random() < 0.7:
            of = f'WHERE "{name}" = ?' if name == "instance_id" else "WHERE ? IS NOT NULL"
            made["n"] = self.db.execute(f'SELECT max(n) + 1 FROM "{table}" {of}', (made[name],)).fetchone()[0]
        if name == "id" or "n" not in made or self.random.random() < 0.2:
            made[name] = str(uuid.UUID(int=self.random.getrandbits(128)))
        self.db.execute(f'INSERT INTO "{table}"({", ".join(made)}) VALUES({", ".join("?" * len(made))})',
                        list(made.values()))
        return f"one like row {row}: {made[name]} {made.get('n', '')}"

    def exchange(self, table):
        """Two rows change their places, or all that they hold but those."""
        one, other = self.row(table), self.row(table)
        columns = self.columns[table]
        keys = {"n"} if "n" in columns and self.random.random() < 0.5 else set(columns) - {"n", "id", "instance_id"}
        keys = sorted(keys)
        values = [self.db.execute(f'SELECT {", ".join(keys)} FROM "{table}" WHERE rowid = ?', (row,)).fetchone()
                  for row in (one, other)]
        if None in values or one == other:
            return "nothing"
        put = f'UPDATE "{table}" SET {", ".join(f"{k} = ?" for k in keys)} WHERE rowid = ?'
        if keys == ["n"]:
            self.db.execute(put, (-12345, one))
        self.db.execute(put, (*values[0], other))
        self.db.execute(put, (*values[1], one))
        return f"{'numbers' if keys == ['n'] else 'contents'} of rows {one} and {other}"

    def cut(self, table):
        """The newest rows of the table, or of one job."""
        n = self.random.randint(1, 3)
        if "instance_id" in self.columns[table] and self.random.random() < 0.7:
            name = self.random.choice(self.db.execute(f'SELECT instance_id FROM "{table}"').fetchall() or [[""]])[0]
            self.db.execute(f'DELETE FROM "{table}" WHERE rowid IN (SELECT rowid FROM "{table}" WHERE instance_id = ?'
                            " ORDER BY rowid DESC LIMIT ?)", (name, n))
            return f"the last {n} of {name}"
        self.db.execute(f'DELETE FROM "{table}" WHERE rowid IN (SELECT rowid FROM "{table}" ORDER BY rowid DESC LIMIT ?)',
                        (n,))
        return f"the last {n}"

    def change(self):
        """One change; what it was. sqlite3.Error: SQLite would not have it."""
        table = self.random.choice(self.tables)
        how = self.random.choice([self.edit, self.edit, self.copy_over, self.delete, self.insert, self.exchange, self.cut])
        return how.__name__, table, how(table)


def shown(key):
    """As every tool shows a text that somebody put a NUL into: up to there."""
    return key.split("\0")[0] if isinstance(key, str) else key


class Changer:
    """Copies of one journal that are changed, each by a worker of its own."""

    def __init__(self, world, original):
        self.world, self.original = world, original
        with contextlib.closing(sqlite3.connect(original.path)) as db:
            self.machines = [tuple(r) for r in db.execute("SELECT name, child FROM machine")]
            self.tables = [*HISTORY, *[t for pair in self.machines for t in pair if t]]
            self.before = Snapshot(db, self.tables)
        for table in self.tables:
            if table != "ledger":
                self.before.of(table, None)  # by their owners, before the workers share it

    def change(self, copy, random):
        """(what was changed, how the journal is now); None: nothing was."""
        copy.take(self.original.state)
        with contextlib.closing(sqlite3.connect(copy.path, isolation_level=None)) as db:
            db.execute("PRAGMA foreign_keys = 0")
            db.execute("PRAGMA synchronous = 0")
            db.execute("BEGIN")
            try:
                what = Tamperer(db, random, self.machines).change()
                db.execute("COMMIT")
            except sqlite3.Error:
                return None  # a key that is taken, a type that the column does not take
            after = Snapshot(db, self.tables)
        return None if after.rows == self.before.rows else (what, after)

    def play(self, part):
        """So many changes: for each what was changed, what is wrong with the answer ("": nothing), and the answer."""
        number, n_changes, random = part
        copy = Copy(self.world.path(f"copy.{number}"))
        told = []
        while len(told) < n_changes:
            changed = self.change(copy, random)
            if changed is None:
                continue
            what, after = changed
            wanted = first_bad(self.before, after, self.machines)
            status, found = copy.verify()
            if status != 1 or not found:
                told.append((what, "unnoticed", f"status {status}, {found[:1]}"))
            elif found[0][:2] not in {(table, shown(key)) for table, key in wanted}:
                told.append((what, "named_wrongly", f"named {found[0]}, wanted {sorted(wanted)}"))
            else:
                told.append((what, "", ""))
        shutil.rmtree(copy.root)
        return told


def change_at_random(row, random, world, original, n_changes):
    changer = Changer(world, original)
    row.figure("rows", sum(map(len, changer.before.rows.values())))
    parts = [(i, min(PART, n_changes - i), type(random)(random.getrandbits(64))) for i in range(0, n_changes, PART)]
    with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
        for part, told in zip(parts, pool.map(changer.play, parts)):
            for i, (what, wrong, text) in enumerate(told):
                row.count("changes")
                row.count(f"changes_{what[0]}")
                if wrong:
                    row.count(wrong)
                    row.fail(f"change {part[0] + i}: {what}: {text}")
            if row.figures["changes"] % (10 * PART) == 0:
                row.say(f"{row.figures['changes']} changes")


# ---- what nobody changed ----

def claim_intact(row, copy, what):
    status, found = copy.verify()
    row.count("looks")
    if status != 0:
        row.count("false_alarms")
        row.fail(f"{what}: status {status}, {found[:3]}")


@contextlib.contextmanager
def held(agent):
    os.kill(agent.process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(agent.process.pid, signal.SIGCONT)


def look_at_work(row, agent, n):
    """The journal of a ssmd that works; nothing is held for it."""
    messages = []
    for i in range(n):
        messages.append(agent.hub.send(document("echo work", "exit 1")))
        done = ssmctl(agent, "audit", "verify")
        row.count("looks")
        if done.returncode != 0:
            row.count("false_alarms")
            row.fail(f"at work, look {i}: status {done.returncode}: {done.stdout}{done.stderr}")
    for message in messages:
        agent.wait_done(message)


def tear(path, later, random):
    """The log at `path` was written on until it was as `later`: a part of that, then rubbish, then what was there. False:
    it was begun anew meanwhile, and the copy's database is older than that."""
    with open(path, "rb") as f:
        before = f.read()
    if not before or later[:WAL_HEADER] != before[:WAL_HEADER]:
        return False
    old = before.ljust(len(later), b"\0")
    changed = [at for at in range(0, len(later), SECTOR) if later[at:at + SECTOR] != old[at:at + SECTOR]]
    if not changed:
        return False
    cut = random.randint(changed[0] + 1, changed[-1] + SECTOR)
    rubbish = random.randbytes(random.randint(0, 5000))
    with open(path, "wb") as f:
        f.write(later[:cut] + rubbish + before[cut + len(rubbish):])
    return True


def look_at_torn_logs(row, random, agent, copy, n):
    """The disk of a machine that went down in the middle of a commit: everything that was synced, and a part of the
    frames behind it."""
    wal = os.path.join(agent.state_dir, "journal.db-wal")
    torn = 0
    for i in range(n):
        with held(agent):
            copy.take(agent.state_dir)
        message = agent.hub.send(document("echo torn"))
        agent.wait_terminal(message)
        with held(agent), open(wal, "rb") as f:
            later = f.read()
        torn += tear(os.path.join(copy.state, "journal.db-wal"), later, random)
        claim_intact(row, copy, f"torn log {i}")
        agent.wait_done(message)
    row.figure("torn_logs", torn)


def run(row, scale, random):
    for name in ("unnoticed", "named_wrongly", "false_alarms"):
        row.count(name, 0)
    world = World()
    try:
        agent = fill(world)
        original, copy = Copy(world.path("original")), Copy(world.path("copy"))
        look_at_work(row, agent, LOOKS[scale])
        look_at_torn_logs(row, random, agent, copy, LOOKS[scale])
        agent.terminate()
        original.take(agent.state_dir)
        with contextlib.closing(sqlite3.connect(original.path)) as db:  # one file; what is changed is the row alone
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            row.figure("removed_by_retention", db.execute(
                "SELECT count(*) FROM ledger WHERE NOT EXISTS (SELECT 1 FROM instance i WHERE i.id = ledger.id)"
            ).fetchone()[0])
            row.figure("open", db.execute("SELECT count(*) FROM instance WHERE ended_unix_ms IS NULL").fetchone()[0])
            row.figure("machines", db.execute("SELECT count(DISTINCT machine) FROM instance").fetchone()[0])
        for i in range(LOOKS[scale]):
            copy.take(original.state)
            claim_intact(row, copy, f"unchanged copy {i}")
        change_at_random(row, random, world, original, CHANGES[scale])
        world.touch("go")
    finally:
        world.end()


if __name__ == "__main__":
    raise SystemExit(Row(
        "R16", "random changes to rows of a real journal from outside, then the real ssmctl audit verify: transitions, "
        "ledger, columns of instances and of what belongs to them; and journals that nobody changed",
        {"unnoticed": ("==", 0), "named_wrongly": ("==", 0), "false_alarms": ("==", 0), "changes": (">=", 100),
         "removed_by_retention": (">=", 1), "open": (">=", 1), "torn_logs": (">=", 1)}).main(run))
