#!/usr/bin/python3
"""Reboots: asked for by documents, shared, cancelled, refused, too many; and what they interrupt."""
import os

from harness import Suite, check, document, equal, wait_for

suite = Suite("reboots", jobs=4)


def asking(world, name, times=1):
    """Asks for a reboot the first `times` times it runs."""
    return (f"echo run >> {world.dir}/{name}; n=$(wc -l < {world.dir}/{name}); echo boot $n;"
            f" if [ $n -le {times} ]; then exit 194; fi; echo done")


def wait_asked(agent, times=1):
    wait_for(f"reboot number {times} to be asked for", lambda: agent.reboots_asked == times)


def reboot(agent):
    agent.lose_power()
    agent.start()


def last_of(record):
    """The terminal reply; SuccessAndReboot is none."""
    replies = [reply for reply in record.terminal if reply["Status"] != "SuccessAndReboot"]
    equal("terminal replies", len(replies), 1)
    return replies[0]["Status"]


@suite.case
def two_commands_that_ask_at_once_get_one_reboot(world):
    agent = world.agent().start()
    script = f"; touch {world.dir}/here.$$; while [ $(ls {world.dir} | grep -c here) -lt 2 ]; do sleep 0.02; done; "
    both = [agent.hub.send(document(asking(world, name).replace("; n=", script + "n=", 1))) for name in ("one", "two")]
    for message in both:
        agent.wait_state(message, "rebooting")
    wait_asked(agent)
    reboot(agent)
    for message in both:
        record = agent.wait_done(message)
        equal("status", last_of(record), "Success")
        equal("output", record.results["step1"]["standardOutput"], "boot 1\nboot 2\ndone\n")
    equal("how often they ran", (len(world.lines("one")), len(world.lines("two"))), (2, 2))
    equal("reboots asked for", agent.reboots_asked, 1)


@suite.case
def a_command_cancelled_while_it_waits_for_its_reboot_does_not_run_again(world):
    agent = world.agent().start()
    message = agent.hub.send(document(asking(world, "ran"), "echo never"))
    wait_asked(agent)
    cancel = agent.hub.cancel(message)
    wait_for("the cancel to be taken", lambda: agent.record(cancel).of_kind("ack"))
    reboot(agent)
    record = agent.wait_done(message)
    equal("status", last_of(record), "Cancelled")
    equal("the steps", {name: result["status"] for name, result in record.results.items()},
          {"step1": "Cancelled", "step2": "Cancelled"})
    equal("how often it ran", len(world.lines("ran")), 1)


@suite.case
def a_reboot_that_is_refused_twice_fails_the_command_and_frees_the_way(world):
    agent = world.agent()
    refusing = world.path("refuse")
    with open(refusing, "w", encoding="ascii") as f:
        f.write(f"#!/bin/sh\necho asked >> {agent.reboots_path}\necho no reboots here >&2\nexit 1\n")
    os.chmod(refusing, 0o700)
    agent.config["Ssmd"]["RebootCommand"] = [refusing]
    agent.write_config()
    agent.start()
    message = agent.hub.send(document(asking(world, "ran"), "echo never"))
    record = agent.wait_done(message)
    equal("status", last_of(record), "Failed")
    check("asked for a reboot that did not come" in record.results["step1"]["standardError"],
          f"the text does not say why: {record.results['step1']}")
    equal("the step after it", record.results["step2"]["status"], "Skipped")
    equal("tries", agent.reboots_asked, 2)
    other = agent.hub.send(document("echo free"))
    equal("the next command", last_of(agent.wait_done(other)), "Success")


@suite.case
def a_reboot_command_that_is_not_there_fails_the_command_too(world):
    agent = world.agent()
    agent.config["Ssmd"]["RebootCommand"] = ["/nonexistent/reboot"]
    agent.write_config()
    agent.start()
    record = agent.wait_done(agent.hub.send(document(asking(world, "ran"))))
    equal("status", last_of(record), "Failed")
    check("/nonexistent/reboot" in record.results["step1"]["standardError"],
          f"the text does not name the command: {record.results['step1']}")


@suite.case
def a_script_that_another_commands_reboot_ends_is_told_whose_it_was(world):
    agent = world.agent().start()
    victim = agent.hub.send(document(f"echo run >> {world.dir}/victim; while :; do sleep 0.05; done"))
    world.wait_file("victim")
    owner = agent.hub.send(document(asking(world, "ran")))
    wait_asked(agent)
    reboot(agent)
    record = agent.wait_done(victim)
    equal("the victim", (last_of(record), record.results["step1"]["code"]), ("Failed", 1000))
    check(owner.split(".")[2] in record.results["step1"]["standardError"],
          f"the text does not name the command that asked: {record.results['step1']['standardError']}")
    equal("how often it ran", len(world.lines("victim")), 1)
    equal("the owner", last_of(agent.wait_done(owner)), "Success")


@suite.case
def no_more_reboots_than_allowed(world):
    agent = world.agent(MaxRebootsPerStep=2).start()
    message = agent.hub.send(document(asking(world, "ran", times=100)))
    for n in (1, 2):
        wait_asked(agent, n)
        reboot(agent)
    record = agent.wait_done(message)
    equal("status", last_of(record), "Failed")
    check("asked for a reboot after 2 reboots" in record.results["step1"]["standardError"],
          f"the text does not say why: {record.results['step1']}")
    equal("output", record.results["step1"]["standardOutput"], "boot 1\nboot 2\nboot 3\n")
    equal("reboots asked for", agent.reboots_asked, 2)


@suite.case
def a_restart_of_ssmd_is_no_reboot(world):
    agent = world.agent().start()
    message = agent.hub.send(document(asking(world, "ran")))
    wait_asked(agent)
    agent.kill()
    agent.start().wait_until_serving()
    wait_for("the reboot to be awaited still", lambda: agent.status()["reboot_pending"])
    equal("its state", agent.job_state(message), "rebooting")
    equal("how often it ran", len(world.lines("ran")), 1)
    reboot(agent)
    equal("status", last_of(agent.wait_done(message)), "Success")
    equal("how often it ran", len(world.lines("ran")), 2)


@suite.case
def a_step_after_a_reboot_goes_on_where_the_document_was(world):
    agent = world.agent().start()
    message = agent.hub.send(document(f"echo run >> {world.dir}/first", asking(world, "second", times=2),
                                      f"echo run >> {world.dir}/third"))
    for n in (1, 2):
        wait_asked(agent, n)
        reboot(agent)
    record = agent.wait_done(message)
    equal("status", last_of(record), "Success")
    equal("output", record.results["step2"]["standardOutput"], "boot 1\nboot 2\nboot 3\ndone\n")
    equal("how often they ran", [len(world.lines(name)) for name in ("first", "second", "third")], [1, 3, 1])


@suite.case
def nothing_starts_while_a_reboot_is_awaited(world):
    agent = world.agent().start()
    asking = agent.hub.send(document(f"echo run >> {world.dir}/ran; [ $(wc -l < {world.dir}/ran) -ge 2 ] || exit 194"))
    wait_for("the reboot to be asked for", lambda: agent.reboots_asked == 1)
    other = agent.hub.send(document(f"echo run >> {world.dir}/other; cat {agent.boot_file}"))
    agent.wait_state(other, "queued")
    check(agent.status()["reboot_pending"], "status does not tell of the reboot")
    agent.lose_power()
    agent.start()
    equal("the one that asked", agent.wait_done(asking).terminal[-1]["Status"], "Success")
    equal("the boot the other ran in", agent.wait_done(other).results["step1"]["standardOutput"], agent.boot_id + "\n")
    equal("how often it ran", len(world.lines("ran")), 2)


@suite.case
def a_script_under_which_the_machine_went_down_is_reported_as_unknown(world):
    agent = world.agent().start()
    message = agent.hub.send(document(f"echo begun; echo run >> {world.dir}/ran; while :; do sleep 0.05; done",
                                      f"echo run >> {world.dir}/second"))
    world.wait_file("ran")
    boot = agent.boot_id
    agent.lose_power()
    agent.start()
    record = agent.wait_done(message)
    result = record.results["step1"]
    equal("status", (record.terminal[0]["Status"], result["status"], result["code"]), ("Failed", "Failed", 1000))
    equal("output", result["standardOutput"], "begun\n")
    for word in ("step1", "outcome is unknown", boot, "not run again"):
        check(word in result["standardError"], f"the text does not say {word!r}: {result['standardError']}")
    equal("the step after it", record.results["step2"]["status"], "Skipped")
    equal("how often they ran", (len(world.lines("ran")), len(world.lines("second"))), (1, 0))


if __name__ == "__main__":
    raise SystemExit(suite.main())
