"""Beside the built-in k-means of Amazon SageMaker: its SDK's codec, its published algorithm, and jobs of several hosts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.common import Seconds, cost, in_turns, median, shown, thinned, timed, why
from benchmarks.data import SETS, SHARED
from benchmarks.peers import shoal_pass
from benchmarks.sagemaker_emulation import published
from shoal.sagemaker.artefact import read_artefact
from shoal.sagemaker.job_run import run_job
from shoal.sagemaker.job_spec import JobSpec
from shoal.sagemaker.job_store import JobStore
from shoal.sources.files import open_files
from shoal.sources.recordio_template import write_dense

SDK = Path(os.environ.get("SHOAL_SAGEMAKER_SDK_PYTHON", Path(sys.prefix) / "sagemaker-sdk/bin/python"))
"""An environment with the last release of the SDK that has a codec: sagemaker 2.257.7."""
WIDTHS = (26, 400)
OUR_BYTES, SDK_BYTES, QUICK_BYTES = 400 << 20, 16 << 20, 2 << 20
ROUNDS = 5
SEEDS = (0, 1, 2)
QUICK_ROWS = 20_000
HOSTS = (1, 2, 4)
HOST_FILES = 8
REAL = ("KDD Cup 99 10 %, k=25", "covertype", "MNIST")
SYNTHETIC = (
    "50 overlapping Gaussians, d=32",
    "the same, sorted by component",
    "no structure, d=64",
    "tiny far clusters, d=16",
)
_SDK_CODEC = """
import io, json, sys, time, warnings
warnings.simplefilter("ignore")
import numpy as np
from sagemaker.amazon.common import read_records, write_numpy_to_dense_tensor

X, rounds, seconds = np.load(sys.argv[1]), int(sys.argv[3]), {"read": [], "read to an array": [], "write": []}
for turn in range(rounds + 1):
    file = io.BytesIO()
    began = time.perf_counter()
    write_numpy_to_dense_tensor(file, X)
    wrote = time.perf_counter() - began
    file.seek(0)
    began = time.perf_counter()
    records = read_records(file)
    read = time.perf_counter() - began
    rows = np.array([record.features["values"].float32_tensor.values for record in records], np.float32)
    gathered = time.perf_counter() - began
    assert np.array_equal(rows, X)
    if turn:
        seconds["write"].append(wrote)
        seconds["read"].append(read)
        seconds["read to an array"].append(gathered)
open(sys.argv[2], "wb").write(file.getvalue())
print(json.dumps(seconds))
"""


def run(quick: bool = False) -> list[dict[str, Any]]:
    """The three parts, as rows that say which they are of."""
    return [
        *(codec(d, quick=quick) for d in WIDTHS),
        *(algorithm(name, X, k, quick=quick) for name, X, k in _sets(quick=quick)),
        hosts(quick=quick),
    ]


# The codec


def codec(d: int, *, quick: bool) -> dict[str, Any]:
    """MB a second of RecordIO-protobuf, float32, without labels: ours from and to a file, the SDK's in memory."""
    ours, theirs = (QUICK_BYTES, QUICK_BYTES) if quick else (OUR_BYTES, SDK_BYTES)
    X = np.random.default_rng(d).normal(size=(ours // (4 * d), d)).astype(np.float32)
    with tempfile.TemporaryDirectory() as held:
        path = Path(held) / "rows.pbr"
        seconds = in_turns(
            {"write": partial(_write, path, X), "read": partial(_read, path, len(X))}, 1 if quick else ROUNDS
        )
        size = path.stat().st_size
        rates = {f"shoal {what}": [size / s / 1e6 for s in took] for what, took in seconds.items()}
        few = X[: theirs // (4 * d)]
        found, problem = _of_sdk(Path(held), few, 1 if quick else 3)
        size = len(few) * (path.stat().st_size // len(X))
        rates |= {f"SDK {what}": [size / s / 1e6 for s in took] for what, took in found.items()}
    print(f"codec d={d}, MB/s: {shown(rates)} {problem}", flush=True)
    return {"part": "codec", "d": d, "rows": len(X), "megabytes_per_second": rates, "problem": problem}


def _write(path: Path, X: NDArray[np.float32]) -> None:
    with path.open("wb") as file:
        write_dense(file, X)


def _read(path: Path, n: int) -> None:
    """Every value arrives in memory of our own: a mapped file alone would not have been read."""
    rows = 0
    for batch in open_files([path]).batches(["values"]):
        values = batch.table.column("values").flatten().to_numpy()
        if not np.isfinite(values[:: max(1, len(values) // 64)]).all():
            raise ValueError("values that were not written")
        rows += batch.table.num_rows
    if rows != n:
        raise ValueError(f"{rows} rows of {n}")


def _of_sdk(folder: Path, X: NDArray[np.float32], rounds: int) -> tuple[Seconds, str]:
    """Seconds of the SDK, whose bytes must be ours; nothing and why where it cannot be asked."""
    if not SDK.exists():
        return {}, "the SDK is absent: name its interpreter in SHOAL_SAGEMAKER_SDK_PYTHON"
    np.save(folder / "rows.npy", X)
    command = [str(SDK), "-c", _SDK_CODEC, str(folder / "rows.npy"), str(folder / "sdk.pbr"), str(rounds)]
    told = subprocess.run(command, capture_output=True, text=True, timeout=600)
    if told.returncode:
        return {}, why(told.stderr)
    _write(folder / "ours.pbr", X)
    alike = (folder / "ours.pbr").read_bytes() == (folder / "sdk.pbr").read_bytes()
    return json.loads(told.stdout.splitlines()[-1]), "" if alike else "its bytes are not ours"


# The algorithm


def _sets(*, quick: bool) -> Iterator[tuple[str, NDArray[np.float32], int]]:
    named = {one.name: one for one in SETS}
    for name in (*SYNTHETIC, *REAL):
        if named[name].real and not SHARED.exists():
            print(f"skipped {name}: ../shared/data is not beside the checkout")
            continue
        X = named[name].make()
        yield name, thinned(X, QUICK_ROWS) if quick else np.ascontiguousarray(X), named[name].k
    X = manifold()
    yield "a curved surface, d=64", thinned(X, QUICK_ROWS) if quick else X, 50


def manifold(n: int = 300_000, d: int = 64) -> NDArray[np.float32]:
    """A surface of four dimensions, bent through 64, with a little noise: no clusters, but shape."""
    rng = np.random.default_rng(2)
    inner = rng.normal(size=(n, 4))
    bent = np.tanh(inner @ rng.normal(size=(4, 32))) @ rng.normal(size=(32, d)) / np.sqrt(32)
    rows: NDArray[np.float32] = (bent + 0.05 * rng.normal(size=(n, d))).astype(np.float32)
    return rows


def algorithm(name: str, X: NDArray[np.float32], k: int, *, quick: bool) -> dict[str, Any]:
    """Cost of both on the same rows in the same order, and what the emulated log says of it."""
    seeds = SEEDS[:1] if quick else SEEDS
    costs: Seconds = {"shoal": [], "published": []}
    seconds: Seconds = {"shoal": [], "published": []}
    told = []
    for seed in seeds:
        took, centres = timed(partial(shoal_pass, X, k, seed))
        seconds["shoal"].append(took)
        costs["shoal"].append(cost(X, centres))
        took, found = timed(partial(published, X, k, seed))
        seconds["published"].append(took)
        costs["published"].append(cost(X, found.centres))
        told.append(found.told * len(X) / costs["published"][-1])
    ratio = median(costs["shoal"]) / median(costs["published"])
    print(f"{name}: cost {ratio:.4f} of the published algorithm's; seconds {shown(seconds)}", flush=True)
    return {
        "part": "algorithm",
        "set": name,
        "n": len(X),
        "d": X.shape[1],
        "k": k,
        "cost": costs,
        "seconds": seconds,
        "told_of_true": told,
    }


# Hosts


def hosts(*, quick: bool) -> dict[str, Any]:
    """One job with 1, 2 and 4 instances on this machine: cost of its centres on all rows, and seconds."""
    one = SETS[0]
    X = thinned(one.make(), QUICK_ROWS) if quick else one.make()
    rounds = 1 if quick else 3
    costs: Seconds = {str(h): [] for h in HOSTS}
    seconds: Seconds = {str(h): [] for h in HOSTS}
    centres: dict[str, bytes] = {}
    with tempfile.TemporaryDirectory() as held:
        folder = Path(held)
        (folder / "train").mkdir()
        for i, part in enumerate(np.array_split(X, HOST_FILES)):
            _write(folder / "train" / f"{i}.pbr", part)
        for turn in range(rounds):
            for h in HOSTS:
                took, found = timed(partial(_job, folder, f"hosts-{h}-{turn}", one.k, h))
                seconds[str(h)].append(took)
                costs[str(h)].append(cost(X, found))
                centres[str(h)] = found.tobytes()
    alike = len(set(centres.values())) == 1
    print(f"hosts: cost {shown(costs)}, seconds {shown(seconds)}, equal bit for bit: {alike}", flush=True)
    return {
        "part": "hosts",
        "set": one.name,
        "n": len(X),
        "k": one.k,
        "cost": costs,
        "seconds": seconds,
        "alike": alike,
    }


def _job(folder: Path, name: str, k: int, instances: int) -> NDArray[np.float64]:
    source = {"S3Uri": str(folder / "train"), "S3DataDistributionType": "ShardedByS3Key"}
    document = {
        "TrainingJobName": name,
        "HyperParameters": {"k": str(k)},
        "InputDataConfig": [{"ChannelName": "train", "DataSource": {"S3DataSource": source}}],
        "OutputDataConfig": {"S3OutputPath": str(folder / "models")},
        "ResourceConfig": {"InstanceCount": instances},
    }
    job = run_job(JobSpec.from_dict(document), store=JobStore(folder / "jobs"))
    if job.model is None:
        raise RuntimeError(f"{name}: {job.status}: {job.reason}")
    centres: NDArray[np.float64] = read_artefact(job.model).model.centres
    return centres
