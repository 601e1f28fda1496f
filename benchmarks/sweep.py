"""A sweep over 2 to 12 clusters against one fit of 12, as calls and as whole commands, and against eleven peer fits."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from sklearn.cluster import KMeans

import shoal
from benchmarks.common import in_turns, median, save
from benchmarks.data import SHARED, covertype, overlapping

PLACES = [f"actor{i}geo_{c}" for i in (1, 2) for c in ("lat", "long")]
GDELT: dict[str, Any] = {
    "columns": ["numarticles", "avgtone", *PLACES],
    "one_hot": ["eventcode"],
    "other": "drop",
    "nulls": "skip",
    "where": "not (actor1geo_lat = 0 and actor1geo_long = 0) and not (actor2geo_lat = 0 and actor2geo_long = 0)",
}


def gdelt_names() -> tuple[str, ...]:
    """Column names of the file without header."""
    return tuple((SHARED / "gdelt/events_column_names.csv").read_text().split())


def run(quick: bool = False) -> None:
    """Each data set: fit(12), sweep(2..12), as calls and as commands; the peer on the same vectors."""
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for label, path, read, recipe in _sets(folder, quick):
            rows.append(_measure(label, path, read, recipe, folder, 1 if quick else 3))
    if not quick:
        save("sweep", rows)


def _sets(folder: Path, quick: bool) -> Any:
    made = {"50 overlapping Gaussians, d=32": overlapping(ordered=False)}
    if SHARED.exists():
        made["covertype"] = covertype()
        read = shoal.ReadOptions(names=gdelt_names(), header=False)
        yield "GDELT day", SHARED / "gdelt/20130401.export.CSV.gz", read, GDELT
    for label, X in made.items():
        path = folder / f"{X.shape[1]}.parquet"
        X = X[:20_000] if quick else X
        pq.write_table(pa.table({f"c{i}": X[:, i] for i in range(X.shape[1])}), path)
        yield label, path, shoal.ReadOptions(), {}


def _measure(
    label: str, path: Path, read: Any, recipe: dict[str, Any], folder: Path, rounds: int
) -> dict[str, Any]:
    once = shoal.fit(path, 12, read=read, **recipe)
    points = once.summary.points().X
    calls = in_turns(
        {
            "fit 12": lambda: shoal.fit(path, 12, read=read, **recipe),
            "sweep 2:12": lambda: shoal.sweep(path, range(2, 13), read=read, **recipe),
        },
        rounds,
    )
    commands = in_turns(
        {verb: lambda verb=verb: _command(verb, path, recipe, folder) for verb in ("fit 12", "sweep 2:12")},
        rounds,
    )
    peers = in_turns(
        {"11 sklearn fits": lambda: [KMeans(k, n_init=1, random_state=0).fit(points) for k in range(2, 13)]},
        1,
    )
    row = {"set": label, "rows": once.summary.count, "points": len(points), "calls": calls}
    row |= {"commands": commands, "sklearn_on_the_sample": peers}
    print(
        label,
        {k: f"{median(v):.2f}" for part in (calls, commands, peers) for k, v in part.items()},
        flush=True,
    )
    return row


def _command(verb: str, path: Path, recipe: dict[str, Any], folder: Path) -> None:
    name, k = verb.split()
    options = []
    for key, value in recipe.items():
        options += [f"--{key.replace('_', '-')}", ",".join(value) if isinstance(value, list) else str(value)]
    if recipe:
        options += ["--names", str(SHARED / "gdelt/events_column_names.csv")]
    code = "from shoal.cli import main; main()"
    out = folder / f"model-{name}"
    subprocess.run(
        [sys.executable, "-c", code, name, str(path), "-k", k, "--out", str(out), *options],
        check=True,
        capture_output=True,
    )
