"""Load on loopback: shoal serve beside a plain FastAPI + scikit-learn server and MLflow's, from ``wrk`` in one run.

All get the same centres and the same rows as JSON and answer with cluster ids; ours also answers all it has to say, and
takes raw floats, which are told apart. MLflow needs an environment of its own: name its Python in SHOAL_BENCH_MLFLOW.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.serve_peer import save_mlflow
from shoal.model.build import build_model
from shoal.model.cluster_model import Provenance
from shoal.model.persistence import save_model
from shoal.solve.k_means import k_means

K = 20
WIDTHS, BATCHES, CONNECTIONS = (16, 384), (1, 32, 4096), (1, 8)
_WRK = """
local file = io.open("{body}", "rb"); wrk.body = file:read("*a"); file:close()
wrk.method = "POST"; wrk.headers["Content-Type"] = "{kind}"
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format("{{\\"p50\\": %f, \\"p99\\": %f, \\"requests\\": %d, \\"seconds\\": %f, \\"failed\\": %d}}\\n",
    latency:percentile(50) / 1e6, latency:percentile(99) / 1e6, summary.requests, summary.duration / 1e6,
    e.connect + e.read + e.write + e.status + e.timeout))
end
"""


@dataclass(frozen=True)
class Target:
    """What is asked, and how."""

    name: str
    address: str
    body: bytes
    kind: str = "application/json"


def run(quick: bool = False) -> list[dict[str, Any]]:
    """Requests a second and latencies of every server, width and batch."""
    if shutil.which("wrk") is None:
        raise RuntimeError("the load test needs wrk: apt-get install wrk")
    widths, batches = (WIDTHS[:1], BATCHES[:2]) if quick else (WIDTHS, BATCHES)
    return [row for d in widths for row in _one_width(d, batches, quick=quick)]


def _one_width(d: int, batches: tuple[int, ...], *, quick: bool) -> list[dict[str, Any]]:
    rng = np.random.default_rng(0)
    centres = rng.normal(0, 3, (K, d)).astype(np.float32)
    X = (centres[rng.integers(0, K, 8192)] + rng.normal(0, 1, (8192, d))).astype(np.float32)
    with tempfile.TemporaryDirectory() as held, _servers(Path(held), X) as addresses:
        rows = []
        for batch in batches:
            targets = _targets(addresses, X[:batch])
            _check_alike(targets, batch)
            rows += [
                row | {"width": d, "batch": batch, "connections": c}
                for c in CONNECTIONS
                for row in _measured(targets, Path(held), c, quick=quick)
            ]
        return rows


def _targets(addresses: dict[str, str], rows: np.ndarray) -> list[Target]:
    text = json.dumps({"rows": rows.tolist()}).encode()
    ours = addresses["shoal"] + "/v1/models/served/assign"
    out = [
        Target("shoal", f"{ours}?columns=id", text),
        Target("shoal, all it says", ours, text),
        Target(
            "shoal, raw floats", f"{ours}?columns=id&width={rows.shape[1]}", rows.tobytes(), "application/octet-stream"
        ),
        Target("FastAPI + scikit-learn", addresses["plain"] + "/predict", text),
    ]  # fmt: skip
    if "mlflow" in addresses:
        inputs = json.dumps({"inputs": rows.tolist()}).encode()
        out.append(Target("MLflow", addresses["mlflow"] + "/invocations", inputs))
    return out


def _check_alike(targets: list[Target], batch: int) -> None:
    """All servers put the rows into the same clusters."""
    told = []
    for target in targets:
        asked = urllib.request.Request(target.address, target.body, {"Content-Type": target.kind})
        answer = json.loads(urllib.request.urlopen(asked, timeout=120).read())
        rows = answer.get("rows")
        labels = (
            [r["id"] for r in rows] if rows is not None else answer.get("labels", answer.get("predictions"))
        )
        told.append(np.unique(labels, return_inverse=True)[1].tolist())
        assert len(labels) == batch, target.name
    sizes = [sorted(np.bincount(t).tolist()) for t in told]
    assert all(s == sizes[0] for s in sizes), [t.name for t in targets]


def _measured(targets: list[Target], folder: Path, connections: int, *, quick: bool) -> list[dict[str, Any]]:
    """The servers in turns, the median of three rounds."""
    seconds, rounds = (1, 1) if quick else (4, 3)
    found: dict[str, list[dict[str, float]]] = {t.name: [] for t in targets}
    for turn in range(rounds + 1):
        for target in targets:
            got = _wrk(target, folder, connections, seconds)
            if turn or quick:  # the first round warms up
                found[target.name].append(got)
    return [
        {
            "server": name,
            "failed": sum(g["failed"] for g in all_of),
            "requests_per_second": statistics.median(g["requests"] / g["seconds"] for g in all_of),
            "p50_ms": statistics.median(g["p50"] for g in all_of) * 1e3,
            "p99_ms": statistics.median(g["p99"] for g in all_of) * 1e3,
        }
        for name, all_of in found.items()
    ]


def _wrk(target: Target, folder: Path, connections: int, seconds: int) -> dict[str, float]:
    body, script = folder / "body", folder / "load.lua"
    body.write_bytes(target.body)
    script.write_text(_WRK.format(body=body, kind=target.kind))
    command = [
        "wrk",
        "-t1",
        f"-c{connections}",
        f"-d{seconds}s",
        "--timeout",
        "60s",
        "-s",
        str(script),
        target.address,
    ]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return dict(json.loads(told.strip().splitlines()[-1]))


@contextmanager
def _servers(folder: Path, X: np.ndarray) -> Iterator[dict[str, str]]:
    model = build_model(X, np.ones(len(X)), k_means(X, K), provenance=Provenance(len(X)))
    save_model(model, folder / "served")
    np.save(folder / "centres.npy", model.centres.astype(np.float32))
    python = sys.executable
    commands = {
        "shoal": [python, "-m", "shoal", "serve", str(folder / "served"), "--port", "8941", "--log", "none"],
        "plain": [python, "-m", "benchmarks.serve_peer", str(folder / "centres.npy"), "8942"],
    }
    mlflow = os.environ.get("SHOAL_BENCH_MLFLOW")
    if mlflow:
        save_mlflow(mlflow, folder / "centres.npy", folder / "mlflow")
        commands["mlflow"] = [mlflow, "-m", "mlflow", "models", "serve", "-m", str(folder / "mlflow"),
                              "--env-manager", "local", "-p", "8943", "-h", "127.0.0.1", "-w", "1"]  # fmt: skip
    ready = {"shoal": 8941, "plain": 8942, "mlflow": 8943}
    path = {"shoal": "/health/live", "plain": "/openapi.json", "mlflow": "/ping"}
    tools = f"{Path(mlflow).parent}:" if mlflow else ""
    env = os.environ | {"PATH": tools + os.environ["PATH"]}
    running = [
        subprocess.Popen(c, env=env, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        for c in commands.values()
    ]
    try:
        for name in commands:
            _wait(f"http://127.0.0.1:{ready[name]}{path[name]}")
        yield {name: f"http://127.0.0.1:{ready[name]}" for name in commands}
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait(20)


def _wait(address: str) -> None:
    until = time.monotonic() + 300
    while True:
        try:
            urllib.request.urlopen(address, timeout=2).read()
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.2)
        else:
            return
