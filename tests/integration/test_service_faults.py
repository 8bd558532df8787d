#!/usr/bin/python3
"""The service fails, refuses, forgets, stammers, is away, or lives in another hour: every command is
reported all the same, with one terminal status."""
import contextlib
import os
import shutil
import signal
import socket
import sqlite3
import threading

from harness import Suite, check, document, equal, wait_for

suite = Suite("a service with faults", jobs=4)
OPERATIONS = ("SendReply", "AcknowledgeMessage", "GetMessages")

# What can go wrong with a call. Statuses and codes as services send them.
FAULTS = {
    "500": {"kind": "error", "status": 500, "code": "InternalServerException"},
    "503": {"kind": "error", "status": 503, "code": "ServiceUnavailable"},
    "403 expired token": {"kind": "error", "status": 403, "code": "ExpiredTokenException"},
    "400 throttled": {"kind": "error", "status": 400, "code": "ThrottlingException"},
    "429 too many": {"kind": "error", "status": 429, "code": "TooManyRequestsException"},
    "forgotten": {"kind": "forget"},
    "answer lost": {"kind": "lose"},
    "connection reset": {"kind": "reset"},
    "slow": {"kind": "delay", "delay_ms": 1500},
}


def run_three(world, agent):
    """Three commands with known results, through whatever there is."""
    return [agent.hub.send(document(f"echo run >> {world.dir}/ran.{n}; echo {n}; exit {n}")) for n in range(3)]


def expect_reported_once(world, agent, messages, timeout=90):
    for n, message in enumerate(messages):
        record = agent.wait_done(message, timeout)
        equal(f"command {n}: terminal replies", len(record.terminal), 1)
        equal(f"command {n}: status", record.terminal[0]["Status"], "Failed" if n else "Success")
        result = record.results["step1"]
        equal(f"command {n}: code and output", (result["code"], result["standardOutput"]), (n, f"{n}\n"))
        equal(f"command {n}: how often it ran", len(world.lines(f"ran.{n}")), 1)
        check(record.of_kind("ack"), f"command {n} was not acknowledged")


def fault_case(world, operation, rule):
    agent = world.agent()
    # A long poll is made once in a while only, and what was lost with its answer comes again after 10 s.
    times = 1 if operation == "GetMessages" and rule["kind"] in ("lose", "delay") else 3
    agent.hub.fault(operation=operation, times=times, **rule)
    agent.start()
    expect_reported_once(world, agent, run_three(world, agent))
    equal("faults left over", agent.hub.state()["Faults"], [])


for OPERATION in OPERATIONS:
    for NAME, RULE in FAULTS.items():
        suite.add(f"{OPERATION}: {NAME}", fault_case, OPERATION, RULE)


@suite.case
def each_message_ten_times_runs_once(world):
    agent = world.agent()
    agent.hub.fault(kind="duplicate", operation="GetMessages", times=100, copies=10)
    agent.start()
    messages = run_three(world, agent)
    expect_reported_once(world, agent, messages)
    for _ in range(10):
        for message in messages:
            agent.hub.redeliver(message)
    wait_for("the duplicates to be counted", lambda: agent.status()["n_duplicates"] >= 27)
    expect_reported_once(world, agent, messages)


@suite.case
def what_comes_again_after_a_month_is_known_by_the_ledger(world):
    agent = world.agent().start()
    messages = run_three(world, agent)
    expect_reported_once(world, agent, messages)
    before = [agent.record(message).sequence for message in messages]
    agent.terminate()
    with contextlib.closing(sqlite3.connect(agent.journal_path)) as journal:  # as retention does
        journal.execute("PRAGMA foreign_keys = ON")
        journal.execute("DELETE FROM instance")
        journal.commit()
    shutil.rmtree(agent.jobs_dir)
    agent.start()
    for message in messages:
        agent.hub.redeliver(message)
    wait_for("the messages to be known", lambda: (agent.status() or {}).get("n_duplicates", 0) >= 3)
    wait_for("their answers", lambda: all(agent.record(message).sequence[-1] == "AcknowledgeMessage"
                                          for message in messages))
    for n, message in enumerate(messages):
        equal("how often it ran", len(world.lines(f"ran.{n}")), 1)
        equal("terminal replies", len(agent.record(message).terminal), 1)
        equal("what was said the first time", agent.record(message).sequence[:len(before[n])], before[n])
    equal("jobs", [row["id"] for row in agent.query("SELECT id FROM instance")], [])


class Dripping:
    """A way to the hub on which answers come slowly, or stand still. What is asked goes through at once."""

    def __init__(self, world, hub):
        self.hub = hub
        self.pause_s = 0  # after every few bytes of an answer; None: its first bytes come, and nothing more
        self.n_stopped = 0
        self.server = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.server.getsockname()[1]}"
        self.end = threading.Event()
        threading.Thread(target=self.serve, daemon=True).start()
        world.at_end.append(self.stop)

    def serve(self):
        while not self.end.is_set():
            with contextlib.suppress(OSError):
                connection, _ = self.server.accept()
                threading.Thread(target=self.carry, args=(connection,), daemon=True).start()

    def carry(self, near):
        with near, contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.hub.port)) as far:
            threading.Thread(target=self.ask, args=(near, far), daemon=True).start()
            while data := far.recv(65536):
                if self.pause_s is None:
                    near.sendall(data[:20])
                    self.n_stopped += 1
                    wait_for("the client to give up", lambda: self.is_gone(near) or self.pause_s is not None
                             or self.end.is_set(), timeout=300, every=0.1)
                    return
                for at in range(0, len(data), 16):
                    near.sendall(data[at:at + 16])
                    self.end.wait(self.pause_s)

    @staticmethod
    def is_gone(near):
        with contextlib.suppress(BlockingIOError, OSError):
            return near.recv(1, socket.MSG_DONTWAIT | socket.MSG_PEEK) == b""
        return False

    @staticmethod
    def ask(near, far):
        with contextlib.suppress(OSError):
            while data := near.recv(65536):
                far.sendall(data)
            far.shutdown(socket.SHUT_WR)

    def stop(self):
        self.end.set()
        with contextlib.suppress(OSError):
            self.server.shutdown(socket.SHUT_RDWR)
        self.server.close()


def through(world, limit_ms):
    """`limit_ms`: of one answer."""
    hub = world.hub()
    way = Dripping(world, hub)
    agent = world.agent(hub)
    agent.config["Ssm"]["Endpoint"] = agent.config["Mds"]["Endpoint"] = way.url
    agent.config["Mds"]["StopTimeoutMillis"] = limit_ms
    agent.write_config()
    return way, agent


@suite.case
def answers_that_drip_are_answers(world):
    way, agent = through(world, 300000)  # on a busy machine each pause is a longer one
    way.pause_s = 0.02
    agent.start()
    expect_reported_once(world, agent, run_three(world, agent))


@suite.case
def answers_that_stand_still_are_given_up_and_asked_for_again(world):
    way, agent = through(world, 10000)
    way.pause_s = None
    agent.start().wait_until_serving()
    messages = run_three(world, agent)
    wait_for("a poll that stands still to be given up", lambda: way.n_stopped >= 3, timeout=90)
    way.pause_s = 0
    expect_reported_once(world, agent, messages)


@suite.case
def newest_first_is_all_the_same(world):
    agent = world.agent()
    agent.hub.fault(kind="reorder", operation="GetMessages", times=100)
    messages = run_three(world, agent)
    agent.start()
    expect_reported_once(world, agent, messages)


@suite.case
def a_reply_that_is_refused_for_good_ends_the_command_here_too(world):
    agent = world.agent()
    agent.hub.fault(kind="error", operation="SendReply", times=1000, status=400, code="InvalidMessageIdException")
    agent.start().wait_until_serving()
    message = agent.hub.send(document("echo unheard"))
    agent.wait_state(message, "done")
    row, = agent.query("SELECT outcome, text FROM outbox WHERE message_id = ? AND kind = 'final'", message)
    equal("the outcome in the journal", row["outcome"], "refused")
    check("InvalidMessageIdException" in row["text"], f"the journal does not say why: {row['text']}")
    equal("terminal replies at the service", agent.record(message).terminal, [])
    agent.hub.clear_faults()
    messages = run_three(world, agent)
    expect_reported_once(world, agent, messages)
    equal("jobs that wait to be reported", agent.status()["n_reporting"], 0)


@suite.case
def a_service_that_is_away_gets_everything_when_it_is_back(world):
    hub = world.hub()
    agent = world.agent(hub, workers=20).start()
    messages = run_three(world, agent)
    expect_reported_once(world, agent, messages)
    slow = [hub.send(document(f"echo begun >> {world.dir}/slow.{n}; while [ ! -e {world.dir}/go ]; do sleep 0.02; done;"
                              f" echo end {n}")) for n in range(10)]
    for n in range(10):
        world.wait_file(f"slow.{n}")
    hub.stop(signal.SIGKILL)
    world.touch("go")
    wait_for("all to have ended", lambda: agent.status()["n_reporting"] == 10)
    wait_for("ssmd to notice", lambda: not agent.status()["channel"]["is_connected"])
    agent.kill()  # and as if that were not enough
    agent.start().wait_until_serving()
    wait_for("all to wait for the service", lambda: agent.status()["n_reporting"] == 10)
    hub.start()
    for n, message in enumerate(slow):
        record = agent.wait_done(message, timeout=90)
        equal("terminal replies", len(record.terminal), 1)
        equal("output", record.results["step1"]["standardOutput"], f"end {n}\n")
        equal("how often it ran", len(world.lines(f"slow.{n}")), 1)


@suite.case
def an_agent_that_starts_before_its_service_finds_it(world):
    hub = world.hub()
    hub.stop()
    agent = world.agent(hub).start().wait_until_serving()
    wait_for("a failed try", lambda: agent.status()["channel"]["n_failures"] > 0)
    hub.start()
    expect_reported_once(world, agent, run_three(world, agent))


def wrong_date(world, hours):
    hub = world.hub("--date-offset", str(hours * 3600))
    agent = world.agent(hub).start()
    expect_reported_once(world, agent, run_three(world, agent))
    offset = agent.status()["clock_offset_ms"]
    check(abs(offset - hours * 3600 * 1000) < 60000, f"the offset that ssmd learned is {offset} ms, not {hours} h")


for HOURS in (3, -3):
    suite.add(f"a service whose clock is {HOURS:+} h off is answered by its own clock", wrong_date, HOURS)


@suite.case
def new_credentials_in_the_file_are_found(world):
    hub = world.hub()
    with open(hub.credentials, encoding="ascii") as f:
        good = f.read()
    path = world.path("agent-credentials")

    def write(text):
        with open(path + ".new", "w", encoding="ascii") as f:
            f.write(text)
        os.replace(path + ".new", path)
    write("[default]\naws_access_key_id = AKIAOLDOLDOLDOLDOLD0\naws_secret_access_key = gone\n")
    agent = world.agent(hub, environment={"AWS_SHARED_CREDENTIALS_FILE": path}).start().wait_until_serving()
    messages = run_three(world, agent)
    wait_for("a refused poll", lambda: agent.status()["channel"]["n_failures"] > 0)
    equal("what it did without the service", [world.lines(f"ran.{n}") for n in range(3)], [[], [], []])
    write(good)
    expect_reported_once(world, agent, messages)


@suite.case
def credentials_that_go_bad_keep_results_until_they_are_good_again(world):
    hub = world.hub()
    with open(hub.credentials, encoding="ascii") as f:
        good = f.read()
    path = world.path("agent-credentials")

    def write(text):
        with open(path + ".new", "w", encoding="ascii") as f:
            f.write(text)
        os.replace(path + ".new", path)
    write(good)
    agent = world.agent(hub, environment={"AWS_SHARED_CREDENTIALS_FILE": path}).start()
    message = hub.send(document(f"echo begun >> {world.dir}/ran; while [ ! -e {world.dir}/go ]; do sleep 0.02; done;"
                                " exit 3"))
    world.wait_file("ran")
    wait_for("the acknowledgement", lambda: agent.record(message).of_kind("ack"))
    hub.fault(kind="error", operation="*", times=100000, status=403, code="UnrecognizedClientException")
    world.touch("go")
    agent.wait_state(message, "reporting")
    wait_for("a refused answer to be known", lambda: any(
        "UnrecognizedClientException" in error["text"] for error in agent.status()["last_errors"]))
    equal("its state", agent.job_state(message), "reporting")
    hub.clear_faults()
    record = agent.wait_done(message, timeout=90)
    equal("terminal replies", len(record.terminal), 1)
    equal("code", record.results["step1"]["code"], 3)


if __name__ == "__main__":
    raise SystemExit(suite.main())
