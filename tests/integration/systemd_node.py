"""A node whose ssmd is a systemd service on a machine of systemd_machine.py, as an operator would have installed it: in version
slots with their two units, or from our package. Its hub runs beside the machine, in the same network."""
import contextlib
import io
import json
import os
import re
import tarfile
import tempfile

import harness
import systemd_machine
from harness import Record, equal, wait_for
from whole_update import PROGRAMS, built

NAMES = ("Ssm", "Mds", "Mgs", "S3")
SETTLE_S = 120
SLOTS = "/opt/ssmd"
PROGRESS = "/var/lib/ssmd/update/progress"
# Forks of ssmd that are about to become something else have its name for a moment.
AGENTS = "pgrep -x 'ssmd|ssmd.real' || true"


def tar_of(files):
    """An archive of path -> bytes, all executable."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.mode, entry.size = 0o755, len(data)
            tar.addfile(entry, io.BytesIO(data))
    return out.getvalue()


class Node:
    def __init__(self, world, release=None, **ssmd):
        options = ("--updates", release.dir) if release else ()
        self.hub = world.hub("--log", "error", *options, control=True)
        self.machine = systemd_machine.SystemdMachine(tempfile.mkdtemp(prefix="machine-", dir=world.dir))
        world.at_end.append(self.machine.end)
        self.instance = None
        self.settings = {"BackoffCapSeconds": 2, "UpdateProvingSeconds": 2, "UpdateDeadlineSeconds": 60, **ssmd}
        if release:
            self.settings["UpdateSource"] = f"{self.hub.url}/updates"
            with open(release.root_file, "rb") as f:
                self.machine.write("/etc/ssmd/update-root.json", f.read())
        self.machine.boot()

    # ---- installing ----

    def configure(self):
        config = {**{name: {"Endpoint": self.hub.url} for name in NAMES}, "Ssmd": self.settings}
        self.machine.write("/etc/ssmd/ssmd.json", json.dumps(config))

    def register(self):
        """With an activation code, as an operator does on a machine outside of the cloud."""
        answer = self.hub.ssm.create_activation(IamRole="service-role/Node", RegistrationLimit=1)
        said = self.machine.must(f"echo {answer['ActivationCode']} | ssmd register --activation-id {answer['ActivationId']}"
                                 f" --activation-code - --region {harness.REGION}")
        self.instance = said.split("instance-id: ")[1].split()[0]

    def install_slots(self):
        """docs/updates.md, word for word."""
        self.machine.must("mkdir -p /root/ssmd && tar -C /root/ssmd -xf -", tar_of({name: built(name) for name in PROGRAMS}))
        self.configure()
        self.machine.must("/root/ssmd/ssmd-updater install --unit && rm -r /root/ssmd && systemctl daemon-reload")
        self.register()
        self.machine.must("systemctl enable ssmd-updater && systemctl enable --now ssmd")
        return self.wait_working()

    # ---- waiting ----

    def status(self):
        with contextlib.suppress(ValueError):
            return json.loads(self.machine.ask("ssmctl --json")[1])
        return {}

    def agents(self):
        """Process ids of agents, whichever version."""
        return [int(pid) for pid in self.machine.must(AGENTS).split()]

    def wait_for_agent(self):
        """Until there is one; its process id, in a list."""
        return wait_for("an ssmd", lambda: self.agents() if len(self.agents()) == 1 else None)

    def wait_working(self):
        """One agent, that its manager, itself and the service call well."""
        self.machine.wait_until("the service to be active", "systemctl is-active -q ssmd")
        wait_for(lambda: f"ssmd to answer: {self.status()}\n{self.machine.tell()}", lambda: self.status().get("is_running"), SETTLE_S)
        wait_for(lambda: f"one agent, there are {self.agents()}", lambda: len(self.agents()) == 1)
        wait_for(lambda: f"the service to see the node online\n{self.machine.tell()}", self.is_online, SETTLE_S, every=0.1)
        return self

    def is_online(self):
        nodes = self.hub.ssm.describe_instance_information()["InstanceInformationList"]
        return any(node["InstanceId"] == self.instance and node["PingStatus"] == "Online" for node in nodes) and \
            self.hub.channels(instance=self.instance)

    # ---- commands ----

    def send(self, script, **more):
        return self.hub.send(harness.document(script, **more), instance=self.instance)

    def record(self, message):
        return Record(self.hub.message(message))

    def wait_terminal(self, message, timeout=SETTLE_S):
        """Its only terminal reply."""
        wait_for(lambda: f"the end of {message}: {self.record(message).sequence}\n{self.machine.tell()}",
                 lambda: self.record(message).terminal, timeout, every=0.1)
        record = self.record(message)
        equal("how many terminal replies there are", len(record.terminal), 1)
        return record

    def wait_code(self, message, step="step1"):
        return self.wait_terminal(message).results[step]["code"]

    def running_script(self, code):
        """A script that runs until let_go(), and ends with `code`. Returns its message."""
        message = self.send(f"touch /run/runs.{code}; until [ -e /run/go.{code} ]; do sleep 0.1; done; exit {code}")
        self.machine.wait_until("the script to run", f"[ -e /run/runs.{code} ]")
        return message

    def let_go(self, code):
        self.machine.must(f"touch /run/go.{code}")

    def offer_again(self):
        """What was delivered and not acknowledged, at once instead of after its visibility time."""
        for message in self.hub.state()["Messages"]:
            if message["State"] == "queued" and message["Deliveries"] > 0:
                self.hub.redeliver(message["MessageId"])

    # ---- updates ----

    def send_update(self, version):
        """The document that users send. Returns its message."""
        answer = self.hub.ssm.send_command(DocumentName="AWS-UpdateSSMAgent", InstanceIds=[self.instance],
                                           Parameters={"version": [version]})
        return f"aws.ssm.{answer['Command']['CommandId']}.{self.instance}"

    def versions(self):
        """Those of current, proven, and of the program that runs."""
        said = self.machine.must(f"readlink {SLOTS}/current; readlink {SLOTS}/proven; readlink /proc/$(systemctl show -P MainPID ssmd)/exe")
        current, proven, running = said.split()
        return os.path.basename(current), os.path.basename(proven), running.split("/versions/")[1].split("/")[0]

    def wait_update_over(self):
        self.machine.wait_until("ssmd-updater to end", "[ $(systemctl is-active ssmd-updater) = inactive ]")

    def update_state(self):
        """What the updater has written down last."""
        found = re.search(r"^state=(\w+)$", self.machine.read(PROGRESS) or "", re.M)
        return found[1] if found else None

    def wait_update_state(self, *states):
        return wait_for(lambda: f"the updater to be at {states}, it is at {self.update_state()}\n{self.machine.tell()}",
                        lambda: self.update_state() if self.update_state() in states else None, SETTLE_S, every=0.002)

    def expect_version(self, version):
        """Exactly one agent: active, online, this version, and nothing failed."""
        self.wait_update_over()
        self.wait_working()
        equal("current, proven, and what runs", self.versions(), (version,) * 3)
        equal("units that failed", self.machine.must("systemctl --failed --no-legend --plain").strip(), "")
