"""A stand-in of the cloud for tests: S3 and records of jobs on loopback, and documents of jobs."""

from __future__ import annotations

import contextlib
import copy
import io
import uuid

import numpy as np
import pytest

from shoal.sources.recordio_template import write_dense

VARIABLES = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


class Cloud:
    def __init__(self, url, client):
        self.url, self.client = url, client
        self.bucket = f"b-{uuid.uuid4().hex[:8]}"
        client.create_bucket(Bucket=self.bucket)

    def put(self, key, data):
        self.client.put_object(Bucket=self.bucket, Key=key, Body=data)
        return f"s3://{self.bucket}/{key}"

    def get(self, uri):
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        return self.client.get_object(Bucket=bucket, Key=key)["Body"].read()

    def uri(self, key):
        return f"s3://{self.bucket}/{key}"


@contextlib.contextmanager
def cloud():
    boto3 = pytest.importorskip("boto3")
    server = pytest.importorskip("moto.server").ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    patch = pytest.MonkeyPatch()
    for name, value in VARIABLES.items():
        patch.setenv(name, value)
    patch.delenv("AWS_ENDPOINT_URL", raising=False)
    url = f"http://{host}:{port}"
    yield Cloud(url, boto3.client("s3", endpoint_url=url, region_name="us-east-1"))
    patch.undo()
    server.stop()


def pbr(X):
    """Rows as RecordIO-protobuf."""
    file = io.BytesIO()
    write_dense(file, X)
    return file.getvalue()


def csv(X, *, last=b"\n"):
    """Rows as text, whose last line may lack its end."""
    file = io.BytesIO()
    np.savetxt(file, X, delimiter=",", fmt="%.9g")
    return file.getvalue().rstrip(b"\n") + last


def channel(name, uri, **changed):
    """An entry of InputDataConfig; upper-case names change the entry, others its S3DataSource."""
    source = {"S3DataType": "S3Prefix", "S3Uri": str(uri), "S3DataDistributionType": "FullyReplicated"}
    entry = {"ChannelName": name, "CompressionType": "None", "RecordWrapperType": "None"}
    source |= {n: v for n, v in changed.items() if n.startswith("S3")}
    entry |= {n: v for n, v in changed.items() if not n.startswith("S3")}
    return entry | {"DataSource": {"S3DataSource": source}}


def document(name, output, *channels, instances=1, mode="File", **hyperparameters):
    """As the blog post on the built-in k-means sends it."""
    return copy.deepcopy(
        {
            "AlgorithmSpecification": {"TrainingImage": "kmeans:1", "TrainingInputMode": mode},
            "RoleArn": "arn:aws:iam::000000000000:role/any",
            "OutputDataConfig": {"S3OutputPath": str(output)},
            "ResourceConfig": {
                "InstanceCount": instances, "InstanceType": "ml.c4.8xlarge", "VolumeSizeInGB": 50,
            },
            "TrainingJobName": name,
            "HyperParameters": {"k": "5"} | hyperparameters,
            "StoppingCondition": {"MaxRuntimeInSeconds": 3600},
            "InputDataConfig": list(channels),
        }
    )  # fmt: skip
