#!/usr/bin/python3
"""A thousand scripts at once, and ssmd killed again and again under them: every true exit code and all of
every output arrive, once."""
import collections
import os
import time

from harness import CODES, Record, Suite, document, equal, wait_for

N = 1000
N_KILLS = 5
PATIENCE_S = 300  # a thousand starts, with sanitizers, on a machine that has other work
suite = Suite("a thousand commands under an agent that is killed")


def code_of(n):
    return CODES[n % len(CODES)]


def script(world, n):
    """Leaves a line, waits until all may end, says its number on both outputs, ends with a code of its own."""
    return (f"echo run > {world.dir}/ran/$$.{n}; while [ ! -e {world.dir}/go ]; do sleep 1; done;"
            f" echo number {n}; echo error {n} >&2; exit {code_of(n)}")


@suite.case
def a_thousand_true_exit_codes_and_outputs(world):
    os.mkdir(world.path("ran"))
    hub = world.hub("--log", "error")
    agent = world.agent(hub, workers=N + 100).start()
    sent = [hub.send(document(script(world, n))) for n in range(N)]

    def n_ran():
        return len(os.listdir(world.path("ran")))

    # Killed while they are being taken in and started ...
    for kill in range(1, N_KILLS + 1):
        wait_for(f"{N * kill // (N_KILLS + 1)} scripts to run", lambda: n_ran() >= N * kill // (N_KILLS + 1),
                 timeout=PATIENCE_S)
        agent.kill()
        hub_offers_again(hub)
        agent.start()
    begin = time.monotonic()
    wait_for("all scripts to run", lambda: n_ran() >= N, timeout=PATIENCE_S, every=0.1)
    print(f"# all run {time.monotonic() - begin:.1f} s after the last kill", flush=True)
    agent.wait_until_serving()
    wait_for("ssmd to know that all run", lambda: agent.status()["n_running"] == N, timeout=PATIENCE_S)

    # ... while all run, and while all end.
    agent.kill()
    world.touch("go")
    agent.start()
    for part in (N // 5, N // 2, 4 * N // 5):
        wait_for(f"{part} results", lambda: n_done(agent) >= part, timeout=PATIENCE_S, every=0.05)
        agent.kill()
        agent.start()
    begin = time.monotonic()
    wait_for("all results to be reported", lambda: agent.is_up and n_done(agent) == N, timeout=PATIENCE_S, every=0.2)
    print(f"# all reported {time.monotonic() - begin:.1f} s after the last kill", flush=True)

    judge(hub, sent)
    equal("how often each ran", collections.Counter(int(name.split(".")[1]) for name in os.listdir(world.path("ran"))),
          collections.Counter(range(N)))
    left = agent.query("SELECT count(*) AS n FROM effect WHERE closed_unix_ms IS NULL")[0]["n"]
    equal("effects left open", left, 0)
    equal("SIGTERM at the end", agent.terminate(), 0)


def hub_offers_again(hub):
    """What was delivered and not acknowledged, at once instead of after its visibility time."""
    for message in hub.state()["Messages"]:
        if message["State"] == "queued" and message["Deliveries"] > 0:
            hub.redeliver(message["MessageId"])


def n_done(agent):
    return agent.query("SELECT count(*) AS n FROM instance WHERE state = 'done'")[0]["n"]


def judge(hub, sent):
    records = {message["MessageId"]: Record(message) for message in hub.state()["Messages"]}
    for n, message_id in enumerate(sent):
        record, code = records[message_id], code_of(n)
        equal(f"command {n}: terminal replies", len(record.terminal), 1)
        equal(f"command {n}: status", record.terminal[0]["Status"], "Failed" if code else "Success")
        result = record.results["step1"]
        equal(f"command {n}: code", result["code"], code)
        equal(f"command {n}: output", result["standardOutput"], f"number {n}\n")
        equal(f"command {n}: error output", result["standardError"],
              f"error {n}\n" + (f"failed to run commands: exit status {code}" if code else ""))


if __name__ == "__main__":
    raise SystemExit(suite.main())
