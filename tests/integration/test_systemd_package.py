#!/usr/bin/python3
"""Our own Debian package on a machine with systemd: installed, upgraded while a script runs, by hand and by an update that the
service asks for, removed, installed again, purged."""
import os
import re
import shutil
import subprocess
import tempfile

import harness
import systemd_machine
from harness import Suite, check, equal, once
from packaged import write
from systemd_node import Node
from whole_update import NEW, OLD, STEP, Shared, programs

RELEASE = Shared(versions=(NEW,), bad={})
suite = Suite("the package under systemd", jobs=2)


def run(*words):
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    equal(f"the status of {' '.join(words)}: {done.stdout[-2000:]}", done.returncode, 0)
    return done.stdout


@once
def packages():
    """Version -> the bytes of its package: what cpack makes of this build, and the same as the version after it."""
    with tempfile.TemporaryDirectory(prefix="ssmd-package-") as directory:
        shutil.copy(os.path.join(harness.BUILD, "CPackConfig.cmake"), directory)
        run("cpack", "--config", os.path.join(harness.BUILD, "CPackConfig.cmake"), "-G", "DEB", "-B", directory)
        [made] = [name for name in os.listdir(directory) if name.endswith(".deb")]
        check(made.startswith(f"ssmd_{OLD}-1_"), f"the package is called {made}")
        tree, later = os.path.join(directory, "tree"), os.path.join(directory, "later.deb")
        run("dpkg-deb", "-R", os.path.join(directory, made), tree)
        for name, data in programs(NEW).items():
            place = "bin" if name == "bin/ssmctl" else "libexec/ssmd"
            path = os.path.join(tree, "usr", place, os.path.basename(name))
            check(os.path.exists(path), f"the package has no {path}")
            write(path, data, 0o755)
        control = os.path.join(tree, "DEBIAN/control")
        with open(control, encoding="utf-8") as f:
            text = re.sub(r"^Version: .*$", f"Version: {NEW}-1", f.read(), flags=re.M)
        write(control, text)
        os.unlink(os.path.join(tree, "DEBIAN/md5sums"))
        run("dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "-b", tree, later)
        found = {}
        for version, path in ((OLD, os.path.join(directory, made)), (NEW, later)):
            with open(path, "rb") as f:
                found[version] = f.read()
        return found


class PackagedNode(Node):
    """ssmd comes by dpkg."""

    def put_package(self, version):
        self.machine.write(f"/root/ssmd_{version}.deb", packages()[version])
        return f"/root/ssmd_{version}.deb"

    def install(self, version=OLD):
        return self.machine.must(f"dpkg -i {self.put_package(version)} 2>&1")

    def install_first(self):
        self.configure()
        self.install()
        self.machine.wait_until("the service to be active", "systemctl is-active -q ssmd && systemctl is-enabled -q ssmd")
        # journald knows the level of what ssmd says.
        self.machine.wait_until("ssmd to miss its identity", "journalctl -q -u ssmd -p err -o cat | grep -q '^2.* error *identity'")
        self.register()
        return self.wait_working()

    def running(self):
        """Version of the program that runs."""
        return self.status().get("ssmd", {}).get("version")


@suite.case
def a_script_runs_through_an_upgrade_and_a_removal(world):
    node = PackagedNode(world).install_first()
    first, second = node.running_script(7), node.running_script(8)
    before = node.agents()
    node.install(NEW)
    node.wait_working()
    check(node.agents() != before, "the upgrade did not restart ssmd")
    equal("the version that runs", node.running(), NEW)
    node.let_go(7)
    equal("the code of a script that ran through the upgrade", node.wait_code(first), 7)
    said = node.machine.must("dpkg -r ssmd 2>&1")
    check("scripts that run go on" in said, said)
    equal("agents after the removal", node.agents(), [])
    equal("what became of the unit", node.machine.ask("systemctl is-active ssmd")[1].strip(), "inactive")
    node.let_go(8)
    node.machine.wait_until("the script to end", "! pgrep -x ssmd-runner")
    node.install(NEW)
    node.wait_working()
    equal("the code of a script that ended while nothing was installed", node.wait_code(second), 8)
    node.machine.reset()
    node.wait_working()


@suite.case
def what_an_administrator_has_decided_stays(world):
    """A configuration from before the first installation, and a service that is stopped and disabled."""
    node = PackagedNode(world).install_first()
    config = node.machine.must("cat /etc/ssmd/ssmd.json")
    check(node.hub.url in config, config)
    node.machine.must("systemctl disable --now ssmd 2>&1")
    node.install(NEW)
    equal("is it active, is it enabled", [node.machine.ask(f"systemctl is-{what} ssmd")[1].strip() for what in ("active", "enabled")],
          ["inactive", "disabled"])
    said = node.machine.must("dpkg -P ssmd 2>&1")
    check("removing /var/lib/ssmd" in said, said)
    left = node.machine.must("find / -xdev \\( -path /proc -o -path /sys -o -path /root -o -path /var/log -o -path '/var/lib/dpkg/*' -o -path"
                             " '/var/cache/*' \\) -prune -o -name '*ssm[dc]*' -print; systemctl list-unit-files 'ssmd*' --no-legend || true")
    equal("what is left after a purge", left, "")
    equal("units that failed", node.machine.must("systemctl --failed --no-legend --plain").strip(), "")


@suite.case
def an_update_that_the_service_asks_for_drives_apt(world):
    node = PackagedNode(world, RELEASE.get(), UpdatePackageManager="drive").install_first()
    path = node.put_package(NEW)
    node.machine.must(f"mkdir /srv/repo && mv {path} /srv/repo/ssmd.deb && cd /srv/repo && (dpkg-deb -f ssmd.deb | sed '/^ *$/d'; echo Filename: ./ssmd.deb;"
                      " echo Size: $(stat -c %s ssmd.deb); echo SHA256: $(sha256sum ssmd.deb | cut -d' ' -f1); echo) >Packages &&"
                      " echo 'deb [trusted=yes] file:/srv/repo ./' >/etc/apt/sources.list && rm -f /etc/apt/sources.list.d/*")
    script = node.running_script(7)
    update = node.send_update(NEW)
    record = node.wait_terminal(update)
    equal(f"the status of the update ({record.results})", record.terminal[0]["Status"], "Success")
    node.wait_working()
    equal("the version that runs", node.running(), NEW)
    equal("what dpkg says", node.machine.must("dpkg-query -W -f '${db:Status-Status} ${Version}' ssmd"), f"installed {NEW}-1")
    node.let_go(7)
    equal("the code of the script that ran through it", node.wait_code(script), 7)
    check(STEP in record.results, f"{record.results}")


if __name__ == "__main__":
    reason = systemd_machine.why_not()
    if reason:
        print(f"1..0 # SKIP {reason}\n0 passed, 0 failed, 1 skipped")
        raise SystemExit(0)
    systemd_machine.own_network()
    raise SystemExit(suite.main())
