#!/usr/bin/python3
"""The hub's S3-shaped store, log capture and KMS stand-in, as the stock AWS CLI and botocore see them.

usage: hub_services.py PATH-OF-SSMHUB [unittest options]
"""
import base64
import hashlib
import json
import os
import ssl
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.error
import urllib.request

import botocore.auth
import botocore.awsrequest
import botocore.exceptions
import botocore.session
from botocore.config import Config

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import hub_cli  # noqa: E402

MIB = 1 << 20


class Services(unittest.TestCase):
    OPTIONS = ("--faults",)

    @classmethod
    def setUpClass(cls):
        cls.hub = hub_cli.Hub(*cls.OPTIONS)
        os.environ["AWS_SHARED_CREDENTIALS_FILE"] = os.path.join(cls.hub.dir, "credentials")
        if cls.hub.url.startswith("https:"):
            os.environ["AWS_CA_BUNDLE"] = os.path.join(cls.hub.dir, "cert.pem")

    @classmethod
    def tearDownClass(cls):
        os.environ.pop("AWS_CA_BUNDLE", None)
        cls.hub.stop()

    def aws(self, *words):
        """The program itself: its s3 commands are more than the API. It takes seconds to start."""
        done = subprocess.run(["/usr/bin/aws", "--endpoint-url", self.hub.url, "--output", "json", *words],
                              capture_output=True, text=True, timeout=120)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout) if done.stdout.strip() else {}

    def client(self, service, **config):
        return botocore.session.Session().create_client(
            service, endpoint_url=self.hub.url, region_name="us-east-1",
            config=Config(retries={"max_attempts": 0}, **config))

    def refused(self, code, call, **arguments):
        with self.assertRaises(botocore.exceptions.ClientError) as caught:
            call(**arguments)
        self.assertEqual(caught.exception.response["Error"]["Code"], code)
        return caught.exception.response

    def file(self, content):
        f = tempfile.NamedTemporaryFile(dir=self.hub.dir, delete=False)
        f.write(content)
        f.close()
        return f.name

    # ---- S3 ----

    def test_files_go_in_and_out_with_s3_cp(self):
        self.aws("s3api", "create-bucket", "--bucket", "cp-bucket")
        for name, size in (("small", 12), ("ten", 10 * MIB + 3)):
            content = os.urandom(size)
            source, back = self.file(content), os.path.join(self.hub.dir, "back")
            self.aws("s3", "cp", source, f"s3://cp-bucket/pre fix/{name}+ä", "--quiet")
            self.aws("s3", "cp", f"s3://cp-bucket/pre fix/{name}+ä", back, "--quiet")
            with open(back, "rb") as f:
                self.assertEqual(hashlib.md5(f.read()).hexdigest(), hashlib.md5(content).hexdigest(), name)
        listed = self.client("s3").list_objects_v2(Bucket="cp-bucket", Prefix="pre fix/")
        self.assertEqual([(o["Key"], o["Size"]) for o in listed["Contents"]],
                         [("pre fix/small+ä", 12), ("pre fix/ten+ä", 10 * MIB + 3)])

    def test_objects_and_their_properties(self):
        s3 = self.client("s3", s3={"addressing_style": "path"})
        s3.create_bucket(Bucket="objects")
        put = s3.put_object(Bucket="objects", Key="a/b", Body=b"hello", ContentType="text/plain",
                            ACL="bucket-owner-full-control", ServerSideEncryption="AES256")
        self.assertEqual(put["ETag"], '"%s"' % hashlib.md5(b"hello").hexdigest())
        head = s3.head_object(Bucket="objects", Key="a/b")
        self.assertEqual((head["ContentLength"], head["ContentType"], head["ServerSideEncryption"]),
                         (5, "text/plain", "AES256"))
        self.assertEqual(s3.get_object(Bucket="objects", Key="a/b", Range="bytes=1-3")["Body"].read(), b"ell")
        self.refused("304", s3.get_object, Bucket="objects", Key="a/b", IfNoneMatch=put["ETag"])
        self.refused("404", s3.head_object, Bucket="objects", Key="a")
        self.refused("NoSuchBucket", s3.put_object, Bucket="nowhere", Key="k", Body=b"")
        self.refused("BucketNotEmpty", s3.delete_bucket, Bucket="objects")
        s3.delete_object(Bucket="objects", Key="a/b")
        s3.delete_bucket(Bucket="objects")
        self.refused("404", s3.head_bucket, Bucket="objects")

    def test_lists_have_pages_and_folders(self):
        s3 = self.client("s3")
        s3.create_bucket(Bucket="lists")
        keys = ["a/1", "a/2", "b", "c/d/1", "z<&>"]
        strange = ["control\x01key", "percent%41 plus+"]
        for key in keys:
            s3.put_object(Bucket="lists", Key=key, Body=b"x")
        for api, size in (("list_objects", 2), ("list_objects_v2", 2), ("list_objects_v2", 1)):
            pages = s3.get_paginator(api).paginate(Bucket="lists", PaginationConfig={"PageSize": size})
            self.assertEqual([o["Key"] for page in pages for o in page.get("Contents", [])], keys)
        pages = list(s3.get_paginator("list_objects").paginate(Bucket="lists", Delimiter="/",
                                                               PaginationConfig={"PageSize": 1}))
        self.assertEqual([p["Prefix"] for page in pages for p in page.get("CommonPrefixes", [])], ["a/", "c/"])
        self.assertEqual([o["Key"] for page in pages for o in page.get("Contents", [])], ["b", "z<&>"])
        for key in strange:  # the token that leads from one to the next is for XML, which cannot say them
            s3.put_object(Bucket="lists", Key=key, Body=b"x")
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket="lists", PaginationConfig={"PageSize": 1})
        self.assertEqual([o["Key"] for page in pages for o in page.get("Contents", [])], sorted(keys + strange))
        self.assertFalse(s3.list_objects_v2(Bucket="lists", MaxKeys=0)["IsTruncated"])

    def put_raw(self, target, body, **headers):
        """Signed as the body says of itself, whatever it is."""
        class Signer(botocore.auth.S3SigV4Auth):
            def payload(self, request):
                return headers.get("x-amz-content-sha256", "UNSIGNED-PAYLOAD")
        request = botocore.awsrequest.AWSRequest("PUT", self.hub.url + target, data=body, headers=headers)
        Signer(botocore.session.Session().get_credentials(), "s3", "us-east-1").add_auth(request)
        raw = urllib.request.Request(self.hub.url + target, body, dict(request.headers), method="PUT")
        context = ssl.create_default_context(cafile=os.environ["AWS_CA_BUNDLE"]) \
            if self.hub.url.startswith("https:") else None
        try:
            with urllib.request.urlopen(raw, timeout=60, context=context) as answer:
                return answer.status, ""
        except urllib.error.HTTPError as e:
            return e.code, e.read().decode()

    def test_a_body_in_chunks_is_taken_whole_or_not_at_all(self):
        s3 = self.client("s3")
        s3.create_bucket(Bucket="chunks")
        chunked = {"x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER"}
        good = b"5\r\nhello\r\n1;name=value\r\n!\r\n0\r\nx-amz-checksum-crc32:AAAA\r\n\r\n"
        self.assertEqual(self.put_raw("/chunks/k", good, **chunked), (200, ""))
        self.assertEqual(s3.get_object(Bucket="chunks", Key="k")["Body"].read(), b"hello!")
        for body, code, length in (
                (b"5\r\nhello\r\n", "IncompleteBody", None),  # the end is missing
                (b"5\r\nhel", "IncompleteBody", None),
                (b"", "IncompleteBody", None),
                (b"5\r\nhello\r\n\r\n\r\n", "InvalidRequest", None),  # a chunk without a size is not the last
                (b"5\r\nhello!\r\n0\r\n\r\n", "InvalidRequest", None),  # more than the chunk has
                (b"xyz\r\nhello\r\n0\r\n\r\n", "InvalidRequest", None),
                (good, "IncompleteBody", "7")):
            more = {"x-amz-decoded-content-length": length} if length else {}
            status, text = self.put_raw("/chunks/other", body, **chunked, **more)
            self.assertEqual((status, f"<Code>{code}</Code>" in text), (400, True), (body, text))
        self.refused("404", s3.head_object, Bucket="chunks", Key="other")
        status, text = self.put_raw("/chunks/%ff", b"x")
        self.assertEqual((status, "<Code>InvalidURI</Code>" in text), (400, True), text)

    def test_an_object_comes_in_parts(self):
        s3 = self.client("s3")
        s3.create_bucket(Bucket="parts")
        upload = s3.create_multipart_upload(Bucket="parts", Key="k", ContentType="text/plain")["UploadId"]
        bodies = [b"x" * (5 * MIB), b"end"]
        parts = [{"PartNumber": n + 1,
                  "ETag": s3.upload_part(Bucket="parts", Key="k", UploadId=upload, PartNumber=n + 1, Body=b)["ETag"]}
                 for n, b in enumerate(bodies)]
        wrong = [dict(parts[0], ETag='"%032x"' % 0), parts[1]]
        self.refused("InvalidPart", s3.complete_multipart_upload, Bucket="parts", Key="k", UploadId=upload,
                     MultipartUpload={"Parts": wrong})
        s3.complete_multipart_upload(Bucket="parts", Key="k", UploadId=upload, MultipartUpload={"Parts": parts})
        self.assertEqual(s3.get_object(Bucket="parts", Key="k")["Body"].read(), b"".join(bodies))
        upload = s3.create_multipart_upload(Bucket="parts", Key="k")["UploadId"]
        s3.abort_multipart_upload(Bucket="parts", Key="k", UploadId=upload)
        self.refused("NoSuchUpload", s3.upload_part, Bucket="parts", Key="k", UploadId=upload, PartNumber=1, Body=b"")

    def test_buckets_have_regions_and_encryption(self):
        s3 = self.client("s3")
        s3.create_bucket(Bucket="far-away", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
        request = urllib.request.Request(self.hub.url + "/far-away", method="HEAD")
        context = None
        if self.hub.url.startswith("https:"):
            context = ssl.create_default_context(cafile=os.path.join(self.hub.dir, "cert.pem"))
        with self.assertRaises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(request, context=context)
        self.assertEqual((caught.exception.code, caught.exception.headers["x-amz-bucket-region"]), (403, "eu-west-1"))
        far = botocore.session.Session().create_client("s3", endpoint_url=self.hub.url, region_name="eu-west-1")
        far.put_object(Bucket="far-away", Key="k", Body=b"x")
        self.assertEqual(far.get_bucket_location(Bucket="far-away")["LocationConstraint"], "eu-west-1")
        self.refused("ServerSideEncryptionConfigurationNotFoundError", far.get_bucket_encryption, Bucket="far-away")
        rule = {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": "k"}}]}
        far.put_bucket_encryption(Bucket="far-away", ServerSideEncryptionConfiguration=rule)
        self.assertEqual(far.get_bucket_encryption(Bucket="far-away")["ServerSideEncryptionConfiguration"]["Rules"][0]
                         ["ApplyServerSideEncryptionByDefault"], rule["Rules"][0]["ApplyServerSideEncryptionByDefault"])

    def test_a_bucket_may_stand_before_the_host(self):
        if self.hub.url.startswith("https:"):
            self.skipTest("the hub's certificate is for its address")
        s3 = self.client("s3")
        s3.create_bucket(Bucket="virtual-host")
        named = botocore.session.Session().create_client(
            "s3", endpoint_url=f"http://localhost:{self.hub.port}", region_name="us-east-1",
            config=Config(s3={"addressing_style": "virtual"}, retries={"max_attempts": 0}))
        seen = []

        def turn(request, **_):
            seen.append(request.url)
            request.headers["Host"] = f"virtual-host.localhost:{self.hub.port}"
            request.url = request.url.replace("virtual-host.localhost", "127.0.0.1")

        named.meta.events.register("before-send.s3.*", turn)
        named.put_object(Bucket="virtual-host", Key="k/x", Body=b"hello")
        self.assertIn("virtual-host.localhost", seen[0])
        self.assertEqual(s3.get_object(Bucket="virtual-host", Key="k/x")["Body"].read(), b"hello")

    def test_what_is_not_signed_well_is_refused(self):
        session = botocore.session.Session()
        session.set_credentials(self.hub.credentials.access_key, "another-secret")
        bad = session.create_client("s3", endpoint_url=self.hub.url, region_name="us-east-1",
                                    config=Config(retries={"max_attempts": 0}))
        self.refused("SignatureDoesNotMatch", bad.list_buckets)
        session.set_credentials("AKIDUNKNOWN", "secret")
        bad = session.create_client("s3", endpoint_url=self.hub.url, region_name="us-east-1")
        self.refused("InvalidAccessKeyId", bad.list_buckets)

    def test_faults_spoil_s3_too(self):
        s3 = self.client("s3")
        s3.create_bucket(Bucket="faulty")
        self.hub.fault(kind="error", operation="PutObject", status=503, code="SlowDown")
        response = self.refused("SlowDown", s3.put_object, Bucket="faulty", Key="k", Body=b"x")
        self.assertEqual(response["ResponseMetadata"]["HTTPStatusCode"], 503)
        self.hub.fault(kind="reset", operation="PutObject")
        with self.assertRaises((botocore.exceptions.ConnectionClosedError, botocore.exceptions.HTTPClientError,
                                botocore.exceptions.SSLError)):
            s3.put_object(Bucket="faulty", Key="k", Body=b"x" * MIB)
        s3.put_object(Bucket="faulty", Key="k", Body=b"x")

    # ---- CloudWatch Logs ----

    def test_events_are_kept_in_order(self):
        logs = self.client("logs")
        logs.create_log_group(logGroupName="/aws/ssm/x")
        self.refused("ResourceAlreadyExistsException", logs.create_log_group, logGroupName="/aws/ssm/x")
        self.refused("ResourceNotFoundException", logs.create_log_stream, logGroupName="other", logStreamName="s")
        logs.create_log_stream(logGroupName="/aws/ssm/x", logStreamName="c/i/step/stdout")
        now = int(time.time() * 1000)
        for n in range(3):
            logs.put_log_events(logGroupName="/aws/ssm/x", logStreamName="c/i/step/stdout",
                                logEvents=[{"timestamp": now + n, "message": f"line {n}\n"}])
        got = self.aws("logs", "get-log-events", "--log-group-name", "/aws/ssm/x",
                       "--log-stream-name", "c/i/step/stdout")
        self.assertEqual([e["message"] for e in got["events"]], ["line 0\n", "line 1\n", "line 2\n"])
        last = logs.get_log_events(logGroupName="/aws/ssm/x", logStreamName="c/i/step/stdout", limit=1)
        self.assertEqual([e["message"] for e in last["events"]], ["line 2\n"])
        before = logs.get_log_events(logGroupName="/aws/ssm/x", logStreamName="c/i/step/stdout", limit=1,
                                     nextToken=last["nextBackwardToken"])
        self.assertEqual([e["message"] for e in before["events"]], ["line 1\n"])
        found = logs.filter_log_events(logGroupName="/aws/ssm/x", filterPattern='"line 1"')
        self.assertEqual([e["message"] for e in found["events"]], ["line 1\n"])
        streams = logs.describe_log_streams(logGroupName="/aws/ssm/x", logStreamNamePrefix="c/")["logStreams"]
        self.assertEqual([s["logStreamName"] for s in streams], ["c/i/step/stdout"])
        self.assertIn("/aws/ssm/x", [g["logGroupName"] for g in logs.describe_log_groups()["logGroups"]])

    def test_limits_of_the_logs_are_kept(self):
        logs = self.client("logs")
        logs.create_log_group(logGroupName="limits")
        logs.create_log_stream(logGroupName="limits", logStreamName="s")
        now = int(time.time() * 1000)
        for events in ([{"timestamp": now, "message": "x" * 262144}],
                       [{"timestamp": now, "message": "x" * 200000}] * 6,
                       [{"timestamp": now + 1, "message": "b"}, {"timestamp": now, "message": "a"}],
                       [{"timestamp": now - 15 * 86400000, "message": "old"}]):
            self.refused("InvalidParameterException", logs.put_log_events, logGroupName="limits", logStreamName="s",
                         logEvents=events)
        logs.delete_log_group(logGroupName="limits")
        self.refused("ResourceNotFoundException", logs.describe_log_streams, logGroupName="limits")

    # ---- KMS ----

    def test_a_data_key_opens_with_its_context_only(self):
        kms = self.client("kms")
        context = {"aws:ssm:SessionId": "s", "aws:ssm:TargetId": "i"}
        made = kms.generate_data_key(KeyId="alias/sessions", NumberOfBytes=64, EncryptionContext=context)
        self.assertEqual(len(made["Plaintext"]), 64)
        opened = kms.decrypt(CiphertextBlob=made["CiphertextBlob"], EncryptionContext=dict(reversed(context.items())))
        self.assertEqual((opened["Plaintext"], opened["KeyId"]), (made["Plaintext"], made["KeyId"]))
        self.refused("InvalidCiphertextException", kms.decrypt, CiphertextBlob=made["CiphertextBlob"],
                     EncryptionContext={"aws:ssm:SessionId": "other"})
        self.refused("IncorrectKeyException", kms.decrypt, CiphertextBlob=made["CiphertextBlob"], KeyId="other",
                     EncryptionContext=context)
        spoiled = made["CiphertextBlob"][:-2] + b"AA"
        self.refused("InvalidCiphertextException", kms.decrypt, CiphertextBlob=spoiled, EncryptionContext=context)
        sealed = self.aws("kms", "encrypt", "--key-id", "k1", "--plaintext", base64.b64encode(b"hello").decode())
        opened = kms.decrypt(CiphertextBlob=base64.b64decode(sealed["CiphertextBlob"]))
        self.assertIn(opened["Plaintext"], (b"hello", base64.b64encode(b"hello")))  # the CLI's major versions differ


class ServicesOverTls(Services):
    OPTIONS = ("--faults", "--tls")
    test_files_go_in_and_out_with_s3_cp = None  # once is enough for what starts the program
    test_events_are_kept_in_order = None
    test_a_data_key_opens_with_its_context_only = None


if __name__ == "__main__":
    hub_cli.HUB = sys.argv.pop(1)
    unittest.main()
