"""More of what may happen to a command (scenarios.py), for row R1 and `kill.py --more`: the suite has no time for them."""
import contextlib
import json
import os
import sqlite3

from scenarios import NOT_ZERO, UNKNOWN, OneStep, Reboot, Scenario, Want, step

from harness import document, wait_for  # noqa: E402 (scenarios says where it is)
from outputs import client, objects

N_STEPS = 10
OUTPUT_CAP = 1 << 20
MUCH = 1 << 30


def is_lost(run):
    """The power took the end of a step, and what of its output had not been synced."""
    return "lost" in (run.fates or ())


class TenSteps(Scenario):
    name = "ten steps"
    scripts = tuple(step(n, f"echo number {n}; exit {n % 3}") for n in range(1, N_STEPS + 1))
    want = Want("Failed", *(("Failed" if n % 3 else "Success", n % 3, f"number {n}\n", f"{NOT_ZERO}{n % 3}" if n % 3 else "", 1)
                            for n in range(1, N_STEPS + 1)))


class RebootThrice(Reboot):
    name = "exit 194 three times"
    scripts = (step(1, "n=$(wc -l < @DIR@/ran.1); echo $n; if [ $n -lt 4 ]; then exit 194; fi"), step(2, "echo two"))
    want = Want("Success", ("Success", 0, "1\n2\n3\n4\n", "", 4), ("Success", 0, "two\n", "", 1))
    lives = 4


class RebootForEver(Reboot):
    """More often than is allowed: the step fails, and the steps after it run."""

    name = "exit 194 for ever"
    settings = {"MaxRebootsPerStep": 2}
    scripts = (step(1, "echo again; exit 194"), step(2, "echo two"))
    want = Want("Failed", ("Failed", 194, "again\nagain\nagain\n",
                           "Step step1 asked for a reboot after 2 reboots; no more are allowed for one step.", 3),
                ("Success", 0, "two\n", "", 1))
    lives = 3


class CancelledInReboot(Reboot):
    """The order to cancel comes when the reboot has been asked for and has not come."""

    name = "cancelled during its reboot"

    def tick(self, run):
        if run.agent.reboots_asked > run.reboots_served and run.cancel is None and run.agent.is_up:
            run.cancel = run.note(run.hub.cancel(run.message))
        if run.cancel is None or not run.agent.query("SELECT 1 FROM inbox WHERE message_id = ?", run.cancel):
            return  # also where ssmd has died of it: after the boot it would be the order to cancel what runs again
        super().tick(run)

    want = Want("Cancelled", ("Cancelled", 1, "before\n", "", 1), ("Cancelled", 1, "", "", 0))


class CancelledAfterEnd(OneStep):
    name = "cancelled after its end"

    def tick(self, run):
        if run.cancel is None and run.record().terminal:
            run.cancel = run.note(run.hub.cancel(run.message))

    def is_over(self, run):
        return run.cancel and run.record(run.cancel).replies


class Forks(Scenario):
    """Children in its session and in one of their own: a step ends when nobody holds its output any more."""

    name = "a script that forks and calls setsid"
    scripts = (step(1, "(sleep 0.1; echo child) & wait; setsid sh -c 'sleep 0.3; echo far' & echo end; exit 4"),)
    want = Want("Failed", ("Failed", 4, "child\nend\nfar\n", f"{NOT_ZERO}4", 1))


class IgnoresTerm(Scenario):
    name = "a script that ignores TERM, cancelled"
    scripts = (step(1, "trap '' TERM; echo begun; while :; do sleep 0.05; done"),)
    want = Want("Cancelled", ("Cancelled", 137, "begun\n", "", 1))

    def tick(self, run):
        if run.cancel is None and run.ran(1) and run.has_written("0.1"):
            run.cancel = run.note(run.hub.cancel(run.message))


class ClosesOutput(Scenario):
    name = "a script that closes its output"
    scripts = (step(1, "echo before; exec >&- 2>&-; sleep 0.1; exit 5"), step(2, "echo two"))
    want = Want("Failed", ("Failed", 5, "before\n", f"{NOT_ZERO}5", 1), ("Success", 0, "two\n", "", 1))


class MuchOutput(Scenario):
    """More than is kept. What is over hurts nobody and is said."""

    name = "a script that writes more than is kept"
    settings = {"OutputCapMiB": OUTPUT_CAP >> 20}
    scripts = (step(1, f"head -c {MUCH} /dev/zero | tr '\\0' x; exit 6"),)
    want = Want("Failed", ("Failed", 6, None, None, 1))

    def judge(self, run):
        if is_lost(run):
            return
        path = os.path.join(run.agent.jobs_dir, run.job, "0.1", "stdout")
        run.expect("result", "bytes of output that are kept", os.path.getsize(path), OUTPUT_CAP)
        row = run.agent.query("SELECT stdout_bytes FROM command_unit WHERE instance_id = ?", run.job)[0]
        run.expect("result", "bytes that the journal tells", row["stdout_bytes"], OUTPUT_CAP)


class AtOnce(Scenario):
    """Many commands, each with a code of its own."""

    def __init__(self, n, workers=None, one_in=1):
        self.n = n
        self.one_in = one_in
        self.patience = 1 + n // 50
        self.name = f"{n} commands at once"
        self.settings = {"workers": workers or n}

    def begin(self, run):
        run.message = run.send(step(1, "echo 0; exit 0"))
        run.crowd = [run.message]
        for n in range(1, self.n):
            run.crowd.append(run.send_other(step(n + 1, f"echo {n}; exit {n % 3}")))

    def is_over(self, run):
        return all(run.record(message).terminal for message in run.crowd)

    def look(self, run):
        spawned = {row["instance_id"] for row in run.agent.query("SELECT instance_id FROM effect WHERE kind = 'spawn'")}
        for n, message in enumerate(run.crowd):
            run.expect("early", f"{message} ran, and the journal knows of no start",
                       run.ran(n + 1) > 0 and message.split(".")[2] not in spawned, False)

    def judge(self, run):
        for n, message in enumerate(run.crowd):
            terminal = run.record(message).terminal
            run.expect("statuses", f"terminal replies of number {n}", len(terminal), 1)
            got = run.record(message).results.get("step1", {})
            is_unknown = run.has_lost_power and got.get("code") == UNKNOWN
            run.expect("result", f"number {n}", (terminal[0]["Status"], got.get("code")),
                       ("Failed", UNKNOWN) if is_unknown else ("Failed" if n % 3 else "Success", n % 3))
            if not is_unknown and not run.may_lack_output(message.split(".")[2], 0):
                run.expect("result", f"output of number {n}", got.get("standardOutput"), f"{n}\n")
            run.expect_runs(n + 1, (0, 1) if is_unknown else 1)


class AgainAtEachStage(OneStep):
    """The service delivers it again in each state that it is seen in, and after its end."""

    name = "delivered again at each stage"
    scripts = (step(1, "echo one; while [ ! -e @DIR@/again ]; do sleep 0.02; done; echo bad >&2; exit 7"),)

    def begin(self, run):
        run.stages = set()
        super().begin(run)

    def tick(self, run):
        state = run.agent.is_up and run.agent.job_state(run.message)
        if not state or run.hub.message(run.message)["State"] == "queued":
            return
        if "running" in run.stages:
            run.world.touch("again")
        if state not in run.stages:
            run.stages.add(state)
            run.hub.redeliver(run.message)

    def is_over(self, run):
        """After its end too, and taken."""
        return super().is_over(run) and "done" in run.stages and run.hub.message(run.message)["State"] != "queued"


class Away(OneStep):
    """The service is not there at any stage: each operation's first calls fail, each in its way."""

    name = "service away at each stage"

    def begin(self, run):
        for operation in ("GetMessages", "AcknowledgeMessage", "SendReply"):
            run.hub.fault(kind="reset", operation=operation, times=1)
            run.hub.fault(kind="error", operation=operation, times=1, status=503, code="ServiceUnavailable")
            run.hub.fault(kind="lose", operation=operation, times=1)
        super().begin(run)


class Parameter(OneStep):
    """A value of Parameter Store: asked for once, and the same in every life."""

    name = "a reference to Parameter Store"
    scripts = (step(1, "echo '{{ssm:word}}'; echo bad >&2; exit 7"),)
    want = Want("Failed", ("Failed", 7, "first\n", f"bad\n{NOT_ZERO}7", 1))

    def begin(self, run):
        run.hub.ssm.put_parameter(Name="word", Value="first", Type="String")
        super().begin(run)

    def tick(self, run):
        if run.agent.query("SELECT 1 FROM instance") and not os.path.exists(run.world.path("changed")):
            run.world.touch("changed")
            run.hub.ssm.put_parameter(Name="word", Value="second", Type="String", Overwrite=True)


class Upload(OneStep):
    """Its output goes to a bucket that takes nothing at first."""

    name = "an upload that is pending"

    def begin(self, run):
        client(run.hub, "s3").create_bucket(Bucket="outputs")
        run.hub.fault(kind="error", operation="PutObject", times=2, status=503, code="SlowDown")
        text = json.dumps({"schemaVersion": "2.2", "description": "test", "mainSteps": [
            {"action": "aws:runShellScript", "name": "step1", "inputs": {"runCommand": list(self.scripts)}}]})
        document = json.loads(text.replace("@DIR@", run.world.dir))
        run.message = run.note(run.hub.send(document, command_id=run.job, OutputS3BucketName="outputs",
                                            OutputS3KeyPrefix="pre"))

    def is_over(self, run):
        return super().is_over(run) and (is_lost(run) or self.kept(run))

    @staticmethod
    def kept(run):
        return sorted(objects(run.hub, "outputs", "pre/").items())

    def judge(self, run):
        if is_lost(run):
            return
        wait_for("both outputs in the bucket", lambda: len(self.kept(run)) == 2)
        run.expect("result", "what is in the bucket", [content for _, content in self.kept(run)],
                   [b"bad\n" + f"{NOT_ZERO}7".encode(), b"one\n"])


def become_schema_1(path):
    """As the first version left a journal: without the tables that migrations have added since."""
    with contextlib.closing(sqlite3.connect(path)) as db:
        if not db.execute("SELECT 1 FROM sqlite_schema WHERE name = 'machine'").fetchall():
            return False
        known = {"meta", "machine", "alias", "fact", "instance", "transition", "effect", "inbox", "outbox", "ledger",
                 "checkpoint", "sqlite_sequence"}
        known |= {name for row in db.execute("SELECT name, child FROM machine") for name in row if name}
        later = {row[0] for row in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'"
                                              " AND name NOT LIKE 'sqlite_%'")} - known
        for name in later:
            db.execute(f'DROP TABLE "{name}"')
        db.execute("PRAGMA user_version = 1")
        db.commit()
    return bool(later)


class Migration(OneStep):
    """Each time that ssmd is dead its journal becomes one of the first version: the next life migrates it, with the command
    wherever it is, and dies in that too."""

    name = "a migration with work in flight"

    def look(self, run):
        super().look(run)
        if os.path.exists(run.agent.journal_path):
            run.migrations = getattr(run, "migrations", 0) + become_schema_1(run.agent.journal_path)


MORE = [TenSteps(), RebootThrice(), RebootForEver(), CancelledInReboot(), CancelledAfterEnd(), Forks(), IgnoresTerm(),
        ClosesOutput(), MuchOutput(), AtOnce(2), AtOnce(200, one_in=50), AgainAtEachStage(), Away(), Parameter(), Upload(),
        Migration()]
