#!/usr/bin/python3
"""Output on its way to S3 and CloudWatch Logs: where it goes, what waits for it, what a kill, a reboot or an absent
network does to it, and how much memory it takes."""
import os
import re
import sys

import outputs
from harness import INSTANCE, Suite, check, document, equal, program, wait_for
from outputs import client

suite = Suite("uploads of output", jobs=3)
MIB = 1 << 20
BUCKET = "outputs"
GROUP = "commands"


def make_agent(world, hub=None, with_bucket=True, **settings):
    agent = outputs.make_agent(world, hub, **settings)
    if with_bucket:
        client(agent.hub, "s3").create_bucket(Bucket=BUCKET)
    return agent


def s3_output(**more):
    return {"OutputS3BucketName": BUCKET, "OutputS3KeyPrefix": "pre/fix/", **more}


def log_output(**more):
    return {"CloudWatchOutputEnabled": "true", "CloudWatchLogGroupName": GROUP, **more}


def command_of(message):
    return message.split(".")[2]


def objects(hub, message):
    """Name below the command's prefix -> bytes."""
    return outputs.objects(hub, BUCKET, f"pre/fix/{command_of(message)}/{INSTANCE}/")


def events(hub, message, stream, plugin="step1"):
    return outputs.events(hub, GROUP, f"{command_of(message)}/{INSTANCE}/{plugin}/{stream}")


def logged(hub, message, stream, plugin="step1"):
    """All that a log stream has, in whole lines: those that were there when it was read make one event. The newline at
    its end is dropped if the step was over by then, and stays if it was read a moment earlier."""
    got = events(hub, message, stream, plugin)
    check(all(event.endswith("\n") for event in got[:-1]), f"an event ends within a line: {got}")
    return "".join(got).removesuffix("\n")


def uploads(agent):
    return {row[0]: row[1] for row in agent.query("SELECT id, state FROM instance WHERE machine = 'upload'")}


def wait_uploads(agent, *states):
    return wait_for(f"every upload to be {' or '.join(states)}",
                    lambda: uploads(agent) and all(s in states for s in uploads(agent).values()) and uploads(agent))


@suite.case
def goes_to_the_keys_that_users_know_before_the_reply(world):
    agent = make_agent(world).start()
    message = agent.hub.send(document("echo out; echo err >&2", "exit 3", "true"), **s3_output())
    wait_for("the first reply of a step", lambda: len(agent.record(message).replies) >= 2)
    equal("objects when it was there", objects(agent.hub, message).get("awsrunShellScript/step1/stdout"), b"out\n")
    agent.wait_done(message)
    equal("objects", objects(agent.hub, message), {
        "awsrunShellScript/step1/stdout": b"out\n", "awsrunShellScript/step1/stderr": b"err\n",
        "awsrunShellScript/step2/stderr": b"failed to run commands: exit status 3"})
    equal("states", set(wait_uploads(agent, "done").values()), {"done"})


@suite.case
def names_the_properties_of_schema_1_2(world):
    agent = make_agent(world).start()
    message = agent.hub.send({"schemaVersion": "1.2", "runtimeConfig": {"aws:runShellScript": {"properties": [
        {"id": "0.aws:runShellScript", "runCommand": ["echo a"]},
        {"id": "1.aws:runShellScript", "runCommand": ["echo b"]}]}}}, **s3_output(), **log_output())
    result = agent.wait_done(message).results["aws:runShellScript"]
    equal("stepName", result["stepName"], "0.awsrunShellScript")
    equal("objects", objects(agent.hub, message), {
        "awsrunShellScript/0.awsrunShellScript/stdout": b"a\n", "awsrunShellScript/1.awsrunShellScript/stdout": b"b\n"})
    # Each property is sent by itself, and may have been read before it was over, with its newline, or after.
    equal("events", sorted(event.removesuffix("\n") for event in events(agent.hub, message, "stdout", "aws-runShellScript")),
          ["a", "b"])


@suite.case
def a_container_has_its_whole_id_in_keys_and_a_short_one_in_streams(world):
    instance = f"cluster_{'0' * 32}_{'1' * 32}-1234567890"
    agent = make_agent(world, instance=instance).start()
    message = agent.hub.send(document("echo out"), instance=instance, **s3_output(), **log_output())
    agent.wait_done(message)
    command = command_of(message)
    equal("objects", outputs.objects(agent.hub, BUCKET), {
        f"pre/fix/{command}/{instance}/awsrunShellScript/step1/stdout": b"out\n"})
    equal("streams", outputs.streams(agent.hub, GROUP), [f"{command}/{'1' * 32}-1234567890/step1/stdout"])


@suite.case
def holds_both_runs_of_a_step_that_rebooted(world):
    agent = make_agent(world).start()
    message = agent.hub.send(document(f"if [ ! -e {world.path('once')} ]; then touch {world.path('once')}; echo first;"
                                      " exit 194; fi; echo second"), **s3_output(), **log_output())
    wait_for("the reboot to be asked for", lambda: agent.reboots_asked == 1)
    agent.lose_power()
    agent.start()
    agent.wait_done(message)
    equal("objects", objects(agent.hub, message), {"awsrunShellScript/step1/stdout": b"first\nsecond\n"})
    equal("what was logged", logged(agent.hub, message, "stdout"), "first\nsecond")


@suite.case
def streams_to_the_logs_while_the_script_runs(world):
    agent = make_agent(world, with_bucket=False).start()
    message = agent.hub.send(document(f"echo one; printf half; while [ ! -e {world.path('go')} ]; do sleep 0.05; done;"
                                      " echo -line; echo end"), **log_output())

    def first_line():
        try:
            return events(agent.hub, message, "stdout")
        except Exception:  # pylint: disable=broad-except # the stream is not there yet
            return None
    wait_for("the first line to be logged", first_line)
    equal("events while it runs", events(agent.hub, message, "stdout"), ["one\n"])  # and not half a line
    world.touch("go")
    agent.wait_done(message)
    equal("all that was logged", logged(agent.hub, message, "stdout"), "one\nhalf-line\nend")
    names = [s["logStreamName"].rsplit("/", 1)[1] for s in
             client(agent.hub, "logs").describe_log_streams(logGroupName=GROUP)["logStreams"]]
    equal("streams", names, ["stdout"])  # one that had no data was not made


@suite.case
def a_refusal_is_journaled_and_changes_no_status(world):
    agent = make_agent(world, with_bucket=False).start()
    message = agent.hub.send(document("echo out"), **s3_output())
    record = agent.wait_done(message)
    equal("documentStatus", record.terminal[-1]["Body"]["documentStatus"], "Success")
    wait_uploads(agent, "failed")
    text = agent.query("SELECT text FROM upload")[0][0]
    check("NoSuchBucket" in text, f"the journal says {text!r}")
    agent.hub.fault(kind="error", operation="CreateLogGroup", status=400, code="AccessDeniedException")
    message = agent.hub.send(document("echo out"), **log_output())
    equal("documentStatus", agent.wait_done(message).terminal[-1]["Body"]["documentStatus"], "Success")


@suite.case
def removes_what_is_elsewhere_when_asked_to(world):
    agent = make_agent(world)
    agent.config["Ssm"]["PluginLocalOutputCleanup"] = "after-upload"
    agent.write_config()
    agent.start()
    message = agent.hub.send(document("echo one", "echo two"), **s3_output())
    record = agent.wait_done(message)
    equal("outputs in replies", [record.results[s]["standardOutput"] for s in ("step1", "step2")], ["one\n", "two\n"])
    directory = os.path.join(agent.jobs_dir, command_of(message))
    wait_for("the files to go", lambda: not [f for _, _, files in os.walk(directory) for f in files
                                             if f in ("stdout", "stderr")])
    equal("objects", objects(agent.hub, message), {
        "awsrunShellScript/step1/stdout": b"one\n", "awsrunShellScript/step2/stdout": b"two\n"})
    kept = agent.hub.send(document("echo kept"), OutputS3BucketName="nowhere")
    agent.wait_done(kept)
    wait_for("its upload to have failed", lambda: "failed" in uploads(agent).values())
    check(os.path.getsize(os.path.join(agent.jobs_dir, command_of(kept), "0.1", "stdout")) == 5,
          "the output of an upload that failed was removed")


@suite.case
def tries_again_what_may_pass(world):
    agent = make_agent(world)
    for code, status in (("SlowDown", 503), ("InternalError", 500)):
        agent.hub.fault(kind="error", operation="PutObject", status=status, code=code)
    agent.hub.fault(kind="reset", operation="PutObject")
    agent.hub.fault(kind="lose", operation="PutObject")
    agent.hub.fault(kind="lose", operation="CreateLogStream")
    agent.start()
    message = agent.hub.send(document("echo out; echo err >&2"), **s3_output(), **log_output())
    agent.wait_done(message, timeout=90)
    wait_uploads(agent, "done")
    equal("objects", objects(agent.hub, message), {
        "awsrunShellScript/step1/stdout": b"out\n", "awsrunShellScript/step1/stderr": b"err\n"})
    equal("events", events(agent.hub, message, "stderr"), ["err\n"])


@suite.case
def answers_wait_no_longer_than_they_may_and_the_upload_goes_on(world):
    agent = make_agent(world, UploadWaitSeconds=1)
    s3_hub = world.hub("--credentials", agent.hub.credentials, name="s3")
    s3_hub.credentials = agent.hub.credentials
    agent.config["S3"] = {"Endpoint": s3_hub.url}
    agent.write_config()
    client(s3_hub, "s3").create_bucket(Bucket=BUCKET)
    s3_hub.stop()
    agent.start()
    message = agent.hub.send(document("echo out"), **s3_output())
    equal("documentStatus", agent.wait_done(message).terminal[-1]["Body"]["documentStatus"], "Success")
    equal("state", set(uploads(agent).values()), {"trailing"})
    agent.kill()
    agent.start().wait_until_serving()
    equal("state after a restart", set(uploads(agent).values()), {"trailing"})
    s3_hub.start()
    s3_hub.credentials = agent.hub.credentials
    wait_uploads(agent, "done")
    equal("objects", objects(s3_hub, message), {"awsrunShellScript/step1/stdout": b"out\n"})


def kill_at(world, operation, script, what, **output):
    """Killed while the n-th call of `operation` waits in the hub; started again, everything arrives."""
    agent = make_agent(world)
    agent.hub.fault(kind="delay", operation=operation, delay_ms=60000)
    agent.start()
    message = agent.hub.send(document(script), **output)
    wait_for(what, lambda: not any(rule["operation"] == operation for rule in agent.hub.state()["Faults"]))
    agent.kill()
    agent.start()
    agent.wait_done(message)
    wait_uploads(agent, "done")
    return agent, message


@suite.case
def a_kill_in_the_middle_of_a_put_costs_nothing(world):
    agent, message = kill_at(world, "PutObject", "echo out", "the PUT to be under way", **s3_output())
    equal("objects", objects(agent.hub, message), {"awsrunShellScript/step1/stdout": b"out\n"})


@suite.case
def a_kill_in_the_middle_of_a_stream_loses_nothing(world):
    script = "i=0; while [ $i -lt 200 ]; do echo line $i; i=$((i + 1)); sleep 0.02; done"
    agent, message = kill_at(world, "PutLogEvents", script, "a batch to be under way", **log_output())
    lines = "".join(m if m.endswith("\n") else m + "\n" for m in events(agent.hub, message, "stdout")).splitlines()
    wanted = [f"line {n}" for n in range(200)]
    equal("lines, those of one batch perhaps twice", sorted(set(lines), key=wanted.index), wanted)
    check(lines[-1] == "line 199", f"the last line is {lines[-1]!r}")


def rss_kib(pid):
    """Not its proportional share, which grows when another program that has the same pages ends."""
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as f:
        return int(re.search(r"^Rss:\s+(\d+) kB", f.read(), re.M).group(1))


def is_sanitized():
    with open(program("agent", "ssmd"), "rb") as f:
        return b"__asan_init" in f.read()


def large_output(world, n_mib):
    agent = make_agent(world, UploadWaitSeconds=600).start().wait_until_serving()
    warm = agent.hub.send(document("echo warm"), **s3_output())
    agent.wait_done(warm)
    idle = rss_kib(agent.process.pid)
    message = agent.hub.send(document(f"head -c {n_mib * MIB} /dev/zero | tr '\\0' x"), **s3_output())
    peak = idle

    def is_done():
        nonlocal peak
        peak = max(peak, rss_kib(agent.process.pid))
        return agent.record(message).terminal
    wait_for("the terminal reply", is_done, timeout=600, every=0.05)
    peak = max(peak, rss_kib(agent.process.pid))
    s3 = client(agent.hub, "s3")
    key = f"pre/fix/{command_of(message)}/{INSTANCE}/awsrunShellScript/step1/stdout"
    equal("size of the object", s3.head_object(Bucket=BUCKET, Key=key)["ContentLength"], n_mib * MIB)
    if is_sanitized():  # what is freed is kept for a while, so that its use is noticed: it says nothing of memory
        return
    check(peak - idle <= 4096, f"peak RSS {peak} KiB, idle {idle} KiB: {peak - idle} KiB more, wanted at most 4096")


@suite.case
def takes_no_more_memory_for_more_output(world):
    large_output(world, 64)


if "--long" in sys.argv:
    sys.argv.remove("--long")

    @suite.case
    def takes_no_more_memory_for_a_gibibyte(world):
        large_output(world, 1024)


if __name__ == "__main__":
    raise SystemExit(suite.main())
