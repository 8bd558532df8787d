#!/usr/bin/python3
"""A whole update: ssmhub sends the document or an operator asks, ssmd-stager fetches from a source that other programs
made, ssmd-updater switches, and the next ssmd goes on. The next version is this one with another number in it."""
import json
import os
import shutil
import signal
import subprocess

import harness
from harness import Suite, check, document, equal, program, wait_for
from update_source import FILE_NAME, PROGRAMS, Source, package

OLD, NEW = "0.1.0", "0.2.0"
FOLDERS = {"ssmd": "agent", "ssmd-runner": "executors", "ssmd-download": "download", "ssmd-stager": "update",
           "ssmd-updater": "update", "ssmctl": "ctl"}
suite = Suite("whole updates", jobs=2)


def programs(version):
    """The programs of this build as those of another version: the number is a text in them."""
    files = {}
    for name in PROGRAMS:
        with open(program(FOLDERS[name], name), "rb") as f:
            data = f.read()
        check(len(version) == len(OLD), "a number of another length does not fit in its place")
        for end in (b"\0", b".0\0"):
            data = data.replace(b"\0" + OLD.encode() + end, b"\0" + version.encode() + end)
        files[f"bin/{name}"] = data
    return files


class SlotAgent(harness.Agent):
    """An agent in version slots, below ssmd-updater's supervisor, with an update source."""

    def __init__(self, world, name="node", **settings):
        hub = world.hub()
        root = world.path(name)
        self.source = Source(world.path("source"))
        super().__init__(root, hub, UpdateSource=self.source.url, UpdateRootFile=self.source.root_file,
                         UpdateProvingSeconds=2, UpdateDeadlineSeconds=20, **settings)
        for key in ("RunnerPath", "DownloadPath"):  # those of its own slot
            del self.config["Ssmd"][key]
        self.write_config()
        world.agents.append(self)
        given = world.path("programs")
        os.makedirs(given)
        for program_name in PROGRAMS:
            shutil.copy(program(FOLDERS[program_name], program_name), given)
        self.run_updater("install", "--from", given)

    def clean_environment(self, **more):
        env = {name: value for name, value in os.environ.items()
               if not name.startswith(("AWS_", "SSMD_", "RUNNER_SSMD_")) and "proxy" not in name.lower()}
        return {**env, "AWS_SHARED_CREDENTIALS_FILE": self.hub.credentials, harness.MARK: self.mark, **more}

    def run_updater(self, *words):
        done = subprocess.run([program("update", "ssmd-updater"), *words, "--root", self.root], capture_output=True,
                              text=True, check=False)
        equal(f"the status of ssmd-updater {words}: {done.stderr}", done.returncode, 0)

    def start(self, **environment):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen([program("update", "ssmd-updater"), "supervise", "--root", self.root],
                                            env=self.clean_environment(**environment), stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log)
        return self

    def offer(self, version=NEW, spoil=None, **fields):
        files = programs(version)
        if spoil:
            spoil(files)
        self.source.add(version, package(version, files=files), **fields).publish()
        return self

    def ssmctl(self, *words):
        """By the programs of this build: an operator's may be older or newer than what runs."""
        return subprocess.run([program("ctl", "ssmctl"), "--root", self.root, *words], capture_output=True, text=True,
                              check=False, timeout=120)

    def link(self, name):
        return os.path.basename(os.readlink(os.path.join(self.root, "opt/ssmd", name)))

    def expect_version(self, version):
        status = wait_for("ssmd to serve", self.status)
        equal("the version that runs", status["version"], version)
        equal("current and proven", (self.link("current"), self.link("proven")), (version, version))


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


def crash(files):
    files["bin/ssmd"] = (b"#!/bin/sh\n[ \"$1\" != --version ] || { echo ssmd " + NEW.encode() + b"; exit 0; }\nexit 3\n")


@suite.case
def a_version_that_does_not_start_is_rolled_back_and_told(world):
    agent = SlotAgent(world).offer(spoil=crash).start().wait_until_serving()
    update = agent.hub.send(update_document())
    result = agent.wait_done(update).results["awsupdateSsmAgent"]
    equal("the update's result", (result["status"], result["code"]), ("Failed", 1))
    check(f"rolledback amazon-ssm-agent to {OLD}.0\nFailed to update amazon-ssm-agent to {NEW}.0\n"
          in result["standardOutput"], result["standardOutput"])
    agent.expect_version(OLD)


@suite.case
def what_the_source_does_not_allow_changes_nothing(world):
    agent = SlotAgent(world).offer().start().wait_until_serving()
    pid = agent.status()["pid"]
    for target, downgrade, text in (("0.0.9", "false", "enable allow downgrade"),
                                    ("9.9.9", "false", "9.9.9"), (OLD, "false", "already been installed")):
        update = agent.hub.send(update_document(target, downgrade))
        result = agent.wait_done(update).results["awsupdateSsmAgent"]
        check(text in result["standardOutput"], result["standardOutput"])
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


if __name__ == "__main__":
    suite.main()
