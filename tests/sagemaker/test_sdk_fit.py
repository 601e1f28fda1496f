"""``KMeans.fit`` of the SageMaker Python SDK against a stand-in of the service, whose jobs we run.

The last release with that class is 2.257.7, in an environment of its own: name its interpreter in
SHOAL_SAGEMAKER_SDK_PYTHON.
"""

from __future__ import annotations

import json
import os
import subprocess

import numpy as np
import pytest
from tests.sagemaker import job_cloud, job_made
from tests.sagemaker.sdk_made import PYTHON, WHY
from typer.testing import CliRunner

from shoal.cli.job import app
from shoal.errors import BadInputError
from shoal.sagemaker.artefact import read_artefact
from shoal.sagemaker.job_follow import follow
from shoal.sagemaker.job_store import JobStore

FIT = """
import json, sys, warnings
warnings.simplefilter("ignore")
import boto3, numpy as np, sagemaker

bucket, instances, wait = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "wait"
session = sagemaker.Session(boto3.Session(region_name="us-east-1"), default_bucket=bucket)
X = np.load(sys.argv[4])
kmeans = sagemaker.KMeans(
    role="arn:aws:iam::000000000000:role/any", instance_count=instances, instance_type="ml.c4.xlarge", k=5,
    output_path=f"s3://{bucket}/sdk-out", sagemaker_session=session, eval_metrics=["msd", "ssd"],
)
channels = [
    kmeans.record_set(X),
    kmeans.record_set(X[:500], channel="test", distribution="FullyReplicated"),
]
kmeans.fit(channels, mini_batch_size=1000, wait=wait, logs=wait)
print("\\n" + json.dumps([kmeans.latest_training_job.name, kmeans.model_data]))
"""
needs_sdk = pytest.mark.skipif(not PYTHON.exists(), reason=WHY)


@pytest.fixture(scope="module")
def cloud():
    with job_cloud.cloud() as found:
        yield found


def client_of(cloud):
    import boto3

    return boto3.client("sagemaker", endpoint_url=cloud.url, region_name="us-east-1")


@needs_sdk
@pytest.mark.parametrize(("instances", "wait"), [(1, "wait"), (2, "go")])
def test_what_the_sdk_fits_is_fitted(cloud, tmp_path, instances, wait):
    X = job_made.blobs(3000)
    np.save(tmp_path / "X.npy", X)
    command = [str(PYTHON), "-c", FIT, cloud.bucket, str(instances), wait, str(tmp_path / "X.npy")]
    environment = os.environ | {"AWS_ENDPOINT_URL": cloud.url, "SAGEMAKER_SUPPRESS_V2_WARNING": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr[-2000:]
    name, where = json.loads(done.stdout.strip().splitlines()[-1])
    jobs = {job.name: job for job in follow(cloud.url, store=JobStore(tmp_path / "jobs"), once=True)}
    assert jobs[name].status == "Completed", jobs[name].reason
    assert jobs[name].model == where
    (tmp_path / "model.tar.gz").write_bytes(cloud.get(where))
    model = read_artefact(tmp_path / "model.tar.gz").model
    assert (model.k, model.provenance.rows_seen) == (5, 3000)
    metrics = {m["MetricName"]: m["Value"] for m in jobs[name].record["FinalMetricDataList"]}
    assert metrics["test:msd"] == pytest.approx(job_made.true_msd(X[:500], model.centres), rel=1e-6)


def create(cloud, name, uri, **hyperparameters):
    given = job_cloud.document(name, cloud.uri("out"), job_cloud.channel("train", uri), **hyperparameters)
    client_of(cloud).create_training_job(**given)


def test_every_job_of_an_endpoint_is_run_once(cloud, tmp_path):
    store, told = JobStore(tmp_path), []
    follow(cloud.url, store=store, once=True)
    uri = cloud.put("follow/x.pbr", job_cloud.pbr(job_made.blobs(300)))
    create(cloud, "good", uri)
    create(cloud, "bad", uri, k="301")
    create(cloud, "odd", uri, epochs="many")
    done = follow(cloud.url, store=store, once=True, say=lambda name, line: told.append((name, line)))
    assert {job.name: job.status for job in done} == {"good": "Completed", "bad": "Failed"}
    odd = next(line for name, line in told if name == "odd")
    assert odd.startswith("cannot be run: $.HyperParameters.epochs")
    described = client_of(cloud).describe_training_job(TrainingJobName="good")
    assert cloud.get(described["ModelArtifacts"]["S3ModelArtifacts"])[:2] == b"\x1f\x8b"
    assert follow(cloud.url, store=store, once=True) == []


def test_the_command_tells_which_job_has_failed(cloud, tmp_path):
    uri = cloud.put("follow/y.pbr", job_cloud.pbr(job_made.blobs(300)))
    create(cloud, "by-command", uri, k="301")
    command = ["follow", "--endpoint-url", cloud.url, "--once", "--quiet", "--jobs", str(tmp_path)]
    found = CliRunner().invoke(app, command)
    assert found.exit_code == 1
    assert "by-command: Failed" in found.stdout


def test_the_cloud_itself_is_not_followed(tmp_path):
    with pytest.raises(BadInputError, match="the cloud's own"):
        follow("https://api.sagemaker.eu-west-1.amazonaws.com", store=JobStore(tmp_path), once=True)
