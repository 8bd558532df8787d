"""Real updates of the real agent: nodes whose ssmd runs from version slots under `ssmd-updater supervise`, and what they
can be updated to. What the suites of whole updates stand on, here and in tests/crash/kill and bench.

Another version is this build with another number in it: one compile unit holds it, as text."""
import atexit
import gzip
import io
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
import threading

import harness
from harness import INSTANCE, check, equal, once, program, wait_for
from update_source import FILE_NAME, PROGRAMS, Source, package

OLD, NEW, LOWER = "0.1.0", "0.2.0", "0.0.9"
BUILT = {"ssmd": ("agent", "ssmd"), "ssmd-runner": ("executors", "ssmd-runner"),
         "ssmd-download": ("download", "ssmd-download"), "ssmd-stager": ("update", "ssmd-stager"),
         "ssmd-updater": ("update", "ssmd-updater"), "ssmctl": ("ctl", "ssmctl")}
STEP = "awsupdateSsmAgent"
UPDATE_S = 240  # of a whole update with sanitizers, on a busy machine


@once
def built(name):
    """A program of this build without what is for debuggers: a tenth is quicker to pack, to hash and to sync."""
    with tempfile.TemporaryDirectory() as directory:
        path = shutil.copy(program(*BUILT[name]), directory)
        subprocess.run(["strip", "-g", path], check=True)
        with open(path, "rb") as f:
            return f.read()


def programs(version):
    """The programs of this build as those of another version; the caller's own."""
    return dict(numbered(version))


@once
def numbered(version):
    files = {}
    check(len(version) == len(OLD), "a number of another length does not fit in its place")
    for name in PROGRAMS:
        data = built(name)
        for end in (b"\0", b".0\0"):
            data, n = re.subn(rb"(?<![0-9.])" + re.escape(OLD.encode() + end), version.encode() + end, data)
            # A release holds that of four numbers only where it is used.
            check(n == 1 or n == 0 and end != b"\0", f"{name} holds its version {n} times")
        files[f"bin/{name}"] = data
    return files


# ---- versions that are bad ----

def script(version, text):
    """In place of ssmd: it says the right version, and then does something else."""
    return f"#!/bin/sh\n[ \"$1\" != --version ] || {{ echo 'ssmd {version}'; exit 0; }}\n{text}\n".encode()


def wrapped(files, version, text):
    """The real ssmd, in other circumstances."""
    files["bin/ssmd.real"] = files["bin/ssmd"]
    files["bin/ssmd"] = script(version, f'{text}\nexec "${{0%/*}}/ssmd.real" "$@"')


def crash(files, version):
    files["bin/ssmd"] = script(version, "exit 3")


def hang(files, version):
    files["bin/ssmd"] = script(version, "exec sleep 1000")


def unreachable(files, version):
    """It knows another address of the service, where nobody listens."""
    wrapped(files, version, """sed 's#http://127[^"]*#http://127.0.0.1:9#g' "$2/etc/ssmd/ssmd.json" >"$2/elsewhere.json"
set -- "$@" --config "$2/elsewhere.json\"""")


def mistrusting(files, version):
    """It trusts an authority of its own, and nobody else."""
    with tempfile.TemporaryDirectory() as directory:
        key, certificate = os.path.join(directory, "key"), os.path.join(directory, "certificate")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days",
                        "2", "-subj", "/CN=another", "-keyout", key, "-out", certificate], check=True, capture_output=True)
        with open(certificate, "rb") as f:
            files["bin/ca.pem"] = f.read()
    wrapped(files, version, 'export AWS_CA_BUNDLE="${0%/*}/ca.pem"')


def unreadable(files, version):
    """It asks the journal for a table that was never there."""
    data = files["bin/ssmd"]
    check(b"FROM instance" in data, "ssmd asks its journal in other words")
    files["bin/ssmd"] = data.replace(b"FROM instance", b"FROM instants")


def wrong_machine(files, version):
    """An ELF header that says it is for another processor."""
    data = bytearray(files["bin/ssmd"])
    data[18:20] = b"\xf3\x00"
    files["bin/ssmd"] = bytes(data)


def without_library(files, version):
    """It needs a library that nobody has."""
    data = files["bin/ssmd"]
    check(data.count(b"libsqlite3.so") > 0, "ssmd needs other libraries")
    files["bin/ssmd"] = data.replace(b"libsqlite3.so", b"libsqlitQ.so3")


def another(files, version):
    """Its --version is right; what runs is the version before."""
    wrapped(files, version, "")
    files["bin/ssmd.real"] = programs(OLD)["bin/ssmd"]


def glutton(files, version):
    """It works, and takes all the memory that it can get."""
    with open(program("tests/integration", "glutton.so"), "rb") as f:
        files["bin/glutton.so"] = f.read()
    wrapped(files, version, 'export LD_PRELOAD="${0%/*}/glutton.so"')


BAD = {"0.1.1": crash, "0.1.2": hang, "0.1.3": unreachable, "0.1.4": unreadable, "0.1.5": wrong_machine,
       "0.1.6": without_library, "0.1.7": another, "0.1.8": glutton, "0.1.9": mistrusting}
if b"__asan_init" in built("ssmd"):
    del BAD["0.1.8"]  # a sanitizer takes more address space than it may


# ---- an update source ----

def pack(files):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.mode, entry.size = 0o755, len(data)
            tar.addfile(entry, io.BytesIO(data))
    return gzip.compress(out.getvalue(), 0, mtime=0)  # bytes are cheap here, time is not


class Release:
    """An update source of `ssmctl release`: one key for each role, the good versions and the bad ones."""

    def __init__(self, directory, versions=(LOWER, OLD, NEW), bad=BAD):
        self.dir = os.path.join(directory, "source")
        self.keys = {role: os.path.join(directory, role + ".pem") for role in ("root", "release", "timestamp")}
        for key in self.keys.values():
            self.release("keygen", key)
        self.release("root", self.dir, *(word for role, key in self.keys.items() for word in (f"--{role}-key", key + ".pub")))
        self.release("sign", self.dir, "root", "--key", self.keys["root"])
        self.root_file = os.path.join(self.dir, "1.root.json")
        for version in (*versions, *bad):
            files = programs(version)
            if version in bad:
                bad[version](files, version)
            path = os.path.join(directory, FILE_NAME)
            with open(path, "wb") as f:
                f.write(pack(files))
            self.release("add", self.dir, path, "--version", version)
            os.unlink(path)
        self.release("sign", self.dir, "manifest", "--key", self.keys["release"])
        self.release("timestamp", self.dir, "--key", self.keys["timestamp"])

    @staticmethod
    def release(*words):
        done = subprocess.run([program("ctl", "ssmctl"), "release", *words], capture_output=True, text=True, check=False)
        equal(f"the status of ssmctl release {' '.join(words)}: {done.stdout}{done.stderr}", done.returncode, 0)


class Shared:
    """One Release for all cases, made when the first one asks."""

    def __init__(self, **what):
        self.what, self.made, self.lock = what, None, threading.Lock()

    def get(self):
        with self.lock:
            if self.made is None:
                directory = tempfile.mkdtemp(prefix="ssmd-release-")
                atexit.register(shutil.rmtree, directory, ignore_errors=True)
                self.made = Release(directory, **self.what)
            return self.made


# ---- a node ----

class SlotAgent(harness.Agent):
    """An agent in version slots, below ssmd-updater's supervisor, which is `process`. With a release its hub serves
    that; else it has a source of its own, made with other tools than ours."""

    def __init__(self, world, name="node", release=None, control=False, hub=None, **settings):
        hub = hub or (world.hub("--updates", release.dir, control=control) if release else world.hub(control=control))
        root = world.path(name)
        self.source = None if release else Source(world.path("source"))
        source, root_file = ((hub.url + "/updates", release.root_file) if release else
                             (self.source.url, self.source.root_file))
        super().__init__(root, hub, **{"UpdateSource": source, "UpdateRootFile": root_file, "UpdateProvingSeconds": 1,
                                       "UpdateDeadlineSeconds": 90, **settings})
        for key in ("RunnerPath", "DownloadPath"):  # those of its own slot
            del self.config["Ssmd"][key]
        self.write_config()
        world.agents.append(self)
        given = os.path.join(root, "programs")
        os.makedirs(given)
        for program_name in PROGRAMS:
            path = os.path.join(given, program_name)
            with open(path, "wb") as f:
                f.write(built(program_name))
            os.chmod(path, 0o755)
        self.run_updater("install", "--from", given)
        shutil.rmtree(given)

    def clean_environment(self, **more):
        env = {name: value for name, value in os.environ.items()
               if not name.startswith(("AWS_", "SSMD_", "RUNNER_SSMD_")) and "proxy" not in name.lower()}
        return {**env, "AWS_SHARED_CREDENTIALS_FILE": self.hub.credentials, harness.MARK: self.mark, **more}

    def run_updater(self, *words):
        done = subprocess.run([program("update", "ssmd-updater"), *words, "--root", self.root], capture_output=True,
                              text=True, check=False)
        equal(f"the status of ssmd-updater {words}: {done.stderr}", done.returncode, 0)

    def start(self, **environment):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen([program("update", "ssmd-updater"), "supervise", "--root", self.root],
                                            env=self.clean_environment(**self.environment, **environment),
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        return self

    def offer(self, version=NEW, spoil=None, **fields):
        files = programs(version)
        if spoil:
            spoil(files, version)
        self.source.add(version, package(version, files=files), **fields).publish()
        return self

    def ssmctl(self, *words):
        """By the programs of this build: an operator's may be older or newer than what runs."""
        return subprocess.run([program("ctl", "ssmctl"), "--root", self.root, *words], capture_output=True, text=True,
                              check=False, timeout=UPDATE_S)

    def link(self, name):
        try:
            return os.path.basename(os.readlink(os.path.join(self.root, "opt/ssmd", name)))
        except FileNotFoundError:
            return None

    @property
    def version(self):
        return (self.status() or {}).get("version")

    @property
    def pid(self):
        return (self.status() or {}).get("pid")

    def agents(self):
        """Processes of this world that are an ssmd, whichever version."""
        found = []
        for pid in harness.marked_processes(self.mark):
            try:
                if os.path.basename(os.readlink(f"/proc/{pid}/exe")) in ("ssmd", "ssmd.real"):
                    found.append(pid)
            except OSError:  # it has ended meanwhile
                pass
        return found

    def expect_version(self, version):
        wait_for(lambda: f"version {version} to serve, it is {self.version}", lambda: self.version == version)
        equal("current and proven", (self.link("current"), self.link("proven")), (version, version))
        # Who is about to be another program is still an ssmd by its name.
        wait_for(lambda: f"one agent to run, these do: {self.agents()}", lambda: len(self.agents()) == 1)

    def wait_known(self, version=OLD):
        """Until the service says that this version is there."""
        def known():
            nodes = self.hub.ssm.describe_instance_information()["InstanceInformationList"]
            return [node for node in nodes if node["InstanceId"] == INSTANCE and
                    (node["PingStatus"], node["AgentVersion"]) == ("Online", version + ".0")]
        wait_for(f"the service to know version {version}", known)

    def send_update(self, **parameters):
        """The document that the hub has built in, as users send it. Returns the command's id."""
        return self.hub.ssm.send_command(DocumentName="AWS-UpdateSSMAgent", InstanceIds=[INSTANCE], Parameters={
            name: [value] for name, value in parameters.items()})["Command"]["CommandId"]

    def wait_done(self, message_id, timeout=UPDATE_S, every=0.02):
        return super().wait_done(message_id, timeout, every)

    def wait_invocation(self, command_id, timeout=UPDATE_S):
        """The end of the only step of a command, as users see it."""
        def ended():
            got = self.hub.ssm.get_command_invocation(CommandId=command_id, InstanceId=INSTANCE)
            return got if got["Status"] in harness.TERMINAL else None
        return wait_for(lambda: f"the end of {command_id}; {self.tell()}", ended, timeout, every=0.1)

    def tell(self):
        return f"current {self.link('current')}, proven {self.link('proven')}, {self.version} answers"
