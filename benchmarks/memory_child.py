"""``python -m benchmarks.memory_child NAME FILE``: one contender, one Parquet file; prints its seconds and peak memory.

Libraries are imported by the contender that uses them, so nobody carries the memory of another. Time starts after
the imports.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

K = 50
BATCH = 65_536


def shoal_fit(path: str) -> Callable[[], Any]:
    """The public function on the file."""
    import shoal

    return lambda: shoal.fit(path, K)


def mini_batch(path: str) -> Callable[[], Any]:
    """scikit-learn, batches of the same size."""
    from sklearn.cluster import MiniBatchKMeans

    def work() -> None:
        model = MiniBatchKMeans(K, random_state=0, n_init=1, compute_labels=False)
        for batch in _batches(path):
            model.partial_fit(batch)

    return work


def betula(path: str) -> Callable[[], Any]:
    """betula-cluster, batches of the same size; the empty call at the end solves."""
    from betula_cluster import Betula

    def work() -> None:
        model = Betula(n_clusters=K, method="kmeans", feature="spherical", max_leaves=2000, seed=0)
        for batch in _batches(path):
            model.partial_fit(batch)
        model.partial_fit()

    return work


CONTENDERS = {"shoal": shoal_fit, "MiniBatch": mini_batch, "betula-cluster": betula}


def _batches(path: str) -> Iterator[Any]:
    import numpy as np
    import pyarrow.parquet as pq

    for batch in pq.ParquetFile(path).iter_batches(BATCH):
        yield np.column_stack([column.to_numpy() for column in batch.columns])


def peak_mb() -> float:
    """Peak resident memory in 10^6 bytes.

    Linux hands ``ru_maxrss`` of the parent on to a child it starts, so a large benchmark process would be counted
    with its small child; VmHWM starts anew with the program.
    """
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024 / 1e6
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def main() -> None:
    """Run one contender."""
    name, path = sys.argv[1:]
    work = CONTENDERS[name](path)
    began = time.perf_counter()
    work()
    seconds = time.perf_counter() - began
    print(json.dumps({"seconds": seconds, "peak_mb": peak_mb()}))


if __name__ == "__main__":
    main()
