#!/usr/bin/python3
"""R3: random SIGKILL of agent and of runner under a steady flow of commands (storm.py), in rounds of a world each."""
import concurrent.futures
import random as chance

from row import NO_CRIMES, Row
from storm import Storm

# rounds, commands of a round, kills of a round, rounds at once
SIZES = {"sample": (1, 15, 4, 1), "row": (20, 250, 40, 2), "long": (250, 400, 40, 2)}


def run(row, scale, random):
    rounds, commands, kills, at_once = SIZES[scale]
    seeds = [random.getrandbits(64) for _ in range(rounds)]
    done = row.state.setdefault("done", [])
    for name in (*NO_CRIMES, "false_success"):
        row.count(name, 0)
    with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
        left = [n for n in range(rounds) if n not in done]
        storms = pool.map(lambda n: Storm(chance.Random(seeds[n]), commands, kills).go(), left)
        for n, storm in zip(left, storms):
            for name, count in storm.crimes.items():
                row.count(name, count)
            if storm.stories:
                row.fail(f"round {n}: " + "\n".join(storm.stories))
            row.count("kills", sum(storm.deaths.values()))
            for victim in ("agent", "runner", "machine"):
                row.count(f"of_{victim}", storm.deaths[victim])
            row.count("outcomes_unknown", len(storm.fates))
            row.count("commands", len(storm.commands))
            row.say(f"round {n}: {len(storm.commands)} commands, {dict(storm.deaths)}, {len(storm.fates)} unknown")
            done.append(n)
            row.save()


if __name__ == "__main__":
    raise SystemExit(Row("R3", "SIGKILL of ssmd or of a runner every 0.1 to 5 s, under a flow of commands of ten kinds; now and "
                         "then a reboot that a command asks for", {**NO_CRIMES, "false_success": ("==", 0),
                                                                   "kills": (">=", 2), "commands": (">=", 15)}).main(run))
