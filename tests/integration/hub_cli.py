#!/usr/bin/python3
"""ssmhub as its users meet it: operators with the stock AWS CLI, agents with signed HTTP calls.

usage: hub_cli.py PATH-OF-SSMHUB [unittest options]

The CLI's own code runs in this process (one start of /usr/bin/aws costs a second); one test drives the
program itself. The agent here is a fake: it says what a test wants said.
"""
import contextlib
import email.utils
import hashlib
import http.client
import io
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import uuid

import awscli.clidriver
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

HUB = None
INSTANCE = "i-0123456789abcdef0"
OTHER = "mi-0123456789abcdef1"

for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_CA_BUNDLE"):
    os.environ.pop(name, None)
os.environ.update(AWS_DEFAULT_REGION="us-east-1", AWS_MAX_ATTEMPTS="1", AWS_PAGER="",
                  AWS_CONFIG_FILE="/dev/null", AWS_EC2_METADATA_DISABLED="true")


class Refused(Exception):
    def __init__(self, status, body):
        super().__init__(f"{status} {body}")
        self.status = status
        self.code = body.get("__type") if isinstance(body, dict) else None
        self.message = body.get("message") if isinstance(body, dict) else body


class Hub:
    """A running ssmhub in a directory of its own."""

    def __init__(self, *options, directory=None, port=0):
        self.dir = directory or tempfile.mkdtemp(prefix="hub-test-")
        self.port_file = os.path.join(self.dir, "port")
        if os.path.exists(self.port_file):
            os.unlink(self.port_file)
        self.log = open(os.path.join(self.dir, "log"), "ab")
        self.process = subprocess.Popen(
            [HUB, "--dir", self.dir, "--listen", f"127.0.0.1:{port}", "--port-file", self.port_file, *options],
            stdout=subprocess.PIPE, stderr=self.log, text=True)
        self.url = self.process.stdout.readline().split()[1]
        self.port = int(self.url.rsplit(":", 1)[1])
        with open(os.path.join(self.dir, "credentials"), encoding="ascii") as f:
            values = dict(line.strip().split(" = ") for line in f if " = " in line)
        self.credentials = Credentials(values["aws_access_key_id"], values["aws_secret_access_key"])

    def stop(self, keep=False):
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(60)
        self.process.stdout.close()
        self.log.close()
        if not keep:
            shutil.rmtree(self.dir)
        return status

    def connect(self, timeout=60):
        if self.url.startswith("https:"):
            context = ssl.create_default_context(cafile=os.path.join(self.dir, "cert.pem"))
            return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=timeout, context=context)
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)

    def signed(self, service, target, body, credentials=None, region="us-east-1"):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        request = AWSRequest("POST", self.url + "/", data=data, headers={
            "Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": target,
            "Host": f"127.0.0.1:{self.port}"})
        SigV4Auth(credentials or self.credentials, service, region).add_auth(request)
        return data, dict(request.headers.items())

    def post(self, path, data, headers, timeout=60):
        connection = self.connect(timeout)
        try:
            connection.request("POST", path, data, headers)
            response = connection.getresponse()
            text = response.read()
            self.last_headers = response.headers
            answer = json.loads(text) if text else {}
            if response.status != 200:
                raise Refused(response.status, answer)
            return answer
        finally:
            connection.close()

    def call(self, service, target, body, credentials=None, region="us-east-1", timeout=60):
        data, headers = self.signed(service, target, body, credentials, region)
        return self.post("/", data, headers, timeout)

    def ssm(self, operation, **body):
        return self.call("ssm", f"AmazonSSM.{operation}", body)

    # test calls

    def state(self):
        connection = self.connect()
        connection.request("GET", "/_state")
        answer = json.loads(connection.getresponse().read())
        connection.close()
        return answer

    def events(self, message_id):
        return next(m for m in self.state()["Messages"] if m.get("MessageId") == message_id)["Events"]

    def invocation(self, command_id):
        command = next(c for c in self.state()["Commands"] if c["CommandId"] == command_id)
        return command["Invocations"][0]

    def fault(self, **rule):
        return self.post("/_faults", json.dumps({"faults": [rule]}), {})

    def redeliver(self, message_id):
        return self.post("/_faults", json.dumps({"redeliver": message_id}), {})

    def inject(self, **message):
        return self.post("/_inject", json.dumps(message), {})

    # the AWS CLI

    def aws(self, *args, is_program=False):
        words = ["--endpoint-url", self.url, "ssm", *args]
        os.environ["AWS_SHARED_CREDENTIALS_FILE"] = os.path.join(self.dir, "credentials")
        if is_program:
            done = subprocess.run(["/usr/bin/aws", *words], capture_output=True, text=True, timeout=60)
            status, out, err = done.returncode, done.stdout, done.stderr
        else:
            stdout, stderr = io.StringIO(), io.StringIO()
            with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
                status = awscli.clidriver.create_clidriver().main(words)
            out, err = stdout.getvalue(), stderr.getvalue()
        if status != 0:
            code = re.search(r"An error occurred \((\w+)\)", err)
            raise Refused(status, {"__type": code.group(1) if code else err, "message": err})
        return json.loads(out) if out.strip() else {}


class Agent:
    """Says to the hub what an agent would."""

    def __init__(self, hub, instance=INSTANCE):
        self.hub, self.instance = hub, instance

    def mds(self, operation, timeout=60, **body):
        return self.hub.call("ec2messages", f"EC2WindowsMessageDeliveryService.{operation}", body, timeout=timeout)

    def poll(self, visibility=600, timeout=60):
        return self.mds("GetMessages", timeout=timeout, Destination=self.instance,
                        MessagesRequestId=str(uuid.uuid4()), VisibilityTimeoutInSeconds=visibility)["Messages"]

    def ack(self, message):
        return self.mds("AcknowledgeMessage", MessageId=message["MessageId"])

    def reply(self, message_id, status, steps=None, reply_id=None, trace=""):
        payload = {"additionalInfo": {"agent": {"lang": "en-US", "name": "amazon-ssm-agent", "os": "linux",
                                                "osver": "1", "ver": "3.3.0.0"},
                                      "dateTime": "2024-05-04T17:07:29.450Z", "runId": "",
                                      "runtimeStatusCounts": None, "ableToOpenMGSConnection": True},
                   "documentStatus": status, "documentTraceOutput": trace, "runtimeStatus": steps}
        return self.mds("SendReply", MessageId=message_id, Payload=json.dumps(payload),
                        ReplyId=reply_id or str(uuid.uuid4()))

    @staticmethod
    def step(status="Success", code=0, stdout="hello\n", stderr="", name="aws:runShellScript", **more):
        return {"status": status, "code": code, "name": name, "output": stdout + stderr,
                "startDateTime": "2024-05-04T17:07:28.220Z", "endDateTime": "2024-05-04T17:07:29.380Z",
                "outputS3BucketName": "", "outputS3KeyPrefix": "", "stepName": "",
                "standardOutput": stdout, "standardError": stderr, **more}

    def finish(self, message, status="Success", steps=None):
        self.reply(message["MessageId"], "InProgress")
        self.ack(message)
        self.reply(message["MessageId"], status, steps or {"aws:runShellScript": self.step(status)})


def document(*steps, **parameters):
    return json.dumps({"schemaVersion": "2.2", "description": "a test", "parameters": parameters, "mainSteps": [
        {"action": "aws:runShellScript", "name": name, "inputs": {"runCommand": ["true"]}} for name in steps]})


class Case(unittest.TestCase):
    hub = None

    @classmethod
    def setUpClass(cls):
        cls.hub = Hub("--faults", "--poll-seconds", "1", "--instance", INSTANCE, "--instance", OTHER)
        cls.agent = Agent(cls.hub)

    @classmethod
    def tearDownClass(cls):
        assert cls.hub.stop() == 0

    def setUp(self):
        self.hub.post("/_faults", json.dumps({"clear": True}), {})
        for instance in (INSTANCE, OTHER):  # leave nothing for the next test
            for message in self.hub.state()["Messages"]:
                if message["State"] == "queued" and "MessageId" in message and len(message["MessageId"]) >= 16:
                    self.agent.mds("DeleteMessage", MessageId=message["MessageId"])

    def refused(self, code, function, *args, **kwargs):
        with self.assertRaises(Refused) as caught:
            function(*args, **kwargs)
        self.assertEqual(caught.exception.code, code, caught.exception.message)
        return caught.exception

    def send(self, *extra, instance=INSTANCE, commands=("echo hello",), **more):
        return self.hub.ssm("SendCommand", DocumentName="AWS-RunShellScript", InstanceIds=[instance],
                            Parameters={"commands": list(commands)}, **more)["Command"]["CommandId"]

    def result(self, command_id, instance=INSTANCE, **more):
        return self.hub.ssm("GetCommandInvocation", CommandId=command_id, InstanceId=instance, **more)


class LifeOfACommand(Case):
    def test_whole_life_with_the_program_aws(self):
        sent = self.hub.aws("send-command", "--document-name", "AWS-RunShellScript", "--instance-ids", INSTANCE,
                            "--parameters", 'commands=["echo hello","pwd"],executionTimeout=60',
                            "--comment", "a comment", "--timeout-seconds", "600", is_program=True)["Command"]
        self.assertEqual((sent["Status"], sent["TargetCount"], sent["CompletedCount"]), ("Pending", 1, 0))
        message, = self.agent.poll()
        self.assertEqual(message["Topic"], "aws.ssm.sendCommand.us.east.1.1")
        self.assertEqual(message["MessageId"], f"aws.ssm.{sent['CommandId']}.{INSTANCE}")
        payload = json.loads(message["Payload"])
        self.assertEqual(payload["Parameters"], {"commands": ["echo hello", "pwd"], "executionTimeout": "60"})
        self.assertEqual(payload["CommandId"], sent["CommandId"])
        self.assertEqual(payload["DocumentName"], "AWS-RunShellScript")
        self.assertEqual(payload["CloudWatchOutputEnabled"], "false")
        self.agent.finish(message)
        got = self.hub.aws("get-command-invocation", "--command-id", sent["CommandId"], "--instance-id", INSTANCE,
                           is_program=True)
        self.assertEqual((got["Status"], got["StatusDetails"], got["ResponseCode"]), ("Success", "Success", 0))
        self.assertEqual(got["StandardOutputContent"], "hello\n")
        self.assertEqual(got["PluginName"], "aws:runShellScript")
        self.assertEqual(got["ExecutionElapsedTime"], "PT1.160S")
        self.assertEqual(got["Comment"], "a comment")

    def test_built_in_document_is_the_one_of_the_conformance_cases(self):
        content = json.loads(self.hub.ssm("GetDocument", Name="AWS-RunShellScript")["Content"])
        self.assertEqual(content["schemaVersion"], "1.2")
        self.assertEqual(list(content["parameters"]), ["commands", "workingDirectory", "executionTimeout"])
        self.assertEqual(content["runtimeConfig"]["aws:runShellScript"]["properties"][0]["id"], "0.aws:runShellScript")

    def test_payload_digest_is_the_hash_of_the_payload(self):
        self.send(commands=["echo \u017elu\u0165 \"quoted\" <&>"])
        message, = self.agent.poll()
        self.assertEqual(message["PayloadDigest"], hashlib.sha256(message["Payload"].encode()).hexdigest())

    def test_pending_and_in_progress_are_shown(self):
        command = self.send()
        self.assertEqual((self.result(command)["Status"], self.result(command)["ResponseCode"]), ("Pending", -1))
        message, = self.agent.poll()
        self.agent.reply(message["MessageId"], "InProgress")
        self.assertEqual(self.result(command)["Status"], "InProgress")

    def test_output_destinations_reach_the_agent(self):
        self.send(OutputS3BucketName="bucket", OutputS3KeyPrefix="pre/fix",
                  CloudWatchOutputConfig={"CloudWatchLogGroupName": "group", "CloudWatchOutputEnabled": True})
        payload = json.loads(self.agent.poll()[0]["Payload"])
        self.assertEqual([payload[k] for k in ("OutputS3BucketName", "OutputS3KeyPrefix", "CloudWatchLogGroupName",
                                               "CloudWatchOutputEnabled")], ["bucket", "pre/fix", "group", "true"])

    def test_failed_document_without_acknowledgement_ends_the_command(self):
        command = self.send()
        message, = self.agent.poll(visibility=0)
        self.agent.reply(message["MessageId"], "Failed", trace="schema version 2.1 is not supported")
        self.assertEqual(self.result(command)["Status"], "Failed")
        self.assertIn("2.1", self.result(command)["StandardErrorContent"])
        self.assertEqual(self.agent.poll(visibility=0), [])

    def test_steps_of_a_document_are_named(self):
        self.hub.ssm("CreateDocument", Name="TwoSteps", Content=document("first", "second"), DocumentType="Command")
        command = self.hub.ssm("SendCommand", DocumentName="TwoSteps", InstanceIds=[INSTANCE])["Command"]["CommandId"]
        message, = self.agent.poll()
        self.agent.reply(message["MessageId"], "InProgress", {"first": Agent.step()})
        self.agent.reply(message["MessageId"], "Failed", {})
        # the last step's own result may come after the final reply
        self.agent.reply(message["MessageId"], "InProgress", {"second": Agent.step("Failed", 3, "", "no\n")})
        self.refused("InvalidPluginName", self.result, command)
        self.refused("InvalidPluginName", self.result, command, PluginName="third")
        self.assertEqual(self.result(command, PluginName="first")["Status"], "Success")
        second = self.result(command, PluginName="second")
        self.assertEqual((second["Status"], second["ResponseCode"], second["StandardErrorContent"]),
                         ("Failed", 3, "no\n"))
        listed, = self.hub.ssm("ListCommandInvocations", CommandId=command, Details=True)["CommandInvocations"]
        self.assertEqual([p["Name"] for p in listed["CommandPlugins"]], ["first", "second"])
        self.assertEqual(listed["Status"], "Failed")

    def test_targets_by_instance_id_and_counts(self):
        command = self.hub.ssm("SendCommand", DocumentName="AWS-RunShellScript", Comment="\u017e" * 100,
                               Targets=[{"Key": "InstanceIds", "Values": [INSTANCE]},
                                        {"Key": "instanceids", "Values": [OTHER]}],
                               Parameters={"commands": ["true"]})["Command"]
        self.assertEqual((command["TargetCount"], command["Comment"]), (2, "\u017e" * 100))
        self.agent.finish(self.agent.poll()[0])
        listed, = self.hub.ssm("ListCommands", CommandId=command["CommandId"])["Commands"]
        self.assertEqual((listed["Status"], listed["CompletedCount"]), ("InProgress", 1))
        other = Agent(self.hub, OTHER)
        other.finish(other.poll()[0], "Failed")
        listed, = self.hub.ssm("ListCommands", CommandId=command["CommandId"])["Commands"]
        self.assertEqual((listed["Status"], listed["CompletedCount"], listed["ErrorCount"]), ("Failed", 2, 1))

    def test_pages_have_every_command_once(self):
        sent = [self.send() for _ in range(7)]
        seen, token = [], None
        while True:
            page = self.hub.ssm("ListCommands", MaxResults=3, **({"NextToken": token} if token else {}))
            seen += [c["CommandId"] for c in page["Commands"]]
            token = page.get("NextToken")
            if token is None:
                break
        self.assertEqual(seen[:7], sent[::-1])
        self.assertEqual(len(seen), len(set(seen)))
        self.assertEqual(len(self.hub.aws("list-commands", "--max-items", "2")["Commands"]), 2)

    def test_filters(self):
        command = self.send()
        self.agent.finish(self.agent.poll()[0])

        def ids(**filters):
            rows = [{"key": key, "value": value} for key, value in filters.items()]
            return [c["CommandId"] for c in self.hub.ssm("ListCommands", Filters=rows)["Commands"]]

        self.assertIn(command, ids(Status="Success", DocumentName="AWS-RunShellScript"))
        self.assertNotIn(command, ids(Status="Failed"))
        self.assertIn(command, ids(InvokedAfter="2020-01-01T00:00:00Z"))
        self.assertNotIn(command, ids(InvokedBefore="2020-01-01T00:00:00Z"))
        self.assertIn(command, ids(ExecutionStage="Complete"))


class Delivery(Case):
    def test_an_idle_poll_ends_empty_after_its_time(self):
        begin = time.monotonic()
        self.assertEqual(self.agent.poll(), [])
        self.assertGreaterEqual(time.monotonic() - begin, 0.9)

    def test_a_waiting_poll_is_woken_by_a_command(self):
        hub = Hub("--faults", "--poll-seconds", "60", "--instance", INSTANCE)
        self.addCleanup(hub.stop)
        got = []
        thread = threading.Thread(target=lambda: got.extend(Agent(hub).poll(timeout=90)))
        thread.start()
        self.wait_for_poll(hub)
        begin = time.monotonic()
        hub.ssm("SendCommand", DocumentName="AWS-RunShellScript", InstanceIds=[INSTANCE],
                Parameters={"commands": ["true"]})
        thread.join(90)
        self.assertEqual(len(got), 1)
        self.assertLess(time.monotonic() - begin, 50)  # else it waited for its end

    def wait_for_poll(self, hub):
        """Until the hub has read the request of a poll: the socket's queue on this side cannot tell, the
        established connection can."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with open("/proc/net/tcp", encoding="ascii") as f:
                rows = [line.split() for line in f][1:]
            port = f":{hub.port:04X}"
            if any(r[1].endswith(port) and r[3] == "01" and r[4] == "00000000:00000000" for r in rows):
                return
        self.fail("the poll did not connect")

    def test_up_to_ten_messages_in_one_answer_in_order(self):
        sent = [self.send() for _ in range(12)]
        first, second = self.agent.poll(), self.agent.poll()
        self.assertEqual((len(first), len(second)), (10, 2))
        self.assertEqual([m["MessageId"].split(".")[2] for m in first + second], sent)

    def test_an_unacknowledged_message_comes_again_after_its_visibility_time(self):
        self.send()
        first, = self.agent.poll(visibility=1)
        again, = self.agent.poll(visibility=1)  # waits until it is visible
        self.assertEqual(first["MessageId"], again["MessageId"])
        self.agent.reply(again["MessageId"], "InProgress")  # not an end
        again, = self.agent.poll(visibility=1)
        self.agent.ack(again)
        self.assertEqual(self.agent.poll(visibility=1), [])

    def test_a_message_goes_to_the_poll_that_is_alive(self):
        data, headers = self.hub.signed("ec2messages", "EC2WindowsMessageDeliveryService.GetMessages",
                                        {"Destination": INSTANCE, "MessagesRequestId": str(uuid.uuid4()),
                                         "VisibilityTimeoutInSeconds": 600})
        dead = self.hub.connect()
        dead.request("POST", "/", data, headers)
        dead.sock.shutdown(socket.SHUT_RDWR)
        dead.close()
        self.send()
        self.assertEqual(len(self.agent.poll()), 1)

    def test_a_poll_that_was_given_up_before_it_was_read_gets_nothing(self):
        poll = {"Destination": INSTANCE, "MessagesRequestId": str(uuid.uuid4()), "VisibilityTimeoutInSeconds": 600}
        send = {"DocumentName": "AWS-RunShellScript", "InstanceIds": [INSTANCE], "Parameters": {"commands": ["true"]}}
        for is_first in (True, False, True, False):
            calls = [("ec2messages", "EC2WindowsMessageDeliveryService.GetMessages", poll), ("ssm", "AmazonSSM.SendCommand", send)]
            self.hub.process.send_signal(signal.SIGSTOP)  # a busy machine: both are there when it goes on
            try:
                for service, target, body in calls if is_first else calls[::-1]:
                    connection = self.hub.connect()
                    data, headers = self.hub.signed(service, target, body)
                    connection.request("POST", "/", data, headers)
                    if service == "ssm":
                        sender = connection
                    else:
                        connection.close()
            finally:
                self.hub.process.send_signal(signal.SIGCONT)
            self.assertEqual(sender.getresponse().status, 200)
            sender.close()
            message, = self.agent.poll()
            self.agent.ack(message)

    def test_fail_message_makes_the_command_undeliverable(self):
        command = self.send()
        message, = self.agent.poll()
        self.agent.mds("FailMessage", MessageId=message["MessageId"], FailureType="InternalHandlerException")
        self.assertEqual(self.result(command)["StatusDetails"], "Undeliverable")

    def test_no_reply_for_an_unknown_message(self):
        for operation, more in (("AcknowledgeMessage", {}), ("DeleteMessage", {}),
                                ("SendReply", {"ReplyId": "r" * 16, "Payload": "{}"}),
                                ("FailMessage", {"FailureType": "NoHandlerExists"})):
            self.refused("InvalidMessageIdException", self.agent.mds, operation,
                         MessageId="aws.ssm.there-is-none", **more)

    def test_delivery_times_out(self):
        hub = Hub("--faults", "--poll-seconds", "1", "--instance", INSTANCE)
        command = hub.ssm("SendCommand", DocumentName="AWS-RunShellScript", InstanceIds=[INSTANCE],
                          Parameters={"commands": ["true"], "executionTimeout": ["150"]},
                          TimeoutSeconds=30)["Command"]["CommandId"]
        running = hub.ssm("SendCommand", DocumentName="AWS-RunShellScript", InstanceIds=[INSTANCE],
                          Parameters={"commands": ["true"], "executionTimeout": ["150"]},
                          TimeoutSeconds=30)["Command"]["CommandId"]
        Agent(hub).poll(visibility=0)
        Agent(hub).mds("AcknowledgeMessage", MessageId=f"aws.ssm.{running}.{INSTANCE}")
        hub.stop(keep=True)
        hub = Hub("--faults", "--poll-seconds", "1", "--date-offset", "31", directory=hub.dir)
        # the hub is ahead of this machine, which is within the five minutes of a signature
        ended = hub.ssm("GetCommandInvocation", CommandId=command, InstanceId=INSTANCE)
        self.assertEqual((ended["Status"], ended["StatusDetails"]), ("TimedOut", "DeliveryTimedOut"))
        self.assertEqual(hub.ssm("GetCommandInvocation", CommandId=running, InstanceId=INSTANCE)["Status"],
                         "InProgress")
        self.assertEqual(Agent(hub).poll(visibility=0), [])
        hub.stop(keep=True)
        hub = Hub("--faults", "--date-offset", "200", directory=hub.dir)
        self.addCleanup(hub.stop)
        ended = hub.ssm("GetCommandInvocation", CommandId=running, InstanceId=INSTANCE)
        self.assertEqual((ended["Status"], ended["StatusDetails"]), ("TimedOut", "ExecutionTimedOut"))


class Replies(Case):
    def deliver(self):
        command = self.send()
        message, = self.agent.poll()
        self.agent.ack(message)
        return command, message["MessageId"]

    def test_a_reply_may_come_again(self):
        command, message = self.deliver()
        for _ in range(3):
            self.agent.reply(message, "Success", {"aws:runShellScript": Agent.step()}, reply_id="r" * 36)
        self.assertEqual(self.hub.invocation(command)["TerminalReplies"], 1)
        self.assertEqual([e["IsRepeat"] for e in self.hub.events(message) if e["Kind"] == "reply"],
                         [False, True, True])

    def test_a_terminal_status_stands(self):
        command, message = self.deliver()
        self.agent.reply(message, "Failed", {"aws:runShellScript": Agent.step("Failed", 1)})
        for status in ("InProgress", "Success", "SuccessAndReboot", "Cancelled", "TimedOut", "Failed"):
            self.agent.reply(message, status, {"aws:runShellScript": Agent.step("Success")})
            self.assertEqual((self.result(command)["Status"], self.result(command)["ResponseCode"]), ("Failed", 1))
        self.assertEqual(self.hub.invocation(command)["TerminalReplies"], 5)
        verdicts = [e["Verdict"] for e in self.hub.events(message) if e["Kind"] == "reply"]
        self.assertEqual(verdicts, ["taken", "late", "conflict", "late", "conflict", "conflict", "repeat"])

    def test_a_reboot_is_not_an_end(self):
        command, message = self.deliver()
        self.agent.reply(message, "SuccessAndReboot", {"aws:runShellScript": Agent.step("SuccessAndReboot", 194)})
        self.assertEqual(self.result(command)["Status"], "InProgress")
        self.agent.reply(message, "Success", {"aws:runShellScript": Agent.step(stdout="both halves\n")})
        self.assertEqual(self.result(command)["StandardOutputContent"], "both halves\n")

    def test_everything_is_recorded_in_order(self):
        command = self.send()
        message, = self.agent.poll()
        self.agent.finish(message)
        events = self.hub.events(message["MessageId"])
        self.assertEqual([(e["Kind"], e.get("Status", "")) for e in events],
                         [("delivered", ""), ("reply", "InProgress"), ("ack", ""), ("reply", "Success")])
        self.assertEqual(self.hub.invocation(command)["TerminalReplies"], 1)

    def test_an_unreadable_reply_changes_nothing(self):
        command, message = self.deliver()
        self.agent.mds("SendReply", MessageId=message, ReplyId="r" * 16, Payload="this is not json")
        self.assertEqual(self.result(command)["Status"], "InProgress")
        self.assertEqual(self.hub.events(message)[-1]["Verdict"], "unreadable")

    def test_a_restart_of_the_hub_loses_nothing(self):
        hub = Hub("--faults", "--poll-seconds", "1", "--instance", INSTANCE)
        agent = Agent(hub)
        command = hub.ssm("SendCommand", DocumentName="AWS-RunShellScript", InstanceIds=[INSTANCE],
                          Parameters={"commands": ["true"]})["Command"]["CommandId"]
        message, = agent.poll()
        agent.ack(message)
        self.assertEqual(hub.stop(keep=True), 0)
        hub = Hub("--faults", "--poll-seconds", "1", directory=hub.dir)
        self.addCleanup(hub.stop)
        Agent(hub).reply(message["MessageId"], "Success", {"aws:runShellScript": Agent.step()})
        self.assertEqual(hub.ssm("GetCommandInvocation", CommandId=command, InstanceId=INSTANCE)["Status"], "Success")
        self.assertEqual([e["Kind"] for e in hub.events(message["MessageId"])], ["delivered", "ack", "reply"])


class Cancelling(Case):
    def test_an_undelivered_command_is_withdrawn(self):
        command = self.send()
        self.hub.aws("cancel-command", "--command-id", command)
        self.assertEqual(self.result(command)["Status"], "Cancelled")
        self.assertEqual(self.agent.poll(), [])

    def test_a_running_command_is_cancelled_by_its_agent(self):
        command = self.send()
        message, = self.agent.poll()
        self.agent.ack(message)
        self.hub.ssm("CancelCommand", CommandId=command)
        self.assertEqual(self.result(command)["Status"], "Cancelling")
        cancel, = self.agent.poll()
        self.assertTrue(cancel["Topic"].startswith("aws.ssm.cancelCommand"))
        self.assertNotEqual(cancel["MessageId"], message["MessageId"])
        self.assertEqual(json.loads(cancel["Payload"]), {"CancelMessageId": message["MessageId"]})
        self.agent.reply(cancel["MessageId"], "InProgress")
        self.agent.ack(cancel)
        self.agent.reply(message["MessageId"], "InProgress")
        self.assertEqual(self.result(command)["Status"], "Cancelling")
        self.agent.reply(message["MessageId"], "Cancelled", {"aws:runShellScript": Agent.step("Cancelled", 137)})
        self.assertEqual((self.result(command)["Status"], self.result(command)["ResponseCode"]), ("Cancelled", 137))
        listed, = self.hub.ssm("ListCommands", CommandId=command)["Commands"]
        self.assertEqual(listed["Status"], "Cancelled")

    def test_a_finished_command_stays_as_it_is(self):
        command = self.send()
        self.agent.finish(self.agent.poll()[0])
        self.hub.ssm("CancelCommand", CommandId=command)
        self.assertEqual(self.result(command)["Status"], "Success")
        self.assertEqual(self.agent.poll(), [])

    def test_errors(self):
        command = self.send()
        self.refused("InvalidCommandId", self.hub.ssm, "CancelCommand", CommandId=str(uuid.uuid4()))
        self.refused("InvalidInstanceId", self.hub.ssm, "CancelCommand", CommandId=command, InstanceIds=[OTHER])
        self.refused("DuplicateInstanceId", self.hub.ssm, "CancelCommand", CommandId=command,
                     InstanceIds=[INSTANCE, INSTANCE])


class Documents(Case):
    def test_life_of_a_document_with_the_cli(self):
        made = self.hub.aws("create-document", "--name", "Life", "--document-type", "Command",
                            "--content", document("one"))["DocumentDescription"]
        self.assertEqual((made["Status"], made["DocumentVersion"], made["DefaultVersion"]), ("Active", "1", "1"))
        made = self.hub.aws("update-document", "--name", "Life", "--document-version", "$LATEST",
                            "--content", document("one", "two"))["DocumentDescription"]
        self.assertEqual((made["DocumentVersion"], made["LatestVersion"], made["DefaultVersion"]), ("2", "2", "1"))
        self.assertEqual(self.steps("Life"), ["one"])
        self.hub.aws("update-document-default-version", "--name", "Life", "--document-version", "2")
        self.assertEqual(self.steps("Life"), ["one", "two"])
        self.assertEqual(self.steps("Life", "--document-version", "1"), ["one"])
        names = [d["Name"] for d in self.hub.aws("list-documents")["DocumentIdentifiers"]]
        self.assertIn("Life", names)
        self.assertIn("AWS-RunShellScript", names)
        own = self.hub.aws("list-documents", "--filters", "Key=Owner,Values=Self")["DocumentIdentifiers"]
        self.assertNotIn("AWS-RunShellScript", [d["Name"] for d in own])
        older = self.hub.aws("list-documents", "--document-filter-list", "key=Name,value=Life",
                             "key=Owner,value=Self")["DocumentIdentifiers"]
        self.assertEqual([d["Name"] for d in older], ["Life"])
        none = self.hub.aws("list-documents", "--document-filter-list", "key=Name,value=Life",
                            "key=Owner,value=Amazon")["DocumentIdentifiers"]
        self.assertEqual(none, [])
        for filters, is_found in (("Key=SearchKeyword,Values=lIF", True), ("Key=SearchKeyword,Values=Shell", False),
                                  ("Key=PlatformTypes,Values=Linux", True), ("Key=PlatformTypes,Values=Windows", False)):
            found = self.hub.aws("list-documents", "--filters", "Key=Owner,Values=Self", filters)["DocumentIdentifiers"]
            self.assertEqual("Life" in [d["Name"] for d in found], is_found, filters)
        versions = self.hub.aws("list-document-versions", "--name", "Life")["DocumentVersions"]
        self.assertEqual([v["IsDefaultVersion"] for v in versions], [False, True])
        self.refused("InvalidDocumentOperation", self.hub.aws, "delete-document", "--name", "Life",
                     "--document-version", "2")
        self.hub.aws("delete-document", "--name", "Life")
        self.refused("InvalidDocument", self.hub.aws, "describe-document", "--name", "Life")

    def test_a_document_in_yaml_is_sent_as_json(self):
        text = "schemaVersion: 2.2\nmainSteps:\n- action: aws:runShellScript\n  name: one\n" \
               "  inputs:\n    runCommand:\n    - |\n      echo 1\n      echo 2\n"
        made = self.hub.aws("create-document", "--name", "Yaml", "--document-type", "Command",
                            "--document-format", "YAML", "--content", text)["DocumentDescription"]
        self.assertEqual((made["DocumentFormat"], made["SchemaVersion"]), ("YAML", "2.2"))
        self.assertEqual(self.hub.aws("get-document", "--name", "Yaml")["Content"], text)
        self.assertEqual(self.steps("Yaml", "--document-format", "JSON"), ["one"])
        self.hub.aws("send-command", "--document-name", "Yaml", "--instance-ids", INSTANCE)
        sent = json.loads(self.agent.poll()[0]["Payload"])["DocumentContent"]
        self.assertEqual(sent["schemaVersion"], "2.2")
        self.assertEqual(sent["mainSteps"][0]["inputs"]["runCommand"], ["echo 1\necho 2\n"])
        self.refused("InvalidDocumentContent", self.hub.aws, "create-document", "--name", "BadYaml", "--document-type",
                     "Command", "--document-format", "YAML", "--content", "schemaVersion: [")

    def steps(self, name, *more):
        content = self.hub.aws("get-document", "--name", name, *more)["Content"]
        return [s["name"] for s in json.loads(content)["mainSteps"]]

    def test_description_has_the_parameters(self):
        described = self.hub.aws("describe-document", "--name", "AWS-RunShellScript")["Document"]
        self.assertEqual([(p["Name"], p["Type"], p.get("DefaultValue")) for p in described["Parameters"]],
                         [("commands", "StringList", None), ("workingDirectory", "String", ""),
                          ("executionTimeout", "String", "3600")])
        self.assertEqual((described["SchemaVersion"], described["Owner"]), ("1.2", "Amazon"))

    def test_errors(self):
        def create(name, content, **more):
            return self.hub.ssm("CreateDocument", Name=name, Content=content, **more)

        self.refused("InvalidDocumentContent", create, "Bad", "this is not json")
        self.refused("InvalidDocumentContent", create, "Bad", '{"schemaVersion":"2.2","mainSteps":[]}')
        self.refused("InvalidDocumentContent", create, "Bad", document("same", "same"))
        self.refused("InvalidDocumentContent", create, "Bad", document("one", p={"type": "Number"}))
        self.refused("InvalidDocumentSchemaVersion", create, "Bad", '{"schemaVersion":"9999.0"}')
        self.refused("MaxDocumentSizeExceeded", create, "Bad", document("one", p={"type": "String",
                                                                                 "description": "x" * 70000}))
        self.refused("ValidationException", create, "AWS-Mine", document("one"))
        self.refused("ValidationException", create, "a", document("one"))
        self.refused("InvalidDocument", self.hub.ssm, "GetDocument", Name="NoSuchDocument")
        self.refused("InvalidDocumentVersion", self.hub.ssm, "GetDocument", Name="AWS-RunShellScript",
                     DocumentVersion="7")
        self.refused("InvalidDocumentOperation", self.hub.ssm, "DeleteDocument", Name="AWS-RunShellScript")
        create("Twice", document("one"))
        self.refused("DocumentAlreadyExists", create, "Twice", document("two"))
        self.refused("DuplicateDocumentContent", self.hub.ssm, "UpdateDocument", Name="Twice",
                     Content=document("one"), DocumentVersion="$LATEST")
        self.refused("InvalidFilterKey", self.hub.ssm, "ListDocuments", Filters=[{"Key": "Colour", "Values": ["x"]}])


class Parameters(Case):
    def put(self, name, value, kind="String", *more):
        return self.hub.aws("put-parameter", "--name", name, "--value", value, "--type", kind, *more)

    def test_life_of_a_parameter(self):
        made = self.hub.aws("put-parameter", "--name", "/life/p", "--value", "one", "--type", "String",
                            "--description", "a test")
        self.assertEqual((made["Version"], made["Tier"]), (1, "Standard"))
        self.refused("ParameterAlreadyExists", self.put, "/life/p", "two")
        self.assertEqual(self.put("/life/p", "two", "String", "--overwrite")["Version"], 2)
        got = self.hub.aws("get-parameter", "--name", "/life/p")["Parameter"]
        self.assertEqual((got["Value"], got["Version"], got["Type"], got["DataType"]), ("two", 2, "String", "text"))
        self.assertEqual(got["ARN"], "arn:aws:ssm:us-east-1:000000000000:parameter/life/p")
        self.assertEqual(self.hub.aws("get-parameter", "--name", got["ARN"])["Parameter"]["Value"], "two")
        first = self.hub.aws("get-parameter", "--name", "/life/p:1")["Parameter"]
        self.assertEqual((first["Value"], first["Selector"]), ("one", ":1"))
        labelled = self.hub.aws("label-parameter-version", "--name", "/life/p", "--parameter-version", "1",
                                "--labels", "stable", "1bad", "awsbad")
        self.assertEqual((labelled["InvalidLabels"], labelled["ParameterVersion"]), (["1bad", "awsbad"], 1))
        self.assertEqual(self.hub.aws("get-parameter", "--name", "/life/p:stable")["Parameter"]["Value"], "one")
        self.hub.aws("label-parameter-version", "--name", "/life/p", "--labels", "stable")  # it moves
        self.assertEqual(self.hub.aws("get-parameter", "--name", "/life/p:stable")["Parameter"]["Value"], "two")
        history = self.hub.aws("get-parameter-history", "--name", "/life/p")["Parameters"]
        self.assertEqual([(h["Version"], h["Labels"]) for h in history], [(2, ["stable"]), (1, [])])
        removed = self.hub.aws("unlabel-parameter-version", "--name", "/life/p", "--parameter-version", "2",
                               "--labels", "stable", "gone")
        self.assertEqual((removed["RemovedLabels"], removed["InvalidLabels"]), (["stable"], ["gone"]))
        self.refused("ParameterVersionNotFound", self.hub.aws, "get-parameter", "--name", "/life/p:stable")
        self.hub.aws("delete-parameter", "--name", "/life/p")
        self.refused("ParameterNotFound", self.hub.aws, "get-parameter", "--name", "/life/p")
        self.refused("ParameterNotFound", self.hub.aws, "delete-parameter", "--name", "/life/p")

    def test_several_at_once_say_which_are_not_there(self):
        self.put("several1", "a")
        self.put("several2", "b,c", "StringList")
        got = self.hub.aws("get-parameters", "--names", "several1", "gone", "several2", "several1:9")
        self.assertEqual([(p["Name"], p["Type"], p["Value"]) for p in got["Parameters"]],
                         [("several1", "String", "a"), ("several2", "StringList", "b,c")])
        self.assertEqual(got["InvalidParameters"], ["gone", "several1:9"])
        gone = self.hub.aws("delete-parameters", "--names", "several1", "several2", "gone")
        self.assertEqual((gone["DeletedParameters"], gone["InvalidParameters"]), (["several1", "several2"], ["gone"]))

    def test_a_secure_string_is_encrypted_at_rest(self):
        secret = "s3cr3t-" + uuid.uuid4().hex
        self.put("/secure/p", secret, "SecureString")
        plain = self.hub.aws("get-parameter", "--name", "/secure/p", "--with-decryption")["Parameter"]
        self.assertEqual((plain["Value"], plain["Type"]), (secret, "SecureString"))
        sealed = self.hub.aws("get-parameter", "--name", "/secure/p")["Parameter"]["Value"]
        self.assertNotIn(secret, sealed)
        for folder, _, names in os.walk(self.hub.dir):
            for name in names:
                with open(os.path.join(folder, name), "rb") as f:
                    self.assertNotIn(secret.encode(), f.read(), name)
        self.assertEqual(os.stat(os.path.join(self.hub.dir, "parameters.key")).st_mode & 0o777, 0o600)
        self.assertEqual(self.hub.aws("describe-parameters", "--parameter-filters",
                                      "Key=Type,Values=SecureString")["Parameters"][0]["KeyId"], "alias/aws/ssm")

    def test_what_cannot_be_put_is_refused(self):
        for arguments, code in (
                (("a b", "x"), "ValidationException"), (("ssm-x", "x"), "ValidationException"),
                (("aws/x", "x"), "AccessDeniedException"), (("a/b", "x"), "ValidationException"),
                (("big", "x" * 4097), "ValidationException"), (("n" * 300, "x"), "ValidationException"),
                (("pattern", "x", "String", "--allowed-pattern", "[0-9]+"), "ParameterPatternMismatchException")):
            self.refused(code, self.put, *arguments)
        self.assertEqual(self.put("big", "x" * 4097, "String", "--tier", "Intelligent-Tiering")["Tier"], "Advanced")

    def test_pages_and_paths_have_every_parameter_once(self):
        names = [f"/many/{i:02}" for i in range(13)] + ["/many/deep/1"]
        for name in names:
            self.put(name, "x")
        direct = self.hub.aws("get-parameters-by-path", "--path", "/many", "--max-items", "100")["Parameters"]
        self.assertEqual([p["Name"] for p in direct], names[:13])
        deep = self.hub.aws("get-parameters-by-path", "--path", "/many", "--recursive")["Parameters"]
        self.assertEqual(sorted(p["Name"] for p in deep), sorted(names))
        shown = self.hub.aws("describe-parameters", "--page-size", "5", "--parameter-filters",
                             "Key=Name,Option=BeginsWith,Values=/many/")["Parameters"]
        self.assertEqual(sorted(p["Name"] for p in shown), sorted(names))
        self.assertNotIn("Value", shown[0])

    def test_old_versions_go_when_there_are_a_hundred(self):
        for i in range(102):
            self.hub.ssm("PutParameter", Name="versions", Value=str(i), Type="String", Overwrite=True)
        self.refused("ParameterVersionNotFound", self.hub.ssm, "GetParameter", Name="versions:2")
        self.assertEqual(self.hub.ssm("GetParameter", Name="versions:3")["Parameter"]["Value"], "2")
        self.hub.ssm("LabelParameterVersion", Name="versions", ParameterVersion=3, Labels=["keep"])
        self.refused("ParameterMaxVersionLimitExceeded", self.hub.ssm, "PutParameter", Name="versions", Value="x",
                     Type="String", Overwrite=True)


class Instances(Case):
    def test_information_is_kept_and_shown(self):
        instance = "mi-00000000000000001"
        full = {"AgentName": "amazon-ssm-agent", "AgentStatus": "Active", "AgentVersion": "3.3.0.0",
                "ComputerName": "host.example", "IPAddress": "10.0.0.5", "PlatformName": "Debian GNU/Linux",
                "PlatformType": "Linux", "PlatformVersion": "12"}
        self.assertEqual(self.hub.ssm("UpdateInstanceInformation", InstanceId=instance, **full), {})
        self.hub.ssm("UpdateInstanceInformation", InstanceId=instance, AgentName="amazon-ssm-agent",
                     AgentVersion="3.3.1.0", PlatformType="Linux")  # a short ping wipes nothing
        shown, = self.hub.aws("describe-instance-information", "--filters",
                              f"Key=InstanceIds,Values={instance}")["InstanceInformationList"]
        self.assertEqual((shown["PingStatus"], shown["AgentVersion"], shown["ComputerName"], shown["IPAddress"]),
                         ("Online", "3.3.1.0", "host.example", "10.0.0.5"))
        online = self.hub.ssm("DescribeInstanceInformation",
                              InstanceInformationFilterList=[{"key": "PingStatus", "valueSet": ["Online"]}])
        ids = [i["InstanceId"] for i in online["InstanceInformationList"]]
        self.assertIn(instance, ids)
        self.assertNotIn(OTHER, ids)
        self.send(instance=instance)

    def test_errors(self):
        self.refused("InvalidFilterKey", self.hub.ssm, "DescribeInstanceInformation",
                     Filters=[{"Key": "Colour", "Values": ["x"]}])
        self.refused("InvalidInstanceInformationFilterValue", self.hub.ssm, "DescribeInstanceInformation",
                     Filters=[{"Key": "PingStatus", "Values": []}])
        self.refused("InvalidNextToken", self.hub.ssm, "DescribeInstanceInformation", NextToken="nonsense")
        self.refused("ValidationException", self.hub.ssm, "DescribeInstanceInformation", MaxResults=4)


class Refusals(Case):
    def test_send_command(self):
        def send(**changes):
            body = {"DocumentName": "AWS-RunShellScript", "InstanceIds": [INSTANCE],
                    "Parameters": {"commands": ["true"]}}
            body.update(changes)
            return self.hub.ssm("SendCommand", **{k: v for k, v in body.items() if v is not None})

        for code, changes in (
                ("InvalidDocument", {"DocumentName": "NoSuchDocument"}),
                ("InvalidDocument", {"DocumentHash": "0" * 64, "DocumentHashType": "Sha256"}),
                ("InvalidDocumentVersion", {"DocumentVersion": "7"}),
                ("InvalidInstanceId", {"InstanceIds": ["i-99999999999999999"]}),
                ("DuplicateInstanceId", {"InstanceIds": [INSTANCE, INSTANCE]}),
                ("InvalidParameters", {"Parameters": {}}),
                ("InvalidParameters", {"Parameters": {"commands": []}}),
                ("InvalidParameters", {"Parameters": {"commands": ["true"], "colour": ["red"]}}),
                ("InvalidParameters", {"Parameters": {"commands": ["true"], "executionTimeout": ["soon"]}}),
                ("InvalidParameters", {"Parameters": {"commands": ["true"], "executionTimeout": ["172801"]}}),
                ("InvalidParameters", {"Parameters": {"commands": ["true"], "workingDirectory": ["/a", "/b"]}}),
                ("ValidationException", {"InstanceIds": ["nonsense"]}),
                ("ValidationException", {"InstanceIds": None}),
                ("ValidationException", {"TimeoutSeconds": 29}),
                ("ValidationException", {"Comment": "\u017e" * 101}),
                ("ValidationException", {"DocumentName": None}),
                ("ValidationException", {"DocumentVersion": "newest"}),
                ("ValidationException", {"InstanceIds": None, "Targets": [{"Key": "tag:a", "Values": ["b"]}]}),
                ("SerializationException", {"InstanceIds": INSTANCE}),
                ("SerializationException", {"Parameters": {"commands": "true"}}),
                ("SerializationException", {"Parameters": {"commands": [1]}}),
                ("SerializationException", {"TimeoutSeconds": "600"}),
                ("SerializationException", {"Comment": 7})):
            with self.subTest(code=code, **changes):
                self.assertEqual(self.refused(code, send, **changes).status, 400)
        self.assertEqual(self.agent.poll(), [])

    def test_the_cli_shows_the_name(self):
        self.refused("InvalidInstanceId", self.hub.aws, "send-command", "--document-name", "AWS-RunShellScript",
                     "--instance-ids", "i-99999999999999999", "--parameters", "commands=true")

    def test_queries(self):
        command = self.send()
        self.refused("InvocationDoesNotExist", self.result, str(uuid.uuid4()))
        self.refused("InvocationDoesNotExist", self.result, command, OTHER)
        self.refused("ValidationException", self.result, "short")
        self.refused("InvalidCommandId", self.hub.ssm, "ListCommands", CommandId=str(uuid.uuid4()))
        self.refused("InvalidCommandId", self.hub.ssm, "ListCommandInvocations", CommandId=str(uuid.uuid4()))
        self.refused("InvalidNextToken", self.hub.ssm, "ListCommands", NextToken="nonsense")
        self.refused("InvalidFilterKey", self.hub.ssm, "ListCommands", Filters=[{"key": "Colour", "value": "red"}])
        self.refused("ValidationException", self.hub.ssm, "ListCommands", MaxResults=51)

    def test_signatures(self):
        good = self.hub.credentials

        def list_commands(credentials=None, region="us-east-1", service="ssm"):
            return self.hub.call(service, "AmazonSSM.ListCommands", {}, credentials, region)

        self.refused("UnrecognizedClientException", list_commands, Credentials("AKIAWRONG", good.secret_key))
        self.refused("InvalidSignatureException", list_commands, Credentials(good.access_key, "wrong"))
        self.refused("InvalidSignatureException", list_commands, region="eu-west-1")
        self.refused("InvalidSignatureException", list_commands, service="ec2messages")
        data, headers = self.hub.signed("ssm", "AmazonSSM.ListCommands", {})
        self.refused("InvalidSignatureException", self.hub.post, "/", data + b" ", headers)  # another body
        for change, code in ((lambda h: h.pop("Authorization"), "MissingAuthenticationTokenException"),
                             (lambda h: h.update(Authorization="AWS4-HMAC-SHA256 nonsense"),
                              "IncompleteSignatureException")):
            changed = dict(headers)
            change(changed)
            self.refused(code, self.hub.post, "/", data, changed)

    def test_a_clock_that_is_off_by_more_than_five_minutes(self):
        hub = Hub("--faults", "--date-offset", "-301")
        self.addCleanup(hub.stop)
        self.refused("InvalidSignatureException", hub.ssm, "ListCommands")
        told = hub.last_headers["Date"]
        self.assertAlmostEqual(email.utils.parsedate_to_datetime(told).timestamp(), time.time() - 301, delta=30)

    def test_what_is_no_call(self):
        self.refused("UnknownOperationException", self.hub.call, "ssm", "AmazonSSM.MakeCoffee", {})
        self.refused("UnknownOperationException", self.hub.call, "ssm", "ListCommands", {})
        self.refused("SerializationException", self.hub.call, "ssm", "AmazonSSM.ListCommands", b"this is not json")
        self.refused("SerializationException", self.hub.call, "ssm", "AmazonSSM.ListCommands", b"[]")
        self.refused("SerializationException", self.hub.call, "ssm", "AmazonSSM.ListCommands", b'{"MaxResults":"x"}')
        error = self.refused("RequestEntityTooLarge", self.hub.call, "ssm", "AmazonSSM.ListCommands",
                             b" " * 1200000)
        self.assertEqual(error.status, 413)
        self.assertEqual(self.refused("UnknownOperationException", self.hub.post, "/nowhere", "{}", {}).status, 404)


class Faults(Case):
    def test_errors_for_the_next_calls(self):
        command = self.send()
        message, = self.agent.poll()
        self.hub.fault(kind="error", operation="SendReply", times=2, status=503, code="ServiceUnavailable")
        for _ in range(2):
            error = self.refused("ServiceUnavailable", self.agent.reply, message["MessageId"], "Success")
            self.assertEqual(error.status, 503)
        self.agent.reply(message["MessageId"], "Success")
        self.assertEqual(self.hub.invocation(command)["TerminalReplies"], 1)

    def test_a_forgotten_acknowledgement(self):
        self.send()
        message, = self.agent.poll(visibility=1)
        self.hub.fault(kind="forget", operation="AcknowledgeMessage")
        self.assertEqual(self.refused("InternalServerError", self.agent.ack, message).status, 500)
        self.assertEqual(len(self.agent.poll(visibility=1)), 1)

    def test_a_lost_answer_is_recorded_all_the_same(self):
        command = self.send()
        message, = self.agent.poll()
        self.hub.fault(kind="lose", operation="SendReply")
        with self.assertRaises((ConnectionError, http.client.HTTPException)):
            self.agent.reply(message["MessageId"], "Success")
        self.assertEqual(self.hub.invocation(command)["Status"], "Success")

    def test_a_reset_does_nothing(self):
        command = self.send()
        message, = self.agent.poll()
        self.hub.fault(kind="reset", operation="SendReply")
        with self.assertRaises((ConnectionError, http.client.HTTPException)):
            self.agent.reply(message["MessageId"], "Success")
        self.assertEqual(self.hub.invocation(command)["TerminalReplies"], 0)

    def test_duplicates_and_order(self):
        first, second = self.send(), self.send()
        self.hub.fault(kind="duplicate", operation="GetMessages", copies=3)
        self.hub.fault(kind="reorder", operation="GetMessages")
        ids = [m["MessageId"].split(".")[2] for m in self.agent.poll()]
        self.assertEqual(ids, [second] * 3 + [first] * 3)

    def test_a_finished_message_can_be_offered_again(self):
        command = self.send()
        message, = self.agent.poll()
        self.agent.finish(message)
        self.hub.redeliver(message["MessageId"])
        self.assertEqual(self.agent.poll()[0]["MessageId"], message["MessageId"])
        self.assertEqual(self.result(command)["Status"], "Success")

    def test_a_delay(self):
        self.hub.fault(kind="delay", operation="ListCommands", delay_ms=700)
        begin = time.monotonic()
        self.hub.ssm("ListCommands")
        self.assertGreaterEqual(time.monotonic() - begin, 0.69)

    def test_injected_messages_may_be_anything(self):
        self.hub.inject(Destination=INSTANCE, MessageId="m" * 20, Topic="aws.ssm.unknown", Payload="this is not json",
                        CreatedDate="2020-01-01T00:00:00.000Z")
        self.hub.inject(Destination=INSTANCE, Payload="{}")
        whole, bare = self.agent.poll(visibility=600)
        self.assertEqual((whole["Topic"], whole["Payload"]), ("aws.ssm.unknown", "this is not json"))
        self.assertEqual(sorted(bare), ["Destination", "Payload", "PayloadDigest"])
        self.agent.mds("FailMessage", MessageId=whole["MessageId"], FailureType="InternalHandlerException")

    def test_one_message_is_told_as_it_is_told_among_all(self):
        for _ in range(2):
            self.send()
        for message in self.agent.poll():
            self.agent.finish(message)
        named = [m for m in self.hub.state()["Messages"] if "MessageId" in m]  # another test injects one without
        self.assertGreaterEqual(len(named), 2)
        for told in named:
            self.assertEqual(self.hub.post("/_message", json.dumps({"MessageId": told["MessageId"]}), {}), told)
        for request in ({"MessageId": "nobody"}, {}, {"MessageId": 1}, []):
            self.refused("ValidationException", self.hub.post, "/_message", json.dumps(request), {})

    def test_a_rule_that_makes_no_sense_is_refused(self):
        error = self.refused("ValidationException", self.hub.fault, kind="explode")
        self.assertIn("kind", error.message)
        self.refused("ValidationException", self.hub.fault, kind="error", times=0)

    def test_nothing_of_this_without_the_option(self):
        hub = Hub()
        self.addCleanup(hub.stop)
        for path in ("/_state", "/_message", "/_faults", "/_inject"):
            self.assertEqual(self.refused("UnknownOperationException", hub.post, path, "{}", {}).status, 404)


class Program(Case):
    def test_tls_with_a_certificate_of_its_own(self):
        hub = Hub("--tls", "--instance", INSTANCE)
        self.addCleanup(hub.stop)
        self.assertTrue(hub.url.startswith("https://127.0.0.1:"))
        self.assertEqual(hub.ssm("ListCommands")["Commands"], [])
        for name in ("key.pem", "credentials"):
            self.assertEqual(os.stat(os.path.join(hub.dir, name)).st_mode & 0o777, 0o600)
        with self.assertRaises(ssl.SSLError):
            http.client.HTTPSConnection("127.0.0.1", hub.port, timeout=60,
                                        context=ssl.create_default_context(cafile=None)).request("GET", "/")

    def test_credentials_from_a_file_and_from_the_environment(self):
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "keys")
            with open(path, "w", encoding="ascii") as f:
                f.write("# two\n[one]\naws_access_key_id=AKIAONE\naws_secret_access_key=first\n"
                        "[two]\naws_access_key_id = AKIATWO\naws_secret_access_key = second\n"
                        "aws_session_token = token\n")
            hub = Hub.__new__(Hub)
            hub.dir = directory
            process = subprocess.Popen([HUB, "--dir", directory, "--listen", "127.0.0.1:0", "--credentials", path],
                                       stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
            hub.url = process.stdout.readline().split()[1]
            hub.port = int(hub.url.rsplit(":", 1)[1])
            try:
                for credentials in (Credentials("AKIAONE", "first"), Credentials("AKIATWO", "second", "token")):
                    hub.call("ssm", "AmazonSSM.ListCommands", {}, credentials)
                with self.assertRaises(Refused):
                    hub.call("ssm", "AmazonSSM.ListCommands", {}, Credentials("AKIATWO", "second"))
            finally:
                process.terminate()
                process.wait(60)
                process.stdout.close()

    def test_wrong_words_are_named(self):
        with tempfile.TemporaryDirectory() as directory:
            for words, said in ((["--dri", "x"], "--dri"), ([], "--dir"), (["--dir"], "value is missing"),
                                (["--dir", directory, "--listen", "8080"], "ADDRESS:PORT"),
                                (["--dir", directory, "--listen", "127.0.0.1:99999"], "ADDRESS:PORT"),
                                (["--dir", directory, "--listen", "example.com:1"], "numeric"),
                                (["--dir", directory, "--poll-seconds", "soon"], "1 to 60"),
                                (["--dir", directory, "--poll-seconds", "0"], "1 to 60"),
                                (["--dir", directory, "--region", "US EAST"], "region"),
                                (["--dir", directory, "--instance", "../x"], "instance id"),
                                (["--dir", directory, "--date-offset", "60"], "--faults"),
                                (["--dir", directory, "--log", "loud"], "loud"),
                                (["--dir", directory, "--listen", "0.0.0.0:0", "--faults"], "loopback")):
                with self.subTest(words=words):
                    done = subprocess.run([HUB, *words], capture_output=True, text=True, timeout=60)
                    self.assertEqual(done.returncode, 100, done.stderr)
                    self.assertIn(said, done.stderr)
                    self.assertEqual(done.stderr.count("\n"), 1)

    def test_help_says_what_it_is_not_for(self):
        done = subprocess.run([HUB, "--help"], capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 0)
        self.assertIn("Fleets use AWS Systems Manager itself", done.stdout)

    def test_a_directory_has_one_hub(self):
        done = subprocess.run([HUB, "--dir", self.hub.dir, "--listen", "127.0.0.1:0"], capture_output=True,
                              text=True, timeout=60)
        self.assertEqual(done.returncode, 111)
        self.assertIn("another ssmhub", done.stderr)

    def test_a_taken_port_and_a_foreign_store_are_refused(self):
        with tempfile.TemporaryDirectory() as directory:
            done = subprocess.run([HUB, "--dir", directory, "--listen", f"127.0.0.1:{self.hub.port}"],
                                  capture_output=True, text=True, timeout=60)
            self.assertEqual(done.returncode, 111)
            self.assertIn(str(self.hub.port), done.stderr)
            with open(os.path.join(directory, "hub.db"), "wb") as f:
                f.write(b"this is not a database" * 100)
            done = subprocess.run([HUB, "--dir", directory, "--listen", "127.0.0.1:0"], capture_output=True,
                                  text=True, timeout=60)
            self.assertEqual(done.returncode, 111)
            self.assertIn("hub.db", done.stderr)

    def test_a_waiting_poll_does_not_hold_up_the_end(self):
        hub = Hub("--poll-seconds", "60", "--instance", INSTANCE)
        got = []
        thread = threading.Thread(target=lambda: got.append(Agent(hub).poll(timeout=60)))
        thread.start()
        Delivery.wait_for_poll(self, hub)
        begin = time.monotonic()
        self.assertEqual(hub.stop(), 0)
        self.assertLess(time.monotonic() - begin, 50)  # the poll would go on for 60 s
        thread.join(60)
        self.assertFalse(thread.is_alive())

    def test_secrets_are_in_no_log(self):
        self.hub.ssm("ListCommands")
        with open(os.path.join(self.hub.dir, "log"), encoding="utf-8") as f:
            self.assertNotIn(self.hub.credentials.secret_key, f.read())


class Updates(Case):
    @classmethod
    def setUpClass(cls):
        cls.dir = tempfile.mkdtemp(prefix="hub-updates-")
        cls.big = os.urandom(3 << 20)
        for name, data in (("outside", b"secret"), ("source/timestamp.json", b"{}"), ("source/.draft", b"secret"),
                           ("source/.hidden/file", b"secret"), ("source/empty", b""), ("source/ssmd/1.0/a b.tar.gz", cls.big)):
            path = os.path.join(cls.dir, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as f:
                f.write(data)
        os.symlink("../outside", os.path.join(cls.dir, "source/link"))
        os.symlink("..", os.path.join(cls.dir, "source/up"))
        os.mkfifo(os.path.join(cls.dir, "source/pipe"))
        cls.hub = Hub("--faults", "--instance", INSTANCE, "--instance", OTHER, "--updates", os.path.join(cls.dir, "source"))
        cls.agent = Agent(cls.hub)

    @classmethod
    def tearDownClass(cls):
        super().tearDownClass()
        shutil.rmtree(cls.dir)

    def get(self, path, method="GET"):
        connection = self.hub.connect()
        connection.request(method, path)
        answer = connection.getresponse()
        got = answer.status, answer.getheader("Content-Length"), answer.read()
        connection.close()
        return got

    def test_files_are_served_unsigned_and_whole(self):
        for path, data in (("timestamp.json", b"{}"), ("empty", b""), ("ssmd/1.0/a%20b.tar.gz", self.big)):
            self.assertEqual(self.get("/updates/" + path), (200, str(len(data)), data), path)

    def test_nothing_else_is(self):
        for path in ("", ".", "..", "../outside", "%2e%2e/outside", "..%2foutside", "ssmd/../../outside", "ssmd/..%2f..%2foutside",
                     "link", "up/outside", "up/source/timestamp.json", ".draft", ".hidden/file", "ssmd", "ssmd/1.0/", "pipe",
                     "missing", "/timestamp.json", "timestamp.json/", "timestamp.json/x", "ssmd//1.0/a%20b.tar.gz",
                     "/etc/passwd", "//etc/passwd", "x" * 300, "ssmd/" + "x" * 150, "%00", "%ff"):
            status, _, body = self.get("/updates/" + path)
            self.assertEqual(status, 404, path)
            self.assertNotIn(b"secret", body)

    def test_it_is_read_only(self):
        for method in ("POST", "PUT", "DELETE"):
            self.assertIn(self.get("/updates/timestamp.json", method)[0], (404, 405), method)
        self.assertEqual(self.get("/updates/timestamp.json")[0], 200)

    def test_the_update_document_carries_its_parameters(self):
        command = self.hub.aws("send-command", "--document-name", "AWS-UpdateSSMAgent", "--instance-ids", INSTANCE,
                               "--parameters", "version=0.2.0,allowDowngrade=true")["Command"]["CommandId"]
        payload = json.loads(self.agent.poll()[0]["Payload"])
        self.assertEqual(payload["CommandId"], command)
        self.assertEqual(payload["Parameters"], {"version": "0.2.0", "allowDowngrade": "true"})
        step, = payload["DocumentContent"]["mainSteps"]
        self.assertEqual((step["action"], step["name"], step["inputs"]["agentName"], step["inputs"]["targetVersion"]),
                         ("aws:updateSsmAgent", "awsupdateSsmAgent", "amazon-ssm-agent", "{{ version }}"))
        self.refused("InvalidParameters", self.hub.aws, "send-command", "--document-name", "AWS-UpdateSSMAgent",
                     "--instance-ids", INSTANCE, "--parameters", "allowDowngrade=perhaps")


class WithoutUpdates(Case):
    def test_there_is_no_update_source_unless_asked_for(self):
        connection = self.hub.connect()
        connection.request("GET", "/updates/hub.db")
        self.assertEqual(connection.getresponse().status, 404)
        connection.close()

    def test_a_directory_that_is_not_there_stops_the_start(self):
        done = subprocess.run([HUB, "--dir", self.hub.dir + ".2", "--listen", "127.0.0.1:0", "--updates", "/nonexistent"],
                              capture_output=True, text=True, timeout=60, check=False)
        shutil.rmtree(self.hub.dir + ".2")
        self.assertEqual(done.returncode, 100)
        self.assertIn("--updates /nonexistent: No such file or directory", done.stderr)


class Load(Case):
    def test_two_hundred_commands_at_once(self):
        sent = [self.send() for _ in range(200)]
        done = []
        while len(done) < 200:
            for message in self.agent.poll():
                self.agent.finish(message)
                done.append(message["MessageId"].split(".")[2])
        self.assertEqual(done, sent)
        state = {c["CommandId"]: c for c in self.hub.state()["Commands"]}
        for command in sent:
            self.assertEqual((state[command]["Status"], state[command]["Invocations"][0]["TerminalReplies"]),
                             ("Success", 1))


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    HUB = os.path.abspath(sys.argv.pop(1))
    unittest.main()
