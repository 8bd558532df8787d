"""The root of a Debian with systemd, for systemd_machine.py: debootstrap, and the libraries that ssmd needs. Made once for each
recipe (this file) and kept in build/machine/; needs root and the distribution's mirror."""
import fcntl
import glob
import hashlib
import os
import shutil
import subprocess

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
PACKAGES = ("systemd-sysv", "dbus", "procps", "libcurl4", "libwslay1", "libuv1", "libsqlite3-0", "libcjson1", "libexpat1",
            "libpcre2-8-0", "libyaml-0-2", "libarchive13", "libssl3")
LIMIT_S = 900
FILES = {
    "etc/hostname": "machine\n",
    "etc/hosts": "127.0.0.1 localhost machine\n",
    "etc/machine-id": "5d1c2b7be3f94d8d8a1f3a2c6c3b9a10\n",
    "etc/fstab": "",
    # What services said is kept over boots.
    "etc/systemd/journald.conf.d/kept.conf": "[Journal]\nStorage=persistent\nRateLimitIntervalSec=0\nSyncIntervalSec=1s\n",
    # What is lost with the power is not what is tried here.
    "etc/dpkg/dpkg.cfg.d/quick": "force-unsafe-io\n",
}
# What only takes time here.
MASKED = ("console-getty.service", "getty.target", "apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer",
          "e2scrub_reap.service", "fstrim.timer", "systemd-tmpfiles-clean.timer", "systemd-update-utmp.service",
          "systemd-update-utmp-runlevel.service", "systemd-journal-flush.service", "systemd-sysusers.service",
          "systemd-modules-load.service", "dev-hugepages.mount", "sys-kernel-debug.mount", "sys-kernel-tracing.mount",
          "sys-fs-fuse-connections.mount")


class Unavailable(Exception):
    """This machine cannot make it."""


def run(*words):
    try:
        done = subprocess.run(["timeout", "-s", "KILL", str(LIMIT_S), *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, check=False, env={**os.environ, "LC_ALL": "C"})
    except FileNotFoundError as error:
        raise Unavailable(str(error)) from None
    if done.returncode:
        raise Unavailable(f"{' '.join(words[:2])} ended with {done.returncode}: {done.stdout.strip()[-300:]}")


def suite():
    """Its release is the host's: it runs the host's programs with its own libraries."""
    with open("/etc/os-release", encoding="utf-8") as f:
        release = dict(line.rstrip("\n").replace('"', "").split("=", 1) for line in f if "=" in line)
    if release.get("ID") != "debian":
        raise Unavailable(f"the machine is a Debian of the release that ssmd was built on, and this is {release.get('PRETTY_NAME')}")
    return release["VERSION_CODENAME"]


def fill(root):
    # What it mounts is gone when it is, also where it was killed.
    run("unshare", "--mount", "debootstrap", "--variant=minbase", "--include=" + ",".join(PACKAGES), suite(), root)
    for path in ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/locale"):
        shutil.rmtree(os.path.join(root, path), ignore_errors=True)
    for name, text in FILES.items():
        path = os.path.join(root, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="ascii") as f:
            f.write(text)
    os.makedirs(os.path.join(root, "var/log/journal"), exist_ok=True)
    run("chroot", root, "systemctl", "mask", *MASKED)
    run("chroot", root, "systemctl", "set-default", "multi-user.target")


def image():
    """The directory; nobody writes to it."""
    with open(__file__, "rb") as f:
        digest = hashlib.sha256(f.read()).hexdigest()[:16]
    place = os.environ.get("SSMD_MACHINE_DIR") or os.path.join(TOP, "build/machine")
    root = os.path.join(place, digest)
    if os.path.exists(root):
        return root
    if os.geteuid():
        raise Unavailable("a root for debootstrap is made by root only")
    os.makedirs(place, exist_ok=True)
    with open(os.path.join(place, "lock"), "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two suites may ask at once
        if not os.path.exists(root):
            for stale in glob.glob(os.path.join(place, "*[0-9a-f]")) + glob.glob(os.path.join(place, "*.new")):
                shutil.rmtree(stale, ignore_errors=True)
            fill(root + ".new")
            os.rename(root + ".new", root)
    return root
