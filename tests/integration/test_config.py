#!/usr/bin/python3
"""Configuration of a running ssmd: what a reload changes, what it refuses, where the log goes, and what the
programs say about a file."""
import json
import os
import signal
import subprocess

from harness import HERE, Suite, check, document, equal, program, wait_for

suite = Suite("configuration", jobs=4)
FIXTURES = os.path.join(os.path.dirname(HERE), "fixtures/config")


def reload(agent, says):
    """SIGHUP, and the line of the log that ends the reading."""
    before = agent.log().count(says)
    agent.process.send_signal(signal.SIGHUP)
    wait_for(f"\"{says}\" in the log", lambda: agent.log().count(says) > before)


def ssmctl(*words):
    return subprocess.run([program("ctl", "ssmctl"), *words], capture_output=True, text=True, check=False)


@suite.case
def a_reload_changes_what_it_may_while_work_goes_on(world):
    hub = world.hub()
    agent = world.agent(hub, workers=1).start().wait_until_serving()
    wait = f"while [ ! -e {world.dir}/go ]; do sleep 0.02; done"
    first = hub.send(document(f"touch {world.dir}/first; {wait}"))
    world.wait_file("first")
    second = hub.send(document(f"touch {world.dir}/second; {wait}"))
    agent.wait_state(second, "queued")
    agent.config["Mds"]["CommandWorkersLimit"] = 2
    agent.config["Mds"]["Endpoint"] = "http://127.0.0.1:1"
    agent.write_config()
    reload(agent, "was read again")
    world.wait_file("second")  # the place that the reload made
    config = agent.status()["config"]
    equal("what waits for a restart", config["needs_restart"], ["Mds.Endpoint"])
    equal("the error", config["text"], "")
    check("Mds.CommandWorkersLimit is 2 now" in agent.log(), "the log does not name the change")
    check("Mds.Endpoint was changed" in agent.log(), "the log does not name what needs a restart")
    world.touch("go")
    for message in (first, second):
        equal("status", agent.wait_done(message).terminal[0]["Status"], "Success")


@suite.case
def a_broken_file_changes_nothing_and_is_told(world):
    agent = world.agent().start().wait_until_serving()
    path = os.path.join(agent.root, "etc/ssmd/ssmd.json")
    with open(path, "w", encoding="ascii") as f:
        f.write('{"Mds": {"CommandWorkersLimit": 2,}}')
    reload(agent, "what was in force stays in force")
    text = agent.status()["config"]["text"]
    check("line 1, column 35" in text, f"no line and column in {text!r}")
    status = ssmctl("--root", agent.root, "status")
    check("line 1, column 35" in status.stdout, f"ssmctl status does not say it: {status.stdout}")
    message = agent.hub.send(document("echo still there"))
    equal("status", agent.wait_done(message).terminal[0]["Status"], "Success")
    agent.write_config()
    reload(agent, "was read again")
    equal("the error after all", agent.status()["config"]["text"], "")


@suite.case
def the_log_goes_to_a_file_too_and_rolls(world):
    log = world.path("logs/ssmd.log")
    agent = world.agent(LogFile=log, LogFileMaxMiB=1, LogFileRolls=2).start().wait_until_serving()
    wait_for("the log file", lambda: os.path.exists(log) and "serves" in open(log, encoding="utf-8").read())
    os.rename(log, log + ".moved")
    reload(agent, "was read again")
    check(os.path.exists(log), "the file that was moved away was not opened anew")
    equal("its mode", os.stat(log).st_mode & 0o777, 0o640)
    message = agent.hub.send(document("echo x"))
    agent.wait_done(message)
    with open(log, encoding="utf-8") as f:
        check("command" in f.read(), "the story of the command is not in the new file")


@suite.case
def the_level_of_seelog_counts_as_soon_as_it_is_written(world):
    agent = world.agent()
    where = os.path.join(agent.root, "etc/amazon/ssm")
    os.makedirs(where)
    path = os.path.join(where, "seelog.xml")

    def write(text):
        with open(path + ".new", "w", encoding="ascii") as f:
            f.write(text)
        os.rename(path + ".new", path)
    write('<seelog minlevel="warn"/>')
    agent.start().wait_until_serving()
    check(" info " not in agent.log(), "info was logged at level warn")
    write('<seelog minlevel="debug"/>')
    wait_for("the level debug", lambda: "log levels: debug" in agent.log())
    write('<seelog minlevel="debug"')
    wait_for("the broken file to be told", lambda: "level info counts" in agent.log())
    agent.config["Ssmd"]["LogLevels"] = "debug,transport:error"
    agent.write_config()
    reload(agent, "was read again")
    check("log levels: debug,transport:error" in agent.log(), "Ssmd.LogLevels did not win")


@suite.case
def a_file_of_the_reference_is_found_and_starts_ssmd(world):
    agent = world.agent()
    where = os.path.join(agent.root, "etc/amazon/ssm")
    os.makedirs(where)
    with open(os.path.join(FIXTURES, "template.json"), encoding="ascii") as f:
        template = json.load(f)
    for section, keys in agent.config.items():
        template.setdefault(section, {}).update(keys)
    os.unlink(os.path.join(agent.root, "etc/ssmd/ssmd.json"))
    with open(os.path.join(where, "amazon-ssm-agent.json"), "w", encoding="ascii") as f:
        json.dump(template, f)
    agent.start().wait_until_serving()
    equal("the file", agent.status()["config"]["path"], os.path.join(where, "amazon-ssm-agent.json"))
    equal("warnings", agent.status()["config"]["n_warnings"], 0)
    message = agent.hub.send(document("echo x"))
    equal("status", agent.wait_done(message).terminal[0]["Status"], "Success")


@suite.case
def both_programs_say_the_same_of_a_file(world):
    """ssmd --check-config warns of exactly what ssmctl config check finds."""
    for name in sorted(os.listdir(FIXTURES)):
        path = os.path.join(FIXTURES, name)
        root = world.path(name)
        ctl = ssmctl("--root", root, "--json", "config", "check", path)
        ssmd = subprocess.run([program("agent", "ssmd"), "--root", root, "--check-config", "--config", path],
                              capture_output=True, text=True, check=False)
        answer = json.loads(ctl.stdout)
        if "error" in answer:
            equal(f"exit status for {name}", (ctl.returncode, ssmd.returncode), (1, 1))
            check(answer["error"]["text"] in ssmd.stderr, f"{name}: ssmd says {ssmd.stderr!r}")
            continue
        warnings = [f for f in answer["findings"] if f["severity"] == "warning"]
        equal(f"number of warnings for {name}", answer["n_warnings"], len(warnings))
        equal(f"exit status for {name}", ctl.returncode, 1 if warnings else 0)
        for finding in warnings:
            line = f"{path}:{finding['line']}: {finding['key']}: {finding['text']}"
            check(line in ssmd.stderr, f"{name}: ssmd does not say {line!r}")


@suite.case
def check_config_looks_at_the_files_that_are_named(world):
    agent = world.agent(CaFile=world.path("no-such-ca.pem"))
    ssmd = subprocess.run([program("agent", "ssmd"), "--root", agent.root, "--check-config"],
                          capture_output=True, text=True, check=False)
    equal("exit status", ssmd.returncode, 1)
    check("no-such-ca.pem: No such file" in ssmd.stderr, f"ssmd says {ssmd.stderr!r}")
    equal("the last line", ssmd.stdout, "configuration: 1 warning\n")


@suite.case
def node_tells_what_the_service_was_told(world):
    hub = world.hub()
    agent = world.agent(hub).start().wait_until_serving()
    wait_for("a full report", lambda: agent.status()["node"]["computer_name"])
    told = {}

    def full():
        for node in hub.ssm.describe_instance_information()["InstanceInformationList"]:
            told.update(node)
        return "PlatformName" in told
    wait_for("the hub to know the platform", full)
    node = json.loads(ssmctl("--root", agent.root, "--json", "node").stdout)
    for key, member in (("instance-id", "InstanceId"), ("release-version", "AgentVersion"),
                        ("platform-name", "PlatformName"), ("platform-version", "PlatformVersion"),
                        ("computer-name", "ComputerName"), ("ip-address", "IPAddress")):
        equal(key, node[key], told.get(member, ""))
    equal("the region", node["region"], "us-east-1")
    text = ssmctl("--root", agent.root, "node").stdout
    check(f"instance-id      {agent.instance}\n" in text, f"ssmctl node says {text!r}")


@suite.case
def version_is_told_as_scripts_expect_it(world):
    del world
    out = subprocess.run([program("agent", "ssmd"), "-version"], capture_output=True, text=True, check=True).stdout
    check(out.startswith("SSM Agent version: ") and out.strip().split(".")[-1].isdigit(), f"it is {out!r}")


if __name__ == "__main__":
    raise SystemExit(suite.main())
