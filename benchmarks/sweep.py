"""A sweep over 2 to 12 clusters against one fit of 12, as calls and as whole commands, and against eleven peer fits."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from sklearn.cluster import KMeans

import shoal
from benchmarks.common import in_turns, shown, thinned, timed, why
from benchmarks.data import SHARED, covertype, overlapping
from shoal.engines.local import open_data
from shoal.engines.reading import Pass

KS = range(2, 13)
ROUNDS = 3
QUICK_ROWS = 20_000
FIT, SWEEP = "fit 12", "sweep 2:12"
PLACES = [f"actor{i}geo_{c}" for i in (1, 2) for c in ("lat", "long")]
GDELT_FILE = SHARED / "gdelt/20130401.export.CSV.gz"
GDELT_NAMES = SHARED / "gdelt/events_column_names.csv"
GDELT_RECIPE: dict[str, Any] = {
    "columns": ("numarticles", "avgtone", *PLACES),
    "one_hot": ("eventcode",),
    "other": "drop",
    "nulls": "skip",
    "where": "not (actor1geo_lat = 0 and actor1geo_long = 0) and not (actor2geo_lat = 0 and actor2geo_long = 0)",
}


@dataclass(frozen=True)
class Job:
    """A file and how to read it."""

    name: str
    path: Path
    read: shoal.ReadOptions = field(default_factory=shoal.ReadOptions)
    recipe: dict[str, Any] = field(default_factory=dict)
    options: tuple[str, ...] = ()
    """The same as ``read``, for the command line."""


def run(quick: bool = False) -> list[dict[str, Any]]:
    """Time every job."""
    rows = []
    with tempfile.TemporaryDirectory() as name:
        for job in _jobs(Path(name), quick):
            rows.append(_measure(job, Path(name), 1 if quick else ROUNDS))
            parts = (rows[-1][part] for part in ("calls", "commands", "peer"))
            print(
                job.name, f"({rows[-1]['n']:,} rows):", "; ".join(shown(part) for part in parts), flush=True
            )
    return rows


def _jobs(folder: Path, quick: bool) -> Iterator[Job]:
    if SHARED.exists():
        names = tuple(GDELT_NAMES.read_text().split())
        read = shoal.ReadOptions(names=names, header=False)
        yield Job("GDELT, one day", GDELT_FILE, read, GDELT_RECIPE, ("--names", str(GDELT_NAMES)))
        yield Job("covertype", _as_parquet(covertype(), folder / "covertype.parquet", quick))
    else:
        print("skipped GDELT and covertype: ../shared/data is not beside the checkout")
    mixture = overlapping(ordered=False)
    yield Job("50 overlapping Gaussians, d=32", _as_parquet(mixture, folder / "mixture.parquet", quick))


def _as_parquet(X: NDArray[Any], path: Path, quick: bool) -> Path:
    rows = thinned(X, QUICK_ROWS) if quick else X
    pq.write_table(pa.table({f"c{i}": column for i, column in enumerate(rows.T)}), path)
    return path


def _measure(job: Job, folder: Path, rounds: int) -> dict[str, Any]:
    calls = {
        FIT: lambda: shoal.fit(job.path, 12, read=job.read, **job.recipe),
        SWEEP: lambda: shoal.sweep(job.path, KS, read=job.read, **job.recipe),
    }
    commands = {verb: partial(_command, verb, job, folder / "model") for verb in (FIT, SWEEP)}
    matrix = vectors(job)
    peer = timed(lambda: [KMeans(k, n_init=1, random_state=0).fit(matrix) for k in KS])[0]
    row = {"set": job.name, "n": len(matrix), "d": matrix.shape[1]}
    row |= {"calls": in_turns(calls, rounds), "commands": in_turns(commands, rounds)}
    return row | {"peer": {"11 sklearn KMeans": [peer]}}


def vectors(job: Job) -> NDArray[Any]:
    """All rows as Shoal's recipe makes them, for the peer, whose time contains no reading of files."""
    spec = shoal.RecipeSpec(**job.recipe)
    source = open_data(job.path, job.read, text_columns=spec.text_columns)
    return np.concatenate([found.matrix for _, found in Pass(source, spec).features()])


def _command(verb: str, job: Job, out: Path) -> None:
    name, k = verb.split()
    options = list(job.options)
    for key, value in job.recipe.items():
        options += [f"--{key.replace('_', '-')}", ",".join(value) if isinstance(value, tuple) else value]
    shoal_command = [sys.executable, "-c", "from shoal.cli import main; main()"]
    line = [*shoal_command, name, str(job.path), "-k", k, "--out", str(out), *options]
    done = subprocess.run(line, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"shoal {name}: {why(done.stderr)}")
