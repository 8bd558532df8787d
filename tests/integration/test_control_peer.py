#!/usr/bin/python3
"""The control channel against a websocket server that we did not write (aiohttp): plain, with TLS, and through a
proxy that wants credentials and hands the service's bytes over one at a time."""
import asyncio
import base64
import contextlib
import hashlib
import json
import shutil
import ssl
import struct
import subprocess
import threading
import uuid

from harness import INSTANCE, Suite, check, document, equal, wait_for

suite = Suite("the control channel and other implementations", jobs=3)
OPENSSL = shutil.which("openssl")
try:
    import aiohttp.web as web
    MISSING = None if OPENSSL else "openssl is needed"
except ImportError:
    MISSING = "python3-aiohttp is needed"
NAME = "ssmmessages.test"  # only the proxy knows where this is
TOKEN = "AAEAAY&<opaque>=="


def encode(kind, payload, message_id):
    data = json.dumps(payload).encode()
    halves = uuid.UUID(message_id).bytes
    return (struct.pack(">I32sIQqQ", 116, kind.encode().ljust(32), 1, 1700000000000, 0, 0) + halves[8:] + halves[:8]
            + hashlib.sha256(data).digest() + struct.pack(">II", 0, len(data)) + data)


def decode(frame):
    header, kind, schema, _, sequence, flags = struct.unpack(">I32sIQqQ", frame[:64])
    equal("the header's constants", (header, schema, sequence, flags), (116, 1, 0, 0))
    payload = frame[120:]
    equal("the digest", frame[80:112], hashlib.sha256(payload).digest())
    equal("the length", struct.unpack(">I", frame[116:120])[0], len(payload))
    return (kind.decode().strip(), str(uuid.UUID(bytes=frame[72:80] + frame[64:72])), json.loads(payload))


class Peer(threading.Thread):
    """The service: one job for each message in `jobs`, everything that comes back in `seen`, where what is sent
    again, because its acknowledgement took long, counts once."""

    def __init__(self, world, context=None):
        super().__init__(daemon=True)
        self.context = context
        self.jobs = []
        self.seen = []
        self.known = set()
        self.first = []
        self.problems = []
        self.proxied = []
        self.ready = threading.Event()
        self.loop = asyncio.new_event_loop()
        self.start()
        check(self.ready.wait(60), "the peer does not start")
        world.at_end.append(self.stop)

    def stop(self):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.join(10)

    def run(self):
        asyncio.set_event_loop(self.loop)
        self.loop.run_until_complete(self.serve())
        self.loop.run_forever()

    async def serve(self):
        app = web.Application()
        app.router.add_post("/v1/control-channel/{id}", self.create)
        app.router.add_get("/v1/control-channel/{id}", self.open)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=self.context)
        await site.start()
        self.port = runner.addresses[0][1]
        proxy = await asyncio.start_server(self.proxy, "127.0.0.1", 0)
        self.proxy_port = proxy.sockets[0].getsockname()[1]
        self.ready.set()

    async def create(self, request):
        body = await request.json()
        if set(body) != {"MessageSchemaVersion", "RequestId"} or "Credential=" not in request.headers["Authorization"]:
            self.problems.append(f"CreateControlChannel: {body} {request.headers}")
        text = ("<CreateControlChannelResponse><MessageSchemaVersion>1.0</MessageSchemaVersion><TokenValue>"
                "AAEAAY&amp;&lt;opaque&gt;==</TokenValue></CreateControlChannelResponse>")
        return web.Response(status=201, text=text, content_type="application/xml")

    async def open(self, request):
        if dict(request.query) != {"role": "subscribe", "stream": "input"}:
            self.problems.append(f"the upgrade's query is {request.query_string}")
        ws = web.WebSocketResponse(max_msg_size=1 << 20)
        await ws.prepare(request)
        try:
            self.first.append(json.loads((await ws.receive(60)).data))
            await ws.ping(b"are you there")
            for job in self.jobs:
                await ws.send_bytes(encode("agent_job", job, str(uuid.uuid4())))
            async for message in ws:
                kind, message_id, payload = decode(message.data)
                if message_id not in self.known:
                    self.seen.append((kind, payload))
                self.known.add(message_id)
                if kind == "agent_job_reply":
                    await ws.send_bytes(encode("agent_job_reply_ack", {
                        "jobId": payload["jobId"], "acknowledgedMessageId": message_id}, str(uuid.uuid4())))
        except Exception as error:
            self.problems.append(repr(error))
        return ws

    async def proxy(self, reader, writer):
        """CONNECT, with credentials; NAME is this peer. What comes back arrives byte by byte."""
        wanted = b"proxy-authorization: basic " + base64.b64encode(b"user:pass").lower()
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            if wanted in head.lower():
                break
            writer.write(b"HTTP/1.1 407 Who are you?\r\nProxy-Authenticate: Basic realm=\"test\"\r\n"
                         b"Content-Length: 0\r\n\r\n")
            self.proxied.append("407")
        self.proxied.append(head.split()[1].decode())
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(b"HTTP/1.1 200 Connected\r\n\r\n")

        async def pump(source, target, step):
            with contextlib.suppress(Exception):
                while data := await source.read(65536):
                    for at in range(0, len(data), step):
                        target.write(data[at:at + step])
                        await target.drain()
                        await asyncio.sleep(0)
            with contextlib.suppress(Exception):
                target.close()
        await asyncio.gather(pump(reader, there_writer, 65536), pump(there_reader, writer, 1))


def certificate(world):
    """Self-signed, its own authority, for localhost and NAME."""
    key, pem = world.path("key.pem"), world.path("cert.pem")
    subprocess.run([OPENSSL, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", pem, "-days", "30",
                    "-subj", "/CN=peer", "-addext", f"subjectAltName=DNS:localhost,DNS:{NAME}"],
                   check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, key)
    return context, pem


def job(script):
    command = str(uuid.uuid4())
    content = {"Parameters": {}, "DocumentContent": document(script), "CommandId": command, "DocumentName": "Peer",
               "OutputS3KeyPrefix": "", "OutputS3BucketName": "", "CloudWatchLogGroupName": "",
               "CloudWatchOutputEnabled": "false"}
    return {"SchemaVersion": 1, "JobId": f"aws.ssm.{command}.{INSTANCE}", "Topic": "aws.ssm.sendCommand",
            "Content": json.dumps(content)}


def play(world, peer, endpoint, ca="", **environment):
    peer.jobs = [job("echo hello"), job("head -c 30000 /dev/zero | tr '\\0' x")]
    hub = world.hub()
    agent = world.agent(hub, environment=environment, **({"CaFile": ca} if ca else {}))
    agent.config["Mgs"]["Endpoint"] = endpoint
    agent.write_config()
    agent.start()

    def ended():
        return [p for kind, p in list(peer.seen) if kind == "agent_job_reply"
                and json.loads(p["content"])["documentStatus"] == "Success"]
    wait_for(lambda: f"two ends; {peer.seen} {peer.problems}", lambda: len(ended()) == 2)
    equal("problems", peer.problems, [])
    equal("the token", peer.first[0]["TokenValue"], TOKEN)
    equal("Cookie", peer.first[0]["Cookie"], None)
    for one in peer.jobs:
        mine = [(kind, p) for kind, p in peer.seen if p["jobId"] == one["JobId"]]
        equal("the frames of a job", [kind for kind, _ in mine], ["agent_job_ack"] + ["agent_job_reply"] * 3)
        equal("the code", mine[0][1]["statusCode"], "200")
        equal("the fields of a reply", set(mine[1][1]), {"schemaVersion", "jobId", "content", "topic"})
    return agent


def add(function):
    suite.add(function.__name__.replace("_", " "), function, skip=MISSING)


@add
def plain(world):
    peer = Peer(world)
    play(world, peer, f"http://127.0.0.1:{peer.port}")


@add
def tls_of_another_implementation(world):
    context, ca = certificate(world)
    peer = Peer(world, context)
    play(world, peer, f"localhost:{peer.port}", ca)


@add
def a_certificate_that_is_not_trusted_gets_nothing(world):
    context, _ = certificate(world)
    peer = Peer(world, context)
    agent = world.agent(world.hub())
    agent.config["Mgs"]["Endpoint"] = f"localhost:{peer.port}"
    agent.write_config()
    agent.start()

    def problem():
        status = agent.status()
        return status and next(c["text"] for c in status["channels"] if c["name"] == "ssmmessages")
    wait_for("the refusal to be told", lambda: "certificate" in (problem() or ""))
    equal("what the peer has", (peer.first, peer.seen), ([], []))


@add
def a_proxy_that_wants_credentials_and_splits_everything(world):
    context, ca = certificate(world)
    peer = Peer(world, context)
    play(world, peer, NAME, ca, HTTPS_PROXY=f"http://user:pass@127.0.0.1:{peer.proxy_port}")
    check(f"{NAME}:443" in peer.proxied, f"the proxy saw {peer.proxied}")


if __name__ == "__main__":
    raise SystemExit(suite.main())
