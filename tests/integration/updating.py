"""A machine with version slots and stand-in agents: ssmd-updater, its supervisor, and orders. What the suites of
updates here and in tests/crash/kill stand on."""
import contextlib
import json
import os
import shutil
import signal
import subprocess
import uuid

from harness import MARK, check, equal, kill_marked, marked_processes, program, wait_for

OLD, NEW = "0.1.0", "0.2.0"
# The updater of another build, for controls that break it.
UPDATER_BUILD = os.environ.get("SSMD_UPDATER_BUILD_DIR")


def updater_program():
    return os.path.join(UPDATER_BUILD, "update/ssmd-updater") if UPDATER_BUILD else program("update", "ssmd-updater")


class Machine:
    """Version 0.1.0 is installed and proven, 0.2.0 staged; `new` says how it behaves."""

    def __init__(self, world, new="", name="machine", proving_ms=300, deadline_ms=60000, **order):
        self.root = world.path(name)
        self.mark = str(uuid.uuid4())
        self.boot_id_file = os.path.join(self.root, "boot-id")
        self.state = os.path.join(self.root, "var/lib/ssmd/update")
        self.slots = os.path.join(self.root, "opt/ssmd")
        self.supervisor = None
        self.n_logs = 0
        os.makedirs(self.root, mode=0o755)
        self.new_boot()
        self.order = {"id": "update-1", "from": OLD, "to": NEW, "proving_ms": proving_ms, "deadline_ms": deadline_ms,
                      "pid_file": os.path.join(self.root, "run/ssmd/ssmd.pid"), "boot_id_file": self.boot_id_file,
                      **order}
        world.at_end.append(self.end)
        self.install()
        self.stage(NEW, new)

    # ---- the disk ----

    def new_boot(self):
        with open(self.boot_id_file, "w", encoding="ascii") as f:
            f.write(str(uuid.uuid4()))

    def install(self):
        programs = os.path.join(self.root, "programs")
        os.makedirs(programs)
        shutil.copy(program("tests/integration", "standin_agent"), os.path.join(programs, "ssmd"))
        shutil.copy(program("tests/integration", "standin_agent"), os.path.join(programs, "ssmd-runner"))
        shutil.copy(updater_program(), programs)
        done = self.run("install", "--from", programs)
        equal(f"the status of install, which says {done.stdout}{done.stderr}", done.returncode, 0)

    def stage(self, version, behaviour, spoil=None):
        slot = os.path.join(self.slots, "versions", version)
        os.makedirs(os.path.join(slot, "bin"))
        agent = os.path.join(slot, "bin/ssmd")
        shutil.copy(program("tests/integration", "standin_agent"), agent)
        shutil.copy(updater_program(), os.path.join(slot, "bin"))
        with open(os.path.join(slot, "bin/behaviour"), "w", encoding="ascii") as f:
            f.write("".join(f"{word}\n" for word in behaviour.split()))
        if spoil:
            spoil(agent)
        subprocess.run([program("tests/integration", "standin_agent"), "--seal", slot, version], check=True)

    def write_order(self, **changes):
        os.makedirs(self.state, mode=0o700, exist_ok=True)
        self.order.update(changes)
        text = "ssmd-record 1 order\n" + "".join(f"{k}={v}\n" for k, v in self.order.items()) + "end\n"
        path = os.path.join(self.state, "order")
        with open(path + ".part", "w", encoding="utf-8") as f:
            f.write(text)
        os.rename(path + ".part", path)

    def read_record(self, name):
        with contextlib.suppress(FileNotFoundError), open(os.path.join(self.state, name), encoding="utf-8") as f:
            return dict(line.split("=", 1) for line in f.read().splitlines()[1:-1])
        return {}

    def link(self, name):
        with contextlib.suppress(FileNotFoundError):
            return os.path.basename(os.readlink(os.path.join(self.slots, name)))
        return None

    @property
    def links(self):
        return tuple(self.link(name) for name in ("current", "proven", "previous"))

    @property
    def story(self):
        """What agents did: (version, "begins" or "ends", pid)."""
        with contextlib.suppress(FileNotFoundError), open(os.path.join(self.root, "story"), encoding="ascii") as f:
            return [tuple(line.split()) for line in f]
        return []

    @property
    def state_name(self):
        progress = self.read_record("progress")
        return progress.get("state") if progress.get("id") == self.order["id"] else None

    @property
    def cause(self):
        return self.read_record("progress").get("field.cause", "")

    # ---- processes ----

    def environment(self, **more):
        return {"PATH": os.environ["PATH"], MARK: self.mark, **more}

    def run(self, *words, **environment):
        return subprocess.run([updater_program(), *words, "--root", self.root], capture_output=True,
                              text=True, env=self.environment(**environment), check=False, timeout=120)

    def log_file(self):
        self.n_logs += 1
        return open(os.path.join(self.root, f"log.{self.n_logs}"), "wb")

    def start(self, *words, **environment):
        with self.log_file() as log:
            return subprocess.Popen([updater_program(), *words, "--root", self.root], stdout=log,
                                    stderr=log, stdin=subprocess.DEVNULL, env=self.environment(**environment))

    def supervise(self, **environment):
        self.supervisor = self.start("supervise", **environment)

    def status(self):
        return json.loads(self.run("status", "--json").stdout)

    def wait_agent(self, version=OLD):
        """Until an agent of this version runs."""
        def runs():
            pid = self.status()["agent_pid"]
            return pid and (version, "begins", str(pid)) in self.story
        wait_for(lambda: f"version {version} to run: {self.status()} {self.tell()}", runs)

    def wait_end(self, timeout=90):
        return wait_for(lambda: f"the end of the update: {self.tell()}",
                        lambda: self.state_name if self.state_name in ("committed", "reverted") else None, timeout)

    def tell(self):
        return f"{self.links}, {self.state_name}, {self.cause!r}, {self.story[-3:]}\n" + "\n".join(self.logs())

    def logs(self, n_lines=30):
        for n in range(1, self.n_logs + 1):
            with open(os.path.join(self.root, f"log.{n}"), encoding="utf-8", errors="replace") as f:
                yield from (f"log {n}: {line}" for line in f.read().splitlines()[-n_lines:])

    def lose_power(self):
        kill_marked(self.mark)
        self.reap()
        self.new_boot()

    def reap(self):
        if self.supervisor is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.supervisor.wait(0)

    def agents(self):
        """Agents that run: pid and version."""
        for pid in marked_processes(self.mark):
            with contextlib.suppress(OSError):
                exe = os.readlink(f"/proc/{pid}/exe")
                if exe.startswith(self.slots) and exe.endswith("/bin/ssmd"):
                    yield pid, exe.split("/")[-3]

    def stop(self):
        """SIGTERM to the supervisor, which takes the agent with it."""
        self.supervisor.send_signal(signal.SIGTERM)
        equal("the status of the supervisor after SIGTERM", self.supervisor.wait(40), 0)

    def end(self):
        kill_marked(self.mark)
        if self.supervisor is not None:
            self.supervisor.wait()

    # ---- claims ----

    def expect(self, state, cause=""):
        got = self.wait_end()
        equal(f"the end ({self.tell()})", got, state)
        check(cause in self.cause, f"the cause {self.cause!r} does not say {cause!r}")
        version = NEW if state == "committed" else OLD
        self.wait_agent(version)
        equal("current, proven", self.links[:2], (version, version))
        if state == "committed":
            equal("previous", self.links[2], OLD)
