#!/usr/bin/python3
"""ssmd as a service of a real systemd: started, restarted, killed, rebooted, updated and rolled back with its own units, with
scripts that run through it all.

usage: test_systemd.py [--all] [--random N [--seed S]] [-j N] [PATTERN...]
  --all     also the updates that the normal suite leaves to row R11
  --random  and so many from which something dies at moments that nobody has chosen"""
import argparse
import random
import time

import systemd_machine
from harness import Suite, check, equal, wait_for
from systemd_node import Node
from whole_update import NEW, OLD, STEP, Shared, crash

BROKEN = "0.1.1"
RELEASE = Shared(versions=(NEW,), bad={BROKEN: crash})
suite = Suite("under systemd", jobs=2)


def kill(unit):
    return f"systemctl kill -s KILL --kill-whom=main {unit}"


@suite.case
def a_service_runs_commands_over_restarts_and_kills(world):
    node = Node(world).install_slots()
    script = node.running_script(7)
    node.machine.wait_until("systemctl status to tell what ssmd does",
                            f"systemctl show -P StatusText ssmd | grep -qx '{OLD} serves {node.instance} in [^ ]*, 1 command runs'")
    before = node.agents()
    node.machine.must("systemctl restart ssmd")
    node.wait_working()
    check(node.agents() != before, "systemctl restart did not start another ssmd")
    for n in range(3):
        before = node.agents()
        node.machine.must(kill("ssmd"))
        wait_for(f"another ssmd after kill {n + 1}", lambda before=before: node.agents() not in ([], before))
        node.wait_working()
    node.let_go(7)
    equal("the code of the script that ran through it", node.wait_code(script), 7)
    other = node.send("exit 3")
    equal("the code of one that came afterwards", node.wait_code(other), 3)


@suite.case
def a_script_that_asks_for_a_reboot_gets_one_and_goes_on(world):
    # As the default, which is `shutdown -r +1`, but not a minute later.
    node = Node(world, RebootCommand=["/usr/bin/systemctl", "reboot"]).install_slots()
    first = node.machine.must("cat /proc/sys/kernel/random/boot_id")
    script = node.send("if [ ! -e /var/was-here ]; then cat /proc/sys/kernel/random/boot_id >/var/was-here; exit 194; fi;"
                       " cmp -s /var/was-here /proc/sys/kernel/random/boot_id && exit 8; exit 9")
    node.machine.wait_reboot()
    node.wait_working()
    equal("its code after the reboot", node.wait_code(script), 9)
    equal("where it was before", node.machine.must("cat /var/was-here"), first)


# ---- updates ----

def nothing(node):
    del node


def updater_dies(node):
    """Twice: what systemd has started in its place, too."""
    for state in (("pointing", "restarting", "proving"), ("proving",)):
        node.wait_update_state(*state)
        node.machine.wait_until("an updater to be there and to be killed", kill("ssmd-updater"))  # the next one takes a moment


def agent_dies(node):
    node.wait_update_state("proving")
    for n in range(3):
        before = node.wait_for_agent()
        node.machine.must(kill("ssmd"))
        wait_for(f"another ssmd after kill {n + 1}", lambda before=before: node.agents() not in ([], before))


def reset_at(*states):
    def disturb(node):
        node.wait_update_state(*states)
        node.machine.reset()
        node.offer_again()
    return disturb


# The version that is asked for, what happens meanwhile, what runs afterwards, what is said of it, what becomes of a script.
UPDATES = {
    "is proven while a script runs": (NEW, nothing, NEW, "", 7),
    "that does not start is rolled back": (BROKEN, nothing, OLD, "", 7),
    "is proven though its updater is killed": (NEW, updater_dies, NEW, "", 7),
    "that does not start is rolled back though its updater is killed": (BROKEN, updater_dies, OLD, "", 7),
    "that does not stay up is rolled back": (NEW, agent_dies, OLD, "was started 4 times and did not stay: it was ended by signal", 7),
    "survives a reset in the middle of the switch": (NEW, reset_at("pointing", "restarting"), NEW, "", None),
    "survives a reset while it is proven": (NEW, reset_at("proving"), NEW, "", None),
    "that does not start is rolled back after a reset": (BROKEN, reset_at("proving"), OLD, "", None),
    "that is being rolled back survives a reset": (BROKEN, reset_at("reverting", "restarting_back", "confirming"), OLD, "", None),
}


def at_random(n, chance):
    """A name, and a row as those above: something dies once, twice or three times, at moments that nobody has chosen. Which
    version it leads to is not said before, but that it is told truly."""
    target = chance.choice((NEW, BROKEN))
    victims = [chance.choice(("ssmd-updater", "ssmd", "the machine", "a reboot")) for _ in range(chance.randint(1, 3))]
    pauses = [chance.uniform(0, 4 if target == NEW else 8) for _ in victims]

    def disturb(node):
        node.wait_update_state("ordered", "pointing", "restarting", "proving", "settling", "committed", "reverted")
        for victim, pause in zip(victims, pauses):
            time.sleep(pause)  # chance is the point, nothing is waited for
            if victim == "the machine":
                node.machine.reset()
                node.offer_again()
            elif victim == "a reboot":
                node.machine.ask("systemctl reboot")
                node.machine.wait_reboot()
                node.offer_again()
            else:
                node.machine.ask(kill(victim))  # it may be over
    return (f"to {target}, {n}: {' and '.join(victims)} after {', '.join(f'{pause:.1f}' for pause in pauses)} s",
            (target, disturb, None, "", None if {"the machine", "a reboot"} & set(victims) else 7))


def is_updated(world, target, disturb, version, cause, code):
    """`version` None: one of both. `code` None: the script does not survive it."""
    # What is to happen while a version is proven has to find the machine still proving it, however slow that is.
    proving_s = 2 if disturb is nothing or version is None else 12
    node = Node(world, RELEASE.get(), UpdateProvingSeconds=proving_s).install_slots()
    script = node.running_script(7)
    update = node.send_update(target)
    disturb(node)
    record = node.wait_terminal(update)
    node.wait_update_over()
    node.wait_working()
    version = version or node.versions()[0]
    check(version in (OLD, target) and version != BROKEN, f"version {version} runs")
    node.expect_version(version)
    equal(f"the status of the update ({record.results})", record.terminal[0]["Status"], "Success" if version == NEW else "Failed")
    if version == OLD:
        said = record.results[STEP]["standardOutput"] + record.results[STEP]["standardError"]
        check(f"rolledback amazon-ssm-agent to {OLD}.0" in said, said)
    told = node.machine.must(f"ssmctl show u0.1-{update.split('.')[2]}")
    check(cause in told, f"{cause!r} is not in {told}")
    if code is not None:
        node.let_go(7)
        equal("the code of the script that ran through it", node.wait_code(script), code)
    else:
        equal("the status of the script that the reset has ended", node.wait_terminal(script).terminal[0]["Status"], "Failed")


# What the normal suite has time for.
NORMAL = ("is proven though its updater is killed", "that does not stay up is rolled back", "that is being rolled back survives a reset")


def main():
    parser = argparse.ArgumentParser(usage=__doc__, add_help=False)
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--random", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    options, words = parser.parse_known_args()
    chance = random.Random(options.seed)
    for name, case in [*UPDATES.items(), *(at_random(n, chance) for n in range(options.random))]:
        if name in NORMAL or options.all or name not in UPDATES:
            suite.add(f"a version {name}", is_updated, *case)
    reason = systemd_machine.why_not()
    if reason:
        print(f"1..0 # SKIP {reason}\n0 passed, 0 failed, 1 skipped")
        return 0
    systemd_machine.own_network()
    return suite.main(words)


if __name__ == "__main__":
    raise SystemExit(main())
