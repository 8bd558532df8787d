#!/usr/bin/python3
"""What ssmd tells the service manager that started it: a socket of the test stands in for systemd's."""
import os
import socket

from harness import Suite, check, document, equal, wait_for

suite = Suite("what the service manager is told", jobs=3)


class Manager:
    """$NOTIFY_SOCKET, and what came there: one dictionary for each datagram."""

    def __init__(self, world, abstract=False):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        world.at_end.append(self.socket.close)
        name = world.path("notify")
        self.socket.bind("\0" + name if abstract else name)
        self.socket.setblocking(False)
        self.environment = {"NOTIFY_SOCKET": "@" + name if abstract else name}
        self.told = []

    def read(self):
        while True:
            try:
                lines = self.socket.recv(4096).decode().splitlines()
            except BlockingIOError:
                return self.told
            self.told.append(dict(line.split("=", 1) for line in lines))

    def wait(self, *words, **fields):
        def came():
            return any(all(word in told.get("STATUS", "") for word in words) and fields.items() <= told.items() for told in self.read())
        wait_for(lambda: f"{words} {fields} to be told: {self.told}", came)


def its_life(world, abstract):
    manager = Manager(world, abstract)
    agent = world.agent().start(**manager.environment).wait_until_serving()
    manager.wait("serves mi-", READY="1")
    environment = agent.hub.send(document(f'echo "[$NOTIFY_SOCKET]"; touch {world.dir}/runs; while [ ! -e {world.dir}/go ]; do'
                                          " sleep 0.05; done; exit 3"))
    world.wait_file("runs")
    manager.wait("1 command runs")
    world.touch("go")
    result = agent.wait_done(environment).results["step1"]
    equal("what a script sees of it", result["standardOutput"], "[]\n")
    before = len(manager.told)
    wait_for(lambda: f"it to be told that nothing runs: {manager.told}",
             lambda: any("nothing runs" in told.get("STATUS", "") for told in manager.read()[before:]))
    equal("the status after SIGTERM", agent.terminate(20), 0)
    manager.wait("stopping", STOPPING="1")
    equal("how often it was ready", sum("READY" in told for told in manager.told), 1)


suite.add("ready, what runs, stopping", its_life, False)
suite.add("the same to an abstract socket", its_life, True)


@suite.case
def an_outage_is_told_with_its_cause(world):
    manager = Manager(world)
    agent = world.agent().start(**manager.environment).wait_until_serving()
    manager.wait("serves mi-")
    agent.hub.stop()
    manager.wait("the service is out of reach", "connect")


@suite.case
def a_socket_that_is_not_there_is_no_reason_not_to_serve(world):
    agent = world.agent().start(NOTIFY_SOCKET=os.path.join(world.dir, "nobody")).wait_until_serving()
    equal("the code", agent.wait_done(agent.hub.send(document("exit 4"))).results["step1"]["code"], 4)
    check("NOTIFY_SOCKET" in agent.log(), "it is not told in the log")


if __name__ == "__main__":
    raise SystemExit(suite.main())
