#!/usr/bin/python3
"""A whole update: ssmhub sends the document or an operator asks, ssmd-stager fetches from a source that other programs
made, ssmd-updater switches, and the next ssmd goes on. The next version is this one with another number in it."""
import json
import os
import resource
import signal
import subprocess
import time
import tempfile

from harness import CODES, Record, Suite, check, document, equal, program, wait_for, web
from tls_hub import TlsHub
from update_source import FILE_NAME
from whole_update import BAD, LOWER, NEW, OLD, STEP, UPDATE_S, Shared, SlotAgent, built, crash

RELEASE = Shared()
SLOW = "too slow with sanitizers, where others do the same" if b"__asan_init" in built("ssmd") else None
suite = Suite("whole updates", jobs=4)


def update_document(version="", downgrade="false", name="awsupdateSsmAgent"):
    return {"schemaVersion": "2.2", "mainSteps": [{
        "action": "aws:updateSsmAgent", "name": name,
        "inputs": {"agentName": "amazon-ssm-agent", "allowDowngrade": downgrade, "targetVersion": version,
                   "source": "https://s3.{Region}.amazonaws.com/amazon-ssm-{Region}/ssm-agent-manifest.json"}}]}


@suite.case
def a_command_updates_and_a_script_runs_through_it(world):
    agent = SlotAgent(world).offer().start().wait_until_serving()
    script = agent.hub.send(document(f"echo begun; touch {world.dir}/runs; while [ ! -e {world.dir}/go ]; do sleep 0.05;"
                                     " done; echo ended; exit 7"))
    world.wait_file("runs")
    update = agent.hub.send(update_document())
    result = agent.wait_done(update).results["awsupdateSsmAgent"]
    equal("the update's result", (result["status"], result["code"], result["name"]),
          ("Success", 0, "aws:updateSsmAgent"))
    equal("its output", result["standardOutput"],
          "Successfully downloaded manifest\n"
          f"Updating amazon-ssm-agent from {OLD}.0 to {NEW}.0\n"
          f"Successfully downloaded {agent.source.url}/ssmd/{NEW}/{FILE_NAME}\n"
          f"Initiating amazon-ssm-agent update to {NEW}.0\n"
          f"amazon-ssm-agent updated successfully to {NEW}.0\n")
    agent.wait_status(f"UpdateSucceeded-{NEW}.0")
    agent.expect_version(NEW)
    equal("previous", agent.link("previous"), OLD)
    world.touch("go")
    result = agent.wait_done(script).results["step1"]
    equal("the script's exit code and output", (result["code"], result["standardOutput"]), (7, "begun\nended\n"))
    check(not os.path.exists(os.path.join(agent.state_dir, "update/work")), "the package was left behind")


@suite.case
def an_operator_follows_an_update_to_its_end(world):
    agent = SlotAgent(world).offer().start().wait_until_serving()
    looked = agent.ssmctl("update", "--check", "--json")
    equal(f"the status of --check: {looked.stderr}", looked.returncode, 0)
    found = json.loads(looked.stdout)["check"]
    equal("what --check finds", (found["current"], found["target"], found["is_wanted"]), (OLD, NEW, True))
    planned = agent.ssmctl("update", "--dry-run")
    equal(f"the status of --dry-run: {planned.stderr}", planned.returncode, 0)
    check(f"switch to {NEW}, and back to {OLD}" in planned.stdout, planned.stdout)
    done = agent.ssmctl("update")
    equal(f"the status of ssmctl update: {done.stdout}{done.stderr}", done.returncode, 0)
    equal("what it says", done.stdout, f"updated from {OLD} to {NEW}\n")
    for state in ("fetched", "staged", "switching", "proving", "committed"):
        check(f"\n{state}" in done.stderr, done.stderr)
    agent.expect_version(NEW)
    pid = agent.status()["pid"]
    again = agent.ssmctl("update", "--json")
    equal("the status of a second one", again.returncode, 0)
    check("already been installed" in json.loads(again.stdout)["text"], again.stdout)
    equal("the pid after it", agent.status()["pid"], pid)


@suite.case
def a_version_that_does_not_start_is_rolled_back_and_told(world):
    agent = SlotAgent(world).offer(spoil=crash).start().wait_until_serving()
    update = agent.hub.send(update_document())
    result = agent.wait_done(update).results["awsupdateSsmAgent"]
    equal("the update's result", (result["status"], result["code"]), ("Failed", 1))
    check(f"rolledback amazon-ssm-agent to {OLD}.0\nFailed to update amazon-ssm-agent to {NEW}.0\n"
          in result["standardOutput"], result["standardOutput"])
    agent.wait_status(f"UpdateFailed_ErrorUpdateFailRollbackSuccess-{NEW}.0")
    agent.expect_version(OLD)


@suite.case
def what_the_source_does_not_allow_changes_nothing(world):
    agent = SlotAgent(world).offer().start().wait_until_serving()
    pid = agent.status()["pid"]
    for target, downgrade, text in (("0.0.9", "false", "enable allow downgrade"),
                                    ("9.9.9", "false", "9.9.9"), (OLD, "false", f"{OLD}.0 has already been installed")):
        update = agent.hub.send(update_document(target, downgrade))
        result = agent.wait_done(update).results["awsupdateSsmAgent"]
        check(text in result["standardOutput"], result["standardOutput"])
        equal(f"the first line for {target}", result["standardOutput"].split("\n")[0], "Successfully downloaded manifest")
        equal(f"the result for {target}", result["status"], "Success" if target == OLD else "Failed")
    agent.expect_version(OLD)
    equal("the pid", agent.status()["pid"], pid)


@suite.case
def an_update_is_ended_by_an_operator_before_it_switches(world):
    agent = SlotAgent(world).offer().start().wait_until_serving()
    script = agent.hub.send(document(f"touch {world.dir}/runs; while [ ! -e {world.dir}/go ]; do sleep 0.05; done"))
    world.wait_file("runs")
    begun = agent.ssmctl("update", "--when-idle", "60", "--detach")
    equal(f"the status of --detach: {begun.stderr}", begun.returncode, 0)
    job = begun.stdout.strip()

    def state():
        return json.loads(agent.ssmctl("show", job, "--json").stdout)["job"]["state"]
    wait_for("the update to wait", lambda: state() == "staged")
    check(job in agent.ssmctl("jobs").stdout, "`ssmctl jobs` does not list it")
    check("update to" in agent.ssmctl("status").stdout, "`ssmctl status` does not show it")
    equal("the status of cancel", agent.ssmctl("cancel", job).returncode, 0)
    wait_for("its end", lambda: state() == "done")
    world.touch("go")
    agent.wait_done(script)
    agent.expect_version(OLD)


@suite.case
def ssmd_killed_in_the_middle_of_proving_ends_well(world):
    agent = SlotAgent(world).offer().start().wait_until_serving()
    update = agent.hub.send(update_document())
    wait_for("the new version", lambda: (agent.status() or {}).get("version") == NEW)
    os.kill(agent.status()["pid"], signal.SIGKILL)
    equal("the result", agent.wait_done(update).results["awsupdateSsmAgent"]["status"], "Success")
    agent.expect_version(NEW)


def of_the_hub(world, **settings):
    return SlotAgent(world, release=RELEASE.get(), **settings).start().wait_until_serving()


@suite.case
def users_update_with_the_document_of_the_service(world):
    agent = of_the_hub(world)
    agent.wait_known(OLD)
    got = agent.wait_invocation(agent.send_update())
    equal("status and code", (got["Status"], got["ResponseCode"], got["PluginName"]), ("Success", 0, STEP))
    check(got["StandardOutputContent"].endswith(f"amazon-ssm-agent updated successfully to {NEW}.0\n"), got)
    agent.expect_version(NEW)
    agent.wait_known(NEW)
    pid = agent.pid
    for parameters in ({}, {"version": NEW}, {"version": "latest"}):
        got = agent.wait_invocation(agent.send_update(**parameters))
        check(f"amazon-ssm-agent {NEW}.0 has already been installed" in got["StandardOutputContent"], got)
        equal("status and code", (got["Status"], got["ResponseCode"]), ("Success", 0))
    got = agent.wait_invocation(agent.send_update(version=LOWER))
    check("please enable allow downgrade to proceed" in got["StandardOutputContent"], got)
    equal("status of a lower version", got["Status"], "Failed")
    equal("the pid after all of them", agent.pid, pid)
    got = agent.wait_invocation(agent.send_update(version=LOWER, allowDowngrade="true"))
    equal("status of a lower version that is asked for", got["Status"], "Success")
    agent.expect_version(LOWER)
    equal("previous", agent.link("previous"), NEW)
    agent.wait_known(LOWER)


@suite.case
def it_comes_over_the_control_channel_as_well(world):
    agent = of_the_hub(world, control=True)
    agent.hub.wait_channel()
    agent.hub.fault(kind="error", operation="GetMessages", times=1000000)
    running = agent.hub.send(document(f"echo begun; touch {world.dir}/runs; while [ ! -e {world.dir}/go ]; do sleep 0.05;"
                                      " done; echo ended; exit 9"))
    world.wait_file("runs")
    update = agent.hub.send(update_document(NEW))
    result = agent.wait_done(update).results[STEP]
    equal("the update's result", (result["status"], result["code"]), ("Success", 0))
    agent.expect_version(NEW)
    world.touch("go")
    result = agent.wait_done(running).results["step1"]
    equal("the script's exit code and output", (result["code"], result["standardOutput"]), (9, "begun\nended\n"))


def an_operator_is_told_what_was_put_back(world):
    agent = SlotAgent(world).offer(spoil=crash).start().wait_until_serving()
    done = agent.ssmctl("update")
    equal(f"the status of ssmctl update: {done.stderr}", done.returncode, 1)
    equal("what it says", done.stdout, f"Failed: version {NEW} was started 4 times and did not stay: it exited with status 3\n"
          f"{OLD} was put back\n")
    done = agent.ssmctl("update", "--to", "9.9.9")
    check("try: `ssmctl update --check`" in done.stdout and done.returncode == 1, f"{done.returncode}: {done.stdout}{done.stderr}")


suite.add("an operator is told what was put back", an_operator_is_told_what_was_put_back, skip=SLOW)


@suite.case
def the_doctor_says_what_stands_against_updates(world):
    agent = SlotAgent(world)

    def says(ssmd, state, text):
        done = subprocess.run([ssmd, "doctor", "--json", "--root", agent.root], capture_output=True, text=True, check=False,
                              timeout=UPDATE_S, env=agent.clean_environment())
        lines = [line for line in json.loads(done.stdout)["checks"] if line["check"] == "updates"]
        check(len(lines) == 1 and lines[0]["state"] == state and text in lines[0]["text"], f"{lines}, wanted {state}: {text}")

    own = os.path.join(agent.root, "opt/ssmd/current/bin/ssmd")
    says(own, "ok", f"from version {OLD} by {agent.source.url}")
    says(program("agent", "ssmd"), "warning", "does not run from")
    os.unlink(agent.source.root_file)
    says(own, "warning", f"{agent.source.root_file}, the keys that sign versions of ssmd, cannot be read")


# What is said of each bad version, and whether it was refused before anything was switched.
SAID = {
    "crash": ("was started 4 times and did not stay: it exited with status 3", False),
    "hang": ("did not prove itself within 4 s: it has said nothing of itself", False),
    "unreachable": ("it has not reached the service: @Failed to connect to 127.0.0.1 port 9", False),
    "mistrusting": ("it has not reached the service: @certificate", False),
    "unreadable": ("did not stay: it exited with status 111: registration: @journal.db: prepare", False),
    "wrong_machine": ("bin/ssmd --version of the new version: it cannot be executed here: Exec format error", True),
    "without_library": ("libsqlit", True),
    "another": (f"version {OLD} runs where version 0.1.7 was to run", False),
    "glutton": ("of memory; its limit is 64 MiB", False),
}


MEMORY = "/sys/fs/cgroup/memory"  # of the first kind of control groups
MEMORY_LIMIT = 200 << 20


def make_group(name):
    group = os.path.join(MEMORY, name)
    os.mkdir(group)
    with open(os.path.join(group, "memory.limit_in_bytes"), "w", encoding="ascii") as f:
        f.write(str(MEMORY_LIMIT))
    return group


def may_limit_memory():
    try:
        os.rmdir(make_group(f"ssmd-test-{os.getpid()}"))
        return True
    except OSError:
        return False


def memory_is_limited(world, pid):
    """For everything that this process starts from now on: as MemoryMax= of a unit."""
    group = make_group(os.path.basename(world.dir))
    with open(os.path.join(group, "cgroup.procs"), "w", encoding="ascii") as f:
        f.write(str(pid))

    def is_removed():
        try:
            os.rmdir(group)
            return True
        except OSError:  # what was in it is about to be reaped
            return False
    world.at_end.append(lambda: wait_for("the control group to be empty", is_removed))


def is_not_kept(world, version, said, is_refused):
    # Who is to say what it lacks has to have the time to start, on a busy machine.
    settings = {"UpdateDeadlineSeconds": 4} if "within 4 s" in said else {"UpdateDeadlineSeconds": 15} if "not reached" in said else {}
    environment = {}
    if "64 MiB" in said:
        settings["UpdateMaxMemoryMiB"], settings["UpdateProvingSeconds"] = 64, 10
    elif "signal 9" in said:
        settings["UpdateMaxMemoryMiB"], settings["UpdateProvingSeconds"] = 0, 10
    if "certificate" in said:
        hub = TlsHub(world.path("hub"), "--tls", "--updates", RELEASE.get().dir)
        world.hubs.append(hub)
        settings["hub"], environment["AWS_CA_BUNDLE"] = hub, hub.ca
    agent = SlotAgent(world, release=RELEASE.get(), **settings).start(**environment).wait_until_serving()
    if "signal 9" in said:
        memory_is_limited(world, agent.process.pid)
    agent.wait_known(OLD)
    pid = agent.pid
    running = agent.hub.send(document(f"touch {world.dir}/runs; while [ ! -e {world.dir}/go ]; do sleep 0.05; done; exit 5"))
    world.wait_file("runs")
    got = agent.wait_invocation(agent.send_update(version=version))
    equal("status and code", (got["Status"], got["ResponseCode"]), ("Failed", 1))
    for part in said.split("@"):
        check(part in got["StandardOutputContent"] + got["StandardErrorContent"], f"{part!r} is not in {got}")
    check(is_refused or f"rolledback amazon-ssm-agent to {OLD}.0\n" in got["StandardOutputContent"], got)
    agent.expect_version(OLD)
    agent.wait_known(OLD)
    equal("it is the process that it was", agent.pid == pid, is_refused)
    world.touch("go")
    equal("the script's code", agent.wait_done(running).results["step1"]["code"], 5)


for number, spoil in BAD.items():
    suite.add(f"a version is not kept: {spoil.__name__.replace('_', ' ')}", is_not_kept, number, *SAID[spoil.__name__],
              skip=None if spoil.__name__ in ("crash", "unreadable") else SLOW)
if "0.1.8" in BAD:
    suite.add("a version is not kept: glutton, until the kernel ends it", is_not_kept, "0.1.8",
              "was started 4 times and did not stay: it was ended by signal 9", False,
              skip=None if may_limit_memory() else "no control group of memory can be made here")


# ---- when the world is against it ----

def fails_and_runs_on(agent, *said):
    """An update that cannot be done: says so, and nothing else happens."""
    pid = agent.pid
    done = agent.ssmctl("update")
    equal(f"the status of ssmctl update: {done.stdout}{done.stderr}", done.returncode, 1)
    check(any(text in done.stdout for text in said), f"none of {said} is in {done.stdout!r}")
    equal("the pid", agent.pid, pid)
    agent.expect_version(OLD)
    run = agent.hub.send(document("exit 6"))
    equal("a command after it", agent.wait_done(run).results["step1"]["code"], 6)


@suite.case
def a_mirror_that_is_not_there_is_told_and_waited_for(world):
    agent = SlotAgent(world, release=RELEASE.get(), UpdateSource="http://127.0.0.1:9/updates").start().wait_until_serving()
    agent.wait_known(OLD)
    done = agent.ssmctl("update", "--check")
    check(done.returncode != 0 and "127.0.0.1:9" in done.stdout + done.stderr, f"{done.stdout}{done.stderr}")
    pid, update = agent.pid, agent.send_update()
    wait_for("the log to say what is tried again",
             lambda: "Failed to connect to 127.0.0.1 port 9" in agent.log() and "it is tried again" in agent.log())
    run = agent.hub.send(document("exit 6"))
    equal("a command meanwhile", agent.wait_done(run).results["step1"]["code"], 6)
    agent.hub.ssm.cancel_command(CommandId=update)
    got = agent.wait_invocation(update)
    equal("its end", got["Status"], "Cancelled")
    equal("the pid", agent.pid, pid)
    agent.expect_version(OLD)


@suite.case
def a_mirror_without_end_is_cut_off(world):
    size = 8 << 20
    url = web(world, lambda request: (200, {}, b" " * size))
    agent = SlotAgent(world, release=RELEASE.get(), UpdateSource=url).start().wait_until_serving()
    fails_and_runs_on(agent, "larger than", "more than", "bytes")


def metadata_is_of_another_time(world, issued, expires):
    """As it looks to a machine whose clock is wrong."""
    agent = SlotAgent(world).offer()
    agent.source.publish(issued=issued, timestamp_expires=expires, expires=expires)
    fails_and_runs_on(agent.start().wait_until_serving(), "this machine's clock says")


suite.add("a clock that is late is told", metadata_is_of_another_time, 20, 40)
suite.add("a clock that is early is told", metadata_is_of_another_time, -40, -20, skip=SLOW)


@suite.case
def a_full_disk_is_told(world):
    """No file may grow over a megabyte: the journal fits, the package does not."""
    agent = of_the_hub(world)
    resource.prlimit(agent.pid, resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
    fails_and_runs_on(agent, "File too large", "full", "space")


def may_mount():
    directory = tempfile.mkdtemp(prefix="ssmd-mount-")
    try:
        if subprocess.run(["mount", "-t", "tmpfs", "none", directory], capture_output=True, check=False).returncode:
            return False
        subprocess.run(["umount", directory], check=True)
        return True
    finally:
        os.rmdir(directory)


def slots_are_read_only(world):
    agent = SlotAgent(world, release=RELEASE.get())
    slots = os.path.join(agent.root, "opt/ssmd")
    subprocess.run(["mount", "--bind", slots, slots], check=True)
    world.at_end.append(lambda: subprocess.run(["umount", "-l", slots], check=True))
    subprocess.run(["mount", "-o", "remount,bind,ro", slots], check=True)
    fails_and_runs_on(agent.start().wait_until_serving(), "Read-only file system", "read-only")


suite.add("slots that cannot be written are told", slots_are_read_only,
          skip=None if may_mount() else "this user may not mount")


N_SCRIPTS = 1000


def a_thousand_scripts_run_through_it(world):
    """Each tells its own number and ends with a code of its own, after the version has changed."""
    agent = of_the_hub(world, workers=N_SCRIPTS + 100)
    os.mkdir(world.path("ran"))
    sent = [agent.hub.send(document(f"echo run > {world.dir}/ran/{n}.$$; while [ ! -e {world.dir}/go ]; do sleep 2; done;"
                                    f" echo number {n}; exit {CODES[n % len(CODES)]}")) for n in range(N_SCRIPTS)]
    wait_for("all scripts to run", lambda: len(os.listdir(world.path("ran"))) == N_SCRIPTS, timeout=300, every=0.2)
    done = agent.ssmctl("update", "--to", NEW)
    equal(f"the status of ssmctl update: {done.stdout}{done.stderr}", done.returncode, 0)
    agent.expect_version(NEW)
    world.touch("go")
    wait_for("all results to be reported", lambda: agent.query(
        "SELECT count(*) AS n FROM instance WHERE machine = 'command' AND state = 'done'")[0]["n"] == N_SCRIPTS,
        timeout=180, every=0.2)
    records = {message["MessageId"]: Record(message) for message in agent.hub.state()["Messages"]}
    for n, message_id in enumerate(sent):
        record = records[message_id]
        equal(f"command {n}: terminal replies", len(record.terminal), 1)
        result = record.results["step1"]
        equal(f"command {n}: code, output", (result["code"], result["standardOutput"]), (CODES[n % len(CODES)], f"number {n}\n"))
    equal("how often each ran", sorted(int(name.split(".")[0]) for name in os.listdir(world.path("ran"))), list(range(N_SCRIPTS)))


suite.add("a thousand scripts run through it", a_thousand_scripts_run_through_it,
          skip=SLOW)


def power_is_lost(world, moment):
    """Everything ends at once, so long after the document was sent; the machine boots, and the update goes on."""
    agent = SlotAgent(world).offer().start().wait_until_serving()
    update = agent.hub.send(update_document())
    time.sleep(moment)
    agent.lose_power()
    agent.start()
    record = agent.wait_done(update)
    equal("terminal replies", len(record.terminal), 1)
    equal("the result", record.results["awsupdateSsmAgent"]["status"], "Success")
    agent.expect_version(NEW)


for seconds in (0.2, 0.9, 1.8):
    suite.add(f"power lost {seconds} s after the document was sent ends well", power_is_lost, seconds)


if __name__ == "__main__":
    raise SystemExit(suite.main())
