#!/usr/bin/python3
"""The control channel of the real ssmd: acknowledgements, repetitions, losses, and the change between it and
ec2messages. What runs must run once, and what has run must be reported, whatever happens to the channel."""
import signal

from harness import Suite, check, document, equal, wait_for

suite = Suite("the control channel", jobs=6)


def start(world, control=True, **settings):
    """A hub and an agent with little patience, and its control channel open."""
    hub = world.hub(control=control)
    agent = world.agent(hub, **{"ChannelGraceSeconds": 0, "ChannelFallbackSeconds": 0, **settings}).start()
    if control:
        hub.wait_channel()
    return hub, agent


def script(world, name, wait=None):
    """Counts itself; waits for a file when told to."""
    text = f"echo run >> {world.path(name)}"
    if wait:
        text += f"; while [ ! -e {world.path(wait)} ]; do sleep 0.02; done"
    return document(text + "; echo told")


def channel_of(agent):
    status = agent.status()
    return status and status["channel"]["name"]


def is_polling(agent):
    status = agent.status()
    return status is None or not next(c for c in status["channels"] if c["name"] == "ec2messages")["is_paused"]


def check_once(world, agent, message, name):
    """One run, one status, and its text."""
    record = agent.wait_done(message)
    equal("the status", {r["Status"] for r in record.terminal}, {"Success"})
    equal("the output", record.results["step1"]["standardOutput"], "told\n")
    equal("the runs", world.lines(name), ["run"])
    return record


def codes(record):
    return [event["Status"] for event in record.of_kind("agent_job_ack")]


@suite.case
def ec2messages_is_not_polled_while_the_control_channel_is_open(world):
    hub, agent = start(world)
    wait_for("the polling to end", lambda: not is_polling(agent))
    equal("the channel in use", channel_of(agent), "ssmmessages")
    record = check_once(world, agent, hub.send(script(world, "count")), "count")
    equal("the calls", record.sequence,
          ["agent_job_ack", "reply:InProgress", "reply:InProgress", "reply:Success"])


@suite.case
def a_denied_control_channel_leaves_everything_to_ec2messages(world):
    hub, agent = start(world, control=False)
    wait_for("ec2messages to be in use", lambda: channel_of(agent) == "ec2messages")
    record = check_once(world, agent, hub.send(script(world, "count")), "count")
    equal("the calls", record.sequence,
          ["reply:InProgress", "AcknowledgeMessage", "reply:InProgress", "reply:Success"])


@suite.case
def commands_go_through_while_the_channel_changes_to_and_fro(world):
    hub, agent = start(world, control=False, workers=20)
    sent = []

    def send(n):
        for _ in range(n):
            name = f"count-{len(sent)}"
            sent.append((hub.send(script(world, name)), name))
    for _ in range(3):
        send(3)
        hub.deny_control(False)
        send(3)
        wait_for("the control channel to be in use", lambda: channel_of(agent) == "ssmmessages")
        send(3)
        hub.deny_control()
        hub.spoil("cut")
        send(3)
        wait_for("ec2messages to be in use", lambda: channel_of(agent) == "ec2messages")
    for message, name in sent:
        check_once(world, agent, message, name)


@suite.case
def a_command_that_comes_by_both_channels_runs_once(world):
    hub, agent = start(world, ChannelGraceSeconds=3600)
    hub.use_both_channels()
    sent = [(hub.send(script(world, f"count-{i}")), f"count-{i}") for i in range(10)]
    for message, name in sent:
        check_once(world, agent, message, name)
    records = [agent.record(message) for message, _ in sent]
    check(any(record.of_kind("agent_job") and record.of_kind("delivered") for record in records),
          "no command came by both channels: nothing was tested")


@suite.case
def ten_copies_of_a_job_run_once(world):
    hub, agent = start(world)
    hub.fault(kind="duplicate", operation="agent_job", copies=10)
    message = hub.send(script(world, "count"))
    record = check_once(world, agent, message, "count")
    equal("the codes", set(codes(record)) - {"200", "51405"}, set())
    wait_for("every copy to be acknowledged", lambda: len(codes(agent.record(message))) >= 10)


@suite.case
def a_job_is_acknowledged_before_its_first_reply_and_as_a_duplicate_after(world):
    hub, agent = start(world)
    message = hub.send(script(world, "count"))
    check_once(world, agent, message, "count")
    hub.redeliver(message)
    wait_for("the duplicate to be acknowledged", lambda: codes(agent.record(message)) == ["200", "51405"])
    wait_for("the end to be told again", lambda: any(
        e["IsRepeat"] and e["IsTerminal"] for e in agent.record(message).of_kind("reply")))
    equal("the runs", world.lines("count"), ["run"])


@suite.case
def a_lost_acknowledgement_makes_the_job_come_again_and_not_run_again(world):
    hub, agent = start(world)
    hub.fault(kind="forget", operation="agent_job_ack")
    message = hub.send(script(world, "count", wait="go"))
    agent.wait_state(message, "running")
    wait_for("the lost acknowledgement", lambda: agent.record(message).of_kind("lost agent_job_ack"))
    hub.redeliver(message)
    wait_for("the second acknowledgement", lambda: codes(agent.record(message)) == ["51405"])
    world.touch("go")
    check_once(world, agent, message, "count")


@suite.case
def a_reply_is_sent_until_it_is_acknowledged_with_the_same_id(world):
    hub, agent = start(world)
    hub.fault(kind="lose", operation="agent_job_reply", times=3)
    message = hub.send(script(world, "count"))
    record = check_once(world, agent, message, "count")
    repeats = [e for e in record.of_kind("reply") if e["IsRepeat"]]
    check(repeats, "no reply came again: nothing was tested")
    equal("the terminal replies", len(record.terminal), 1)


@suite.case
def a_reply_that_never_arrived_is_sent_again(world):
    hub, agent = start(world)
    hub.fault(kind="forget", operation="agent_job_reply", times=3)
    check_once(world, agent, hub.send(script(world, "count")), "count")


@suite.case
def a_late_acknowledgement_of_a_reply_ends_it_all_the_same(world):
    hub, agent = start(world)
    hub.fault(kind="delay", operation="agent_job_reply", times=3, delay_ms=6000)
    check_once(world, agent, hub.send(script(world, "count")), "count")


@suite.case
def a_connection_that_is_cut_with_each_reply_loses_nothing(world):
    hub, agent = start(world)
    hub.fault(kind="reset", operation="agent_job_reply", times=3)
    check_once(world, agent, hub.send(script(world, "count")), "count")


@suite.case
def ssmd_killed_between_acknowledgement_and_reply_reports_when_it_is_back(world):
    hub, agent = start(world)
    message = hub.send(script(world, "count", wait="go"))
    world.wait_file("count")
    wait_for("the acknowledgement", lambda: codes(agent.record(message)) == ["200"])
    agent.kill()
    world.touch("go")
    agent.start()
    check_once(world, agent, message, "count")


@suite.case
def a_job_that_is_there_when_ssmd_is_killed_at_once_runs_once(world):
    hub, agent = start(world)
    sent = []
    for i in range(5):
        sent.append((hub.send(script(world, f"count-{i}")), f"count-{i}"))
        agent.kill()
        agent.start()
        hub.wait_channel()
    for message, name in sent:
        check_once(world, agent, message, name)


@suite.case
def a_service_that_goes_away_and_comes_back_gets_what_ended_meanwhile(world):
    hub, agent = start(world)
    sent = [(hub.send(script(world, f"count-{i}", wait="go")), f"count-{i}") for i in range(5)]
    for _, name in sent:
        world.wait_file(name)
    hub.stop(signal.SIGKILL)
    world.touch("go")
    for message, _ in sent:
        agent.wait_state(message, "reporting")
    hub.start()
    for message, name in sent:
        check_once(world, agent, message, name)


@suite.case
def a_result_whose_channel_is_denied_goes_by_the_other_one(world):
    hub, agent = start(world)
    message = hub.send(script(world, "count", wait="go"))
    world.wait_file("count")
    hub.deny_control()
    hub.spoil("close")
    wait_for("ec2messages to be in use", lambda: channel_of(agent) == "ec2messages")
    world.touch("go")
    check_once(world, agent, message, "count")


@suite.case
def a_cancel_order_is_acknowledged_and_told_as_one(world):
    hub, agent = start(world)
    message = hub.send(script(world, "count", wait="never"))
    world.wait_file("count")
    order = hub.cancel(message)
    equal("the status", agent.wait_done(message).terminal[0]["Status"], "Cancelled")
    agent.wait_state(order, "done")
    equal("the calls for the order", agent.record(order).sequence, ["agent_job_ack", "reply:InProgress"])


@suite.case
def what_cannot_be_handled_is_rejected_with_a_reason(world):
    hub, agent = start(world)
    for topic, payload in (("aws.ssm.unknown", "{}"), ("aws.ssm.cancelCommand", "{}"),
                           ("aws.ssm.sendCommand", "not JSON")):
        name = f"aws.ssm.{topic.split('.')[-1]}-{len(payload)}.{agent.instance}"
        hub.inject(MessageId=name, Destination=agent.instance, Topic=topic, Payload=payload,
                   CreatedDate="2026-01-02T03:04:05.678Z")
        record = agent.wait_done(name)
        equal(f"the calls of {topic}", record.sequence, ["agent_job_ack", "reply:Failed"])
        equal("the code", codes(record), ["51408"])
        check(record.terminal[0]["Body"]["documentTraceOutput"], "no reason is given")


@suite.case
def a_half_open_connection_is_noticed(world):
    """Within 55 s, which test_ws.c knows; and what else a busy machine needs."""
    hub, agent = start(world)
    hub.spoil("silence")
    message = hub.send(script(world, "count"))
    wait_for("the silence to be noticed", lambda: hub.channels(), timeout=120)
    check_once(world, agent, message, "count")


@suite.case
def large_replies_fit_the_channel(world):
    hub, agent = start(world)
    text = "i=0; while [ $i -lt 400 ]; do printf '%0100d\\n\\001\\002\\003' $i; i=$((i+1)); done"
    message = hub.send(document(text))
    record = agent.wait_done(message)
    equal("the status", record.terminal[0]["Status"], "Success")
    for reply in record.replies:
        check(len(reply["Payload"]) <= 120000, f"a reply of {len(reply['Payload'])} bytes")


@suite.case
def sigterm_closes_the_channel_in_order(world):
    hub, agent = start(world)
    equal("the exit status", agent.terminate(), 0)
    wait_for("the hub to see the end", lambda: not hub.channels())

    def log():
        with open(hub.dir + "/log", encoding="utf-8", errors="replace") as f:
            return f.read()
    wait_for("the hub to say that the peer closed the websocket", lambda: "the peer closed the websocket" in log())
    check("the peer closed the websocket (code 1000)" in log(), "no close frame came")


if __name__ == "__main__":
    raise SystemExit(suite.main())
