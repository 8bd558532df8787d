#!/usr/bin/env python3
"""Documents as people write them: in YAML, and run on the spot with ssmctl.

usage: test_documents.py [PATTERN]   (see harness.py)
"""
import json
import os
import subprocess

from harness import Suite, check, document, equal, program, wait_for

suite = Suite("documents", jobs=4)

YAML = """---
# a comment, and values without quotes
schemaVersion: 2.2
parameters:
  who: {type: String, default: world}
  lines:
    type: StringList
    default: &lines [echo 1, "echo '2'"]
mainSteps:
- action: aws:runShellScript
  name: hello
  precondition:
    StringEquals: [platformType, Linux]
  inputs:
    runCommand:
    - |
      echo hello {{ who }}
      echo "more"
    timeoutSeconds: 60
- action: aws:runShellScript
  name: 2
  inputs:
    runCommand: "{{ lines }}"
"""


def ctl(agent, *arguments, stdin=None):
    return subprocess.run([program("ctl", "ssmctl"), "--root", agent.root, *arguments], input=stdin,
                          capture_output=True, text=True, timeout=60)


@suite.case
def yaml_is_run_from_a_file_and_from_standard_input(world):
    agent = world.agent(world.hub()).start().wait_until_serving()
    path = world.path("d.yaml")
    with open(path, "w", encoding="ascii") as f:
        f.write(YAML)
    done = ctl(agent, "run", path, "--param", "who=you")
    equal("exit status", done.returncode, 0)
    equal("output", done.stdout, "hello you\nmore\n1\n2\n")
    done = ctl(agent, "run", "-", stdin=YAML)
    equal("output", done.stdout, "hello world\nmore\n1\n2\n")


@suite.case
def a_value_that_the_document_does_not_allow_is_refused_though_no_service_looked(world):
    agent = world.agent(world.hub()).start().wait_until_serving()
    steps = document(f"echo ran {{{{ who }}}} >> {world.path('ran')}")
    for rule, good, bad, text in ((dict(allowedValues=["you", "me"]), "me", "them", "AllowedValueParamValidator"),
                                  (dict(maxChars=3), "abc", "abcd", "MinMaxCharParamValidator")):
        steps["parameters"] = {"who": {"type": "String", **rule}}
        done = ctl(agent, "run", "-", "--param", "who=" + bad, stdin=json.dumps(steps))
        equal("exit status of " + bad, done.returncode, 1)
        check(text in done.stderr and "/who/" in done.stderr, done.stderr)
        equal("exit status of " + good,
              ctl(agent, "run", "-", "--param", "who=" + good, stdin=json.dumps(steps)).returncode, 0)
    equal("scripts that ran", world.lines("ran"), ["ran me", "ran abc"])


@suite.case
def a_script_that_writes_nothing_succeeds_in_silence(world):
    agent = world.agent(world.hub()).start().wait_until_serving()
    done = ctl(agent, "run", "-", stdin=json.dumps(document("true", ":")))
    equal("exit status", (done.returncode, done.stdout), (0, ""))
    job = done.stderr.split()[2]
    check(done.stderr.startswith("ssmctl: job ") and "removed" not in done.stderr, done.stderr)
    for words in ((), ("-f",), ("--stdout",), ("--step", "1"), ("--json",)):
        done = ctl(agent, "logs", job, *words)
        equal(f"exit status of logs {' '.join(words)}", done.returncode, 0)


@suite.case
def a_document_that_fails_without_output_says_why(world):
    agent = world.agent(world.hub()).start().wait_until_serving()
    steps = document("true")
    steps["mainSteps"][0]["inputs"]["runCommand"] = "no list"
    done = ctl(agent, "run", "-", stdin=json.dumps(steps))
    equal("exit status", done.returncode, 1)
    check("Failed: step 0: Invalid format in plugin properties" in done.stderr, done.stderr)
    check("removed" not in done.stderr, done.stderr)
    done = ctl(agent, "run", "-", stdin=json.dumps(document("exit 3")))
    check("Failed: step 0: exit status 3; see `ssmctl show" in done.stderr, done.stderr)


@suite.case
def yaml_with_a_mistake_says_where(world):
    agent = world.agent(world.hub()).start().wait_until_serving()
    done = ctl(agent, "run", "-", stdin="schemaVersion: 2.2\nmainSteps: [\n")
    equal("exit status", done.returncode, 1)
    check("standard input: line 3, column 1" in done.stderr, done.stderr)


@suite.case
def a_nested_document_may_be_yaml(world):
    hub = world.hub()
    agent = world.agent(hub).start()
    path = world.path("inner.yaml")
    with open(path, "w", encoding="ascii") as f:
        f.write(YAML)
    steps = document("true")
    steps["mainSteps"].append({"action": "aws:runDocument", "name": "inner", "inputs": {
        "documentType": "LocalPath", "documentPath": path, "documentParameters": "who: me\nlines: [echo 3]\n"}})
    record = agent.wait_terminal(hub.send(steps))
    equal("standardOutput", record.results["inner"]["standardOutput"], "hello me\nmore\n3\n")


@suite.case
def a_cancel_leaves_the_output_alone_and_the_steps_after_it_without_any(world):
    hub = world.hub()
    agent = world.agent(hub).start()
    begin = f"echo output; touch {world.path('begun')}; sleep 600"
    steps = document(begin, "echo after")
    elements = {"schemaVersion": "1.2", "runtimeConfig": {"aws:runShellScript": {"properties": [
        {"id": "0", "runCommand": [begin]}, {"id": "1", "runCommand": ["echo after"]}]}}}

    def cancelled(content):
        message = hub.send(content)
        world.wait_file("begun")
        os.unlink(world.path("begun"))
        hub.cancel(message)
        return {step: (r["status"], r["code"], r["output"], r["standardOutput"], r["standardError"])
                for step, r in agent.wait_terminal(message).results.items()}
    equal("steps", cancelled(steps), {"step1": ("Cancelled", 137, "output\n", "output\n", ""),
                                      "step2": ("Cancelled", 1, "", "", "")})
    equal("elements of a list", cancelled(elements), {
        "aws:runShellScript": ("Cancelled", 137, "output\n\n", "output\n\n", "")})


@suite.case
def why_the_rest_is_skipped_is_said_behind_output_that_is_cut(world):
    hub = world.hub()
    agent = world.agent(hub).start()
    long = "head -c 30000 /dev/zero | tr '\\0' x"
    results = agent.wait_terminal(hub.send(document(f"{long}; {long} >&2; exit 169", "true"))).results
    words = f"{'x' * 23980}--output truncated--\nStep exited with code 169: "
    for stream in ("standardOutput", "standardError"):
        equal(stream, results["step1"][stream][:len(words)], words)
    equal("status", results["step2"]["status"], "Skipped")


def written(world, **fields):
    """A step that fails until it was tried three times, with these fields beside its inputs; and one after it."""
    steps = document(f"echo try >> {world.path('tries')}; [ $(wc -l < {world.path('tries')}) -ge 3 ]", "echo after")
    steps["mainSteps"][0].update(fields)
    return steps


@suite.case
def what_the_reference_ignores_is_ignored_and_said(world):
    hub = world.hub()
    agent = world.agent(hub).start()
    message = hub.send(written(world, maxAttempts=3, timeoutSeconds=60, onFailure="exit"))
    record = agent.wait_terminal(message)
    equal("status", record.terminal[0]["Status"], "Failed")
    equal("tries", world.lines("tries"), ["try"])
    equal("the step after it", record.results["step2"]["standardOutput"], "after\n")
    job = message.split(".")[2]
    shown = ctl(agent, "show", job).stdout
    for field in ("timeoutSeconds", "maxAttempts", "onFailure"):
        check(f"warning     mainSteps[0].{field}: ignored" in shown, shown)
    check("3 warnings about its document" in shown, shown)
    equal("warnings as JSON", len(json.loads(ctl(agent, "--json", "show", job).stdout)["warnings"]), 3)


@suite.case
def strict_documents_are_tried_again_also_after_a_kill(world):
    hub = world.hub()
    agent = world.agent(hub)
    agent.config["Agent"] = {"StrictDocuments": True}
    agent.write_config()
    agent.start()
    steps = written(world, maxAttempts=3, timeoutSeconds=60, onFailure="exit")
    steps["mainSteps"][0]["inputs"]["runCommand"].insert(
        0, f"echo output; while [ ! -e {world.path('go')} ]; do sleep 0.05; done")
    message = hub.send(steps)
    agent.wait_state(message, "running")
    agent.kill()
    world.touch("go")
    agent.start()
    record = agent.wait_terminal(message)
    equal("status", record.terminal[0]["Status"], "Success")
    equal("tries", world.lines("tries"), ["try"] * 3)
    equal("output of all tries", record.results["step1"]["standardOutput"], "output\n" * 3)
    equal("code", record.results["step1"]["code"], 0)


@suite.case
def strict_documents_keep_their_limits_and_stop_at_a_failure(world):
    hub = world.hub()
    agent = world.agent(hub)
    agent.config["Agent"] = {"StrictDocuments": True}
    agent.write_config()
    agent.start()
    steps = document("sleep 600", "exit 3", "echo after")
    steps["mainSteps"][0]["timeoutSeconds"] = 5
    steps["mainSteps"][1]["onFailure"] = "exit"
    record = agent.wait_terminal(hub.send(steps))
    equal("the first step", record.results["step1"]["status"], "TimedOut")
    equal("the second step", (record.results["step2"]["status"], record.results["step2"]["code"]), ("Failed", 3))
    equal("the third step", record.results["step3"]["status"], "Skipped")


if __name__ == "__main__":
    raise SystemExit(suite.main())
