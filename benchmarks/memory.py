"""Peak memory and time of fitting Parquet files of 1, 3 and 10 million rows, each in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.common import median, save

MILLIONS = (1, 3, 10)
COLUMNS, K = 20, 50
CHILD = {
    "shoal": """
import shoal
shoal.fit(path, 50)
""",
    "sklearn MiniBatch": """
import numpy as np, pyarrow.parquet as pq
from sklearn.cluster import MiniBatchKMeans
m = MiniBatchKMeans(50, random_state=0, n_init=1, compute_labels=False)
for b in pq.ParquetFile(path).iter_batches(65536):
    m.partial_fit(np.column_stack([c.to_numpy() for c in b.columns]))
""",
    "betula-cluster": """
import numpy as np, pyarrow.parquet as pq
from betula_cluster import Betula
m = Betula(n_clusters=50, method="kmeans", feature="spherical", max_leaves=2000)
for b in pq.ParquetFile(path).iter_batches(65536):
    m.partial_fit(np.column_stack([c.to_numpy() for c in b.columns]).astype(np.float64))
m.partial_fit()
m.cluster_centers_
""",
}
FRAME = """
import json, sys, time
path = sys.argv[1]
began = time.perf_counter()
{work}
seconds = time.perf_counter() - began
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))  # ru_maxrss is inherited
print(json.dumps([seconds, int(peak.split()[1]) / 1024]))
"""


def write(path: Path, rows: int) -> None:
    """float32 columns, 50 Gaussians, written in pieces."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(K, COLUMNS)) * 4
    schema = pa.schema([(f"c{i}", pa.float32()) for i in range(COLUMNS)])
    with pq.ParquetWriter(path, schema) as writer:
        for _ in range(rows // 100_000):
            X = centres[rng.integers(K, size=100_000)] + rng.normal(size=(100_000, COLUMNS))
            writer.write_table(pa.table([pa.array(c) for c in X.astype(np.float32).T], schema=schema))


def run(quick: bool = False) -> None:
    """Three runs each, in turns."""
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for millions in MILLIONS[: 1 if quick else None]:
            path = Path(folder) / "rows.parquet"
            write(path, millions * 1_000_000)
            found: dict[str, list[list[float]]] = {name: [] for name in CHILD}
            for _ in range(1 if quick else 3):
                for name, work in CHILD.items():
                    code = FRAME.format(work=work)
                    done = subprocess.run(
                        [sys.executable, "-c", code, str(path)], capture_output=True, text=True
                    )
                    if done.returncode:
                        print(name, done.stderr[-300:])
                        continue
                    found[name].append(json.loads(done.stdout.splitlines()[-1]))
            row = {"rows": millions * 1_000_000, "parquet_bytes": path.stat().st_size}
            row["seconds"] = {name: [s for s, _ in v] for name, v in found.items()}
            row["peak_mib"] = {name: [m for _, m in v] for name, v in found.items()}
            rows.append(row)
            for name, v in found.items():
                if v:
                    print(
                        millions,
                        "M rows",
                        name,
                        f"{median([s for s, _ in v]):.2f} s, {median([m for _, m in v]):.0f} MiB",
                    )
    if not quick:
        save("memory", rows)
