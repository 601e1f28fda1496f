"""Incremental training: yesterday's model and today's rows."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from tests.sagemaker import job_made
from tests.sagemaker.job_made import blobs, failure, make_job, run

from shoal.sagemaker.artefact import read_artefact, write_artefact
from shoal.sagemaker.intake import Intake

BOTH = {"train": {}, "model": {"ContentType": "application/x-sagemaker-model"}}


def days(tmp_path, n=80_000):
    X = blobs(n, d=2)
    halves = np.array_split(X, 2)
    for name, part in zip(("monday", "tuesday"), halves, strict=True):
        job_made.write_csv(tmp_path / f"{name}.csv", part)
    return X


def trained(tmp_path, name, files, hyper=None, model=None, packed=True):
    root = make_job(tmp_path / name, {"k": "5"} | (hyper or {}), BOTH if model else None)
    for file in files:
        shutil.copy(tmp_path / f"{file}.csv", root / "input/data/train")
    if model is not None:
        channel = root / "input/data/model"
        if packed:
            found = read_artefact(model)
            write_artefact(channel / "model.tar.gz", found.model, found.summary)
        else:
            shutil.copytree(model, channel, dirs_exist_ok=True)
    status, log = run(root)
    return root, status, log


@pytest.mark.parametrize("packed", [True, False])
def test_two_days_one_after_the_other_are_the_model_of_both_at_once(tmp_path, packed):
    days(tmp_path)
    both = trained(tmp_path, "both", ["monday", "tuesday"])[0]
    first = trained(tmp_path, "first", ["monday"])[0]
    second, status, log = trained(tmp_path, "second", ["tuesday"], model=first / "model", packed=packed)
    assert status == 0, log
    one, two = (read_artefact(root / "model") for root in (both, second))
    assert two.summary.count == 80_000
    assert two.summary.to_bytes() == one.summary.to_bytes()
    np.testing.assert_array_equal(np.unique(two.model.centres, axis=0), np.unique(one.model.centres, axis=0))


def test_only_new_rows_are_read(tmp_path, monkeypatch):
    days(tmp_path)
    first = trained(tmp_path, "first", ["monday"])[0]
    taken = []
    take = Intake.take
    monkeypatch.setattr(Intake, "take", lambda self, rows: (taken.append(len(rows.X)), take(self, rows))[1])
    assert trained(tmp_path, "second", ["tuesday"], model=first / "model")[1] == 0
    assert sum(taken) == 40_000


def test_clusters_keep_their_ids(tmp_path):
    days(tmp_path)
    first = trained(tmp_path, "first", ["monday"])[0]
    second = trained(tmp_path, "second", ["tuesday"], model=first / "model")[0]
    was, now = (read_artefact(root / "model").model for root in (first, second))
    for i, centre in zip(was.ids, was.centres, strict=True):
        np.testing.assert_allclose(now.centres[now.ids == i][0], centre, atol=0.2)
    assert now.parent == was.version


def test_a_checkpoint_folder_that_is_kept_goes_on_with_new_files_only(tmp_path):
    X = days(tmp_path)
    both = trained(tmp_path, "both", ["monday", "tuesday"])[0]
    root = make_job(tmp_path / "kept", {"k": "5"})
    (root / "checkpoints").mkdir()
    for i, file in enumerate(("monday", "tuesday")):
        shutil.copy(tmp_path / f"{file}.csv", root / "input/data/train")
        status, log = run(root)
        assert status == 0, log
        assert ("going on from a checkpoint of 40000 rows" in log) == (i == 1)
    one, two = (read_artefact(r / "model") for r in (both, root))
    assert two.summary.count == len(X)
    assert two.summary.to_bytes() == one.summary.to_bytes()


def test_more_epochs_do_not_forget_the_rows_of_before(tmp_path):
    days(tmp_path)
    first = trained(tmp_path, "first", ["monday"])[0]
    _, status, log = trained(tmp_path, "second", ["tuesday"], {"epochs": "2"}, model=first / "model")
    assert status == 0
    assert "epoch 2 is left out: it read 40000 rows, but the model is of 80000" in log


def test_a_half_life_runs_on_over_the_night(tmp_path):
    np.savetxt(tmp_path / "monday.csv", np.linspace(0, 1, 1000)[:, None])
    np.savetxt(tmp_path / "tuesday.csv", np.linspace(10, 11, 1000)[:, None])
    hyper = {"k": "1", "half_life_time_size": "200"}
    first = trained(tmp_path, "first", ["monday"], hyper)[0]
    second, status, log = trained(tmp_path, "second", ["tuesday"], hyper, model=first / "model")
    assert status == 0, log
    both = trained(tmp_path, "both", ["monday", "tuesday"], hyper)[0]
    means = [float(read_artefact(r / "model").model.centres[0, 0]) for r in (second, both)]
    assert means[0] == pytest.approx(means[1], rel=1e-9)
    assert means[0] > 10


def test_centres_alone_cannot_be_gone_on_from_but_may_be_a_start(tmp_path, monkeypatch):
    days(tmp_path)
    first = trained(tmp_path, "first", ["monday"])[0]
    shutil.rmtree(first / "model/shoal")
    root, status, _ = trained(tmp_path, "second", ["tuesday"], model=first / "model", packed=False)
    assert status == 1
    assert "ClientError: channel model: holds centres only" in failure(root)
    assert "SHOAL_CENTRES_AS_START=1" in failure(root)
    monkeypatch.setenv("SHOAL_CENTRES_AS_START", "1")
    root, status, log = trained(tmp_path, "third", ["tuesday"], model=first / "model", packed=False)
    assert status == 0, log
    assert "the solve begins with the centres of channel model" in log
    assert read_artefact(root / "model").summary.count == 40_000


@pytest.mark.parametrize(
    ("hyper", "reason"),
    [
        ({"seed": "3"}, "was trained with seed 0 where this job has 3; use the same"),
        ({"half_life_time_size": "10"}, "was trained with half_life_time_size 0 where this job has 10"),
        ({"feature_dim": "7"}, "has 2 features where feature_dim is 7"),
    ],
)
def test_a_model_of_other_settings_is_refused(tmp_path, hyper, reason):
    days(tmp_path, 2000)
    first = trained(tmp_path, "first", ["monday"])[0]
    root, status, _ = trained(tmp_path, "second", ["tuesday"], hyper, model=first / "model")
    assert status == 1
    assert reason in failure(root)


def test_an_empty_model_channel_is_an_error(tmp_path):
    days(tmp_path, 2000)
    (tmp_path / "nothing").mkdir()
    root, status, _ = trained(tmp_path, "second", ["tuesday"], model=tmp_path / "nothing", packed=False)
    assert status == 1
    assert "holds no model.tar.gz" in failure(root)
