"""An hour of a stream in accelerated time: does memory stay flat, and does speed?

One process learns 3,600 seconds of event time at 5,000 rows a second from a made drifting stream, with forgetting,
time buckets, labels and checkpoints, and notes its resident memory along the way.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.common import why

SECONDS, PER_SECOND, COLUMNS, K = 3600, 5000, 8, 20
CHECKOUT = Path(__file__).parents[1]


def run(quick: bool = False) -> list[dict[str, Any]]:
    """In a process of its own, so that its memory is its own."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "benchmarks.soak", folder, str(60 if quick else SECONDS)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=CHECKOUT)
        if done.returncode:
            raise RuntimeError(why(done.stderr))
        answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    print(f"soak: {answer['rows']:,} rows, memory in MB {answer['memory_mb']}", flush=True)
    return [answer]


class Hour:
    """A source that makes its rows: clusters on slow circles, a chunk per second of event time."""

    name = "made stream"

    def __init__(self, seconds: int) -> None:
        self._seconds, self._at = seconds, 0
        rng = np.random.default_rng(0)
        self._homes = rng.normal(size=(K, COLUMNS)) * 8

    def start(self, position: dict[str, Any] | None) -> None:
        """From the beginning, or from a position."""
        self._at = 0 if position is None else position["at"]

    @property
    def finished(self) -> bool:
        """Whether the hour is over."""
        return self._at >= self._seconds

    def poll(self, max_rows: int, timeout: float) -> Any:
        """Ten seconds' rows."""
        from shoal.sources.stream_protocol import Chunk

        if self.finished:
            return None
        n, at = PER_SECOND * 10, self._at
        rng = np.random.default_rng([1, at])
        turn = 2 * np.pi * at / SECONDS
        homes = self._homes + np.array([np.cos(turn), np.sin(turn)] * (COLUMNS // 2)) * 4
        X = homes[rng.integers(K, size=n)] + rng.normal(size=(n, COLUMNS))
        times = 1.7e9 + at + np.sort(rng.uniform(0, 10, n)) - rng.exponential(5.0, n)  # some are late
        table = pa.record_batch({f"c{j}": X[:, j] for j in range(COLUMNS)} | {"at": times})
        self._at += 10
        rows = np.arange(at * PER_SECOND, at * PER_SECOND + n)
        return Chunk(table, self.name, 1, rows, {"at": self._at})

    def committed(self, position: dict[str, Any]) -> None:
        """Nothing to let go of."""

    def backlog(self) -> int:
        """Rows to come."""
        return (self._seconds - self._at) * PER_SECOND

    def close(self) -> None:
        """Nothing to close."""


def _child(folder: Path, seconds: int) -> dict[str, Any]:
    from shoal.engines.outputs.open import open_output
    from shoal.engines.stream.run import RunOptions, Status, StreamRun
    from shoal.engines.stream.settings import Span, StreamSettings

    memory: list[float] = []
    marks: list[tuple[int, float]] = []
    began = time.perf_counter()

    def watch(status: Status) -> None:
        if status.read >= len(memory) * seconds * PER_SECOND / 20:
            memory.append(round(_resident_mb(), 1))
            marks.append((status.read, time.perf_counter() - began))

    settings = StreamSettings(k=K, time="at", half_life=Span(seconds=300.0), bucket=60.0)
    options = RunOptions(watch=watch, checkpoint_seconds=2.0, disk_budget=100_000_000)
    labels = open_output(str(folder / "labels") + "/")
    StreamRun(Hour(seconds), settings, folder / "state", labels=labels, options=options).run()
    state_bytes = sum(p.stat().st_size for p in (folder / "state").rglob("*") if p.is_file())
    halves = len(marks) // 2
    speed = [
        (b[0] - a[0]) / (b[1] - a[1]) for a, b in ((marks[0], marks[halves]), (marks[halves], marks[-1]))
    ]
    return {
        "rows": seconds * PER_SECOND,
        "event_seconds": seconds,
        "seconds": round(marks[-1][1], 2),
        "memory_mb": memory,
        "rows_per_second_by_half": [round(s) for s in speed],
        "state_mb": round(state_bytes / 1e6, 1),
    }


def _resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


if __name__ == "__main__":
    print(json.dumps(_child(Path(sys.argv[1]), int(sys.argv[2]))))
