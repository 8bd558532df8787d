#!/usr/bin/python3
"""R9: a service that fails, refuses, throttles, forgets, stammers, mixes up, is slow, cuts connections or leaves them half open,
all the time, under a flow of commands (storm.py); nothing is killed. Pauses between tries are read from the log."""
import concurrent.futures
import random as chance
import re
import time

from row import NO_CRIMES, Row
from storm import Storm

# rounds, commands of a round, rounds at once
SIZES = {"sample": (1, 8, 1), "row": (20, 150, 2), "long": (500, 150, 2)}
CAP_MS = 2000  # BackoffCapSeconds of the harness
MAX_RULES = 40  # at the hub, which takes 64: those for calls that do not come would pile up
OPERATIONS = ("SendReply", "AcknowledgeMessage", "GetMessages", "UpdateInstanceInformation", "CreateControlChannel",
              "agent_job_ack", "agent_job_reply")
FAULTS = (
    {"kind": "error", "status": 500, "code": "InternalServerException"},
    {"kind": "error", "status": 503, "code": "ServiceUnavailable"},
    {"kind": "error", "status": 403, "code": "ExpiredTokenException"},
    {"kind": "error", "status": 400, "code": "ThrottlingException"},
    {"kind": "error", "status": 429, "code": "TooManyRequestsException"},
    {"kind": "forget"}, {"kind": "lose"}, {"kind": "reset"}, {"kind": "delay", "delay_ms": 1500},
)
CHANNEL = ({"kind": "forget"}, {"kind": "reset"})  # what can happen to one message of the control channel


class BadService(Storm):
    """The weather of this storm is the service's."""

    def __init__(self, random, n_commands):
        super().__init__(random, n_commands, n_kills=0)
        self.next_fault = 0
        self.n_faults = 0

    def tick(self):
        super().tick()
        now = time.monotonic()
        if now >= self.next_fault and len(self.commands) < self.n_commands:
            if self.n_faults % MAX_RULES == 0:
                self.hub.clear_faults()
            self.spoil()
            self.n_faults += 1
            self.next_fault = now + self.random.uniform(0.05, 0.8)

    def spoil(self):
        random = self.random
        which = random.random()
        if which < 0.15:
            self.hub.fault(kind="duplicate", operation="GetMessages", times=3, copies=random.randrange(2, 11))
        elif which < 0.25:
            self.hub.fault(kind="reorder", operation="GetMessages", times=3)
        elif which < 0.4 and self.commands:
            for _ in range(random.randrange(1, 11)):
                self.hub.redeliver(random.choice(self.commands).message)
        elif which < 0.5 and self.is_control and self.hub.channels():
            self.hub.spoil(random.choice(("close", "cut", "silence")))
        else:
            operation = random.choice(OPERATIONS)
            self.hub.fault(operation=operation, times=random.randrange(1, 4),
                           **random.choice(CHANNEL if operation.startswith("agent_") else FAULTS))

    def drain(self):
        self.hub.clear_faults()
        return super().drain()

    def blow(self):
        """As long as the kills of the other storm would last."""
        self.n_kills = self.n_commands // 4
        super().blow()

    def kill(self):
        """Nobody dies here."""

    def judge(self):
        super().judge()
        self.pauses = [int(found) for found in re.findall(r"next try in (\d+) ms", self.agent.log())]


def run(row, scale, random):
    rounds, commands, at_once = SIZES[scale]
    seeds = [random.getrandbits(64) for _ in range(rounds)]
    done = row.state.setdefault("done", [])
    for name in NO_CRIMES:
        row.count(name, 0)
    pauses = row.state.setdefault("pauses", {})
    with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
        left = [n for n in range(rounds) if n not in done]
        for n, storm in zip(left, pool.map(lambda n: BadService(chance.Random(seeds[n]), commands).go(), left)):
            for name, count in storm.crimes.items():
                row.count(name, count)
            if storm.stories:
                row.fail(f"round {n}: " + "\n".join(storm.stories))
            row.count("commands", len(storm.commands))
            row.count("faults", storm.n_faults)
            for pause in getattr(storm, "pauses", []):
                pauses[str(pause)] = pauses.get(str(pause), 0) + 1
            row.say(f"round {n}: {len(storm.commands)} commands, {storm.n_faults} faults")
            done.append(n)
            row.save()
    row.figure("tries_again", sum(pauses.values()))
    row.figure("longest_pause_ms", max(map(int, pauses), default=0))
    # Without jitter a pause would be one of a few values: those of the doubling, and the cap.
    row.figure("most_common_pause_percent", round(100 * max(pauses.values(), default=0) / max(1, sum(pauses.values())), 1))
    if scale == "sample":  # too few to judge them
        del row.targets["most_common_pause_percent"], row.targets["tries_again"]


if __name__ == "__main__":
    raise SystemExit(Row("R9", "errors, throttling, lost, slow and forgotten answers, resets, duplicates up to ten times, reordering, "
                         "channels cut and half open, all the time",
                         {**NO_CRIMES, "longest_pause_ms": ("<=", CAP_MS), "tries_again": (">=", 100),
                          "most_common_pause_percent": ("<=", 10)}).main(run))
