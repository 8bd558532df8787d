"""The disk of a Debian for a virtual machine: debootstrap, the kernel of Debian's package, systemd, and the libraries that ssmd
needs. Built once for each recipe (this file) and kept in build/reliability/vm/; needs root and the distribution's mirror."""
import glob
import hashlib
import os
import shutil
import subprocess

import row

KERNEL = "linux-image-cloud-amd64"
PACKAGES = ("systemd-sysv", "udev", "dbus", "kmod", "procps", "iproute2", "curl", "libcurl4", "libwslay1", "libuv1",
            "libsqlite3-0", "libcjson1", "libexpat1", "libpcre2-8-0", "libyaml-0-2", "libarchive13", "libssl3")
MIB = 1200
LZ4_MAGIC = b"\x02\x21\x4c\x18"
TOOLS = ("debootstrap", "mkfs.ext4", "debugfs", "lz4", "qemu-system-x86_64", "nc")

FILES = {
    "etc/hostname": "machine\n",
    "etc/hosts": "127.0.0.1 localhost machine\n",
    "etc/machine-id": "5d1c2b7be3f94d8d8a1f3a2c6c3b9a10\n",
    "etc/fstab": "/dev/nvme0n1 / ext4 defaults 0 1\n",
    "etc/systemd/network/10-only.network":
        "[Match]\nType=ether\n[Network]\nAddress=10.0.2.15/24\nGateway=10.0.2.2\nLinkLocalAddressing=no\n",
    # The processor is emulated and may be shared with others: slow is no failure here.
    "etc/systemd/system.conf.d/slow.conf":
        "[Manager]\nDefaultTimeoutStartSec=900\nDefaultTimeoutStopSec=900\nDefaultDeviceTimeoutSec=900\n",
    # The log goes to the first serial line: it is there when the disk is not.
    "etc/systemd/journald.conf.d/serial.conf":
        "[Journal]\nStorage=volatile\nForwardToConsole=yes\nTTYPath=/dev/ttyS0\nMaxLevelConsole=info\n",
    # Only the network needs udev's help: a coldplug of everything takes as long as the rest of a boot.
    "etc/modules-load.d/network.conf": "virtio_pci\nvirtio_net\n",
    "etc/systemd/system/systemd-udev-trigger.service.d/network.conf":
        "[Service]\nExecStart=\nExecStart=udevadm trigger --type=devices --action=add --subsystem-match=net\n",
    # A shell for the test on the second serial line.
    "etc/systemd/system/shell-for-the-test.service":
        "[Unit]\nDescription=A shell on ttyS1\nDefaultDependencies=no\nAfter=systemd-remount-fs.service\n"
        "Conflicts=shutdown.target\nBefore=shutdown.target\n[Service]\n"
        "ExecStart=/bin/sh -c 'stty raw -echo; echo; echo READY $(cat /proc/sys/kernel/random/boot_id); exec /bin/sh'\n"
        "Restart=always\nRestartSec=0\nEnvironment=LC_ALL=C\n"
        "StandardInput=tty-force\nStandardOutput=tty\nStandardError=tty\nTTYPath=/dev/ttyS1\nTTYReset=no\n"
        "TimeoutStopSec=1\nSendSIGHUP=yes\n[Install]\nWantedBy=sysinit.target\n",
}
ENABLED = ("systemd-networkd.service", "shell-for-the-test.service")
# What takes an emulated processor seconds and has nothing to do with ssmd.
MASKED = ("getty@tty1.service", "serial-getty@ttyS0.service", "apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer",
          "e2scrub_all.timer", "e2scrub_reap.service", "fstrim.timer", "systemd-tmpfiles-clean.timer",
          "systemd-networkd-wait-online.service", "systemd-pstore.service", "systemd-random-seed.service",
          "systemd-update-utmp.service", "systemd-update-utmp-runlevel.service", "systemd-sysusers.service",
          "systemd-journal-flush.service", "systemd-binfmt.service", "systemd-hwdb-update.service", "systemd-network-generator.service",
          "systemd-machine-id-commit.service", "systemd-firstboot.service", "dev-hugepages.mount", "dev-mqueue.mount",
          "sys-kernel-debug.mount", "sys-kernel-tracing.mount", "sys-kernel-config.mount", "sys-fs-fuse-connections.mount",
          "modprobe@.service", "systemd-fsckd.socket", "systemd-initctl.socket", "systemd-journald-audit.socket")


class Unavailable(Exception):
    """This machine cannot build or run it."""


def run(*words, cwd=None):
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, cwd=cwd)
    if done.returncode:
        raise Unavailable(f"{' '.join(words)} ended with {done.returncode}: {done.stdout[-2000:]}")
    return done.stdout


def suite():
    """The guest is of the host's release: it runs the host's programs with its own libraries."""
    with open("/etc/os-release", encoding="utf-8") as f:
        release = dict(line.rstrip("\n").replace('"', "").split("=", 1) for line in f if "=" in line)
    if release.get("ID") != "debian" or os.uname().machine != "x86_64":
        raise Unavailable("the virtual machine is a Debian of the release that ssmd was built on: "
                          f"this is {release.get('PRETTY_NAME')} on {os.uname().machine}")
    return release["VERSION_CODENAME"]


def kernel_package():
    for line in run("apt-cache", "depends", KERNEL).splitlines():
        what, _, name = line.strip().partition("Depends: ")
        if not what and name.startswith("linux-image-"):
            return name
    raise Unavailable(f"{KERNEL} is not among the packages of this machine: try apt-get update")


def fill(root, work):
    run("debootstrap", "--variant=minbase", "--include=" + ",".join(PACKAGES), suite(), root)
    run("apt-get", "download", "-o", "APT::Sandbox::User=root", kernel_package(), cwd=work)
    kernel = os.path.join(work, "kernel")
    run("dpkg-deb", "-x", *glob.glob(os.path.join(work, "linux-image-*.deb")), kernel)
    modules = os.path.join(kernel, "lib/modules")
    run("cp", "-a", modules, os.path.join(root, "usr/lib/"))
    for release in os.listdir(modules):
        run("chroot", root, "depmod", release)
    shutil.rmtree(os.path.join(root, "var/cache/apt"), ignore_errors=True)
    for name, text in FILES.items():
        path = os.path.join(root, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="ascii") as f:
            f.write(text)
    generators = os.path.join(root, "etc/systemd/system-generators")
    os.makedirs(generators)
    for name in os.listdir(os.path.join(root, "usr/lib/systemd/system-generators")):
        if name != "systemd-fstab-generator":
            os.symlink("/dev/null", os.path.join(generators, name))
    run("chroot", root, "systemctl", "enable", *ENABLED)
    run("chroot", root, "systemctl", "mask", *MASKED)
    run("chroot", root, "systemctl", "set-default", "multi-user.target")
    return glob.glob(os.path.join(kernel, "boot/vmlinuz-*"))[0]


def unpack_kernel(path, to):
    """QEMU starts an ELF file directly. Left packed, the kernel would unpack itself over the code of the boot before, page by
    page: an emulated processor takes a minute for that after each reset."""
    with open(path, "rb") as f:
        data = f.read()
    begin = data.find(LZ4_MAGIC)
    if begin >= 0:  # what follows the packed kernel is no part of it, and lz4 says so when it is done
        done = subprocess.run(["lz4", "-dc"], input=data[begin:], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
        if done.stdout.startswith(b"\x7fELF"):
            data = done.stdout
    with open(to, "wb") as f:
        f.write(data)


def image():
    """(disk, kernel): a raw ext4 file that nobody may write to, and what boots it."""
    with open(__file__, "rb") as f:
        digest = hashlib.sha256(f.read()).hexdigest()[:16]
    place = os.path.join(row.results_directory(), "vm", digest)
    disk, kernel = os.path.join(place, "disk.raw"), os.path.join(place, "vmlinux")
    if not os.path.exists(disk):
        missing = [name for name in TOOLS if not shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin:/sbin")]
        if missing or os.geteuid():
            raise Unavailable(f"an image of Debian is made by root, with debootstrap, e2fsprogs, lz4, qemu-system-x86 and "
                              f"netcat-openbsd{'; missing here: ' + ', '.join(missing) if missing else ''}")
        shutil.rmtree(place, ignore_errors=True)
        work, root = os.path.join(place, "work"), os.path.join(place, "work/root")
        os.makedirs(root)
        unpack_kernel(fill(root, work), kernel)
        run("mkfs.ext4", "-q", "-F", "-d", root, disk + ".new", f"{MIB}M")
        shutil.rmtree(work)
        os.rename(disk + ".new", disk)
    return disk, kernel
