"""Shoal beside the strongest peers, on the same arrays, in one process tree; ``python -m benchmarks.run``."""

import os

THREADS = int(os.environ.get("BENCHMARK_THREADS") or min(2, os.cpu_count() or 1))
"""Threads for every contender."""

# Thread pools read these when their library is first imported, and child processes inherit them.
for _pool in ("OMP", "OPENBLAS", "MKL", "RAYON"):
    os.environ[f"{_pool}_NUM_THREADS"] = str(THREADS)
