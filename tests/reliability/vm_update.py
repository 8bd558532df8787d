"""Updates of ssmd under a real systemd, in the virtual machine of R4: its own units and ssmd-updater, forward and back, with the
updater killed and the power lost in the middle of them. At the end of each: one agent, active, of the version that both links
name; a report that says what is so; no unit that failed; a script that ran through it has its own exit code."""
import contextlib
import os
import time

import harness
import vm
import vm_node
import whole_update
from harness import document, equal

TARGETS = {"updates": (">=", 8), "stranded": ("==", 0), "untrue_reports": ("==", 0)}
GOOD = ("0.2.0", "0.2.1", "0.2.2", "0.2.3", "0.2.4")
BAD = {"0.9.0": whole_update.crash, "0.9.1": whole_update.unreadable, "0.9.2": whole_update.crash, "0.9.3": whole_update.crash}
PROVING_S = 10
UPDATE_S = 1500
AFTER_S = 25.0  # from the moment that the updater begins, the power is lost at most so late
PROGRESS = "/var/lib/ssmd/update/progress"

# The version that is asked for, and what happens meanwhile.
CASES = (("0.2.0", None), ("0.9.0", None), ("0.2.1", "kill"), ("0.9.1", "kill"), ("0.2.2", "power"), ("0.9.2", "power"),
         ("0.2.3", "reset"), ("0.9.3", "reset"), ("0.2.4", "power"))


class Updates:
    def __init__(self, row, random):
        self.row, self.random, self.node = row, random, None
        self.version = whole_update.OLD

    def wrong(self, figure, text):
        self.row.count(figure)
        self.row.fail(f"{figure}: {text}\nthe machine:\n{self.node.machine.tail(n_lines=150)}")

    def install(self):
        """Version slots and their units, as docs/updates.md says."""
        node = self.node
        os.rename(vm_node.tree_of_programs(node.dir), os.path.join(node.site, "ssmd.tar"))
        release = whole_update.Release(node.dir, versions=GOOD, bad=BAD)
        os.rename(release.dir, os.path.join(node.site, "source"))
        node.machine.must(
            f"mkdir -p /root/ssmd /etc/ssmd && curl -sSf {vm.HUB_URL}/updates/ssmd.tar | tar -C /root/ssmd -xf - &&"
            f" /root/ssmd/usr/libexec/ssmd/ssmd-updater install --unit && rm -r /root/ssmd &&"
            f" curl -sSf -o /etc/ssmd/update-root.json {vm.HUB_URL}/updates/source/1.root.json")
        node.configure(UpdateSource=f'"{vm.HUB_URL}/updates/source"', UpdateProvingSeconds=PROVING_S)
        node.machine.must("systemctl daemon-reload && systemctl enable ssmd-updater && systemctl enable --now ssmd && sync")
        node.wait_working()
        node.wait_online()

    def ask_for(self, version):
        """The document that users send. Returns its message."""
        answer = self.node.hub.ssm.send_command(DocumentName="AWS-UpdateSSMAgent", InstanceIds=[self.node.instance],
                                                Parameters={"version": [version]})
        return f"aws.ssm.{answer['Command']['CommandId']}.{self.node.instance}"

    def wait_begun(self, version, message):
        """The updater works on this order. False when the update has ended meanwhile."""
        def begun():
            if self.node.record(message).terminal:
                return "ended"
            return self.node.machine.ask(f"systemctl is-active -q ssmd-updater && grep -q {version} {PROGRESS}")[0] == 0 and "begun"
        return harness.wait_for(f"the switch to {version}", begun, UPDATE_S, every=0.1) == "begun"

    def disturb(self, what):
        pause = self.random.uniform(0, AFTER_S if what != "kill" else PROVING_S)
        if what == "kill":  # and again what systemd has started in its place
            for _ in range(2):
                time.sleep(pause / 2)  # chance is the point, nothing is waited for
                self.node.machine.ask("systemctl kill -s KILL ssmd-updater")
            return f"the updater killed twice within {pause:.1f} s"
        time.sleep(pause)
        if what == "power":
            held, hurt = self.node.machine.lose_power(self.random)
            self.node.machine.power_on()
            what = f"power lost with {hurt} of {held} writes"
        else:
            self.node.machine.reset()
        self.node.machine.wait_boot()
        self.node.offer_again()
        return f"{what} after {pause:.1f} s"

    def case(self, version, what):
        node, begin = self.node, time.monotonic()
        running = node.hub.send(document("touch /run/runs; until [ -e /run/go ]; do sleep 0.2; done; exit 5"), instance=node.instance)
        node.machine.must("rm -f /run/go")
        node.machine.wait_for("the script to run", "[ -e /run/runs ] && rm /run/runs")
        before = self.version
        message = self.ask_for(version)
        told = what or "nothing"
        if what:
            told = self.disturb(what) if self.wait_begun(version, message) else "it had ended before"
        with contextlib.suppress(harness.Failure):
            harness.wait_for("the report", lambda: node.record(message).terminal, UPDATE_S, every=0.5)
        self.judge(version, before, message, told)
        node.machine.must("touch /run/go")
        record = harness.wait_for("the end of the script", lambda: node.record(running).terminal and node.record(running),
                                  vm_node.SETTLE_S, every=0.3)
        code = record.results["step1"]["code"]
        if code not in ((5,) if what in (None, "kill") else (5, 1000)):
            self.wrong("untrue_reports", f"{version}, {told}: the script that ran through it ended with {code}")
        node.machine.ask("rm -f /run/go")
        self.row.count("updates")
        self.row.say(f"{before} -> {version}: {told}; now {self.version}, {time.monotonic() - begin:.0f} s")

    def judge(self, version, before, message, told):
        node = self.node
        terminal = node.record(message).terminal
        statuses = [r["Status"] for r in terminal]
        try:
            # The end of the updater comes after the report.
            node.machine.wait_for("ssmd-updater to end", "[ $(systemctl is-active ssmd-updater) = inactive ]", UPDATE_S)
            node.wait_working()
            current, proven, running = node.machine.must(
                "basename $(readlink /opt/ssmd/current); basename $(readlink /opt/ssmd/proven);"
                " basename $(dirname $(dirname $(readlink /proc/$(systemctl show -P MainPID ssmd)/exe)))").split()
            equal("current, proven and what runs", (current, proven, running), (current,) * 3)
            equal("units that failed", node.machine.must("systemctl --failed --no-legend --plain").strip(), "")
            node.wait_online()
        except harness.Failure as failure:
            self.wrong("stranded", f"{before} -> {version}, {told}: {failure}")
            return
        self.version = current
        wanted = version if version in GOOD else before
        if len(statuses) != 1 or (statuses == ["Success"]) != (current == version) or current not in (version, before):
            self.wrong("untrue_reports", f"{before} -> {version}, {told}: {statuses} was told, version {current} runs")
        elif current != wanted and ("power" not in told and "reset" not in told or version not in GOOD):
            self.wrong("stranded", f"{before} -> {version}, {told}: version {current} runs, it should be {wanted}; told was "
                       f"{node.record(message).results}")


def run(row, random):
    for name in TARGETS:
        row.count(name, 0)
    updates = Updates(row, random)
    updates.node = vm_node.Node()
    try:
        updates.install()
        for version, what in CASES:
            updates.case(version, what)
    except harness.Failure as failure:
        updates.wrong("stranded", str(failure))
    finally:
        updates.node.end()
