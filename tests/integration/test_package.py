#!/usr/bin/python3
"""Updates through the package manager that owns ssmd: the signed manifest says which version, apt installs it, the
package's own script restarts ssmd in the middle of it, and what is told is what is installed and runs afterwards."""
import contextlib
import fcntl
import json
import os
import shutil
import signal
import subprocess

from harness import Suite, check, document, equal, wait_for
from packaged import RESTART, PackagedAgent
from test_update import update_document
from whole_update import LOWER, NEW, OLD, programs

suite = Suite("updates through a package manager", jobs=4)
STEP = "awsupdateSsmAgent"


@contextlib.contextmanager
def held(path):
    """Somebody else works with packages."""
    with open(path, "a", encoding="ascii") as f:
        fcntl.lockf(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield


def result_of(agent, command):
    return agent.wait_done(command, timeout=180).results[STEP]


@suite.case
def a_command_updates_over_the_restart_of_the_package(world):
    agent = PackagedAgent(world).offer_manifest(NEW).start().wait_until_serving()
    agent.manager.offer(NEW, programs(NEW))
    script = agent.hub.send(document(f"touch {world.dir}/runs; while [ ! -e {world.dir}/go ]; do sleep 0.05; done; exit 7"))
    world.wait_file("runs")
    result = result_of(agent, agent.hub.send(update_document()))
    equal("the result", (result["status"], result["code"]), ("Success", 0))
    equal("its output", result["standardOutput"],
          "Successfully downloaded manifest\n"
          f"Updating amazon-ssm-agent from {OLD}.0 to {NEW}.0\n"
          f"Initiating amazon-ssm-agent update to {NEW}.0\n"
          f"amazon-ssm-agent updated successfully to {NEW}.0\n")
    agent.wait_status(f"UpdateSucceeded-{NEW}.0")
    agent.wait_version(NEW)
    equal("what dpkg says", agent.manager.installed(), ("installed", f"{NEW}-1"))
    equal("how often apt-get was asked to install", agent.n_runs(), 1)
    world.touch("go")
    equal("the script's exit code", agent.wait_done(script).results["step1"]["code"], 7)


@suite.case
def an_operator_sees_what_would_be_done_and_then_does_it(world):
    agent = PackagedAgent(world).offer_manifest(NEW).start().wait_until_serving()
    agent.manager.offer(NEW, programs(NEW), revision="+deb12u1-3")
    looked = json.loads(agent.ssmctl("update", "--check", "--json").stdout)["check"]
    equal("what --check finds", (looked["target"], looked["manager"], looked["is_wanted"]), (NEW, "apt-get", True))
    planned = agent.ssmctl("update", "--dry-run")
    check(f"install ssmd in version {NEW} with it" in planned.stdout, planned.stdout)
    equal("what is installed after --dry-run", agent.manager.installed(), ("installed", f"{OLD}-1"))
    done = agent.ssmctl("update")
    equal(f"the status of ssmctl update: {done.stdout}{done.stderr}", done.returncode, 0)
    for state in ("chosen", "installing", "checking", "restarting", "committed"):
        check(f"\n{state}" in done.stderr, done.stderr)
    agent.wait_version(NEW)
    again = json.loads(agent.ssmctl("update", "--json").stdout)
    equal("a second one", again["text"], f"ssmd {NEW}.0 has already been installed")


@suite.case
def a_version_that_the_repositories_lack_changes_nothing_and_is_named(world):
    agent = PackagedAgent(world).offer_manifest(NEW).start().wait_until_serving()
    agent.manager.offer("0.2.01", programs(NEW))  # a number that only begins so
    result = result_of(agent, agent.hub.send(update_document()))
    equal("the result", (result["status"], result["code"]), ("Failed", 1))
    for words in (f"have no version {NEW} of ssmd", f"{OLD}-1", "No rollback needed"):
        check(words in result["standardOutput"], result["standardOutput"])
    agent.wait_status(f"UpdateFailed_ErrorTargetPkgDownload-{NEW}.0")
    equal("what runs", (agent.version, agent.n_runs()), (OLD, 0))


@suite.case
def the_manifest_is_the_judge_and_a_lower_version_is_only_installed_when_asked_for(world):
    agent = PackagedAgent(world).offer_manifest(LOWER, OLD).start().wait_until_serving()
    agent.manager.offer(LOWER, programs(LOWER))
    agent.manager.offer(NEW, programs(NEW))  # newer than the manifest knows: not for this machine
    same = result_of(agent, agent.hub.send(update_document()))
    check(f"{OLD}.0 has already been installed" in same["standardOutput"], same["standardOutput"])
    result = result_of(agent, agent.hub.send(update_document(version=LOWER)))
    equal("unasked", result["status"], "Failed")
    check("please enable allow downgrade" in result["standardOutput"], result["standardOutput"])
    equal("what runs", (agent.version, agent.n_runs()), (OLD, 0))
    result = result_of(agent, agent.hub.send(update_document(version=LOWER, downgrade="true")))
    equal(f"asked: {result['standardOutput']}", result["status"], "Success")
    agent.wait_version(LOWER)


@suite.case
def a_package_that_cannot_be_configured_is_told_with_its_state_and_what_to_type(world):
    agent = PackagedAgent(world).offer_manifest(NEW).start().wait_until_serving()
    agent.manager.offer(NEW, programs(NEW), postinst="echo it cannot >&2; exit 3")
    result = result_of(agent, agent.hub.send(update_document()))
    equal("the result", (result["status"], result["code"]), ("Failed", 1))
    for words in (f"ssmd {NEW}-1 is half-configured", "dpkg --configure -a", "error exit status 3"):
        check(words in result["standardOutput"], result["standardOutput"])
    check("No rollback needed" not in result["standardOutput"], result["standardOutput"])
    check(agent.status() is not None, "no agent answers")


@suite.case
def a_package_with_another_program_in_it_is_no_success(world):
    agent = PackagedAgent(world).offer_manifest(NEW).start().wait_until_serving()
    agent.manager.offer(NEW, programs(OLD))
    result = result_of(agent, agent.hub.send(update_document()))
    equal("the result", result["status"], "Failed")
    check(f"the program is version {OLD}" in result["standardOutput"], result["standardOutput"])


@suite.case
def who_holds_the_lock_is_waited_for_and_a_cancel_meanwhile_ends_it(world):
    agent = PackagedAgent(world).offer_manifest(NEW).start().wait_until_serving()
    agent.manager.offer(NEW, programs(NEW))
    with held(agent.manager.lock):
        update = agent.hub.send(update_document())
        wait_for("apt-get to have met the lock", lambda: agent.n_runs() > 0)
        agent.hub.cancel(update)
        equal("the end", result_of(agent, update)["status"], "Cancelled")
        equal("what dpkg says", agent.manager.installed(), ("installed", f"{OLD}-1"))
        n_before = agent.n_runs()
        again = agent.hub.send(update_document())
        wait_for("apt-get to have met the lock again", lambda: agent.n_runs() > n_before)
    equal("the end without the lock", result_of(agent, again)["status"], "Success")
    agent.wait_version(NEW)


@suite.case
def a_package_that_restarts_nothing_is_no_success_before_somebody_does(world):
    agent = PackagedAgent(world).offer_manifest(NEW).start().wait_until_serving()
    agent.manager.offer(NEW, programs(NEW), postinst="true")
    update = agent.hub.send(update_document())
    agent.wait_update("restarting")
    equal("what runs", agent.version, OLD)
    os.kill(agent.status()["pid"], signal.SIGTERM)
    equal("the end", result_of(agent, update)["status"], "Success")
    agent.wait_version(NEW)


@suite.case
def power_that_goes_while_dpkg_works_is_told_as_what_dpkg_says_then(world):
    agent = PackagedAgent(world).offer_manifest(NEW).start().wait_until_serving()
    agent.manager.offer(NEW, programs(NEW), postinst=f"touch {world.dir}/configuring; sleep 600")
    update = agent.hub.send(update_document())
    world.wait_file("configuring")
    agent.lose_power()
    agent.start().wait_until_serving()
    result = result_of(agent, update)
    equal("the result", result["status"], "Failed")
    check(f"ssmd {NEW}-1 is half-configured" in result["standardOutput"], result["standardOutput"])
    equal("how often apt-get was asked to install", agent.n_runs(), 1)


@suite.case
def one_that_died_is_followed_by_one_that_goes_on(world):
    agent = PackagedAgent(world).offer_manifest(NEW).start().wait_until_serving()
    go = os.path.join(world.dir, "go")
    agent.manager.offer(NEW, programs(NEW),
                        postinst=f"touch {world.dir}/configuring; while [ ! -e {go} ]; do sleep 0.05; done; {RESTART}")
    update = agent.hub.send(update_document())
    world.wait_file("configuring")
    for _ in range(3):
        pid = agent.status()["pid"]
        os.kill(pid, signal.SIGKILL)
        wait_for("another ssmd", lambda before=pid: (agent.status() or {}).get("pid", before) != before)
    world.touch("go")
    equal("the result", result_of(agent, update)["status"], "Success")
    equal("how often apt-get was asked to install", agent.n_runs(), 1)
    agent.wait_version(NEW)


@suite.case
def without_being_told_to_drive_it_defers_and_names_the_command(world):
    agent = PackagedAgent(world, drive=False).offer_manifest(NEW).start().wait_until_serving()
    agent.manager.offer(NEW, programs(NEW))
    result = result_of(agent, agent.hub.send(update_document()))
    equal("the result", result["status"], "Failed")
    for words in ("apt-get install --only-upgrade ssmd", "Ssmd.UpdatePackageManager"):
        check(words in result["standardOutput"], result["standardOutput"])
    equal("what dpkg says", agent.manager.installed(), ("installed", f"{OLD}-1"))


@suite.case
def who_looks_is_told_that_there_is_no_way_back(world):
    agent = PackagedAgent(world).offer_manifest(NEW).start().wait_until_serving()
    looked = agent.ssmctl("update", "--check")
    check("none by itself, if the new version does not come up" in looked.stdout, f"{looked.stdout}{looked.stderr}")
    doctor = subprocess.run([agent.path(), "doctor", "--root", agent.root], capture_output=True, text=True, check=False, timeout=60)
    check("by apt-get: there is no way back by itself" in doctor.stdout, f"{doctor.stdout}{doctor.stderr}")


@suite.case
def files_that_are_no_packages_are_not_driven(world):
    agent = PackagedAgent(world)
    other = os.path.join(agent.root, "usr/local/libexec")
    shutil.copytree(os.path.dirname(agent.path()), other)
    agent.path = lambda name="ssmd": os.path.join(other, name)
    agent.offer_manifest(NEW).start().wait_until_serving()
    asked = agent.ssmctl("update")
    equal("the status of ssmctl update", asked.returncode, 1)
    check("of no package" in asked.stderr, asked.stderr)


if __name__ == "__main__":
    raise SystemExit(suite.main())
