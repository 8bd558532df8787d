"""What a hub holds of a command's output: objects in its buckets, events in its log streams."""
from harness import REGION


def client(hub, service):
    """An operator's, signed with the hub's own key."""
    import botocore.config
    import botocore.session
    with open(hub.credentials, encoding="ascii") as f:
        keys = dict((word.strip() for word in line.split("=", 1)) for line in f if "=" in line)
    return botocore.session.Session().create_client(
        service, region_name=REGION, endpoint_url=hub.url,
        aws_access_key_id=keys["aws_access_key_id"], aws_secret_access_key=keys["aws_secret_access_key"],
        config=botocore.config.Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}))


def make_agent(world, hub=None, **settings):
    """One whose S3 and CloudWatch Logs are the hub's."""
    hub = hub or world.hub()
    agent = world.agent(hub, LogsEndpoint=hub.url, **settings)
    agent.config["S3"] = {"Endpoint": hub.url}
    agent.write_config()
    return agent


def objects(hub, bucket, prefix=""):
    """Name behind the prefix -> bytes."""
    s3 = client(hub, "s3")
    listed = s3.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", [])
    return {o["Key"][len(prefix):]: s3.get_object(Bucket=bucket, Key=o["Key"])["Body"].read() for o in listed}


def events(hub, group, stream):
    got = client(hub, "logs").get_log_events(logGroupName=group, startFromHead=True, logStreamName=stream)
    return [e["message"] for e in got["events"]]


def streams(hub, group):
    found = client(hub, "logs").describe_log_streams(logGroupName=group)["logStreams"]
    return [s["logStreamName"] for s in found]
