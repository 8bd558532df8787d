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


if __name__ == "__main__":
    raise SystemExit(suite.main())
