"""Jobs from S3 to S3: several instances, every mode, what is told of them, and how they fail and stop."""

from __future__ import annotations

import gzip
import io
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tarfile
import threading
import time

import numpy as np
import pytest
from tests.sagemaker import job_cloud
from tests.sagemaker.job_cloud import channel, csv, document, pbr
from tests.sagemaker.job_made import blobs, true_msd

from shoal.errors import BadInputError, ShoalError
from shoal.sagemaker.artefact import read_artefact
from shoal.sagemaker.job_run import run_job
from shoal.sagemaker.job_spec import JobSpec
from shoal.sagemaker.job_store import JobStore

PARTS = [blobs(700 + 100 * i, seed=i) for i in range(3)]
TEST = blobs(500, seed=9)
SLOW = "text/csv;label_size=0"
RUN = """
import sys
from shoal.cli import job
job.app(sys.argv[1:], standalone_mode=True)
"""


@pytest.fixture(scope="module")
def cloud():
    with job_cloud.cloud() as found:
        for i, X in enumerate(PARTS):
            found.put(f"in/train/matrix_{i}.pbr", pbr(X))
            found.put(f"in/gz/{i}.csv.gz", gzip.compress(csv(X, last=b"")))
        found.put("in/test/t.pbr", pbr(TEST))
        manifest = [{"prefix": found.uri("in/train/")}, *(f"matrix_{i}.pbr" for i in range(3))]
        found.put("in/.amazon.manifest", json.dumps(manifest).encode())
        yield found


@pytest.fixture
def store(tmp_path):
    return JobStore(tmp_path / "jobs")


def channels(cloud, spread="ShardedByS3Key", **more):
    train = {"S3DataType": "ManifestFile", "S3DataDistributionType": spread} | more
    return (
        channel("train", cloud.uri("in/.amazon.manifest"), **train),
        channel("test", cloud.uri("in/test")),
    )


def run(cloud, store, given, **options):
    return run_job(JobSpec.from_dict(given), None, cloud.url, store=store, **options)


def model_of(cloud, job, tmp_path):
    (tmp_path / "model.tar.gz").write_bytes(cloud.get(job.model))
    return read_artefact(tmp_path / "model.tar.gz").model


@pytest.mark.parametrize("mode", ["File", "FastFile", "Pipe"])
@pytest.mark.parametrize("spread", ["ShardedByS3Key", "FullyReplicated"])
def test_two_instances_make_the_model_of_all_rows(cloud, store, tmp_path, mode, spread):
    name = f"two-{mode}-{spread}"
    given = document(
        name, cloud.uri("out/"), *channels(cloud, spread), instances=2, mode=mode,
        eval_metrics='["msd", "ssd"]', feature_dim="3", force_dense="True",
    )  # fmt: skip
    job = run(cloud, store, given)
    assert (job.status, job.reason) == ("Completed", "")
    assert job.model == cloud.uri(f"out/{name}/output/model.tar.gz")
    model = model_of(cloud, job, tmp_path)
    assert model.provenance.rows_seen == sum(map(len, PARTS))
    metrics = {m["MetricName"]: m["Value"] for m in job.record["FinalMetricDataList"]}
    assert metrics["test:msd"] == pytest.approx(true_msd(TEST, model.centres), rel=1e-6)
    assert metrics["test:ssd"] == pytest.approx(len(TEST) * metrics["test:msd"], rel=1e-12)


def test_file_mode_gives_the_same_model_on_one_instance_and_on_three(cloud, store, tmp_path):
    found = []
    for n in (1, 3):
        job = run(cloud, store, document(f"on-{n}", cloud.uri("out"), *channels(cloud), instances=n))
        found.append(model_of(cloud, job, tmp_path).centres)
    assert np.array_equal(*found)


@pytest.mark.parametrize("mode", ["File", "Pipe"])
def test_gzip_in_a_channel_of_text_without_a_last_line_end(cloud, store, tmp_path, mode):
    given = document(
        f"gz-{mode}", cloud.uri("out"),
        channel("train", cloud.uri("in/gz/"), CompressionType="Gzip", ContentType=SLOW), mode=mode,
    )  # fmt: skip
    job = run(cloud, store, given)
    assert job.status == "Completed", job.reason
    assert model_of(cloud, job, tmp_path).provenance.rows_seen == sum(map(len, PARTS))


def test_more_epochs_read_more_pipes(cloud, store):
    given = document("epochs", cloud.uri("out"), *channels(cloud), mode="Pipe", instances=2, epochs="3")
    seen = []
    job = run(cloud, store, given, say=lambda host, line: seen.append((host, line)))
    assert job.status == "Completed", job.reason
    progress = [line.split("completed ")[1] for _, line in seen if "#progress_metric" in line]
    assert progress[-1] == "100.0 % of epochs"
    assert len(progress) == 3
    assert {host for host, _ in seen} == {"algo-1", "algo-2"}


def test_what_is_told_afterwards_has_the_shape_of_a_description(cloud, store, tmp_path):
    job = run(cloud, store, document("told", cloud.uri("out"), *channels(cloud)))
    told = JobStore(tmp_path / "jobs").read("told")
    assert told == job.record
    stages = [turn["Status"] for turn in told["SecondaryStatusTransitions"]]
    assert stages == ["Starting", "Downloading", "Training", "Uploading", "Completed"]
    assert all(turn["StartTime"] <= turn["EndTime"] for turn in told["SecondaryStatusTransitions"])
    times = [told[f"{name}Time"] for name in ("Creation", "TrainingStart", "TrainingEnd", "LastModified")]
    assert times == sorted(times)
    assert told["TrainingJobArn"].startswith("arn:")
    assert [m["MetricName"] for m in told["FinalMetricDataList"]] == ["test:msd"]
    assert "#quality_metric" in (store.logs("told") / "algo-1.log").read_text()


def test_a_job_goes_on_from_the_model_of_another(cloud, store, tmp_path):
    one, two = (cloud.put(f"days/{i}/x.pbr", pbr(PARTS[i])) for i in (0, 1))
    first = run(cloud, store, document("day-1", cloud.uri("out"), channel("train", one)))
    model = channel("model", first.model, ContentType="application/x-sagemaker-model", InputMode="File")
    given = document("day-2", cloud.uri("out"), channel("train", two), model, mode="Pipe", instances=2)
    second = run(cloud, store, given)
    assert second.status == "Completed", second.reason
    assert model_of(cloud, second, tmp_path).provenance.rows_seen == len(PARTS[0]) + len(PARTS[1])


def test_a_name_is_used_once(cloud, store):
    given = document("once", cloud.uri("out"), *channels(cloud))
    assert run(cloud, store, given).status == "Completed"
    with pytest.raises(ShoalError, match="already"):
        run(cloud, store, given)


def failing(cloud, case):
    bad = cloud.put("in/bad/x.pbr", pbr(PARTS[0])[:-7])
    train = channels(cloud)[0]
    return {
        "k": ((train,), {"k": "5000"}, "k=5000"),
        "damaged": ((channel("train", bad),), {}, "x.pbr"),
        "nothing": ((channel("train", cloud.uri("in/nothing/")),), {}, "there is nothing"),
        "feature_dim": ((train,), {"feature_dim": "7"}, "feature_dim: 7"),
        "no bucket": ((channel("train", "s3://not-there/x"),), {}, "s3://not-there/x"),
    }[case]


@pytest.mark.parametrize("mode", ["File", "Pipe"])
@pytest.mark.parametrize("case", ["k", "damaged", "nothing", "feature_dim", "no bucket"])
def test_a_job_that_fails_says_why(cloud, store, case, mode):
    given, values, words = failing(cloud, case)
    name = f"fails-{case.replace(' ', '-').replace('_', '-')}-{mode}"
    job = run(cloud, store, document(name, cloud.uri("out"), *given, mode=mode, instances=2, **values))
    assert job.status == "Failed"
    assert job.reason.startswith("ClientError: ")
    assert ("train_0" if (case, mode) == ("damaged", "Pipe") else words) in job.reason
    assert len(job.reason) <= 1024
    assert store.read(name)["SecondaryStatus"] == "Failed"
    assert job.model is None


def test_an_output_that_cannot_be_written_fails_the_job(cloud, store):
    job = run(cloud, store, document("out", "s3://not-there/out", *channels(cloud)))
    assert job.status == "Failed"
    assert "s3://not-there/out" in job.reason


def local_job(tmp_path, name, **more):
    (tmp_path / "in").mkdir(exist_ok=True)
    (tmp_path / "in/a.csv").write_bytes(csv(PARTS[0]))
    given = document(name, tmp_path / "out", channel("train", tmp_path / "in", ContentType=SLOW))
    return JobSpec.from_dict(given | more)


@pytest.mark.parametrize("place", ["/dev/null", "/proc/nothing", "/dev/null/deeper"])
def test_an_output_that_cannot_be_written_is_told_before_the_training(store, tmp_path, place):
    said = []
    spec = local_job(tmp_path, "nowhere", OutputDataConfig={"S3OutputPath": place})
    job = run_job(spec, store=store, say=lambda *line: said.append(line))
    assert job.status == "Failed"
    assert "name another place for the output" in job.reason
    assert said == []


def test_a_model_that_cannot_be_sent_away_is_kept_beside_the_record(store, tmp_path, monkeypatch):
    def full(source, target):
        raise BadInputError("cannot be written (disc full)", place=target.shown)

    monkeypatch.setattr("shoal.sagemaker.job_run.send", full)
    job = run_job(local_job(tmp_path, "full"), store=store)
    assert job.status == "Failed"
    assert job.reason.startswith(
        f"ClientError: {tmp_path}/out/full/output/model.tar.gz: cannot be written (disc full)"
    )
    assert job.reason.endswith(f"is kept in {store.kept_model('full')}")
    assert read_artefact(store.kept_model("full")).model.provenance.rows_seen == len(PARTS[0])


def test_a_model_is_kept_if_the_test_channel_breaks_late(store, tmp_path):
    (tmp_path / "test").mkdir()
    (tmp_path / "test/a.csv").write_bytes(csv(TEST) + b"1,2,x\n")
    spec = local_job(tmp_path, "late")
    broken = channel("test", tmp_path / "test", ContentType=SLOW)
    given = dict(spec.document) | {"InputDataConfig": [*spec.document["InputDataConfig"], broken]}
    job = run_job(JobSpec.from_dict(given), store=store)
    assert job.status == "Failed"
    assert f"row {len(TEST) + 1}" in job.reason
    assert read_artefact(store.kept_model("late")).model.k == 5


@pytest.mark.parametrize(
    ("work", "problem"),
    [
        ("in/deeper", "lies inside channel train"),
        ("/dev/null/x", "cannot be made"),
        ("/proc/x", "cannot be made"),
    ],
)
def test_a_work_folder_that_will_not_do_is_refused(store, tmp_path, work, problem):
    job = run_job(local_job(tmp_path, "work"), tmp_path / work, store=store)
    assert job.status == "Failed"
    assert problem in job.reason
    assert job.reason.startswith("ClientError: ")


def long_job(tmp_path, name, seconds=3600, n=400_000, batch=3):
    """A job of so many rows in small batches that it lasts some seconds."""
    folder = tmp_path / "long"
    if not folder.exists():
        folder.mkdir()
        block = csv(PARTS[0])
        (folder / "a.csv").write_bytes(block * (n // len(PARTS[0])))
    given = document(
        name, tmp_path / "out", channel("train", folder, ContentType=SLOW), mini_batch_size=str(batch),
    )  # fmt: skip
    return given | {"StoppingCondition": {"MaxRuntimeInSeconds": seconds}}


def until(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)


def status_of(store, name):
    try:
        return store.read(name)["SecondaryStatus"]
    except ShoalError:
        return ""


def has_begun(store, name):
    log = store.logs(name) / "algo-1.log"
    return status_of(store, name) == "Training" and log.exists() and "have met" in log.read_text()


def test_a_running_job_is_seen_and_stopped_from_another_process(store, tmp_path):
    path = tmp_path / "job.json"
    path.write_text(json.dumps(long_job(tmp_path, "long")))
    command = [sys.executable, "-c", RUN]
    jobs = ["--jobs", str(store.folder)]
    with subprocess.Popen([*command, "run", str(path), *jobs], stdout=subprocess.PIPE, text=True) as runner:
        until(lambda: has_begun(store, "long"))
        told = subprocess.run([*command, "describe", "long", *jobs], stdout=subprocess.PIPE, check=True)
        assert json.loads(told.stdout)["TrainingJobStatus"] == "InProgress"
        subprocess.run([*command, "stop", "long", *jobs], check=True)
        runner.communicate(timeout=60)
        assert runner.returncode == 1
    record = store.read("long")
    assert record["TrainingJobStatus"] == record["SecondaryStatus"] == "Stopped"
    assert [t["Status"] for t in record["SecondaryStatusTransitions"]][-3:-1] == ["Stopping", "Uploading"]
    rows = read_artefact(record["ModelArtifacts"]["S3ModelArtifacts"]).model.provenance.rows_seen
    assert 0 < rows < 400_000


def test_ctrl_c_stops_the_job_and_leaves_no_process(store, tmp_path):
    path = tmp_path / "job.json"
    path.write_text(json.dumps(long_job(tmp_path, "broken-off")))
    command = [sys.executable, "-c", RUN, "run", str(path), "--jobs", str(store.folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as runner:
        until(lambda: has_begun(store, "broken-off"))
        children = pathlib.Path(f"/proc/{runner.pid}/task/{runner.pid}/children").read_text().split()
        runner.send_signal(signal.SIGINT)
        out, _ = runner.communicate(timeout=60)
    assert "broken-off: Stopped" in out
    assert status_of(store, "broken-off") == "Stopped"
    assert len(children) == 1
    assert not pathlib.Path(f"/proc/{children[0]}").exists()


def test_a_runner_that_is_killed_takes_its_instances_along(store, tmp_path):
    path = tmp_path / "job.json"
    path.write_text(json.dumps(long_job(tmp_path, "killed")))
    command = [sys.executable, "-c", RUN, "run", str(path), "--jobs", str(store.folder), "-q"]
    environment = os.environ | {"TMPDIR": str(tmp_path)}  # nobody is left to clear up
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment) as runner:
        until(lambda: has_begun(store, "killed"))
        [child] = pathlib.Path(f"/proc/{runner.pid}/task/{runner.pid}/children").read_text().split()
        runner.kill()
    until(lambda: is_over(child))
    assert status_of(store, "killed") == "Failed"


def is_over(pid):
    """Whether a process is gone, or waits only to be counted by whoever has inherited it."""
    try:
        return ") Z " in pathlib.Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return True


def test_a_job_that_takes_too_long_is_stopped_with_what_it_has(store, tmp_path):
    job = run_job(JobSpec.from_dict(long_job(tmp_path, "too-long", seconds=3)), store=store)
    assert (job.status, job.record["SecondaryStatus"]) == ("Stopped", "MaxRuntimeExceeded")
    assert read_artefact(job.model).model.k == 5


def test_a_stop_before_the_training_makes_no_model(store, tmp_path):
    stop = threading.Event()
    stop.set()
    job = run_job(JobSpec.from_dict(long_job(tmp_path, "early")), store=store, stop=stop)
    assert (job.status, job.model) == ("Stopped", None)


@pytest.mark.parametrize("instances", [1, 2])
def test_a_job_goes_on_from_the_checkpoints_of_another(store, tmp_path, instances):
    given = long_job(tmp_path, "first", seconds=3) | {
        "CheckpointConfig": {"S3Uri": str(tmp_path / "kept")},
        "ResourceConfig": {"InstanceCount": instances},
        "Environment": {"SHOAL_CHECKPOINT_SECONDS": "0.2"},
    }
    first = run_job(JobSpec.from_dict(given), store=store)
    assert first.record["SecondaryStatus"] == "MaxRuntimeExceeded"
    assert list((tmp_path / "kept").iterdir())
    seen = []
    limit = {"StoppingCondition": {"MaxRuntimeInSeconds": 3600}}
    quick = {"HyperParameters": {"k": "5", "mini_batch_size": "5000"}}
    again = JobSpec.from_dict(given | limit | quick, name="second")
    second = run_job(again, store=store, say=lambda _, line: seen.append(line))
    assert second.status == "Completed", second.reason
    assert sum("going on from a checkpoint" in line for line in seen) == instances
    assert sum(int(n) for n in re.findall(r"checkpoint of (\d+) rows", "\n".join(seen))) > 0
    assert read_artefact(second.model).model.provenance.rows_seen == 400_000 // 700 * 700


def test_the_endpoint_may_come_from_the_environment(cloud, store, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", cloud.url)
    given = document("by-environment", cloud.uri("out"), *channels(cloud))
    assert run_job(JobSpec.from_dict(given), store=store).status == "Completed"


def test_a_work_folder_is_kept_and_other_output_is_packed(store, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "shoal.sagemaker.job_processes.TRAIN",
        "import sys; from pathlib import Path; from shoal.sagemaker.train import train; "
        "(Path(sys.argv[1]) / 'output/data/notes.txt').write_text('x'); sys.exit(train(sys.argv[1]))",
    )
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.csv").write_bytes(csv(PARTS[0]))
    given = document("kept", tmp_path / "out", channel("train", tmp_path / "in", ContentType=SLOW))
    assert run_job(JobSpec.from_dict(given), tmp_path / "work", store=store).status == "Completed"
    packed = (tmp_path / "out/kept/output/output.tar.gz").read_bytes()
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        assert archive.getnames() == ["notes.txt"]
    assert (tmp_path / "work/kept/algo-1/input/config/hyperparameters.json").exists()


def test_an_instance_that_dies_fails_the_job_with_the_others(store, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "shoal.sagemaker.job_processes.TRAIN",
        "import os, sys; from shoal.sagemaker.train import train; "
        "'algo-2' in sys.argv[1] and os.kill(os.getpid(), 9); sys.exit(train(sys.argv[1]))",
    )
    monkeypatch.setattr("shoal.sagemaker.job_run.OTHERS_END", 1.0)
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.csv").write_bytes(csv(PARTS[0]))
    given = document(
        "dies", tmp_path / "out", channel("train", tmp_path / "in", ContentType=SLOW), instances=2
    )
    job = run_job(JobSpec.from_dict(given), store=store)
    assert (job.status, job.reason) == ("Failed", "AlgorithmError: algo-2 ended by signal 9")
