#!/usr/bin/python3
"""A whole run with every secret that ssmd is given: none is in the journal, the log, a state file, a command line, or
the environment of another program. What scripts inherit on purpose is told apart, and said."""
import contextlib
import json
import os
import socket
import threading
import time
import uuid

from harness import Suite, check, document, equal, wait_for

suite = Suite("secrets", jobs=3)


class Proxy:
    """A forward proxy for plain http that wants a password."""

    def __init__(self, world, name, password):
        self.wanted = f"{name}:{password}"
        self.n_refused = self.n_served = 0
        self.server = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.server.getsockname()[1]}"
        self.url = f"http://{self.wanted}@{self.address}"
        threading.Thread(target=self.serve, daemon=True).start()
        world.at_end.append(self.stop)

    def stop(self):
        with contextlib.suppress(OSError):
            self.server.shutdown(socket.SHUT_RDWR)
        self.server.close()

    def serve(self):
        while True:
            try:
                connection, _ = self.server.accept()
            except OSError:
                return
            threading.Thread(target=self.carry, args=(connection,), daemon=True).start()

    def carry(self, near):
        import base64
        with near, contextlib.suppress(OSError, ValueError):
            data = b""
            while b"\r\n\r\n" not in data:
                more = near.recv(65536)
                if not more:
                    return
                data += more
            head, body = data.split(b"\r\n\r\n", 1)
            lines = head.decode().split("\r\n")
            fields = {k.lower(): v.strip() for k, v in (line.split(":", 1) for line in lines[1:])}
            if fields.get("proxy-authorization") != "Basic " + base64.b64encode(self.wanted.encode()).decode():
                self.n_refused += 1
                near.sendall(b"HTTP/1.1 407 No\r\nProxy-Authenticate: Basic realm=x\r\nContent-Length: 0\r\n"
                             b"Connection: close\r\n\r\n")
                return
            method, url, _ = lines[0].split(" ")
            host, _, path = url.removeprefix("http://").partition("/")
            kept = [line for line in lines[1:] if not line.lower().startswith(("proxy-", "connection:"))]
            while len(body) < int(fields.get("content-length", 0)):
                body += near.recv(65536)
            with socket.create_connection(("127.0.0.1", int(host.split(":")[1]))) as far:  # it knows where that is
                far.sendall("\r\n".join([f"{method} /{path} HTTP/1.1", *kept, "Connection: close"]).encode()
                            + b"\r\n\r\n" + body)
                self.n_served += 1
                while answer := far.recv(65536):
                    near.sendall(answer)


class Watch:
    """Looks at every process that the agent started, for as long as there are any."""

    def __init__(self, world, agent, secrets):
        self.mark = agent.mark.encode()
        with open(f"/proc/{agent.process.pid}/cmdline", "rb") as f:
            self.own_words = f.read()
        self.agent = agent
        self.secrets = secrets
        self.found = []
        self.seen = {}
        self.end = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()
        world.at_end.append(self.stop)

    def look(self, pid):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                words = f.read()
            with open(f"/proc/{pid}/environ", "rb") as f:
                environment = f.read()
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                is_same = f.read() == words
        except OSError:
            return
        if self.mark not in environment or not is_same:  # it became another program between the looks
            return
        program = os.path.basename(words.split(b"\0")[0].decode())
        self.seen[program] = self.seen.get(program, 0) + 1
        for name, (secret, is_for_scripts) in self.secrets.items():
            if secret.encode() in words:
                self.found.append(f"{name} in the command line of {program}")
            # A child of its own that has not executed its program yet, to be told by ssmd's own words, is no other.
            is_ssmd = pid == self.agent.process.pid or words == self.own_words
            if secret.encode() in environment and not is_ssmd and not (is_for_scripts and program != "ssmd-runner"):
                self.found.append(f"{name} in the environment of {program}")

    def run(self):
        while not self.end.is_set():
            for entry in os.listdir("/proc"):
                if entry.isdigit():
                    self.look(int(entry))
            time.sleep(0.01)

    def wait_program(self, name):
        """Until it has looked at one."""
        wait_for(lambda: f"{name} to be looked at, these were: {self.seen}", lambda: self.seen.get(name))

    def stop(self):
        self.end.set()
        self.thread.join(20)


def files_with(root, secret):
    """Below `root`: whole files, byte by byte; the journal's pages and its log of writes ahead among them."""
    for directory, _, names in os.walk(root):
        for name in names:
            path = os.path.join(directory, name)
            with contextlib.suppress(OSError), open(path, "rb") as f:
                if secret.encode() in f.read():
                    yield os.path.relpath(path, root)


def expect_nowhere(agent, watch):
    watch.wait_program("ssmd")
    watch.stop()
    check(watch.seen.get("ssmd-runner"), f"only these were seen: {watch.seen}")
    equal("secrets that other programs got", sorted(set(watch.found)), [])
    for name, (secret, _) in watch.secrets.items():
        equal(f"files with {name}", sorted(files_with(agent.root, secret)), [])
        check(secret not in json.dumps(agent.status()), f"{name} in the status")


def work(world, agent, watch):
    """Success, failure, a cancel, a kill of ssmd under a script, a message that is refused."""
    hub = agent.hub
    wait = f"while [ ! -e {world.dir}/go ]; do sleep 0.02; done"
    done = [hub.send(document("echo one", "exit 3")), hub.send(document(f"echo run >> {world.dir}/ran; {wait}")),
            hub.send(payload="not json")]
    gone = hub.send(document(f"echo run >> {world.dir}/slow; sleep 600"))
    world.wait_file("ran")
    world.wait_file("slow")
    watch.wait_program("ssmd-runner")
    agent.kill()
    agent.start().wait_until_serving()
    hub.cancel(gone)
    world.touch("go")
    for message in (*done, gone):
        agent.wait_done(message, timeout=90)
    return done


def keys_of(hub):
    with open(hub.credentials, encoding="ascii") as f:
        return dict((word.strip() for word in line.split("=", 1)) for line in f if "=" in line)


@suite.case
def keys_of_the_environment_stay_there(world):
    hub = world.hub()
    keys = keys_of(hub)
    token = "token-" + uuid.uuid4().hex
    agent = world.agent(hub, environment={
        "AWS_ACCESS_KEY_ID": keys["aws_access_key_id"], "AWS_SECRET_ACCESS_KEY": keys["aws_secret_access_key"],
        "AWS_SESSION_TOKEN": token, "AWS_SHARED_CREDENTIALS_FILE": "/nowhere"})
    agent.start().wait_until_serving()
    watch = Watch(world, agent, {"the secret key": (keys["aws_secret_access_key"], False),
                                 "the session token": (token, False)})
    work(world, agent, watch)
    expect_nowhere(agent, watch)


@suite.case
def keys_of_a_file_stay_there(world):
    hub = world.hub()
    keys = keys_of(hub)
    token = "token-" + uuid.uuid4().hex
    path = world.path("keys")
    with open(path, "w", encoding="ascii") as f:
        f.write(f"[default]\naws_access_key_id = {keys['aws_access_key_id']}\n"
                f"aws_secret_access_key = {keys['aws_secret_access_key']}\naws_session_token = {token}\n")
    agent = world.agent(hub, environment={"AWS_SHARED_CREDENTIALS_FILE": path}).start().wait_until_serving()
    watch = Watch(world, agent, {"the secret key": (keys["aws_secret_access_key"], False),
                                 "the session token": (token, False)})
    work(world, agent, watch)
    expect_nowhere(agent, watch)


@suite.case
def the_password_of_a_proxy_reaches_scripts_and_nothing_else(world):
    """Users of the reference know that scripts inherit the agent's proxy; it is kept for them alone."""
    hub = world.hub()
    password = "pw-" + uuid.uuid4().hex
    proxy = Proxy(world, "operator", password)
    agent = world.agent(hub, environment={"http_proxy": proxy.url, "https_proxy": proxy.url})
    # Loopback is never proxied; that of this name is known to the proxy alone.
    agent.config["Ssm"]["Endpoint"] = agent.config["Mds"]["Endpoint"] = f"http://service.test:{hub.port}"
    agent.write_config()
    agent.start().wait_until_serving()
    watch = Watch(world, agent, {"the proxy's password": (password, True)})
    work(world, agent, watch)
    proxy.wanted = "operator:another"  # and when it is refused, it is not told either
    message = hub.send(document("exit 0"))
    wait_for("the proxy to refuse", lambda: proxy.n_refused >= 3)
    expect_nowhere(agent, watch)
    proxy.wanted = f"operator:{password}"
    agent.wait_done(message, timeout=90)
    check(proxy.n_served > 10, "the proxy was not used")
    script = agent.hub.send(document('[ "$http_proxy" = "$https_proxy" ] && echo "$http_proxy" | wc -c'))
    equal("what a script has", agent.wait_done(script).results["step1"]["standardOutput"], f"{len(proxy.url) + 1}\n")


@suite.case
def a_secure_string_is_refused_and_never_seen(world):
    hub = world.hub()
    secret = "secure-" + uuid.uuid4().hex
    hub.ssm.put_parameter(Name="/keep", Value=secret, Type="SecureString")
    agent = world.agent(hub).start().wait_until_serving()
    watch = Watch(world, agent, {"the parameter": (secret, False)})
    refused = hub.send(document("echo {{ ssm:/keep }}"))
    literal = hub.send(document(f"echo '{{{{ ssm-secure:/keep }}}}'; while [ ! -e {world.dir}/go ]; do sleep 0.02; done"))
    equal("its status", agent.wait_done(refused).terminal[0]["Status"], "Failed")
    watch.wait_program("ssmd-runner")
    world.touch("go")
    equal("what a script has of it", agent.wait_done(literal).results["step1"]["standardOutput"],
          "{{ ssm-secure:/keep }}\n")
    expect_nowhere(agent, watch)


@suite.case
def the_search_finds_what_is_there(world):
    """The negative control: a script's own secret is in its output, its journal and a command line."""
    agent = world.agent().start().wait_until_serving()
    secret = "planted-" + uuid.uuid4().hex
    watch = Watch(world, agent, {"it": (secret, False)})
    message = agent.hub.send(document(f"env PLANTED={secret} sh -c 'while [ ! -e {world.dir}/go ]; do sleep 0.02; done' {secret}"))
    for where in ("command line", "environment"):
        wait_for(lambda where=where: f"it to be found in the {where} of sh, found: {set(watch.found)}",
                 lambda where=where: f"it in the {where} of sh" in watch.found)
    world.touch("go")
    agent.wait_done(message)
    watch.stop()
    check([path for path in files_with(agent.root, secret) if "journal.db" in path], "it is not in the journal")


if __name__ == "__main__":
    raise SystemExit(suite.main())
