"""World news by what happened and where: a well-known tutorial for the built-in k-means of Amazon SageMaker, from the
events to predictions, on this machine and without an account.

    python examples/gdelt/gdelt.py 20130401.export.CSV.gz --out gdelt-out

See README.md beside this file.
"""

from __future__ import annotations

import argparse
import io
import json
import logging
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from shoal.report.pictures import cluster_map, save_picture
from shoal.report.view import View
from shoal.sagemaker.artefact import read_artefact
from shoal.sagemaker.job_run import run_job
from shoal.sagemaker.job_spec import JobSpec
from shoal.sagemaker.job_store import JobStore
from shoal.sagemaker.job_tune import Tuning, tune
from shoal.sources.recordio_source import read_rows
from shoal.sources.recordio_template import write_dense

FIELDS = {
    26: "EventCode",
    33: "NumArticles",
    34: "AvgTone",
    39: "Actor1Geo_Lat",
    40: "Actor1Geo_Long",
    46: "Actor2Geo_Lat",
    47: "Actor2Geo_Long",
}
"""What is used of the 57 or 58 fields of a line, by position, as the files have no header."""
NUMBERS = ("AvgTone", "NumArticles", "Actor1Geo_Lat", "Actor1Geo_Long", "Actor2Geo_Lat", "Actor2Geo_Long")
EVENTS = 20
KS = range(2, 13)
PREFIX = "sagemaker/DEMO-kmeans"
SHARDS, TEST_SHARE = 4, 0.1
CONTENT = "application/x-recordio-protobuf"
REGION = "us-east-1"
Rows = NDArray[np.float32]


def read_events(path: Path) -> pd.DataFrame:
    """The fields of a file of GDELT 1.0 events."""
    table = pd.read_csv(path, sep="\t", header=None, usecols=list(FIELDS), encoding="latin-1")
    return table.rename(columns=FIELDS)


def features(events: pd.DataFrame) -> pd.DataFrame:
    """One row for each event whose kind is frequent and whose two actors have a place: 6 numbers and 20 kinds as 0 or 1.

    Places are unknown where both coordinates are 0 (years before 2013) or empty (days from then on).
    """
    frequent = events["EventCode"].value_counts().index[:EVENTS]
    placed = np.ones(len(events), bool)
    for actor in ("Actor1", "Actor2"):
        where = events[[f"{actor}Geo_Lat", f"{actor}Geo_Long"]]
        placed &= where.notna().all(axis=1).to_numpy() & (where != 0).any(axis=1).to_numpy()
    kept = events[placed & events["EventCode"].isin(frequent).to_numpy()]
    # named as categories, so that a kind of which no event has a place keeps its column
    kinds = pd.Categorical(kept["EventCode"], categories=sorted(frequent))
    dummies = pd.get_dummies(pd.Series(kinds, index=kept.index), prefix="EventCode")
    return pd.concat([kept[list(NUMBERS)], dummies], axis=1).astype("float32")


def upload(X: Rows, s3: Any, bucket: str) -> None:
    """The rows as RecordIO-protobuf: shards to train on, and a tenth to test."""
    held_out = int(len(X) * TEST_SHARE)
    parts = {f"train/{i}.pbr": part for i, part in enumerate(np.array_split(X[held_out:], SHARDS))}
    for name, part in (parts | {"test/0.pbr": X[:held_out]}).items():
        file = io.BytesIO()
        write_dense(file, part)
        s3.put_object(Bucket=bucket, Key=f"{PREFIX}/{name}", Body=file.getvalue())


def job_document(name: str, bucket: str, k: int, width: int) -> dict[str, Any]:
    """What a client sends to CreateTrainingJob."""
    channels = [
        {
            "ChannelName": channel,
            "ContentType": CONTENT,
            "DataSource": {
                "S3DataSource": {
                    "S3DataType": "S3Prefix",
                    "S3Uri": f"s3://{bucket}/{PREFIX}/{channel}/",
                    "S3DataDistributionType": spread,
                }
            },
        }
        for channel, spread in (("train", "ShardedByS3Key"), ("test", "FullyReplicated"))
    ]
    return {
        "TrainingJobName": name,
        "AlgorithmSpecification": {"TrainingImage": "kmeans:1", "TrainingInputMode": "File"},
        "RoleArn": "arn:aws:iam::000000000000:role/unused",
        "HyperParameters": {"k": str(k), "feature_dim": str(width), "mini_batch_size": "1000"},
        "InputDataConfig": channels,
        "OutputDataConfig": {"S3OutputPath": f"s3://{bucket}/kmeans_example/output"},
        "ResourceConfig": {"InstanceCount": 2, "InstanceType": "ml.c4.8xlarge", "VolumeSizeInGB": 50},
        "StoppingCondition": {"MaxRuntimeInSeconds": 3600},
    }


def choose(document: dict[str, Any], url: str, out: Path) -> Tuning:
    """Every k from one read, instead of a job for each of them."""
    tuning = tune(JobSpec.from_dict(document), list(KS), endpoint_url=url)
    tuning.save(out)
    print("   k   train msd    test msd")
    for trial in tuning.trials:
        print(f"  {trial.k:2d}  {trial.train_msd:10.2f}  {trial.test_msd:10.2f}")
    for reason in tuning.choice.reasons:
        print(f"  {reason}")
    return tuning


def train(document: dict[str, Any], url: str, out: Path) -> str:
    """Run the job; where its model is."""
    (out / "job.json").write_text(json.dumps(document, indent=2) + "\n")
    job = run_job(JobSpec.from_dict(document), endpoint_url=url, store=JobStore(out / "jobs"))
    if job.model is None:
        raise SystemExit(f"{job.name}: {job.status}: {job.reason}")
    figures = {m["MetricName"]: round(m["Value"], 2) for m in job.record["FinalMetricDataList"]}
    print(f"  {job.status}: {job.model}, {figures}")
    return job.model


def predict(url: str, X: Rows) -> list[dict[str, float]]:
    """Ask the endpoint as any client of the runtime does."""
    runtime = boto3.client("sagemaker-runtime", endpoint_url=url, region_name=REGION)
    body = io.BytesIO()
    write_dense(body, X)
    answer = runtime.invoke_endpoint(
        EndpointName="kmeans", ContentType=CONTENT, Accept="application/json", Body=body.getvalue()
    )
    found: list[dict[str, float]] = json.loads(answer["Body"].read())["predictions"]
    return found


@contextmanager
def s3_server(url: str | None) -> Iterator[str]:
    """The address of an S3 server: one that is given, or one of our own while the block lasts."""
    if url is not None:
        yield url
        return
    from moto.server import ThreadedMotoServer

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        os.environ.setdefault(name, "testing")
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # or each request is a line
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield f"http://{host}:{port}"
    finally:
        server.stop()


@contextmanager
def endpoint(artefact: Path) -> Iterator[str]:
    """The address of a model that is served while the block lasts."""
    command = [sys.executable, "-m", "shoal", "sagemaker", "serve", str(artefact), "--port", "0"]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)  # noqa: S603 our own command
    try:
        told = ""
        while (found := re.search(r"(http://\S+)/invocations", told)) is None:
            line = server.stderr.readline() if server.stderr else ""
            if not line:
                raise SystemExit(f"the endpoint did not start: {told}")
            told += line
        yield found[1]
    finally:
        server.terminate()
        server.wait(30)


def run(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """All steps; what they found."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "events", type=Path, help="a file of GDELT 1.0 events, such as 20130401.export.CSV.gz"
    )
    parser.add_argument("--out", type=Path, default=Path("gdelt-out"), help="folder for pictures and model")
    parser.add_argument("--k", type=int, help="default: what the criteria suggest")
    parser.add_argument("--endpoint-url", help="an S3 server; default: one is started on loopback")
    asked = parser.parse_args(argv)
    asked.out.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()

    table = features(read_events(asked.events))
    X = np.ascontiguousarray(table.sample(frac=1, random_state=1729), np.float32)
    print(f"1. {len(X):,} events of {asked.events.name}, {X.shape[1]} features")

    with s3_server(asked.endpoint_url) as url:
        s3 = boto3.client("s3", endpoint_url=url, region_name=REGION)
        name = time.strftime("kmeans-%Y-%m-%d-%H-%M-%S")
        s3.create_bucket(Bucket=name)
        upload(X, s3, name)
        print(f"2. {SHARDS} shards in s3://{name}/{PREFIX}/train at {url}")

        moment = time.monotonic()
        document = job_document(name, name, max(KS), X.shape[1])
        print(f"3. k = {min(KS)} to {max(KS)} from one read")
        tuning = choose(document, url, asked.out)
        k = asked.k or tuning.choice.most_voted
        print(f"  {time.monotonic() - moment:.1f} s for {len(KS)} models; elbow.png; taken: k = {k}")

        moment = time.monotonic()
        print(f"4. a training job for k = {k} with 2 instances")
        key = train(job_document(name, name, k, X.shape[1]), url, asked.out).removeprefix(f"s3://{name}/")
        s3.download_file(name, key, str(asked.out / "model.tar.gz"))
        held_out = read_rows(
            s3.get_object(Bucket=name, Key=f"{PREFIX}/test/0.pbr")["Body"].read(), name="test/0.pbr"
        )
        print(f"  {time.monotonic() - moment:.1f} s")

    artefact = read_artefact(asked.out / "model.tar.gz")
    if artefact.summary is None:
        raise SystemExit("the artefact has no summary, and pictures are drawn from it")
    view = View.of(artefact.model, artefact.summary.points())
    save_picture(cluster_map(view, projection="tsne"), asked.out / "tsne.png")
    print("5. the clusters by t-SNE: tsne.png")

    with endpoint(asked.out / "model.tar.gz") as url:
        found = predict(url, held_out)
    here = artefact.model.assign(held_out)
    same = sum(int(p["closest_cluster"]) == c for p, c in zip(found, here.positions, strict=True))
    apart = max(abs(p["distance_to_cluster"] - d) for p, d in zip(found, here.distances, strict=True))
    print(
        f"6. boto3 asked the endpoint for {len(found):,} rows: {same:,} as assigned here, distances within {apart:.1g}"
    )
    print(f"{time.monotonic() - began:.0f} s in all; {asked.out} has pictures, job.json and model.tar.gz")
    return {"k": k, "rows": len(X), "same": same, "asked": len(found), "apart": apart, "tuning": tuning}


if __name__ == "__main__":
    run()
