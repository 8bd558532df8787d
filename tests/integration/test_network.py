#!/usr/bin/python3
"""The network goes and comes back, under a whole agent, in a network namespace of its own.

There the service has the address 192.0.2.1, of which the loopback interface can be relieved: then nothing
reaches it any more, and connections that stand hear nothing, as when a cable is pulled."""
import os
import socket
import subprocess
import sys
import threading

from harness import Suite, check, document, wait_for

SERVICE = "192.0.2.1"
INSIDE = "SSMD_TEST_INSIDE_NETWORK"
CHANGED = "the network changed"
suite = Suite("network", jobs=1)


def ip(*words):
    subprocess.run(["ip", *words], check=True)


def connect():
    ip("address", "add", f"{SERVICE}/32", "dev", "lo")


def disconnect():
    ip("address", "del", f"{SERVICE}/32", "dev", "lo")


def pump(source, sink):
    try:
        while data := source.recv(65536):
            sink.sendall(data)
    except OSError:
        pass
    for end in (source, sink):
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def relay(port):
    """The hub listens on 127.0.0.1 alone: this takes to it what comes to any address. Returns its port."""
    listener = socket.create_server(("0.0.0.0", 0))

    def serve():
        while True:
            near = listener.accept()[0]
            far = socket.create_connection(("127.0.0.1", port))
            for ends in ((near, far), (far, near)):
                threading.Thread(target=pump, args=ends, daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    return listener.getsockname()[1]


def far_agent(world, hub):
    """An agent that has only the way by the relay."""
    agent = world.agent(hub, BackoffCapSeconds=300)
    url = f"http://{SERVICE}:{relay(hub.port)}"
    for service in ("Ssm", "Mgs", "Mds", "S3"):
        agent.config[service]["Endpoint"] = url
    agent.write_config()
    return agent


def log_of(agent):
    with open(agent.log_path, encoding="utf-8") as f:
        return f.read()


@suite.case
def a_node_that_was_up_before_its_network_is_online_as_soon_as_that_is(world):
    hub = world.hub(control=True)
    agent = far_agent(world, hub).start().wait_until_serving()
    wait_for("tries that fail", lambda: log_of(agent).count("Failed to connect") >= 3)
    check(not hub.channels(), "there is a channel, and no network")
    connect()
    try:
        hub.wait_channel()
        # A try that was due anyhow may have come before: the word comes a moment after the change.
        wait_for("word of the network", lambda: CHANGED in log_of(agent))
        agent.wait_done(hub.send(document("echo there")))
    finally:
        disconnect()


@suite.case
def a_command_that_ends_while_the_network_is_away_is_reported_when_it_is_back(world):
    hub = world.hub(control=True)
    agent = far_agent(world, hub)
    connect()
    agent.start().wait_until_serving()
    hub.wait_channel()
    message = hub.send(document(f"touch {world.dir}/ran; while [ ! -e {world.dir}/go ]; do sleep 0.02; done; exit 5"))
    world.wait_file("ran")
    disconnect()
    world.touch("go")
    agent.wait_state(message, "reporting")
    connect()
    try:
        result = agent.wait_done(message).results["step1"]
        check(result["code"] == 5, f"its code is {result['code']}")
        agent.wait_done(hub.send(document("echo and the next one")))
    finally:
        disconnect()


def main():
    if os.environ.get(INSIDE) is None:
        if os.geteuid() != 0:
            print("1..0 # skipped: only root can make a network namespace")
            return
        os.environ[INSIDE] = "1"
        os.execvp("unshare", ["unshare", "--net", sys.executable, os.path.abspath(__file__), *sys.argv[1:]])
    ip("link", "set", "lo", "up")
    raise SystemExit(suite.main())


if __name__ == "__main__":
    main()
