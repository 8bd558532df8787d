#!/usr/bin/env python3
"""Who a node is and by what credentials it speaks: registrations with an activation, their keys and role
tokens, instances and containers with their metadata services, files that change under the agent."""
import contextlib
import glob
import json
import os
import subprocess
import sys
import time

import harness
import metadata
from harness import check, document, equal, program, wait_for

suite = harness.Suite("identity and credentials", jobs=4)
STARTER = {"AWS_EC2_METADATA_DISABLED": "true", "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent"}


def keys_of(hub):
    with open(hub.credentials, encoding="ascii") as f:
        pairs = dict((w.strip() for w in line.split("=", 1)) for line in f if "=" in line)
    return pairs["aws_access_key_id"], pairs["aws_secret_access_key"]


def bare_agent(world, hub, **settings):
    """One that has to find out by itself who it is."""
    agent = world.agent(hub, **settings)
    del agent.config["Identity"]
    agent.write_config()
    agent.environment = dict(STARTER)
    return agent


def activate(hub, **more):
    answer = hub.ssm.create_activation(IamRole="service-role/Node", **{"RegistrationLimit": 10, **more})
    return answer["ActivationId"], answer["ActivationCode"]


def register(agent, *words, stdin=None, status=0):
    done = subprocess.run([program("agent", "ssmd"), *words, "--root", agent.root], input=stdin, text=True,
                          capture_output=True, timeout=60, env={**os.environ, **STARTER}, check=False)
    equal(f"the exit status of {words}: {done.stdout}{done.stderr}", done.returncode, status)
    return done.stdout + done.stderr


def make_hybrid(world, *hub_options, **settings):
    hub = world.hub(*hub_options)
    agent = bare_agent(world, hub, **settings)
    node, code = activate(hub, DefaultInstanceName="web")
    said = register(agent, "register", "--activation-id", node, "--activation-code", "-", "--region",
                    harness.REGION, stdin=code + "\n")
    agent.instance = said.split("instance-id: ")[1].strip()
    agent.code = code
    return hub, agent


def node_of(hub, instance):
    return next(n for n in hub.state()["Nodes"] if n["InstanceId"] == instance)


def information(hub):
    """What the service knows of the only node, once it has been told."""
    return wait_for("the node to be known", lambda: hub.ssm.describe_instance_information()["InstanceInformationList"])[0]


def runs_a_command(hub, agent, script="echo done"):
    message = hub.send(document(script), instance=agent.instance)
    record = agent.wait_terminal(message)
    equal("the status", record.terminal[0]["Status"], "Success")
    return record


@suite.case
def a_registered_node_runs_commands_with_the_keys_of_its_role(world):
    hub, agent = make_hybrid(world)
    check(agent.instance.startswith("mi-"), f"{agent.instance} is no id of a managed node")
    agent.start()
    record = runs_a_command(hub, agent, "echo $AWS_SSM_INSTANCE_ID; cat $AWS_SHARED_CREDENTIALS_FILE | wc -l; "
                            "echo $AWS_SHARED_CREDENTIALS_FILE")
    lines = record.results["step1"]["standardOutput"].splitlines()
    share = os.path.join(agent.state_dir, "identity", "credentials")
    equal("what the script sees", lines, [agent.instance, "4", share])
    equal("the mode of the shared file", os.stat(share).st_mode & 0o777, 0o600)
    info = information(hub)
    equal("the name", (info["InstanceId"], info["PingStatus"], info["Name"], info["ResourceType"]),
          (agent.instance, "Online", "web", "ManagedInstance"))
    equal("role tokens", node_of(hub, agent.instance)["RoleTokens"], 1)
    equal("the status's kind", agent.status()["identity"]["kind"], "OnPrem")


@suite.case
def the_credentials_files_of_others_are_left_alone(world):
    hub, agent = make_hybrid(world)
    theirs = [world.path("home/.aws/credentials"), world.path("named")]
    os.makedirs(os.path.dirname(theirs[0]))
    for path in theirs:
        with open(path, "w", encoding="ascii") as f:
            f.write("[default]\naws_access_key_id = AKIDOPERATOR\naws_secret_access_key = s\n")
    before = [(os.stat(path).st_ino, os.stat(path).st_mtime_ns) for path in theirs]
    agent.start(HOME=world.path("home"), AWS_SHARED_CREDENTIALS_FILE=theirs[1])
    record = runs_a_command(hub, agent, "echo $AWS_SHARED_CREDENTIALS_FILE")
    equal("the script's file", record.results["step1"]["standardOutput"].strip(),
          os.path.join(agent.state_dir, "identity", "credentials"))
    equal("the files", [(os.stat(path).st_ino, os.stat(path).st_mtime_ns) for path in theirs], before)
    equal("what is beside them", [os.listdir(world.path("home")), os.listdir(os.path.dirname(theirs[0]))],
          [[".aws"], ["credentials"]])


@suite.case
def a_registration_is_needed_only_once_for_what_is_refused(world):
    hub, agent = make_hybrid(world)
    first = agent.instance
    node, code = activate(hub, RegistrationLimit=1)
    words = ["-register", "-id", node, "-code", code, "-region", harness.REGION]
    said = register(agent, *words, stdin="no\n", status=1)
    check("Registration canceled by user" in said, said)
    register(agent, "-register", "-id", node, "-code", "A" * 20, "-region", harness.REGION, "-y", status=1)
    register(agent, "-register", "-id", node, "-code", code, "-y", status=1)  # no region
    with open(os.path.join(agent.state_dir, "identity/registration"), encoding="ascii") as f:
        check(first in f.read(), "a registration that was refused has replaced the old one")
    check("Successfully registered" in register(agent, *words, "-y"), "the reference's text")
    said = register(agent, *words, "-y", status=1)
    check("RegistrationLimitExceeded" in said, said)
    equal("keys in the vault", len(glob.glob(os.path.join(agent.state_dir, "identity/key.*"))), 1)
    with open(os.path.join(agent.state_dir, "identity/credentials"), "w", encoding="ascii") as f:
        f.write("[default]\n")
    check("removed" in register(agent, "-register", "-clear"), "cleared")
    check(not os.path.exists(os.path.join(agent.state_dir, "identity/credentials")), "scripts keep credentials")
    equal("keys in the vault", glob.glob(os.path.join(agent.state_dir, "identity/key.*")), [])


@suite.case
def a_machine_that_is_another_one_asks_for_no_token_unless_it_may(world):
    hub, agent = make_hybrid(world)
    path = os.path.join(agent.state_dir, "identity/fingerprint")
    said = register(agent, "-fingerprint", "-similarityThreshold", "0", status=1)
    check("Value must be between 1 and 100 or -1 (check disabled)" in said, said)
    equal("what is said", register(agent, "-fingerprint", "-similarityThreshold", "60"),
          "Fingerprint SimilarityThreshold set to 60\n")
    with open(path, encoding="ascii") as f:
        fingerprint = json.load(f)
    equal("the threshold", fingerprint["similarityThreshold"], 60)
    fingerprint["hardwareHash"]["machine-id"] = "another\n"
    with open(path, "w", encoding="ascii") as f:
        json.dump(fingerprint, f)
    agent.start().wait_until_serving()
    wait_for("the difference to be told", lambda: "machine-id differs" in json.dumps(agent.status()["credentials"]))
    equal("role tokens", node_of(hub, agent.instance)["RoleTokens"], 0)
    register(agent, "-fingerprint", "-similarityThreshold", "-1")  # the ssmd that runs is told
    runs_a_command(hub, agent)


@suite.case
def an_agent_without_identity_waits_and_is_registered_while_it_runs(world):
    hub = world.hub()
    agent = bare_agent(world, hub).start()
    agent.wait_until_serving()

    def text():
        return agent.status()["identity"]["text"]
    wait_for(lambda: f"the reasons of all three, not {text()!r}", lambda: all(
        word in text() for word in ("OnPrem: not registered", "EC2: ", "CustomIdentity: ")))
    node, code = activate(hub)
    said = register(agent, "register", "--activation-id", node, "--activation-code", code, "--region",
                    harness.REGION)
    agent.instance = said.split("instance-id: ")[1].strip()
    runs_a_command(hub, agent)


@suite.case
def role_keys_that_expire_soon_are_renewed_before(world):
    # Renewed at half of their life: a machine that is too busy for that has the other half.
    hub, agent = make_hybrid(world, "--role-token-seconds", "30")
    agent.start()
    runs_a_command(hub, agent)
    wait_for("three role tokens", lambda: node_of(hub, agent.instance)["RoleTokens"] >= 3, timeout=120)
    runs_a_command(hub, agent)
    check("ExpiredToken" not in agent.log(), "a call was made with expired keys")


@suite.case
def a_refused_role_token_is_asked_for_again_until_it_comes(world):
    hub, agent = make_hybrid(world)
    hub.fault(kind="error", operation="RequestManagedInstanceRoleToken", status=400, code="AccessDeniedException",
              times=3)
    agent.start()
    runs_a_command(hub, agent)


@suite.case
def the_key_is_rotated_when_the_service_asks(world):
    hub, agent = make_hybrid(world, "--role-token-seconds", "6")
    before = node_of(hub, agent.instance)["PublicKey"]
    hub._call("POST", "/_faults", {"rotate": agent.instance})
    agent.start()
    wait_for("another key", lambda: node_of(hub, agent.instance)["PublicKey"] != before)
    wait_for("the new registration", lambda: agent.query(
        "SELECT state FROM instance WHERE machine = 'registration' AND state = 'registered'"))
    wait_for("one key", lambda: len(glob.glob(os.path.join(agent.state_dir, "identity/key.*"))) == 1)
    n = node_of(hub, agent.instance)["RoleTokens"]
    wait_for("tokens by the new key", lambda: node_of(hub, agent.instance)["RoleTokens"] > n + 1)
    runs_a_command(hub, agent)
    agent.terminate()
    agent.start()
    runs_a_command(hub, agent)


@suite.case
def a_rotation_whose_answer_is_lost_ends_with_the_key_that_counts(world):
    hub, agent = make_hybrid(world, "--role-token-seconds", "6")
    before = node_of(hub, agent.instance)["PublicKey"]
    hub._call("POST", "/_faults", {"rotate": agent.instance})
    hub.fault(kind="lose", operation="UpdateManagedInstancePublicKey", times=8)
    agent.start()
    wait_for("another key", lambda: node_of(hub, agent.instance)["PublicKey"] != before)
    wait_for("one key", lambda: len(glob.glob(os.path.join(agent.state_dir, "identity/key.*"))) == 1)
    runs_a_command(hub, agent)


@suite.case
def a_rotation_that_is_refused_keeps_the_old_key(world):
    hub, agent = make_hybrid(world)
    before = node_of(hub, agent.instance)["PublicKey"]
    hub._call("POST", "/_faults", {"rotate": agent.instance})
    hub.fault(kind="error", operation="UpdateManagedInstancePublicKey", status=400, code="AccessDeniedException",
              times=20)
    agent.start()
    wait_for("the refusal", lambda: "keeps the old key" in agent.log())
    wait_for("one key", lambda: len(glob.glob(os.path.join(agent.state_dir, "identity/key.*"))) == 1)
    equal("the key", node_of(hub, agent.instance)["PublicKey"], before)
    runs_a_command(hub, agent)


@suite.case
def wherever_a_rotation_is_killed_the_next_start_has_the_key_that_counts(world):
    hub, agent = make_hybrid(world)
    crashes = 0

    def is_settled():
        """Also the vault: the state alone is there before the last places to be killed at."""
        return agent.query(
            "SELECT 1 FROM instance WHERE machine = 'registration' AND state = 'registered' AND NOT EXISTS "
            "(SELECT 1 FROM effect WHERE instance_id = instance.id AND closed_unix_ms IS NULL)")

    for n in range(1, 40):
        hub._call("POST", "/_faults", {"rotate": agent.instance})
        trace = os.path.join(agent.root, "trace")
        agent.start(SSMD_CRASH_AT=str(n), SSMD_CRASH_TRACE=trace)
        wait_for("its end, or the rotation's", lambda: not agent.is_up or (
            not node_of(hub, agent.instance)["IsRotationWanted"] and is_settled()))
        is_done = agent.is_up
        crashes += not is_done
        agent.kill()
        agent.start()
        runs_a_command(hub, agent)
        wait_for("what was begun to end", is_settled)
        agent.terminate()
        if is_done:
            break
    check(crashes >= 6, f"only {crashes} places to be killed at were met")
    equal("keys", len(glob.glob(os.path.join(agent.state_dir, "identity/key.*"))), 1)


@suite.case
def wherever_a_registration_is_killed_the_next_one_works(world):
    hub = world.hub()
    agent = bare_agent(world, hub)
    node, code = activate(hub, RegistrationLimit=1000)
    words = ["register", "--activation-id", node, "--activation-code", code, "--region", harness.REGION, "--yes"]
    crashes = 0
    for n in range(1, 200, 2):
        done = subprocess.run([program("agent", "ssmd"), *words, "--root", agent.root], capture_output=True,
                              timeout=60, check=False, env={**os.environ, **STARTER, "SSMD_CRASH_AT": str(n)})
        if done.returncode == 0:
            break
        equal("it was killed", done.returncode, -9)
        crashes += 1
    check(crashes >= 6, f"only {crashes} places to be killed at were met")
    agent.instance = done.stdout.decode().split("instance-id: ")[1].strip()
    equal("keys", len(glob.glob(os.path.join(agent.state_dir, "identity/key.*"))), 1)
    agent.start()
    runs_a_command(hub, agent)


@suite.case
def no_secret_of_a_registration_is_left_anywhere(world):
    hub, agent = make_hybrid(world, "--role-token-seconds", "8")
    agent.start(log="debug")
    record = runs_a_command(hub, agent, "env; tr '\\0' '\\n' < /proc/$PPID/environ; tr '\\0' ' ' < /proc/$PPID/cmdline")
    with open(os.path.join(agent.state_dir, "identity/credentials"), encoding="ascii") as f:
        pairs = dict((w.strip() for w in line.split("=", 1)) for line in f if "=" in line)
    with open(glob.glob(os.path.join(agent.state_dir, "identity/key.*"))[0], encoding="ascii") as f:
        private = f.read()
    secrets = {"activation code": agent.code, "private key": private[:60],
               "secret key": pairs["aws_secret_access_key"], "session token": pairs["aws_session_token"]}
    places = {"log": agent.log(), "output": record.results["step1"]["standardOutput"]}
    files = [(path, path) for path in glob.glob(os.path.join(agent.state_dir, "**"), recursive=True)
             if os.path.isfile(path) and "/identity/" not in path]
    files += [(f"{name} of {pid}", f"/proc/{pid}/{name}") for pid in harness.marked_processes(agent.mark)
              for name in ("cmdline", "environ")]
    for place, path in files:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError), open(path, "rb") as f:  # some end meanwhile
            places[place] = f.read().decode("latin-1")
    for place in ("journal.db", "journal.db-wal"):
        check(any(path.endswith("/" + place) for path in places), f"{place} was not looked into")
    for name, secret in secrets.items():
        for place, text in places.items():
            check(secret not in text, f"the {name} stands in {place}")
    for path in glob.glob(os.path.join(agent.state_dir, "identity/*")):
        with contextlib.suppress(FileNotFoundError):  # the name of a file that is being replaced
            equal(f"the mode of {path}", os.stat(path).st_mode & 0o777, 0o600)


@suite.case
def a_node_that_was_deregistered_says_so_and_lives_on(world):
    hub, agent = make_hybrid(world, "--role-token-seconds", "6")
    agent.start()
    runs_a_command(hub, agent)
    hub.ssm.deregister_managed_instance(InstanceId=agent.instance)
    wait_for("the reason", lambda: "Not existing InstanceId" in agent.status()["credentials"]["text"])
    check(agent.is_up, "it has ended")


@suite.case
def the_registration_of_the_reference_agent_is_taken_over(world):
    hub, agent = make_hybrid(world)
    vault = os.path.join(agent.state_dir, "identity")
    with open(glob.glob(vault + "/key.*")[0], encoding="ascii") as f:
        key = f.read()
    with open(vault + "/fingerprint", encoding="utf-8") as f:
        fingerprint = f.read()
    other = bare_agent(world, hub, name="other")
    theirs = os.path.join(other.root, "var/lib/amazon/ssm/Vault")
    os.makedirs(theirs + "/Store", mode=0o700)
    store = "/var/lib/amazon/ssm/Vault/Store/"
    files = {"Manifest": json.dumps({"RegistrationKey": store + "RegistrationKey",
                                     "InstanceFingerprint": store + "InstanceFingerprint"}),
             "Store/InstanceFingerprint": fingerprint,
             "Store/RegistrationKey": json.dumps({
                 "instanceID": agent.instance, "region": harness.REGION, "instanceType": "",
                 "availabilityZone": "", "privateKey": key, "publicKey": "", "privateKeyType": "Rsa",
                 "privateKeyCreatedDate": "2024-01-02 03:04:05.123456789 +0000 UTC"})}
    for name, text in files.items():
        with open(os.path.join(theirs, name), "w", encoding="utf-8") as f:
            f.write(text)
        os.chmod(os.path.join(theirs, name), 0o600)
    other.instance = agent.instance
    other.start()
    runs_a_command(hub, other)
    equal("their files", {name: open(os.path.join(theirs, name), encoding="utf-8").read() for name in files}, files)


@suite.case
def a_clock_that_is_ten_years_off_delays_nothing(world):
    hub, agent = make_hybrid(world, "--role-token-seconds", "10")
    for offset in ("315360000", "-315360000"):
        hub.stop()
        hub.options = ("--role-token-seconds", "10", "--date-offset", offset)
        hub.start()
        agent.start()
        message = agent.hub.send(document("echo done"), instance=agent.instance, created_offset=int(offset))
        equal("the status", agent.wait_terminal(message).terminal[0]["Status"], "Success")
        n = node_of(hub, agent.instance)["RoleTokens"]
        begin = time.monotonic()
        wait_for("a renewal", lambda k=n: node_of(hub, agent.instance)["RoleTokens"] > k)
        n_renewed = node_of(hub, agent.instance)["RoleTokens"] - n
        at_most = 2 + (time.monotonic() - begin) / 5  # half of their life
        check(n_renewed <= at_most, f"role tokens are asked for again and again: {n_renewed}, and not {at_most}")
        agent.terminate()


# ---- metadata services ----

def with_metadata(world, **environment):
    hub = world.hub()
    m = metadata.Metadata()
    world.at_end.append(m.stop)
    agent = bare_agent(world, hub)
    agent.environment = {"AWS_EC2_METADATA_SERVICE_ENDPOINT": m.url + "/ignored",
                         "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent", **environment}
    agent.instance = metadata.INSTANCE
    key, secret = keys_of(hub)
    m.credentials = metadata.document(key, secret, "")
    m.identity = metadata.document(key, secret, "")
    return hub, m, agent


@suite.case
def an_instance_is_known_by_its_metadata(world):
    hub, m, agent = with_metadata(world)
    agent.start(http_proxy="http://127.0.0.1:1", HTTP_PROXY="http://127.0.0.1:1",
                no_proxy=hub.url.split("//")[1])
    runs_a_command(hub, agent)
    equal("the identity", (agent.status()["identity"]["kind"], agent.status()["instance_id"]),
          ("EC2", metadata.INSTANCE))
    check("role of the instance: in use" in agent.status()["credentials"]["text"], agent.status()["credentials"])
    info = information(hub)
    equal("the instance", (info["InstanceId"], info["ResourceType"]), (metadata.INSTANCE, "EC2Instance"))
    check(all(h.get("x-aws-ec2-metadata-token") for w, p, h in m.requests if w == "GET"), "version 1 was used")


FAULTS = [(path, fault) for path in ("/latest/api/token", "/latest/meta-data/instance-id",
                                     "/latest/meta-data/iam/security-credentials/web")
          for fault in (401, 404, 500, 503, "slow", "truncated", "huge", "garbage", "reset")]


@suite.case
def metadata_that_fails_in_any_way_is_waited_for(world):
    hub, m, agent = with_metadata(world)
    for path, fault in FAULTS[::4] + [("/latest/api/token", "slow")]:
        m.faults = {path: fault}
        m.requests.clear()
        agent.start()
        wait_for(f"a request for {path}", lambda p=path: m.count(p) > 0)
        agent.wait_until_serving()
        m.faults = {}
        runs_a_command(hub, agent)
        agent.terminate()


@suite.case
def version_1_is_used_only_where_it_is_allowed(world):
    hub, m, agent = with_metadata(world)
    m.is_v1_only = True
    agent.start()
    agent.wait_until_serving()
    wait_for("the reason", lambda: "Ssmd.ImdsV1" in agent.status()["identity"]["text"])
    agent.terminate()
    agent.config["Ssmd"]["ImdsV1"] = True
    agent.write_config()
    agent.start()
    runs_a_command(hub, agent)


@suite.case
def a_profile_that_comes_late_or_changes_is_used_within_a_minute(world):
    hub, m, agent = with_metadata(world)
    good = m.credentials
    m.role, m.identity = None, None
    agent.start()
    agent.wait_until_serving()
    wait_for("the reason", lambda: "not registered" in agent.status().get("credentials", {}).get("text", ""))
    m.role = "web"
    runs_a_command(hub, agent)
    m.credentials = {**good, "SecretAccessKey": "wrong" * 8}
    m.credentials = {"Code": "AssumeRoleUnauthorizedAccess", "Message": "no trust"}
    m.credentials = good
    runs_a_command(hub, agent)


@suite.case
def default_host_management_gives_a_role_where_there_is_no_profile(world):
    hub, m, agent = with_metadata(world)
    m.role = None
    agent.start()
    runs_a_command(hub, agent)
    check(node_of(hub, metadata.INSTANCE)["RoleTokens"] >= 1, "no role token was asked for")
    check(m.count("/latest/meta-data/iam/security-credentials/") >= 1, "the profile was not asked for first")


@suite.case
def a_container_is_known_by_its_task(world):
    hub = world.hub()
    m = metadata.Metadata()
    world.at_end.append(m.stop)
    agent = bare_agent(world, hub)
    agent.config["Agent"] = {"ContainerMode": True}
    agent.write_config()
    key, secret = keys_of(hub)
    m.container = lambda: metadata.document(key, secret, "", life_s=12)
    agent.environment = {"ECS_CONTAINER_METADATA_URI_V4": m.url + metadata.TASK, **STARTER,
                         "AWS_CONTAINER_CREDENTIALS_FULL_URI": m.url + "/credentials",
                         "AWS_CONTAINER_AUTHORIZATION_TOKEN": "secret-of-the-task"}
    agent.instance = "ecs:blue_fedcba98_0123456789abcdef-77"
    agent.start()
    runs_a_command(hub, agent)
    wait_for("a renewal", lambda: m.count("/credentials") >= 2)
    equal("the token", [h.get("Authorization") for w, p, h in m.requests if p == "/credentials"][0],
          "secret-of-the-task")


# ---- doctor ----

class Checks(dict):
    """The last line of each check; every() has all of them."""

    def __init__(self, lines):
        super().__init__((line["check"], line) for line in lines)
        self.lines = lines

    def every(self, name):
        return [line for line in self.lines if line["check"] == name]


def doctor(agent, *words, **environment):
    env = {**os.environ, **STARTER, **agent.environment, **environment}
    done = subprocess.run([program("ctl", "ssmctl"), "--root", agent.root, "--json", "doctor", *words], text=True,
                          capture_output=True, timeout=60, env=env, check=False)
    check(done.returncode in (0, 1), f"doctor ended with {done.returncode}: {done.stderr}")
    answer = json.loads(done.stdout)
    equal("the exit status", done.returncode, 0 if answer["is_healthy"] else 1)
    return answer["is_healthy"], Checks(answer["checks"])


@suite.case
def the_doctor_says_what_is_wrong_with_the_agent_up_and_down(world):
    hub, agent = make_hybrid(world)
    agent.config["Mgs"] = {"Endpoint": hub.url}
    agent.config["S3"] = {"Endpoint": hub.url}
    agent.config["Ssmd"]["LogsEndpoint"] = hub.url
    agent.write_config()
    tokens = node_of(hub, agent.instance)["RoleTokens"]
    is_healthy, checks = doctor(agent)
    equal("failed without ssmd", [c for c in checks if checks[c]["state"] == "failed"], ["ssmd"])
    check(agent.instance in checks["identity"]["text"], checks["identity"])
    check("takes them" in checks["credentials"]["text"], checks["credentials"])
    equal("role tokens", node_of(hub, agent.instance)["RoleTokens"], tokens + 1)
    agent.start()
    runs_a_command(hub, agent)
    is_healthy, checks = doctor(agent)
    check(is_healthy, checks)
    agent.config["S3"] = {"Endpoint": "http://127.0.0.1:1"}
    agent.write_config()
    is_healthy, checks = doctor(agent)
    check(is_healthy, f"S3 is not needed by everybody: {checks}")
    equal("what is said of S3", [line["state"] for line in checks.every("output")].count("warning"), 1)
    os.chmod(agent.state_dir, 0o755)
    hub.stop()
    is_healthy, checks = doctor(agent)
    check(not is_healthy, "a hub that is away is not noticed")
    equal("states", [checks[c]["state"] for c in ("state", "endpoint", "credentials")], ["failed"] * 3)
    check(all(c["try"] for c in checks.values() if c["state"] == "failed"), checks)
    os.chmod(agent.state_dir, 0o700)


@suite.case
def the_doctor_says_every_warning_of_the_configuration(world):
    hub, agent = make_hybrid(world)
    agent.config["Ssmd"].update(CaFile="/no/such/ca.pem", RunnnerPath="/x")
    agent.config["Ssmd"].pop("RunnerPath", None)  # looked for beside ssmd then, and is not there in a build
    agent.config["S3"] = {"Endpoint": "ftp://127.0.0.1"}
    agent.write_config()
    _, checks = doctor(agent)
    lines = [line["text"] for line in checks.every("configuration")]
    check_config = subprocess.run([program("ctl", "ssmctl"), "--root", agent.root, "--json", "config", "check"],
                                  text=True, capture_output=True, check=False, env={**os.environ, **agent.environment})
    findings = [f for f in json.loads(check_config.stdout)["findings"] if f["severity"] == "warning"]
    check(len(findings) >= 3, findings)
    for finding in findings:
        equal(f"lines about {finding['key']}", sum(f': {finding["key"]}: ' in line for line in lines), 1)
    equal("lines", len(lines), len(findings) + 1)


@suite.case
def the_doctor_tells_why_there_is_no_identity(world):
    hub = world.hub()
    agent = bare_agent(world, hub)
    is_healthy, checks = doctor(agent)
    check(not is_healthy and checks["identity"]["state"] == "failed", checks)
    check("register" in checks["identity"]["try"], checks["identity"])
    equal("what it left", os.path.exists(agent.state_dir), False)


# ---- files ----

@suite.case
def a_credentials_file_may_be_emptied_broken_and_replaced(world):
    hub = world.hub()
    agent = world.agent(hub, BackoffCapSeconds=300)
    path = world.path("credentials")
    with open(hub.credentials, encoding="ascii") as f:
        good = f.read()
    with open(path, "w", encoding="ascii") as f:
        f.write(good)
    agent.start(AWS_SHARED_CREDENTIALS_FILE=path, AWS_EC2_METADATA_DISABLED="true")
    runs_a_command(hub, agent)
    for bad in ("", "[default]\naws_access_key_id=AKIAWRONG\naws_secret_access_key=x\n", None):
        if bad is None:
            os.unlink(path)
        else:
            with open(path, "w", encoding="latin-1") as f:
                f.write(bad)
        hub.fault(kind="reset", operation="GetMessages", times=1)
        wait_for("the poll to fail", lambda: agent.status()["channel"]["n_failures"] >= 3, timeout=120)
        with open(path + ".new", "w", encoding="ascii") as f:
            f.write(good)
        os.rename(path + ".new", path)
        runs_a_command(hub, agent)


sys.exit(suite.main())
