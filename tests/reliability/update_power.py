"""Updates that end with the loss of power: everything ends at a sync, a random part of what was not synced survives
in var/ and opt/, and the machine comes back in another boot. Judged like tests/crash/kill/updates.py (versions that
are stand-ins) and whole_updates.py (the real programs, against a hub)."""
import os
import random

import power  # first: it says where the others are
import updates
import whole_update
import whole_updates
from disk import remove_tree
from harness import check

whole_update.BUILT["ssmd-runner"] = ("tests/lib", "ssmd-runner-dynamic")  # the layer gets under no static program

NEVER = 1 << 30


class Loss:
    """The n-th sync is the one that is not performed any more; of `n_images` disks the last one is lived on with."""

    def __init__(self, at, seed, n_images):
        self.at, self.n_images = at or NEVER, n_images
        self.random = random.Random(seed)
        self.power, self.place, self.images = None, "", 0

    def begin(self, directory, root):
        self.power = power.Power(directory, root, die_at=self.at)
        return self.power.environment

    def end(self, look):
        """Everybody is dead. `look` is asked of each disk."""
        disk = self.power.follow()
        last = self.power.entries[-1] if self.power.entries else None
        who = next((e.name for e in self.power.entries if e.kind == 1 and last and e.pid == last.pid), "?")
        self.place = f"sync {self.power.n_syncs} of {self.at}, of {who}"
        for luck in power.lucks(self.random, self.n_images):
            disk.image(luck, self.power.root)
            remove_tree(os.path.join(self.power.root, "run"))
            remove_tree(self.power.directory)
            self.images += 1
            look(f"disk {self.images}: chance {luck.chance}, {luck.order}")

    def programs(self):
        return {entry.name for entry in power.read_log(self.power.log) if entry.kind == 1}


class StandInRun(updates.Run):
    """Of the updater, its supervisor and its guard, between stand-ins."""

    def __init__(self, behaviour, at, seed=1, n_images=3):
        super().__init__(behaviour, "power", at)
        self.loss = Loss(at, seed, n_images)

    def begin(self):
        # The order stands there before the recording begins: here it is not the agent that writes it.
        self.machine.write_order()
        self.machine.supervise(**self.loss.begin(self.path("power"), self.machine.root))

    @property
    def has_died(self):
        return self.loss.power is not None and self.loss.power.is_dead

    def revive(self):
        machine = self.machine
        self.loss.power.cut()
        machine.lose_power()
        self.loss.end(self.look_at)
        self.place = self.loss.place
        self.is_over = True
        machine.supervise()

    def look_at(self, disk):
        """What `early` means, on every disk; and the links lead to versions that are there, whole."""
        before = len(self.crimes)
        self.look()
        machine = self.machine
        for name in ("current", "proven"):
            version = machine.link(name)
            if version is None or not os.path.isfile(os.path.join(machine.slots, "versions", version, "bin/ssmd")):
                self.accuse("nobody", f"{name} leads to {version}, which is not there")
        done = machine.run("status", "--json")
        if done.returncode != 0:
            self.accuse("nobody", f"ssmd-updater status: {done.stderr[-200:]}")
        self.crimes[before:] = [(kind, f"{text} ({disk})") for kind, text in self.crimes[before:]]


class WholeRun(whole_updates.Run):
    """Of everything: the agent, its runner, the stager, the updater and the new version's agent."""

    def __init__(self, version, at, seed=1, n_images=3):
        super().__init__(f"an update to {version}", at, True)
        self.version = version
        self.loss = Loss(at, seed, n_images)

    def live(self, world):
        release = whole_updates.RELEASE.get()
        agent = whole_update.SlotAgent(world, release=release, UpdateDeadlineSeconds=15)
        self.agent = agent
        # The stager confines itself: the recording has to be where it may write.
        agent.environment = self.loss.begin(os.path.join(agent.state_dir, "update/power"), agent.root)
        agent.start()
        self.ask(world, agent, self.version)

    def is_time_to_die(self):
        return self.loss.power.is_dead

    def lose_power(self, agent):
        self.loss.power.cut()
        agent.lose_power()
        agent.process.wait()
        self.loss.end(self.look_at)
        agent.environment = {}

    def judge(self, world, agent, update, version):
        super().judge(world, agent, update, version)
        terminal = agent.record(update).terminal[0]
        check(version != whole_updates.NEW or terminal["Status"] == "Success", f"a good update: {terminal}")

    def judge_rest(self, world, agent):
        self.loss.power.disarm()  # what is lost when it goes down at the end is not looked at any more
        if self.loss.power.is_dead and not self.has_died:
            self.has_died = True
            self.lose_power(agent)
            agent.start()
        super().judge_rest(world, agent)

    def look_at(self, disk):
        for name in ("current", "proven"):
            version = self.agent.link(name)
            path = os.path.join(self.agent.root, "opt/ssmd/versions", str(version), "bin/ssmd")
            check(os.path.isfile(path), f"{name} leads to {version}, which is not there ({disk}, {self.loss.place})")
