#!/usr/bin/python3
"""R4: a Debian in QEMU with ssmd as a systemd service. Commands come through the hub's API; at random moments the machine is
reset or loses its power, and documents reboot it with exit 194. Then what scripts wrote down themselves is compared with what the
service was told. And with the same machine: updates of ssmd, with power losses in them (vm_update.py).

sample: 2 resets.  row: 12 resets and the updates.  long: 50 machines with 10 resets each, and the updates. Not a part of
scripts/test: an emulated processor takes a quarter of a minute and more for each boot. README.md tells what a reset loses."""
# packages: qemu-system-x86 debootstrap e2fsprogs lz4 netcat-openbsd
import contextlib
import random as random_module
import time
import uuid

from row import NO_CRIMES, Row

import harness
import vm_node
import vm_update

RESETS = {"sample": [2], "row": [12], "long": [10] * 50}
AT_ONCE = 4         # commands that are under way
NEXT_S = 3.0        # from the moment that a reset waits for, at most so long
BOOTING_S = 20.0    # ... when it hits a boot
ANCHOR_S = 60       # a moment that does not come is not waited for longer
UNKNOWN = 1000
CUT = (UNKNOWN, 143, 137)  # nobody saw the end, or the runner saw what a shutdown did to the script


def body(name, n, text):
    """A script that notes its begin and its end on the disk, before anyone else could know."""
    path = f"{vm_node.TRUTH}/{name}.{n}"
    return (f"f={path}; read b </proc/sys/kernel/random/boot_id; echo \"begin $b\" >>$f; sync $f {vm_node.TRUTH}\n"
            f"end() {{ echo \"end $b $1\" >>$f; sync $f; exit $1; }}\n{text}")


# name: steps, each with its script, status, code, output, and how often it may begin
KINDS = {
    "quick": [("echo one; end 0", "Success", 0, "one\n", 1)],
    "failing": [("echo two; end 7", "Failed", 7, "two\n", 1)],
    "slow": [("echo three; sleep @S@; end 0", "Success", 0, "three\n", 1)],
    "steps": [("echo a; end 0", "Success", 0, "a\n", 1), ("sleep 1; echo b; end 0", "Success", 0, "b\n", 1),
              ("echo c; end 0", "Success", 0, "c\n", 1)],
    "reboot": [("if [ $(grep -c ^begin $f) -lt 2 ]; then echo before; end 194; fi; echo after; end 0", "Success", 0,
                "before\nafter\n", 2),
               ("echo then; end 0", "Success", 0, "then\n", 1)],
}


class Command:
    def __init__(self, node, kind, random):
        self.kind, self.job = kind, str(uuid.UUID(int=random.getrandbits(128), version=4))
        self.steps = KINDS[kind]
        scripts = [body(self.job, n, text.replace("@S@", str(random.randint(1, 8))))
                   for n, (text, *_) in enumerate(self.steps, 1)]
        self.message = node.hub.send(harness.document(*scripts), instance=node.instance, command_id=self.job)
        self.is_disturbed = False  # the machine went down while it was under way


class Batch:
    """One machine, from its installation through its resets to the judgement."""

    def __init__(self, row, random, n_resets):
        self.row, self.random, self.n_resets = row, random, n_resets
        self.commands, self.node = [], None

    def accuse(self, crime, text):
        self.row.count(crime)
        self.row.fail(f"{crime}: {text}\nthe machine:\n{self.node.machine.tail(n_lines=80)}")

    def run(self):
        self.node = node = vm_node.Node(control=self.random.random() < 0.7)
        try:
            node.install()
            self.row.say(f"installed, {self.row._seconds():.0f} s")
            for n in range(self.n_resets):
                self.one_reset(n)
            self.recover()
            harness.wait_for(lambda: f"the end of {[c.message for c in self.open()]}", lambda: not self.open(),
                             vm_node.SETTLE_S, every=0.5)
            self.judge()
        except harness.Failure as failure:
            self.accuse("lost", str(failure))
        finally:
            node.end()

    def open(self):
        records = self.node.records()
        return [c for c in self.commands if not ends(records[c.message])]

    # ---- what goes wrong ----

    def one_reset(self, n):
        node, random = self.node, self.random
        is_booting = n > 0 and random.random() < 0.2
        if not is_booting:
            self.recover()
            if random.random() < 0.4:
                with contextlib.suppress(harness.Failure):
                    harness.wait_for("quiet", lambda: not self.open(), ANCHOR_S, every=0.3)
            while len(self.open()) < AT_ONCE:
                self.commands.append(Command(node, random.choice(list(KINDS)), random))
        anchor = "boot" if is_booting else random.choice(("sent", "ack", "InProgress", "end", "reboot"))
        self.wait_anchor(anchor)
        pause = random.uniform(0, BOOTING_S if is_booting else NEXT_S)
        time.sleep(pause)  # chance is the point here, nothing is waited for
        for command in self.open():
            command.is_disturbed = True
        if random.random() < 0.5:
            node.machine.reset()
            how = "reset"
        else:
            held, hurt = node.machine.lose_power(random)
            node.machine.power_on()
            self.row.count("writes_lost", hurt)
            how = f"power lost with {hurt} of {held} writes"
            self.row.count("power_losses")
        self.row.count("resets")
        self.row.say(f"{n + 1}: {how}, {pause:.1f} s after {anchor}, {len(self.open())} commands open, {self.row._seconds():.0f} s")

    def wait_anchor(self, anchor):
        mine = [c.message for c in self.commands[-AT_ONCE:]]

        def has_come():
            records = self.node.records()
            events = [e for m in mine if m in records for e in records[m].events]
            if anchor == "ack":
                return any(e["Kind"] in ("ack", "agent_job_ack") for e in events)
            if anchor == "end":
                return any(ends(records[m]) for m in mine)
            return any(e.get("Status") == anchor for e in events)
        if anchor == "reboot":
            anchor = "SuccessAndReboot"
        if anchor not in ("sent", "boot"):
            with contextlib.suppress(harness.Failure):
                harness.wait_for(anchor, has_come, ANCHOR_S if anchor != "SuccessAndReboot" else ANCHOR_S / 4, every=0.1)

    def recover(self):
        """The machine is up, after whatever came last, and its agent works. Documents reboot it meanwhile."""
        node, begin = self.node, time.monotonic()

        def works():
            with contextlib.suppress(harness.Failure):
                return node.machine.ask(vm_node.WORKS, 60)[0] == 0
            return False
        harness.wait_for(lambda: f"ssmd to work again; the machine:\n{node.machine.tail()}", works, vm_node.SETTLE_S, every=0.3)
        self.row.worst("back_to_work_s", round(time.monotonic() - begin, 1))
        node.offer_again()
        with contextlib.suppress(harness.Failure):  # it may go down for a document that reboots it: asked again at the end
            status, text = node.machine.ask("ssmctl audit verify", 60)
            if status:
                self.accuse("audit", text)

    # ---- the judgement ----

    def judge(self):
        node = self.node
        node.wait_working()
        truths, records = node.truths(), node.records()
        for command in self.commands:
            self.judge_command(command, records[command.message], truths)
        status, text = node.audit()
        if status:
            self.accuse("audit", text)
        node.machine.wait_for("all jobs to be done and reported",
                              "ssmctl --json | tr -d '\\n' | grep '\"running\":\\[\\],.*\"unreported\":\\[\\]'", vm_node.SETTLE_S)
        node.switch_off()
        self.judge_journal(records)

    def judge_command(self, command, record, truths):
        """Two accounts: the scripts' own, on the disk, and what the service was told."""
        self.row.count("commands")
        called = f"{command.kind} {command.job}"
        terminal = ends(record)
        if len(terminal) != 1:
            self.accuse("statuses", f"{called}: {[r['Status'] for r in terminal]}")
        results, is_cut = record.results, False
        for n, (_, status, code, output, most) in enumerate(command.steps, 1):
            lines = truths.get(f"{command.job}.{n}", [])
            begins = [line.split()[1] for line in lines if line.startswith("begin")]
            ended = [line.split()[2] for line in lines if line.startswith("end")]
            got = results.get(f"step{n}", {})
            told = f"{called} step {n}: told {got}, it wrote {lines}"
            if len(begins) > most or len(set(begins)) != len(begins):
                self.accuse("twice", told)
            if (got.get("status"), got.get("code")) == (status, code):
                if str(code) not in ended:
                    self.accuse("result", f"an end that nobody saw: {told}")
                if got.get("standardOutput") != output:
                    self.accuse("result", f"output: {told}")
                if most == 2:
                    self.row.count("reboots", len(set(begins)) == 2)
            elif not command.is_disturbed and not self.was_rebooted(begins):
                self.accuse("unrun" if not begins else "result", told)
            elif is_cut and got.get("status") == "Skipped" and not begins:
                continue  # what follows an unknown outcome is not begun
            elif got.get("status") == "Success" or got.get("code") not in CUT:
                self.accuse("result", told)
            else:
                is_cut = True
                self.row.count("unknown_outcomes", got.get("code") == UNKNOWN)
        if is_cut and terminal and terminal[0]["Status"] == "Success":
            self.accuse("result", f"{called} is a Success, its steps are {results}")

    def was_rebooted(self, begins):
        """The boot in which it ran is over: a document of another command ended it."""
        return bool(begins) and begins[-1] != self.node.machine.must("cat /proc/sys/kernel/random/boot_id").strip()

    def judge_journal(self, records):
        with self.node.journal() as journal:
            known = {r["message_id"] for r in journal.execute("SELECT message_id FROM inbox")}
            for message, record in records.items():
                if (record.of_kind("ack") or record.of_kind("agent_job_ack")) and message not in known:
                    self.accuse("early", f"{message} was acknowledged, and the journal does not know it")
            for what, sql in (("effects", "SELECT kind FROM effect WHERE closed_unix_ms IS NULL"),
                              ("replies", "SELECT kind FROM outbox WHERE ended_unix_ms IS NULL"),
                              ("jobs", "SELECT id FROM instance WHERE machine = 'command' AND id NOT IN (SELECT id FROM ledger)")):
                left = [r[0] for r in journal.execute(sql)]
                if left:
                    self.accuse("open", f"{what}: {left}")


def ends(record):
    return [r for r in record.terminal if r["Status"] != "SuccessAndReboot"]


def run(row, scale, random):
    row.targets["resets"] = (">=", sum(RESETS[scale]))
    if scale == "sample":
        for name in vm_update.TARGETS:
            del row.targets[name]
    for name in (*NO_CRIMES, "resets", "power_losses", "writes_lost", "reboots", "commands", "unknown_outcomes"):
        row.count(name, 0)
    seeds = [random.getrandbits(64) for _ in RESETS[scale]]
    row.figure("accelerated", vm_node.vm.accelerator() == "kvm")
    for n in range(row.state.setdefault("done", 0), len(seeds)):
        Batch(row, random_module.Random(seeds[n]), RESETS[scale][n]).run()
        row.state["done"] = n + 1
        row.save()
    if scale != "sample" and not row.state.get("updated"):
        vm_update.run(row, random_module.Random(seeds[0] + 1))
        row.state["updated"] = True
        row.save()


if __name__ == "__main__":
    raise SystemExit(Row("R4", "Debian in QEMU with ssmd as a systemd service: resets and power losses at random moments, reboots by "
                         "exit 194, updates under systemd", {**NO_CRIMES, "resets": (">=", 10), **vm_update.TARGETS}).main(run))
