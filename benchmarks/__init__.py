"""Shoal beside the strongest peers, on the same arrays, in one process tree; ``python -m benchmarks.run``."""
