"""Peak memory and time of one pass over Parquet files of 1, 3 and 10 million rows, each in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.common import median, why
from benchmarks.memory_child import CONTENDERS, K

MILLIONS = (1, 3, 10)
ROUNDS = 3
COLUMNS = 20
ROW_GROUP = 100_000
CHECKOUT = Path(__file__).parents[1]


def run(quick: bool = False) -> list[dict[str, Any]]:
    """Three runs of each contender on each file, in turns."""
    sizes = (200_000,) if quick else tuple(m * 1_000_000 for m in MILLIONS)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.parquet"
        for size in sizes:
            write(path, size)
            os.sync()  # or the first contender would share the disk with the writer
            rows.append(
                {"rows": size, "parquet_bytes": path.stat().st_size} | _measure(path, 1 if quick else ROUNDS)
            )
            for name, seconds in rows[-1]["seconds"].items():
                peak = rows[-1]["peak_mb"][name]
                print(f"{size:,} rows, {name}: {median(seconds):.2f} s, {median(peak):.0f} MB", flush=True)
    return rows


def write(path: Path, rows: int) -> None:
    """float32 columns of 50 Gaussians, written group by group so that the writer stays small too."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(K, COLUMNS)) * 4
    schema = pa.schema([(f"c{i}", pa.float32()) for i in range(COLUMNS)])
    with pq.ParquetWriter(path, schema) as writer:
        for start in range(0, rows, ROW_GROUP):
            n = min(ROW_GROUP, rows - start)
            X = centres[rng.integers(K, size=n)] + rng.normal(size=(n, COLUMNS))
            columns = [pa.array(c) for c in X.astype(np.float32).T]
            writer.write_table(pa.table(columns, schema=schema), row_group_size=ROW_GROUP)


def _measure(path: Path, rounds: int) -> dict[str, Any]:
    seconds: dict[str, list[float]] = {}
    peak: dict[str, list[float]] = {}
    failed: dict[str, str] = {}
    for _ in range(rounds):
        for name in CONTENDERS:
            command = [sys.executable, "-m", "benchmarks.memory_child", name, str(path)]
            done = subprocess.run(command, capture_output=True, text=True, cwd=CHECKOUT)
            if done.returncode:
                failed[name] = why(done.stderr)
                continue
            answer = json.loads(done.stdout.splitlines()[-1])
            seconds.setdefault(name, []).append(answer["seconds"])
            peak.setdefault(name, []).append(answer["peak_mb"])
    return {"seconds": seconds, "peak_mb": peak, "failed": failed}
