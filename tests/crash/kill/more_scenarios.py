"""More of what may happen to a command (scenarios.py), for row R1 and `kill.py --more`: the suite has no time for them."""
import contextlib
import json
import os
import sqlite3

from scenarios import NOT_ZERO, OneStep, Reboot, Scenario, Want, step

from harness import wait_for  # noqa: E402 (scenarios says where it is)
from outputs import client, objects

N_STEPS = 10
OUTPUT_CAP = 1 << 20
MUCH = 3 * OUTPUT_CAP


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
                           "Step step1 asked for a reboot after 2 reboots; no more are allowed for one step.", 3), ("Success", 0, "two\n", "", 1))
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
        path = os.path.join(run.agent.jobs_dir, run.job, "0.1", "stdout")
        run.expect("result", "bytes of output that are kept", os.path.getsize(path), OUTPUT_CAP)
        row = run.agent.query("SELECT stdout_bytes FROM command_unit WHERE instance_id = ?", run.job)[0]
        run.expect("result", "bytes that the journal tells", row["stdout_bytes"], OUTPUT_CAP)


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
        return super().is_over(run) and self.kept(run)

    @staticmethod
    def kept(run):
        return sorted(objects(run.hub, "outputs", "pre/").items())

    def judge(self, run):
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
        ClosesOutput(), MuchOutput(), Parameter(), Upload(), Migration()]
