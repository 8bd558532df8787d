#!/usr/bin/python3
"""ssmd-updater with real processes: a switch to each kind of new version, under its supervisor or without one, and
what becomes of a machine on which pieces are missing."""
import contextlib
import os
import shutil
import signal
import subprocess
import tempfile

from harness import DEADLINE_S, Suite, check, equal, kill_marked, wait_for
from updating import NEW, OLD, Machine, updater_program

SUITE = Suite("the updater and the versions that it switches between", jobs=4)


def wrong_machine(path):
    """An ELF header that says it is for another processor."""
    with open(path, "r+b") as f:
        f.seek(18)
        f.write(b"\xf3\x00")


def without_library(path):
    """The name of a library that nobody has."""
    with open(path, "r+b") as f:
        content = f.read()
        at = content.index(b"libc.so.6\0")
        f.seek(at)
        f.write(b"libq.so.6\0")


# What the new version does, and what is said of it afterwards. Where that is what it has said of itself, its deadline
# leaves it the time to start and to sync its first word on a machine that has much else to do.
BAD = {
    "crashes at start": ("crash", "version 0.2.0 was started 4 times and did not stay: it exited with status 3", {}),
    "is killed at start": ("abort", "did not stay: it was ended by signal 6", {}),
    "hangs before it says anything": ("hang", "did not prove itself within 2 s: it has said nothing of itself", {"deadline_ms": 2000}),
    "cannot open its journal": ("no-journal", "within 6 s: it has not opened its journal", {"deadline_ms": 6000}),
    "does not find its steps": ("no-steps", "it has not found all running steps", {"deadline_ms": 6000}),
    "never reaches the service": ("no-service", "it has not reached the service: connect: no route to host",
                                  {"deadline_ms": 6000}),
    "is another version than it should be": ("lie", "version 9.9.9 runs where version 0.2.0 was to run", {}),
    "eats memory": ("eat", "of memory; its limit is 64 MiB", {"proving_ms": 60000, "max_rss_bytes": 64 << 20}),
    "ignores the request to stop": ("deaf no-service", "it has not reached the service", {"deadline_ms": 6000}),
}


def is_rolled_back(world, behaviour, cause, order):
    machine = Machine(world, behaviour, **order)
    machine.supervise()
    machine.wait_agent()
    machine.write_order()
    machine.expect("reverted", cause)
    check((NEW, "begins") in [entry[:2] for entry in machine.story], "the new version was never started")
    machine.stop()


for name, (words, said, more) in BAD.items():
    SUITE.add(f"a version that {name} is rolled back", is_rolled_back, words, said, more)


def is_ended_in_the_tick_of_its_start(world):
    """In memory, where no sync takes time, the verdict comes within the 10 ms in which the kernel tells begins."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as memory:
        for n in range(8):
            machine = Machine(world, "lie", name=os.path.join(memory, str(n)))
            machine.supervise()
            machine.wait_agent()
            machine.write_order()
            machine.expect("reverted", "version 9.9.9 runs")
            equal("is anything in doubt", machine.read_record("progress").get("field.is_doubtful"), "0")
            machine.end()


SUITE.add("a version found bad in the tick of its start does not stay", is_ended_in_the_tick_of_its_start,
          skip=None if os.access("/dev/shm", os.W_OK) else "there is no file system in memory at /dev/shm")


@SUITE.case
def a_version_that_is_good_is_proven(world):
    machine = Machine(world)
    machine.supervise()
    machine.wait_agent()
    machine.write_order()
    machine.expect("committed")
    equal("who ran", [entry[:2] for entry in machine.story],
          [(OLD, "begins"), (OLD, "ends"), (NEW, "begins")])
    machine.stop()


@SUITE.case
def a_version_for_another_processor_is_rolled_back(world):
    machine = Machine(world)
    machine.stage("0.3.0", "", wrong_machine)
    machine.supervise()
    machine.wait_agent()
    machine.write_order(to="0.3.0")
    machine.expect("reverted", "version 0.3.0 was started 4 times and did not stay: it could not be executed: "
                               "Exec format error")


@SUITE.case
def a_version_whose_library_is_missing_is_rolled_back(world):
    machine = Machine(world)
    machine.stage("0.3.0", "", without_library)
    machine.supervise()
    machine.wait_agent()
    machine.write_order(to="0.3.0")
    machine.expect("reverted", "a library that it needs is missing")


@SUITE.case
def a_version_that_was_changed_after_it_was_sealed_is_never_started(world):
    machine = Machine(world)
    with open(os.path.join(machine.slots, "versions", NEW, "bin/ssmd"), "ab") as f:
        f.write(b"x")
    machine.supervise()
    machine.wait_agent()
    machine.write_order()
    machine.expect("reverted", "version 0.2.0: bin/ssmd was changed")
    equal("who ran", {entry[0] for entry in machine.story}, {OLD})
    equal("starts", len(machine.story), 1)


@SUITE.case
def an_outage_that_was_there_before_lengthens_the_proving(world):
    machine = Machine(world, "no-service", deadline_ms=3000, is_service_away=1)
    machine.supervise()
    machine.wait_agent()
    machine.write_order()
    machine.wait_agent(NEW)
    wait_for("three deadlines to pass", lambda: int(machine.read_record("progress").get("n_transitions", 0)) >= 6)
    equal("the state", machine.state_name, "proving")
    equal("current", machine.link("current"), NEW)


@SUITE.case
def an_outage_that_never_ends_is_not_waited_for_without_end(world):
    machine = Machine(world, "no-service", deadline_ms=3000, is_service_away=1, outage_ms=9600)
    machine.supervise()
    machine.wait_agent()
    machine.write_order()
    machine.expect("reverted", "it has not reached the service")
    equal("what was waited for", machine.read_record("progress")["field.waited_ms"], "9000")


@SUITE.case
def an_outage_excuses_no_journal(world):
    machine = Machine(world, "no-journal no-service", deadline_ms=3000, is_service_away=1)
    machine.supervise()
    machine.wait_agent()
    machine.write_order()
    machine.expect("reverted", "it has not opened its journal")


# ---- a service manager of one service ----

@SUITE.case
def a_hangup_is_passed_on_and_ends_nothing(world):
    machine = Machine(world)
    machine.supervise()
    machine.wait_agent()
    for n in (1, 2):
        machine.supervisor.send_signal(signal.SIGHUP)
        wait_for(f"the agent to be told {n} times", lambda n=n: [e[1] for e in machine.story].count("reads") == n)
    equal("who ran", [entry[:2] for entry in machine.story if entry[1] != "reads"], [(OLD, "begins")])
    machine.stop()


def children_of(pid):
    """State and number of each."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{name}/stat", encoding="latin-1") as f:
            rest = f.read().rpartition(")")[2].split()
            if int(rest[1]) == pid:
                found.append((rest[0], int(name)))
    return found


def as_process_1(world):
    """In a container nobody else reaps what is orphaned, and signals without a handler do not come through."""
    machine = Machine(world)
    with open(os.path.join(machine.slots, "versions", OLD, "bin/behaviour"), "w", encoding="ascii") as f:
        f.write("litters\n")
    with machine.log_file() as log:
        machine.supervisor = subprocess.Popen(
            [*UNSHARE, updater_program(), "supervise", "--root", machine.root], stdout=log, stderr=log,
            stdin=subprocess.DEVNULL, env=machine.environment())
    wait_for(f"an agent to run: {machine.tell()}", lambda: (OLD, "begins") in [entry[:2] for entry in machine.story])
    [(_, first)] = children_of(machine.supervisor.pid)
    wait_for(lambda: f"one child that lives: {children_of(first)}",
             lambda: [state != "Z" for state, _ in children_of(first)] == [True])
    os.kill(children_of(first)[0][1], signal.SIGKILL)
    wait_for("another agent", lambda: [entry[1] for entry in machine.story].count("begins") == 2)
    os.kill(first, signal.SIGTERM)
    machine.supervisor.wait(DEADLINE_S)
    equal("how the last one ended", machine.story[-1][:2], (OLD, "ends"))


UNSHARE = ("unshare", "--pid", "--fork", "--mount-proc")
SUITE.add("process 1 reaps orphans, restarts the agent and ends with it", as_process_1,
          skip=None if subprocess.run([*UNSHARE, "true"], capture_output=True, check=False).returncode == 0 else
          "process namespaces cannot be made here")


# ---- somebody dies ----

class ServiceManager:
    """What systemd does with the unit of slots: guard, agent, note of its end, again. No updater."""

    def __init__(self, machine):
        self.machine = machine

    def start_once(self):
        """One start, until its agent ended or is the old version, which stays. True: it runs."""
        machine = self.machine
        equal("the status of the guard", machine.run("guard").returncode, 0)
        program = os.path.join(machine.slots, "current/bin/ssmd")
        agent = subprocess.Popen([program, "--root", machine.root], env=machine.environment())
        wait_for("the agent to end, or the old version to begin",
                 lambda: agent.poll() is not None or (OLD, "begins", str(agent.pid)) in machine.story)
        if agent.poll() is None:
            self.agent = agent
            return True
        machine.run("note-end", EXIT_CODE="exited", EXIT_STATUS=str(agent.returncode))
        return False

    def stop(self):
        self.agent.terminate()
        self.agent.wait()


@SUITE.case
def the_guard_goes_back_when_nobody_else_lives(world):
    machine = Machine(world, "crash")
    manager = ServiceManager(machine)
    check(manager.start_once(), "the old version does not run")
    machine.write_order()
    # It dies when the record says that the new version is being watched.
    updater = machine.start("switch", SSMD_CRASH_AT="13")
    wait_for("the old version to be ended", lambda: manager.agent.poll() is not None)
    n_starts = 0
    while not manager.start_once():
        n_starts += 1
        check(n_starts < 10, "the guard goes on starting a version that does not stay")
        if n_starts == 1:
            equal("the updater's end", updater.wait(30), -signal.SIGKILL)
    equal("failed starts", n_starts, 3)
    equal("current", machine.link("current"), OLD)
    equal("the state", machine.state_name, "confirming")
    check("was started 3 times and did not stay: it exited with status 3" in machine.cause, machine.cause)
    # Whoever starts an updater after that: nothing is restarted, it sees that the old version is well.
    equal("the status of switch", machine.run("switch").returncode, 0)
    machine.expect("reverted", "ssmd-updater did not live to see it")
    equal("who ran last", machine.story[-1][:2], (OLD, "begins"))
    manager.stop()


@SUITE.case
def losses_of_power_during_the_proving_are_starts(world):
    machine = Machine(world, proving_ms=60000, deadline_ms=100000)
    machine.supervise()
    machine.wait_agent()
    machine.write_order()
    for _ in range(3):
        n = len(machine.story)
        wait_for("the new version to run", lambda n=n: any(e[:2] == (NEW, "begins") for e in machine.story[n - 1:])
                 and machine.state_name == "proving")
        machine.lose_power()
        n = len(machine.story)
        machine.supervise()
        wait_for("another start", lambda n=n: len(machine.story) > n)
    machine.order["proving_ms"] = 100  # only the old version has to come up now
    machine.write_order()
    machine.expect("reverted", "version 0.2.0 was started ")


@SUITE.case
def a_supervisor_that_died_is_followed_by_one_that_doubles_nothing(world):
    machine = Machine(world, proving_ms=60000)
    machine.supervise()
    machine.wait_agent()
    machine.supervisor.kill()
    machine.supervisor.wait()
    pid = machine.status()["agent_pid"]
    machine.supervise()
    wait_for("it to find the agent", lambda: any("an agent runs already" in line for line in machine.logs()))
    equal("agents", [a[0] for a in machine.agents()], [pid])
    os.kill(pid, signal.SIGKILL)
    wait_for("another agent", lambda: machine.status()["agent_pid"] not in (0, pid))
    machine.wait_agent()
    equal("starts", len(machine.story), 2)
    machine.stop()
    equal("agents", list(machine.agents()), [])


# ---- what is missing or in the way ----

@SUITE.case
def a_link_that_somebody_removed_is_put_back(world):
    machine = Machine(world)
    os.unlink(os.path.join(machine.slots, "current"))
    machine.run("guard")
    equal("current", machine.link("current"), OLD)
    os.unlink(os.path.join(machine.slots, "current"))
    os.symlink("versions/0.7.0", os.path.join(machine.slots, "current"))
    machine.run("guard")
    equal("current", machine.link("current"), OLD)
    with open(os.path.join(machine.slots, "current.txt"), "w", encoding="ascii"):
        pass
    os.rename(os.path.join(machine.slots, "current.txt"), os.path.join(machine.slots, "current"))
    machine.run("guard")
    equal("current", machine.link("current"), OLD)


@SUITE.case
def without_a_proven_version_the_guard_says_so_and_lets_the_start_go_on(world):
    machine = Machine(world)
    for name in ("current", "proven"):
        os.unlink(os.path.join(machine.slots, name))
    done = machine.run("guard")
    equal("the status", done.returncode, 0)
    check("nothing can be started" in done.stderr, done.stderr)


@SUITE.case
def without_a_proven_version_what_gave_the_order_is_the_way_back(world):
    machine = Machine(world, "crash")
    os.unlink(os.path.join(machine.slots, "proven"))
    machine.supervise()
    machine.wait_agent()
    machine.write_order()
    machine.expect("reverted", "did not stay")


def is_refused(world, cause, **order):
    machine = Machine(world)
    machine.supervise()
    machine.wait_agent()
    machine.write_order(**order)
    machine.expect("reverted", cause)
    equal("starts", len(machine.story), 1)
    machine.stop()


SUITE.add("an order from another version is refused without a restart", lambda world: is_refused(
    world, "current leads to version 0.1.0, and the order is about version 0.0.9", **{"from": "0.0.9"}))
SUITE.add("an order for a version that is not there is refused without a restart",
          lambda world: is_refused(world, "version 0.9.0", to="0.9.0"))
SUITE.add("an order for the version that runs is refused without a restart",
          lambda world: is_refused(world, "version 0.1.0 is there already", to=OLD))


@SUITE.case
def a_link_that_the_disk_refuses_is_tried_again_while_the_old_version_runs(world):
    machine = Machine(world, deadline_ms=60000)
    obstacle = os.path.join(machine.slots, ".current.new")
    os.mkdir(obstacle)
    machine.supervise()
    machine.wait_agent()
    machine.write_order()
    wait_for("the updater to say so", lambda: any("cannot be switched to; it is tried again: point current: remove "
                                                  ".current.new: Is a directory" in line for line in machine.logs()))
    equal("links", machine.links[:2], (OLD, OLD))
    equal("agents", [a[1] for a in machine.agents()], [OLD])
    os.rmdir(obstacle)
    machine.expect("committed")


@SUITE.case
def a_link_that_the_disk_goes_on_to_refuse_ends_the_update(world):
    machine = Machine(world, deadline_ms=500)
    os.mkdir(os.path.join(machine.slots, ".current.new"))
    machine.supervise()
    machine.wait_agent()
    machine.write_order()
    machine.expect("reverted", "Is a directory")


def mounted(world, path, size):
    os.makedirs(path, exist_ok=True)
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "ssmd-test", path],
                          capture_output=True, check=False)
    if done.returncode == 0:
        world.at_end.append(lambda: subprocess.run(["umount", "-l", path], check=True))
    return done.returncode == 0


@SUITE.case
def a_disk_that_can_only_be_read_leaves_the_old_version_running(world):
    machine = Machine(world, deadline_ms=1000)
    if not mounted(world, machine.slots, "64m"):
        return  # not permitted here: the two cases above do without
    shutil.rmtree(os.path.join(machine.root, "programs"))
    shutil.rmtree(os.path.join(machine.root, "usr"))
    machine.install()
    machine.stage(NEW, "")
    machine.supervise()
    machine.wait_agent()
    subprocess.run(["mount", "-o", "remount,ro", machine.slots], check=True)
    machine.write_order()
    machine.expect("reverted", "Read-only file system")


@SUITE.case
def a_full_disk_keeps_nobody_on_a_version_that_is_bad(world):
    machine = Machine(world, "no-service", deadline_ms=10000)
    if not mounted(world, machine.state, "64k"):
        return  # not permitted here
    machine.supervise()
    machine.wait_agent()
    machine.write_order()
    machine.wait_agent(NEW)
    wait_for("proving", lambda: machine.state_name == "proving")
    with contextlib.suppress(OSError), open(os.path.join(machine.state, "filler"), "wb", buffering=0) as f:
        while True:
            f.write(b"x" * 512)
    wait_for("the way back", lambda: machine.link("current") == OLD)
    wait_for(lambda: f"the old version to run: {machine.tell()}", lambda: [a[1] for a in machine.agents()] == [OLD])
    os.unlink(os.path.join(machine.state, "filler"))
    machine.expect("reverted", "it has not reached the service")


# ---- records ----

@SUITE.case
def a_record_that_cannot_be_read_leads_back(world):
    for text in ("", "ssmd-record 1 progress\nid=update-1\nstate=flying\nn_transitions=3\nend\n",
                 "ssmd-record 7 progress\nend\n"):
        machine = Machine(world, name=f"machine-{len(text)}")
        machine.write_order()
        os.unlink(os.path.join(machine.slots, "current"))
        os.symlink(f"versions/{NEW}", os.path.join(machine.slots, "current"))
        with open(os.path.join(machine.state, "progress"), "w", encoding="ascii") as f:
            f.write(text)
        machine.supervise()
        machine.expect("reverted", "progress")
        machine.stop()


@SUITE.case
def an_order_that_is_gone_leads_back(world):
    machine = Machine(world, proving_ms=60000, deadline_ms=60000)
    machine.supervise()
    machine.wait_agent()
    machine.write_order()
    machine.wait_agent(NEW)
    wait_for("proving", lambda: machine.state_name == "proving")
    kill_marked(machine.mark)
    machine.supervisor.wait()
    os.unlink(os.path.join(machine.state, "order"))
    machine.supervise()
    machine.wait_agent()
    equal("links", machine.links[:2], (OLD, OLD))
    check("the order cannot be read any more" in machine.cause, machine.cause)


@SUITE.case
def without_its_boot_id_a_new_version_is_not_kept_and_the_way_back_is_open(world):
    machine = Machine(world, proving_ms=60000)
    machine.supervise()
    machine.wait_agent()
    machine.write_order()
    wait_for("proving", lambda: machine.state_name == "proving")
    kill_marked(machine.mark)
    machine.supervisor.wait()
    machine.write_order(boot_id_file="/nonexistent", proving_ms=100, deadline_ms=3000)
    machine.supervise()
    wait_for(lambda: f"the way back {machine.tell()}", lambda: machine.link("current") == OLD)


@SUITE.case
def one_works_on_an_order_and_a_second_one_leaves(world):
    machine = Machine(world, proving_ms=60000, deadline_ms=60000)
    machine.supervise()
    machine.wait_agent()
    machine.write_order()
    wait_for("proving", lambda: machine.state_name == "proving")
    done = machine.run("switch")
    equal("the status of the second", done.returncode, 0)
    check("another process works on the order" in done.stderr, done.stderr)


@SUITE.case
def an_order_comes_after_an_order(world):
    machine = Machine(world)
    machine.supervise()
    machine.wait_agent()
    machine.write_order()
    machine.expect("committed")
    machine.write_order(id="update-2", **{"from": NEW}, to=OLD)
    equal("the end", machine.wait_end(), "committed")
    equal("links", machine.links, (OLD, OLD, NEW))


# ---- service managers ----

def fake_systemctl(machine, script):
    path = os.path.join(machine.root, "systemctl")
    with open(path, "w", encoding="ascii") as f:
        f.write(f"#!/bin/sh\ncd {machine.root}\necho \"$@\" >>calls\nenv >>calls\n{script}\n")
    os.chmod(path, 0o755)
    return path


def calls(machine):
    with open(os.path.join(machine.root, "calls"), encoding="ascii") as f:
        return [line for line in f.read().splitlines() if not line.startswith(("PWD=", "OLDPWD=", "_=", "SHLVL="))]


@SUITE.case
def a_unit_is_restarted_by_its_service_manager(world):
    machine = Machine(world, unit="ssmd.service")
    path = fake_systemctl(machine, "kill $(cat run/ssmd/ssmd.pid)")
    machine.supervise(SSMD_SYSTEMCTL=path)
    machine.wait_agent()
    machine.write_order()
    machine.expect("committed")
    equal("calls, and their environment", calls(machine),
          ["restart ssmd.service", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"])


@SUITE.case
def a_service_manager_that_fails_is_done_without(world):
    machine = Machine(world, unit="ssmd.service")
    path = fake_systemctl(machine, "exit 1")
    machine.supervise(SSMD_SYSTEMCTL=path)
    machine.wait_agent()
    machine.write_order()
    machine.expect("committed")


# ---- install, status ----

@SUITE.case
def an_installation_is_complete_and_can_be_repeated(world):
    machine = Machine(world)
    equal("links", machine.links, (OLD, OLD, None))
    sbin = os.path.join(machine.root, "usr/local/sbin")
    for name in ("ssmd", "ssmd-updater"):
        target = os.readlink(os.path.join(sbin, name))
        equal(f"where {name} leads to", target, os.path.join(machine.slots, "current/bin", name))
        check(os.access(target, os.X_OK), f"{target} cannot be executed")
    done = machine.run("install", "--from", os.path.join(machine.root, "programs"), "--unit")
    equal(f"the status of the second one ({done.stderr})", done.returncode, 0)
    check("leads to it" not in done.stdout and "version 0.1.0 is installed" in done.stdout, done.stdout)
    with open(os.path.join(machine.root, "etc/systemd/system/ssmd.service"), encoding="ascii") as f:
        unit = f.read()
    check("ExecStartPre=-/opt/ssmd/proven/bin/ssmd-updater guard\nExecStart=/opt/ssmd/current/bin/ssmd\n" in unit, unit)
    with open(os.path.join(machine.root, "etc/systemd/system/ssmd-updater.service"), encoding="ascii") as f:
        check("ExecStart=/opt/ssmd/proven/bin/ssmd-updater switch\n" in f.read(), "the updater's unit")


@SUITE.case
def another_version_is_not_installed_over_the_one_that_is_there(world):
    machine = Machine(world)
    programs = os.path.join(machine.root, "programs")
    with open(os.path.join(programs, "ssmd"), "w", encoding="ascii") as f:
        f.write("#!/bin/sh\necho ssmd 0.5.0\n")
    done = machine.run("install", "--from", programs)
    equal("the status", done.returncode, 1)
    check("version 0.1.0 is installed, this is version 0.5.0" in done.stderr, done.stderr)
    equal("links", machine.links, (OLD, OLD, None))
    with open(os.path.join(programs, "ssmd"), "w", encoding="ascii") as f:
        f.write("#!/bin/sh\necho something else\n")
    done = machine.run("install", "--from", programs)
    check("that is not ssmd" in done.stderr, done.stderr)


@SUITE.case
def the_status_is_told_in_words_and_in_json(world):
    machine = Machine(world, "no-service", proving_ms=60000, deadline_ms=60000)
    machine.supervise()
    machine.wait_agent()
    machine.write_order()
    wait_for("proving", lambda: machine.state_name == "proving" and
             machine.read_record("health").get("version") == NEW)
    status = machine.status()
    equal("status", {k: status[k] for k in ("current", "proven", "previous", "state", "is_open", "is_worked_on", "to",
                                            "health_of", "lacking")},
          {"current": NEW, "proven": OLD, "previous": "", "state": "proving", "is_open": True, "is_worked_on": True,
           "to": NEW, "health_of": NEW, "lacking": "connect: no route to host"})
    words = machine.run("status").stdout
    for said in ("current   0.2.0", "proven    0.1.0", "order     0.1.0 to 0.2.0 (update-1)", "update    proving",
                 "health    version 0.2.0: connect: no route to host"):
        check(said in words, words)


# ---- the agent itself ----

def write_record(directory, name, **values):
    os.makedirs(directory, mode=0o700, exist_ok=True)
    with open(os.path.join(directory, f".{name}"), "w", encoding="utf-8") as f:
        f.write(f"ssmd-record 1 {name}\n" + "".join(f"{k}={v}\n" for k, v in values.items()) + "end\n")
    os.rename(os.path.join(directory, f".{name}"), os.path.join(directory, name))


def read_health(directory):
    with contextlib.suppress(FileNotFoundError), open(os.path.join(directory, "health"), encoding="utf-8") as f:
        return dict(line.split("=", 1) for line in f.read().splitlines()[1:-1])
    return {}


@SUITE.case
def ssmd_tells_of_its_health_while_an_order_is_open(world):
    agent = world.agent(world.hub())
    update = os.path.join(agent.root, "var/lib/ssmd/update")
    write_record(update, "order", id="u-1", **{"from": OLD}, to=NEW, proving_ms=1, deadline_ms=1, pid_file="/x")
    agent.start()
    health = wait_for(lambda: f"ssmd to have reached everything: {read_health(update)}",
                      lambda: (h := read_health(update)) and not h["lacking"] and h["has_service"] == "1" and
                      h["has_steps"] == "1" and h)
    equal("journal", health["has_journal"], "1")
    equal("pid", int(health["pid"]), agent.process.pid)
    wait_for("the record to be renewed",
             lambda: int(read_health(update)["at_boottime_ms"]) > int(health["at_boottime_ms"]))
    write_record(update, "progress", id="u-1", state="committed", n_transitions=5)
    wait_for("ssmd to notice the end of the update", lambda: "the update is over" in agent.log())


@SUITE.case
def ssmd_says_what_it_lacks_while_the_service_is_away(world):
    hub = world.hub()
    agent = world.agent(hub)
    hub.stop()
    update = os.path.join(agent.root, "var/lib/ssmd/update")
    write_record(update, "order", id="u-1", **{"from": OLD}, to=NEW, proving_ms=1, deadline_ms=1, pid_file="/x")
    agent.start()
    health = wait_for(lambda: f"ssmd to say what is lacking: {read_health(update)}",
                      lambda: (h := read_health(update)) and h["has_steps"] == "1" and "onnect" in h["lacking"] and h)
    equal("has_service", health["has_service"], "0")


@SUITE.case
def ssmd_says_when_it_is_not_the_version_that_is_current(world):
    machine = Machine(world)
    agent = world.agent(world.hub())
    os.symlink(os.path.join(machine.root, "opt"), os.path.join(agent.root, "opt"))
    agent.start()
    agent.wait_until_serving()
    wait_for("it to say so", lambda: "this program is not the one in" in agent.log() and
             "which is version 0.1.0" in agent.log())


@SUITE.case
def ssmd_without_an_order_says_nothing_of_its_health(world):
    agent = world.agent(world.hub())
    agent.start()
    agent.wait_until_serving()
    update = os.path.join(agent.root, "var/lib/ssmd/update")
    check(not os.path.exists(os.path.join(update, "health")), "there is a record of health")


def main():
    raise SystemExit(SUITE.main())


if __name__ == "__main__":
    main()
