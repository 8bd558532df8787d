#!/usr/bin/python3
"""Updates through dnf, yum and zypper, the real ones with the real rpm (packaged_rpm.py): as test_package.py for apt. yum is the
name that dnf has on the machines that have both; what the old yum prints, and no more, is written down here."""
import contextlib
import os
import signal
import subprocess

from harness import HERE, Suite, check, document, equal, wait_for
from packaged import PackagedAgent, write
from packaged_rpm import Dnf, Yum, Zypper, unavailable
from test_update import update_document
from whole_update import LOWER, NEW, OLD, STEP, programs

NEXT = "0.3.0"
suite = Suite("updates through dnf, yum and zypper", jobs=6)


def case(*managers):
    """Decorator: the case, once for each of them."""
    def add(function):
        for manager in managers:
            name = function.__name__.replace("_", " ")
            suite.add(f"{manager.name}: {name}", function, manager,
                      skip=unavailable("zypper" if manager is Zypper else "dnf"))
        return function
    return add


def node(world, manager, *versions):
    return PackagedAgent(world, manager).offer_manifest(*versions or (NEW,)).start().wait_until_serving()


def update(agent, **parameters):
    return agent.wait_done(agent.hub.send(update_document(**parameters)), timeout=180).results[STEP]


@case(Dnf, Yum, Zypper)
def a_command_updates_over_the_restart_of_the_package_and_back(world, manager):
    agent = node(world, manager, LOWER, NEW)
    agent.manager.offer(NEW, programs(NEW), revision="-2.el9", header="Epoch: 1")
    agent.manager.offer(NEW, programs(NEW), revision="-10.el9", header="Epoch: 1")
    agent.manager.offer(LOWER, programs(LOWER), header="Epoch: 1")
    agent.manager.offer(NEXT, programs(NEXT))  # higher than the manifest knows: not for this machine
    script = agent.hub.send(document(f"touch {world.dir}/runs; while [ ! -e {world.dir}/go ]; do sleep 0.05; done; exit 7"))
    world.wait_file("runs")
    result = update(agent)
    equal(f"the result: {result['standardOutput']}", (result["status"], result["code"]), ("Success", 0))
    agent.wait_version(NEW)
    equal("what rpm says", agent.manager.installed(), [f"{NEW}-10.el9"])
    equal("how often an installation was asked for", agent.n_runs(), 1)
    world.touch("go")
    equal("the script's exit code", agent.wait_done(script).results["step1"]["code"], 7)
    result = update(agent, version=LOWER)
    check("please enable allow downgrade" in result["standardOutput"], result["standardOutput"])
    equal("what rpm says after a downgrade that was not allowed", agent.manager.installed(), [f"{NEW}-10.el9"])
    result = update(agent, version=LOWER, downgrade="true")
    equal(f"the downgrade: {result['standardOutput']}", result["status"], "Success")
    agent.wait_version(LOWER)
    equal("what rpm says", agent.manager.installed(), [f"{LOWER}-1"])


@case(Dnf)
def a_version_that_the_repositories_lack_changes_nothing_and_is_named(world, manager):
    agent = node(world, manager)
    agent.manager.offer("0.2.01", programs(NEW))  # a number that only begins so
    result = update(agent)
    equal("the result", (result["status"], result["code"]), ("Failed", 1))
    for words in (f"have no version {NEW} of ssmd", f"{OLD}-1", "No rollback needed"):
        check(words in result["standardOutput"], result["standardOutput"])
    os.rename(agent.manager.repo, agent.manager.repo + ".away")
    agent.manager.run("sh", "-c", "rm -rf /var/cache/dnf/*")
    result = update(agent)
    equal("the result without a repository", (result["status"], result["code"]), ("Failed", 1))
    equal("what runs", (agent.version, agent.n_runs()), (OLD, 0))
    check("Failed to download metadata" in result["standardOutput"], result["standardOutput"])


@case(Dnf, Zypper)
def a_package_whose_first_script_fails_changes_nothing_and_the_script_is_named(world, manager):
    agent = node(world, manager)
    agent.manager.offer(NEW, programs(NEW), before="echo it cannot >&2; exit 3")
    result = update(agent)
    equal("the result", (result["status"], result["code"]), ("Failed", 1))
    for words in (f"{manager.name} did not install version {NEW}", "No rollback needed"):
        check(words in result["standardOutput"], result["standardOutput"])
    check("PREIN scriptlet" in result["standardOutput"] or "%prein(ssmd" in result["standardOutput"], result["standardOutput"])
    equal("what rpm says", agent.manager.installed(), [f"{OLD}-1"])
    equal("what runs", agent.version, OLD)


@case(Dnf)
def a_package_whose_last_script_fails_is_installed_and_is_a_success_once_it_runs(world, manager):
    agent = node(world, manager)
    agent.manager.offer(NEW, programs(NEW), postinst="exit 3")
    command = agent.hub.send(update_document())
    agent.wait_update("restarting")
    equal("what rpm says", agent.manager.installed(), [f"{NEW}-1"])
    equal("what runs", agent.version, OLD)
    os.kill(agent.status()["pid"], signal.SIGTERM)
    equal("the end", agent.wait_done(command, timeout=180).results[STEP]["status"], "Success")
    agent.wait_version(NEW)


@case(Dnf, Zypper)
def who_installs_something_else_is_waited_for(world, manager):
    agent = node(world, manager)
    agent.manager.offer(NEW, programs(NEW))
    word = "install" if manager is Dnf else "refresh"  # where they first meet
    with agent.manager.held(agent):
        command = agent.hub.send(update_document())
        wait_for("it to have met the other, and to have tried again", lambda: agent.n_runs(word) > 1)
        equal("what rpm says", agent.manager.installed(), [f"{OLD}-1"])
    equal("the end without the other", agent.wait_done(command, timeout=180).results[STEP]["status"], "Success")
    agent.wait_version(NEW)


@contextlib.contextmanager
def metadata_locked(manager):
    """As while another dnf loads the lists of its repositories."""
    path = "/var/cache/dnf/metadata_lock.pid"
    manager.run("sh", "-c", f"mkdir -p /var/cache/dnf; echo {os.getpid()} > {path}")
    try:
        yield
    finally:
        manager.run("rm", path)


@case(Dnf)
def who_loads_lists_is_waited_for_and_a_cancel_meanwhile_ends_it(world, manager):
    agent = node(world, manager)
    agent.manager.offer(NEW, programs(NEW))
    with metadata_locked(agent.manager):
        command = agent.hub.send(update_document())
        wait_for("dnf to have met the lock, and to have tried again", lambda: agent.n_runs("makecache") > 1)
        agent.hub.cancel(command)
        equal("the end", agent.wait_done(command, timeout=180).results[STEP]["status"], "Cancelled")
    equal("what rpm says", (agent.manager.installed(), agent.n_runs()), ([f"{OLD}-1"], 0))
    equal("a second one", update(agent)["status"], "Success")


@case(Dnf)
def power_that_goes_while_rpm_works_is_told_as_what_rpm_says_then_and_the_next_update_mends_it(world, manager):
    agent = node(world, manager)
    agent.manager.offer(NEW, programs(NEW), postinst=f"touch {world.dir}/configuring; sleep 600")
    command = agent.hub.send(update_document())
    world.wait_file("configuring", timeout=180)
    agent.lose_power()
    agent.start().wait_until_serving()
    result = agent.wait_done(command, timeout=180).results[STEP]
    equal("the result", result["status"], "Failed")
    for words in (f"ssmd {OLD}-1 {NEW}-1 is twice", f"rpm -V ssmd, then dnf reinstall ssmd-{NEW}"):
        check(words in result["standardOutput"], result["standardOutput"])
    equal("how often an installation was asked for", agent.n_runs(), 1)
    agent.manager.offer(NEXT, programs(NEXT))
    agent.offer_manifest(NEXT)
    result = update(agent)
    equal(f"the next one: {result['standardOutput']}", result["status"], "Success")
    equal("what rpm says", agent.manager.installed(), [f"{NEXT}-1"])


@case(Dnf, Zypper)
def what_is_told_to_mend_two_versions_at_once_mends_them(world, manager):
    agent = PackagedAgent(world, manager)
    m = agent.manager
    m.offer(NEW, programs(NEW))
    m.run("rpm", "-i", "--force", os.path.join(m.repo, f"ssmd-{NEW}-1.rpm"))
    equal("what rpm says", m.installed(), [f"{OLD}-1", f"{NEW}-1"])
    m.run(*(("dnf", "-y", "--refresh", "reinstall", f"ssmd-{NEW}") if manager is Dnf else
            ("zypper", "-n", "install", "--force", f"ssmd={NEW}")))
    equal("what rpm says then", m.installed(), [f"{NEW}-1"])


# ---- what is read of the lists ----

LISTS = (
    # yum 3 folds its lines after 80 characters where it has no terminal.
    ("yum", "Loaded plugins: priorities, update-motd\nInstalled Packages\nssmd.x86_64    0.2.0-7     installed\n"
            "Available Packages\nssmd.x86_64\n                 2:0.2.0-1.amzn2.0.2026112201\n"
            "                                   a-repository-of-a-long-name\nssmd.x86_64  0.2.0-1.amzn2  one\n",
     "ssmd-0.2.0-1.amzn2.0.2026112201"),
    ("yum", "ssmd-extra.x86_64  0.2.0-9  one\nssmd.conf.noarch  0.2.0-9  one\nssmd.noarch  0.2.0-3  one\n", "ssmd-0.2.0-3"),
    ("dnf", "ssmd.x86_64  0.2.0-9  @one\nssmd.x86_64  0.2.0-10  one\nssmd.x86_64  0.2.0-9  one\n", "ssmd-0.2.0-10"),
    ("dnf", "ssmd.x86_64  0.2.0~el9-9  one\nssmd.x86_64  0.2.0-1  one\nssmd.x86_64  0.2.01-1  one\n", "ssmd-0.2.0-1"),
    ("dnf", "ssmd.x86_64  0.2.0-9  @one\nssmd.x86_64  0.2.01-1  one\n", None),
    ("zypper", "S | Name | Type | Version | Arch | Repository\n--+--+--+--+--+--\n"
               "i+ | ssmd | package | 0.2.0-9 | x86_64 | (System Packages)\n"
               "v | ssmd | package | 0.2.0-2 | x86_64 | one\nv | ssmd | package | 0.2.0-11 | x86_64 | one\n", "ssmd=0.2.0-11"),
)


def lists_are_read(world, manager, text, wanted):
    """A package manager that only says this, and notes what it is asked for."""
    write(world.path("list"), text)
    write(world.path("bin/rpm"), "#!/bin/sh\necho ssmd\n", 0o755)
    write(world.path(f"bin/{manager}"), f"#!/bin/sh\ncase \" $* \" in\n*' list '* | *' search '*) cat {world.path('list')} ;;\n"
          f"*' install '*) for word; do :; done; echo \"$word\" > {world.path('asked')} ;;\nesac\n", 0o755)
    done = subprocess.run(
        ["sh", os.path.join(HERE, "../../agent/update_package.sh"), "install", manager, "/ssmd", NEW, "up", "60",
         world.path("stop")],
        env={**os.environ, "PATH": world.path("bin") + ":" + os.environ["PATH"]}, capture_output=True, text=True, check=False)
    equal(f"the status: {done.stdout}{done.stderr}", done.returncode, 0 if wanted else 22)
    equal("what is asked for", world.lines("asked"), [wanted] if wanted else [])


for number, (manager_name, said, word_asked) in enumerate(LISTS, 1):
    suite.add(f"{manager_name}: list {number} is read as {word_asked}", lists_are_read, manager_name, said, word_asked)


if __name__ == "__main__":
    raise SystemExit(suite.main())
