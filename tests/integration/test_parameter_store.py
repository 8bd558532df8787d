#!/usr/bin/env python3
"""{{ssm:...}}: values of Parameter Store in documents, when they are asked for, and what is kept of them.

usage: test_parameter_store.py [PATTERN]   (see harness.py)
"""
import json
import os
import uuid

from harness import INSTANCE, Suite, check, document, equal, wait_for

SECRET = "s3cr3t-" + uuid.uuid4().hex

suite = Suite("values of Parameter Store", jobs=4)


def put(hub, name, value, kind="String", **more):
    hub.ssm.put_parameter(Name=name, Value=value, Type=kind, Overwrite=True, **more)


def world_with(world, *options, **settings):
    hub = world.hub(*options)
    return hub, world.agent(hub, **settings).start()


def output_of(record, step="step1"):
    return record.results[step]["standardOutput"]


@suite.case
def values_stand_where_their_references_stood(world):
    hub, agent = world_with(world)
    put(hub, "/app/x", "one")
    put(hub, "/app/x", "two")
    hub.ssm.label_parameter_version(Name="/app/x", ParameterVersion=1, Labels=["stable"])
    put(hub, "list", "a,b c,d", "StringList")
    put(hub, "plain", "$HOME & {{ name }}")
    steps = document("echo '{{ ssm:/app/x }} {{ssm:/app/x:1}} {{ ssm:/app/x:stable }}'")
    steps["parameters"] = {"name": {"type": "String", "default": "{{ ssm:plain }}"}}
    steps["mainSteps"][0]["inputs"]["runCommand"] += [
        "echo '{{ name }}'", "echo '{{ ssm:arn:aws:ssm:us-east-1:000000000000:parameter/app/x:1 }}'",
        "echo '{{ ssm-secure:keep }}'"]
    record = agent.wait_terminal(hub.send(steps))
    # Document parameters are put in before the store is asked, and what comes from the store is not looked at again.
    equal("standardOutput", output_of(record), "two one one\n$HOME & {{ name }}\none\n{{ ssm-secure:keep }}\n")


@suite.case
def a_list_of_the_store_becomes_elements_of_a_list(world):
    hub, agent = world_with(world)
    put(hub, "lines", "echo 1,echo 2", "StringList")
    steps = document("true")
    steps["mainSteps"][0]["inputs"]["runCommand"] = ["echo 0", " {{ ssm:lines }} ", "echo 3"]
    record = agent.wait_terminal(hub.send(steps))
    equal("standardOutput", output_of(record), "0\n1\n2\n3\n")


@suite.case
def a_list_inside_a_text_fails_the_document(world):
    hub, agent = world_with(world)
    put(hub, "lines", "echo 1,echo 2", "StringList")
    record = agent.wait_terminal(hub.send(document("echo {{ ssm:lines }}")))
    equal("sequence", record.sequence, ["reply:Failed"])
    check("StringList" in record.terminal[0]["Body"]["documentTraceOutput"], record.terminal[0]["Body"])


@suite.case
def names_that_are_not_there_are_all_told(world):
    hub, agent = world_with(world)
    put(hub, "here", "x")
    record = agent.wait_terminal(hub.send(document("echo {{ ssm:here }} {{ ssm:gone }} {{ ssm:here:9 }}")))
    equal("sequence", record.sequence, ["reply:Failed"])
    text = record.terminal[0]["Body"]["documentTraceOutput"]
    check("gone" in text and "here:9" in text, text)


@suite.case
def a_secure_string_is_neither_decrypted_nor_kept(world):
    hub, agent = world_with(world)
    put(hub, "secret", SECRET, "SecureString")
    record = agent.wait_terminal(hub.send(document("echo {{ ssm:secret }}")))
    equal("sequence", record.sequence, ["reply:Failed"])
    check("SecureString" in record.terminal[0]["Body"]["documentTraceOutput"], record.terminal[0]["Body"])
    agent.terminate()
    for directory, _, names in os.walk(world.dir):
        for name in names:
            with open(os.path.join(directory, name), "rb") as f:
                check(SECRET.encode() not in f.read(), f"{name} holds the secret")


@suite.case
def many_names_are_asked_for_ten_at_a_time(world):
    hub, agent = world_with(world)
    for i in range(23):
        put(hub, f"p{i}", f"v{i}")
    record = agent.wait_terminal(hub.send(document("echo " + " ".join(f"{{{{ ssm:p{i} }}}}" for i in range(23)))))
    equal("standardOutput", output_of(record), " ".join(f"v{i}" for i in range(23)) + "\n")


@suite.case
def trouble_that_passes_is_waited_out(world):
    hub, agent = world_with(world)
    put(hub, "x", "there")
    hub.fault(kind="error", operation="GetParameters", status=503, times=5)
    hub.fault(kind="reset", operation="GetParameters", times=1)
    record = agent.wait_terminal(hub.send(document("echo {{ ssm:x }}")))
    equal("standardOutput", output_of(record), "there\n")


@suite.case
def a_missing_permission_fails_the_document_at_once(world):
    hub, agent = world_with(world)
    hub.fault(kind="error", operation="GetParameters", status=400, code="AccessDeniedException", times=9)
    record = agent.wait_terminal(hub.send(document("echo {{ ssm:x }}")))
    equal("sequence", record.sequence, ["reply:Failed"])
    check("AccessDenied" in record.terminal[0]["Body"]["documentTraceOutput"], record.terminal[0]["Body"])


@suite.case
def a_message_that_comes_again_meanwhile_starts_no_second_wait(world):
    hub, agent = world_with(world)
    put(hub, "x", "there")
    hub.fault(kind="delay", operation="GetParameters", delay_ms=3000, times=1)
    message = hub.send(document("echo {{ ssm:x }}; echo ran >> " + world.path("count")))
    wait_for("the wait", lambda: "waits for" in agent.log())
    for _ in range(3):
        hub.redeliver(message)
    wait_for("the deliveries", lambda: len(agent.record(message).of_kind("delivered")) >= 2)
    record = agent.wait_terminal(message)
    equal("standardOutput", output_of(record), "there\n")
    equal("what the script counted", world.lines("count"), ["ran"])
    equal("waits", agent.log().count("waits for"), 1)


@suite.case
def a_kill_during_the_wait_loses_nothing(world):
    hub, agent = world_with(world)
    put(hub, "x", "there")
    hub.fault(kind="delay", operation="GetParameters", delay_ms=60000, times=100)
    message = hub.send(document("echo {{ ssm:x }}; echo ran >> " + world.path("count")))
    wait_for("the wait", lambda: "waits for" in agent.log())
    agent.kill()
    equal("acknowledgements", agent.record(message).of_kind("ack"), [])
    equal("rows of the journal", len(agent.query("SELECT * FROM inbox")), 0)
    hub.clear_faults()
    hub.redeliver(message)
    agent.start()
    equal("standardOutput", output_of(agent.wait_terminal(message)), "there\n")
    equal("what the script counted", world.lines("count"), ["ran"])


@suite.case
def a_stop_during_the_wait_is_quick_and_loses_nothing(world):
    hub, agent = world_with(world)
    put(hub, "x", "there")
    hub.fault(kind="delay", operation="GetParameters", delay_ms=60000, times=100)
    message = hub.send(document("echo {{ ssm:x }}"))
    wait_for("the wait", lambda: "waits for" in agent.log())
    equal("exit status", agent.terminate(timeout=30), 0)  # half of what the answer is held for
    hub.clear_faults()
    hub.redeliver(message)
    agent.start()
    equal("standardOutput", output_of(agent.wait_terminal(message)), "there\n")


@suite.case
def a_restart_sees_the_values_that_were_accepted(world):
    hub, agent = world_with(world)
    put(hub, "x", "before")
    steps = document(f"while [ ! -e {world.path('go')} ]; do sleep 0.05; done; echo {{{{ ssm:x }}}}", "echo {{ ssm:x }}")
    message = hub.send(steps)
    agent.wait_state(message, "running")
    put(hub, "x", "after")
    agent.kill()
    agent.start()
    world.touch("go")
    record = agent.wait_terminal(message)
    equal("the first step", output_of(record, "step1"), "before\n")
    equal("the second step", output_of(record, "step2"), "before\n")


@suite.case
def a_cancel_during_the_wait_is_kept_for_the_command(world):
    hub, agent = world_with(world)
    put(hub, "x", "there")
    hub.fault(kind="delay", operation="GetParameters", delay_ms=2000, times=1)
    message = hub.send(document("echo {{ ssm:x }}; echo ran >> " + world.path("count") + "; sleep 600"))
    wait_for("the wait", lambda: "waits for" in agent.log())
    order = hub.cancel(message)
    record = agent.wait_terminal(message)
    equal("documentStatus", record.terminal[-1]["Status"], "Cancelled")
    wait_for("the cancel to be acknowledged", lambda: agent.record(order).of_kind("ack"))


@suite.case
def a_nested_document_gets_values_when_it_begins(world):
    hub, agent = world_with(world)
    put(hub, "x", "there")
    inner = world.path("inner.json")
    with open(inner, "w", encoding="ascii") as f:
        json.dump(document("echo {{ ssm:x }}"), f)
    steps = document("true")
    steps["mainSteps"].append({"action": "aws:runDocument", "name": "inner",
                               "inputs": {"documentType": "LocalPath", "documentPath": inner}})
    record = agent.wait_terminal(hub.send(steps))
    equal("standardOutput", output_of(record, "inner"), "there\n")
    with open(inner, "w", encoding="ascii") as f:
        json.dump(document("echo {{ ssm:gone }}"), f)
    record = agent.wait_terminal(hub.send(steps))
    equal("status", record.results["inner"]["status"], "Failed")
    check("gone" in record.results["inner"]["standardError"], record.results["inner"])


@suite.case
def a_local_job_gets_values_too(world):
    hub, agent = world_with(world)
    put(hub, "x", "there")
    agent.wait_until_serving()
    answer = agent.ask(op="run", name="local", document=json.dumps(document("echo {{ ssm:x }}")), parameters={})
    check(answer and answer.get("job"), answer)
    wait_for("its end", lambda: [r["state"] for r in agent.query("SELECT state FROM instance")] == ["done"])
    with open(os.path.join(agent.jobs_dir, answer["job"], "0.1", "stdout"), encoding="ascii") as f:
        equal("stdout", f.read(), "there\n")


if __name__ == "__main__":
    raise SystemExit(suite.main())
