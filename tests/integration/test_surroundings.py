#!/usr/bin/python3
"""What ssmd takes from the machine around it, what it gives on, and what it does when that goes wrong."""
import contextlib
import os
import re
import resource
import subprocess
import time
import xml.etree.ElementTree

from harness import Suite, check, document, equal, program, wait_for

suite = Suite("surroundings", jobs=4)


def waiting_script(world):
    return f"echo run >> {world.dir}/ran; env; while [ ! -e {world.dir}/go ]; do sleep 0.02; done; exit 5"


def the_runner(agent):
    """Its process id, from its own record."""
    for job in os.listdir(agent.jobs_dir):
        with contextlib.suppress(OSError), open(os.path.join(agent.jobs_dir, job, "0.1/started"), encoding="ascii") as f:
            return int(re.search(r"^runner_pid=(\d+)$", f.read(), re.M).group(1))
    return None


@suite.case
def a_resolver_that_never_answers_does_not_keep_it_from_stopping(world):
    options = ":".join(filter(None, (os.environ.get("ASAN_OPTIONS"), "verify_asan_link_order=0")))
    agent = world.agent().start(LD_PRELOAD=program("tests/lib", "deaf.so"), SSMD_DEAF=world.path("asked"),
                                ASAN_OPTIONS=options)
    world.wait_file("asked")
    agent.wait_until_serving()
    equal("its status", agent.terminate(), 0)
    check("ssmd ends without waiting" in agent.log(), agent.log()[-1000:])


@suite.case
def its_own_credentials_reach_no_other_program_and_no_file(world):
    hub = world.hub()
    with open(hub.credentials, encoding="ascii") as f:
        keys = dict((word.strip() for word in line.split("=", 1)) for line in f if "=" in line)
    ours = {"AWS_ACCESS_KEY_ID": keys["aws_access_key_id"], "AWS_SECRET_ACCESS_KEY": keys["aws_secret_access_key"]}
    agent = world.agent(hub).start(AWS_SHARED_CREDENTIALS_FILE="/nowhere", **ours).wait_until_serving()
    message = hub.send(document(waiting_script(world)))
    world.wait_file("ran")
    with open(f"/proc/{the_runner(agent)}/environ", encoding="utf-8") as f:
        runner = f.read()
    world.touch("go")
    script = agent.wait_done(message).results["step1"]["standardOutput"]
    for name, text in (("runner", runner), ("script", script)):
        check("PATH=" in text, f"the environment of the {name} is not in {text!r}")
        check(not [n for n in ours if n + "=" in text], f"the {name} has credentials of the agent: {text!r}")
    found = subprocess.run(["grep", "-rlF", ours["AWS_SECRET_ACCESS_KEY"], agent.root],
                           capture_output=True, text=True, check=False)
    equal("files with the secret key", found.stdout, "")


@suite.case
def want_of_descriptors_costs_no_result(world):
    agent = world.agent().start().wait_until_serving()
    message = agent.hub.send(document(waiting_script(world)))
    world.wait_file("ran")
    soft, hard = resource.prlimit(agent.process.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(agent.process.pid, resource.RLIMIT_NOFILE, (3, hard))
    world.touch("go")
    end = time.monotonic() + 13  # it looks once a second; ten failures were once taken for the end of the runner
    wait_for("more than ten failed looks", lambda: time.monotonic() > end)
    resource.prlimit(agent.process.pid, resource.RLIMIT_NOFILE, (soft, hard))
    equal("code", agent.wait_done(message).results["step1"]["code"], 5)
    equal("how often it ran", len(world.lines("ran")), 1)


@suite.case
def a_linked_configuration_is_followed(world):
    agent = world.agent()
    path = os.path.join(agent.root, "etc/ssmd/ssmd.json")
    os.rename(path, world.path("real.json"))
    os.symlink(world.path("real.json"), path)
    agent.start().wait_until_serving()


@suite.case
def a_journal_that_was_removed_takes_no_message(world):
    agent = world.agent().start().wait_until_serving()
    agent.wait_done(agent.hub.send(document(f"echo run >> {world.dir}/before")))
    os.rename(agent.journal_path, world.path("away.db"))
    message = agent.hub.send(document(f"echo run >> {world.dir}/after"))
    wait_for("ssmd to notice", lambda: agent.status()["journal"]["state"] == "suspended")
    equal("what was acknowledged", agent.record(message).of_kind("ack"), [])
    os.rename(world.path("away.db"), agent.journal_path)
    agent.wait_done(message)
    equal("how often it ran", len(world.lines("after")), 1)


@suite.case
def the_history_as_a_page_is_well_formed_and_loads_nothing(world):
    agent = world.agent().start()
    hostile = """<img src=x onerror="alert(1)"/>&amp;'\u202e]]><!--"""
    for n in range(3):
        agent.wait_done(agent.hub.send(document(f"exit {n}"), name=hostile))
    agent.wait_done(agent.hub.send(payload=hostile))
    page = subprocess.run([program("ctl", "ssmctl"), "--root", agent.root, "audit", "export", "--format", "html"],
                          capture_output=True, check=True).stdout
    root = xml.etree.ElementTree.fromstring(page)  # fails on what is not well-formed
    names = [element.tag.rpartition("}")[2] for element in root.iter()]
    equal("jobs", names.count("details"), 4)
    equal("elements that may load or run something",
          sorted(set(names) & {"img", "script", "link", "iframe", "object", "a", "base", "form"}), [])
    found = sorted({name for element in root.iter() for name in element.attrib} -
                   {"class", "style", "title", "charset", "content", "http-equiv", "lang"})
    equal("attributes of other kinds", found, [])
    check("<img src=x onerror=" in "".join(root.itertext()), "the name of the document is not shown")


if __name__ == "__main__":
    raise SystemExit(suite.main())
