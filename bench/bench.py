"""Footprint, latency and throughput of whole programs against ssmhub, each beside what the machine can do at best, measured
in the same run. Absolute times mean little on another machine; the ratios do.

    SSMD_BUILD_DIR=build/release python3 bench/bench.py footprint|latency|throughput|update [--json] [-n N]
"""
import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
import uuid

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "integration"))
import harness  # noqa: E402
import whole_update  # noqa: E402

# What the reference agent was seen to need on a machine of two shared cores.
REFERENCE = {"p50_ms": 79, "cpu_ms": 56, "per_second": 10.2, "peak_pss_kib": 547 * 1024, "idle_pss_kib": 46652,
             "idle_switches_per_s": 6.8, "first_poll_s": 1.09, "stop_s": 7.03, "binaries": 79164152}
TICK = os.sysconf("SC_CLK_TCK")
MEMORY = "/dev/shm"
# What systemd gives a service: who looks for a program in a user's long PATH measures that.
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def quantile(values, q):
    values = sorted(values)
    return values[min(len(values) - 1, int(q * len(values)))]


def descendants(pid):
    found = [pid]
    for parent in found:
        try:
            for task in os.listdir(f"/proc/{parent}/task"):
                with open(f"/proc/{parent}/task/{task}/children", encoding="ascii") as f:
                    found.extend(int(child) for child in f.read().split())
        except OSError:
            pass
    return found


def rollup(pid, *names):
    """Values of smaps_rollup in KiB; zeros for a process that has ended."""
    values = dict.fromkeys(names, 0)
    try:
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as f:
            for line in f:
                name = line.split(":")[0]
                if name in values:
                    values[name] = int(line.split()[1])
    except OSError:
        pass
    return [values[name] for name in names]


def cpu_seconds(pid):
    """Of the process and everything below it that has ended."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return sum(int(fields[i]) for i in (11, 12, 13, 14)) / TICK


def switches(pid):
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/status", encoding="ascii") as f:
            total += sum(int(line.split()[1]) for line in f if line.startswith("voluntary_ctxt"))
    return total


def floor(directory, rounds=50):
    out = subprocess.run([harness.program("bench", "bench_floor"), directory, str(rounds)], check=True,
                         capture_output=True, text=True).stdout
    rows = [tuple(int(v) / 1000 for v in line.split()) for line in out.splitlines()]
    return [a + b for a, b in rows], [a for a, _ in rows], [b for _, b in rows]


def shells(directory, rounds):
    """Processor time, ms, of `sh -c FILE` where FILE holds `true`: the two shells of every such command, whoever starts
    them."""
    script = os.path.join(directory, "true.sh")
    with open(script, "w", encoding="ascii", opener=lambda path, flags: os.open(path, flags, 0o700)) as f:
        f.write("true\n")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    for _ in range(rounds):
        os.waitpid(os.posix_spawnp("sh", ["sh", "-c", script], os.environ), 0)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1000 / rounds


class Bench:
    def __init__(self, workers):
        self.directory = tempfile.TemporaryDirectory(prefix="ssmd-bench.")
        # The service has disks of its own: what the hub syncs must not wait in the same queue.
        self.elsewhere = tempfile.TemporaryDirectory(prefix="ssmd-bench.", dir=MEMORY if os.path.isdir(MEMORY) else None)
        self.hub = harness.Hub(os.path.join(self.elsewhere.name, "hub"), "--log", "warning")
        # The pauses of production: tests are more impatient, and here the hub has no control channel.
        self.agent = harness.Agent(os.path.join(self.directory.name, "root"), self.hub, workers=workers,
                                   BackoffCapSeconds=300)
        began = time.monotonic()
        self.agent.start()
        harness.wait_for("the first poll", lambda: "knows this node" in self.agent.log(), every=0.002)
        self.first_poll_s = time.monotonic() - began
        self.agent.wait_until_serving()

    def end(self):
        began = time.monotonic()
        self.agent.terminate()
        stop_s = time.monotonic() - began
        self.agent.end()
        self.hub.stop()
        self.directory.cleanup()
        self.elsewhere.cleanup()
        return stop_s

    def times(self, message_id):
        """Delivery and terminal reply, as the hub saw them."""
        record = self.agent.record(message_id)
        return record.of_kind("delivered")[0]["At"], record.terminal[0]["At"]


def footprint(n):
    seconds = n or 60
    b = Bench(5)
    pid = b.agent.process.pid
    time.sleep(3)  # the start is over; now nothing happens
    before, cpu = switches(pid), cpu_seconds(pid)
    time.sleep(seconds)
    after, cpu = switches(pid), cpu_seconds(pid) - cpu
    pss, dirty = rollup(pid, "Pss", "Private_Dirty")
    message = b.hub.send(harness.document(f"echo up > {b.directory.name}/up; sleep 3600"))
    harness.wait_for("the script", lambda: os.path.exists(f"{b.directory.name}/up"))
    runner = [p for p in descendants(pid)[1:] if "ssmd-runner" in os.readlink(f"/proc/{p}/exe")][0]
    runner_pss, private_dirty, private_clean = rollup(runner, "Pss", "Private_Dirty", "Private_Clean")
    b.hub.cancel(message)
    b.agent.wait_terminal(message)
    sizes = {name: os.path.getsize(harness.program(folder, name)) for folder, name in
             (("agent", "ssmd"), ("executors", "ssmd-runner"), ("ctl", "ssmctl"))}
    first_poll_s = b.first_poll_s
    stop_s = b.end()
    return {"ssmd idle PSS, KiB": (pss, REFERENCE["idle_pss_kib"], 14 * 1024),
            "ssmd idle private dirty, KiB": (dirty, 18120, None),
            "runner private, KiB": (private_dirty + private_clean, None, 1024),
            "runner PSS, KiB": (runner_pss, None, None),
            "idle wake-ups per second": (round((after - before) / seconds, 2), REFERENCE["idle_switches_per_s"], 1),
            "idle processor time per minute, s": (round(cpu * 60 / seconds, 3), 0.019, None),
            "start to first poll, s": (round(first_poll_s, 3), REFERENCE["first_poll_s"], None),
            "SIGTERM to exit, s": (round(stop_s, 3), REFERENCE["stop_s"], None),
            "programs, bytes (unstripped)": (sum(sizes.values()), REFERENCE["binaries"], None)}


def latency(n):
    n = n or 50
    b = Bench(5)
    pid = b.agent.process.pid
    floors, forks, commits = floor(b.agent.state_dir, n)
    spent, times = cpu_seconds(pid), []
    for _ in range(n):
        message = b.hub.send(harness.document("true"))
        b.agent.wait_terminal(message, every=0.05)
        begun, ended = b.times(message)
        times.append((ended - begun) * 1000)
    cpu = (cpu_seconds(pid) - spent) * 1000 / n
    two_shells = shells(b.directory.name, n)
    b.end()
    p50 = quantile(times, .5)
    return {"floor p50, ms (fork+exec+wait, three synced commits)": (round(quantile(floors, .5), 2), None, None),
            "  of it fork+exec+wait, ms": (round(quantile(forks, .5), 2), None, None),
            "  of it three commits, ms": (round(quantile(commits, .5), 2), None, None),
            "delivered to terminal reply p50, ms": (round(p50, 2), REFERENCE["p50_ms"], None),
            "  p90, ms": (round(quantile(times, .9), 2), None, None),
            "  p99, ms": (round(quantile(times, .99), 2), 250, None),
            "p50 as a multiple of the floor": (round(p50 / quantile(floors, .5), 2), None, 3),
            "processor time per command, ms": (round(cpu, 2), REFERENCE["cpu_ms"], None),
            "  of it the script's two shells, ms": (round(two_shells, 2), None, None)}


def burst(b, n):
    """All at once; the span from the first delivery to the last terminal reply, in seconds. The hub is asked seldom: it
    shares the processors with what is measured."""
    messages = [b.hub.send(harness.document("true")) for _ in range(n)]
    for message in reversed(messages):
        b.agent.wait_terminal(message, every=0.25)
    spans = [b.times(message) for message in messages]
    return max(end for _, end in spans) - min(begin for begin, _ in spans)


def peak_memory(b, n):
    """The same once more, watched, which costs as much as the commands do: PSS over all processes, and how many."""
    peak, done = (0, 0), threading.Event()

    def watch():
        nonlocal peak
        while not done.is_set():
            pids = descendants(b.agent.process.pid)
            peak = max(peak, (sum(rollup(p, "Pss")[0] for p in pids), len(pids)))
            done.wait(0.02)

    watcher = threading.Thread(target=watch)
    watcher.start()
    burst(b, n)
    done.set()
    watcher.join()
    return peak


def throughput(n):
    n = n or 200
    b = Bench(n)
    pid = b.agent.process.pid
    floors, _, _ = floor(b.agent.state_dir, 20)
    spent = cpu_seconds(pid)
    wall = burst(b, n)
    cpu = cpu_seconds(pid) - spent
    commits = b.agent.status()["journal"]["n_commits"]
    peak, n_processes = peak_memory(b, n)
    b.end()
    return {"commands at once": (n, 200, None),
            "from the first delivery to the last terminal reply, s": (round(wall, 2), 19.6, None),
            "commands per second": (round(n / wall, 1), REFERENCE["per_second"], None),
            "one at a time at the floor, commands per second": (round(1000 / quantile(floors, .5), 1), None, None),
            "processor time per command, ms": (round(cpu * 1000 / n, 2), 68, None),
            "peak PSS of all processes, KiB": (peak, REFERENCE["peak_pss_kib"], None),
            "  in so many processes": (n_processes, 53, None),
            "synced commits per command": (round(commits / n, 2), None, 6)}


def update_once(source, n):
    """One good update under a message every few milliseconds: the longest time between two deliveries, and how long
    the update took, in seconds."""
    world = harness.World()
    try:
        agent = whole_update.SlotAgent(world, release=source).start().wait_until_serving()
        agent.wait_known()
        command, messages, begin = agent.send_update(version=whole_update.NEW), [], time.monotonic()
        while agent.link("proven") != whole_update.NEW or not messages or time.monotonic() - begin < 1:
            messages.append(agent.hub.cancel(f"aws.ssm.{uuid.uuid4()}.{harness.INSTANCE}"))
            harness.check(time.monotonic() - begin < 120, f"update {n} did not end: {agent.tell()}")
            time.sleep(0.01)
        agent.wait_invocation(command)
        took = time.monotonic() - begin
        events = {message["MessageId"]: harness.Record(message) for message in agent.hub.state()["Messages"]}
        at = sorted(event["At"] for message in messages for event in events[message].of_kind("delivered"))
        agent.terminate()
        return max(after - before for before, after in zip(at, at[1:])), took
    finally:
        world.end()


def update(n):
    with tempfile.TemporaryDirectory(prefix="ssmd-bench.") as directory:
        source = whole_update.Release(directory, versions=(whole_update.NEW,), bad={})
        runs = [update_once(source, i) for i in range(n or 5)]
    gaps, spans = zip(*runs)
    return {"service gap of a good update p50, s": (round(quantile(gaps, .5), 3), None, 2),
            "  worst, s": (round(max(gaps), 3), None, 2),
            "command to terminal reply, proving for 1 s, p50, s": (round(quantile(spans, .5), 2), None, None)}


def main():
    kinds = {"footprint": footprint, "latency": latency, "throughput": throughput, "update": update}
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("kind", choices=kinds)
    parser.add_argument("-n", type=int, default=0, help="commands (footprint: idle seconds; update: updates)")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    os.environ["PATH"] = PATH
    for folder, name in (("agent", "ssmd"), ("hub", "ssmhub"), ("bench", "bench_floor")):
        harness.program(folder, name)  # says what is missing before anything is started
    rows = kinds[args.kind](args.n)
    if args.json:
        print(json.dumps({name.strip(): {"value": v, "reference": r, "goal": g} for name, (v, r, g) in rows.items()}))
        return
    print(f"{'':56}{'ssmd':>12}{'reference':>12}{'goal':>10}")
    for name, (value, reference, goal) in rows.items():
        print(f"{name:56}{value:>12}{'' if reference is None else reference:>12}{'' if goal is None else goal:>10}")
    print("The reference's figures were taken on another machine of two cores: compare the orders of magnitude.")


if __name__ == "__main__":
    main()
