#!/usr/bin/python3
"""ssmd-stager and what is around it: mirrors that fail in every way, TLS, a proxy, wrong clocks, disks that are full or
read-only, what is configured."""
import contextlib
import os
import random
import subprocess

import update_source
from harness import Suite, check, equal, own_tls, program, wait_for
from stager_node import EVERYTHING, METADATA, Node, node, node_of, redirect, silent, stalled
from update_source import FILE_NAME, Mirror, Source, contents, package

suite = Suite("mirrors and machines in the way", jobs=4)

# ---- mirrors ----

def code_of(name):
    return "ErrorTargetPkgDownload" if name == FILE_NAME else "ErrorDownloadManifest_d3"


def faulty(world, fault, *words, names=EVERYTHING, retry=None, code=None, **fields):
    """Each file of the source goes wrong in the same way; at last it goes right."""
    n = node(world, served=True)
    for name in names:
        n.mirror.faults = {name: fault}
        answer = n.refused("fetch", *words, code=code or code_of(name), **fields)
        if retry is not None:
            equal(f"worth another try ({answer['text']})", answer["is_retry_worthwhile"], "1" if retry else "0")
    n.mirror.faults = {}
    n.mirror.hurry.set()
    n.all()


def status(number, **headers):
    return lambda handler: handler.send(number, b"<html>" + b"x" * 3000, **headers)


@suite.case
def a_mirror_that_fails_is_worth_another_try(world):
    faulty(world, status(500), "status 500", names=("2.root.json", FILE_NAME), retry=True)


@suite.case
def a_mirror_that_is_busy_is_worth_another_try(world):
    faulty(world, status(503, **{"Retry-After": "0"}), "status 503", names=("manifest.json", FILE_NAME), retry=True)


@suite.case
def a_mirror_that_throttles_is_worth_another_try(world):
    faulty(world, status(429), "status 429", names=("timestamp.json", FILE_NAME), retry=True)


@suite.case
def what_is_not_there_is_not_asked_for_again(world):
    for number in (404, 403, 410):
        n = node_of(world, f"n{number}")
        for name in ("timestamp.json", "manifest.json", FILE_NAME):
            n.mirror.faults = {name: status(number)}
            n.mirror.asked.clear()
            answer = n.refused("fetch", f"status {number}", name, code=code_of(name))
            equal("times asked", len([path for path in n.mirror.asked if path.endswith(name)]), 1)
            equal("worth another try", answer["is_retry_worthwhile"], "0")


@suite.case
def other_answers_are_no_files(world):
    for number in (204, 206, 400, 401, 407, 304):
        n = node_of(world, f"n{number}")
        for name in ("timestamp.json", FILE_NAME):
            n.mirror.faults = {name: status(number)}
            n.refused("fetch", name, code=code_of(name))


@suite.case
def a_page_to_log_in_is_no_metadata(world):
    faulty(world, status(200), code="ErrorDownloadManifest_d6", names=("2.root.json", "timestamp.json"), retry=False)


@suite.case
def a_page_to_log_in_is_no_package(world):
    faulty(world, status(200), names=(FILE_NAME,), retry=False)


@suite.case
def a_failure_that_passes_is_waited_out(world):
    n = node(world, served=True)
    left = dict.fromkeys(EVERYTHING, 2)

    def fault(name):
        def answer(handler):
            left[name] -= 1
            return handler.send(500) if left[name] >= 0 else handler.send_file()
        return answer
    n.mirror.faults = {name: fault(name) for name in EVERYTHING}
    n.all()
    equal("failures", set(left.values()), {-1})


@suite.case
def redirects_are_followed_but_not_for_ever(world):
    n = node(world, served=True)
    os.makedirs(n.source.path("elsewhere"))
    os.rename(n.source.path("timestamp.json"), n.source.path("elsewhere/stamp"))
    n.mirror.faults = {"/timestamp.json": redirect("/elsewhere/stamp")}
    n.all()
    n = node_of(world, "loop")
    n.mirror.faults = {FILE_NAME: redirect(lambda handler: handler.path)}
    n.refused("fetch", FILE_NAME, code="ErrorTargetPkgDownload")
    n.mirror.faults = {"timestamp.json": redirect(lambda handler: handler.path)}
    n.refused("fetch", "timestamp.json", code="ErrorDownloadManifest_d3")


@suite.case
def a_redirect_to_another_scheme_is_not_followed(world):
    n = node(world, served=True)
    for to in (n.source.url + "/timestamp.json", "ftp://127.0.0.1/timestamp.json", "gopher://127.0.0.1/x", "//\x00",
               "data:text/plain,x"):
        n.mirror.faults = {"/timestamp.json": redirect(to)}
        n.refused("fetch", "timestamp.json", code="ErrorDownloadManifest_d3")


def truncated(handler):
    handler.send(200, b"x" * 100, length=5000)


def garbage(handler):
    handler.wfile.write(b"SSH-2.0-OpenSSH_9.2\r\n")
    handler.close_connection = True


def nothing(handler):
    handler.close_connection = True


@suite.case
def an_answer_that_breaks_off_is_worth_another_try(world):
    faulty(world, truncated, names=("timestamp.json", FILE_NAME), retry=True)


@suite.case
def an_answer_that_is_not_http_is_told(world):
    faulty(world, garbage, names=("timestamp.json", FILE_NAME), retry=True)


@suite.case
def an_empty_answer_is_told(world):
    faulty(world, nothing, names=("timestamp.json", FILE_NAME), retry=True)


def without_end(handler):
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    block = b"10000\r\n" + b"x" * 65536 + b"\r\n"
    while not handler.server_is_ending():
        handler.wfile.write(block)


@suite.case
def data_without_end_is_cut_off(world):
    faulty(world, without_end, "it may have", names=METADATA[:2], code="ErrorDownloadManifest_d6", retry=False)


@suite.case
def a_manifest_without_end_is_cut_off(world):
    faulty(world, without_end, "it may have", names=("manifest.json",), code="ErrorDownloadManifest_d4", retry=True)


@suite.case
def a_package_without_end_is_cut_off(world):
    faulty(world, without_end, "longer than the", names=(FILE_NAME,), retry=False)


@suite.case
def a_mirror_that_stalls_is_given_up(world):
    faulty(world, stalled, names=(FILE_NAME,), retry=True, stall_ms="1000")


@suite.case
def a_mirror_that_says_nothing_is_given_up(world):
    faulty(world, silent, names=("2.root.json",), retry=True, stall_ms="300")


def drip(handler):
    handler.send_response(200)
    handler.end_headers()
    while not handler.server_is_ending():
        handler.wfile.write(b"x")
        handler.wait(0.05)


@suite.case
def a_mirror_that_drips_ends_with_the_phase(world):
    n = node(world, served=True)
    for name, seconds in (("timestamp.json", 1), (FILE_NAME, 8)):  # there is time for what comes before the package
        n.mirror.faults = {name: drip}
        answer = n.refused("fetch", f"not done within {seconds} seconds", code=code_of(name), limit_ms=seconds * 1000)
        equal("worth another try", answer["is_retry_worthwhile"], "1")


@suite.case
def a_mirror_that_is_not_there_is_worth_another_try(world):
    n = node(world, served=True)
    n.mirror.server.server_close()
    answer = n.refused("fetch", "127.0.0.1", code="ErrorDownloadManifest_d3")
    equal("worth another try", answer["is_retry_worthwhile"], "1")


@suite.case
def a_source_that_is_changed_meanwhile_is_read_again(world):
    n = node(world, served=True)
    calls = []

    def change(handler):
        calls.append(handler.path)
        if len(calls) == 1:  # between its timestamp and its manifest
            n.source.add("1.2.0", package("1.2.0")).publish()
        return handler.send_file()
    n.mirror.faults = {"manifest.json": change}
    equal("target", n.get("fetch")["target"], "1.2.0")
    equal("manifests read", len(calls), 2)


@suite.case
def a_manifest_of_another_timestamp_is_refused(world):
    n = node(world)
    with open(n.source.path("manifest.json"), "rb") as f:
        old = f.read()
    n.source.add("1.2.0", package("1.2.0")).publish()
    n.source.put("manifest.json", old)
    answer = n.refused("fetch", "not the manifest that timestamp.json names", code="ErrorDownloadManifest_d4")
    equal("worth another try", answer["is_retry_worthwhile"], "1")


# ---- on the way to the source ----

def with_tls(world, mirror):
    """The same mirror behind a certificate for this address; returns the file of who signed it."""
    certificate, context = own_tls(world)
    mirror.server.socket = context.wrap_socket(mirror.server.socket, server_side=True)
    mirror.url = mirror.url.replace("http:", "https:")
    return certificate


@suite.case
def over_tls_the_mirror_must_be_one_that_is_trusted(world):
    n = node(world, served=True)
    plain = Mirror(world, n.source)
    certificate = with_tls(world, n.mirror)
    n.refused("fetch", "certificate", code="ErrorDownloadManifest_d3", source=n.mirror.url)
    n.fields.update(source=n.mirror.url, ca_file=certificate)
    n.mirror.faults = {"timestamp.json": redirect(f"{plain.url}/timestamp.json")}
    n.refused("fetch", "timestamp.json", code="ErrorDownloadManifest_d3")
    equal("asked without TLS", plain.asked, [])
    n.mirror.faults = {}
    n.all()


@suite.case
def a_proxy_is_used(world):
    n = node(world, served=True)
    n.fields["source"] = "http://updates.invalid/ssmd-updates"
    os.makedirs(n.source.path("http://updates.invalid"))
    os.symlink(n.source.directory, n.source.path("http:/updates.invalid/ssmd-updates"))
    n.all(environment={"http_proxy": n.mirror.url, "no_proxy": ""})
    check(any(path.startswith("http://updates.invalid/") for path in n.mirror.asked), f"the proxy was not asked: {n.mirror.asked}")


@suite.case
def a_source_that_ssmctl_made_is_read(world):
    site, data = world.path("site"), world.path(f"ssmd-1.1.0-linux-{update_source.ARCH}.tar.gz")
    with open(data, "wb") as f:
        f.write(package("1.1.0"))

    def release(*words):
        done = subprocess.run([program("ctl", "ssmctl"), "release", *words], capture_output=True, text=True, check=False)
        equal(f"ssmctl release {words}: {done.stdout} {done.stderr}", done.returncode, 0)
    os.makedirs(site)
    for role in ("root", "release", "timestamp"):
        release("keygen", world.path(f"{role}.pem"))
    release("root", site, "--root-key", world.path("root.pem.pub"), "--release-key", world.path("release.pem.pub"),
            "--timestamp-key", world.path("timestamp.pem.pub"))
    release("sign", site, "--key", world.path("root.pem"))
    release("add", site, data)
    release("sign", site, "--key", world.path("release.pem"))
    release("timestamp", site, "--key", world.path("timestamp.pem"))
    n = Node(world, Source(world.path("unused")))
    n.fields.update(source=f"file://{site}", root_file=os.path.join(site, "1.root.json"))
    n.all()
    equal("slots", os.listdir(n.versions), ["1.1.0"])


# ---- what is configured, and the machine ----

@suite.case
def a_source_that_is_no_url_of_a_directory_is_refused(world):
    n = node(world)
    for url, word in (("", "Ssmd.UpdateSource"), ("ftp://x/y", "not an https://"), ("/srv/updates", "not an https://"),
                      ("file://relative/path", "not an https://"), ("javascript:x", "not an https://"),
                      ("https://user:hush@updates.example/", "user or password"), ("https://x/y?key=z", "directory"),
                      ("https://x/y#z", "directory")):
        answer = n.refused("fetch", word, code="ErrorDownloadManifest_d1", source=url)
        check("hush" not in answer["text"], answer["text"])
        equal("worth another try", answer["is_retry_worthwhile"], "0")
        n.refused("check", word, code="ErrorDownloadManifest_d1", source=url)


@suite.case
def a_source_with_slashes_at_its_end_is_the_same_source(world):
    n = node(world)
    n.all(source=n.source.url + "//")


@suite.case
def without_a_root_file_nothing_is_believed(world):
    n = node(world)
    n.refused("fetch", world.path("no-such-root.json"), root_file=world.path("no-such-root.json"))
    with open(world.path("rubbish"), "wb") as f:
        f.write(b"{}")
    n.refused("fetch", code="ErrorDownloadManifest_d6", root_file=world.path("rubbish"))
    other = Source(world.path("other"))
    n.refused("fetch", "signed by", code="ErrorDownloadManifest_d6", root_file=other.root_file)


@suite.case
def a_clock_in_1970_is_told(world):
    n = node(world)
    n.source.write_root(1, issued=56 * 365, expires=57 * 365)
    os.replace(n.source.path("1.root.json"), n.source.root_file)
    n.source.publish(issued=56 * 365, expires=56.5 * 365, timestamp_expires=56.1 * 365)
    answer = n.refused("fetch", "clock", code="ErrorDownloadManifest_d6")
    check("set the clock" in answer["text"], answer["text"])


@suite.case
def a_clock_in_2100_is_told(world):
    n = node(world)
    n.source.write_root(1, issued=-75 * 365, expires=-74 * 365)
    os.replace(n.source.path("1.root.json"), n.source.root_file)
    n.source.publish(issued=-75 * 365, expires=-74.5 * 365, timestamp_expires=-74.9 * 365)
    n.refused("fetch", "expired", "clock says", code="ErrorDownloadManifest_d6")
    for days, words in ((-0.1, "timestamp.json"), (None, "manifest.json")):
        n = node_of(world, f"n{words}")
        n.source.publish(**({"timestamp_expires": days, "issued": -1} if days else {"expires": -0.1, "issued": -1}))
        n.refused("fetch", "expired", words, code="ErrorDownloadManifest_d6")


@suite.case
def metadata_that_expires_between_the_phases_is_refused(world):
    n = node(world)
    for seconds in (2, 4, 8, 16, 32):  # as long as a fetch takes here, and not much longer
        n.source.publish(timestamp_expires=seconds / 86400)
        if n.ask("fetch")["verdict"] == "ok":
            break
    wait_for("the timestamp to expire", lambda: n.ask("verify")["verdict"] == "fail")
    n.refused("verify", "expired", code="ErrorDownloadManifest_d6")


IS_ROOT = os.geteuid() == 0
NOT_ROOT = None if IS_ROOT else "only root may mount"


def mount(world, where, options, kind="tmpfs"):
    os.makedirs(where, exist_ok=True)
    subprocess.run(["mount", "-t", kind, "-o", options, "none", where], check=True)
    world.at_end.append(lambda: subprocess.run(["umount", "-l", where], check=True))


def a_full_disk_for_slots(world):
    n = node(world, UnpackedLength=8 << 20)
    mount(world, n.versions, "size=20m,mode=0755")
    n.get("fetch")
    n.get("verify")
    answer = n.refused("stage", "Insufficient available disk space", n.slots, "MiB", code="ErrorCreateUpdateFolder")
    equal("worth another try", answer["is_retry_worthwhile"], "0")
    subprocess.run(["mount", "-o", "remount,size=64m", n.versions], check=True)
    n.get("stage")


def a_disk_that_is_filled_meanwhile(world):
    """The manifest promises less than there is room for; somebody else takes the room while it is unpacked."""
    n = node(world, ("1.1.0", package("1.1.0", files={**contents("1.1.0"), "share/x": random.Random(1).randbytes(3 << 20)})),
             UnpackedLength=4 << 20)
    mount(world, n.versions, "size=24m,mode=0755,nr_inodes=8")
    n.get("fetch")
    n.get("verify")
    n.refused("stage", "No space left on device", code="ErrorCreateUpdateFolder")
    subprocess.run(["mount", "-o", "remount,nr_inodes=200", n.versions], check=True)
    n.get("stage")


def a_full_disk_for_state(world):
    n = node(world)
    mount(world, n.update, "size=8m,mode=0700")
    n.refused("fetch", "Insufficient available disk space", n.update, code="ErrorCreateUpdateFolder")
    subprocess.run(["mount", "-o", "remount,size=64m", n.update], check=True)
    n.all()


def a_disk_too_full_for_metadata(world):
    n = node(world)
    mount(world, n.update, "size=64m,mode=0700")
    with contextlib.suppress(OSError), open(os.path.join(n.update, "ballast"), "wb", buffering=0) as f:
        while f.write(bytes(65536)):
            pass
    n.refused("fetch", "No space left on device", "keep the metadata", code="ErrorDownloadManifest_d2")
    os.unlink(os.path.join(n.update, "ballast"))
    n.all()


def read_only_slots(world):
    n = node(world)
    subprocess.run(["mount", "--bind", n.slots, n.slots], check=True)
    world.at_end.append(lambda: subprocess.run(["umount", "-l", n.slots], check=True))
    subprocess.run(["mount", "-o", "remount,bind,ro", n.slots], check=True)
    n.get("fetch")
    n.get("verify")
    n.refused("stage", "Read-only file system", code="ErrorCreateUpdateFolder")
    subprocess.run(["mount", "-o", "remount,bind,rw", n.slots], check=True)
    n.get("stage")


def read_only_state(world):
    n = node(world)
    os.makedirs(n.update)
    subprocess.run(["mount", "--bind", n.update, n.update], check=True)
    world.at_end.append(lambda: subprocess.run(["umount", "-l", n.update], check=True))
    subprocess.run(["mount", "-o", "remount,bind,ro", n.update], check=True)
    n.refused("fetch", "Read-only file system", code="ErrorCreateUpdateFolder")
    n.get("check")
    subprocess.run(["mount", "-o", "remount,bind,rw", n.update], check=True)
    n.all()


def slots_mounted_noexec(world):
    n = node(world, UnpackedLength=1 << 20)
    mount(world, n.versions, "size=64m,mode=0755,noexec")
    n.until_refused("stage", "cannot be executed here", "noexec", code="ErrorInvalidPackage")


for function in (a_full_disk_for_slots, a_disk_that_is_filled_meanwhile, a_full_disk_for_state, a_disk_too_full_for_metadata,
                 read_only_slots, read_only_state, slots_mounted_noexec):
    suite.add(function.__name__.replace("_", " "), function, skip=NOT_ROOT)


@suite.case
def a_limit_of_file_sizes_is_a_full_disk(world):
    files = {**contents("1.1.0"), "share/x": random.Random(1).randbytes(1 << 20)}
    n = node(world, ("1.1.0", package("1.1.0", files=files)))
    n.refused("fetch", "File too large", code="ErrorTargetPkgDownload", prefix=("prlimit", "--fsize=100000"))
    n.get("fetch")
    n.get("verify")
    n.refused("stage", "File too large", code="ErrorCreateUpdateFolder", prefix=("prlimit", "--fsize=100000"))
    n.get("stage")


@suite.case
def slots_that_others_may_write_to_are_not_used(world):
    n = node(world)
    n.get("fetch")
    n.get("verify")
    for path in (n.slots, n.versions):
        os.chmod(path, 0o777)
        n.refused("stage", "writable by nobody else", code="ErrorFailedPrecondition")
        os.chmod(path, 0o755)
    n.get("stage")


@suite.case
def a_machine_without_slots_is_told(world):
    n = node(world)
    n.get("fetch")
    n.get("verify")
    n.refused("stage", "has no versions", code="ErrorFailedPrecondition", slots_dir=world.path("elsewhere"))


@suite.case
def state_that_others_may_write_to_is_not_used(world):
    n = node(world)
    os.makedirs(n.work(), mode=0o700)
    os.chmod(n.work(), 0o777)
    n.refused("fetch", "writable by nobody else", code="ErrorCreateUpdateFolder")
    os.rmdir(n.work())
    os.mkdir(world.path("elsewhere"))
    os.symlink(world.path("elsewhere"), n.work()[:-1])
    n.refused("fetch", "symbolic link", code="ErrorCreateUpdateFolder")
    equal("behind the link", os.listdir(world.path("elsewhere")), [])


if __name__ == "__main__":
    raise SystemExit(suite.main())
