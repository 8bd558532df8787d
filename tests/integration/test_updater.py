#!/usr/bin/python3
"""ssmd-updater with real processes: a switch to each kind of new version, under its supervisor or without one, and
what becomes of a machine on which pieces are missing."""
import contextlib
import os

from harness import Suite, check, equal, wait_for
from updating import NEW, OLD, Machine

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


# What the new version does, and what is said of it afterwards.
BAD = {
    "crashes at start": ("crash", "version 0.2.0 was started 4 times and did not stay: it exited with status 3", {}),
    "is killed at start": ("abort", "did not stay: it was ended by signal 6", {}),
    "hangs before it says anything": ("hang", "did not prove itself within 2 s: it has said nothing of itself", {"deadline_ms": 2000}),
    "cannot open its journal": ("no-journal", "within 2 s: it has not opened its journal", {"deadline_ms": 2000}),
    "does not find its steps": ("no-steps", "it has not found all running steps", {"deadline_ms": 2000}),
    "never reaches the service": ("no-service", "it has not reached the service: connect: no route to host",
                                  {"deadline_ms": 2000}),
    "is another version than it should be": ("lie", "version 9.9.9 runs where version 0.2.0 was to run", {}),
    "eats memory": ("eat", "of memory; its limit is 64 MiB", {"proving_ms": 5000, "max_rss_bytes": 64 << 20}),
    "ignores the request to stop": ("deaf no-service", "it has not reached the service", {"deadline_ms": 1000}),
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
    machine = Machine(world, "no-service", deadline_ms=500, is_service_away=1)
    machine.supervise()
    machine.wait_agent()
    machine.write_order()
    machine.wait_agent(NEW)
    wait_for("three deadlines to pass", lambda: int(machine.read_record("progress").get("n_transitions", 0)) >= 6)
    equal("the state", machine.state_name, "proving")
    equal("current", machine.link("current"), NEW)


@SUITE.case
def an_outage_excuses_no_journal(world):
    machine = Machine(world, "no-journal no-service", deadline_ms=500, is_service_away=1)
    machine.supervise()
    machine.wait_agent()
    machine.write_order()
    machine.expect("reverted", "it has not opened its journal")


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
                      lambda: (h := read_health(update)) and h["has_service"] == "1" and h)
    equal("journal, steps, what is lacking", (health["has_journal"], health["has_steps"], health["lacking"]),
          ("1", "1", ""))
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
                      lambda: (h := read_health(update)) and h["has_steps"] == "1" and h["lacking"] and h)
    equal("has_service", health["has_service"], "0")
    check("onnect" in health["lacking"], f"lacking: {health['lacking']}")


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
