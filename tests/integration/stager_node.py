"""A machine as ssmd-stager sees it: slots, state, and requests about them; and what several suites do to it."""
import contextlib
import ctypes
import os
import subprocess

from harness import check, equal, program
from update_source import FILE_NAME, Mirror, Source, package

METADATA = ("2.root.json", "timestamp.json", "manifest.json")
EVERYTHING = (*METADATA, FILE_NAME)

ASK = {"phase": "fetch", "update_id": "update-1", "package": "amazon-ssm-agent", "asked": "latest", "from": "1.0.0",
       "allow_downgrade": "0", "without_package": "0", "region": "us-east-1", "node_id": "mi-0123456789abcdef0",
       "ca_file": "",
       "user_agent": "ssmd/1.0.0", "limit_ms": "120000", "stall_ms": "30000", "target": "", "sha256": "",
       "length_bytes": "0", "manifest_version": "0"}


def record(kind, fields):
    def quote(value):
        return str(value).replace("%", "%25").replace("\r", "%0d").replace("\n", "%0a")
    return "".join([f"ssmd-record 1 {kind}\n", *(f"{k}={quote(v)}\n" for k, v in fields.items()), "end\n"])


def parse(text):
    lines = text.split("\n")
    equal("the answer's frame", (lines[0], lines[-2:]), ("ssmd-record 1 stage-answer", ["end", ""]))
    fields = dict(line.split("=", 1) for line in lines[1:-2])
    return {k: v.replace("%0a", "\n").replace("%0d", "\r").replace("%25", "%") for k, v in fields.items()}


class Node:
    """A machine: its slots and its state, and requests to ssmd-stager about them."""

    def __init__(self, world, source, url=None):
        self.world, self.source = world, source
        self.slots, self.update = world.path("opt"), world.path("state/update")
        os.makedirs(self.versions, mode=0o755)
        os.chmod(self.slots, 0o755)
        self.fields = {**ASK, "source": url or source.url, "root_file": source.root_file,
                       "update_dir": self.update, "slots_dir": self.slots}
        self.said = ""

    @property
    def versions(self):
        return os.path.join(self.slots, "versions")

    def work(self, name=""):
        return os.path.join(self.update, "work", name)

    def start(self, phase, environment=None, prefix=(), **fields):
        process = subprocess.Popen([*prefix, program("update", "ssmd-stager")], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                   env={**os.environ, **(environment or {})})
        process.stdin.write(record("stage-ask", {**self.fields, "phase": phase, **fields}))
        process.stdin.close()
        process.stdin = None
        return process

    def ask(self, phase, **more):
        process = self.start(phase, **more)
        out, self.said = process.communicate(timeout=60)
        equal(f"exit status of {phase} ({self.said})", process.returncode, 0)
        answer = parse(out)
        check(answer["verdict"] != "fail" or (answer["code"] and len(answer["text"]) > 20), f"bare failure: {answer}")
        if phase == "fetch" and answer["verdict"] == "ok":
            self.fields.update({k: answer[k] for k in ("target", "sha256", "length_bytes", "manifest_version")})
        return answer

    def get(self, phase, **more):
        answer = self.ask(phase, **more)
        equal(f"{phase}: {answer['text']} ({self.said})", answer["verdict"], "ok")
        return answer

    def all(self, **more):
        for phase in ("fetch", "verify", "stage"):
            self.get(phase, **more)

    def until_refused(self, phase, *words, code=None, **more):
        """Phases up to this one, which must fail, say why, and leave nothing."""
        order = ("fetch", "verify", "stage")
        for earlier in order[:order.index(phase)]:
            self.get(earlier, **more)
        return self.refused(phase, *words, code=code, **more)

    def refused(self, phase, *words, code=None, may_have=(), **more):
        answer = self.ask(phase, **more)
        equal(f"{phase} ({answer})", answer["verdict"], "fail")
        for word in words:
            check(word in answer["text"], f"the text does not say {word!r}: {answer['text']!r}")
        if code:
            equal(f"code of {answer['text']!r}", answer["code"], code)
        equal("slots", sorted(os.listdir(self.versions)), sorted(may_have))
        return answer


def node(world, *packages, served=False, **fields):
    """A node, and a source with these (version, bytes); the default is one good package."""
    source = Source(world.path("source"))
    for version, data in packages or [("1.1.0", package("1.1.0"))]:
        source.add(version, data, **fields)
    source.publish()
    mirror = Mirror(world, source) if served else None
    made = Node(world, source, mirror.url if served else None)
    made.mirror = mirror
    return made


def node_of(world, name):
    """One of several in a world."""
    class Part:
        at_end = world.at_end

        @staticmethod
        def path(below):
            return os.path.join(world.path(name), below)
    os.makedirs(world.path(name))
    return node(Part, served=True)


def stalled(handler):
    handler.send_response(200)
    handler.send_header("Content-Length", "200")
    handler.end_headers()
    handler.wfile.write(b"x" * 100)
    handler.wait()


def silent(handler):
    handler.wait()


def redirect(to, number=302):
    return lambda handler: handler.send(number, Location=to(handler) if callable(to) else to)


def has_landlock():
    call = ctypes.CDLL(None).syscall
    return call(444, None, ctypes.c_size_t(0), 1) >= 1  # landlock_create_ruleset: which version


def is_zombie(pid):
    with contextlib.suppress(OSError), open(f"/proc/{pid}/stat", encoding="ascii") as f:
        return f.read().rsplit(")", 1)[1].split()[0] == "Z"
    return True


def flip(data, at, bit=0):
    return data[:at] + bytes([data[at] ^ (1 << bit)]) + data[at + 1:]


def spoil(path, data):
    os.chmod(path, 0o600)
    with open(path, "wb") as f:
        f.write(data)
