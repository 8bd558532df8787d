"""dnf, yum and zypper for packaged.py: the real tools with rpm, in a machine of their own. That is a mount namespace in which
this machine's files lie below a tmpfs, and what the package managers keep is below the node's root: so they run without one
option for the test's sake, and change nothing out there. Needs root; no packages but those of the distribution."""
import contextlib
import functools
import os
import shutil
import subprocess
import tempfile

from harness import MARK, check, equal, wait_for
from packaged import PREFIX, RESTART, write

# The world's directory, the node's root, and the directories below it that the machine has as its own. It stands as long as
# whoever has made it keeps standard input open.
MACHINE = """set -e
world=$1 root=$2
shift 2
mkdir -p "$root/machine"
mount -t tmpfs -o mode=0755 machine "$root/machine"
cd "$root/machine"
mkdir upper work root
mount -t overlay -o lowerdir=/,upperdir=upper,workdir=work machine root
mount --rbind /proc root/proc
mount --rbind /dev root/dev
mkdir -p "root$world"
mount --bind "$world" "root$world"
for d; do
  mkdir -p "$root/$d" "root/$d"
  mount --bind "$root/$d" "root/$d"
done
ln -sf dnf-3 root/usr/bin/yum
echo ready
exec cat
"""
LIMIT_S = 120
SPEC = """Name: {name}
Version: {version}
Release: {release}
{header}
Summary: a package
License: none
AutoReqProv: no
%description
A package.
%files
{files}
"""
PROVIDES = "Provides: /bin/sh\nProvides: system-release = 9"


class Machine:
    def __init__(self, world_dir, root, directories):
        self.process = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", MACHINE, "sh", world_dir, root, *directories],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        line = self.process.stdout.readline()
        if line != "ready\n":
            self.end()
        check(line == "ready\n", f"a machine of its own cannot be made: {line.strip()}")
        self.enter = ["nsenter", "-t", str(self.process.pid), "-m", "chroot", os.path.join(root, "machine/root")]

    def end(self):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


@functools.lru_cache(None)
def unavailable(*tools):
    """Why cases with these tools cannot run here; None: they can."""
    if os.geteuid():
        return "only root can make a machine for rpm"
    for tool in ("rpm", "rpmbuild", "createrepo_c", *tools):
        if not shutil.which(tool):
            return f"there is no {tool}"
    with tempfile.TemporaryDirectory(prefix="ssmd-machine-") as directory:
        try:
            machine = Machine(directory, directory, [])
        except Exception as error:  # whatever it is: it is said
            return str(error)
        done = subprocess.run([*machine.enter, "rpm", "--version"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                              text=True, check=False)
        machine.end()
        return f"no rpm in a machine of its own: {done.stderr.strip()}" if done.returncode else None


class Dnf:
    name = "dnf"
    other = ("dnf", "-y", "--refresh", "install", "other")
    files = {"etc/dnf/dnf.conf": "[main]\nbest=True\n"}
    repositories = "etc/yum.repos.d"

    def __init__(self, world, root):
        self.root, self.repo, self.environment = root, os.path.join(root, "repo"), {}
        os.makedirs(self.repo)
        for path, text in {**self.files, "etc/rpm/macros": "%_dbpath /var/lib/rpm\n"}.items():
            write(os.path.join(root, path), text)
        own = {PREFIX, "var/lib/rpm", self.repositories, "etc/rpm", *map(os.path.dirname, self.files)} - {"etc"}
        self.machine = Machine(world.dir, root, sorted(own))
        world.at_end.append(self.machine.end)
        self.enter = self.machine.enter
        write(os.path.join(root, self.repositories, "local.repo"),
              f"[local]\nname=local\nbaseurl=file://{self.repo}\nenabled=1\ngpgcheck=0\nmetadata_expire=0\n")
        self.publish()
        # What a distribution has and this root has not.
        self.run("rpm", "-i", "--nodeps", self.build_package("release", "9", "1", PROVIDES, ""))

    def run(self, *words):
        done = subprocess.run(["timeout", "-s", "KILL", str(LIMIT_S), *self.enter, *words], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, check=False)
        equal(f"the status of {' '.join(words)}: {done.stdout}{done.stderr}", done.returncode, 0)
        return done.stdout

    def begin(self, agent, *words):
        """Somebody else's work; it ends with the agent's world at the latest."""
        return subprocess.Popen([*self.enter, *words], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                stderr=subprocess.DEVNULL, env={**os.environ, MARK: agent.mark})

    def build_package(self, name, version, release, header, files):
        with tempfile.TemporaryDirectory(dir=self.root) as top:
            spec = os.path.join(top, "spec")
            write(spec, SPEC.format(name=name, version=version, release=release, header=header, files=files))
            defines = {"_topdir": top, "_rpmdir": top, "_build_id_links": "none", "debug_package": "%{nil}",
                       "_rpmfilename": "made.rpm", "__os_install_post": "%{nil}", "_binary_payload": "w0.gzdio"}
            self.run("rpmbuild", "-bb", "--quiet", *(word for key, text in defines.items()
                                                     for word in ("--define", f"{key} {text}")), spec)
            path = os.path.join(self.root, f"{name}-{version}-{release}.rpm")
            os.rename(os.path.join(top, "made.rpm"), path)
            return path

    def build(self, version, files, revision="-1", postinst=RESTART, before="true", header=""):
        """A package; `postinst` is sh, run as %post, with the root in $ROOT, `before` as %pre."""
        with tempfile.TemporaryDirectory(dir=self.root) as tree:
            for name, data in files.items():
                write(os.path.join(tree, os.path.basename(name)), data, 0o755)
            return self.build_package(
                "ssmd", version, revision.lstrip("-"), header,
                f"/{PREFIX}/*\n%install\nmkdir -p %{{buildroot}}/{PREFIX}\ncp -p {tree}/* %{{buildroot}}/{PREFIX}\n"
                f"%pre\n{before}\n%post\nROOT={self.root}\n{postinst}\n")

    def publish(self):
        self.run("createrepo_c", "-q", self.repo)

    def offer(self, version, files, **how):
        self.offer_file(self.build(version, files, **how))

    def offer_file(self, path):
        os.rename(path, os.path.join(self.repo, os.path.basename(path)))
        self.publish()

    def install(self, version, files):
        path = self.build(version, files, postinst="true")
        self.run("rpm", "-i", path)
        self.offer_file(path)

    def installed(self):
        """What rpm says: one version, if all is well."""
        return self.run("rpm", "-q", "--qf", "%{VERSION}-%{RELEASE}\n", "ssmd").split()

    @contextlib.contextmanager
    def held(self, agent):
        """Somebody else is in the middle of an installation."""
        begun, go = (os.path.join(self.root, name) for name in ("other-begun", "other-go"))
        self.offer_file(self.build_package(
            "other", "1", "1", "", f"%post\ntouch {begun}\nwhile [ ! -e {go} ]; do sleep 0.05; done"))
        with self.begin(agent, *self.other) as other:
            try:
                wait_for("another package to be installed", lambda: os.path.exists(begun) or other.poll() is not None)
                yield
                equal("how the other has ended before", other.poll(), None)
            finally:
                write(go, "")


class Yum(Dnf):
    """The name by which older machines know it."""
    name = "yum"
    files = {"etc/yum.conf": "[main]\n"}


class Zypper(Dnf):
    name = "zypper"
    other = ("zypper", "-n", "install", "other")
    files = {"etc/zypp/zypp.conf": "[main]\n"}
    repositories = "etc/zypp/repos.d"
