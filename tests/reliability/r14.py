#!/usr/bin/python3
"""R14: a user of the machine attacks an agent that runs as root, at every path that this user can write to.

The attacker's programs run as an own user without groups. What may not be touched is a guarded tree, of which everything is
compared: names, contents, owners, modes, links, times. Nothing below the agent's own directories may be the attacker's to
write, to read or to replace.
sample: each attack once.  row: each of them many times.  long: for hours."""
import contextlib
import ctypes
import hashlib
import http.server
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
import time

from row import Row

from harness import MARK, Failure, World, check, document, program, wait_for

UID = 54321
SKIPPED = 77  # for ctest
ROUNDS = {"sample": 1, "row": 12, "long": 2000}
DEADLINE_S = 180
MAX_SWAPS = 50_000_000  # of a loop that its test forgot
TARGETS = {"written_outside": ("==", 0), "escalations": ("==", 0), "signalled": ("==", 0), "blocked": ("==", 0),
           "lost": ("==", 0), "control": ("==", 0), "swaps": (">=", 1000), "pids_reused": (">=", 1)}

# Two names change places, as fast as that goes: what is looked at is not what is opened next.
SWAP = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
a, b, stop, told = (w.encode() for w in sys.argv[1:5])
n = 0
for n in range(1, int(sys.argv[5])):
    if libc.renameat2(-100, a, -100, b, 2) and n == 1:
        sys.exit(f"renameat2: {os.strerror(ctypes.get_errno())}")
    if n % 1000 == 0 and os.path.exists(stop):
        break
open(told, "w").write(str(n))
"""
# Whatever is made in a directory under a name that begins so is moved away at once, and a link lies in its place.
SNATCH = """
import os, sys
where, beginning, target, stop, told = sys.argv[1:6]
n = 0
for i in range(int(sys.argv[6])):
    if i % 200 == 0 and os.path.exists(stop):
        break
    for name in os.listdir(where):
        if name.startswith(beginning) and not name.endswith(".gone") and not os.path.islink(os.path.join(where, name)):
            try:
                os.rename(os.path.join(where, name), os.path.join(where, name + str(i) + ".gone"))
                os.symlink(target, os.path.join(where, name))
                n += 1
            except OSError:
                pass
open(told, "w").write(str(n))
"""
# What a process of the attacker's below a step may try: each that succeeds is told.
INSIDE = """
import ctypes, os, signal, socket, sys
root, runner, agent = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
def attempt(what, act):
    try:
        act()
        print("DONE", what, flush=True)
    except OSError:
        pass
def connect(path):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(5)
    s.connect(path)
    s.sendall(b'{"op":"status"}' + bytes([10]))
    if not s.recv(100):
        raise OSError
state = root + "/var/lib/ssmd"
for pid in (runner, agent):
    for number in (0, signal.SIGUSR1, signal.SIGTERM, signal.SIGSTOP, signal.SIGKILL):
        attempt(f"signal {number} to {pid}", lambda: os.kill(pid, number))
    attempt(f"memory of {pid}", lambda: os.open(f"/proc/{pid}/mem", os.O_RDWR))
    attempt(f"environment of {pid}", lambda: os.open(f"/proc/{pid}/environ", os.O_RDONLY))
    attempt(f"descriptors of {pid}", lambda: os.listdir(f"/proc/{pid}/fd"))
    attempt(f"directory of {pid}", lambda: os.listdir(f"/proc/{pid}/cwd/proc/{pid}/fd"))
attempt("the control socket", lambda: connect(root + "/run/ssmd/ctl.sock"))
for path in (state, state + "/jobs", root + "/run/ssmd", os.path.dirname(root) + "/guard"):
    attempt("list " + path, lambda: os.listdir(path) if "guard" not in path else (_ for _ in ()).throw(OSError()))
    attempt("a file in " + path, lambda: os.open(path + "/planted", os.O_CREAT | os.O_WRONLY))
    attempt("a link in " + path, lambda: os.symlink("/etc", path + "/linked"))
    attempt("move " + path, lambda: os.rename(path, path + ".moved"))
for name in ("journal.db", "journal.db-wal", "journal.db-shm", "ledger.head"):
    attempt("read " + name, lambda: os.open(state + "/" + name, os.O_RDONLY))
with open("/proc/self/cgroup") as f:
    group = "/sys/fs/cgroup" + f.read().strip().rsplit(":", 1)[1]
for name in ("cgroup.procs", "cgroup.kill", "cgroup.freeze"):
    attempt(name, lambda: os.open(group + "/" + name, os.O_WRONLY))
inherited = [fd for fd in range(3, 64) if os.path.exists(f"/proc/self/fd/{fd}")]
for fd in inherited:
    where = os.readlink(f"/proc/self/fd/{fd}") if os.path.lexists(f"/proc/self/fd/{fd}") else ""
    if where:
        print("DONE inherited", fd, where)
print("OVER", os.getuid(), os.geteuid())
"""


def attacker(*words, **more):
    """A process of the attacker's."""
    return subprocess.Popen([sys.executable, "-c", *words], user=UID, group=UID, extra_groups=[], cwd="/",
                            stdin=subprocess.DEVNULL, env={"PATH": os.environ["PATH"], **more.pop("env", {})}, **more)


def snapshot(top):
    """Everything that can be known of a tree."""
    found = {}
    for folder, names, files in os.walk(top):
        for name in [".", *names, *files]:
            path = os.path.normpath(os.path.join(folder, name))
            st = os.lstat(path)
            data = os.readlink(path) if stat.S_ISLNK(st.st_mode) else None
            if stat.S_ISREG(st.st_mode):
                with open(path, "rb") as f:
                    data = hashlib.sha256(f.read()).hexdigest()
            found[path] = (st.st_mode, st.st_uid, st.st_gid, st.st_ino, st.st_size, st.st_mtime_ns, data)
            if name != "linked":  # its other name is the attacker's, and goes with what is put in its place
                found[path] += (st.st_nlink, st.st_ctime_ns)
    return found


class Attack:
    """One world with an agent as root, a home of the attacker's and a guarded tree."""

    def __init__(self, row, random):
        self.row, self.random = row, random
        self.running = []  # (process, file with its count)
        self.is_over = False

    def __enter__(self):
        self.world = World()
        world = self.world
        os.chmod(world.dir, 0o711)
        self.home = world.path("home")
        os.mkdir(self.home, 0o755)
        os.chown(self.home, UID, UID)
        os.mkdir(world.path("guard"))
        for name, mode in (("passwd", 0o644), ("secret", 0o600), ("tool", 0o755), ("linked", 0o644), ("document.json", 0o600)):
            with open(world.path("guard/" + name), "w", encoding="ascii") as f:
                f.write(f"guarded {name}\n")
            os.chmod(world.path("guard/" + name), mode)
        os.makedirs(world.path("guard/below/more"))
        self.agent = world.agent(world.hub("--log", "error"), workers=20)
        # The name that the attacker may have made before links to others' files were forbidden.
        os.link(world.path("guard/linked"), os.path.join(self.home, "hardlink"))
        self.guarded = snapshot(world.path("guard"))
        self.url = self.serve()
        self.agent.start().wait_until_serving()
        return self

    def __exit__(self, kind, error, trace):
        self.stop_attackers()
        if isinstance(error, Failure):
            self.row.count("lost")
            self.row.fail("\n".join([str(error), *self.world.logs()]))
        self.look_at_guard()
        self.look_at_own()
        self.world.end()
        return isinstance(error, Failure)

    def serve(self):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.send_header("Content-Length", "9")
                self.end_headers()
                self.wfile.write(b"download\n")

            def log_message(self, *_):
                pass
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.world.at_end += [server.server_close, server.shutdown]
        return f"http://127.0.0.1:{server.server_port}/file"

    # ---- the attacker's ----

    def mine(self, name, make):
        """A name in the attacker's home, and whatever make(path) makes, his own."""
        path = os.path.join(self.home, name)
        make(path)
        with contextlib.suppress(FileNotFoundError):
            os.chown(path, UID, UID, follow_symlinks=False)
        return path

    def start_attacker(self, code, *words):
        told = os.path.join(self.home, f"told.{len(self.running)}")
        self.running.append((attacker(code, *words, os.path.join(self.home, "stop"), told, str(MAX_SWAPS)), told))

    def stop_attackers(self):
        with open(os.path.join(self.home, "stop"), "w", encoding="ascii"):
            pass
        n = 0
        for process, told in self.running:
            try:
                process.wait(30)
                with open(told, encoding="ascii") as f:
                    n += int(f.read())
            except (subprocess.TimeoutExpired, FileNotFoundError):
                process.kill()
                process.wait()
                self.row.fail("an attacker did not do its work")
        self.running = []
        os.unlink(os.path.join(self.home, "stop"))
        self.row.count("swaps", n)
        return n

    # ---- what may not have happened ----

    def look_at_guard(self):
        now = snapshot(self.world.path("guard"))
        for path in sorted(set(now) | set(self.guarded)):
            if now.get(path) != self.guarded.get(path):
                self.row.count("written_outside")
                self.row.fail(f"{path}: it was {self.guarded.get(path)}, it is {now.get(path)}")

    def look_at_own(self):
        """Nothing of the agent's own is another's to write, to read or to replace."""
        for top in ("var", "run"):
            for folder, names, files in os.walk(os.path.join(self.agent.root, top)):
                for name in [*names, *files]:
                    path = os.path.join(folder, name)
                    st = os.lstat(path)
                    self.row.count("own_files")
                    if st.st_uid != 0 or (st.st_mode & 0o077 and not stat.S_ISLNK(st.st_mode) and "/downloads/" not in path):
                        self.row.count("escalations")
                        self.row.fail(f"{path} has owner {st.st_uid} and mode {st.st_mode:o}")

    def done(self, message):
        record = self.agent.wait_done(message, timeout=DEADLINE_S)
        check(len(record.terminal) == 1, f"{len(record.terminal)} terminal replies")
        return record.results

    def is_awake(self):
        """The agent still does its work."""
        self.row.count("looks")
        try:
            results = self.done(self.agent.hub.send(document("echo awake")))
            check(results["step1"]["standardOutput"] == "awake\n", f"{results}")
        except Failure as failure:
            self.row.count("blocked")
            self.row.fail(str(failure))

    def download(self, destination, source="HTTP", info=None):
        info = info or {"url": self.url, "allowInsecureDownload": "true"}
        return self.agent.hub.send({"schemaVersion": "2.2", "mainSteps": [
            {"action": "aws:downloadContent", "name": "get",
             "inputs": {"sourceType": source, "sourceInfo": json.dumps(info), "destinationPath": destination}}]})

    def downloads(self, *destinations, **more):
        """Some at once; whatever becomes of them, each ends. Returns how many succeeded."""
        sent = [self.download(destination, **more) for destination in destinations]
        n = sum(self.done(message)["get"]["status"] == "Success" for message in sent)
        self.row.count("downloads", len(sent))
        self.row.count("downloads_done", n)
        return n


# ---- the attacks ----

def planted_names(a):
    """Where the file is to be there is something else already."""
    a.mine("link", lambda path: os.symlink(a.world.path("guard/passwd"), path))
    a.mine("dangling", lambda path: os.symlink(a.world.path("guard/new"), path))
    a.mine("fifo", os.mkfifo)
    a.mine("directory", os.mkdir)

    def make_socket(path):
        with socket.socket(socket.AF_UNIX) as s:
            s.bind(path)
    a.mine("socket", make_socket)
    names = ("link", "dangling", "hardlink", "fifo", "socket", "plain")
    a.row.count("planted", len(names))
    n = a.downloads(*(os.path.join(a.home, name) for name in names))
    check(n == len(names), f"{n} of {len(names)} files were put in the place of what was planted")
    a.downloads(os.path.join(a.home, "directory"))


def planted_directories(a):
    """A directory on the way is a link of the attacker's: to what is his own it is followed, elsewhere not."""
    a.mine("real", os.mkdir)
    a.mine("own", lambda path: os.symlink("real", path))
    a.mine("guard", lambda path: os.symlink(a.world.path("guard"), path))
    a.mine("deep", lambda path: os.symlink(a.world.path("guard/below"), path))
    check(a.downloads(f"{a.home}/own/file") == 1, "a link of a user's to a directory of theirs is not followed")
    check(os.path.exists(f"{a.home}/real/file"), "the file is not where the link leads to")
    n = a.downloads(*(f"{a.home}/{way}" for way in ("guard/file", "guard/", "deep/more/file", "guard/new/directory/file",
                                                     "own/../guard/passwd")))
    check(n == 0, "a link of another user's to root's directory was followed")


def swapped_directories(a, times):
    """A directory and a link to the guarded tree change places all the time."""
    a.mine("a", os.mkdir)
    a.mine("b", lambda path: os.symlink(a.world.path("guard"), path))
    a.mine("a/below", os.mkdir)
    a.start_attacker(SWAP, f"{a.home}/a", f"{a.home}/b")
    for _ in range(times):
        a.downloads(f"{a.home}/a/file", f"{a.home}/a/below/file", f"{a.home}/a/new/er/file", f"{a.home}/a/passwd", f"{a.home}/a/")
    a.is_awake()


def snatched_files(a, times):
    """What is made for the time of the transfer is moved away, and a link lies there."""
    for beginning in (".ssmd-", "tempClone"):
        a.start_attacker(SNATCH, a.home, beginning, a.world.path("guard/below"))
    for _ in range(times):
        a.downloads(*(f"{a.home}/x{n}" for n in range(4)))
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(f"{a.home}/gone")


def snatched_clone(a, times):
    """The same while git works: it opens by name what others could have moved."""
    source = a.world.path("repository")
    os.mkdir(source)
    run = {"cwd": source, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "check": True,
           "env": {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null"}}
    for n in range(300):
        with open(f"{source}/file{n}", "w", encoding="ascii") as f:
            f.write(f"{n}\n")
    for words in (("init", "-q"), ("add", "."), ("-c", "user.name=x", "-c", "user.email=x@x", "commit", "-qm", "x")):
        subprocess.run(["git", *words], **run)
    a.mine("clones", os.mkdir)
    a.start_attacker(SNATCH, f"{a.home}/clones", "tempClone", a.world.path("guard/below"))
    for n in range(times):
        a.mine(f"clones/{n}", os.mkdir)
        a.start_attacker(SNATCH, f"{a.home}/clones/{n}", "tempClone", a.world.path("guard/below"))
        a.downloads(f"{a.home}/clones/{n}", source="Git", info={"repository": f"file://{source}"})


def local_documents(a):
    """Documents at paths of the attacker's that are something else: nothing waits for them, nothing of them is told."""
    text = json.dumps(document("echo from a document"))

    def write(path):
        with open(path, "w", encoding="ascii") as f:
            f.write(text)
    a.mine("fifo.json", os.mkfifo)
    a.mine("good.json", write)
    a.mine("secret.json", lambda path: os.symlink(a.world.path("guard/secret"), path))
    a.mine("device.json", lambda path: os.symlink("/dev/zero", path))
    sent = {name: a.agent.hub.send({"schemaVersion": "2.2", "mainSteps": [
        {"action": "aws:runDocument", "name": "run", "inputs": {"documentType": "LocalPath", "documentPath": f"{a.home}/{name}"}}]})
        for name in ("fifo.json", "good.json", "secret.json", "device.json", "missing.json")}
    for name, message in sent.items():
        results = json.dumps(a.done(message))
        check(("Success" in results) == (name == "good.json"), f"{name}: {results}")
        if "guarded" in results:
            a.row.count("escalations")
            a.row.fail(f"{name}: a file that only root may read is told: {results}")
    a.is_awake()


def from_inside(a):
    """A process of the attacker's below a step of root's, with what a step's processes inherit."""
    code = a.mine("inside.py", lambda path: shutil.copy(os.devnull, path))
    with open(code, "w", encoding="ascii") as f:
        f.write(INSIDE)
    results = a.done(a.agent.hub.send(document(
        f"exec 2>&1; setpriv --reuid {UID} --regid {UID} --clear-groups {sys.executable} {code} {a.agent.root} $PPID"
        f" {a.agent.process.pid}")))
    output = results["step1"]["standardOutput"]
    check(f"OVER {UID} {UID}" in output, f"the attacker came to nothing: {output}")
    for line in output.splitlines():
        if line.startswith("DONE"):
            a.row.count("escalations")
            a.row.fail(f"a user below a step could: {line[5:]}")
    a.is_awake()


def decoys(a):
    """A process that only looks like a runner, and a session that has the number of a script's by now: nobody ends them."""
    sent, gone = (a.agent.hub.send(document(f"touch {a.world.path(name)}; exec sleep 600"))
                  for name in ("begun", "gone"))
    directory, gone_directory = (os.path.join(a.agent.jobs_dir, message.split(".")[2], "0.1") for message in (sent, gone))
    for name in ("begun", "gone"):
        a.world.wait_file(name, DEADLINE_S)
    runner = a.agent.config["Ssmd"]["RunnerPath"]
    pids = []
    for where in (directory, gone_directory):
        with open(os.path.join(where, "started"), "rb") as f:
            record = dict(line.split(b"=", 1) for line in f.read().split(b"\0")[0].splitlines() if b"=" in line)
        pids += [int(record[b"runner_pid"]), int(record[b"pid"])]
    script = pids[1]
    a.agent.kill()
    os.kill(pids[0], signal.SIGKILL)
    os.kill(pids[2], signal.SIGKILL)
    os.killpg(script, signal.SIGKILL)
    os.killpg(pids[3], signal.SIGKILL)
    wait_for("the script to be gone", lambda: bury(script) or state_of(script) == "X", DEADLINE_S)
    reused = None
    with contextlib.suppress(Failure):  # where numbers cannot be asked for, the rest is tried without
        reused = wait_for("the number to be free", lambda: bury(script) or take_pid(script), DEADLINE_S, every=0.1)
    # What is left of a step whose directory is gone is looked for as "<runner> <directory>".
    shutil.rmtree(gone_directory)
    decoy = subprocess.Popen([runner, gone_directory], executable=sleeper(a), user=UID, group=UID, extra_groups=[],
                             stdin=subprocess.DEVNULL)
    a.agent.start()
    for message in (sent, gone):
        a.done(message)
    a.row.count("pids_reused", reused is not None)
    for name, pid in (("what only looks like a runner", decoy.pid), ("a session with a script's number", reused)):
        if pid is not None:
            if state_of(pid) in "XZ":
                a.row.count("signalled")
                a.row.fail(f"{name} was ended")
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    decoy.wait()


def state_of(pid):
    with contextlib.suppress(OSError), open(f"/proc/{pid}/stat", encoding="ascii") as f:
        return f.read().rsplit(")", 1)[1].split()[0]
    return "X"


def sleeper(a):
    """A program that sleeps whatever its words are."""
    path = os.path.join(a.home, "sleeper")
    if not os.path.exists(path):
        source = path + ".c"
        with open(source, "w", encoding="ascii") as f:
            f.write("#include <unistd.h>\nint main(void) { sleep(600); return 0; }\n")
        subprocess.run(["cc", "-o", path, source], check=True)
    return path


# clone3() with set_tid: a process with the number that is asked for.
TAKE = """
import ctypes, os, sys
wanted, uid = int(sys.argv[1]), int(sys.argv[2])
number = (ctypes.c_int * 1)(wanted)
words = (ctypes.c_uint64 * 11)()
words[4], words[8], words[9] = 17, ctypes.addressof(number), 1
pid = ctypes.CDLL(None).syscall(435, words, 88)
if pid == 0:
    for fd in (0, 1, 2):
        os.dup2(os.open("/dev/null", os.O_RDWR), fd)
    os.setsid()
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    os.execv("/bin/sleep", ["sleep", "600"])
print(pid)
"""


def bury(session):
    """Who has ended in this session keeps its number in use; process 1 takes its time."""
    for name in os.listdir("/proc"):
        with contextlib.suppress(OSError):
            with open(f"/proc/{name}/stat", encoding="ascii") as f:
                state, parent, _, of = f.read().rsplit(")", 1)[1].split()[:4]
            if state == "Z" and int(parent) == os.getpid() and int(of) == session:
                os.waitpid(int(name), os.WNOHANG)


def take_pid(wanted):
    """A session whose leader has this number, or None where it cannot be had. It has no parent but process 1."""
    said = subprocess.run([sys.executable, "-c", TAKE, str(wanted), str(UID)], stdout=subprocess.PIPE, text=True, check=False)
    return wanted if said.stdout.split() == [str(wanted)] else None


def taken_places(a):
    """What the agent makes at its start was made by somebody else before."""
    for name, make in (("run/ssmd", os.mkdir), ("run/ssmd", "link"), ("var/lib/ssmd", os.mkdir), ("var/lib/ssmd", "link")):
        root = a.world.path(f"taken.{name.replace('/', '.')}.{make if make == 'link' else 'directory'}")
        path = os.path.join(root, name)
        os.makedirs(os.path.dirname(path))
        os.makedirs(os.path.join(root, "etc/ssmd"))
        if make == "link":
            os.symlink(a.world.path("guard"), path)
        else:
            make(path)
        os.chown(path, UID, UID, follow_symlinks=False)
        with open(os.path.join(root, "etc/ssmd/ssmd.json"), "w", encoding="ascii") as f:
            json.dump(a.agent.config, f)
        done = subprocess.run([program("agent", "ssmd"), "--root", root], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              check=False, timeout=DEADLINE_S, env={**os.environ, MARK: a.agent.mark})
        check(done.returncode != 0, f"ssmd serves from a {name} of somebody else's")
        check(name in done.stdout, f"ssmd does not say what is wrong with {name}: {done.stdout}")
        a.row.count("starts_refused")


def copied_journal(a, times):
    """ssmctl copies the journal where TMPDIR says; the attacker's own directory is no such place."""
    temporary = a.mine("tmp", os.mkdir)
    a.agent.terminate()
    sealed = a.world.path("sealed")
    shutil.copytree(a.agent.root, sealed, symlinks=True, ignore=shutil.ignore_patterns("*.sock"))
    a.start_attacker(SNATCH, temporary, "ssmd-copy-", a.world.path("guard/below"))
    for _ in range(times):
        done = subprocess.run(["unshare", "-m", "sh", "-c", 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" &&'
                               ' exec "$2" --root "$1" jobs --all', "sh", sealed, program("ctl", "ssmctl")],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=DEADLINE_S,
                              env={**os.environ, "TMPDIR": temporary})
        if "mount" in done.stdout and "permission denied" in done.stdout:
            return
        check(done.returncode != 0 and "TMPDIR" in done.stdout, f"a copy was made in another user's directory: {done.stdout}")
        a.row.count("copies_refused")
    a.agent.start().wait_until_serving()


def control(row, random):
    """That a write outside would be seen: the attacks' own way of looking, at a program that follows links."""
    with Attack(row, random) as a:
        a.mine("link", lambda path: os.symlink(a.world.path("guard/passwd"), path))
        with open(f"{a.home}/link", "a", encoding="ascii") as f:
            f.write("written\n")
        seen = snapshot(a.world.path("guard")) != a.guarded
        row.count("control", int(not seen))
        a.guarded = snapshot(a.world.path("guard"))


def run(row, scale, random):
    for name, (how, _) in TARGETS.items():
        if how == "==":
            row.count(name, 0)
    with open("/proc/sys/fs/protected_hardlinks", encoding="ascii") as f:
        row.figure("protected_hardlinks", int(f.read()))
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER: see bury()
    control(row, random)
    times = 2 if scale == "sample" else 5
    done = row.state.setdefault("done", 0)
    for n in range(done, ROUNDS[scale]):
        with Attack(row, random) as a:
            planted_names(a)
            planted_directories(a)
            local_documents(a)
            from_inside(a)
            taken_places(a)
        with Attack(row, random) as a:
            swapped_directories(a, times)
        with Attack(row, random) as a:
            snatched_files(a, times)
        with Attack(row, random) as a:
            snatched_clone(a, times)
        with Attack(row, random) as a:
            decoys(a)
            copied_journal(a, times)
        row.count("rounds")
        row.state["done"] = n + 1
        row.save()


if __name__ == "__main__":
    if os.geteuid() != 0:
        print("R14  skipped: its agent runs as root, and this test does not")
        raise SystemExit(SKIPPED)
    raise SystemExit(Row("R14", "a user attacks an agent of root's where he can write: planted links, names, FIFOs and sockets, directories "
                         "and temporary files that change places with links all the time, documents, a step's own process, "
                         "process ids that are used again, look-alikes, places that were taken before the start", TARGETS).main(run))
