"""Stand-ins for the metadata services of EC2 and ECS, on loopback, with faults.

    m = Metadata(); m.url; m.role = "web"; m.credentials = {...}; m.faults["/latest/..."] = 404

A fault is a status, "slow" (answers after 3 s), "truncated", "huge", "garbage" or "reset"; it stands until
it is removed."""
import http.server
import json
import socket
import struct
import threading
import time

INSTANCE = "i-0123456789abcdef0"
REGION = "us-east-1"
TOKEN = "metadata-token=="
TASK = "/v4/task"


def document(key, secret, token, life_s=3600, at=None, **more):
    end = time.gmtime((at or time.time()) + life_s)
    return {"Code": "Success", "LastUpdated": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "Type": "AWS-HMAC", "AccessKeyId": key, "SecretAccessKey": secret, "Token": token,
            "Expiration": time.strftime("%Y-%m-%dT%H:%M:%SZ", end), **more}


class Metadata:
    def __init__(self):
        self.is_v1_only = False
        self.role = "web"
        self.credentials = None  # of the profile
        self.identity = None     # of the instance
        self.container = None    # of the task
        self.faults = {}
        self.requests = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *arguments):
                pass

            def say(self, status, body=b"", headers=()):
                body = body if isinstance(body, bytes) else body.encode()
                self.send_response(status)
                for name, value in headers:
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def spoil(self):
                fault = outer.faults.get(self.path)
                if fault is None:
                    return False
                if isinstance(fault, int):
                    self.say(fault, "fault")
                elif fault == "slow":
                    time.sleep(3)
                    self.close_connection = True
                elif fault == "truncated":
                    self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nshort")
                    self.close_connection = True
                elif fault == "huge":
                    self.say(200, b"x" * 10_000_000)
                elif fault == "garbage":
                    self.say(200, b"<html>\x00login</html>")
                else:
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    self.close_connection = True
                return True

            def do_PUT(self):
                outer.requests.append(("PUT", self.path, dict(self.headers)))
                if self.spoil():
                    return
                if outer.is_v1_only:
                    self.say(404)
                else:
                    self.say(200, TOKEN, [("x-aws-ec2-metadata-token-ttl-seconds", "21600")])

            def do_GET(self):
                outer.requests.append(("GET", self.path, dict(self.headers)))
                if self.spoil():
                    return
                if self.path.startswith("/latest/") and not outer.is_v1_only and \
                        self.headers.get("x-aws-ec2-metadata-token") != TOKEN:
                    self.say(401)
                    return
                body = outer.answer(self.path)
                if body is None:
                    self.say(404, "not found")
                else:
                    self.say(200, body)

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *arguments):
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()

    def answer(self, path):
        profile = "/latest/meta-data/iam/security-credentials/"
        plain = {
            "/latest/meta-data/instance-id": INSTANCE,
            "/latest/meta-data/placement/availability-zone": REGION + "a",
            "/latest/meta-data/placement/availability-zone-id": "use1-az1",
            "/latest/meta-data/instance-type": "t3.micro",
            profile: self.role,
        }
        documents = {
            "/latest/dynamic/instance-identity/document": {"region": REGION, "instanceId": INSTANCE},
            "/latest/meta-data/identity-credentials/ec2/security-credentials/ec2-instance": self.identity,
            TASK: {"DockerId": "0123456789abcdef-77", "Networks": []},
            TASK + "/task": {"Cluster": f"arn:aws:ecs:{REGION}:1:cluster/blue",
                             "TaskARN": f"arn:aws:ecs:{REGION}:1:task/blue/fedcba98",
                             "AvailabilityZone": REGION + "b"},
            "/credentials": self.container,
        }
        if self.role is not None:
            documents[profile + self.role] = self.credentials
        if plain.get(path) is not None:
            return plain[path]
        found = documents.get(path)
        if callable(found):  # one whose end is so long after it was asked for
            found = found()
        return json.dumps(found) if found is not None else None

    def count(self, path):
        return sum(1 for _, p, _ in self.requests if p == path)
