#!/usr/bin/python3
"""`ssmctl release`: what it makes, other tools verify; what they make, it believes; and what an operator does to an
update source from its first key to the rotation of all of them."""
import base64
import gzip
import hashlib
import json
import os
import subprocess

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

import update_source
from harness import Suite, check, equal, program
from update_source import ARCH, FILE_NAME, TYPES, Source, package

suite = Suite("ssmctl release", jobs=4)
ROLES = {"root": "root", "release": "release", "timestamp": "timestamp"}


class Site:
    """A directory that ssmctl alone makes, with keys beside it."""

    def __init__(self, world, name="site"):
        self.world, self.dir = world, world.path(name)

    def path(self, *names):
        return os.path.join(self.dir, *names)

    def run(self, *words, status=0):
        """ssmctl --json release ...; its answer."""
        done = subprocess.run([program("ctl", "ssmctl"), "--json", "release", *words], capture_output=True, text=True, check=False)
        equal(f"the exit status of release {' '.join(words)} ({done.stderr.strip()})", done.returncode, status)
        self.said = done.stderr
        return json.loads(done.stdout)

    def key(self, name):
        path = self.world.path(name + ".pem")
        if not os.path.exists(path):
            self.run("keygen", path)
        return path

    def root(self, *words, **status):
        return self.run("root", self.dir, *words, **status)

    def first_root(self, roots=("r1", "r2", "r3"), releases=("a", "b"), stamps=("t",)):
        words = []
        for option, names in (("--root-key", roots), ("--release-key", releases), ("--timestamp-key", stamps)):
            for name in names:
                words += [option, self.key(name) + ".pub"]
        self.root(*words)
        self.sign(*roots[:len(roots) // 2 + 1])
        return self

    def sign(self, *names, which=(), status=0):
        keys = [word for name in names for word in ("--key", self.key(name))]
        return self.run("sign", self.dir, *which, *keys, status=status)

    def add(self, version, data=None, *words, status=0):
        path = self.world.path(f"ssmd-{version}-linux-{ARCH}.tar.gz")
        with open(path, "wb") as f:
            f.write(data if data is not None else package(version))
        return self.run("add", self.dir, path, *words, status=status)

    def stamp(self, *names, status=0, more=()):
        keys = [word for name in names for word in ("--key", self.key(name))]
        return self.run("timestamp", self.dir, *keys, *more, status=status)

    def verify(self, *words, good=True):
        answer = self.run("verify", self.dir, *words, status=0 if good else 1)
        equal("the verdict", answer["good"], good)
        return " / ".join(f"{f['what']}: {f['text']}" for f in answer["findings"] if f["good"] == good)

    def payload(self, name):
        return json.loads(base64.b64decode(json.loads(self.read(name))["payload"]))

    def read(self, name):
        with open(self.path(name), "rb") as f:
            return f.read()


def publish(site, version="1.2.0", *words):
    site.add(version, None, *words)
    site.sign("a", "b")
    site.stamp("t")
    return site


def signed_bytes(envelope):
    kind, payload = envelope["payloadType"].encode(), base64.b64decode(envelope["payload"])
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def public_keys(site):
    """By keyid, from the root that is newest."""
    n = max(int(name.split(".")[0]) for name in os.listdir(site.dir) if name.endswith(".root.json"))
    return {k["KeyId"]: base64.b64decode(k["Public"]) for k in site.payload(f"{n}.root.json")["Keys"]}


# ---- other tools ----

@suite.case
def cryptography_verifies_what_ssmctl_signs(world):
    site = publish(Site(world).first_root())
    keys = public_keys(site)
    for name, n_signatures in (("1.root.json", 2), ("manifest.json", 2), ("timestamp.json", 1)):
        envelope = json.loads(site.read(name))
        equal(f"signatures of {name}", len(envelope["signatures"]), n_signatures)
        for s in envelope["signatures"]:
            public = keys[s["keyid"]]
            equal("the keyid", hashlib.sha256(public).hexdigest(), s["keyid"])
            key = ed25519.Ed25519PublicKey.from_public_bytes(public)
            key.verify(base64.b64decode(s["sig"]), signed_bytes(envelope))
            try:
                key.verify(base64.b64decode(s["sig"]), signed_bytes(envelope) + b"x")
                check(False, "a signature over something else was verified")
            except InvalidSignature:
                pass


@suite.case
def openssl_verifies_what_ssmctl_signs_and_ssmctl_signs_with_openssl_s_keys(world):
    site = Site(world)
    for name in ("r1", "a", "t"):
        path = world.path(name + ".pem")
        subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", path], check=True)
        subprocess.run(["openssl", "pkey", "-in", path, "-pubout", "-out", path + ".pub"], check=True)
    site.first_root(("r1",), ("a",), ("t",))
    site.add("1.2.0")
    site.sign("a")
    site.stamp("t")
    site.verify()
    for name, key in (("1.root.json", "r1"), ("manifest.json", "a"), ("timestamp.json", "t")):
        envelope = json.loads(site.read(name))
        for path, data in (("signed", signed_bytes(envelope)), ("sig", base64.b64decode(envelope["signatures"][0]["sig"]))):
            with open(world.path(path), "wb") as f:
                f.write(data)
        done = subprocess.run(["openssl", "pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", world.path(key + ".pem.pub"), "-in",
                               world.path("signed"), "-sigfile", world.path("sig")], capture_output=True, text=True, check=False)
        check(done.returncode == 0, f"{name}: {done.stdout}{done.stderr}")


@suite.case
def what_a_manifest_says_beside_what_is_known_stays_when_it_is_changed(world):
    source = Source(world.path("other")).add("1.1.0", package("1.1.0"), Notes={"text": "é"}, RolloutPercent=10)
    source.add("1.2.0", package("1.2.0"))
    source.publish(Channel="blue", RollbackFloor="1.0.0", Packages=[
        {"Name": "ssmd", "Owner": 7, "Files": [
            {"Name": FILE_NAME, "Os": ["linux"], "AvailableVersions": source.versions}]}])
    site = Site(world, "other")
    for words in (("1.1.0", "--rollout", "100"), ("--floor", "")):
        site.run("set", site.dir, *words)
    draft = json.loads(base64.b64decode(json.loads(site.read("manifest.draft"))["payload"]))
    [first] = draft["Packages"]
    versions = {v["Version"]: v for v in first["Files"][0]["AvailableVersions"]}
    equal("what is not known", (draft["Channel"], first["Owner"], first["Files"][0]["Os"], versions["1.1.0"]["Notes"]),
          ("blue", 7, ["linux"], {"text": "é"}))
    check("Notes" not in versions["1.2.0"], "one version's member came to another")
    check("RolloutPercent" not in versions["1.1.0"] and "RollbackFloor" not in draft, "what was taken out came back")
    site.add("1.3.0")
    draft = json.loads(base64.b64decode(json.loads(site.read("manifest.draft"))["payload"]))
    equal("after another version was added", draft["Channel"], "blue")


@suite.case
def ssmctl_believes_what_cryptography_signed(world):
    source = Source(world.path("other")).add("1.1.0", package("1.1.0")).publish()
    site = Site(world, "other")
    check("believed" in site.verify(), "nothing was said")
    shown = site.run("show", site.dir)
    equal("its version", shown["manifest"]["files"][0]["versions"][0]["version"], "1.1.0")
    source.publish(timestamp_expires=-0.001)
    check("expired" in site.verify(good=False), "it did not say why")


@suite.case
def a_key_file_is_pkcs8_and_secret(world):
    site = Site(world)
    path = site.key("k")
    equal("its mode", os.stat(path).st_mode & 0o7777, 0o600)
    with open(path, "rb") as f:
        private = serialization.load_pem_private_key(f.read(), None)
    with open(path + ".pub", "rb") as f:
        public = serialization.load_pem_public_key(f.read())
    raw = (serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    equal("the public key", public.public_bytes(*raw), private.public_key().public_bytes(*raw))
    before = open(path, "rb").read()
    site.run("keygen", path, status=1)
    equal("the key file", open(path, "rb").read(), before)
    os.chmod(path, 0o640)
    site.first_root()
    site.add("1.0.0")
    site.run("sign", site.dir, "--key", path, status=1)
    check("others than its owner" in site.said, site.said)
    site.run("sign", site.dir, "--key", site.key("a") + ".pub", status=1)
    check("private" in site.said and "secret" not in site.said, site.said)


@suite.case
def an_encrypted_key_is_refused_and_nothing_is_asked(world):
    site = Site(world).first_root()
    site.add("1.0.0")
    path = world.path("locked.pem")
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-aes256", "-pass", "pass:x", "-out", path], check=True)
    site.run("sign", site.dir, "--key", path, status=1)
    check("not encrypted" in site.said, site.said)
    subprocess.run(["openssl", "genpkey", "-algorithm", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", path], check=True)
    os.chmod(path, 0o600)
    site.run("sign", site.dir, "--key", path, status=1)
    check("Ed25519" in site.said, site.said)


# ---- an operator's work ----

@suite.case
def nothing_is_published_before_enough_have_signed(world):
    site = Site(world)
    site.root(*[w for o, n in (("--root-key", "r1"), ("--root-key", "r2"), ("--root-key", "r3"), ("--release-key", "a"),
                               ("--release-key", "b"), ("--timestamp-key", "t")) for w in (o, site.key(n) + ".pub")])
    equal("what is there", sorted(os.listdir(site.dir)), ["root.draft"])
    equal("signatures", site.sign("r3")["files"][0]["n_signatures"], 1)
    equal("signed twice by one", site.sign("r3")["files"][0]["n_signatures"], 1)
    site.sign("a", status=1)
    check("none that the root gives the role root" in site.said, site.said)
    equal("what is there", sorted(os.listdir(site.dir)), ["root.draft"])
    equal("published", site.sign("r1")["files"][0]["published"], "1.root.json")
    equal("what is there", sorted(os.listdir(site.dir)), ["1.root.json"])
    site.add("1.2.0")
    equal("what is there", sorted(os.listdir(site.dir)), ["1.root.json", "manifest.draft", "ssmd"])
    site.sign("a")
    site.stamp("t", status=1)
    check("1 of the keys" in site.said and "must be by 2" in site.said, site.said)
    site.sign("b")
    site.stamp("a", status=1)
    check("timestamp.json" not in os.listdir(site.dir) and "manifest.json" not in os.listdir(site.dir), "it was published")
    site.stamp("t")
    equal("what is there", sorted(os.listdir(site.dir)), ["1.root.json", "manifest.json", "ssmd", "timestamp.json"])
    for name in ("1.root.json", "manifest.json", "timestamp.json", f"ssmd/1.2.0/{FILE_NAME}"):
        equal(f"the mode of {name}", os.stat(site.path(name)).st_mode & 0o444, 0o444)
    site.verify()


@suite.case
def a_timestamp_is_renewed_while_the_next_manifest_waits_for_signatures(world):
    site = publish(Site(world).first_root())
    before = site.read("manifest.json")
    site.add("1.3.0")
    site.sign("a")
    answer = site.stamp("t")
    equal("published", [f["published"] for f in answer["files"]], ["timestamp.json"])
    equal("its version", site.payload("timestamp.json")["Version"], 2)
    equal("the manifest", site.read("manifest.json"), before)
    site.verify()
    site.sign("b")
    equal("published", [f["published"] for f in site.stamp("t")["files"]], ["manifest.json", "timestamp.json"])
    equal("versions", [v["Version"] for v in site.payload("manifest.json")["Packages"][0]["Files"][0]["AvailableVersions"]],
          ["1.2.0", "1.3.0"])
    site.verify()


@suite.case
def a_draft_of_an_older_copy_is_not_published(world):
    site = publish(Site(world).first_root())
    site.add("1.3.0")
    site.sign("a", "b")
    older = site.read("manifest.draft")
    site.stamp("t")
    with open(site.path("manifest.draft"), "wb") as f:
        f.write(older)
    before = site.read("manifest.json")
    site.stamp("t", status=1)
    check("is published" in site.said, site.said)
    equal("the manifest", site.read("manifest.json"), before)
    site.add("1.4.0")                                # on the old draft, with a number of its own
    site.sign("a", "b")
    site.stamp("t")
    equal("its version", site.payload("manifest.json")["ManifestVersion"], 3)
    site.verify()


@suite.case
def what_is_said_of_a_package_is_true_of_it(world):
    site = Site(world).first_root()
    data = package("2.0.0")
    site.add("2.0.0", data, "--rollout", "5", "--not-before", "2030-01-01T00:00:00Z", "--minimum-source", "1.9", "--status",
             "inactive")
    site.sign("a", "b")
    site.stamp("t")
    row = site.payload("manifest.json")["Packages"][0]["Files"][0]["AvailableVersions"][0]
    equal("the row", row, {"Version": "2.0.0", "Checksum": hashlib.sha256(data).hexdigest(), "Status": "Inactive",
                           "Length": len(data), "UnpackedLength": len(gzip.decompress(data)), "RolloutPercent": 5,
                           "MinimumSourceVersion": "1.9", "NotBefore": "2030-01-01T00:00:00.000Z"})
    equal("the copy", site.read(f"ssmd/2.0.0/{FILE_NAME}"), data)


@suite.case
def a_version_can_be_changed_and_a_manifest_renewed(world):
    site = publish(Site(world).first_root())
    site.run("set", site.dir, "1.2.0", "--status", "Deprecated", "--rollout", "10", "--floor", "1.1")
    site.sign("a", "b")
    site.stamp("t")
    manifest = site.payload("manifest.json")
    row = manifest["Packages"][0]["Files"][0]["AvailableVersions"][0]
    equal("changed", (row["Status"], row["RolloutPercent"], manifest["RollbackFloor"], manifest["ManifestVersion"]),
          ("Deprecated", 10, "1.1", 2))
    site.run("set", site.dir, "--floor", "", "--days", "3")
    site.sign("a", "b")
    site.stamp("t")
    renewed = site.payload("manifest.json")
    check(renewed["Expires"] < manifest["Expires"] and "RollbackFloor" not in renewed, f"{renewed}")
    equal("its version", renewed["ManifestVersion"], 3)
    site.run("set", site.dir, "9.9", "--rollout", "5", status=1)
    site.run("set", site.dir, "1.2.0", status=100)
    check("nothing is said of version 1.2.0" in site.said, site.said)
    site.run("set", site.dir, "--rollout", "5", status=100)
    site.run("set", site.dir, "1.2.0", "--status", "Perfect", status=100)


@suite.case
def a_published_version_keeps_its_content(world):
    site = publish(Site(world).first_root())
    before = site.read(f"ssmd/1.2.0/{FILE_NAME}")
    site.add("1.2.0", package("1.2.1"), status=1)
    check("published with another content" in site.said, site.said)
    equal("the package", site.read(f"ssmd/1.2.0/{FILE_NAME}"), before)


@suite.case
def what_is_no_package_is_not_added(world):
    site = Site(world).first_root()
    for name, data, status in (("ssmd-1.0-linux-amd64.zip", b"PK", 1), ("other-1.0-linux-amd64.tar.gz", b"", 1),
                               ("ssmd-linux-amd64.tar.gz", package("1"), 100), ("ssmd-v1-linux-amd64.tar.gz", package("1"), 1),
                               ("ssmd-1.0-linux-amd64.tar.gz", b"", 1), ("ssmd-1.0-linux-amd64.tar.gz", b"hello world", 1),
                               ("ssmd-1..0-linux-amd64.tar.gz", package("1"), 1)):
        path = world.path(name)
        with open(path, "wb") as f:
            f.write(data)
        site.run("add", site.dir, path, status=status)
    equal("what is there", sorted(os.listdir(site.dir)), ["1.root.json"])
    site.run("add", site.dir, world.path("ssmd-linux-amd64.tar.gz"), "--version", "1.0")
    site.run("add", site.dir, world.path("missing-ssmd-1.0-linux-amd64.tar.gz"), status=1)


@suite.case
def every_key_can_be_changed_while_the_source_is_served(world):
    site = publish(Site(world).first_root())
    given = world.path("given.json")
    with open(given, "wb") as f:
        f.write(site.read("1.root.json"))
    site.root("--root-key", site.key("n1") + ".pub", "--root-key", site.key("n2") + ".pub", "--root-key", site.key("n3") + ".pub",
              "--release-key", site.key("c") + ".pub", "--release-key", site.key("d") + ".pub", "--timestamp-key",
              site.key("u") + ".pub")
    site.run("set", site.dir)                        # both generations of keys sign what is served meanwhile
    site.run("sign", site.dir, "--key", site.key("a"), status=100)
    check("say which" in site.said, site.said)
    site.sign("a", "b", "c", "d", which=("manifest",))
    site.stamp("t", "u")
    site.verify("--trust", given)
    site.sign("r1", "r2", which=("root",))
    equal("not enough: the new ones must sign too", os.path.exists(site.path("2.root.json")), False)
    site.sign("n1", "n2", which=("root",))
    equal("published", os.path.exists(site.path("2.root.json")), True)
    site.verify("--trust", given)
    site.verify("--trust", site.path("2.root.json"))
    site.add("1.3.0")
    site.sign("a", status=1)                         # a is no key any more
    site.sign("c", "d")
    site.stamp("t", status=1)
    site.stamp("u")
    check("2.root.json: believed" in site.verify("--trust", given), "root 2 was not walked to")
    equal("the root in force", site.run("show", site.dir)["root"]["version"], 2)


@suite.case
def a_root_made_without_the_old_keys_is_never_published(world):
    site = publish(Site(world).first_root())
    thief = Site(world, "thief").first_root(("x1",), ("x2",), ("x3",))
    with open(site.path("2.root.json"), "wb") as f:
        f.write(thief.read("1.root.json"))
    check("2.root.json" in site.verify(good=False), "it did not name the file")
    site.run("show", site.dir, status=1)
    os.unlink(site.path("2.root.json"))
    site.verify()


@suite.case
def verify_sees_what_a_machine_would_see(world):
    site = publish(Site(world).first_root())
    good = {name: site.read(name) for name in ("1.root.json", "manifest.json", "timestamp.json", f"ssmd/1.2.0/{FILE_NAME}")}
    for name, data, says in ((f"ssmd/1.2.0/{FILE_NAME}", good[f"ssmd/1.2.0/{FILE_NAME}"] + b"x", "length"),
                             (f"ssmd/1.2.0/{FILE_NAME}", good[f"ssmd/1.2.0/{FILE_NAME}"][:-1] + b"x", "SHA-256"),
                             (f"ssmd/1.2.0/{FILE_NAME}", None, "No such file"),
                             ("manifest.json", good["manifest.json"][:-2], "not the manifest"),
                             ("manifest.json", None, "there is none"),
                             ("timestamp.json", good["timestamp.json"].replace(b'"sig":"', b'"sig":"AAAA'), "64 bytes"),
                             ("timestamp.json", b"x" * 20000, "larger than"),
                             ("1.root.json", b"{}", "was given"),
                             ("1.root.json", None, "no such file")):
        os.unlink(site.path(name))
        if data is not None:
            with open(site.path(name), "wb") as f:
                f.write(data)
        said = site.verify(good=False)
        check(says in said, f"{name}: {said}")
        with open(site.path(name), "wb") as f:
            f.write(good[name])
    check("expired" in site.verify("--at", "2150-01-01T00:00:00Z", good=False), "it did not say why")
    check("set the clock" in site.verify("--at", "1970-01-01T00:00:00Z", good=False), "it did not say why")
    site.verify()


@suite.case
def packages_may_be_elsewhere(world):
    site = Site(world).first_root()
    site.run("set", site.dir, "--uri-format", "https://cdn.example/{Region}/{PackageVersion}/{FileName}")
    equal("copied", site.add("1.0.0")["copied"], False)
    equal("what is there", sorted(os.listdir(site.dir)), ["1.root.json", "manifest.draft"])
    site.sign("a", "b")
    site.stamp("t")
    check("not looked at" in site.verify(), "it did not say so")


@suite.case
def a_command_line_that_makes_no_sense_is_refused(world):
    site = Site(world)
    site.run("sign", site.dir, status=100)
    site.run("timestamp", site.dir, status=100)
    site.run("root", site.dir, "--root-key", site.key("r1") + ".pub", status=100)
    check("--release-key is missing" in site.said, site.said)
    site.run("root", site.dir, *[w for role in ROLES for w in (f"--{role}-key", site.key("r1") + ".pub")], "--root-threshold", "2",
             status=100)
    site.run("root", site.dir, "--root-key", site.key("r1"), "--root-key", site.key("r1") + ".pub", status=100)
    check("already" in site.said, site.said)
    site.run("show", site.dir, status=1)
    site.run("add", site.dir, world.path(f"ssmd-1.0-linux-{ARCH}.tar.gz"), status=1)
    check("1.root.json" in site.said, site.said)
    site.first_root()
    site.run("sign", site.dir, "--key", site.key("r1"), status=1)
    site.run("sign", site.dir, "everything", "--key", site.key("r1"), status=100)
    site.stamp("t", status=1)
    check("release add" in site.said, site.said)
    equal("types that both know", set(TYPES), set(ROLES))


if __name__ == "__main__":
    raise SystemExit(suite.main())
