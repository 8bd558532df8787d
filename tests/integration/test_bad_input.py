#!/usr/bin/python3
"""Every field of messages, payloads and documents, wrong in every way in turn.

ssmd stays up, says what is wrong where the protocol has a place for it (Failed naming the field,
FailMessage), is silent where it wants silence (spec 03, sections 3 and 4), and runs the next command.
"""
import contextlib
import copy
import hashlib
import http.server
import json
import socket
import threading
import uuid

from harness import CANCEL, INSTANCE, SEND, Record, Suite, check, document, equal, iso, wait_for

suite = Suite("bad input", jobs=4)

GOOD = {
    "Parameters": {"p": "v"},
    "DocumentContent": {
        "schemaVersion": "2.2", "description": "d",
        "parameters": {"p": {"type": "String", "default": "x"}},
        "mainSteps": [{
            "action": "aws:runShellScript", "name": "s1",
            "precondition": {"StringEquals": ["platformType", "Linux"]},
            "inputs": {"runCommand": ["echo {{p}}"], "workingDirectory": "/", "timeoutSeconds": "60",
                       "onFailure": "exit"}}]},
    "CommandId": "x", "DocumentName": "N", "OutputS3KeyPrefix": "", "OutputS3BucketName": "",
    "CloudWatchLogGroupName": "", "CloudWatchOutputEnabled": "false",
}
MISSING = object()


def nested(levels):
    return "[" * levels + "]" * levels


KINDS = {"missing": MISSING, "null": None, "number": 5, "huge number": 1e300, "boolean": True, "text": "text",
         "empty text": "", "long text": "x" * 5000, "list": ["x"], "empty list": [], "deep list": json.loads(nested(40)),
         "object": {"x": "y"}, "empty object": {}}
ANY = set(KINDS)
ABSENT = {"missing", "null"}
TEXT = ABSENT | {"text", "empty text"}
OBJECT = ABSENT | {"object", "empty object"}
DOC = "DocumentContent."
STEP = DOC + "mainSteps.0."

# Path, kinds with which it runs, kinds with which a step fails; with all others the document is refused with a
# text that names the last word.
FIELDS = [
    ("Parameters", OBJECT, set(), "Parameters"),
    ("Parameters.p", ANY, set(), ""),
    ("CommandId", TEXT, set(), "CommandId"),
    ("DocumentName", TEXT, set(), "DocumentName"),
    ("OutputS3KeyPrefix", TEXT, set(), "OutputS3KeyPrefix"),
    ("OutputS3BucketName", TEXT, set(), "OutputS3BucketName"),
    ("CloudWatchLogGroupName", TEXT, set(), "CloudWatchLogGroupName"),
    ("CloudWatchOutputEnabled", TEXT, set(), "CloudWatchOutputEnabled"),
    ("DocumentContent", set(), set(), "DocumentContent"),
    (DOC + "schemaVersion", set(), set(), "schema"),
    (DOC + "description", TEXT | {"long text"}, set(), "description"),
    (DOC + "parameters", ABSENT | {"empty object"}, set(), "parameters"),
    (DOC + "parameters.p", {"missing", "object", "empty object"}, set(), "parameters.p"),
    (DOC + "parameters.p.type", TEXT | {"long text"}, set(), "parameters.p.type"),
    (DOC + "parameters.p.default", ANY, set(), ""),
    (DOC + "mainSteps", set(), set(), "mainSteps"),
    (DOC + "mainSteps.0", set(), {"object", "empty object"}, "mainSteps"),
    (STEP + "action", set(), TEXT, "mainSteps[0].action"),
    (STEP + "name", TEXT, set(), "mainSteps[0].name"),
    (STEP + "precondition", ABSENT | {"empty object"}, set(), "mainSteps[0].precondition"),
    (STEP + "precondition.StringEquals", {"missing"}, {"list", "empty list"}, "precondition.StringEquals"),
    (STEP + "inputs", OBJECT, ANY - OBJECT, "input"),
    (STEP + "inputs.runCommand", ABSENT | {"empty list"}, ANY - ABSENT - {"empty list"}, "runcommand"),
    (STEP + "inputs.workingDirectory", TEXT, ANY - TEXT, "working"),
    (STEP + "inputs.timeoutSeconds", ANY, set(), ""),
    (STEP + "inputs.onFailure", ANY, set(), ""),
]


def changed(path, value):
    """GOOD with another value at this path."""
    whole = copy.deepcopy(GOOD)
    *parents, last = [int(word) if word.isdigit() else word for word in path.split(".")]
    at = whole
    for word in parents:
        at = at[word]
    if value is MISSING:
        del at[last]
    else:
        at[last] = value
    return whole


def expect_alive(agent, pid):
    """The same process, which takes the next command as if nothing had been."""
    message = agent.hub.send(document("echo still here"))
    record = agent.wait_done(message)
    equal("the next command", record.results["step1"]["standardOutput"], "still here\n")
    equal("the process", agent.status()["pid"], pid)
    equal("unexpected events", agent.status()["n_unexpected"], 0)


def expect_refused(what, record, word):
    last = record.terminal[-1]["Body"]
    equal(f"{what}: sequence", record.sequence, ["reply:Failed"])
    check(last["documentTraceOutput"] and word in last["documentTraceOutput"],
          f"{what}: the text does not name {word!r}: {last['documentTraceOutput']!r}")
    equal(f"{what}: runtimeStatus", last["runtimeStatus"], None)


@suite.case
def each_field_of_payload_and_document_of_each_wrong_kind(world):
    agent = world.agent(workers=20).start().wait_until_serving()
    pid = agent.status()["pid"]
    sent = [(path, kind, agent.hub.send(payload=json.dumps(changed(path, value))))
            for path, *_ in FIELDS for kind, value in KINDS.items()]
    rules = {path: rule for path, *rule in FIELDS}
    # Each state of the hub is as long as all of them: a question a second, and a minute for each that ends.
    left = [message for _, _, message in sent]

    def is_any_over():
        over = {m["MessageId"] for m in agent.hub.state()["Messages"] if Record(m).terminal}
        n = len(left)
        left[:] = [message for message in left if message not in over]
        return len(left) < n
    while left:
        wait_for(lambda: f"another of {len(left)} commands to end", is_any_over, every=1)
    for path, kind, message in sent:
        runs, fails, word = rules[path]
        what = f"{path}: {kind}"
        record = agent.wait_terminal(message)
        equal(f"{what}: terminal replies", len(record.terminal), 1)
        if kind in runs:
            equal(f"{what}: status", record.terminal[0]["Status"], "Success")
        elif kind in fails:
            equal(f"{what}: status", record.terminal[0]["Status"], "Failed")
            result, = record.results.values()
            check(result["code"] != 0 and result["output"], f"{what}: no code or no reason: {result}")
            if path.startswith(STEP + "inputs") and result["code"] == 1:  # else the shell speaks
                check(word in result["output"].lower(), f"{what}: its reason does not name {word}: {result}")
        else:
            expect_refused(what, record, word)
    expect_alive(agent, pid)


def with_document(text):
    return json.dumps(GOOD).replace(json.dumps(GOOD["DocumentContent"]), text)


# Payloads that are wrong as a whole: what, payload, word that the refusal names.
PAYLOADS = [
    ("nothing", "", "payload"),
    ("not JSON", "this is not json", "payload"),
    ("half of it", json.dumps(GOOD)[:200], "payload"),
    ("more than one", json.dumps(GOOD) * 2, "payload"),
    ("null", "null", "payload"),
    ("a list", "[]", "payload"),
    ("a number", "5", "payload"),
    ("a number that is too large", with_document("1e999"), "payload"),
    ("a NUL in a name", json.dumps(GOOD).replace('"N"', '"N\\u0000"'), "payload"),
    ("65 levels", with_document(nested(65)), "payload"),
    ("100000 levels", with_document(nested(100000)), "payload"),
    ("a name of 5000 bytes", json.dumps(changed("DocumentName", "n" * 5000)), "DocumentName"),
    ("a million values", with_document("[" + "1," * 400000 + "1]"), "payload"),
    ("3000 steps", json.dumps(changed("DocumentContent.mainSteps", [
        {"action": "aws:runShellScript", "name": f"s{n}", "inputs": {"runCommand": ["true"]}} for n in range(3000)])),
     "step"),
]
# ... and those that look so but are good.
ODD = [
    ("a lone surrogate", json.dumps(GOOD).replace('"v"', '"\\ud800"'), "\ufffd\n"),
    ("a key twice: the last counts", json.dumps(GOOD).replace('"p": "v"', '"p": "first", "p": "v"'), "v\n"),
    ("other case of letters", json.dumps(GOOD).replace("DocumentContent", "dOCUMENTcONTENT"), "v\n"),
    ("an unknown field", json.dumps({**GOOD, "Surprise": {"a": [1]}}), "v\n"),
    ("a long script", json.dumps(changed(STEP + "inputs.runCommand", ["# " + "x" * 1000] * 300 + ["echo end"])),
     "end\n"),
]


@suite.case
def payloads_that_are_wrong_as_a_whole(world):
    agent = world.agent(workers=20).start().wait_until_serving()
    pid = agent.status()["pid"]
    bad = [(what, agent.hub.send(payload=payload), word) for what, payload, word in PAYLOADS]
    odd = [(what, agent.hub.send(payload=payload), out) for what, payload, out in ODD]
    absent = agent.hub.inject(MessageId=f"aws.ssm.{uuid.uuid4()}.{INSTANCE}", Destination=INSTANCE, Topic=SEND,
                              CreatedDate=iso())
    for what, message, word in [*bad, ("no payload", absent, "payload")]:
        expect_refused(what, agent.wait_terminal(message), word)
    for what, message, out in odd:
        result, = agent.wait_terminal(message).results.values()
        equal(f"{what}: output", result["standardOutput"], out)
    expect_alive(agent, pid)


@suite.case
def cancels_that_cannot_be_understood_are_failed_and_others_are_taken(world):
    agent = world.agent().start().wait_until_serving()
    pid = agent.status()["pid"]

    def send(payload, topic=CANCEL):
        return agent.hub.inject(MessageId=f"aws.ssm.{uuid.uuid4()}.{INSTANCE}", Destination=INSTANCE, Topic=topic,
                                CreatedDate=iso(), Payload=payload)
    bad = [send(payload) for payload in (
        "", "no json", "[]", "5", "{}", '{"CancelMessageId":null}', '{"CancelMessageId":5}', '{"CancelMessageId":""}',
        '{"CancelMessageId":["x"]}', '{"CancelMessageId":{}}', '{"CancelMessageId":"' + "x" * 5000 + '"}',
        nested(1000))]
    bad += [send("{}", topic) for topic in ("aws.ssm.unknown", "x", "aws.ssm", "sendCommand", "AWS.SSM.SENDCOMMAND")]
    good = [send(json.dumps({"CancelMessageId": target})) for target in (
        f"aws.ssm.{uuid.uuid4()}.{INSTANCE}", "never heard of", "../../etc/passwd", "%s%n", "x" * 500)]
    for message in bad:
        wait_for("FailMessage", lambda m=message: agent.record(m).of_kind("fail"))
        equal("the sequence", agent.record(message).sequence, ["FailMessage"])
        equal("the type", agent.record(message).of_kind("fail")[0]["Status"], "InternalHandlerException")
    for message in good:
        wait_for("the acknowledgement", lambda m=message: agent.record(m).of_kind("ack"))
        equal("the sequence", agent.record(message).sequence, ["reply:InProgress", "AcknowledgeMessage"])
    expect_alive(agent, pid)


@suite.case
def message_ids_are_only_names(world):
    """What would be dangerous as a path or in a format is neither."""
    agent = world.agent(workers=20).start().wait_until_serving()
    pid = agent.status()["pid"]
    ids = ["aws.ssm.../../../tmp/x." + INSTANCE, "aws.ssm..." + INSTANCE, "/etc/passwd-is-not-an-id",
           "%s%s%s%s%n%n%n%n%n", "aws.ssm.with space and 'quotes\"." + INSTANCE, "aws.ssm.\u00fcml\u00e4ut." + INSTANCE, "x" * 199,
           "aws.ssm.-rf." + INSTANCE]
    for message in ids:
        agent.hub.inject(MessageId=message, Destination=INSTANCE, Topic=SEND, CreatedDate=iso(),
                         Payload=json.dumps(GOOD))
    for message in ids:
        record = agent.wait_terminal(message)
        equal(f"{message}: terminal replies", len(record.terminal), 1)
        equal(f"{message}: output", record.results["s1"]["standardOutput"], "v\n")
    expect_alive(agent, pid)


class RawService(http.server.ThreadingHTTPServer):
    """A service that answers GetMessages with whatever bytes it is told, and notes the other calls."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), self.Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.changed = threading.Condition()
        self.bodies = []   # answers that wait to be fetched
        self.n_fetched = 0
        self.calls = []    # (operation, body)
        self.is_over = False
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def stop(self):
        with self.changed:
            self.is_over = True
            self.changed.notify_all()
        self.shutdown()
        self.server_close()

    def put(self, body):
        with self.changed:
            self.bodies.append(body)
            self.changed.notify_all()

    def calls_of(self, operation):
        with self.changed:
            return [body for name, body in self.calls if name == operation]

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            operation = self.headers["X-Amz-Target"].split(".")[1]
            answer = b"{}"
            with self.server.changed:
                if operation == "GetMessages":
                    self.server.changed.wait_for(lambda: self.server.bodies or self.server.is_over, 15)
                    if self.server.bodies and not self.is_given_up():
                        answer = self.server.bodies.pop(0)
                        self.server.n_fetched += 1
                else:
                    self.server.calls.append((operation, json.loads(body)))
            self.send_response(200)
            self.send_header("Content-Type", "application/x-amz-json-1.1")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def is_given_up(self):
            """ssmd waits no longer: the answer is for the next poll."""
            with contextlib.suppress(BlockingIOError):
                return self.connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
            return False

        def handle(self):
            with contextlib.suppress(ConnectionError):  # ssmd gives up what is too long for it
                super().handle()

        def log_message(self, *arguments):
            pass


def envelope(**changes):
    payload = json.dumps(GOOD)
    message = {"CreatedDate": iso(), "Destination": INSTANCE, "MessageId": f"aws.ssm.{uuid.uuid4()}.{INSTANCE}",
               "Payload": payload, "PayloadDigest": hashlib.sha256(payload.encode()).hexdigest(), "Topic": SEND}
    message.update(changes)
    return {key: value for key, value in message.items() if value is not MISSING}


def batch(*messages):
    return json.dumps({"Destination": INSTANCE, "MessagesRequestId": str(uuid.uuid4()), "Messages": messages})


@suite.case
def answers_of_get_messages_that_are_wrong_in_every_way(world):
    service = RawService()
    world.at_end.append(service.stop)
    agent = world.agent()
    agent.config["Mds"]["Endpoint"] = service.url
    agent.config["Ssmd"]["BackoffCapSeconds"] = 1
    agent.write_config()
    agent.start().wait_until_serving()
    pid = agent.status()["pid"]

    silent = []  # messages to which nothing may be said
    for name in ("Topic", "Destination", "MessageId", "CreatedDate"):
        silent += [envelope(**{name: value}) for value in (MISSING, None, "", 5, True, [], {}, "x" * 100000)]
    silent += [5, None, "text", [], {}]
    refused = [envelope(Payload=value) for value in (MISSING, None, "", 5, ["x"], {})]
    good = [envelope() for _ in range(3)]
    mixed = []
    for n, message in enumerate(silent + refused):  # the good ones stand between bad ones
        mixed.append(message)
        if n in (0, 20, len(silent) + 2):
            mixed.append(good[(0, 20, len(silent) + 2).index(n)])
    service.put(batch(*mixed).encode())
    whole = [b"", b"null", b"[]", b"5", b"<html>Log in to the network</html>", b"\xff\xfe\x00", b"{", b'{"Messages":5}',
             b'{"Messages":"x"}', b'{"Messages":{}}', b'{"Messages":null}', b'{"Messages":[[[[]]]]}',
             nested(100000).encode(), b'{"Messages":[' + b"1," * 300000 + b"1]}"]
    invalid = envelope()
    whole.append(batch(invalid).encode().replace(b"echo {{p}}", b"echo \xff\xc3("))
    for body in whole[:4]:
        service.put(body)
    last = envelope()
    service.put(batch(last).encode())

    def results():
        return {body["MessageId"]: json.loads(body["Payload"]) for body in service.calls_of("SendReply")
                if json.loads(body["Payload"])["documentStatus"] != "InProgress"}
    wait_for("the results of the good messages", lambda: all(m["MessageId"] in results() for m in [*good, last]))
    told = results()
    for message in good + [last]:
        equal("the result of a good message", told[message["MessageId"]]["documentStatus"], "Success")
    for message in refused:
        if message.get("MessageId") in told:
            equal("a message without a payload", told[message["MessageId"]]["documentStatus"], "Failed")
            check("payload" in told[message["MessageId"]]["documentTraceOutput"].lower(), "its text names no payload")
    for name in ("SendReply", "AcknowledgeMessage", "FailMessage"):
        said = {body["MessageId"] for body in service.calls_of(name)}
        known = {message["MessageId"] for message in good + refused + [last]}
        equal(f"{name} to messages that are none", said - known, set())
    for body in whole[4:]:
        fetched = service.n_fetched
        service.put(body)
        agent.ask(op="status")
        wait_for("the next poll", lambda f=fetched: service.n_fetched > f)
    after = envelope()
    service.put(batch(after).encode())
    wait_for("the result of the message after all", lambda: results().get(after["MessageId"]))
    equal("its status", results()[after["MessageId"]]["documentStatus"], "Success")
    equal("the process", agent.status()["pid"], pid)


if __name__ == "__main__":
    raise SystemExit(suite.main())
