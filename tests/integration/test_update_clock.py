#!/usr/bin/python3
"""Updates on a machine whose clock is set: years ahead, years behind, before one and in the middle of one. The agent runs on and says
that it is the clock; once that is right the same update is done. tests/lib/clocks.c gives all our programs their clocks."""
import json
import mmap
import struct
import time

from harness import Suite, check, document, equal, program, wait_for
from update_source import when
from whole_update import NEW, OLD, SlotAgent

suite = Suite("updates under clocks that are set", jobs=4)
DAY = 86400
YEAR = 365 * DAY


class Clocks:
    """What is added to the wall time of ssmd, its stager and its updater."""

    def __init__(self, world):
        self.path, self.n = world.path("clocks"), 0
        with open(self.path, "w+b") as f:
            f.truncate(24)
            self.memory = mmap.mmap(f.fileno(), 24)

    def set(self, wall_s):
        self.n += 1
        struct.pack_into("<qqQ", self.memory, 0, wall_s * 1000000000, 0, self.n)

    @property
    def environment(self):
        return {"LD_PRELOAD": program("tests/lib", "clocks.so"), "SSMD_CLOCKS": self.path}


def node(world, wall_s=0, **fields):
    clocks = Clocks(world)
    clocks.set(wall_s)
    agent = SlotAgent(world, UpdateProvingSeconds=3).offer(**fields)
    agent.environment = clocks.environment
    agent.start().wait_until_serving()
    agent.wait_known()
    return clocks, agent


def works(agent):
    run = agent.hub.send(document("exit 6"))
    equal("the code of a command", agent.wait_done(run).results["step1"]["code"], 6)


def is_updated(agent):
    done = agent.ssmctl("update")
    equal(f"the status of ssmctl update: {done.stdout}{done.stderr}", done.returncode, 0)
    agent.expect_version(NEW)


def is_wrong(world, wall_s, told):
    clocks, agent = node(world, wall_s)
    pid = agent.pid
    for words in (("update", "--check"), ("update",)):
        done = agent.ssmctl(*words)
        check(done.returncode != 0, f"it is updated though the clock is wrong: {done.stdout}")
        check(told in done.stdout + done.stderr, f"{told!r} is not in {done.stdout}{done.stderr}")
    equal("the pid", agent.pid, pid)
    works(agent)
    clocks.set(0)
    wait_for("the clock to be known as right", lambda: agent.status()["clock_offset_ms"] == 0)
    is_updated(agent)


suite.add("a clock ten years ahead is told, and the update done when it is right", is_wrong, 10 * YEAR,
          "this machine's clock is 3650 days ahead of the service's, set it; ")
suite.add("a clock ten years behind is told, and the update done when it is right", is_wrong, -10 * YEAR,
          "this machine's clock is 3650 days behind the service's, set it; ")


def is_set_while_proven(world, wall_s):
    """Neither the proving time nor the deadline is a matter of the clock."""
    clocks, agent = node(world)
    update = agent.send_update(version=NEW)
    wait_for("the new version", lambda: agent.version == NEW)
    begin = time.monotonic()
    clocks.set(wall_s)
    equal("the result", agent.wait_invocation(update)["Status"], "Success")
    check(time.monotonic() - begin > 1, "it was not watched for its time")
    agent.expect_version(NEW)
    works(agent)


suite.add("a clock that is set ten years ahead while a version is proven changes nothing", is_set_while_proven, 10 * YEAR)
suite.add("a clock that is set ten years behind while a version is proven changes nothing", is_set_while_proven, -10 * YEAR)


@suite.case
def not_before_is_by_the_clock_and_no_earlier(world):
    """It is passed over until its time; a clock that runs ahead of what the metadata are good for brings nothing forward."""
    clocks, agent = node(world, NotBefore=when(days=2))
    for wall_s, is_expired in ((0, False), (YEAR, True), (0, False)):
        clocks.set(wall_s)
        wait_for("the clock's offset to be known", lambda off=wall_s: abs(agent.status()["clock_offset_ms"] / 1000 + off) < 300)
        done = agent.ssmctl("update", "--check", "--to", NEW, "--json")
        text = done.stdout + done.stderr
        check(("expired" if is_expired else "is not to be installed before") in text, text)
        check(not is_expired or "365 days ahead" in text, text)
        check(not is_expired or not json.loads(done.stdout or "{}").get("check", {}).get("is_wanted"), text)
    agent.expect_version(OLD)


if __name__ == "__main__":
    raise SystemExit(suite.main())
