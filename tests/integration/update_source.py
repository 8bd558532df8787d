"""An update source made by other means than ours: Ed25519 of python3-cryptography, json, tarfile. What ssmd-stager
accepts of it, it accepts by docs/release-format.md; what is wrong with it was made wrong on purpose."""
import base64
import contextlib
import datetime
import gzip
import hashlib
import http.server
import io
import json
import os
import platform
import tarfile
import threading

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

ARCH = {"x86_64": "amd64", "aarch64": "arm64", "i686": "386", "i386": "386"}.get(platform.machine(), "arm")
FILE_NAME = f"ssmd-linux-{ARCH}.tar.gz"
TYPES = {"root": "application/vnd.ssmd.root+json", "release": "application/vnd.ssmd.manifest+json",
         "timestamp": "application/vnd.ssmd.timestamp+json"}
PROGRAMS = ("ssmd", "ssmd-runner", "ssmd-download", "ssmd-stager", "ssmd-updater", "ssmctl")


def when(days=0.0):
    at = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=days)
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


class Key:
    def __init__(self):
        self.private = ed25519.Ed25519PrivateKey.generate()
        self.public = self.private.public_key().public_bytes(serialization.Encoding.Raw,
                                                             serialization.PublicFormat.Raw)
        self.id = hashlib.sha256(self.public).hexdigest()

    def as_json(self):
        return {"KeyId": self.id, "KeyType": "ed25519", "Public": base64.b64encode(self.public).decode()}


def envelope(role, payload, keys):
    """DSSE: what is signed is the type and the payload, each with its length."""
    kind = TYPES[role].encode()
    signed = b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)
    return json.dumps({"payloadType": TYPES[role], "payload": base64.b64encode(payload).decode(),
                       "signatures": [{"keyid": k.id, "sig": base64.b64encode(k.private.sign(signed)).decode()}
                                      for k in keys]}).encode()


# ---- packages ----

def program(name, version, script=""):
    return f"#!/bin/sh\n{script}\necho '{name} {version}'\n".encode()


def contents(version, **scripts):
    """Names and bytes of a package whose programs answer as those of that version."""
    return {f"bin/{name}": program(name, version, scripts.get(name.replace("-", "_"), "")) for name in PROGRAMS}


def entry(name, mode=0o755, kind=tarfile.REGTYPE, link="", size=0, **more):
    info = tarfile.TarInfo(name)
    info.mode, info.type, info.linkname, info.size = mode, kind, link, size
    for key, value in more.items():
        setattr(info, key, value)
    return info


def tar_of(files, *extra, order="before", form=tarfile.PAX_FORMAT):
    """A tar archive: `files` by name, and entries (info, bytes) before or after them."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as tar:
        mine = [(entry(name, 0o755 if name.startswith("bin/") else 0o644, size=len(data)), data) for name, data in files.items()]
        for info, data in [*extra, *mine] if order == "before" else [*mine, *extra]:
            if info.isreg():
                info.size = len(data)
            tar.addfile(info, io.BytesIO(data) if data is not None else None)
    return out.getvalue()


def package(version, *extra, files=None, **more):
    return gzip.compress(tar_of(files if files is not None else contents(version), *extra, **more), mtime=0)


# ---- the source ----

class Source:
    """A directory as docs/release-format.md describes it, and the keys to it."""

    def __init__(self, directory):
        self.directory = directory
        os.makedirs(directory, exist_ok=True)
        self.keys = {role: Key() for role in TYPES}
        self.version = 0
        self.versions = []
        self.root_file = directory + ".root.json"
        self.write_root(1)
        with open(os.path.join(directory, "1.root.json"), "rb") as f, open(self.root_file, "wb") as given:
            given.write(f.read())

    @property
    def url(self):
        return "file://" + self.directory

    def path(self, *names):
        return os.path.join(self.directory, *names)

    def put(self, name, data):
        os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
        with open(self.path(name), "wb") as f:
            f.write(data)

    def write_root(self, version, signers=None, expires=300, issued=-1):
        root = {"Version": version, "Issued": when(issued), "Expires": when(expires),
                "Keys": [k.as_json() for k in self.keys.values()],
                "Roles": {role: {"KeyIds": [k.id], "Threshold": 1} for role, k in self.keys.items()}}
        self.put(f"{version}.root.json",
                 envelope("root", json.dumps(root).encode(), signers or [self.keys["root"]]))

    def add(self, version, data, **fields):
        """Put a package there and into the next manifest. fields: of the manifest, None leaves one out."""
        self.put(f"ssmd/{version}/{FILE_NAME}", data)
        row = {"Version": version, "Checksum": hashlib.sha256(data).hexdigest(), "Length": len(data),
               "Status": "Active", **fields}
        self.versions = [v for v in self.versions if v["Version"] != version]
        self.versions.append({k: v for k, v in row.items() if v is not None})
        return self

    def publish(self, expires=30, timestamp_expires=1, issued=-0.01, **fields):
        self.version += 1
        manifest = {"SchemaVersion": "1.0", "ManifestVersion": self.version, "Issued": when(issued),
                    "Expires": when(expires), "UriFormat": "{Source}/{PackageName}/{PackageVersion}/{FileName}",
                    "Packages": [{"Name": "ssmd", "Files": [{"Name": FILE_NAME, "AvailableVersions": self.versions}]}],
                    **fields}
        signed = envelope("release", json.dumps(manifest).encode(), [self.keys["release"]])
        self.put("manifest.json", signed)
        self.write_timestamp(signed, timestamp_expires, issued)
        return self

    def write_timestamp(self, manifest, expires=1, issued=-0.01, **fields):
        stamp = {"Version": self.version, "Issued": when(issued), "Expires": when(expires),
                 "Manifest": {"Version": self.version, "Length": len(manifest),
                              "SHA256": hashlib.sha256(manifest).hexdigest(), **fields}}
        self.put("timestamp.json", envelope("timestamp", json.dumps(stamp).encode(), [self.keys["timestamp"]]))


class Mirror:
    """A web server for a source. `faults` has, by the end of a path, a function that answers instead."""

    def __init__(self, world, source):
        self.source, self.faults, self.asked, self.hurry = source, {}, [], threading.Event()
        mirror = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                mirror.asked.append(self.path)
                with contextlib.suppress(OSError):  # the stager may have seen enough
                    for end, fault in mirror.faults.items():
                        if self.path.endswith(end):
                            return fault(self)
                    self.send_file()

            def send_file(self):
                try:
                    with open(mirror.source.path(self.path.lstrip("/")), "rb") as f:
                        data = f.read()
                except OSError:
                    return self.send(404, b"no such file")
                return self.send(200, data)

            def send(self, status, data=b"", length=None, **headers):
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(data) if length is None else length))
                self.end_headers()
                self.wfile.write(data)
                if length is not None:
                    self.close_connection = True

            def wait(self, seconds=None):
                mirror.hurry.wait(seconds)

            def server_is_ending(self):
                return mirror.hurry.is_set()

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request, client_address):
                pass  # the stager has hung up, or was killed

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        world.at_end.append(self.end)

    def end(self):
        self.hurry.set()
        self.server.shutdown()
        self.server.server_close()
