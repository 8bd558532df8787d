"""Whole programs in a world of their own: ssmhub, ssmd and its runners in a temporary directory, on
loopback. What every suite here and in tests/crash/kill stands on; tests/integration/README.md tells how.

Waiting is for events with a deadline, never for a while. Whatever a world started is ended with it, also
when a test failed: ssmd by its pid, runners and scripts by a mark in the environment that they inherit.
"""
import argparse
import concurrent.futures
import contextlib
import datetime
import fnmatch
import functools
import http.client
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import uuid

BUILD = os.environ.get("SSMD_BUILD_DIR", "")
INSTANCE = "mi-0123456789abcdef0"
REGION = "us-east-1"
TERMINAL = ("Success", "Failed", "Cancelled", "TimedOut")
SEND = "aws.ssm.sendCommand.us.east.1.1"
CANCEL = "aws.ssm.cancelCommand.us.east.1.1"
MARK = "SSMD_TEST_WORLD"
CODES = [code for code in range(200) if code not in (137, 168, 169, 194)]  # those have meanings of their own
DEADLINE_S = 60
HERE = os.path.dirname(os.path.abspath(__file__))
FIXTURES = os.path.join(os.path.dirname(HERE), "fixtures")


class Failure(AssertionError):
    """A claim that does not hold."""


def check(holds, text):
    if not holds:
        raise Failure(text)


def equal(what, got, want):
    if got != want:
        raise Failure(f"{what} is {got!r}, wanted {want!r}")


def wait_for(what, ask, timeout=DEADLINE_S, every=0.02):
    """The first true answer of ask(). `what` (or what it returns) is said when there is none in time."""
    end = time.monotonic() + timeout
    while True:
        answer = ask()
        if answer:
            return answer
        check(not World.is_last, "the test was stopped")
        if time.monotonic() > end:
            what = what() if callable(what) else what
            raise Failure(f"waited {timeout} s for {what}; the last answer was {answer!r}")
        time.sleep(every)


def program(folder, name):
    """The path of one of ours, for whoever is about to start it."""
    check(not World.is_last, "the test was stopped")
    path = os.path.join(BUILD, folder, name)
    if not os.access(path, os.X_OK):
        sys.exit(f"{path} is not there: set SSMD_BUILD_DIR to a directory where ssmd was built")
    return path


def iso(offset_s=0):
    at = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=offset_s)
    return at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}Z"


def document(*scripts, version="2.2", **inputs):
    """A document with one shell step for each script: step1, step2, ..."""
    return {"schemaVersion": version, "description": "test", "mainSteps": [
        {"action": "aws:runShellScript", "name": f"step{i + 1}",
         "inputs": {"runCommand": [script], **inputs}} for i, script in enumerate(scripts)]}


def marked_processes(mark):
    """Process ids whose environment carries the mark."""
    wanted = f"{MARK}={mark}".encode()
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            with contextlib.suppress(OSError), open(f"/proc/{name}/environ", "rb") as f:
                if wanted in f.read().split(b"\0"):
                    yield int(name)


def kill_marked(mark):
    """As a loss of power would: until none is left. Twice: a process shows no environment while it becomes
    another program."""
    end = time.monotonic() + DEADLINE_S
    n_empty = 0
    while n_empty < 2:
        pids = list(marked_processes(mark))
        n_empty = 0 if pids else n_empty + 1
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        check(not pids or time.monotonic() < end, f"processes {pids} do not end when they are killed")
        time.sleep(0.005)


def once(make):
    """What cases share that run beside each other: made when the first one asks, while the others wait for it."""
    lock, made = threading.RLock(), functools.lru_cache(None)(make)

    @functools.wraps(make)
    def get(*arguments):
        with lock:
            return made(*arguments)
    return get


def web(world, answer, tls=None):
    """A web server that ends with the world: answer(request) gives status, headers, body. Returns its URL. `tls` is the
    context of one that speaks it."""
    import http.server

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            status, headers, body = answer(self)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    world.at_end.append(server.server_close)
    world.at_end.append(server.shutdown)
    return f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}"


def own_tls(world):
    """A new certificate for this address: the file of who signed it, and the context of a server that has it."""
    import ssl
    key, certificate = world.path("key.pem"), world.path("certificate.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                    "-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate],
                   check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return certificate, context


class Refused(Exception):
    def __init__(self, status, body):
        super().__init__(f"{status} {body}")
        self.status = status


class Hub:
    """A running ssmhub. Operators' calls go through `ssm`, a stock botocore client."""

    def __init__(self, directory, *options, port=0, control=False):
        self.dir = directory
        self.port_file = os.path.join(directory, "port")
        self.port = port
        self.options = options if control else ("--no-control-channel", *options)
        self.process = None
        self._clients = {}
        os.makedirs(directory, exist_ok=True)
        self.start()

    def start(self):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.port_file)
        with open(os.path.join(self.dir, "log"), "ab") as log:
            self.process = subprocess.Popen(
                [program("hub", "ssmhub"), "--dir", self.dir, "--listen", f"127.0.0.1:{self.port}",
                 "--port-file", self.port_file, "--faults", *self.options],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_for("ssmhub to listen", lambda: os.path.exists(self.port_file) or self.process.poll() is not None,
                 every=0.005)
        check(self.process.poll() is None, f"ssmhub ended at once with {self.process.poll()}")
        with open(self.port_file, encoding="ascii") as f:
            self.port = int(f.read())
        self.url = f"http://127.0.0.1:{self.port}"
        self.credentials = os.path.join(self.dir, "credentials")

    def stop(self, how=signal.SIGTERM):
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(how)
            try:
                self.process.wait(DEADLINE_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    @property
    def ssm(self):
        return self.client("ssm")

    ca = None  # the file of who signed its certificate, where it has one

    def client(self, service):
        """A stock botocore client with the keys of this hub."""
        if service not in self._clients:
            import botocore.config  # a third of a second: only for who needs it
            import botocore.session
            keys = {}
            with open(self.credentials, encoding="ascii") as f:
                keys = dict((word.strip() for word in line.split("=", 1)) for line in f if "=" in line)
            session = botocore.session.Session()
            self._clients[service] = session.create_client(
                service, region_name=REGION, endpoint_url=self.url, verify=self.ca,
                aws_access_key_id=keys["aws_access_key_id"], aws_secret_access_key=keys["aws_secret_access_key"],
                config=botocore.config.Config(retries={"total_max_attempts": 1}))
        return self._clients[service]

    def _call(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE_S)
        try:
            data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
            connection.request(method, path, data, {"Content-Type": "application/json"})
            response = connection.getresponse()
            text = response.read().decode("utf-8", "replace")
            if response.status != 200:
                raise Refused(response.status, text)
            return json.loads(text)
        finally:
            connection.close()

    def state(self):
        return self._call("GET", "/_state")

    def inject_raw(self, body):
        """The bytes of an /_inject call as they are."""
        return self._call("POST", "/_inject", body)

    def inject(self, **message):
        self._call("POST", "/_inject", message)
        return message.get("MessageId")

    def fault(self, **rule):
        self._call("POST", "/_faults", {"faults": [rule]})

    def clear_faults(self):
        self._call("POST", "/_faults", {"clear": True})

    def spoil(self, how, instance=INSTANCE):
        """The instance's control channel: "close", "cut", or "silence" (it stands, and nothing moves)."""
        self._call("POST", "/_faults", {"control": how, "instance": instance})

    def deny_control(self, is_denied=True):
        self._call("POST", "/_faults", {"deny_control": is_denied})

    def use_both_channels(self, are_used=True):
        """Each message is offered on the control channel and by GetMessages at the same time."""
        self._call("POST", "/_faults", {"both_channels": are_used})

    def channels(self, state="open", instance=INSTANCE):
        """Control channels of the instance in this state."""
        return [c for c in self.state()["ControlChannels"]
                if c["InstanceId"] == instance and c["State"] == state]

    def wait_channel(self, instance=INSTANCE):
        wait_for("the control channel to be open", lambda: self.channels(instance=instance))

    def redeliver(self, message_id):
        self._call("POST", "/_faults", {"redeliver": message_id})

    def message(self, message_id):
        return self._call("POST", "/_message", {"MessageId": message_id})

    def send(self, document=None, parameters=None, instance=INSTANCE, command_id=None, name="Test",
             payload=None, created_offset=0, **more):
        """A command as the service would deliver it, with whatever document. Returns its message id."""
        command_id = command_id or str(uuid.uuid4())
        if payload is None:
            payload = json.dumps({"Parameters": parameters or {}, "DocumentContent": document,
                                  "CommandId": command_id, "DocumentName": name, "OutputS3KeyPrefix": "",
                                  "OutputS3BucketName": "", "CloudWatchLogGroupName": "",
                                  "CloudWatchOutputEnabled": "false", **more})
        return self.inject(MessageId=f"aws.ssm.{command_id}.{instance}", Destination=instance, Topic=SEND,
                           CreatedDate=iso(created_offset), Payload=payload)

    def cancel(self, message_id, instance=INSTANCE):
        return self.inject(MessageId=f"aws.ssm.{uuid.uuid4()}.{instance}", Destination=instance, Topic=CANCEL,
                           CreatedDate=iso(), Payload=json.dumps({"CancelMessageId": message_id}))


def agent_status(hub, instance=INSTANCE):
    """What the hub has kept of the agent's own word, or None."""
    with contextlib.closing(sqlite3.connect(f"file:{os.path.join(hub.dir, 'hub.db')}?mode=ro", uri=True, timeout=20)) as db:
        rows = db.execute("SELECT info FROM instance WHERE id = ?", (instance,)).fetchall()
    return json.loads(rows[0][0]).get("AgentStatus") if rows and rows[0][0] else None


class Record:
    """What the hub saw of one message, in order."""

    def __init__(self, message):
        self.message = message
        self.events = message["Events"]
        self.state = message["State"]

    def of_kind(self, kind):
        return [event for event in self.events if event["Kind"] == kind]

    @property
    def replies(self):
        """Each with its parsed payload; a reply id that came again counts once."""
        return [dict(event, Body=json.loads(event["Payload"]))
                for event in self.of_kind("reply") if not event["IsRepeat"]]

    @property
    def terminal(self):
        return [reply for reply in self.replies if reply["IsTerminal"]]

    @property
    def sequence(self):
        names = {"ack": "AcknowledgeMessage", "fail": "FailMessage", "delete": "DeleteMessage",
                 "agent_job_ack": "agent_job_ack"}
        return [names.get(event["Kind"]) or f"reply:{event.get('Status', '')}"
                for event in self.events if event["Kind"] not in ("delivered", "agent_job") and not event.get("IsRepeat")]

    @property
    def results(self):
        """Plugin id -> its last result over all replies."""
        found = {}
        for reply in self.replies:
            found.update(reply["Body"]["runtimeStatus"] or {})
        return found


class Agent:
    """One root directory with its ssmd, which may be started, killed and rebooted many times."""

    def __init__(self, root, hub, instance=INSTANCE, environment=None, **settings):
        self.root = root
        self.hub = hub
        self.instance = instance
        self.mark = uuid.uuid4().hex
        self.process = None
        self.environment = environment or {}
        self.state_dir = os.path.join(root, "var/lib/ssmd")
        self.jobs_dir = os.path.join(self.state_dir, "jobs")
        self.journal_path = os.path.join(self.state_dir, "journal.db")
        self.socket_path = os.path.join(root, "run/ssmd/ctl.sock")
        self.log_path = os.path.join(root, "ssmd.log")
        self.boot_file = os.path.join(root, "boot_id")
        self.reboots_path = os.path.join(root, "reboots")
        os.makedirs(os.path.join(root, "etc/ssmd"))
        self.new_boot()
        reboot = os.path.join(root, "reboot.sh")
        with open(reboot, "w", encoding="ascii") as f:
            f.write(f"#!/bin/sh\necho asked >> {self.reboots_path}\n")
        os.chmod(reboot, 0o700)
        self.config = {
            "Identity": {"CustomIdentities": [{"InstanceID": instance, "Region": REGION}]},
            "Ssm": {"Endpoint": hub.url}, "Mgs": {"Endpoint": hub.url}, "S3": {"Endpoint": hub.url},
            "Mds": {"Endpoint": hub.url, "CommandWorkersLimit": settings.pop("workers", 5)},
            "Ssmd": {"RunnerPath": program("executors", "ssmd-runner"),
                     "DownloadPath": program("download", "ssmd-download"), "BootIdFile": self.boot_file,
                     "RebootCommand": [reboot], "KillGraceMillis": 500, "BackoffCapSeconds": 2, **settings},
        }
        self.write_config()

    def write_config(self):
        with open(os.path.join(self.root, "etc/ssmd/ssmd.json"), "w", encoding="ascii") as f:
            json.dump(self.config, f)

    def new_boot(self):
        self.boot_id = str(uuid.uuid4())
        with open(self.boot_file, "w", encoding="ascii") as f:
            f.write(self.boot_id + "\n")

    # ---- life ----

    def start(self, **environment):
        env = {name: value for name, value in os.environ.items()
               if not name.startswith(("AWS_", "SSMD_", "RUNNER_SSMD_")) and "proxy" not in name.lower()}
        env.update({"AWS_SHARED_CREDENTIALS_FILE": self.hub.credentials, MARK: self.mark,
                    **self.environment, **environment})
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen([program("agent", "ssmd"), "--root", self.root], env=env,
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        return self

    @property
    def is_up(self):
        return self.process is not None and self.process.poll() is None

    def wait_until_serving(self):
        wait_for("ssmd to answer on its socket", lambda: self.is_up and self.status())
        return self

    def wait_status(self, status):
        """Until the service has this as the agent's own word (AgentStatus)."""
        wait_for(lambda: f"AgentStatus {status}, it is {agent_status(self.hub, self.instance)}",
                 lambda: agent_status(self.hub, self.instance) == status)

    def wait_end(self, timeout=DEADLINE_S):
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise Failure(f"ssmd has not ended within {timeout} s") from None

    def kill(self):
        """SIGKILL to ssmd alone: its runners go on."""
        if self.is_up:
            self.process.kill()
        return self.process.wait() if self.process is not None else None

    def terminate(self, timeout=DEADLINE_S):
        self.process.terminate()
        return self.wait_end(timeout)

    def lose_power(self):
        """Everything of this machine ends at once."""
        self.kill()
        kill_marked(self.mark)
        self.new_boot()

    def end(self):
        self.kill()
        kill_marked(self.mark)

    # ---- what it says ----

    def ask(self, **request):
        """One request to ctl.sock, or None when nobody listens."""
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(DEADLINE_S)
            try:
                s.connect(self.socket_path)
            except (ConnectionRefusedError, FileNotFoundError):
                return None
            try:
                s.sendall(json.dumps(request).encode() + b"\n")
                text = b""
                while not text.endswith(b"\n"):
                    more = s.recv(65536)
                    if not more:
                        return None
                    text += more
            except ConnectionError:
                return None
        return json.loads(text)

    def status(self):
        """None when nobody answers, or only that there is no memory for an answer now (row R7)."""
        answer = self.ask(op="status")
        if answer is None or not answer["ok"]:
            check(answer is None or answer["error"]["code"] == "no-memory", f"ssmctl status: {answer}")
            return None
        return answer["status"]

    @property
    def reboots_asked(self):
        with contextlib.suppress(FileNotFoundError), open(self.reboots_path, encoding="ascii") as f:
            return len(f.readlines())
        return 0

    def log(self):
        with contextlib.suppress(FileNotFoundError), open(self.log_path, encoding="utf-8", errors="replace") as f:
            return f.read()
        return ""

    # ---- its journal ----

    def query(self, sql, *arguments):
        """Rows of the journal. While ssmd is up: beside it, read-only. Else from a copy with its log of writes
        ahead, so that looking changes nothing."""
        return wait_for("a journal that can be read", lambda: self._query(sql, arguments))[0]

    def _query(self, sql, arguments):
        """A list of the rows, or None while there is no telling: ssmd has not read its log of writes ahead yet,
        or ended just now."""
        if not os.path.exists(self.journal_path):
            return [[]]
        is_up = self.is_up
        with contextlib.ExitStack() as stack:
            path = self.journal_path
            if not is_up:
                directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="journal-"))
                for name in ("journal.db", "journal.db-wal"):
                    with contextlib.suppress(FileNotFoundError):
                        shutil.copy(os.path.join(self.state_dir, name), directory)
                path = os.path.join(directory, "journal.db")
            mode = "ro" if is_up else "rw"
            connection = stack.enter_context(contextlib.closing(
                sqlite3.connect(f"file:{path}?mode={mode}", uri=True, timeout=DEADLINE_S)))
            connection.row_factory = sqlite3.Row
            try:
                return [connection.execute(sql, arguments).fetchall()]
            except sqlite3.OperationalError as error:
                if "no such table" in str(error):  # killed before its first commit
                    return [[]]
                if is_up and error.sqlite_errorname.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN")):
                    return None
                error.args = (f"{error} ({error.sqlite_errorname})",)
                raise

    def job_state(self, message_id):
        rows = self.query("SELECT i.state FROM instance i JOIN inbox b ON b.instance_id = i.id"
                          " WHERE b.message_id = ?", message_id)
        return rows[0]["state"] if rows else None

    # ---- what the hub has of it ----

    def record(self, message_id):
        return Record(self.hub.message(message_id))

    def wait_terminal(self, message_id, timeout=DEADLINE_S, every=0.02):
        """The record once it has a terminal reply."""
        seen = []

        def ask():
            seen[:] = [self.record(message_id)]
            return seen[0].terminal
        wait_for(lambda: f"the terminal reply of {message_id}; it is {self.job_state(message_id)} here, and the hub"
                         f" has {seen[0].sequence}", ask, timeout, every)
        return seen[0]

    def wait_state(self, message_id, *states, timeout=DEADLINE_S):
        wait_for(f"{message_id} to be {' or '.join(states)}", lambda: self.job_state(message_id) in states, timeout)

    def wait_done(self, message_id, timeout=DEADLINE_S, every=0.02):
        """Reported, and known here as reported."""
        self.wait_terminal(message_id, timeout, every)
        self.wait_state(message_id, "done", timeout=timeout)
        return self.record(message_id)


class World:
    """A temporary directory with what was started in it."""

    is_last = False  # the test was stopped: nothing is started or waited for any more

    def __init__(self, parent=None):
        self.dir = tempfile.mkdtemp(prefix="ssmd-", dir=parent)
        self.hubs = []
        self.agents = []
        self.at_end = []

    def hub(self, *options, name="hub", control=False):
        """With `control`, agents get a control channel; else it is denied, and they poll ec2messages."""
        hub = Hub(os.path.join(self.dir, name), *options, control=control)
        self.hubs.append(hub)
        return hub

    def agent(self, hub=None, name="node", **settings):
        hub = hub or (self.hubs[0] if self.hubs else self.hub())
        agent = Agent(os.path.join(self.dir, name), hub, **settings)
        self.agents.append(agent)
        return agent

    def path(self, name):
        return os.path.join(self.dir, name)

    def lines(self, name):
        with contextlib.suppress(FileNotFoundError), open(self.path(name), encoding="utf-8") as f:
            return f.read().splitlines()
        return []

    def wait_file(self, name, timeout=DEADLINE_S):
        wait_for(f"the file {name}", lambda: os.path.exists(self.path(name)), timeout)

    def touch(self, name):
        with open(self.path(name), "w", encoding="ascii"):
            pass

    def end_politely(self):
        """The end of a case that has passed: SIGTERM to every ssmd, which must be its end, and a clean one."""
        for agent in self.agents:
            if agent.is_up:
                agent.wait_until_serving()
                equal("the exit status of ssmd after SIGTERM", agent.terminate(), 0)
        for agent in self.agents:
            for sign in ("Sanitizer", "runtime error:"):
                check(sign not in agent.log(), "a sanitizer has found something")

    def end(self):
        for agent in self.agents:
            agent.end()
        for hub in self.hubs:
            hub.stop()
        for action in reversed(self.at_end):
            action()
        for folder, _, _ in os.walk(self.dir) if os.geteuid() else ():  # sealed: not even its owner may write
            with contextlib.suppress(OSError):
                os.chmod(folder, 0o700)
        shutil.rmtree(self.dir, ignore_errors=True)

    def logs(self, n_lines=40):
        for agent in self.agents:
            for line in agent.log().splitlines()[-n_lines:]:
                yield f"{os.path.basename(agent.root)}: {line}"


def stop(number, frame):
    """The test is stopped: whoever waits gives up, and worlds end as they do after a failure."""
    del frame
    World.is_last = True
    raise SystemExit(128 + number)


signal.signal(signal.SIGINT, stop)
signal.signal(signal.SIGTERM, stop)


class Suite:
    """Cases, told as TAP, and a last line `N passed, N failed, N skipped`."""

    def __init__(self, title, jobs=1):
        self.title = title
        self.cases = []
        self.jobs = jobs
        self.lock = threading.Lock()

    def case(self, function):
        """Decorator: `name_of_function(world)` becomes the case "name of function"."""
        self.add(function.__name__.replace("_", " "), function)
        return function

    def add(self, name, function, *arguments, skip=None):
        self.cases.append((name, function, arguments, skip))

    def _run(self, case):
        name, function, arguments, skip = case
        if skip:
            return name, None, [skip], 0
        begin = time.monotonic()
        world = World()
        problem = []
        try:
            function(world, *arguments)
            world.end_politely()
        except Failure as error:
            problem = [str(error), *world.logs()]
        except Exception:  # a defect of the test counts as a failure, with its place
            problem = [*traceback.format_exc().splitlines(), *world.logs()]
        finally:
            try:
                world.end()
            except Exception as error:
                problem.append(f"the world could not be ended: {error}")
        return name, not problem, problem, time.monotonic() - begin

    def main(self, arguments=None):
        parser = argparse.ArgumentParser(description=self.title)
        parser.add_argument("-j", type=int, default=self.jobs, metavar="N", help="cases at once")
        parser.add_argument("patterns", nargs="*", help="which cases, as shell patterns")
        options = parser.parse_args(arguments)
        cases = [c for c in self.cases if not options.patterns or
                 any(fnmatch.fnmatch(c[0], p) for p in options.patterns)]
        passed = failed = skipped = 0
        print(f"# {self.title}\n1..{len(cases)}", flush=True)
        with concurrent.futures.ThreadPoolExecutor(options.j) as pool:
            for n, (name, ok, text, seconds) in enumerate(pool.map(self._run, cases), 1):
                if ok is None:
                    skipped += 1
                    print(f"ok {n} - {name} # SKIP {text[0]}", flush=True)
                    continue
                passed, failed = passed + bool(ok), failed + (not ok)
                print(f"{'ok' if ok else 'not ok'} {n} - {name} # {seconds:.1f} s", flush=True)
                for line in text:
                    print(f"#   {line}", flush=True)
        print(f"{passed} passed, {failed} failed, {skipped} skipped", flush=True)
        return 1 if failed or not cases else 0
