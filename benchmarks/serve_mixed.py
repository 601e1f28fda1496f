"""Mixed load while versions change every few seconds: no request may fail, and memory must not grow."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import numpy as np

from shoal.engines import local
from shoal.model.store import ModelStore

_PORT = 8951
_EVERY = 3.0
"""Seconds between two versions."""
_WARM = 0.2
"""Share of the time after which memory is compared with that at the end."""


def run(quick: bool = False) -> list[dict[str, Any]]:
    """A quarter of an hour."""
    return [_soak(20.0 if quick else 900.0)]


def _soak(seconds: float) -> dict[str, Any]:
    """Ask in every way on six threads for so long, with a listener to events, while a store gets new versions."""
    with tempfile.TemporaryDirectory() as held:
        store = ModelStore(Path(held) / "store", keep=5)
        rng = np.random.default_rng(0)
        X = rng.normal(0, 5, (10, 16))[rng.integers(0, 10, 4000)] + rng.normal(0, 1, (4000, 16))
        X = X.astype(np.float32)
        first = local.fit(X, 10)
        store.publish(first.model, first.summary)
        command = [
            sys.executable,
            "-m",
            "shoal",
            "serve",
            str(store.folder),
            "--port",
            str(_PORT),
            "--log",
            "none",
        ]
        server = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        try:
            _wait(server)
            return _load(server.pid, store, X, seconds)
        finally:
            server.terminate()
            server.wait(20)


def _load(pid: int, store: ModelStore, X: np.ndarray, seconds: float) -> dict[str, Any]:
    until, began = time.monotonic() + seconds, time.monotonic()
    counts: Counter[str] = Counter()
    versions: set[str] = set()
    threads = [
        threading.Thread(target=_ask, args=(until, X, i, counts, versions), daemon=True) for i in range(6)
    ]
    threads.append(threading.Thread(target=_listen, args=(until, counts), daemon=True))
    for thread in threads:
        thread.start()
    published, memory = 0, []
    while time.monotonic() < until:
        time.sleep(min(_EVERY, max(0.0, until - time.monotonic())))
        k = 5 + published % 6
        found = local.fit(X[published % 7 :: 7], k)
        store.publish(found.model, found.summary)
        published += 1
        memory.append((time.monotonic() - began, _resident(pid)))
    for thread in threads:
        thread.join(30)
    warm = [m for t, m in memory if t >= _WARM * seconds] or [m for _, m in memory]
    quarter = max(1, len(warm) // 4)
    return {
        "seconds": round(time.monotonic() - began, 1),
        "requests": sum(n for name, n in counts.items() if not name.startswith(("failed", "event"))),
        "failed": {name: n for name, n in counts.items() if name.startswith("failed")},
        "events_heard": counts["events"],
        "versions_published": published,
        "versions_seen": len(versions),
        "mib_early": round(float(np.median(warm[:quarter])) / 2**20, 1),
        "mib_late": round(float(np.median(warm[-quarter:])) / 2**20, 1),
        "mib_most": round(max(m for _, m in memory) / 2**20, 1),
    }


def _ask(until: float, X: np.ndarray, number: int, counts: Counter[str], versions: set[str]) -> None:
    rng = np.random.default_rng(number)
    connection = HTTPConnection("127.0.0.1", _PORT, timeout=60)
    while time.monotonic() < until:
        n = int(rng.choice([1, 1, 1, 32, 32, 1000]))
        rows = X[rng.integers(0, len(X), n)]
        raw = (
            "POST",
            f"/v1/models/store/assign?width={X.shape[1]}",
            rows.tobytes(),
            "application/octet-stream",
        )
        text = (
            "POST",
            "/v1/models/store/assign?n=3",
            json.dumps({"rows": rows.tolist()}),
            "application/json",
        )
        one = ("POST", "/v1/models/store/explain", json.dumps({"row": rows[0].tolist()}), "application/json")
        looks = [
            ("GET", f"/v1/models/store/{what}", None, "")
            for what in ("scene", "events", "history", "solve?k=7")
        ]
        looks += [("GET", "/v1/models", None, ""), ("GET", "/metrics", None, "")]
        method, path, body, kind = (raw, text, raw, text, one, looks[rng.integers(len(looks))])[
            rng.integers(6)
        ]
        try:
            connection.request(method, path, body, {"Content-Type": kind} if kind else {})
            answer = connection.getresponse()
            answer.read()
        except OSError as error:
            counts[f"failed: {type(error).__name__}"] += 1
            connection.close()
            continue
        if answer.status != 200:
            counts[f"failed: {answer.status} {path.partition('?')[0]}"] += 1
        counts[path.partition("?")[0]] += 1
        versions.add(answer.headers.get("X-Model-Version") or "")


def _listen(until: float, counts: Counter[str]) -> None:
    connection = HTTPConnection("127.0.0.1", _PORT, timeout=60)
    connection.request("GET", "/v1/events?model=store")
    answer = connection.getresponse()
    while time.monotonic() < until:
        if answer.fp.readline().startswith(b"event:"):
            counts["events"] += 1


def _resident(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * 4096


def _wait(server: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 60
    while server.poll() is None and time.monotonic() < until:
        try:
            connection = HTTPConnection("127.0.0.1", _PORT, timeout=2)
            connection.request("GET", "/health/ready")
            if connection.getresponse().status == 200:
                return
        except OSError:
            time.sleep(0.2)
    raise RuntimeError("the server did not come up")
