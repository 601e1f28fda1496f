"""Lines on standard output from which the service, its tuning jobs and people read how training went."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TextIO

ALGORITHM = "Shoal"
EVERY = 10.0
"""Seconds between lines about rows that are being read."""


class QualityLog:
    """Writes a job's log lines.

    Parameters
    ----------
    host : name of this machine in the metric lines.
    stream : default: standard output.
    debug : whether debug lines are written.

    >>> QualityLog("algo-1").quality("test", "msd", 0.25)
    [... INFO ...] #quality_metric: host=algo-1, test msd <loss>=0.25
    """

    def __init__(self, host: str = "algo-1", stream: TextIO | None = None, *, debug: bool = False) -> None:
        self.host, self.debugging = host, debug
        self._stream = stream
        self._began = time.time()
        self._due = time.monotonic() + EVERY

    def info(self, text: str) -> None:
        """A remark."""
        self._line("INFO", text)

    def debug(self, text: str) -> None:
        """A remark that few want to see."""
        if self.debugging:
            self._line("DEBUG", text)

    def problem(self, text: str) -> None:
        """Why the job fails."""
        self._line("ERROR", text)

    def quality(self, channel: str, metric: str, value: float) -> None:
        """A figure that is to be small; tuning jobs look for those of the test channel."""
        self.info(f"#quality_metric: host={self.host}, {channel} {metric} <loss>={float(value)!r}")

    def progress(self, percent: float) -> None:
        """How far the reads of the data are."""
        self.info(f"#progress_metric: host={self.host}, completed {percent:.1f} % of epochs")

    def rows_read(self, rows: int) -> None:
        """Rows of the train channel so far; said now and then, so that a long read does not look like a dead one."""
        if time.monotonic() >= self._due:
            self.info(f"{rows:,} rows read")
            self._due = time.monotonic() + EVERY

    def throughput(self, rows: int, seconds: float) -> None:
        """Rows a second of all reads of the train channel."""
        rate = rows / max(seconds, 1e-9)
        self.info(f"#throughput_metric: host={self.host}, train throughput={rate!r} records/second")

    def metrics(self, values: Mapping[str, float]) -> None:
        """Counters and times (in milliseconds) of the job as one line of JSON."""
        told = {
            "StartTime": self._began,
            "EndTime": time.time(),
            "Dimensions": {"Algorithm": ALGORITHM, "Host": self.host, "Operation": "training"},
            "Metrics": {name: {"count": 1, "sum": v, "min": v, "max": v} for name, v in values.items()},
        }
        self._write(f"#metrics {json.dumps(told)}")

    def _line(self, level: str, text: str) -> None:
        now = datetime.now(UTC).strftime("%m/%d/%Y %H:%M:%S")
        self._write(f"[{now} {level} {self.host}] {' '.join(text.splitlines())}")

    def _write(self, line: str) -> None:
        stream = self._stream or sys.stdout
        stream.write(line + "\n")
        stream.flush()
