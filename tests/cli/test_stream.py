"""``shoal stream`` and ``shoal events`` from end to end, as processes and in this one."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shoal import load
from shoal.cli import main


def rows_of(n=3000, seed=0):
    rng = np.random.default_rng(seed)
    homes = np.array([[0.0, 0.0], [9.0, 0.0], [0.0, 9.0]])
    X = homes[rng.integers(3, size=n)] + rng.normal(size=(n, 2))
    return pa.table(
        {"id": [f"{i:05d}" for i in range(n)], "a": X[:, 0], "b": X[:, 1], "at": 1.7e9 + np.arange(n)}
    )


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "rows.parquet"
    pq.write_table(rows_of(), path)
    return path


def shoal(*arguments):
    """The command in this process; answers its exit code."""
    try:
        main([str(a) for a in arguments])
    except SystemExit as stop:
        return stop.code or 0
    return 0


def process(*arguments, **more):
    return subprocess.Popen(
        [sys.executable, "-m", "shoal", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **more,
    )


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_every_row_is_labelled_by_the_model_it_names(file, tmp_path, capsys):
    state, out = tmp_path / "state", tmp_path / "labels.jsonl"
    done = shoal(
        "stream",
        file,
        "-k",
        3,
        "--state",
        state,
        "--out",
        out,
        "--keep",
        "id",
        "--time",
        "at",
        "--scale",
        "none",
    )
    assert done == 0
    labels = lines(out)
    assert [row["id"] for row in labels] == rows_of()["id"].to_pylist()
    assert [row["row"] for row in labels] == list(range(1, 3001))
    from shoal.model.persistence import load_model

    data = np.stack([rows_of()["a"].to_numpy(), rows_of()["b"].to_numpy()], axis=1).astype(np.float32)
    for number in {row["model"] for row in labels}:
        mine = [i for i, row in enumerate(labels) if row["model"] == number]
        found = load_model(state / "models" / f"{number:06d}").assign(data[mine])
        assert [labels[i]["cluster"] for i in mine] == found.ids.tolist()
        np.testing.assert_allclose([labels[i]["distance"] for i in mine], found.distances, rtol=1e-12)
    told = capsys.readouterr().out
    assert "cluster 0 born" in told
    assert "3,000 rows" in told


def test_a_state_is_a_model_for_the_other_commands(file, tmp_path, capsys):
    state = tmp_path / "state"
    shoal("stream", file, "-k", 3, "--state", state, "--columns", "a,b")
    assert load(state).model.k == 3
    for command in (
        ["inspect", state],
        ["report", state, "--out", tmp_path / "r.html"],
        ["assign", state, file, "--out", tmp_path / "l.csv"],
    ):
        assert shoal(*command) == 0, command
    assert (tmp_path / "r.html").stat().st_size > 10_000
    capsys.readouterr()
    assert shoal("events", state, "--json") == 0
    assert {e["kind"] for e in json.loads(capsys.readouterr().out)} == {"born"}
    for name in ("e.parquet", "e.csv", "e.jsonl", "e.png"):
        assert shoal("events", state, "--out", tmp_path / name) == 0
        assert (tmp_path / name).stat().st_size > 0
    assert pq.read_table(tmp_path / "e.parquet")["kind"].to_pylist() == ["born"] * 3


def test_going_on_with_more_files(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    table = rows_of()
    pq.write_table(table.slice(0, 2000), folder / "a.parquet")
    state, out = tmp_path / "state", tmp_path / "labels"
    options = ["--state", state, "--out", f"{out}/", "-k", 3, "--columns", "a,b"]
    assert shoal("stream", f"{folder}/", *options) == 0
    assert load(state).model.provenance.rows_seen == 2000
    pq.write_table(table.slice(2000), folder / "b.parquet")
    old = time.time() - 60
    os.utime(folder / "b.parquet", (old, old))
    assert shoal("stream", f"{folder}/", *options) == 0
    assert load(state).model.provenance.rows_seen == 3000
    assert pq.read_table(out).num_rows == 3000


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (["--half-life", "5000 rows"], "half_life"),
        (["--time", "at"], "time"),
        (["--seed", "3"], "seed"),
        (["--columns", "a"], "recipe"),
        (["--sample-rows", "77"], "sample_rows"),
    ],
)
def test_what_must_not_change_between_runs(file, tmp_path, capsys, change, told):
    state = tmp_path / "state"
    assert shoal("stream", file, "-k", 3, "--state", state) == 0
    assert shoal("stream", file, "-k", 3, "--state", state, *change) == 2
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["-k", "0"], "-k '0'"),
        (["--half-life", "soon"], "no stretch"),
        (["--bucket", "5 rows", "--time", "at"], "no time"),
        (["--bucket", "1h"], "event times"),
        (["--time", "when"], "when"),
        (["--keep", "name"], "name"),
        (["--columns", "x"], "x"),
        (["--out", "labels.txt"], "labels.txt"),
    ],
)
def test_mistakes_are_told_in_one_line(file, tmp_path, capsys, arguments, told):
    assert shoal("stream", file, "--state", tmp_path / "state", *arguments) == 2
    err = capsys.readouterr().err
    assert told in err
    assert "Traceback" not in err


def test_a_foreign_output_is_left_alone(file, tmp_path, capsys):
    out = tmp_path / "labels.jsonl"
    out.write_text("precious\n")
    assert shoal("stream", file, "--state", tmp_path / "state", "--out", out) == 2
    assert out.read_text() == "precious\n"
    assert "labels.jsonl" in capsys.readouterr().err


def test_standard_input_and_output(tmp_path):
    text = "a,b\n" + "".join(
        f"{x},{y}\n" for x, y in zip(rows_of()["a"].to_pylist(), rows_of()["b"].to_pylist())
    )
    run = process("stream", "-", "-k", 3, "--state", tmp_path / "state", "--out", "-", stdin=subprocess.PIPE)
    out, err = run.communicate(text, timeout=120)
    assert run.returncode == 0, err
    assert len(out.splitlines()) == 3000
    assert "cluster 0 born" in err


@pytest.mark.slow
def test_sigterm_ends_it_with_a_checkpoint_and_a_second_run_is_refused(tmp_path, capsys):
    file, state = tmp_path / "rows.csv", tmp_path / "state"
    with file.open("w") as out:
        out.write("a,b\n")
        for x, y in zip(rows_of()["a"].to_pylist(), rows_of()["b"].to_pylist()):
            out.write(f"{x},{y}\n")
    run = process("stream", file, "--follow", "-k", 3, "--state", state, "--checkpoint", "600")
    deadline = time.monotonic() + 60
    while not (state / "models").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert shoal("stream", file, "--state", state) == 2
    assert "in use" in capsys.readouterr().err
    time.sleep(1.0)
    run.send_signal(signal.SIGTERM)
    out, err = run.communicate(timeout=60)
    assert run.returncode == 0, err
    assert "3,000 rows" in out
    assert load(state).summary.count == 3000


@pytest.mark.skipif(shutil.which("redis-server") is None, reason="redis-server is not installed")
def test_from_one_redis_stream_to_another(tmp_path):
    redis = pytest.importorskip("redis")
    port = _free_port()
    server = subprocess.Popen(
        ["redis-server", "--port", str(port), "--save", "", "--dir", str(tmp_path)], stdout=subprocess.DEVNULL
    )
    try:
        client = redis.Redis(port=port)
        _until(lambda: _answers(client))
        table = rows_of()
        for record in table.to_pylist():
            client.xadd("in", {"json": json.dumps(record)})
        client.xadd("in", {"json": "{broken"})
        base = f"redis://127.0.0.1:{port}/0?stream="
        asked = [
            "--state",
            tmp_path / "s",
            "--out",
            f"{base}out",
            "-k",
            3,
            "--columns",
            "a,b",
            "--keep",
            "id",
        ]
        assert shoal("stream", f"{base}in", *asked) == 0
        assert client.xlen("out") == 3000
        assert client.xpending("in", "shoal")["pending"] == 0
        assert len(lines(tmp_path / "s" / "dead_letters.jsonl")) == 1
        assert load(tmp_path / "s").model.provenance.rows_seen == 3000
    finally:
        server.terminate()
        server.wait()


def _answers(client):
    try:
        return client.ping()
    except Exception:
        return False


def _until(condition, seconds=20.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _free_port():
    import socket

    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]
