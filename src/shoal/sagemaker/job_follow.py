"""Jobs that other clients have asked an endpoint for, such as a stand-in of the service, run here once each."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from shoal.errors import BadInputError, ShoalError
from shoal.sagemaker.job_fields import USED
from shoal.sagemaker.job_processes import Say
from shoal.sagemaker.job_run import Job, run_job
from shoal.sagemaker.job_spec import JobSpec
from shoal.sagemaker.job_store import JobStore

EVERY = 2.0
"""Seconds between looks for new jobs."""
CLOUD = ("amazonaws.com", "amazonaws.com.cn", "api.aws")


def follow(
    endpoint_url: str,
    *,
    store: JobStore | None = None,
    work_dir: Path | None = None,
    once: bool = False,
    say: Say | None = None,
    ended: Callable[[Job], None] | None = None,
    stop: threading.Event | None = None,
) -> list[Job]:
    """Run every job that an endpoint knows and the store does not, in the order in which they were made.

    The endpoint is one for tests, which keeps records of jobs and runs nothing, whatever status it tells. The model goes
    to where it says the model is.

    Parameters
    ----------
    endpoint_url : answers ListTrainingJobs, DescribeTrainingJob and S3; never the cloud's own, whose jobs have run.
    once : end when all that are there have run, instead of waiting for more.
    ended : called with each job that has ended.
    stop : ends the waiting, and the job that runs.

    Raises
    ------
    ShoalError : boto3 is missing, the endpoint is the cloud's, or cannot be reached.
    """
    stop, store = stop or threading.Event(), store or JobStore()
    client, done = _client(endpoint_url), []
    refused: set[str] = set()
    while not stop.is_set():
        for name in _names(client):
            if stop.is_set():
                break
            if name in refused or name in store.names():
                continue
            try:
                spec = spec_of(client.describe_training_job(TrainingJobName=name))
            except ShoalError as error:
                refused.add(name)
                if say is not None:
                    say(name, f"cannot be run: {error}")
                continue
            job = run_job(spec, work_dir, endpoint_url, store=store, say=say, stop=stop)
            done.append(job)
            if ended is not None:
                ended(job)
        if once:
            break
        stop.wait(EVERY)
    return done


def spec_of(description: dict[str, Any]) -> JobSpec:
    """The job that a description is of. What comes from elsewhere may name S3 only, and nothing of this machine.

    Raises
    ------
    JobSpecError : it cannot be run.

    >>> spec_of({"TrainingJobName": "a", "TrainingJobArn": "any", "HyperParameters": {"k": "3"},
    ...     "OutputDataConfig": {"S3OutputPath": "s3://b/out", "KmsKeyId": ""}, "InputDataConfig": [
    ...         {"ChannelName": "train", "DataSource": {"S3DataSource": {"S3Uri": "s3://b/in"}}}]}).output
    's3://b/out'
    """
    document = {name: description[name] for name in USED if description.get(name) is not None}
    return JobSpec.from_dict(document, only_s3=True)


def _client(endpoint_url: str) -> Any:
    host = urlsplit(endpoint_url).hostname
    if host is None:
        raise BadInputError("is no URL", place=endpoint_url, remedy="write http://host:port")
    if any(host == name or host.endswith(f".{name}") for name in CLOUD):
        raise BadInputError(
            "is the cloud's own: its jobs have run there", place=endpoint_url, remedy="name a test endpoint"
        )
    try:
        import boto3  # type: ignore[import-untyped, unused-ignore]
    except ImportError as error:
        raise ShoalError("following an endpoint needs boto3; pip install 'shoal[sagemaker]'") from error
    region = boto3.session.Session().region_name or "us-east-1"  # a stand-in has none of its own
    return boto3.client("sagemaker", endpoint_url=endpoint_url, region_name=region)


def _names(client: Any) -> list[str]:
    """Names of all jobs, the oldest first."""
    from botocore.exceptions import (  # type: ignore[import-untyped, unused-ignore]
        BotoCoreError,
        ClientError,
    )

    found: list[dict[str, Any]] = []
    more: dict[str, str] = {}
    try:
        while True:
            page = client.list_training_jobs(**more)
            found += page["TrainingJobSummaries"]
            if not page.get("NextToken"):
                break
            more = {"NextToken": page["NextToken"]}
    except (BotoCoreError, ClientError) as error:
        raise ShoalError(f"the endpoint's jobs cannot be listed: {error}") from error
    return [str(s["TrainingJobName"]) for s in sorted(found, key=lambda s: s["CreationTime"])]
