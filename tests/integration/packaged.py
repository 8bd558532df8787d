"""Nodes whose ssmd a package manager owns: the real apt, with a database, a configuration and repositories below the
node's own root, told by its own environment variables and options. What the suites of driven updates stand on;
packaged_rpm.py has dnf, yum and zypper.

The maintainer scripts run outside of a chroot and restart ssmd as those of a real package do; in place of systemd a loop
starts it again."""
import contextlib
import hashlib
import os
import shutil
import subprocess

import harness
from harness import equal, program, wait_for
from update_source import PROGRAMS, Source, package
from whole_update import OLD, programs

PREFIX = "usr/libexec/ssmd"
RESTART = 'kill "$(head -n 1 "$ROOT/run/ssmd/ssmd.pid")" 2>/dev/null || true'
AGAIN = """trap 'over=1; kill "$pid"' TERM
while [ -z "$over" ]; do "$1" --root "$2" & pid=$!; wait "$pid"; sleep 0.2; done
wait "$pid"
"""
ARCH = subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True, check=False).stdout.strip()


def write(path, text, mode=0o644):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as f:
        f.write(text if isinstance(text, bytes) else text.encode())
    os.chmod(path, mode)


class Apt:
    """apt and dpkg below a root."""
    name = "apt-get"
    enter = ()  # words that lead to where the node's programs run

    def __init__(self, world, root):
        self.root, self.repo, self.entries = root, os.path.join(root, "repo"), []
        for path in ("var/lib/dpkg/info", "var/lib/dpkg/updates", "var/lib/apt/lists/partial",
                     "var/cache/apt/archives/partial", "var/log/apt", "etc/apt/apt.conf.d", "etc/apt/preferences.d",
                     "etc/apt/trusted.gpg.d", "repo"):
            os.makedirs(os.path.join(root, path))
        for name in ("status", "available"):
            write(os.path.join(root, "var/lib/dpkg", name), "")
        write(os.path.join(root, "etc/apt/sources.list"), f"deb [trusted=yes] file:{self.repo} ./\n")
        self.config = os.path.join(root, "etc/apt/apt.conf")
        write(self.config, f"""
Dir "{root}/";
Dir::Bin::dpkg "/usr/bin/dpkg";
Dir::Bin::methods "/usr/lib/apt/methods";
Dir::State::status "{root}/var/lib/dpkg/status";
APT::Architecture "{ARCH}";
APT::Sandbox::User "root";
Acquire::Languages "none";
DPkg::Options {{ "--root={root}"; "--force-script-chrootless"; "--log={root}/var/log/dpkg.log"; }};
""")
        self.environment = {"APT_CONFIG": self.config, "DPKG_ADMINDIR": f"{root}/var/lib/dpkg"}
        self.publish()

    def run(self, *words):
        done = subprocess.run(words, capture_output=True, text=True, check=False, env={**os.environ, **self.environment})
        equal(f"the status of {' '.join(words)}: {done.stdout}{done.stderr}", done.returncode, 0)
        return done.stdout

    def build(self, version, files, revision="-1", postinst=RESTART, size="1"):
        """A .deb; `postinst` is sh, run as `configure`, with the root in $ROOT."""
        tree = os.path.join(self.root, f"build-{version}{revision}")
        for name, data in files.items():
            write(os.path.join(tree, PREFIX, os.path.basename(name)), data, 0o755)
        write(os.path.join(tree, "DEBIAN/control"),
              f"Package: ssmd\nVersion: {version}{revision}\nArchitecture: {ARCH}\nMaintainer: Nobody <nobody@localhost>\n"
              f"Installed-Size: {size}\nDescription: an agent\n")
        write(os.path.join(tree, "DEBIAN/postinst"),
              f"#!/bin/sh\n[ \"$1\" = configure ] || exit 0\nROOT=$DPKG_ROOT\n{postinst}\n", 0o755)
        deb = os.path.join(self.repo, f"ssmd_{version}{revision}_{ARCH}.deb")
        self.run("dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "-b", tree, deb)
        shutil.rmtree(tree)
        return deb

    def offer(self, version, files, **how):
        self.entries.append(self.build(version, files, **how))
        self.publish()

    def publish(self):
        text = ""
        for deb in self.entries:
            with open(deb, "rb") as f:
                data = f.read()
            text += (self.run("dpkg-deb", "-f", deb) + f"Filename: ./{os.path.basename(deb)}\nSize: {len(data)}\n"
                     f"SHA256: {hashlib.sha256(data).hexdigest()}\n\n")
        write(os.path.join(self.repo, "Packages"), text)

    def install(self, version, files):
        deb = self.build(version, files, postinst="true")
        self.entries.append(deb)
        self.publish()
        self.run("dpkg", f"--root={self.root}", "--force-script-chrootless", f"--log={self.root}/var/log/dpkg.log", "-i", deb)

    def installed(self):
        return tuple(self.run("dpkg-query", "-W", "-f", "${db:Status-Status} ${Version}", "ssmd").split())

    @property
    def lock(self):
        return os.path.join(self.root, "var/lib/dpkg/lock-frontend")


class PackagedAgent(harness.Agent):
    """A node whose ssmd 0.1.0 came as a package; `process` is what starts it again and again."""

    def __init__(self, world, manager=Apt, name="node", drive=True, **settings):
        hub = world.hub()
        root = world.path(name)
        self.source = Source(world.path("source"))
        super().__init__(root, hub, **{"UpdateSource": self.source.url, "UpdateRootFile": self.source.root_file,
                                       "UpdatePackageManager": "drive" if drive else "defer", **settings})
        for key in ("RunnerPath", "DownloadPath"):
            del self.config["Ssmd"][key]
        self.write_config()
        world.agents.append(self)
        self.manager = manager(world, root)
        self.manager.install(OLD, programs(OLD))

    def path(self, name="ssmd"):
        return os.path.join(self.root, PREFIX, name)

    def start(self, **environment):
        env = {name: value for name, value in os.environ.items()
               if not name.startswith(("AWS_", "SSMD_", "RUNNER_SSMD_")) and "proxy" not in name.lower()}
        env.update({"AWS_SHARED_CREDENTIALS_FILE": self.hub.credentials, harness.MARK: self.mark,
                    **self.manager.environment, **self.environment, **environment})
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [*self.manager.enter, "sh", "-c", AGAIN, "sh", self.path(), self.root], env=env,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        return self

    def kill(self):
        harness.kill_marked(self.mark)
        if self.process is not None:
            self.process.wait()

    def offer_manifest(self, *versions, **fields):
        """What the update source says; what is in its packages is not asked for."""
        for version in versions:
            self.source.add(version, package(version, files={f"bin/{name}": b"" for name in PROGRAMS}), **fields)
        self.source.publish()
        return self

    @property
    def version(self):
        return (self.status() or {}).get("version")

    def wait_version(self, version):
        wait_for(lambda: f"version {version} to serve, it is {self.version}", lambda: self.version == version)

    def ssmctl(self, *words):
        return subprocess.run([program("ctl", "ssmctl"), "--root", self.root, *words], capture_output=True, text=True,
                              check=False, timeout=120)

    def update_state(self):
        rows = self.query("SELECT i.state FROM instance i WHERE i.machine = 'update' ORDER BY i.created_unix_ms DESC")
        return rows[0]["state"] if rows else None

    def wait_update(self, *states):
        wait_for(lambda: f"an update that is {states}, it is {self.update_state()}", lambda: self.update_state() in states)

    def n_runs(self, word="install"):
        """How often the package manager was begun."""
        n = 0
        for directory, _, names in os.walk(self.jobs_dir):
            if "stdout" in names and "_package.sh" in names:
                with contextlib.suppress(FileNotFoundError), open(os.path.join(directory, "stdout"), encoding="utf-8",
                                                                  errors="replace") as f:
                    n += sum(line.startswith("$ ") and word in line.split() for line in f)
        return n
