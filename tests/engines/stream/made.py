"""Made input and running ``shoal stream`` as a process, for the tests of streams."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np

from shoal.engines.stream.checkpoint import Checkpoint
from shoal.model.persistence import load_model

BAD_EVERY = 997


def lines(n, seed=0, bad_every=BAD_EVERY):
    """JSON lines of three drifting clusters, some late, every so many broken in one of four ways."""
    rng = np.random.default_rng(seed)
    homes = np.array([[0.0, 0.0, 0.0], [9.0, 0.0, 3.0], [0.0, 9.0, -3.0]])
    label = rng.integers(3, size=n)
    X = homes[label] + np.linspace(0, 4, n)[:, None] + rng.normal(size=(n, 3))
    at = 1.7e9 + np.arange(n) * 0.05 - (rng.random(n) < 0.1) * rng.exponential(40.0, n)
    broken = [
        '{"a": 1.0, "b": ',
        "[1, 2]",
        '{"a": "x", "b": 1, "c": 1, "at": 1.7e9}',
        '{"a": 1, "b": 2, "at": 1.7e9}',
    ]
    out = []
    for i in range(n):
        if bad_every and i % bad_every == bad_every - 1:
            out.append(broken[(i // bad_every) % 4])
        else:
            a, b, c = (round(float(v), 5) for v in X[i])
            out.append(json.dumps({"id": f"r{i}", "a": a, "b": b, "c": c, "at": round(float(at[i]), 3)}))
    return out


OPTIONS = ["-k", "2:5", "--time", "at", "--half-life", "2m", "--every", "1500 rows", "--learn-rows", "500"]
OPTIONS += ["--columns", "a,b,c", "--keep", "id", "--bucket", "3m", "--threads", "1"]


def command(source, state, labels, *more, options=OPTIONS):
    """The command line."""
    base = [sys.executable, "-m", "shoal", "stream", str(source), "--state", str(state)]
    return [*base, "--out", str(labels), *options, *more]


def run(source, state, labels, *more, options=OPTIONS, **settings):
    """The command, to its end."""
    asked = command(source, state, labels, *more, options=options)
    return subprocess.run(asked, capture_output=True, text=True, timeout=300, **settings)


def what_it_left(state, labels):
    """Everything a run made that must not depend on crashes."""
    state, labels = Path(state), Path(labels)
    known = Checkpoint.read(state)
    learner = dict(known.meta["learner"])
    dead = [json.loads(line) for line in (state / "dead_letters.jsonl").read_text().splitlines()]
    for letter in dead:
        del letter["time"]  # when it was found
    model = load_model(state / "models" / f"{learner['solves']:06d}")
    return {
        "summary": known.summary.to_bytes(),
        "learner": learner,
        "labels": labels.read_bytes(),
        "events": (state / "events.jsonl").read_bytes(),
        "alarms": (state / "alarms.jsonl").read_bytes(),
        "dead": dead,
        "centres": model.centres.tobytes(),
        "ids": model.ids.tolist(),
        "open buckets": {start: s.to_bytes() for start, s in known.buckets.items()},
    }
