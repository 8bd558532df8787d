"""What happens to a command in each scenario of kill.py, what the world does meanwhile, and what must come of it."""
import contextlib
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../integration"))
from harness import INSTANCE, document, iso, marked_processes, program, wait_for  # noqa: E402

NOT_ZERO = "failed to run commands: exit status "
UNKNOWN = 1000  # the code of a step whose end nobody saw


def step(n, script):
    """A script that leaves a line in ran.<n> for each time it is run."""
    return f"echo run >> @DIR@/ran.{n}; {script}"


class Want:
    """What is to come of a command: status, and for each step (status, code, stdout, stderr, times run)."""

    def __init__(self, status, *steps, acknowledged=True):
        self.status = status
        self.steps = steps
        self.acknowledged = acknowledged  # None: it may or may not be; a terminal reply is the end of it


class Scenario:
    """One command (or other message) and what the world does meanwhile."""

    name = ""
    settings = {}
    scripts = ()
    inputs = {}
    want = None
    lives = 1     # lives without a death that are worth dying in: 2 where the document reboots
    power = False  # a death takes the machine with it
    is_control = False  # messages come by the control channel, not by ec2messages
    patience = 1   # times the deadline: how much there is to look at after a death
    one_in = 1     # of the moments to die in, where there are thousands: all of them are for long runs

    def settings_for(self, run):
        return dict(self.settings)

    def begin(self, run):
        run.message = run.send(*self.scripts, **self.inputs)

    def tick(self, run):
        """What the world does, whenever ssmd is up or not."""

    def wanted(self, run):
        return self.want

    def is_over(self, run):
        return any(r["Status"] != "SuccessAndReboot" for r in run.record().terminal)

    def look(self, run):
        """ssmd has died: what is particular about this scenario's promises."""

    def judge(self, run):
        """What is particular about this scenario's end."""

    # Where the power is lost (tests/reliability/power.py):

    def fates(self, run, fates_of):
        """What the records say of each step: fates_of(job, number of its steps). None: there is nothing to say."""
        return fates_of(run.job, len(self.want.steps)) if self.want else None

    inner = ()  # the scripts, where they are those of a nested document

    def script_job(self, run):
        """The job whose steps the scripts are."""
        return run.job

    def after_loss(self, run):
        """What is to come of it with run.fates."""
        return with_fates(self.want, run.fates) if self.want else None


class OneStep(Scenario):
    name = "one step"
    scripts = (step(1, "echo one; echo bad >&2; exit 7"),)
    want = Want("Failed", ("Failed", 7, "one\n", f"bad\n{NOT_ZERO}7", 1))


class StillRunning(Scenario):
    """The script is still running when ssmd comes back."""

    name = "one step that outlives ssmd"
    scripts = (step(1, "echo begun; while [ ! -e @DIR@/go ]; do sleep 0.02; done; echo ended"),)
    want = Want("Success", ("Success", 0, "begun\nended\n", "", 1))

    def tick(self, run):
        if run.ran(1) and not run.world.lines("go") and (
                run.n_starts > 1 and run.agent.status() or run.record().of_kind("ack")):
            run.world.touch("go")


class ThreeSteps(Scenario):
    name = "three steps"
    scripts = (step(1, "echo one"), step(2, "echo two; exit 3"), step(3, "echo three"))
    want = Want("Failed", ("Success", 0, "one\n", "", 1), ("Failed", 3, "two\n", f"{NOT_ZERO}3", 1),
                ("Success", 0, "three\n", "", 1))


class Reboot(Scenario):
    name = "exit 194"
    scripts = (step(1, "if [ $(wc -l < @DIR@/ran.1) -lt 2 ]; then echo before; exit 194; fi; echo after"),
               step(2, "echo two"))
    want = Want("Success", ("Success", 0, "before\nafter\n", "", 2), ("Success", 0, "two\n", "", 1))
    lives = 2

    def tick(self, run):
        if run.agent.reboots_asked > run.reboots_served:
            run.agent.lose_power()
            run.reboots_served = run.agent.reboots_asked
            run.start()


class Cancelled(Scenario):
    name = "cancelled"
    scripts = (step(1, "echo begun; while :; do sleep 0.05; done"), step(2, "echo never"))
    want = Want("Cancelled", ("Cancelled", 137, "begun\n", "", 1),
                ("Cancelled", 1, "", "", 0))

    def tick(self, run):
        if run.cancel is None and run.ran(1) and run.has_written("0.1"):
            run.cancel = run.note(run.hub.cancel(run.message))


class SlowRunner(OneStep):
    """Runners come to life late: a second one is started for the same step, and one of them runs it."""

    name = "runners that come late"

    def settings_for(self, run):
        path = run.world.path("late-runner")
        with open(path, "w", encoding="ascii") as f:
            f.write("#!/bin/sh\n"
                    f"echo started >> {run.world.dir}/runners\n"
                    f"while [ ! -e {run.world.dir}/runners-go ]; do sleep 0.02; done\n"
                    f"exec {run.runner} \"$@\"\n")
        os.chmod(path, 0o700)
        return {"RunnerPath": path}

    def tick(self, run):
        n_lives = len(run.world.lines("runners"))
        if n_lives and (run.record().of_kind("ack") or n_lives > 1):
            run.world.touch("runners-go")


class CancelledBeforeRunner(SlowRunner):
    """A step is cancelled whose runner has not begun: it must never begin, however late it comes."""

    name = "cancelled before its runner began"
    want = Want("Cancelled", ("Cancelled", 1, "", "", 0))

    def tick(self, run):
        if run.cancel is None and run.world.lines("runners") and run.agent.is_up \
                and run.agent.job_state(run.message) == "running":
            run.cancel = run.note(run.hub.cancel(run.message))

    def judge(self, run):
        run.world.touch("runners-go")
        wait_for("the late runners to end", lambda: not list(marked_processes(run.agent.mark)))
        run.expect("twice", "runs after the cancel", run.ran(1), 0)


class TimedOut(Scenario):
    name = "timed out"
    scripts = (step(1, "echo begun; while :; do sleep 0.05; done"),)
    inputs = {"timeoutSeconds": 5}  # the least that counts
    want = Want("TimedOut", ("TimedOut", 137, "begun\n", "", 1))


class QueuedCancelled(Scenario):
    """One worker, which another command holds."""

    name = "cancelled in the queue"
    settings = {"workers": 1}
    scripts = (step(1, "echo never"),)
    want = Want("Cancelled", ("Cancelled", 1, "", "", 0))

    def begin(self, run):
        run.blocker = run.send_other("echo run >> @DIR@/blocked; while [ ! -e @DIR@/go ]; do sleep 0.02; done")
        run.message = run.send(*self.scripts)

    def tick(self, run):
        if run.cancel is None and run.agent.is_up and run.agent.job_state(run.message) == "queued" \
                and run.world.lines("blocked"):
            run.cancel = run.note(run.hub.cancel(run.message))
        if not os.path.exists(run.world.path("go")) and run.record().terminal:
            run.world.touch("go")

    def is_over(self, run):
        return run.record().terminal and run.record(run.blocker).terminal

    def fates(self, run, fates_of):
        """The place is free when the power took the other command: then it depends on the cancel."""
        return ["cancelled" if run.cancel and len(run.record(run.cancel).events) > 1 else "open"]

    def after_loss(self, run):
        if run.fates != ["open"]:
            return self.want
        if run.record().results.get("step1", {}).get("code") == 137:  # it met the script, maybe before its first line
            return Want("Cancelled", ("Cancelled", 137, None, None, (0, 1)))
        if not run.ran(1):
            return self.want
        return Want("Success", ("Success", 0, "never\n", "", 1))

    def judge(self, run):
        status = run.record(run.blocker).terminal[0]["Status"]
        if run.fates is None:
            run.expect("result", "status of the other command", status, "Success")
        run.expect("twice", "runs of the other command", len(run.world.lines("blocked")) in
                   ((1,) if status == "Success" else (0, 1)), True)


class Rejected(Scenario):
    name = "document refused"
    want = Want("Failed", acknowledged=False)

    def begin(self, run):
        run.message = run.note(run.hub.send({"schemaVersion": "9999.0", "mainSteps": []}, command_id=run.job))


class Unhandled(Scenario):
    """A message that nobody here understands."""

    name = "topic refused"
    want = None

    def begin(self, run):
        run.message = run.note(run.hub.inject(MessageId=f"aws.ssm.{run.job}.{INSTANCE}", Destination=INSTANCE,
                                              Topic="aws.ssm.somethingElse", CreatedDate=iso(), Payload="{}"))

    def is_over(self, run):
        return run.record().of_kind("fail")

    def judge(self, run):
        run.expect("result", "replies", run.record().replies, [])


class Again(OneStep):
    """Each answer of the service has every message three times."""

    name = "delivered three times"

    def begin(self, run):
        run.hub.fault(kind="duplicate", operation="GetMessages", times=1000, copies=3)
        super().begin(run)


class Late(OneStep):
    """The service takes nothing at first."""

    name = "answers refused at first"

    def begin(self, run):
        for operation in ("SendReply", "AcknowledgeMessage"):
            run.hub.fault(kind="lose", operation=operation, times=1)
            run.hub.fault(kind="error", operation=operation, times=1, status=503, code="ServiceUnavailable")
        super().begin(run)


class Control(OneStep):
    """Over the control channel."""

    name = "control channel, one step"
    is_control = True

    def begin(self, run):
        run.hub.fault(kind="error", operation="GetMessages", times=1000000)  # or it may come by that way first
        super().begin(run)


class ControlLate(Control):
    """The service loses the first acknowledgement of the job, and its own of the first replies."""

    name = "control channel, acknowledgements lost"
    want = Want(OneStep.want.status, *OneStep.want.steps, acknowledged=None)

    def begin(self, run):
        run.hub.fault(kind="forget", operation="agent_job_ack")
        run.hub.fault(kind="reset", operation="agent_job_reply", times=2)
        super().begin(run)

    def tick(self, run):
        if run.record().replies and not run.record().of_kind("agent_job_ack"):
            run.hub.redeliver(run.message)  # what the service would do after its time


class ControlRejected(Rejected):
    name = "control channel, document refused"
    is_control = True
    want = Want("Failed", acknowledged=None)

    def begin(self, run):
        run.hub.fault(kind="error", operation="GetMessages", times=1000000)
        super().begin(run)


class Local(Scenario):
    """A document that a person runs here, through ssmd's socket. Who gets no answer looks whether it is there."""

    name = "local document"
    scripts = (step(1, "echo one; exit 7"), step(2, "echo two"))
    ends = Want("Failed", ("Failed", 7, "one\n", "", 1), ("Success", 0, "two\n", "", 1))

    def begin(self, run):
        run.message = None
        run.accepted = None

    def tick(self, run):
        if run.accepted or not run.agent.is_up or not run.agent.status():
            return
        if self.find(run):
            run.accepted = run.job
            return
        text = json.dumps(document(*self.scripts)).replace("@DIR@", run.world.dir)
        answer = run.agent.ask(op="run", name="kill", document=text)
        if answer is not None:
            run.expect("result", "accepted", answer["ok"], True)
            run.accepted = run.job = answer["job"]

    def find(self, run):
        for row in run.agent.query("SELECT id FROM instance"):
            run.job = row["id"]
            return True
        return False

    def look(self, run):
        if not self.find(run) and run.accepted:
            run.expect("early", "accepted, and known to the journal", False, True)

    def is_over(self, run):
        return run.accepted and run.are_jobs_done()

    def judge(self, run):
        ends = with_fates(self.ends, run.fates or ["true"] * len(self.ends.steps))
        units = run.agent.query("SELECT status, code FROM command_unit WHERE instance_id = ? ORDER BY n", run.accepted)
        run.expect("result", "steps", [(row["status"], row["code"]) for row in units], [told[:2] for told in ends.steps])
        run.expect("twice", "jobs", len(run.agent.query("SELECT 1 FROM instance")), 1)
        for n, (_, _, text, _, times) in enumerate(ends.steps):
            path = os.path.join(run.agent.jobs_dir, run.accepted, f"{n}.1", "stdout")
            if text:
                with open(path, encoding="utf-8") as f:
                    run.expect("result", f"output of step {n + 1}", f.read(), text)
            run.expect_runs(n + 1, times)

    def fates(self, run, fates_of):
        return fates_of(run.job, len(self.ends.steps))


class NestedReboot(Reboot):
    """The step that reboots stands in a document that a step of the command runs (aws:runDocument)."""

    name = "exit 194 inside a nested document"
    scripts = ()
    inner = (step(1, "echo one"),
             step(2, "if [ $(wc -l < @DIR@/ran.2) -lt 2 ]; then echo before; exit 194; fi; echo after"))
    want = Want("Success", ("Success", 0, "one\nbefore\nafter\n", "", 1), ("Success", 0, "", "", 2))

    def begin(self, run):
        text = json.dumps(document(*self.inner)).replace("@DIR@", run.world.dir)
        run.hub.ssm.create_document(Name="Nested", Content=text, DocumentType="Command")
        run.message = run.send_as(run.job, {"schemaVersion": "2.2", "description": "test", "mainSteps": [
            {"action": "aws:runDocument", "name": f"step{n}",
             "inputs": {"documentType": "SSMDocument", "documentPath": path}}
            for n, path in enumerate(("Nested", "AWS-Noop"), 1)]})

    def script_job(self, run):
        return f"n0.1-{run.job}"

    def fates(self, run, fates_of):
        return ["lost" if "lost" in fates_of(f"n0.1-{run.job}", len(self.inner)) else "true", "unbegun"]

    def after_loss(self, run):
        if "lost" not in run.fates:
            return self.want
        return Want("Failed", ("Failed", UNKNOWN, None, None, (0, 1)), ("Skipped", 0, "", "", (0, 2)))

    def look(self, run):
        child = f"n0.1-{run.job}"
        known = [row["arg"] for row in run.agent.query(
            "SELECT arg FROM effect WHERE kind = 'spawn' AND instance_id = ?", child)]
        for n in (1, 2):
            run.expect("early", f"more runs of inner step {n} than starts that the journal knows of",
                       run.ran(n) > known.count(n - 1), False)

    def judge(self, run):
        jobs = run.agent.query("SELECT id FROM instance WHERE id <> ?", run.job)
        run.expect("result", "nested jobs", [row["id"] for row in jobs], [f"n0.1-{run.job}"])


def fate(run, n):
    """What the records of step n's first attempt tell: true (the end is on disk), lost, or unbegun."""
    directory = os.path.join(run.agent.jobs_dir, run.job, f"{n - 1}.1")
    if os.path.exists(os.path.join(directory, "exit")):
        return "true"
    if os.path.exists(os.path.join(directory, "started")):
        return "lost"
    with contextlib.suppress(FileNotFoundError), open(os.path.join(directory, ".started.tmp"), "rb") as f:
        return "lost" if b"\nend\n" in f.read() else "unbegun"  # whole: the script may have begun
    return "unbegun"


def more_fates(before, now):
    """After another death: what was lost once stays lost."""
    return now if before is None else ["lost" if "lost" in pair else pair[1] for pair in zip(before, now)]


def with_fates(want, fates):
    """`want`, after the machine went down: a step that had begun without a recorded end is not run again and
    what became of it is not known; those after it do not run."""
    steps, is_lost = [], False
    for told, known in zip(want.steps, fates):
        if is_lost:
            steps.append(("Skipped", 0, "", "", 0))
        elif known == "lost":
            is_lost = True
            steps.append(("Failed", UNKNOWN, None, None, (0, told[4])))
        else:
            steps.append(told)
    return Want("Failed" if is_lost else want.status, *steps, acknowledged=want.acknowledged)


class PowerLoss(Scenario):
    """With ssmd its runners and scripts end; it comes back in another boot."""

    power = True

    def wanted(self, run):
        return with_fates(self.want, run.fates or ["true"] * len(self.want.steps))

    def died(self, run):
        run.fates = more_fates(run.fates, [fate(run, n + 1) for n in range(len(self.want.steps))])


class PowerOneStep(PowerLoss):
    name = "power lost, one step"
    scripts = OneStep.scripts
    want = OneStep.want


class PowerThreeSteps(PowerLoss):
    name = "power lost, three steps"
    scripts = ThreeSteps.scripts
    want = ThreeSteps.want


class PowerLongStep(PowerLoss):
    """The script never ends by itself before the power is gone."""

    name = "power lost under a script"
    scripts = (step(1, "echo begun; while [ ! -e @DIR@/go ]; do sleep 0.02; done"),)
    want = Want("Success", ("Success", 0, "begun\n", "", 1))

    def tick(self, run):
        StillRunning.tick(self, run)


class RunnerKilled(Scenario):
    """The runner dies, ssmd lives."""

    name = "runner killed"
    scripts = ThreeSteps.scripts
    want = ThreeSteps.want

    def wanted(self, run):
        return with_fates(self.want, [fate(run, 1), "true", "true"]) if run.is_runner_dead else self.want


SCENARIOS = [OneStep(), StillRunning(), ThreeSteps(), Reboot(), NestedReboot(), Cancelled(), SlowRunner(),
             CancelledBeforeRunner(), TimedOut(), QueuedCancelled(), Rejected(),
             Unhandled(), Again(), Late(), Control(), ControlLate(), ControlRejected(), Local(), PowerOneStep(),
             PowerThreeSteps(), PowerLongStep()]
RUNNER_SCENARIO = RunnerKilled()
