"""A training job on one host: data in, model and log lines out, and what users do wrong."""

from __future__ import annotations

import gzip
import io
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from tests.sagemaker import job_made
from tests.sagemaker.job_made import blobs, failure, loss, make_job, run, start, true_msd, write_csv

from shoal.sagemaker.artefact import read_artefact
from shoal.sources.recordio import frame
from shoal.sources.recordio_records import Record, Tensor, encode_record

MNIST = pathlib.Path(__file__).parents[3] / "shared/data/mnist"


@pytest.fixture
def job(tmp_path):
    root = make_job(tmp_path, {"k": "5", "feature_dim": "3", "force_dense": "True"})
    write_csv(root / "input/data/train/a.csv", blobs(2000))
    return root


def hyperparameters(root, **changed):
    path = root / "input/config/hyperparameters.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))


def centres(root):
    return read_artefact(root / "model").model.centres


def test_a_job_leaves_centres_where_clients_look_and_its_summary(job):
    status, log = run(job)
    assert status == 0
    assert failure(job) is None
    found = read_artefact(job / "model")
    assert (job / "model/model_algo-1").is_file()
    assert found.summary.count == 2000
    groups = np.sort(found.model.centres.mean(axis=1))
    np.testing.assert_allclose(groups, [0, 20, 40, 60, 80], atol=0.5)
    assert "#progress_metric: host=algo-1, completed 100.0 % of epochs" in log


def test_train_msd_is_the_true_one_where_every_row_is_kept(job):
    log = run(job)[1]
    assert "train msd is exact" in log
    assert loss(log, "train", "msd") == pytest.approx(true_msd(blobs(2000), centres(job)), rel=1e-5)


def test_test_metrics_are_exact(tmp_path):
    metrics = '["msd", "ssd"]'
    root = make_job(tmp_path, {"k": "5", "eval_metrics": metrics}, {"train": {}, "test": {}})
    write_csv(root / "input/data/train/a.csv", blobs(2000))
    other = blobs(700, seed=1)
    write_csv(root / "input/data/test/a.csv", other[:300])
    write_csv(root / "input/data/test/deep/b.csv", other[300:])
    status, log = run(root)
    assert status == 0
    msd = true_msd(other, centres(root))
    assert loss(log, "test", "msd") == pytest.approx(msd, rel=1e-6)
    assert loss(log, "test", "ssd") == pytest.approx(msd * 700, rel=1e-6)


def test_the_first_csv_column_is_the_label_unless_it_is_said_not_to_be(tmp_path):
    X = blobs(500)
    root = make_job(tmp_path, {"k": "5", "feature_dim": "3"}, {"train": {"ContentType": "text/csv"}})
    lines = [f"group {i % 3},{a:.9g},{b:.9g},{c:.9g}" for i, (a, b, c) in enumerate(X)]
    (root / "input/data/train/a.csv").write_text("\n".join(lines) + "\n")
    status, log = run(root)
    assert status == 0
    assert "the first column is taken for the label" in log
    assert centres(root).shape == (5, 3)


def test_files_nested_and_gzipped_are_all_read_and_markers_are_not(tmp_path):
    root = make_job(tmp_path, {"k": "5"})
    X, data = blobs(900), tmp_path / "input/data/train"
    write_csv(data / "part-00000", X[:300])
    write_csv(data / "more/b.csv", X[300:600])
    out = io.BytesIO()
    np.savetxt(out, X[600:], delimiter=",", fmt="%.9g")
    (data / "more/c.csv.gz").write_bytes(gzip.compress(out.getvalue()))
    (data / "_SUCCESS").write_text("x,y\n")
    (data / ".amazon.manifest").write_text("[]")
    (data / "empty.csv").write_text("")
    assert run(root)[0] == 0
    assert read_artefact(root / "model").summary.count == 900


def test_recordio_is_the_default_and_gives_the_model_of_the_same_csv(tmp_path):
    from shoal.sources.recordio_template import write_dense

    X = blobs(1000)
    made = {}
    for kind in ("csv", "pbr"):
        channel = {} if kind == "csv" else {"ContentType": None}
        root = make_job(tmp_path / kind, {"k": "5"}, {"train": channel})
        path = root / f"input/data/train/a.{kind}"
        if kind == "csv":
            write_csv(path, X)
        else:
            with path.open("wb") as file:
                write_dense(file, X, labels=np.arange(1000, dtype=np.float32))
        assert run(root)[0] == 0
        made[kind] = centres(root)
    np.testing.assert_allclose(made["csv"], made["pbr"], rtol=1e-5)


@pytest.mark.parametrize("kind", ["csv", "recordio"])
def test_a_pipe_gives_the_model_of_the_file(tmp_path, kind):
    X, models = blobs(3000), []
    for mode in ("File", "Pipe"):
        channel = {"TrainingInputMode": mode, "ContentType": job_made.CSV if kind == "csv" else None}
        root = make_job(tmp_path / mode, {"k": "5", "epochs": "2"}, {"train": channel})
        body = io.BytesIO()
        if kind == "csv":
            np.savetxt(body, X, delimiter=",", fmt="%.9g")
        else:
            from shoal.sources.recordio_template import write_dense

            write_dense(body, X)
        data = root / "input/data"
        if mode == "File":
            (data / "train/a").write_bytes(body.getvalue())
        else:
            thread = threading.Thread(target=feed, args=(data, body.getvalue(), 2), daemon=True)
            thread.start()
        status, log = run(root)
        assert status == 0, log
        assert loss(log, "train", "msd") == pytest.approx(true_msd(X, centres(root)), rel=1e-3)
        models.append(centres(root))
    np.testing.assert_allclose(models[0], models[1], rtol=1e-4)


def feed(data, body, epochs):
    """Pipes that appear late, one for each epoch."""
    for epoch in range(epochs):
        time.sleep(0.3)
        path = data / f"train_{epoch}"
        os.mkfifo(path)
        with path.open("wb") as pipe:
            pipe.write(body)


def test_more_epochs_are_exact_steps_that_do_not_make_it_worse(tmp_path):
    X = np.random.default_rng(3).normal(size=(4000, 4)).astype(np.float32)
    found = {}
    for epochs in ("1", "3"):
        root = make_job(tmp_path / epochs, {"k": "8", "epochs": epochs, "local_lloyd_max_iter": "1"})
        write_csv(root / "input/data/train/a.csv", X)
        status, log = run(root)
        assert status == 0
        found[epochs] = true_msd(X, centres(root))
        assert loss(log, "train", "msd") >= found[epochs] * (1 - 1e-6)
    assert found["3"] < found["1"]


def test_mini_batches_and_repeats_do_not_change_the_model_and_seeds_may(tmp_path):
    found = []
    for i, changed in enumerate([{}, {"mini_batch_size": "37"}, {}]):
        root = make_job(tmp_path / str(i), {"k": "5"} | changed)
        write_csv(root / "input/data/train/a.csv", blobs(1000))
        assert run(root)[0] == 0
        found.append((root / "model/model_algo-1").read_bytes())
    assert found[0] == found[1] == found[2]


def test_a_half_life_follows_the_rows_read_last(tmp_path):
    X = np.concatenate([np.zeros((1000, 1)), np.full((1000, 1), 10.0)]) + np.linspace(0, 0.1, 2000)[:, None]
    means = {}
    for life in ("0", "100"):
        root = make_job(tmp_path / life, {"k": "1", "half_life_time_size": life})
        write_csv(root / "input/data/train/a.csv", X)
        assert run(root)[0] == 0
        means[life] = float(centres(root)[0, 0])
    assert means["0"] == pytest.approx(5.05, abs=0.01)
    assert means["100"] == pytest.approx(10.1, abs=0.05)


@pytest.mark.parametrize(
    "changed",
    [
        {"local_lloyd_init_method": "random", "local_lloyd_num_trials": "4"},
        {"extra_center_factor": "1"},
        {"extra_center_factor": "12", "local_lloyd_num_trials": "2"},
    ],
)
def test_ways_of_searching_find_clear_groups(job, changed):
    hyperparameters(job, **changed)
    assert run(job)[0] == 0
    np.testing.assert_allclose(np.sort(centres(job).mean(axis=1)), [0, 20, 40, 60, 80], atol=0.5)


@pytest.mark.parametrize(
    ("hyper", "channels", "body", "reason"),
    [
        ({"k": "0"}, None, "1,2\n", "ClientError: Hyperparameter k: 0 is not a positive integer"),
        ({}, None, "1,2\n", "specified for 'k' which are required"),
        ({"k": "1", "feature_dim": "3"}, None, "1,2\n", "feature_dim: 3 is not the 2 numbers of a row of train/a.csv"),
        ({"k": "1"}, None, "1,2\n3,x\n", "train/a.csv, row 2, column 'c1'"),
        ({"k": "1"}, None, "1,2\n3,\n", "train/a.csv, row 2, feature 2: value is no number; fill in"),
        ({"k": "1"}, None, "1,2\n3,1e60\n", "train/a.csv, row 2, feature 2: value is infinite, or beyond float32"),
        ({"k": "3"}, None, "1,2\n1,2\n1,2\n", "rows of which only 1 differ"),
        ({"k": "3"}, None, "1,2\n", "k=3 clusters asked of 1 rows"),
        ({"k": "1"}, None, "", "channel train: no rows"),
        ({"k": "1"}, {"test": {}}, None, "there is no train channel"),
        ({"k": "1"}, {"train": {"ContentType": "image/png"}}, "1\n", "content type 'image/png' cannot be read"),
        ({"k": "1"}, {"train": {"TrainingInputMode": "Tape"}}, "1\n", "TrainingInputMode is 'Tape'"),
        ({"k": "1"}, {"train": {"ContentType": None}}, "1,2\n", "is text, not RecordIO; give channel train the Con"),
        ({"k": "1"}, None, "a,b\n1,2\n", "a header is none of the rows, leave it out"),
        ({"k": "1", "_tuning_objective_metric": "test:msd"}, None, "1,2\n", "there is no test channel"),
    ],
)  # fmt: skip
def test_what_users_do_wrong_is_told_in_the_failure_file(tmp_path, hyper, channels, body, reason):
    root = make_job(tmp_path, hyper, channels)
    if body is not None:
        (root / "input/data/train/a.csv").write_text(body)
    status, log = run(root)
    assert status == 1
    told = failure(root)
    assert told.startswith("ClientError: ")
    assert reason in told
    assert len(told) <= 1024
    assert told.strip() in log


def test_sigterm_after_the_model_is_written_is_no_failure(job):
    code = (
        "import os, signal, sys; from shoal.sagemaker.train import main; status = main(sys.argv[1]); "
        "os.kill(os.getpid(), signal.SIGTERM); sys.exit(status)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(job)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert read_artefact(job / "model").model.k == 5


def test_what_is_no_recordio_in_a_pipe_is_told_with_its_place(tmp_path):
    settings = {"TrainingInputMode": "Pipe", "ContentType": "application/x-recordio-protobuf"}
    root = make_job(tmp_path, {"k": "1"}, {"train": settings})
    os.mkfifo(root / "input/data/train_0")
    process = start(root)
    (root / "input/data/train_0").write_bytes(bytes(range(256)) * 40)
    log = process.communicate(timeout=60)[0]
    assert process.returncode == 1, log
    assert "train_0, record 1 (byte 0): file truncated or damaged: starts with 0x00010203" in failure(root)


def test_an_epoch_with_fewer_rows_is_left_out(tmp_path):
    root = make_job(tmp_path, {"k": "2", "epochs": "2"}, {"train": {"TrainingInputMode": "Pipe"}})
    fifos = [root / f"input/data/train_{i}" for i in range(2)]
    for fifo in fifos:
        os.mkfifo(fifo)
    process = start(root)
    for fifo, n in zip(fifos, (500, 200), strict=True):
        with fifo.open("wb") as pipe:
            np.savetxt(pipe, blobs(n, k=2), delimiter=",", fmt="%.9g")
    log = process.communicate(timeout=60)[0]
    assert process.returncode == 0, log
    assert "epoch 2 is left out: it read 200 rows, but the model is of 500" in log


def test_sigterm_ends_with_a_model_of_what_was_read(tmp_path):
    root = make_job(tmp_path, {"k": "5"}, {"train": {"TrainingInputMode": "Pipe"}})
    fifo = root / "input/data/train_0"
    os.mkfifo(fifo)
    process = start(root)
    with fifo.open("wb") as pipe:
        np.savetxt(pipe, blobs(60_000), delimiter=",", fmt="%.9g")
        pipe.flush()
        time.sleep(1.0)
        process.send_signal(signal.SIGTERM)
        log = process.communicate(timeout=30)[0]
    assert process.returncode == 0, log
    assert "stopped by SIGTERM" in log
    assert 5 <= read_artefact(root / "model").summary.count <= 60_000


def test_a_killed_job_goes_on_from_its_checkpoint_and_reads_each_row_once(tmp_path):
    X = blobs(300_000)
    root = make_job(tmp_path / "killed", {"k": "5", "mini_batch_size": "200"})
    write_csv(root / "input/data/train/a.csv", X)
    whole = shutil.copytree(root, tmp_path / "whole")
    (root / "checkpoints").mkdir()
    process = start(root, SHOAL_CHECKPOINT_SECONDS="0.01")
    kept = root / "checkpoints/shoal-algo-1.checkpoint"
    while not kept.exists() and process.poll() is None:
        time.sleep(0.01)
    process.kill()
    process.communicate()
    assert not (root / "model/model_algo-1").exists()
    status, log = run(root)
    assert status == 0
    assert "going on from a checkpoint of" in log
    assert run(whole)[0] == 0
    again, once = (read_artefact(r / "model") for r in (root, whole))
    assert again.summary.to_bytes() == once.summary.to_bytes()
    np.testing.assert_array_equal(again.model.centres, once.model.centres)


def test_a_checkpoint_of_other_settings_is_refused(job):
    (job / "checkpoints").mkdir()
    assert run(job)[0] == 0
    hyperparameters(job, seed="7")
    assert run(job)[0] == 1
    assert "empty the checkpoint folder" in failure(job)


def test_a_damaged_checkpoint_is_an_error_and_not_a_fresh_start(job):
    (job / "checkpoints").mkdir()
    assert run(job)[0] == 0
    kept = job / "checkpoints/shoal-algo-1.checkpoint"
    data = bytearray(kept.read_bytes())
    data[len(data) // 2] ^= 1
    kept.write_bytes(data)
    assert run(job)[0] == 1
    assert str(kept) in failure(job)
    assert "empty the checkpoint folder" in failure(job)


def test_what_is_not_the_users_fault_is_told_apart(job, monkeypatch):
    monkeypatch.setattr("shoal.sagemaker.train.solve_points", lambda *_, **__: 1 / 0)
    status, log = run(job)
    assert status == 1
    assert failure(job).startswith("AlgorithmError: ZeroDivisionError")
    assert "Traceback" in log


def test_the_root_may_come_from_the_environment(job, monkeypatch):
    monkeypatch.setenv("SAGEMAKER_DATA_PATH", str(job))
    assert run(None)[0] == 0
    assert (job / "model/model_algo-1").is_file()


@pytest.mark.skipif(not MNIST.is_dir(), reason="the digits of MNIST are not here")
def test_digits_cost_no_more_than_ten_starts_of_scikit_learn(tmp_path):
    from sklearn.cluster import KMeans

    X = digits(2000)
    root = make_job(tmp_path, {"k": "10", "feature_dim": str(X.shape[1])})
    write_csv(root / "input/data/train/a.csv", X)
    assert run(root)[0] == 0
    best = KMeans(10, n_init=10, random_state=0).fit(X).inertia_ / len(X)
    assert true_msd(X, centres(root)) <= 1.01 * best


def digits(n):
    path = next(iter(sorted(MNIST.glob("*train*images*")) or sorted(MNIST.glob("*"))))
    raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return np.frombuffer(raw, np.uint8, offset=16)[: n * 784].reshape(n, 784).astype(np.float32) / 255


def test_a_checkpoint_of_other_columns_is_refused(job):
    (job / "checkpoints").mkdir()
    assert run(job)[0] == 0
    settings = job / "input/config/inputdataconfig.json"
    plain = settings.read_text()
    settings.write_text(plain.replace("label_size=0", "label_size=1"))
    hyperparameters(job, feature_dim="2")
    assert run(job)[0] == 1
    assert "read as text/csv;label_size=0, this job reads text/csv;label_size=1" in failure(job)
    settings.write_text(plain)
    for file in (job / "input/data/train").iterdir():
        file.unlink()
    assert run(job)[0] == 1
    assert "feature_dim: 2 is not the 3 numbers" in failure(job)


def test_a_bad_test_channel_is_told_before_the_training(tmp_path):
    for name, body, reason in (
        ("empty", "", "channel test: no rows"),
        ("wide", "1,2,3,4\n", "test/t.csv: has 4 features in a row, train/a.csv has 3"),
    ):
        root = make_job(tmp_path / name, {"k": "2"}, {"train": {}, "test": {}})
        write_csv(root / "input/data/train/a.csv", blobs(50))
        (root / "input/data/test/t.csv").write_text(body)
        status, log = run(root)
        assert status == 1
        assert reason in failure(root)
        assert "#progress_metric" not in log


def test_a_test_channel_that_breaks_later_does_not_cost_the_model(tmp_path):
    root = make_job(tmp_path, {"k": "2"}, {"train": {}, "test": {}})
    write_csv(root / "input/data/train/a.csv", blobs(50))
    (root / "input/data/test/a.csv").write_text("1,2,3\n")
    (root / "input/data/test/b.csv").write_text("1,2,3\n1,x,3\n")
    assert run(root)[0] == 1
    assert failure(root).startswith("ClientError: test/b.csv, row 2")
    assert read_artefact(root / "model").summary.count == 50


def test_a_failure_of_an_earlier_attempt_does_not_stay(job):
    (job / "output").mkdir(exist_ok=True)
    (job / "output/failure").write_text("ClientError: long ago\n")
    assert run(job)[0] == 0
    assert failure(job) is None


def test_a_few_bytes_that_stand_for_wide_rows_are_refused_before_they_are_read(tmp_path):
    record = Record({"values": Tensor(np.float32([1]), np.uint64([0]), (1 << 24,))})
    root = make_job(tmp_path, {"k": "2"}, {"train": {"ContentType": None}})
    (root / "input/data/train/a.pbr").write_bytes(frame(encode_record(record)) * 300)
    assert run(root)[0] == 1
    assert failure(root).startswith("ClientError: train/a.pbr: a row has 16,777,216 features")


def test_widths_of_files_are_compared_by_name(tmp_path):
    root = make_job(tmp_path, {"k": "2"})
    write_csv(root / "input/data/train/a.csv", blobs(50))
    write_csv(root / "input/data/train/b.csv", blobs(50, d=4))
    assert run(root)[0] == 1
    assert "train/b.csv: has 4 features in a row, train/a.csv has 3" in failure(root)


def test_remedies_of_a_job_name_no_options_of_the_command_line(tmp_path):
    root = make_job(tmp_path, {"k": "2"}, {"train": {"ContentType": None}})
    (root / "input/data/train/a.pbr").write_bytes(frame(encode_record(Record({})))[:-3])
    assert run(root)[0] == 1
    assert "--" not in failure(root)


def test_objects_that_are_left_out_are_told_and_each_object_is_named_once(tmp_path):
    root = make_job(tmp_path, {"k": "2"})
    for name in ("_hidden.csv", "a.csv"):
        write_csv(root / "input/data/train" / name, blobs(50))
    status, log = run(root)
    assert status == 0
    assert "markers: _hidden.csv" in log
    assert read_artefact(root / "model").model.provenance.sources == ("train/a.csv",)


def test_hosts_that_share_an_object_name_it_once(tmp_path):
    root = make_job(tmp_path / "one", {"k": "2"})
    write_csv(root / "input/data/train/a.csv", blobs(50))
    assert run(root)[0] == 0
    more = make_job(tmp_path / "two", {"k": "2"}, {"train": {}, "model": {}})
    shutil.copytree(root / "model", more / "input/data/model", dirs_exist_ok=True)
    write_csv(more / "input/data/train/a.csv", blobs(70, seed=3))
    assert run(more)[0] == 0
    assert read_artefact(more / "model").model.provenance.sources == ("train/a.csv",)


def test_a_model_of_other_rows_is_refused_before_the_read(tmp_path):
    root = make_job(tmp_path / "one", {"k": "2"})
    write_csv(root / "input/data/train/a.csv", blobs(50))
    assert run(root)[0] == 0
    more = make_job(tmp_path / "two", {"k": "2"}, {"train": {}, "model": {}})
    shutil.copytree(root / "model", more / "input/data/model", dirs_exist_ok=True)
    (more / "input/data/train/a.csv").write_text("1,2\n" * 10 + "x,2\n")
    assert run(more)[0] == 1
    assert "train/a.csv: has 2 features in a row, channel model has 3" in failure(more)


@pytest.mark.parametrize("value", ["soon", "nan", "-1"])
def test_a_variable_that_makes_no_sense_is_named(job, monkeypatch, value):
    monkeypatch.setenv("SHOAL_CHECKPOINT_SECONDS", value)
    assert run(job)[0] == 1
    assert failure(job).startswith(f"ClientError: SHOAL_CHECKPOINT_SECONDS: '{value}'")


@pytest.mark.parametrize("name", ["hyperparameters", "inputdataconfig", "resourceconfig"])
def test_documents_nested_too_deeply_are_the_users(job, name):
    (job / f"input/config/{name}.json").write_text("[" * 100_000)
    assert run(job)[0] == 1
    assert failure(job).startswith("ClientError: ")
    assert f"{name}.json" in failure(job)
