#!/usr/bin/python3
"""aws:downloadContent from local servers: HTTP with Basic and Digest, git over http and ssh, GitHub's API, documents,
S3; what it leaves behind, what it refuses, and that no secret lies about."""
import base64
import contextlib
import hashlib
import json
import os
import re
import shutil
import stat
import subprocess
import tempfile
import threading
import urllib.parse

from harness import INSTANCE, Suite, check, equal, own_tls, wait_for, web

suite = Suite("aws:downloadContent", jobs=4)

SCRIPT = b"#!/bin/sh\necho fetched\n"


def shell(name, *lines, **inputs):
    return {"action": "aws:runShellScript", "name": name, "inputs": {"runCommand": list(lines), **inputs}}


def get(source, info, destination=None, name="get"):
    inputs = {"sourceType": source, "sourceInfo": info}
    if destination is not None:
        inputs["destinationPath"] = destination
    return {"action": "aws:downloadContent", "name": name, "inputs": inputs}


def steps(*mine):
    return {"schemaVersion": "2.2", "description": "test", "mainSteps": list(mine)}


def run(agent, *mine):
    return agent.wait_done(agent.hub.send(steps(*mine))).results


def fails(result, *words):
    equal("status and code", (result["status"], result["code"], result["standardOutput"]), ("Failed", 1, ""))
    for word in words:
        check(word in result["standardError"], f"the error does not say {word!r}: {result['standardError']!r}")


def mode_of(path):
    return stat.S_IMODE(os.stat(path).st_mode)


def plain(info):
    return {"allowInsecureDownload": True, **info}


def secret(hub, name, value, kind="SecureString"):
    hub.ssm.put_parameter(Name=name, Value=value, Type=kind)


def no_secret_below(agent, *secrets):
    """Nothing that ssmd, its helpers or git wrote holds one of them."""
    for folder, _, names in os.walk(agent.root):
        for name in names:
            path = os.path.join(folder, name)
            if not os.path.isfile(path) or os.path.islink(path):
                continue
            data = b""
            with contextlib.suppress(FileNotFoundError), open(path, "rb") as f:  # a temporary file, which is gone
                data = f.read()
            for word in secrets:
                check(word.encode() not in data, f"{path} holds the secret {word!r}")


# ---- HTTP ----

@suite.case
def a_relative_destination_is_where_later_scripts_run(world):
    agent = world.agent().start()
    url = web(world, lambda request: (200, {}, SCRIPT))
    results = run(agent, get("HTTP", plain({"url": url + "/x"}), "run.sh"), shell("run", "./run.sh", "stat -c %a run.sh"),
                  shell("below", "pwd", workingDirectory="sub"))
    downloads = os.path.join(agent.jobs_dir, os.listdir(agent.jobs_dir)[0], "downloads")
    equal("stdout", results["get"]["standardOutput"], f"Content downloaded to {downloads}/run.sh")
    equal("the script's output", results["run"]["standardOutput"], "fetched\n700\n")
    equal("a directory that is not there", results["below"]["standardOutput"], "/\n")


@suite.case
def without_a_destination_the_file_gets_a_name_of_its_own(world):
    agent = world.agent().start()
    url = web(world, lambda request: (200, {}, SCRIPT))
    results = run(agent, get("HTTP", json.dumps(plain({"url": f" {url}/x "}))), shell("run", "ls | grep -c '^download[0-9]'"))
    check(results["get"]["standardOutput"].endswith("/downloads/"), results["get"]["standardOutput"])
    equal("files", results["run"]["standardOutput"], "1\n")


@suite.case
def only_200_is_a_success_and_a_failure_leaves_nothing(world):
    agent = world.agent().start()
    url = web(world, lambda request: (int(request.path[1:]), {}, b"text"))
    for status in (404, 500, 204):
        fails(run(agent, get("HTTP", plain({"url": f"{url}/{status}"}), world.path("target/file")))["get"], str(status))
    equal("what is left", os.listdir(world.path("target")), [])


@suite.case
def redirects_are_followed_ten_times(world):
    agent = world.agent().start()

    def answer(request):
        left = int(request.path[1:])
        return (302, {"Location": f"/{left - 1}"}, b"") if left else (200, {}, SCRIPT)
    url = web(world, answer)
    equal("ten", run(agent, get("HTTP", plain({"url": f"{url}/10"}), world.path("ten")))["get"]["status"], "Success")
    fails(run(agent, get("HTTP", plain({"url": f"{url}/11"}), world.path("eleven")))["get"])
    check(not os.path.exists(world.path("eleven")), "something was left behind")


@suite.case
def plain_http_has_to_be_allowed(world):
    agent = world.agent().start()
    asked = []
    url = web(world, lambda request: asked.append(1) or (200, {}, SCRIPT))
    fails(run(agent, get("HTTP", {"url": url}))["get"], "allowInsecureDownload")
    fails(run(agent, get("HTTP", {"url": "ftp://127.0.0.1/x"}))["get"], "http://")
    fails(run(agent, get("HTTP", plain({"url": url, "authMethod": "Other"})))["get"], "Basic", "Digest")
    equal("requests", asked, [])


@suite.case
def basic_authentication_takes_secure_parameters(world):
    agent = world.agent().start()
    password = 'Zahn-Ärztin "\\ 4711'
    secret(agent.hub, "/web/password", password)
    secret(agent.hub, "user", "me", "String")
    wanted = "Basic " + base64.b64encode(f"me:{password}".encode()).decode()

    def answer(request):
        return (200, {}, SCRIPT) if request.headers.get("Authorization") == wanted else (401, {}, b"")
    url = web(world, answer)
    info = plain({"url": url, "authMethod": "Basic", "username": "{{ ssm:user }}",
                  "password": "{{ ssm-secure:/web/password }}"})
    result = run(agent, get("HTTP", info, world.path("file")))["get"]
    equal("result", (result["status"], result["standardError"]), ("Success", ""))
    no_secret_below(agent, password, wanted.split()[1])
    fails(run(agent, get("HTTP", {**info, "password": "{{ ssm-secure:nothing }}"}))["get"], "nothing")
    fails(run(agent, get("HTTP", {**info, "password": "{{ ssm-secure:user }}"}))["get"], "user")


def digest_server(world, algorithm, qop, password):
    """Checks as RFC 7616 says, with the query in the uri."""
    def h(text):
        return (hashlib.sha256 if algorithm and "SHA" in algorithm else hashlib.md5)(text.encode()).hexdigest()

    def answer(request):
        given = request.headers.get("Authorization")
        if not given:
            challenge = 'Digest realm="a \\"realm\\"", nonce="n0nce", opaque="0paque"'
            challenge += f", algorithm={algorithm}" if algorithm else ""
            challenge += f', qop="{qop}"' if qop else ""
            return 401, {"WWW-Authenticate": challenge}, b""
        f = {m[1]: m[2] if m[2] is not None else m[3] for m in
             re.finditer(r'(\w+)=(?:"((?:[^"\\]|\\.)*)"|([^",\s]+))', given)}
        a1 = h(f'me:a "realm":{password}')
        if algorithm and algorithm.endswith("-sess"):
            a1 = h(f"{a1}:n0nce:{f['cnonce']}")
        a2 = h(f"GET:{request.path}" + (":" + h("") if qop == "auth-int" else ""))
        middle = f"n0nce:{f['nc']}:{f['cnonce']}:{f['qop']}" if qop else "n0nce"
        is_right = f["response"] == h(f"{a1}:{middle}:{a2}") and f["uri"] == request.path and f["opaque"] == "0paque"
        return (200, {}, SCRIPT) if is_right else (403, {}, given.encode())
    return web(world, answer)


@suite.case
def digest_authentication_in_all_its_forms(world):
    agent = world.agent().start()
    cases = [(a, q) for a in (None, "MD5", "MD5-sess", "SHA-256", "SHA-256-sess") for q in ("auth", "auth-int")]
    cases.append((None, None))
    mine = [get("HTTP", plain({"url": digest_server(world, a, q, "pass") + "/a/b?c=d&e=f", "authMethod": "Digest",
                               "username": "me", "password": "pass"}), world.path(f"file{n}"), f"get{n}")
            for n, (a, q) in enumerate(cases)]
    results = run(agent, *mine)
    equal("failures", {str(cases[int(name[3:])]): r["standardError"] for name, r in results.items()
                       if r["status"] != "Success"}, {})


@suite.case
def digest_has_to_be_asked_for_and_known(world):
    agent = world.agent().start()
    info = {"authMethod": "Digest", "username": "me", "password": "pass"}
    url = web(world, lambda request: (200, {}, SCRIPT))
    fails(run(agent, get("HTTP", plain({"url": url, **info})))["get"], "401")
    url = digest_server(world, "SHA-512-256", "auth", "pass")
    fails(run(agent, get("HTTP", plain({"url": url, **info})))["get"], "SHA-512-256")


@suite.case
def a_cancel_ends_a_transfer_and_leaves_no_file(world):
    agent = world.agent().start()
    begun, end = threading.Event(), threading.Event()
    world.at_end.append(end.set)

    def answer(request):
        request.send_response(200)
        request.send_header("Content-Length", "1000")
        request.end_headers()
        request.wfile.write(b"begin")
        request.wfile.flush()
        begun.set()
        end.wait(60)
        return 200, {}, b""
    url = web(world, answer)
    message = agent.hub.send(steps(get("HTTP", plain({"url": url}), world.path("target/file")), shell("after", "echo x")))
    wait_for("the transfer to begin", begun.is_set)
    agent.hub.cancel(message)
    results = agent.wait_done(message).results
    equal("statuses", {name: r["status"] for name, r in results.items()}, {"get": "Cancelled", "after": "Cancelled"})
    equal("what is left", os.listdir(world.path("target")), [])


@suite.case
def a_transfer_goes_on_without_ssmd(world):
    agent = world.agent().start()
    begun, end = threading.Event(), threading.Event()
    world.at_end.append(end.set)

    def answer(request):
        begun.set()
        end.wait(60)
        return 200, {}, SCRIPT
    url = web(world, answer)
    message = agent.hub.send(steps(get("HTTP", plain({"url": url}), world.path("file"))))
    wait_for("the transfer to begin", begun.is_set)
    agent.kill()
    end.set()
    wait_for("the file", lambda: os.path.exists(world.path("file")))
    agent.start()
    equal("status", agent.wait_done(message).results["get"]["status"], "Success")


@suite.case
def who_needs_ssmd_waits_for_it(world):
    agent = world.agent().start()
    secret(agent.hub, "late", "value")
    asked, go = threading.Event(), threading.Event()
    world.at_end.append(go.set)

    def answer(request):  # the second question of Digest comes with the password
        return (200, {}, SCRIPT) if request.headers.get("Authorization") else (401, {}, b"")
    url = web(world, answer)
    agent.hub.fault(kind="delay", operation="GetParameters", times=1, delay_ms=1500)
    message = agent.hub.send(steps(get("HTTP", plain({"url": url, "authMethod": "Basic", "username": "me",
                                                      "password": "{{ ssm-secure:late }}"}), world.path("file"))))
    job = message.split(".")[2]
    wait_for("the helper to run", lambda: os.path.exists(os.path.join(agent.jobs_dir, job, "0.1", "started")))
    agent.kill()
    agent.start()
    equal("status", agent.wait_done(message).results["get"]["status"], "Success")
    del asked


@suite.case
def a_name_may_not_leave_the_destination(world):
    agent = world.agent().start()
    url = web(world, lambda request: (200, {}, SCRIPT))
    fails(run(agent, get("HTTP", plain({"url": url}), "../../evil"))["get"], "absolute")


@suite.case
def inputs_that_make_no_sense_start_nothing(world):
    agent = world.agent().start()
    bad = {"no type": {"sourceInfo": {"url": "x"}}, "type": {"sourceType": "http", "sourceInfo": {"url": "x"}},
           "no info": {"sourceType": "HTTP"}, "empty": {"sourceType": "HTTP", "sourceInfo": {}},
           "text": {"sourceType": "HTTP", "sourceInfo": "{"}, "list": {"sourceType": "HTTP", "sourceInfo": [1]},
           "url": {"sourceType": "HTTP", "sourceInfo": {"other": "x"}},
           "git": {"sourceType": "Git", "sourceInfo": {"repository": "https://h/x", "privateSSHKey": "k"}},
           "git user": {"sourceType": "Git", "sourceInfo": {"repository": "git@h:x", "username": "u", "password": "p"}},
           "option": {"sourceType": "Git", "sourceInfo": {"repository": "https://h/x", "getOptions": "main"}},
           "options": {"sourceType": "Git", "sourceInfo": {"repository": "https://h/x", "getOptions": "branch:a:b"}},
           "token": {"sourceType": "GitHub", "sourceInfo": {"owner": "o", "repository": "r", "tokenInfo": "secret"}},
           "s3": {"sourceType": "S3", "sourceInfo": {"path": "s3://bucket/key"}}}
    results = run(agent, *({"action": "aws:downloadContent", "name": name, "inputs": inputs}
                           for name, inputs in bad.items()))
    for name in bad:
        fails(results[name])
        check(results[name]["standardError"], f"{name}: no reason")


# ---- documents ----

@suite.case
def a_document_is_fetched_and_run_from_its_file(world):
    agent = world.agent().start()
    inner = {"schemaVersion": "2.2", "description": "x", "mainSteps": [shell("a", "echo inner")]}
    agent.hub.ssm.create_document(Name="Sub", Content=json.dumps(inner), DocumentType="Command")
    results = run(agent, get("SSMDocument", {"name": "Sub:1"}), {
        "action": "aws:runDocument", "name": "run", "inputs": {"documentType": "LocalPath", "documentPath": "Sub.json"}})
    equal("run", (results["run"]["status"], results["run"]["standardOutput"]), ("Success", "inner\n"))
    fails(run(agent, get("SSMDocument", {"name": "NotThere"}))["get"], "NotThere")


@suite.case
def a_stock_client_sends_a_document_that_fetches_and_runs(world):
    """As AWS-RunRemoteScript and AWS-RunDocument do it: created, sent and asked for by botocore."""
    agent = world.agent().start()
    inner = {"schemaVersion": "2.2", "description": "x", "parameters": {"who": {"type": "String"}},
             "mainSteps": [shell("a", "echo for {{ who }}")]}
    outer = {"schemaVersion": "2.2", "description": "x", "parameters": {
        "sourceType": {"type": "String"}, "sourceInfo": {"type": "StringMap"}, "who": {"type": "String"}}, "mainSteps": [
            {"action": "aws:downloadContent", "name": "fetch", "inputs": {
                "sourceType": "{{ sourceType }}", "sourceInfo": "{{ sourceInfo }}", "destinationPath": "run.sh"}},
            {"action": "aws:downloadContent", "name": "document", "inputs": {
                "sourceType": "SSMDocument", "sourceInfo": {"name": "Inner"}}},
            shell("direct", "./run.sh"),
            {"action": "aws:runDocument", "name": "nested", "inputs": {
                "documentType": "LocalPath", "documentPath": "Inner.json",
                "documentParameters": {"who": "{{ who }}"}}}]}
    ssm = agent.hub.ssm
    for name, content in (("Inner", inner), ("Outer", outer)):
        ssm.create_document(Name=name, Content=json.dumps(content), DocumentType="Command")
    url = web(world, lambda request: (200, {}, SCRIPT))
    agent.wait_until_serving()
    wait_for("the node to be known", lambda: ssm.describe_instance_information()["InstanceInformationList"])
    command = ssm.send_command(InstanceIds=[INSTANCE], DocumentName="Outer", Parameters={
        "sourceType": ["HTTP"], "who": ["me"], "sourceInfo": [json.dumps(plain({"url": url}))]})["Command"]["CommandId"]

    def invocation(step):
        return ssm.get_command_invocation(CommandId=command, InstanceId=INSTANCE, PluginName=step)
    wait_for("the end", lambda: ssm.list_commands(CommandId=command)["Commands"][0]["Status"] not in (
        "Pending", "InProgress"))
    equal("direct", (invocation("direct")["Status"], invocation("direct")["StandardOutputContent"]),
          ("Success", "fetched\n"))
    equal("nested", (invocation("nested")["Status"], invocation("nested")["StandardOutputContent"]),
          ("Success", "for me\n"))


# ---- git ----

def git(*words, cwd=None, **environment):
    return subprocess.run(["git", *words], cwd=cwd, check=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          env={**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_AUTHOR_NAME": "a",
                               "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b",
                               **environment}).stdout


def repository(world):
    """A bare repository: main with two commits, and a branch. Returns its path and the first commit."""
    work, bare = world.path("work"), world.path("srv/repo.git")
    git("init", "-q", "-b", "main", work)
    for text in ("one", "two"):
        os.makedirs(os.path.join(work, "sub"), exist_ok=True)
        with open(os.path.join(work, "sub", "file"), "w", encoding="ascii") as f:
            f.write(text + "\n")
        with open(os.path.join(work, "run.sh"), "wb") as f:
            f.write(SCRIPT)
        git("add", ".", cwd=work)
        git("commit", "-q", "-m", text, cwd=work)
    first = git("rev-parse", "HEAD~1", cwd=work).strip()
    git("checkout", "-q", "-b", "other", cwd=work)
    with open(os.path.join(work, "other"), "w", encoding="ascii") as f:
        f.write("other\n")
    git("add", ".", cwd=work)
    git("commit", "-q", "-m", "other", cwd=work)
    git("checkout", "-q", "main", cwd=work)
    git("clone", "-q", "--bare", work, bare)
    hook = os.path.join(bare, "hooks", "post-checkout")
    with open(hook, "w", encoding="ascii") as f:
        f.write(f"#!/bin/sh\ntouch {world.path('hooked')}\n")
    os.chmod(hook, 0o755)
    return bare, first


def git_web(world, user=None, tls=None):
    """The real git-http-backend behind Python's web server; with `user`, for that "name:password" only."""
    backend = os.path.join(git("--exec-path").strip(), "git-http-backend")

    def answer(request):
        wanted = user and "Basic " + base64.b64encode(user.encode()).decode()
        if wanted and request.headers.get("Authorization") != wanted:
            return 401, {"WWW-Authenticate": 'Basic realm="git"'}, b""
        path, _, query = request.path.partition("?")
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        if request.headers.get("Transfer-Encoding") == "chunked":
            while size := int(request.rfile.readline(), 16):
                body += request.rfile.read(size)
                request.rfile.readline()
            request.rfile.readline()
        done = subprocess.run([backend], input=body, stdout=subprocess.PIPE, check=True, env={
            "GIT_PROJECT_ROOT": world.path("srv"), "GIT_HTTP_EXPORT_ALL": "1", "PATH_INFO": path, "QUERY_STRING": query,
            "REQUEST_METHOD": request.command, "CONTENT_TYPE": request.headers.get("Content-Type", ""),
            "HTTP_CONTENT_ENCODING": request.headers.get("Content-Encoding", ""), "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*", "PATH": os.environ["PATH"],
            "GIT_PROTOCOL": request.headers.get("Git-Protocol", "")}).stdout
        head, _, body = done.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().splitlines())
        return int(headers.pop("Status", "200").split()[0]), headers, body
    return web(world, answer, tls) + "/repo.git"


@suite.case
def a_repository_is_cloned_with_its_history(world):
    agent = world.agent().start()
    repository(world)
    target = world.path("target/deep")
    result = run(agent, get("Git", {"repository": git_web(world)}, target))["get"]
    equal("result", (result["status"], result["standardOutput"], result["standardError"]),
          ("Success", f"Content downloaded to {target}", ""))
    equal("what is there", sorted(os.listdir(target)), [".git", "run.sh", "sub"])
    equal("commits", git("rev-list", "--count", "HEAD", cwd=target).strip(), "2")
    equal("modes", [mode_of(os.path.join(target, name)) for name in ("run.sh", "sub/file", ".git/config")], [0o700] * 3)
    check(not os.path.exists(world.path("hooked")), "a hook was run")
    result = run(agent, get("Git", {"repository": git_web(world)}, target))["get"]
    fails(result, "cannot be moved")
    equal("what is left", [n for n in os.listdir(target) if n.startswith("tempCloneDir")], [])


@suite.case
def a_repository_is_copied_to_another_file_system(world):
    base = "/dev/shm"
    if not os.access(base, os.W_OK) or os.stat(base).st_dev == os.stat(world.dir).st_dev:
        return
    target = tempfile.mkdtemp(prefix="ssmd-", dir=base)
    world.at_end.append(lambda: shutil.rmtree(target, ignore_errors=True))
    agent = world.agent().start()
    repository(world)
    inputs = get("Git", {"repository": git_web(world)}, target)
    result = run(agent, inputs)["get"]
    equal("result", (result["status"], result["standardError"]), ("Success", ""))
    equal("what is there", sorted(os.listdir(target)), [".git", "run.sh", "sub"])
    equal("changes", git("status", "--porcelain", cwd=target, GIT_CONFIG_COUNT="1", GIT_CONFIG_KEY_0="core.fileMode",
                         GIT_CONFIG_VALUE_0="false").strip(), "")
    equal("modes", [mode_of(os.path.join(target, name)) for name in ("run.sh", "sub/file", ".git/config")], [0o700] * 3)
    fails(run(agent, inputs)["get"], "cannot be moved")
    equal("what is left", sorted(os.listdir(target)), [".git", "run.sh", "sub"])


@suite.case
def a_link_of_another_user_on_the_way_leads_only_to_what_is_theirs(world):
    if os.geteuid() != 0:
        return
    agent = world.agent().start()
    url = web(world, lambda _: (200, {}, b"text"))
    for name in ("theirs", "ours", "home"):
        os.mkdir(world.path(name))
    for name in ("theirs", "home"):
        os.chown(world.path(name), 54321, 54321)
    for name, target in (("own", "../theirs"), ("other", world.path("ours")), ("loop", "loop"), ("gone", "nothing")):
        os.symlink(target, world.path(f"home/{name}"))
        os.chown(world.path(f"home/{name}"), 54321, 54321, follow_symlinks=False)
    os.symlink(world.path("ours"), world.path("home/admins"))
    info = {"url": url, "allowInsecureDownload": "true"}

    def fetch(way):
        return run(agent, get("HTTP", info, world.path(f"home/{way}/deep/file")))["get"]
    for way, there in (("own", "theirs"), ("admins", "ours")):
        equal(way, fetch(way)["status"], "Success")
        with open(world.path(f"{there}/deep/file"), encoding="ascii") as f:
            equal("text", f.read(), "text")
    shutil.rmtree(world.path("ours/deep"))
    fails(fetch("other"), "symbolic link of user 54321")
    fails(fetch("loop"), "symbolic links")
    fails(fetch("gone"), "No such file")
    equal("what another user could have made", os.listdir(world.path("ours")), [])


@suite.case
def branches_and_commits_can_be_asked_for(world):
    agent = world.agent().start()
    _, first = repository(world)
    url = git_web(world)
    wanted = {"branch:refs/remotes/origin/other": ("two\n", True), f"commitID:{first}": ("one\n", False),
              "branch:refs/heads/main": ("two\n", False)}
    for n, (options, (text, has_other)) in enumerate(wanted.items()):
        target = world.path(f"target{n}")
        result = run(agent, get("Git", {"repository": url, "getOptions": options}, target))["get"]
        equal(f"{options}: status", (result["status"], result["standardError"]), ("Success", ""))
        with open(os.path.join(target, "sub/file"), encoding="ascii") as f:
            equal(f"{options}: text", f.read(), text)
        equal(f"{options}: the branch's file", os.path.exists(os.path.join(target, "other")), has_other)
    fails(run(agent, get("Git", {"repository": url, "getOptions": "branch:nothing"}, world.path("no")))["get"], "nothing")
    equal("what a failure leaves", os.listdir(world.path("no")), [])


@suite.case
def a_password_reaches_git_and_nobody_else(world):
    agent = world.agent()
    seen = world.path("seen")
    spy = world.path("bin")
    os.makedirs(spy)
    with open(os.path.join(spy, "git"), "w", encoding="ascii") as f:  # what git is started with
        f.write(f"#!/bin/sh\n(echo \"$@\"; env) >> {seen}\nexec {shutil.which('git')} \"$@\"\n")
    os.chmod(os.path.join(spy, "git"), 0o755)
    agent.environment["PATH"] = spy + ":" + os.environ["PATH"]
    agent.start()
    repository(world)
    password = "g1t-Geheimnis"
    secret(agent.hub, "git-password", password)
    url = git_web(world, f"me:{password}")
    info = {"repository": url, "username": "me", "password": "{{ssm-secure:git-password}}"}
    result = run(agent, get("Git", info, world.path("target")))["get"]
    equal("result", (result["status"], result["standardError"]), ("Success", ""))
    no_secret_below(agent, password)
    with open(seen, encoding="utf-8") as f:
        check(password not in f.read(), "git was told the password as a word or a variable")
    with open(world.path("target/.git/config"), encoding="utf-8") as f:
        check(password not in f.read(), "the clone's configuration holds the password")
    fails(run(agent, get("Git", {**info, "password": "wrong"}, world.path("no")))["get"], "Authentication failed")
    fails(run(agent, get("Git", {"repository": url}, world.path("no")))["get"])
    in_url = url.replace("//", f"//me:{password}@")
    result = run(agent, get("Git", {"repository": in_url}, world.path("in-url")))["get"]
    equal("in the URL", (result["status"], result["standardError"]), ("Success", ""))
    with open(seen, encoding="utf-8") as f:
        check(password not in f.read(), "git was told the password of the URL as a word")


@suite.case
def git_trusts_whom_ssmd_trusts(world):
    certificate, context = own_tls(world)
    repository(world)
    url = git_web(world, tls=context)
    hub = world.hub()
    for name, settings, environment in (("nobody", {}, {}), ("configured", {"CaFile": certificate}, {}),
                                        ("bundle", {}, {"AWS_CA_BUNDLE": certificate}),
                                        ("file", {}, {"SSL_CERT_FILE": certificate})):
        agent = world.agent(hub, name, environment=environment, **settings).start()
        result = run(agent, get("Git", {"repository": url}, world.path(f"target-{name}")))["get"]
        if environment or settings:
            equal(name, (result["status"], result["standardError"]), ("Success", ""))
        else:
            fails(result, "certificate")
        agent.terminate()


@suite.case
def a_key_reaches_ssh_and_no_disk(world):
    """In place of ssh: a program that looks at what it is given and serves the repository itself."""
    agent = world.agent()
    bare, _ = repository(world)
    key = "-----BEGIN OPENSSH PRIVATE KEY-----\nZ2VoZWlt\n-----END OPENSSH PRIVATE KEY-----"
    spy = world.path("bin")
    os.makedirs(spy)
    with open(os.path.join(spy, "ssh"), "w", encoding="ascii") as f:
        f.write(f"""#!/bin/sh
echo "$@" >> {world.path('words')}
while [ $# -gt 0 ]; do case "$1" in
  -i) cat "$2" > {world.path('key')}; stat -L -c %a "$2" > {world.path('mode')}; shift 2;;
  -o|-p|-l) shift 2;; -*) shift;; *) break;; esac; done
case "$1" in stranger*) echo "Host key verification failed." >&2; exit 255;; esac
exec git-upload-pack {bare}
""")
    os.chmod(os.path.join(spy, "ssh"), 0o755)
    agent.environment["PATH"] = spy + ":" + os.environ["PATH"]
    agent.start()
    secret(agent.hub, "key", key)
    info = {"repository": "git@host.test:repo.git", "privateSSHKey": "{{ ssm-secure:key }}"}
    result = run(agent, get("Git", info, world.path("target")))["get"]
    equal("result", (result["status"], result["standardError"]), ("Success", ""))
    check(os.path.exists(world.path("target/run.sh")), "nothing was cloned")
    equal("the key that ssh read", world.lines("key"), key.splitlines())
    equal("its mode", world.lines("mode"), ["600"])
    words = world.lines("words")[0]
    check("StrictHostKeyChecking=yes" in words and "BatchMode=yes" in words, words)
    no_secret_below(agent, "Z2VoZWlt")
    result = run(agent, get("Git", {**info, "repository": "ssh://stranger/repo.git"}, world.path("no")))["get"]
    fails(result, "known_hosts", "skipHostKeyChecking")
    run(agent, get("Git", {**info, "repository": "ssh://stranger/repo.git", "skipHostKeyChecking": True}))
    words = world.lines("words")
    check("StrictHostKeyChecking=no" in words[-1], words[-1])
    check("User=git" in words[-1] and "User=git" not in words[0], "who names no user is git")


# ---- S3 ----

def bucket(hub, **objects):
    hub.client("s3").create_bucket(Bucket="our-bucket")
    for key, content in objects.items():
        hub.client("s3").put_object(Bucket="our-bucket", Key=key, Body=content)


def at(key, style="path"):
    """The URL of an object, as a document's author writes it."""
    host = "s3.us-east-1.amazonaws.com/our-bucket" if style == "path" else "our-bucket.s3.amazonaws.com"
    return {"path": f"https://{host}/{key}"}


def files_below(directory):
    return sorted(os.path.relpath(os.path.join(folder, name), directory)
                  for folder, _, names in os.walk(directory) for name in names)


@suite.case
def s3_gives_one_object(world):
    agent = world.agent().start()
    bucket(agent.hub, **{"dir/run.sh": SCRIPT, "dir/a b+c": b"odd", "other": b"x"})
    results = run(agent, get("S3", at("dir/run.sh")), shell("run", "./run.sh"),
                  get("S3", at("dir/a+b%2Bc", "virtual"), world.path("odd"), "odd"))
    equal("run", (results["run"]["status"], results["run"]["standardOutput"]), ("Success", "fetched\n"))
    equal("odd", (results["odd"]["status"], results["odd"]["standardError"]), ("Success", ""))
    with open(world.path("odd"), "rb") as f:
        equal("content", f.read(), b"odd")
    equal("mode", mode_of(world.path("odd")), 0o700)
    fails(run(agent, get("S3", at("nothing"), world.path("no/file")))["get"], "NoSuchKey")
    equal("what a failure leaves", os.listdir(world.path("no")), [])


@suite.case
def s3_gives_everything_below_a_folder(world):
    agent = world.agent().start()
    bucket(agent.hub, **{"top": b"t", "dir/one": b"1", "dir/sub/two": b"2", "dir/s:b/three": b"3", "directory": b"no",
                         "dir/folder/": b""})
    for key in ("dir", "dir/"):
        target = world.path(key.replace("/", "-slash"))
        result = run(agent, get("S3", at(key), target))["get"]
        equal(f"{key}: result", (result["status"], result["standardError"]), ("Success", ""))
        equal(f"{key}: files", files_below(target), ["one", "sb/three", "sub/two"])
    equal("below an empty folder", run(agent, get("S3", at("none/")))["get"]["status"], "Failed")


def small_s3(world, objects, is_public=False):
    """An S3 that lists two objects to the page. is_public: who signs has no permission, everybody else may read."""
    def answer(request):
        path, _, query = request.path.partition("?")
        key = path[len("/our-bucket/"):]
        if is_public and (request.headers.get("Authorization") or not key):
            return 403, {}, b"<Error><Code>AccessDenied</Code><Message>no</Message></Error>"
        if key:
            return (200, {}, objects[key]) if key in objects else (
                404, {}, b"<Error><Code>NoSuchKey</Code><Message>none</Message></Error>")
        asked = urllib.parse.parse_qs(query, keep_blank_values=True)
        marker = asked.get("marker", [""])[0]
        left = sorted(k for k in objects if k.startswith(asked.get("prefix", [""])[0]) and k > marker)
        page = "".join(f"<Contents><Key>{k}</Key><Size>{len(objects[k])}</Size></Contents>" for k in left[:2])
        return 200, {"x-amz-bucket-region": "us-east-1"}, (
            f"<ListBucketResult><IsTruncated>{str(len(left) > 2).lower()}</IsTruncated>{page}"
            f"</ListBucketResult>").encode()
    return web(world, answer)


def with_s3(world, url):
    agent = world.agent()
    agent.config["S3"] = {"Endpoint": url}
    agent.write_config()
    return agent.start()


@suite.case
def s3_lists_are_read_to_their_last_page(world):
    agent = with_s3(world, small_s3(world, {f"many/{n}": b"x" for n in range(7)}))
    result = run(agent, get("S3", at("many"), world.path("many")))["get"]
    equal("result", (result["status"], result["standardError"]), ("Success", ""))
    equal("files", len(os.listdir(world.path("many"))), 7)


@suite.case
def a_public_object_needs_no_permission(world):
    agent = with_s3(world, small_s3(world, {"public/run.sh": SCRIPT}, is_public=True))
    result = run(agent, get("S3", at("public/run.sh"), world.path("file")))["get"]
    equal("result", (result["status"], result["standardError"]), ("Success", ""))
    fails(run(agent, get("S3", at("public/")))["get"], "AccessDenied")


@suite.case
def s3_keys_may_not_leave_the_destination(world):
    agent = world.agent().start()
    bucket(agent.hub, **{"dir/../../evil": b"x", "ok/file": b"x"})
    fails(run(agent, get("S3", at("dir/"), world.path("target/deep")))["get"], "..")
    check(not os.path.exists(world.path("evil")), "a file was written outside of the destination")
    os.makedirs(world.path("links"))
    os.symlink(world.dir, world.path("links/ok"))
    fails(run(agent, get("S3", at("")))["get"])
    result = run(agent, get("S3", at("ok/"), world.path("links/ok")))["get"]
    equal("a link that the author named", result["status"], "Success")


@suite.case
def links_below_the_destination_are_not_followed(world):
    agent = world.agent().start()
    bucket(agent.hub, **{"dir/sub/file": b"x"})
    os.makedirs(world.path("target"))
    os.makedirs(world.path("elsewhere"))
    os.symlink(world.path("elsewhere"), world.path("target/sub"))
    fails(run(agent, get("S3", at("dir/"), world.path("target")))["get"], "sub")
    equal("what the link points to", os.listdir(world.path("elsewhere")), [])


# ---- GitHub ----

def github(world, tree, token=None):
    """Answers as the contents API does. `tree`: path -> bytes, or None for something that is neither."""
    def entry(path, kind):
        return {"type": kind, "name": path.rsplit("/", 1)[-1], "path": path}

    def answer(request):
        path, _, query = request.path.partition("?ref=")
        if request.headers.get("Authorization") != (token and f"Bearer {token}"):
            return 401, {}, json.dumps({"message": "Bad credentials"}).encode()
        if not path.startswith("/repos/me/mine/contents") or request.headers["Accept"] != "application/vnd.github.v3+json":
            return 404, {}, json.dumps({"message": "Not Found"}).encode()
        path = path[len("/repos/me/mine/contents/"):]
        branch = tree.get(query, {})
        if path in branch:
            kind = "symlink" if branch[path] is None else "file"
            data = {**entry(path, kind), "encoding": "base64",
                    "content": base64.encodebytes(branch[path] or b"").decode()}
            return 200, {}, json.dumps(data).encode()
        prefix = path + "/" if path else ""
        names = {name[len(prefix):].split("/", 1)[0]: "/" in name[len(prefix):] for name in branch
                 if name.startswith(prefix)}
        if not names:
            return 404, {}, json.dumps({"message": "Not Found"}).encode()
        return 200, {}, json.dumps([entry(prefix + name, "dir" if is_dir else "file")
                                    for name, is_dir in names.items()]).encode()
    return web(world, answer)


TREE = {"run.sh": SCRIPT, "dir/one": b"one\n", "dir/sub/two": b"\0two"}


@suite.case
def github_files_and_directories(world):
    url = github(world, {"master": TREE, "dev": {"new": b"new"}, "0123abc": {"old": b"old"}})
    agent = world.agent(GitHubEndpoint=url).start()
    info = {"owner": "me", "repository": "mine"}
    equal("a file", run(agent, get("GitHub", {**info, "path": "run.sh"}), shell("run", "./run.sh"))["run"]["standardOutput"],
          "fetched\n")
    result = run(agent, get("GitHub", {**info, "path": "dir/"}, world.path("dir")))["get"]
    equal("a directory", (result["status"], result["standardError"]), ("Success", ""))
    with open(world.path("dir/sub/two"), "rb") as f:
        equal("content", f.read(), b"\0two")
    equal("mode", mode_of(world.path("dir/sub/two")), 0o700)
    run(agent, get("GitHub", info, world.path("all")), get("GitHub", {**info, "getOptions": "branch:dev"}, world.path("dev"), "b"),
        get("GitHub", {**info, "getOptions": "commitID:0123abc"}, world.path("old"), "c"))
    equal("everything", sorted(os.listdir(world.path("all"))), ["dir", "run.sh"])
    equal("refs", (os.listdir(world.path("dev")), os.listdir(world.path("old"))), (["new"], ["old"]))
    fails(run(agent, get("GitHub", {**info, "path": "nothing"}))["get"], "404", "Not Found")
    fails(run(agent, get("GitHub", {**info, "path": "a/../b"}))["get"], "..")


@suite.case
def github_refuses_what_is_no_file(world):
    agent = world.agent(GitHubEndpoint=github(world, {"master": {"dir/link": None}})).start()
    fails(run(agent, get("GitHub", {"owner": "me", "repository": "mine", "path": "dir"}))["get"], "symlink")


@suite.case
def github_takes_a_secure_token(world):
    agent = world.agent(GitHubEndpoint=github(world, {"master": TREE}, "ghp_Geheim")).start()
    secret(agent.hub, "/github/token", "ghp_Geheim")
    info = {"owner": "me", "repository": "mine", "path": "run.sh"}
    fails(run(agent, get("GitHub", info))["get"], "401", "Bad credentials")
    result = run(agent, get("GitHub", {**info, "tokenInfo": "{{ ssm-secure: /github/token }}"}))["get"]
    equal("result", (result["status"], result["standardError"]), ("Success", ""))
    no_secret_below(agent, "ghp_Geheim")


if __name__ == "__main__":
    raise SystemExit(suite.main())
