#!/usr/bin/python3
"""The recorded behaviour of the reference agent, case by case, against the real ssmd.

Each file of tests/fixtures/conformance is one case: a document, what is done meanwhile, and what the
service saw. Recorded were ec2messages ("mds") and the control channel ("mgs"). Each case is played over both;
where one has only the latter, its results are compared on the former too. The sequences are the recorded ones
on ec2messages, else those that spec 03, sections 4 and 5, prescribe: the reference sends the replies of the
control channel side by side, so that what was recorded there is one of several orders.
"""
import glob
import hashlib
import json
import os
import re

import outputs
from harness import FIXTURES, INSTANCE, Suite, check, document, equal, wait_for, web

NO_DIRECTORY = "failed to run commands: working directory /nonexistent/dir: No such file or directory"
NOT_BEGUN = "Step step1 was cancelled before it began."

# Where we mean to differ: path in the expectation -> what is expected instead, and why.
DIFFERENCES = {
    "cancel-queued": (
        "a queued command that is cancelled ends as Cancelled; the reference says nothing and runs it after its"
        " next start (spec 03, section 12.4)",
        {"sequence": ["reply:InProgress", "AcknowledgeMessage", "reply:InProgress", "reply:Cancelled"],
         "documentStatus": "Cancelled", "runtimeStatusCounts": {"Cancelled": 1},
         "runtimeStatus": {"step1": {
             "status": "Cancelled", "code": 1, "name": "aws:runShellScript", "output": NOT_BEGUN,
             "startDateTime": "<time>", "endDateTime": "<time>", "outputS3BucketName": "",
             "outputS3KeyPrefix": "", "stepName": "", "standardOutput": "", "standardError": ""}}}),
    "sh-workdir-missing": (
        "the text names what is missing: the directory, not the shell",
        {"runtimeStatus.step1.standardError": NO_DIRECTORY,
         "runtimeStatus.step1.output": "\n----------ERROR-------\n" + NO_DIRECTORY}),
    "sh-utf8-cut-by-limit": (
        "the cut falls between characters",
        {"runtimeStatus.step1.standardOutput": "\u20ac" * 7993 + "--output truncated--",  # 23979 + 20 bytes
         "runtimeStatus.step1.output": "\u20ac" * 825 + "\n---Output truncated---"}),  # 2475 + 23 bytes
    "zz-reboot-194": (
        "that a reboot comes is said once, not twice",
        {"sequence": ["reply:InProgress", "AcknowledgeMessage", "reply:InProgress", "reply:SuccessAndReboot",
                      "reply:InProgress", "reply:Success"]}),
}

RESULT_KEYS = {"status", "code", "name", "output", "startDateTime", "endDateTime", "outputS3BucketName",
               "outputS3KeyPrefix", "stepName", "standardOutput", "standardError"}
ISO_MS = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\Z")


def load(name):
    with open(os.path.join(FIXTURES, "conformance", name + ".json"), encoding="utf-8") as f:
        return json.load(f)


def expectation(case, channel):
    """What is to be seen on ec2messages ("mds") or on the control channel ("mgs")."""
    recorded = case["expect"].get("mgs", {}).get("sequence", [])
    expect = case["expect"].get("mds")
    if expect is None:
        expect = {key: value for key, value in case["expect"]["mgs"].items() if key != "sequence"}
    for path, value in DIFFERENCES.get(case["name"], ("", {}))[1].items():
        at = expect
        *parents, last = path.split(".")
        for key in parents:
            at = at[key]
        at[last] = value
    if "sequence" not in expect:
        expect["sequence"] = ["reply:" + expect["documentStatus"]]
        if expect["runtimeStatusCounts"] is not None:
            results = ["reply:InProgress"] * len(expect["runtimeStatus"])
            expect["sequence"] = ["reply:InProgress", "AcknowledgeMessage", *results, *expect["sequence"]]
    if channel == "mgs":
        expect["sequence"] = over_control_channel(case, expect["sequence"])
        if "sequence" not in DIFFERENCES.get(case["name"], ("", {}))[1]:
            equal("the calls that were recorded, in whatever order", sorted(recorded), sorted(expect["sequence"]))
    return expect


def over_control_channel(case, sequence):
    """There the acknowledgement comes first, also of what cannot be run, and is all that a duplicate gets."""
    if "AcknowledgeMessage" not in sequence:
        return ["agent_job_ack", *sequence]
    again = ["agent_job_ack"] if case["name"].startswith("dup-") else []
    return ["agent_job_ack", "reply:InProgress", *again, *sequence[4 if again else 2:]]


def ack_codes(case, expect):
    if expect["runtimeStatusCounts"] is None:
        return ["51408"]
    return ["200", "51405"] if case["name"].startswith("dup-") else ["200"]


def compare_text(what, got, want):
    if isinstance(want, dict):  # too long to be written out
        data = got.encode("utf-8")
        got = {"bytes": len(data), "length": len(got), "head": got[:len(want["head"])],
               "tail": got[-len(want["tail"]):], "sha256": hashlib.sha256(data).hexdigest()}
    equal(what, got, want)


def compare_result(step, got, want):
    equal(f"{step}: the set of its fields", set(got), RESULT_KEYS)
    for key, value in want.items():
        if value == "<time>":
            check(ISO_MS.match(got[key]), f"{step}.{key} is {got[key]!r}, wanted a time")
        else:
            compare_text(f"{step}.{key}", got[key], value)


def compare(record, expect, channel):
    last = record.terminal[-1]["Body"]
    equal("the number of terminal statuses", len({r["Status"] for r in record.terminal
                                                  if r["Status"] != "SuccessAndReboot"}), 1)
    equal("documentStatus", last["documentStatus"], expect["documentStatus"])
    equal("runtimeStatusCounts", last["additionalInfo"]["runtimeStatusCounts"], expect["runtimeStatusCounts"])
    results = record.results
    equal("the steps with results", sorted(results), sorted(expect["runtimeStatus"]))
    for step, want in expect["runtimeStatus"].items():
        compare_result(step, results[step], want)
    if expect["runtimeStatusCounts"] is None:
        equal("runtimeStatus", last["runtimeStatus"], None)
        check(last["documentTraceOutput"], "a document that cannot be run is refused without a reason")
    else:
        equal("runtimeStatus of the final reply", last["runtimeStatus"], results if len(results) == 1 else {})
        equal("documentTraceOutput", last["documentTraceOutput"], "")
    for reply in record.replies:
        info = reply["Body"]["additionalInfo"]
        equal("ableToOpenMGSConnection", info.get("ableToOpenMGSConnection"), False if channel == "mds" else None)
        equal("its presence", "ableToOpenMGSConnection" in info, channel == "mds")
        equal("runId", reply["Body"]["additionalInfo"]["runId"], "")
    equal("the sequence of calls", record.sequence, expect["sequence"])


def content_proxy(world, case):
    """Where the web server of the recordings was: a proxy that answers for it. Nothing else goes through it."""
    if not case["name"].startswith("download-http"):
        return {}

    def answer(request):
        equal("the URL asked for", request.path, "http://content.harness.test/script.sh")
        return 200, {}, b"#!/bin/sh\necho downloaded script ran\n"
    return {"http_proxy": web(world, answer)}


class Play:
    """One case under way."""

    def __init__(self, world, case, channel):
        self.world = world
        self.case = case
        self.ack = "ack" if channel == "mds" else "agent_job_ack"
        self.hub = world.hub(control=channel == "mgs")
        for name, content in case.get("ssm_documents", {}).items():
            self.hub.ssm.create_document(Name=name, Content=json.dumps(content), DocumentType="Command")
        for path, content in case.get("s3_objects", {}).items():
            bucket, key = path.split("/", 1)
            self.hub.client("s3").create_bucket(Bucket=bucket)
            self.hub.client("s3").put_object(Bucket=bucket, Key=key, Body=content.encode())
        self.agent = outputs.make_agent(world, self.hub, environment=content_proxy(world, case)).start()
        if case.get("s3_bucket"):
            outputs.client(self.hub, "s3").create_bucket(Bucket=case["s3_bucket"])
        if channel == "mgs":
            self.hub.wait_channel()
        self.blockers = [self.hub.send(document(f"while [ ! -e {world.path('go')} ]; do sleep 0.05; done"))
                         for _ in range(case.get("blockers", 0))]
        for blocker in self.blockers:
            self.agent.wait_state(blocker, "running")

    def send(self):
        for key, value in self.case.get("ssm_parameters", {}).items():
            parameter = value if isinstance(value, dict) else {"Type": "String", "Value": value}
            self.hub.ssm.put_parameter(Name=key, Type=parameter["Type"], Value=parameter["Value"])
        text = json.dumps(self.case.get("document")).replace("@COUNT@", self.world.path("count"))
        text = text.replace("@GO@", self.world.path("go"))
        self.message = self.hub.send(json.loads(text), self.case["parameters"],
                                     name=self.case.get("document_name", "harness"),
                                     payload=self.case.get("raw_payload"),
                                     created_offset=self.case.get("created_offset", 0),
                                     OutputS3BucketName=self.case.get("s3_bucket", ""),
                                     OutputS3KeyPrefix=self.case.get("s3_prefix", ""),
                                     CloudWatchOutputEnabled=str(self.case.get("cw_enabled", False)).lower(),
                                     CloudWatchLogGroupName=self.case.get("cw_group", ""))

    def wait_running(self):
        """It runs when it has written something: to its output or where it counts itself."""
        def has_written():
            outputs = glob.glob(os.path.join(self.agent.jobs_dir, "*", "0.1", "stdout"))
            return any(os.path.getsize(path) for path in outputs) or self.world.lines("count")
        wait_for("the script to have written something", has_written)

    def cancel(self):
        if self.blockers:
            self.agent.wait_state(self.message, "queued")
        self.hub.cancel(self.message)

    def send_again(self):
        wait_for("the first acknowledgement", lambda: self.agent.record(self.message).of_kind(self.ack))
        self.hub.redeliver(self.message)
        wait_for("the second acknowledgement", lambda: len(self.agent.record(self.message).of_kind(self.ack)) == 2)
        self.world.touch("go")

    def reboot(self):
        wait_for("the reboot to be asked for", lambda: self.agent.reboots_asked == 1)
        wait_for("SuccessAndReboot to be told", lambda: any(
            reply["Status"] == "SuccessAndReboot" for reply in self.agent.record(self.message).replies))
        # What was told and is not in the journal as such yet is told again by the next start, and rightly so.
        wait_for("all of it to be in the journal", lambda: not self.agent.query(
            "SELECT 1 FROM outbox WHERE ended_unix_ms IS NULL"))
        self.agent.lose_power()
        self.agent.start()

    def finish(self):
        def is_over():
            return any(r["Status"] != "SuccessAndReboot" for r in self.agent.record(self.message).terminal)
        wait_for("the terminal reply", is_over)
        self.agent.wait_state(self.message, "done")
        return self.agent.record(self.message)


def put_names(text, message):
    return text.replace("<command>", message.split(".")[2]).replace("<instance>", INSTANCE)


def without_last_newline(stream, events):
    """It is dropped from stdout where the file was complete when it was read (spec 03, section 11): who reads it a
    moment before its end sends it. That of stderr always stays."""
    if stream.endswith("/stdout") and events and events[-1].endswith("\n"):
        return [*events[:-1], events[-1][:-1]]
    return events


def compare_outputs(play, expect):
    """What was put elsewhere: nothing more than what is expected, either."""
    if "s3" in expect:
        want = {key: text.encode() for key, text in expect["s3"].items()}
        bucket = play.case["s3_bucket"]
        equal("objects", {f"{bucket}/{key}": data for key, data in outputs.objects(play.hub, bucket).items()}, want)
    if "logs" in expect:
        group = play.case["cw_group"]
        got = {f"{group}|{stream}": outputs.events(play.hub, group, stream)
               for stream in outputs.streams(play.hub, group)}
        equal("log events", {stream: without_last_newline(stream, events) for stream, events in got.items()},
              expect["logs"])


def run(world, name, channel):
    case = load(name)
    expect = expectation(case, channel)
    play = Play(world, case, channel)
    play.send()
    for action in case.get("actions", []):
        getattr(play, action["do"])()
    record = play.finish()
    expect = json.loads(put_names(json.dumps(expect), play.message))
    compare(record, expect, channel)
    compare_outputs(play, expect)
    if "executions" in expect:
        equal("what the script counted", world.lines("count"), expect["executions"])
    world.touch("go")
    for blocker in play.blockers:
        equal("the blocker's status", play.agent.wait_terminal(blocker).terminal[0]["Status"], "Success")


suite = Suite("recorded behaviour of the reference agent", jobs=6)
for file in sorted(glob.glob(os.path.join(FIXTURES, "conformance", "*.json"))):
    NAME = os.path.basename(file)[:-len(".json")]
    for CHANNEL in ("mds", "mgs") if "mgs" in load(NAME)["expect"] else ("mds",):
        suite.add(NAME + (" over the control channel" if CHANNEL == "mgs" else "") +
                  (f": differs, {DIFFERENCES[NAME][0]}" if NAME in DIFFERENCES else ""), run, NAME, CHANNEL)

if __name__ == "__main__":
    raise SystemExit(suite.main())
