"""``shoal stream`` from files of 16 columns, k = 50, with labels written; and river's clusterers, one row at a time.

River takes a row at a time by design, so it gets fewer rows; its seconds are of learning and predicting each row.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from benchmarks.common import cost, timed, why

K, COLUMNS, ROWS, ROUNDS = 50, 16, 2_000_000, 3
RIVER_ROWS = {"STREAMKMeans": 4000, "CluStream": 4000, "DBSTREAM": 4000}
CASES = (
    ("parquet", "labels"),
    ("parquet", "labels.jsonl"),
    ("csv", "labels.jsonl"),
    ("jsonl", "labels.jsonl"),
)
"""Format of the input, and of the labels: a directory of Parquet parts, or JSON lines."""


def rows_of(n: int) -> NDArray[np.float32]:
    """Fifty Gaussians that drift slowly."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(K, COLUMNS)) * 4
    drift = np.linspace(0, 1, n)[:, None]
    X = centres[rng.integers(K, size=n)] + drift + rng.normal(size=(n, COLUMNS))
    return X.astype(np.float32)


def run(quick: bool = False) -> list[dict[str, Any]]:
    """Whole processes, from start to exit, in turns."""
    n = 50_000 if quick else ROWS
    X = rows_of(n)
    found = []
    with tempfile.TemporaryDirectory() as folder:
        files = _write(Path(folder), X)
        seconds: dict[tuple[str, str], list[float]] = {case: [] for case in CASES}
        inside: dict[tuple[str, str], list[float]] = {case: [] for case in CASES}
        for turn in range(1 if quick else ROUNDS):
            for case in CASES:
                whole, own = _stream(files[case[0]], Path(folder) / f"{turn}-{case[0]}-{case[1]}", case[1], n)
                seconds[case].append(whole)
                inside[case].append(own)
                print(f"{case}: {n / whole:,.0f} rows/s as a command", flush=True)
        for case in CASES:
            facts = {"input": case[0], "output": case[1], "rows": n, "columns": COLUMNS, "k": K}
            found.append(
                {"case": "shoal stream"} | facts | {"seconds": seconds[case], "inside": inside[case]}
            )
    return found + _river(X, quick)


def _write(folder: Path, X: NDArray[np.float32]) -> dict[str, Path]:
    names = [f"c{j}" for j in range(X.shape[1])]
    table = pa.table({name: X[:, j] for j, name in enumerate(names)})
    pq.write_table(table, folder / "rows.parquet")
    rounded = pa.table({name: np.round(X[:, j].astype(np.float64), 4) for j, name in enumerate(names)})
    pa_csv.write_csv(rounded, folder / "rows.csv")
    with (folder / "rows.jsonl").open("w") as file:
        for row in zip(*(rounded.column(name).to_pylist() for name in names), strict=True):
            file.write(json.dumps(dict(zip(names, row, strict=True))) + "\n")
    os.sync()
    return {kind: folder / f"rows.{kind}" for kind in ("parquet", "csv", "jsonl")}


def _stream(file: Path, state: Path, output: str, n: int) -> tuple[float, float]:
    command = [sys.executable, "-m", "shoal", "stream", str(file), "-k", str(K), "--state", str(state)]
    command += [
        "--out",
        str(state.with_name(f"{state.name}-out")) + ("/" if output == "labels" else ".jsonl"),
        "--json",
    ]
    seconds, done = timed(lambda: subprocess.run(command, capture_output=True, text=True))
    if done.returncode:
        raise RuntimeError(why(done.stderr))
    last = json.loads(done.stdout[done.stdout.index('{\n  "type": "end"') :])
    if last["learned"] != n:
        raise RuntimeError(f"{last['learned']} rows learned of {n}")
    return seconds, float(last["seconds_running"])


def _river(X: NDArray[np.float32], quick: bool) -> list[dict[str, Any]]:
    try:
        from river import cluster
    except ImportError as error:
        return [{"case": "river", "failed": why(error)}]
    makers: dict[str, Callable[[], Any]] = {
        "STREAMKMeans": lambda: cluster.STREAMKMeans(chunk_size=500, n_clusters=K, seed=0),
        "CluStream": lambda: cluster.CluStream(n_macro_clusters=K, seed=0),
        "DBSTREAM": lambda: cluster.DBSTREAM(clustering_threshold=4.0),
    }
    found = []
    for name, make in makers.items():
        rows = X[: 1100 if quick else RIVER_ROWS[name]]
        records = [dict(enumerate(map(float, row))) for row in rows]
        model = make()

        def learn(model: Any = model, records: list[dict[int, float]] = records) -> None:
            for i, record in enumerate(records):
                model.learn_one(record)
                if i > 1000:
                    model.predict_one(record)

        try:
            seconds, _ = timed(learn)
        except Exception as error:
            found.append({"case": f"river {name}", "rows": len(rows), "failed": why(error)})
            continue
        centres = _centres(model)
        facts = {"case": f"river {name}", "rows": len(rows), "columns": COLUMNS, "k": K, "seconds": [seconds]}
        found.append(
            facts | {"clusters": len(centres), "cost": cost(rows, centres) if len(centres) else None}
        )
        print(f"river {name}: {len(rows) / seconds:,.0f} rows/s", flush=True)
    return found


def _centres(model: Any) -> NDArray[np.float64]:
    centres = getattr(model, "centers", None) or {}
    return np.array([[c[j] for j in range(COLUMNS)] for c in centres.values()], np.float64)
