#!/usr/bin/python3
"""aws:runDocument: documents inside of documents, from the service and from files; their results, limits and ends."""
import json
import os
import subprocess

from harness import Suite, check, document, equal, program, wait_for

suite = Suite("nested documents", jobs=4)

PREPARING = "There was an error while preparing documents - "


def running(path, kind="SSMDocument", name="outer", **more):
    """A step that runs the document `path`."""
    return {"action": "aws:runDocument", "name": name,
            "inputs": {"documentType": kind, "documentPath": path, **more}}


def shell(name, *lines, **inputs):
    return {"action": "aws:runShellScript", "name": name, "inputs": {"runCommand": list(lines), **inputs}}


def steps(*mine, **more):
    return {"schemaVersion": "2.2", "description": "test", "mainSteps": list(mine), **more}


def keep(world, hub, **documents):
    """Documents in the service."""
    del world
    for name, content in documents.items():
        hub.ssm.create_document(Name=name, Content=json.dumps(content), DocumentType="Command")


def start(world, **settings):
    agent = world.agent(**settings).start()
    return agent, agent.hub


def result_of(agent, message, step="outer"):
    return agent.wait_done(message).results[step]


@suite.case
def outputs_stand_in_step_order_without_a_separator_and_the_worst_status_counts(world):
    agent, hub = start(world)
    keep(world, hub, Sub=steps(shell("a", "echo -n one; echo -n bad >&2"), shell("b", "echo -n two; exit 3"),
                               shell("c", "echo three")))
    got = result_of(agent, hub.send(steps(running("Sub"))))
    equal("status and code", (got["status"], got["code"]), ("Failed", 1))
    equal("stdout", got["standardOutput"], "onetwothree\n")
    equal("stderr", got["standardError"], "badfailed to run commands: exit status 3")


@suite.case
def output_that_cannot_be_gathered_now_is_gathered_later(world):
    agent, hub = start(world)
    os.mkfifo(world.path("pipe"))
    keep(world, hub, Sub=steps(shell("a", f"read x < {world.path('pipe')}", "echo whole")))
    message = hub.send(steps(running("Sub")))
    with open(world.path("pipe"), "w", encoding="ascii") as pipe:  # opens when the script is there
        step = os.path.join(agent.jobs_dir, message.split(".")[2], "0.1")
        os.makedirs(os.path.dirname(step), mode=0o700, exist_ok=True)
        if os.path.exists(step):
            os.rename(step, step + ".away")
        with open(step, "w", encoding="ascii"):
            pass
        pipe.write("on\n")
    wait_for("a try that fails", lambda: "its output cannot be gathered now" in agent.log())
    os.unlink(step)
    got = result_of(agent, message)
    equal("status and code", (got["status"], got["code"]), ("Success", 0))
    equal("stdout", got["standardOutput"], "whole\n")


@suite.case
def output_that_is_not_kept_is_counted_for_the_outer_step_too(world):
    agent, hub = start(world, OutputCapMiB=1)
    mib, wrote = 1 << 20, 3 << 19
    keep(world, hub, Sub=steps(shell("a", f"head -c {wrote} /dev/zero"), shell("b", f"head -c {wrote} /dev/zero")))
    message = hub.send(steps(running("Sub")))
    agent.wait_done(message)
    units = agent.query("SELECT stdout_bytes, output_lost FROM command_unit WHERE instance_id = ?", message.split(".")[2])
    equal("kept, and not", [tuple(unit.values()) for unit in map(dict, units)], [(mib, 2 * wrote - mib)])


@suite.case
def inner_exit_codes_end_the_inner_document_only(world):
    agent, hub = start(world)
    keep(world, hub, Sub=steps(shell("a", "echo one; exit 168"), shell("b", "echo never")))
    message = hub.send(steps(running("Sub"), shell("after", "echo after")))
    results = agent.wait_done(message).results
    equal("the outer step", (results["outer"]["status"], results["outer"]["code"]), ("Success", 0))
    check(results["outer"]["standardOutput"].startswith("one\n"), results["outer"]["standardOutput"])
    check("never" not in results["outer"]["standardOutput"], "a step ran that should be skipped")
    equal("the step after it", results["after"]["standardOutput"], "after\n")


@suite.case
def what_a_step_cannot_run_is_said_on_stderr_and_fails_the_outer_step(world):
    agent, hub = start(world)
    keep(world, hub, Sub=steps(shell("a", "echo one"), {"action": "aws:noSuchPlugin", "name": "b", "inputs": {}}))
    got = result_of(agent, hub.send(steps(running("Sub"))))
    equal("status and code", (got["status"], got["code"]), ("Failed", 1))
    equal("stdout", got["standardOutput"], "one\n")
    check("aws:noSuchPlugin" in got["standardError"], got["standardError"])


@suite.case
def skipped_steps_leave_no_words(world):
    agent, hub = start(world)
    keep(world, hub, Sub=steps({**shell("a", "echo windows"), "precondition": {
        "StringEquals": ["platformType", "Windows"]}}, shell("b", "echo linux")))
    got = result_of(agent, hub.send(steps(running("Sub"))))
    equal("result", (got["status"], got["standardOutput"], got["standardError"]), ("Success", "linux\n", ""))


@suite.case
def parameters_come_as_object_or_text_and_null_means_the_default(world):
    agent, hub = start(world)
    keep(world, hub, Sub=steps(shell("a", "echo {{ who }} {{ what }}"), parameters={
        "who": {"type": "String", "default": "nobody"}, "what": {"type": "String", "default": "nothing"}}))
    given = {"who": "me", "what": None}
    for parameters in (given, json.dumps(given), "who: me\nwhat: ~\n"):
        got = result_of(agent, hub.send(steps(running("Sub", documentParameters=parameters))))
        equal("stdout", got["standardOutput"], "me nothing\n")
    got = result_of(agent, hub.send(steps(running("Sub", documentParameters=["who"]))))
    equal("a list of parameters", (got["status"], got["code"]), ("Failed", 1))


@suite.case
def values_are_checked_as_only_nested_documents_are(world):
    agent, hub = start(world)
    keep(world, hub, Sub=steps(shell("a", "echo {{ who }}"), parameters={
        "who": {"type": "String", "allowedValues": ["me", "you"]}}))
    got = result_of(agent, hub.send(steps(running("Sub", documentParameters={"who": "them"}))))
    equal("status", got["status"], "Failed")
    check(got["standardError"].startswith(PREPARING) and "/who/" in got["standardError"], got["standardError"])


@suite.case
def a_document_of_this_machine_is_found_by_path(world):
    agent, hub = start(world)
    with open(world.path("local.json"), "w", encoding="utf-8") as f:
        json.dump(steps(shell("a", "echo local")), f)
    got = result_of(agent, hub.send(steps(running(world.path("local.json"), "LocalPath"))))
    equal("stdout", got["standardOutput"], "local\n")
    with open(world.path("bad.json"), "w", encoding="utf-8") as f:
        f.write("{\"schemaVersion\": \"2.2\", ")
    got = result_of(agent, hub.send(steps(running(world.path("bad.json"), "LocalPath"))))
    check(got["standardError"].startswith(PREPARING) and "line 1" in got["standardError"], got["standardError"])
    os.mkfifo(world.path("pipe"))
    got = result_of(agent, hub.send(steps(running(world.path("pipe"), "LocalPath"))))
    equal("a pipe", got["status"], "Failed")


@suite.case
def a_document_may_be_yaml(world):
    agent, hub = start(world)
    with open(world.path("local.yaml"), "w", encoding="utf-8") as f:
        f.write("schemaVersion: 2.2\nmainSteps:\n- action: aws:runShellScript\n  name: a\n"
                "  inputs:\n    runCommand:\n    - echo {{ who }}\n"
                "parameters:\n  who:\n    type: String\n    default: yaml\n")
    got = result_of(agent, hub.send(steps(running(world.path("local.yaml"), "LocalPath"))))
    equal("result", (got["status"], got["standardOutput"]), ("Success", "yaml\n"))


@suite.case
def inputs_that_name_no_document_fail_the_step_alone(world):
    agent, hub = start(world)
    bad = [{}, {"documentType": "SSMDocument"}, {"documentType": "ssmdocument", "documentPath": "Sub"},
           {"documentType": "SSMDocument", "documentPath": "NotThere"}]
    message = hub.send(steps(*({"action": "aws:runDocument", "name": f"bad{n}", "inputs": inputs}
                               for n, inputs in enumerate(bad)), running("AWS-Noop", name="noop")))
    results = agent.wait_done(message).results
    for n in range(len(bad)):
        got = results[f"bad{n}"]
        equal(f"step {n}", (got["status"], got["code"], got["standardOutput"]), ("Failed", 1, ""))
        check(got["standardError"], f"step {n} has no reason")
    check("NotThere" in results["bad3"]["standardError"], results["bad3"]["standardError"])
    equal("a document that does nothing", (results["noop"]["status"], results["noop"]["output"]), ("Success", ""))


@suite.case
def three_levels_are_allowed_and_four_are_not(world):
    agent, hub = start(world)
    keep(world, hub, One=steps(running("Two")), Two=steps(running("Three")), Three=steps(shell("a", "echo deep")),
         Zero=steps(running("One")))
    got = result_of(agent, hub.send(steps(running("One"))))
    equal("three levels", (got["status"], got["standardOutput"]), ("Success", "deep\n"))
    got = result_of(agent, hub.send(steps(running("Zero"))))
    equal("four levels", got["status"], "Failed")
    check("depth" in got["standardError"], got["standardError"])


@suite.case
def a_cancel_reaches_the_step_at_the_bottom(world):
    agent, hub = start(world)
    keep(world, hub, One=steps(running("Two", name="inner"), shell("b", "echo never")),
         Two=steps(shell("a", "echo begun", f"touch {world.path('begun')}", "while :; do sleep 0.05; done")))
    message = hub.send(steps(running("One"), shell("after", "echo never")))
    world.wait_file("begun")
    hub.cancel(message)
    results = agent.wait_done(message).results
    equal("statuses", {name: got["status"] for name, got in results.items()},
          {"outer": "Cancelled", "after": "Cancelled"})
    equal("what it said before", results["outer"]["standardOutput"], "begun\n")
    equal("jobs left open", [row["id"] for row in agent.query("SELECT id FROM instance WHERE ended_unix_ms IS NULL")
                             if "n0.1" in row["id"]], [])


@suite.case
def an_inner_time_limit_times_the_outer_step_out(world):
    agent, hub = start(world)
    keep(world, hub, Sub=steps(shell("a", "echo begun; while :; do sleep 0.05; done", timeoutSeconds="5"),
                               shell("b", "echo after")))
    got = result_of(agent, hub.send(steps(running("Sub"))))
    equal("result", (got["status"], got["standardOutput"]), ("TimedOut", "begun\nafter\n"))


@suite.case
def after_a_reboot_the_document_goes_on_at_the_step_that_asked(world):
    agent, hub = start(world)
    keep(world, hub, Sub=steps(
        shell("a", f"echo run >> {world.path('a')}; echo a"),
        shell("b", f"echo run >> {world.path('b')}", f"[ $(wc -l < {world.path('b')}) -ge 2 ] || exit 194", "echo b")))
    message = hub.send(steps(running("Sub"), shell("after", "echo after")))
    wait_for("the reboot to be asked for", lambda: agent.reboots_asked == 1)
    equal("the outer command", agent.job_state(message), "running")
    agent.lose_power()
    agent.start()
    results = agent.wait_done(message).results
    equal("the outer step", (results["outer"]["status"], results["outer"]["standardOutput"]), ("Success", "a\nb\n"))
    equal("runs", (len(world.lines("a")), len(world.lines("b"))), (1, 2))
    equal("the step after it", results["after"]["status"], "Success")


@suite.case
def a_step_that_lost_power_makes_the_outer_step_unknown(world):
    agent, hub = start(world)
    keep(world, hub, Sub=steps(shell("a", f"touch {world.path('begun')}; while :; do sleep 0.05; done")))
    message = hub.send(steps(running("Sub"), shell("after", "echo never")))
    world.wait_file("begun")
    agent.lose_power()
    agent.start()
    results = agent.wait_done(message).results
    equal("the outer step", (results["outer"]["status"], results["outer"]["code"]), ("Failed", 1000))
    check("outcome is unknown" in results["outer"]["standardError"], results["outer"]["standardError"])
    equal("the step after it", results["after"]["status"], "Skipped")


@suite.case
def it_takes_no_place_of_its_own(world):
    agent, hub = start(world, workers=1)
    keep(world, hub, Sub=steps(running("Deeper")), Deeper=steps(shell("a", "echo here")))
    equal("stdout", result_of(agent, hub.send(steps(running("Sub"))))["standardOutput"], "here\n")


@suite.case
def scripts_know_the_command_that_the_service_sent(world):
    agent, hub = start(world)
    keep(world, hub, Sub=steps(shell("a", "echo $SSM_COMMAND_ID")))
    message = hub.send(steps(running("Sub")))
    equal("stdout", result_of(agent, message)["standardOutput"], message.split(".")[2] + "\n")


@suite.case
def scripts_of_a_fetched_document_run_beside_it(world):
    agent, hub = start(world)
    keep(world, hub, Sub=steps(shell("a", "pwd; ls")))
    message = hub.send(steps(running("Sub")))
    where = os.path.join(agent.jobs_dir, f"n0.1-{message.split('.')[2]}", "downloads")
    equal("stdout", result_of(agent, message)["standardOutput"], f"{where}\nSub.json\n")


@suite.case
def a_document_that_cannot_be_fetched_now_is_asked_for_again(world):
    agent, hub = start(world)
    keep(world, hub, Sub=steps(shell("a", "echo here")))
    hub.fault(kind="error", operation="GetDocument", times=1, status=503, code="ServiceUnavailable")
    equal("stdout", result_of(agent, hub.send(steps(running("Sub"))))["standardOutput"], "here\n")


@suite.case
def a_cancel_while_the_document_is_fetched_runs_nothing(world):
    agent, hub = start(world)
    keep(world, hub, Sub=steps(shell("a", f"echo run >> {world.path('ran')}")))
    hub.fault(kind="delay", operation="GetDocument", times=1, delay_ms=600 * 1000)  # the cancel is there before it
    message = hub.send(steps(running("Sub")))
    agent.wait_state(message, "running")
    hub.cancel(message)
    equal("status", agent.wait_done(message).terminal[0]["Status"], "Cancelled")
    other = hub.send(steps(running("Sub")))
    agent.wait_done(other)
    equal("runs", world.lines("ran"), ["run"])


@suite.case
def the_outer_job_shows_it(world):
    agent, hub = start(world)
    keep(world, hub, Sub=steps(shell("a", "echo here")))
    message = hub.send(steps(running("Sub"), shell("after", "echo after")))
    agent.wait_done(message)
    job = message.split(".")[2]

    def ctl(*words):
        done = subprocess.run([program("ctl", "ssmctl"), "--root", agent.root, *words], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, check=False)
        equal(f"status of ssmctl {' '.join(words)}: {done.stdout}", done.returncode, 0)
        return done.stdout
    shown = ctl("show", job)
    check(f"n0.1-{job}" in shown, f"the nested document is not shown:\n{shown}")
    nested = json.loads(ctl("--json", "show", job))["nested"]
    equal("nested jobs", [(n["job"], n["parent_step"], n["status"]) for n in nested], [(f"n0.1-{job}", 0, "Success")])
    ctl("audit", "verify")


@suite.case
def an_open_job_is_listed_without_its_parts(world):
    agent, hub = start(world)
    keep(world, hub, Sub=steps(shell("a", f"touch {world.path('begun')}; while [ ! -e {world.path('go')} ]; do"
                                     " sleep 0.02; done")))
    message = hub.send(steps(running("Sub")))
    world.wait_file("begun")
    done = subprocess.run([program("ctl", "ssmctl"), "--root", agent.root, "--json", "jobs"], stdout=subprocess.PIPE,
                          text=True, check=True)
    equal("jobs listed", [j["job"] for j in json.loads(done.stdout)["jobs"]], [message.split(".")[2]])
    equal("running", agent.status()["n_running"], 1)
    world.touch("go")
    agent.wait_done(message)


if __name__ == "__main__":
    raise SystemExit(suite.main())
