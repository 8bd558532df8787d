"""A virtual machine whose ssmd is a systemd service, as a user would have installed it, and its hub on this host."""
import contextlib
import os
import shutil
import sqlite3
import subprocess
import tempfile

import harness
import vm
from harness import BUILD, check, equal

TRUTH = "/var/lib/truth"  # what scripts say they did, synced by themselves
SETTLE_S = 900
WORKS = "systemctl is-active -q ssmd && ssmctl --json | grep -q '\"is_running\":true'"


def tree_of_programs(directory):
    """What `cmake --install` puts below /usr, as an archive of a root directory."""
    tree = os.path.join(directory, "tree")
    done = subprocess.run(["cmake", "--install", BUILD, "--prefix", "/usr", "--strip"], env={**os.environ, "DESTDIR": tree},
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    equal(f"the status of cmake --install: {done.stdout[-1000:]}", done.returncode, 0)
    archive = os.path.join(directory, "ssmd.tar")
    subprocess.run(["tar", "-C", tree, "--owner=0", "--group=0", "-cf", archive, "usr"], check=True)
    shutil.rmtree(tree)
    return archive


class Node:
    """`site`: what the hub serves below /updates/. The machine is on when this is made, and ssmd is not yet there."""

    def __init__(self, control=True):
        self.dir = tempfile.mkdtemp(prefix="ssmd-vm-")
        self.site = os.path.join(self.dir, "site")
        os.makedirs(self.site)
        self.hub = self.machine = None
        try:
            self.hub = harness.Hub(os.path.join(self.dir, "hub"), "--log", "error", "--updates", self.site, control=control)
            self.machine = vm.Machine(os.path.join(self.dir, "machine"), self.hub.port)
            self.machine.power_on().wait_boot()
            self.machine.wait_for("the boot to end", "systemctl is-system-running | grep -qE 'running|degraded'")
            self.machine.wait_for("the hub to be reached", f"curl -s -o /dev/null {vm.HUB_URL}")
            self.machine.must(f"mkdir -p {TRUTH} && sync")
        except BaseException:
            self.end()
            raise
        self.instance = None

    def end(self):
        if self.machine:
            self.machine.end()
        if self.hub:
            self.hub.stop()
        shutil.rmtree(self.dir, ignore_errors=True)

    # ---- installing ----

    def configure(self, **ssmd):
        """A registration with an activation code, and where the service is."""
        names = ("Ssm", "Mds", "Mgs", "S3")
        endpoints = ", ".join(f'"{name}": {{"Endpoint": "{vm.HUB_URL}"}}' for name in names)
        more = ", ".join(f'"{name}": {value}' for name, value in {"BackoffCapSeconds": 5, **ssmd}.items())
        self.machine.must(f"""mkdir -p /etc/ssmd && cat >/etc/ssmd/ssmd.json <<'END'
{{{endpoints}, "Ssmd": {{{more}}}}}
END""")
        answer = self.hub.ssm.create_activation(IamRole="service-role/Node", RegistrationLimit=1)
        said = self.machine.must(f"echo {answer['ActivationCode']} | ssmd register --activation-id {answer['ActivationId']} "
                                 f"--activation-code - --region {harness.REGION}")
        self.instance = said.split("instance-id: ")[1].split()[0]

    def install(self):
        """By `cmake --install`, with the unit of packaging/."""
        os.rename(tree_of_programs(self.dir), os.path.join(self.site, "ssmd.tar"))
        self.machine.must(f"curl -sSf {vm.HUB_URL}/updates/ssmd.tar | tar -C / -xf - && systemctl daemon-reload")
        self.configure()
        self.machine.must("systemctl enable --now ssmd && sync")
        self.wait_working()

    # ---- what it says ----

    def wait_working(self):
        """One agent, that its manager and itself call well."""
        self.machine.wait_for("ssmd to answer", WORKS)
        # A process that has just been forked to become a script's runner is not an agent.
        equal("agents", self.machine.wait_for("one agent", '[ "$(pgrep -x ssmd | wc -l)" -eq 1 ] && pgrep -x ssmd | wc -l').strip(), "1")

    def audit(self):
        """(status, text) of the journal's chains."""
        return self.machine.ask("ssmctl audit verify")

    def wait_online(self):
        def online():
            nodes = self.hub.ssm.describe_instance_information()["InstanceInformationList"]
            return [node for node in nodes if node["InstanceId"] == self.instance and node["PingStatus"] == "Online"]
        return harness.wait_for("the service to know the node", online, SETTLE_S, every=0.2)[0]

    def record(self, message_id):
        return harness.Record(self.hub.message(message_id))

    def records(self):
        return {m["MessageId"]: harness.Record(m) for m in self.hub.state()["Messages"] if m.get("MessageId")}

    def offer_again(self):
        """What was delivered and not acknowledged, at once instead of after its visibility time."""
        for message in self.hub.state()["Messages"]:
            if message["State"] == "queued" and message["Deliveries"] > 0:
                self.hub.redeliver(message["MessageId"])

    def truths(self):
        """File name -> lines, of all that scripts have written."""
        said = self.machine.must(f"cd {TRUTH} && grep -r '' . || true")
        found = {}
        for line in said.splitlines():
            name, _, text = line.partition(":")
            found.setdefault(name.removeprefix("./"), []).append(text)
        return found

    def switch_off(self):
        """Politely, by the guest's own systemd."""
        self.machine.tell("systemctl poweroff")
        self.machine.wait_off()

    @contextlib.contextmanager
    def journal(self):
        """The journal on the disk of the machine, which is off."""
        with tempfile.TemporaryDirectory(dir=self.dir) as directory:
            for name in ("journal.db", "journal.db-wal"):
                self.machine.take(f"/var/lib/ssmd/{name}", os.path.join(directory, name))
            path = os.path.join(directory, "journal.db")
            check(os.path.exists(path), "there is no journal on the disk")
            with contextlib.closing(sqlite3.connect(path)) as connection:
                connection.row_factory = sqlite3.Row
                yield connection
