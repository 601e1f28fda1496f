"""Every k from one read: the figures are true, the suggestion is right, the artefacts are those of the trials."""

from __future__ import annotations

import json
import pathlib

import numpy as np
import pytest
from tests.sagemaker import job_made
from tests.sagemaker.job_cloud import channel, document, pbr
from typer.testing import CliRunner

from shoal.cli.job import app
from shoal.errors import ShoalError
from shoal.sagemaker.artefact import read_artefact
from shoal.sagemaker.job_run import run_job
from shoal.sagemaker.job_spec import JobSpec
from shoal.sagemaker.job_store import JobStore
from shoal.sagemaker.job_tune import tune

TRAIN, TEST = [job_made.blobs(900, seed=i) for i in range(3)], job_made.blobs(400, seed=7)
MNIST = pathlib.Path(__file__).parents[3] / "shared/data/mnist"


@pytest.fixture
def given(tmp_path):
    for folder in ("train", "test"):
        (tmp_path / folder).mkdir()
    for i, X in enumerate(TRAIN):
        (tmp_path / f"train/{i}.pbr").write_bytes(pbr(X))
    (tmp_path / "test/t.pbr").write_bytes(pbr(TEST))
    return document(
        "houses", tmp_path / "out",
        channel("train", tmp_path / "train"), channel("test", tmp_path / "test"),
    )  # fmt: skip


def test_the_test_msd_of_every_trial_is_exact_and_the_right_k_is_suggested(given):
    tuning = tune(JobSpec.from_dict(given), range(2, 9))
    assert tuning.ks == list(range(2, 9))
    for trial in tuning.trials:
        assert trial.test_msd == pytest.approx(job_made.true_msd(TEST, trial.solution.centres), rel=1e-6)
        assert trial.test_ssd == pytest.approx(trial.test_msd * len(TEST), rel=1e-12)
    assert tuning.choice.suggested == 5
    assert tuning.best.test_msd == min(t.test_msd for t in tuning.trials)


def test_it_tells_how_far_its_one_read_is(given):
    told = []
    tune(
        JobSpec.from_dict(given | {"HyperParameters": {"k": "2", "mini_batch_size": "500"}}),
        [2],
        on_progress=told.append,
    )
    rows = [progress.rows for progress in told]
    assert rows == sorted(rows)
    assert rows[0] <= 500
    assert rows[-1] == sum(map(len, TRAIN))


def test_more_clusters_than_rows_are_left_out_and_told(given, tmp_path):
    tuning = tune(JobSpec.from_dict(given), [2, 5, 99_999])
    assert (tuning.ks, tuning.left_out) == ([2, 5], (99_999,))
    (tmp_path / "job.json").write_text(json.dumps(given))
    done = CliRunner().invoke(app, ["tune", str(tmp_path / "job.json"), "--k", "2,5,99999"])
    assert "more clusters than rows that differ: k = 99999" in done.output


def test_one_read_finds_what_a_job_for_each_k_finds(given, tmp_path):
    tuning = tune(JobSpec.from_dict(given), range(2, 9))
    for k in (3, 5):
        spec = JobSpec.from_dict(given | {"HyperParameters": {"k": str(k)}}, name=f"job-{k}")
        job = run_job(spec, store=JobStore(tmp_path / "jobs"))
        [metric] = job.record["FinalMetricDataList"]
        assert tuning.best_of(k).test_msd == pytest.approx(metric["Value"], rel=0.02)


def test_without_a_test_channel_the_train_msd_counts(given):
    del given["InputDataConfig"][1]
    tuning = tune(JobSpec.from_dict(given), [4, 5], factors=(None, 4))
    assert tuning.objective == "train:msd"
    assert [t.test_msd for t in tuning.trials] == [None] * 4
    X = np.concatenate(TRAIN)
    for trial in tuning.trials:
        assert trial.train_msd == pytest.approx(job_made.true_msd(X, trial.solution.centres), rel=1e-5)
    with pytest.raises(ShoalError, match="needs a test channel"):
        tune(JobSpec.from_dict(given), [4], objective="test:msd")


def test_artefacts_hold_the_trials_and_can_be_gone_on_from(given, tmp_path):
    tuning = tune(JobSpec.from_dict(given), [3, 5])
    written = tuning.save(tmp_path / "ks", artefacts=True)
    assert [p.relative_to(tmp_path).as_posix() for p in written] == [
        "ks/elbow.png",
        "ks/k3/model.tar.gz",
        "ks/k5/model.tar.gz",
    ]
    assert written[0].read_bytes().startswith(b"\x89PNG")
    for k, path in zip((3, 5), written[1:], strict=True):
        found = read_artefact(path)
        centres = tuning.best_of(k).solution.centres
        order = np.argsort(found.model.centres[:, 0])
        assert np.allclose(found.model.centres[order], centres[np.argsort(centres[:, 0])])
        assert found.summary.count == found.model.provenance.rows_seen == 2700


@pytest.mark.parametrize("missing", ["train", "rows", "k"])
def test_what_is_missing_is_named(given, tmp_path, missing):
    if missing == "train":
        del given["InputDataConfig"][0]
    if missing == "rows":
        for path in (tmp_path / "test").iterdir():
            path.write_bytes(b"")
    words = {"train": "no train channel", "rows": "channel test: no rows", "k": "no k"}[missing]
    with pytest.raises(ShoalError, match=words):
        tune(JobSpec.from_dict(given), [] if missing == "k" else [3])


def invoke(*arguments):
    found = CliRunner().invoke(app, [str(a) for a in arguments])
    if found.exception is not None and not isinstance(found.exception, SystemExit):
        raise found.exception
    return found


def test_the_command_takes_a_tuning_job(given, tmp_path):
    ranges = {
        "IntegerParameterRanges": [
            {"Name": "k", "MinValue": "3", "MaxValue": "5"},
            {"Name": "extra_center_factor", "MinValue": "4", "MaxValue": "5"},
            {"Name": "mini_batch_size", "MinValue": "3000", "MaxValue": "15000"},
        ]
    }
    definition = {k: v for k, v in given.items() if k not in ("TrainingJobName", "HyperParameters")}
    (tmp_path / "tuning.json").write_text(
        json.dumps(
            {
                "HyperParameterTuningJobConfig": {"ParameterRanges": ranges},
                "TrainingJobDefinition": definition | {"StaticHyperParameters": {"seed": "3"}},
            }
        )
    )
    told = json.loads(invoke("tune", tmp_path / "tuning.json", "--json").stdout)
    tried = [(t["k"], t["extra_center_factor"]) for t in told["trials"]]
    assert tried == [(k, f) for k in (3, 4, 5) for f in (4, 5)]
    assert told["without_effect"] == ["mini_batch_size"]
    assert told["best"]["k"] == 5


def test_the_command_runs_lists_and_describes(given, tmp_path):
    (tmp_path / "job.json").write_text(json.dumps(given))
    jobs = ("--jobs", tmp_path / "jobs")
    told = invoke("run", tmp_path / "job.json", *jobs).stdout
    assert "houses: Completed" in told
    assert "algo-1 | " in told
    assert invoke("describe", "houses", *jobs).exit_code == 0
    assert "houses" in invoke("list", *jobs).stdout
    [entry] = json.loads(invoke("list", "--json", *jobs).stdout)
    assert entry["TrainingJobStatus"] == "Completed"
    given["HyperParameters"]["k"] = "99999"
    (tmp_path / "job.json").write_text(json.dumps(given))
    failed = invoke("run", tmp_path / "job.json", "--name", "other", "--quiet", *jobs)
    assert failed.exit_code == 1
    assert "k=99999" in failed.stdout


@pytest.mark.skipif(not MNIST.exists(), reason="../shared/data is not here")
def test_digits_explain_more_with_every_cluster(tmp_path):
    import gzip

    path = next(iter(sorted(MNIST.glob("*t10k-images*"))), None)
    if path is None:
        pytest.skip("no t10k images in ../shared/data/mnist")
    raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    X = np.frombuffer(raw, np.uint8, offset=16).reshape(-1, 784).astype(np.float32) / 255
    for name, rows in (("train", X[:3000]), ("test", X[3000:4000])):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.pbr").write_bytes(pbr(rows))
    given = document(
        "digits", tmp_path / "out", channel("train", tmp_path / "train"), channel("test", tmp_path / "test")
    )
    tuning = tune(JobSpec.from_dict(given), [2, 5, 10, 20])
    msd = [tuning.best_of(k).test_msd for k in (2, 5, 10, 20)]
    assert msd == sorted(msd, reverse=True)
    assert 35 < msd[2] < 42  # ten clusters of digits in [0, 1] leave about 39 in all published runs
