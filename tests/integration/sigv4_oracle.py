#!/usr/bin/python3
"""Compare our signatures with botocore's, over random requests. Usage: sigv4_oracle.py PROGRAM [SEED]

An independent implementation is the judge: the same request, date and keys must give the same
Authorization header. The seed is printed, so that a failure can be repeated.
"""

import random
import string
import subprocess
import sys
import urllib.parse

from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

N_REQUESTS = 400
UNRESERVED = string.ascii_letters + string.digits + "-._~"
ODD = UNRESERVED + " /%+=&,;:@!$'()*[]{}<>|\\^`\"#?" + "äß€\U0001f600ሴ"


def text(rng, alphabet, low, high):
    return "".join(rng.choice(alphabet) for _ in range(rng.randint(low, high)))


def quote(s):
    return urllib.parse.quote(s, safe="-._~")


def random_path(rng, is_s3):
    """As it goes over the wire: encoded once; other services than s3 also get dots and slashes."""
    parts = []
    for _ in range(rng.randint(0, 6)):
        kind = rng.random()
        if not is_s3 and kind < 0.1:
            parts.append(rng.choice([".", "..", ""]))
        elif not is_s3 and kind < 0.2:
            parts.append("ecs:" + text(rng, UNRESERVED, 1, 8))
        else:
            part = quote(text(rng, ODD, 1, 12))
            parts.append("x" + part if part.strip(".") == "" else part)
    path = "/" + "/".join(parts)
    if rng.random() < 0.3 and not path.endswith("/"):
        path += "/"
    # botocore drops the final slash of ".../..", RFC 3986 and AWS's suite keep it
    while path.rstrip("/").endswith(("/.", "/..")):
        path = path.rstrip("/") + "/x"
    return path


def random_query(rng):
    names = [text(rng, ODD, 1, 8) for _ in range(rng.randint(0, 6))]
    names += rng.sample(names, len(names) // 2)
    return "&".join(quote(n) + "=" + quote(text(rng, ODD, 0, 12)) for n in names)


def random_headers(rng):
    headers = []
    for _ in range(rng.randint(0, 6)):
        name = rng.choice(["X-Amz-Target", "X-Amz-Acl", "Content-Type", "If-None-Match",
                           "My-Header", "my-header", "X-" + text(rng, string.ascii_letters, 1, 8)])
        value = text(rng, UNRESERVED + "  ;,=\"/", 0, 24)
        if name not in ("X-Amz-Target", "X-Amz-Acl") or name not in [h[0] for h in headers]:
            headers.append((name, value))
    return headers


def expected(case):
    credentials = Credentials(case["key"], case["secret"], case["token"])
    is_s3 = case["service"] == "s3"
    auth = (S3SigV4Auth if is_s3 else SigV4Auth)(credentials, case["service"], case["region"])
    url = "https://" + case["host"] + case["path"] + ("?" + case["query"] if case["query"] else "")
    request = AWSRequest(method=case["method"], url=url, data=case["body"].encode())
    for name, value in case["headers"]:
        request.headers.add_header(name, value)
    request.context["timestamp"] = case["date"]
    auth._modify_request_before_signing(request)
    to_sign = auth.string_to_sign(request, auth.canonical_request(request))
    auth._inject_signature_to_request(request, auth.signature(to_sign, request))
    sent = [(n, v) for n, v in request.headers.items() if n.lower() != "authorization"]
    return request.headers["Authorization"], sent + [("Host", case["host"])]


def random_case(rng):
    service = rng.choice(["ssm", "ec2messages", "ssmmessages", "logs", "s3"])
    return {
        "service": service,
        "region": rng.choice(["us-east-1", "eu-central-1", "cn-north-1"]),
        "date": "%04d%02d%02dT%02d%02d%02dZ" % (rng.randint(1990, 2090), rng.randint(1, 12),
                                                rng.randint(1, 28), rng.randint(0, 23),
                                                rng.randint(0, 59), rng.randint(0, 59)),
        "key": text(rng, string.ascii_uppercase + string.digits, 16, 20),
        "secret": text(rng, UNRESERVED + "/+=", 1, 200),
        "token": rng.choice([None, text(rng, UNRESERVED + "/+=", 1, 400)]),
        "host": rng.choice(["ssm.us-east-1.amazonaws.com", "127.0.0.1:8080", "hub.example:8443"]),
        "method": rng.choice(["GET", "POST", "PUT", "HEAD"]),
        "path": random_path(rng, service == "s3"),
        "query": random_query(rng),
        "headers": random_headers(rng),
        "body": text(rng, ODD + "\n\t", 0, 300),
    }


def main():
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(1 << 32)
    rng = random.Random(seed)
    cases = [random_case(rng) for _ in range(N_REQUESTS)]
    wanted, lines = [], []
    for case in cases:
        authorization, headers = expected(case)
        wanted.append(authorization)
        fields = [case[k] for k in ("date", "region", "service", "key", "secret", "method", "path",
                                    "query")]
        for name, value in headers:
            fields += [name, value]
        fields.append(case["body"])
        lines += [f.encode().hex() for f in fields] + ["sign"]
    run = subprocess.run([sys.argv[1]], input="\n".join(lines) + "\n", text=True,
                         stdout=subprocess.PIPE, check=True)
    got = run.stdout.splitlines()
    if len(got) != len(wanted):
        sys.exit(f"seed {seed}: {len(got)} answers for {len(wanted)} requests")
    for case, ours, theirs in zip(cases, got, wanted):
        if ours != theirs:
            sys.exit(f"seed {seed}: {case}\nours   {ours}\ntheirs {theirs}")
    print(f"seed {seed}: {len(got)} requests signed alike")


if __name__ == "__main__":
    main()
