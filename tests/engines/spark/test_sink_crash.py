"""A stream into the sink, killed with its JVM at random moments and started again: nothing lost, nothing counted twice."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

pytest.importorskip("pyspark")

from shoal.engines.shares import SummarySettings, fill
from shoal.engines.spark.rows import RowColumns, RowReader
from shoal.model.store import ModelStore

pytestmark = pytest.mark.slow
JOB = Path(__file__).parent / "sink_job.py"
FILES, ROWS, KILLS = 10, 40, 2


def write(folder: Path) -> pa.Table:
    rng = np.random.default_rng(5)
    n = FILES * ROWS
    X = rng.normal(size=(n, 2)) + rng.integers(3, size=n)[:, None] * 6
    table = pa.table({"id": np.arange(n), "v": list(X), "t": np.sort(rng.uniform(0, 20_000, n))})
    folder.mkdir()
    for i in range(FILES):
        pq.write_table(table.slice(i * ROWS, ROWS), folder / f"{i:03d}.parquet")
    return table


def start(tmp_path: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, str(JOB), *(str(tmp_path / name) for name in ("rows", "store", "checkpoint"))]
    log = (tmp_path / "log").open("ab")
    return subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)


def kill(job: subprocess.Popen[bytes]) -> None:
    """The Python driver, its JVM and its workers at once."""
    os.killpg(job.pid, signal.SIGKILL)
    job.wait()


def test_killed_at_random_moments(spark: object, tmp_path: Path) -> None:
    table = write(tmp_path / "rows")
    store, rng, killed = ModelStore(tmp_path / "store"), random.Random(11), 0
    for _ in range(KILLS):
        job, before = start(tmp_path), store.latest_number() or 0
        until = time.monotonic() + 120
        # dead somewhere in the next batches: between a version and Spark's own record of it as well
        while time.monotonic() < until and (store.latest_number() or 0) < before + 2 and job.poll() is None:
            time.sleep(0.02)
        time.sleep(rng.uniform(0.0, 1.0))
        killed += job.poll() is None
        kill(job)
    assert killed == KILLS, (tmp_path / "log").read_text()[-3000:]
    job = start(tmp_path)
    assert job.wait(240) == 0, (tmp_path / "log").read_text()[-3000:]

    held = store.load()
    assert held.summary is not None
    expected = SummarySettings(half_life=3600.0).new()
    reader = RowReader(RowColumns(("v",), time="t", id="id"))
    for batch in table.to_batches():
        fill(expected, reader.read(batch))
    assert held.summary.count == expected.count == FILES * ROWS
    assert held.summary.totals.mean().tobytes() == expected.totals.mean().tobytes()
    mine, theirs = (
        sorted(zip(map(tuple, s.points().X), s.points().weights, strict=True))
        for s in (held.summary, expected)
    )
    assert [row for row, _ in mine] == [row for row, _ in theirs]
    assert np.allclose([w for _, w in mine], [w for _, w in theirs], rtol=1e-12)
