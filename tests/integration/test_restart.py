#!/usr/bin/python3
"""ssmd is stopped, started and asked while scripts run."""
import fcntl
import os
import signal
import subprocess
import time

from harness import DEADLINE_S, Failure, Suite, check, document, equal, marked_processes, program, wait_for

suite = Suite("stop, start, attach", jobs=4)


def waiting_script(world, name="go"):
    return (f"echo begun; echo run >> {world.dir}/ran; while [ ! -e {world.dir}/{name} ]; do sleep 0.02; done;"
            " echo ended; exit 5")


def expect_result(record, code=5, out="begun\nended\n"):
    equal("terminal replies", len(record.terminal), 1)
    result = record.results["step1"]
    equal("code", result["code"], code)
    equal("standardOutput", result["standardOutput"], out)


def is_asleep(pid):
    """It waits for something to happen: neither for its turn nor for a disk, as it does on a busy machine."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as f:
        return f.read().rpartition(")")[2].split()[0] == "S"


def stop_within_a_second(agent, how=signal.SIGTERM):
    """Of its own time: what the machine takes from it is not counted."""
    asleep, before = 0.0, time.monotonic()
    agent.process.send_signal(how)
    end = before + DEADLINE_S
    while agent.process.poll() is None:
        check(time.monotonic() < end, f"ssmd has not ended within {DEADLINE_S} s")
        was_asleep = is_asleep(agent.process.pid)
        time.sleep(0.005)
        now = time.monotonic()
        if was_asleep and now - before < 0.1:  # else it was this test that had no turn
            asleep += now - before
        before = now
    equal("the exit status", agent.process.returncode, 0)
    check(asleep < 1, f"ssmd waited {asleep:.2f} s before it stopped, wanted less than 1")


@suite.case
def stops_at_once_while_a_script_runs_and_takes_it_up_again(world):
    agent = world.agent().start().wait_until_serving()
    message = agent.hub.send(document(waiting_script(world)))
    world.wait_file("ran")
    agent.wait_state(message, "running")
    stop_within_a_second(agent)
    equal("the command while ssmd is down", agent.job_state(message), "running")
    equal("terminal replies while ssmd is down", agent.record(message).terminal, [])
    agent.start().wait_until_serving()
    wait_for("ssmd to know that it runs", lambda: agent.status()["n_running"] == 1)
    world.touch("go")
    expect_result(agent.wait_done(message))
    equal("how often it ran", len(world.lines("ran")), 1)


@suite.case
def reports_what_ended_while_it_was_down(world):
    agent = world.agent().start().wait_until_serving()
    message = agent.hub.send(document(waiting_script(world)))
    world.wait_file("ran")
    stop_within_a_second(agent, signal.SIGINT)
    world.touch("go")
    wait_for("the exit record", lambda: exists_exit(agent, message))
    agent.start()
    expect_result(agent.wait_done(message))
    equal("how often it ran", len(world.lines("ran")), 1)


def exists_exit(agent, message):
    return os.path.exists(os.path.join(agent.jobs_dir, message.split(".")[2], "0.1", "exit"))


@suite.case
def stops_at_once_when_idle(world):
    agent = world.agent().start().wait_until_serving()
    stop_within_a_second(agent)
    agent.start().wait_until_serving()
    equal("jobs after a restart", agent.status()["n_running"], 0)
    stop_within_a_second(agent)


@suite.case
def stops_at_once_when_the_service_does_not_answer(world):
    agent = world.agent()
    agent.hub.fault(kind="delay", operation="UpdateInstanceInformation", times=10, delay_ms=60000)
    agent.start().wait_until_serving()
    stop_within_a_second(agent)


@suite.case
def a_second_ssmd_on_the_same_root_is_refused(world):
    agent = world.agent().start().wait_until_serving()
    done = subprocess.run([program("agent", "ssmd"), "--root", agent.root], capture_output=True, text=True, timeout=DEADLINE_S,
                          check=False)
    equal("the exit status of the second", done.returncode, 1)
    check("another ssmd runs" in done.stderr, f"it says only: {done.stderr}")
    message = agent.hub.send(document("echo here"))
    equal("the first one's result", agent.wait_done(message).terminal[0]["Status"], "Success")


@suite.case
def a_start_waits_for_the_lock_of_one_that_is_dying(world):
    agent = world.agent().start().wait_until_serving()
    agent.kill()
    for _ in range(5):  # where this test is held up for longer than ssmd waits, ssmd has ended, and rightly so
        with open(os.path.join(agent.root, "run/ssmd/ssmd.pid"), "rb") as held:
            fcntl.flock(held, fcntl.LOCK_EX)  # as the kernel does for a process that it has not taken apart yet
            n_said = agent.log().count("another ssmd runs")
            agent.start()
            wait_for("it to say that it waits", lambda: agent.log().count("another ssmd runs") > n_said)
        wait_for("it to serve or to end", lambda: not agent.is_up or agent.status())
        if agent.is_up:
            return
    raise Failure("it did not wait")


@suite.case
def a_duplicate_after_a_restart_gets_the_stored_reply_again_and_does_not_run(world):
    agent = world.agent().start()
    message = agent.hub.send(document(f"echo run >> {world.dir}/ran; echo once"))
    first = agent.wait_done(message).terminal[0]
    equal("the exit status", agent.wait_until_serving().terminate(), 0)
    agent.start()
    agent.hub.redeliver(message)
    wait_for("the second acknowledgement", lambda: len(agent.record(message).of_kind("ack")) >= 2)
    wait_for("the terminal reply again", lambda: [
        event for event in agent.record(message).of_kind("reply") if event["ReplyId"] == first["ReplyId"]
        and event["IsRepeat"]])
    equal("different terminal replies", len(agent.record(message).terminal), 1)
    equal("how often it ran", len(world.lines("ran")), 1)


@suite.case
def a_cancel_that_came_while_ssmd_was_down_stops_the_script(world):
    agent = world.agent().start().wait_until_serving()
    message = agent.hub.send(document(waiting_script(world, "never")))
    world.wait_file("ran")
    agent.kill()
    agent.hub.cancel(message)
    agent.start()
    record = agent.wait_done(message)
    equal("status", record.terminal[0]["Status"], "Cancelled")
    expect_result(record, 137, "begun\n")


@suite.case
def what_waited_in_the_queue_runs_after_a_restart_in_order(world):
    agent = world.agent(workers=1).start()
    first = agent.hub.send(document(waiting_script(world)))
    rest = [agent.hub.send(document(f"echo {n} >> {world.dir}/order")) for n in range(4)]
    for message in rest:
        agent.wait_state(message, "queued")
    agent.kill()
    world.touch("go")
    agent.start()
    for message in [first, *rest]:
        equal("terminal replies", len(agent.wait_done(message).terminal), 1)
    equal("the order", world.lines("order"), ["0", "1", "2", "3"])


@suite.case
def a_time_limit_holds_while_ssmd_is_down(world):
    agent = world.agent().start()
    message = agent.hub.send(document(waiting_script(world, "never"), timeoutSeconds=5))
    world.wait_file("ran")
    agent.kill()
    wait_for("the exit record", lambda: exists_exit(agent, message))
    agent.start()
    record = agent.wait_done(message)
    equal("status", record.terminal[0]["Status"], "TimedOut")
    expect_result(record, 137, "begun\n")


@suite.case
def a_script_that_kills_its_own_runner_ends_as_unknown_and_leaves_nothing(world):
    agent = world.agent().start().wait_until_serving()
    message = agent.hub.send(document(f"echo run >> {world.dir}/ran;"
                                      f" pid=$(sed -n s/^runner_pid=//p {agent.jobs_dir}/$SSM_COMMAND_ID/0.1/started);"
                                      " kill -9 $pid; while :; do sleep 0.05; done",
                                      f"echo run >> {world.dir}/second"))
    record = agent.wait_done(message)
    equal("status", record.terminal[0]["Status"], "Failed")
    equal("code", record.results["step1"]["code"], 1000)
    equal("how often they ran", (len(world.lines("ran")), len(world.lines("second"))), (1, 0))
    wait_for(lambda: f"ssmd to be alone, there are {list(marked_processes(agent.mark))}",
             lambda: list(marked_processes(agent.mark)) == [agent.process.pid])


@suite.case
def the_end_of_ssmd_and_a_reply_under_way_is_one_reply(world):
    """Killed while the terminal reply is on its way: sent again with the same id."""
    agent = world.agent()
    agent.hub.fault(kind="delay", operation="SendReply", times=1000, delay_ms=300)
    agent.start()
    message = agent.hub.send(document("echo once"))
    agent.wait_state(message, "reporting")
    agent.kill()
    agent.hub.clear_faults()
    agent.start()
    equal("different terminal replies", len(agent.wait_done(message).terminal), 1)


if __name__ == "__main__":
    raise SystemExit(suite.main())
