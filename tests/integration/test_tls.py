#!/usr/bin/python3
"""HTTPS end to end: against ssmhub's own, and through a real nginx before the hub whose certificate, protocol or
handshake is wrong. Nothing is said to who cannot prove that it is the service; ssmd stays up, and goes on by itself
when the right one is back."""
import contextlib
import http.client
import json
import os
import random
import shutil
import signal
import socket
import ssl
import subprocess
import threading

from harness import Suite, check, document, equal, wait_for
from tls_hub import TlsHub

suite = Suite("TLS", jobs=3)
NGINX = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin")
OPENSSL = shutil.which("openssl")
MISSING = None if NGINX and OPENSSL else "nginx and openssl are needed"


def wait_failed_polls(agent, words):
    """Three of them, of which the last says why."""
    def channel():
        return agent.status()["channel"]
    wait_for(lambda: f"three failed polls and the words {words!r}: {channel()}",
             lambda: (c := channel())["n_failures"] >= 3 and words in c["text"].lower())


def expect_done(agent, message, code):
    record = agent.wait_done(message, timeout=90)
    equal("terminal replies", len(record.terminal), 1)
    equal("code", record.results["step1"]["code"], code)


# ---- ssmhub --tls ----

@suite.case
def ssmd_and_ssmhub_speak_tls(world):
    hub = TlsHub(world.path("hub"), "--tls")
    world.hubs.append(hub)
    agent = world.agent(hub, CaFile=hub.ca).start()
    expect_done(agent, hub.send(document("echo over TLS; exit 3")), 3)


@suite.case
def a_hub_whose_authority_is_not_known_gets_nothing(world):
    hub = TlsHub(world.path("hub"), "--tls")
    world.hubs.append(hub)
    message = hub.send(document("exit 3"))
    agent = world.agent(hub).start().wait_until_serving()
    wait_failed_polls(agent, "certificate")
    equal("what the hub has of it", agent.record(message).events, [])


@suite.case
def the_control_channel_of_ssmhub_goes_over_tls(world):
    hub = TlsHub(world.path("hub"), "--tls", control=True)
    world.hubs.append(hub)
    agent = world.agent(hub, CaFile=hub.ca).start()
    hub.wait_channel()
    expect_done(agent, hub.send(document("echo over TLS; exit 3")), 3)


# ---- nginx ----


class Authority:
    """A root, an intermediate below it, and certificates of either."""

    def __init__(self, directory):
        self.dir = directory
        os.makedirs(directory)
        for name in ("root", "intermediate"):
            self._write(f"{name}.txt", "")
            self._write(f"{name}.serial", "01\n")
            self._write(f"{name}.cnf", f"[ca]\ndefault_ca = d\n[d]\ndatabase = {name}.txt\nserial = {name}.serial\n"
                        "new_certs_dir = .\ndefault_md = sha256\npolicy = p\ncopy_extensions = copy\n"
                        "unique_subject = no\n[p]\ncommonName = supplied\n"
                        "[v]\nbasicConstraints = critical,CA:TRUE\n")
        self._run("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "root.key", "-out", "root.pem", "-days",
                  "3650", "-subj", "/CN=test root")
        self.certificate("intermediate", "root", "DNS:ca.test", extensions=("-extensions", "v"))
        self.ca = os.path.join(directory, "root.pem")

    def _write(self, name, text):
        with open(os.path.join(self.dir, name), "w", encoding="ascii") as f:
            f.write(text)

    def _run(self, *words):
        done = subprocess.run([OPENSSL, *words], cwd=self.dir, capture_output=True, text=True, check=False)
        check(done.returncode == 0, f"openssl {' '.join(words)}: {done.stderr}")

    def certificate(self, name, by, names, start="20200101000000Z", end="20491231000000Z", extensions=()):
        self._run("req", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj",
                  f"/CN={name}", "-addext", f"subjectAltName={names}")
        self._run("ca", "-batch", "-config", f"{by}.cnf", "-cert", f"{by}.pem", "-keyfile", f"{by}.key", "-in",
                  f"{name}.csr", "-out", f"{name}.pem", "-startdate", start, "-enddate", end, "-notext", *extensions)

    def self_signed(self, name):
        self._run("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.pem",
                  "-days", "3650", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost")

    def chain(self, name, *of):
        with open(os.path.join(self.dir, f"{name}.pem"), "w", encoding="ascii") as out:
            for part in of:
                with open(os.path.join(self.dir, f"{part}.pem"), encoding="ascii") as f:
                    out.write(f.read())
        shutil.copy(os.path.join(self.dir, f"{of[0]}.key"), os.path.join(self.dir, f"{name}.key"))


def free_port():
    """One that is listened on, left and taken again: none of those that the kernel gives to whoever asks meanwhile."""
    with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as f:
        first, _ = map(int, f.read().split())
    while True:
        with socket.socket() as s, contextlib.suppress(OSError):
            s.bind(("127.0.0.1", random.randrange(10000, max(first, 20000))))
            return s.getsockname()[1]


class Front:
    """nginx on one port, with a certificate that can be changed while it runs."""

    def __init__(self, world, hub):
        self.dir = world.path("nginx")
        self.hub = hub
        self.process = None
        self.authority = Authority(os.path.join(self.dir, "certificates"))
        self.port = free_port()
        self.url = f"https://localhost:{self.port}"
        world.at_end.append(self.stop)

    def start(self, certificate, protocols="TLSv1.2 TLSv1.3", more=""):
        base = os.path.join(self.authority.dir, certificate)
        with open(os.path.join(self.dir, "nginx.conf"), "w", encoding="ascii") as f:
            f.write(f"""daemon off; master_process off; pid {self.dir}/pid; error_log {self.dir}/error.log info;
events {{}}
http {{
  access_log {self.dir}/access.log;
  client_body_temp_path {self.dir}/b; proxy_temp_path {self.dir}/p; fastcgi_temp_path {self.dir}/f;
  uwsgi_temp_path {self.dir}/u; scgi_temp_path {self.dir}/s;
  server {{
    listen 127.0.0.1:{self.port} ssl;
    ssl_certificate {base}.pem; ssl_certificate_key {base}.key; ssl_protocols {protocols}; {more}
    location / {{ proxy_pass {self.hub.url}; proxy_set_header Host $http_host; proxy_read_timeout 60s;
      proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $http_connection; }}
  }}
}}
""")
        self.process = subprocess.Popen([NGINX, "-p", self.dir, "-c", "nginx.conf", "-e", f"{self.dir}/error.log"],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for("nginx to listen", self.is_listening)
        return self

    def is_listening(self):
        check(self.process.poll() is None, f"nginx ended: {self.log('error.log')}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=5):
            return True
        return False

    def stop(self):
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(20)

    def log(self, name):
        with contextlib.suppress(FileNotFoundError), open(os.path.join(self.dir, name), encoding="utf-8") as f:
            return f.read()
        return ""

    def requests(self):
        return self.log("access.log").splitlines()


def good(front):
    front.authority.certificate("good", "root", "DNS:localhost")
    return front.start("good")


def expired(front):
    front.authority.certificate("bad", "root", "DNS:localhost", end="20210101000000Z")
    front.start("bad")
    return "expired"


def of_the_future(front):
    front.authority.certificate("bad", "root", "DNS:localhost", start="20480101000000Z")
    front.start("bad")
    return "not yet valid"


def of_another_name(front):
    front.authority.certificate("bad", "root", "DNS:ssm.us-east-1.amazonaws.com")
    front.start("bad")
    return "localhost"


def self_signed(front):
    front.authority.self_signed("bad")
    front.start("bad")
    return "self"


def without_its_chain(front):
    front.authority.certificate("bad", "intermediate", "DNS:localhost")
    front.start("bad")
    return "issuer"


def downgraded(front):
    front.authority.certificate("bad", "root", "DNS:localhost")
    front.start("bad", "TLSv1.1", "ssl_ciphers ALL:@SECLEVEL=0;")
    with contextlib.closing(socket.create_connection(("127.0.0.1", front.port))):
        pass
    spoken = subprocess.run([OPENSSL, "s_client", "-connect", f"127.0.0.1:{front.port}", "-tls1_1", "-cipher",
                             "ALL:@SECLEVEL=0"], input="", capture_output=True, text=True, check=False)
    check("TLSv1.1" in spoken.stdout, f"nginx does not speak TLS 1.1: {spoken.stdout}")
    return "alert"


WRONG = {f.__name__.replace("_", " "): f for f in (
    expired, of_the_future, of_another_name, self_signed, without_its_chain, downgraded)}


def prepare(world):
    hub = world.hub()
    front = Front(world, hub)
    agent = world.agent(hub, CaFile=front.authority.ca)
    agent.config["Ssm"]["Endpoint"] = agent.config["Mds"]["Endpoint"] = front.url
    agent.write_config()
    return hub, front, agent


def expect_recovery(front, agent, message, pid):
    """Nothing of us went to the wrong one; with the right one everything goes on, in the same process."""
    equal("requests that the wrong one got", front.requests(), [])
    equal("what the hub has of it", agent.record(message).events, [])
    front.stop()
    good(front)
    expect_done(agent, message, 3)
    equal("the process", agent.status()["pid"], pid)


def refused_case(world, wrong):
    hub, front, agent = prepare(world)
    words = wrong(front)
    message = hub.send(document("exit 3"))
    agent.start().wait_until_serving()
    pid = agent.status()["pid"]
    wait_failed_polls(agent, words)
    expect_recovery(front, agent, message, pid)


for NAME, WRONG_ONE in WRONG.items():
    suite.add(f"a certificate {NAME} is refused, and the right one taken by the same process"
              if WRONG_ONE is not downgraded else "TLS 1.1 is refused, and TLS 1.2 taken by the same process",
              refused_case, WRONG_ONE, skip=MISSING)


def with_its_chain(world):
    hub, front, agent = prepare(world)
    front.authority.certificate("leaf", "intermediate", "DNS:localhost")
    front.authority.chain("whole", "leaf", "intermediate")
    front.start("whole")
    agent.start()
    expect_done(agent, hub.send(document("exit 3")), 3)


suite.add("a certificate with its whole chain is accepted", with_its_chain, skip=MISSING)


def control_channel(world):
    hub = world.hub(control=True)
    hub.fault(kind="error", operation="GetMessages", times=1000000)  # or the message may come by a poll
    front = Front(world, hub)
    agent = world.agent(hub, CaFile=front.authority.ca)
    for service in ("Ssm", "Mds", "Mgs"):
        agent.config[service]["Endpoint"] = front.url
    agent.write_config()
    of_another_name(front)
    agent.start().wait_until_serving()
    wait_for("three failed tries", lambda: agent.log().count("no alternative certificate subject name") >= 3)
    equal("requests that the wrong one got", front.requests(), [])
    front.stop()
    good(front)
    hub.wait_channel()
    message = hub.send(document("exit 3"))
    expect_done(agent, message, 3)
    check("agent_job_ack" in agent.record(message).sequence, f"it came by {agent.record(message).sequence}")


suite.add("the control channel goes through a proxy of TLS, and not through one with a wrong name", control_channel,
          skip=MISSING)


class Stump:
    """Takes a connection, says the first bytes of a handshake, and hangs up."""

    FIRST = (b"", b"\x16", b"\x16\x03\x03\x00\x7a\x02\x00\x00\x76\x03\x03" + bytes(16), b"\x15\x03\x03\x00\x02\x02\x28",
             b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

    def __init__(self, port):
        self.server = socket.socket()
        self.server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.server.bind(("127.0.0.1", port))
        self.server.listen(16)
        self.n = 0
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        while True:
            try:
                connection, _ = self.server.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                connection.recv(65536)
                connection.sendall(self.FIRST[self.n % len(self.FIRST)])
                self.n += 1

    def stop(self):
        with contextlib.suppress(OSError):
            self.server.shutdown(socket.SHUT_RDWR)
        self.server.close()
        self.thread.join(10)


def cut_off(world):
    hub, front, agent = prepare(world)
    stump = Stump(front.port)
    world.at_end.append(stump.stop)
    message = hub.send(document("exit 3"))
    agent.start().wait_until_serving()
    pid = agent.status()["pid"]
    wait_for("every kind of handshake twice", lambda: stump.n >= 2 * len(stump.FIRST), timeout=90)
    stump.stop()
    front.process = None
    expect_recovery(front, agent, message, pid)


suite.add("a handshake that is cut off is a failure like another", cut_off, skip=MISSING)


def authority_removed(world):
    hub, front, agent = prepare(world)
    good(front)
    agent.start()
    expect_done(agent, hub.send(document("exit 3")), 3)
    pid = agent.status()["pid"]
    os.rename(front.authority.ca, front.authority.ca + ".gone")
    front.stop()  # what was connected under the old one ends
    front.start("good")
    n_before = len(front.requests())
    message = hub.send(document("exit 4"))
    wait_failed_polls(agent, front.authority.ca.lower())
    equal("requests without an authority", front.requests()[n_before:], [])
    os.rename(front.authority.ca + ".gone", front.authority.ca)
    expect_done(agent, message, 4)
    equal("the process", agent.status()["pid"], pid)


suite.add("authorities that are removed are missed, and found again", authority_removed, skip=MISSING)


def renewed(world):
    hub, front, agent = prepare(world)
    good(front)
    agent.start()
    expect_done(agent, hub.send(document("exit 3")), 3)
    running = hub.send(document(f"while [ ! -e {world.dir}/go ]; do sleep 0.02; done; exit 5"))
    agent.wait_state(running, "running")
    front.stop()
    expired(front)
    world.touch("go")
    agent.wait_state(running, "reporting")
    wait_for("three failed polls", lambda: agent.status()["channel"]["n_failures"] >= 3)
    equal("what the hub has of its end", agent.record(running).terminal, [])
    front.stop()
    good(front)
    expect_done(agent, running, 5)


suite.add("a result waits for a certificate that expired under it to be renewed", renewed, skip=MISSING)


if __name__ == "__main__":
    raise SystemExit(suite.main())
