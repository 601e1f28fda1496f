"""Types of the compiled module (see module.cpp); call it through ``shoal.kernels``."""

from numpy import float32, float64, int32, int64, uint64
from numpy.typing import NDArray

LIMBS: int

def variant() -> str: ...
def select_variant(name: str) -> bool: ...
def variant_supported(name: str) -> bool: ...
def exact_add_values(values: NDArray[float64], limbs: NDArray[int64]) -> None: ...
def exact_merge(source: NDArray[int64], into: NDArray[int64]) -> None: ...
def row_ids(key: int, rows: NDArray[int64], ids: NDArray[uint64]) -> None: ...

_Float = NDArray[float32] | NDArray[float64]

def nearest(
    X: _Float,
    centres: _Float,
    labels: NDArray[int32],
    distances: _Float,
    second: _Float | None,
    n_threads: int,
) -> None: ...
def accumulate(
    X: _Float,
    centres: _Float,
    weights: NDArray[float64] | None,
    labels: NDArray[int32],
    distances: _Float,
    sums: NDArray[float64],
    counts: NDArray[float64],
    n_threads: int,
) -> float: ...
def seed_rows(
    X: _Float,
    weights: NDArray[float64] | None,
    uniforms: NDArray[float64],
    chosen: NDArray[int64],
    closest: NDArray[float64],
    n_threads: int,
) -> None: ...
def exact_add(
    X: _Float,
    weights: NDArray[float64] | None,
    sums: NDArray[int64],
    squares: NDArray[int64],
    n_threads: int,
) -> None: ...
def score(
    labels: NDArray[int32],
    squared: _Float,
    weights: NDArray[float64] | None,
    mean_squared: float,
    rarity: NDArray[float64],
    ids: NDArray[uint64],
    seed: int,
    importance: NDArray[float64],
    priority: NDArray[float64],
) -> None: ...

_Features = tuple[NDArray[float64], NDArray[float64], NDArray[float64]]

class CFTree:
    """See cf_tree.hpp; mean (m, d), weight (m,), scatter (m,)."""

    def __init__(
        self, d: int, branching: int, threshold: float, max_entries: int, max_nodes: int
    ) -> None: ...
    def insert(self, X: _Float, weights: NDArray[float64] | None) -> None: ...
    def insert_entries(
        self, mean: NDArray[float64], weight: NDArray[float64], scatter: NDArray[float64]
    ) -> None: ...
    def scale(self, factor: float, least: float) -> None: ...
    def entries(self) -> _Features: ...
    def export_nodes(self) -> tuple[int, NDArray[int32], _Features]: ...
    def restore(
        self,
        depth: int,
        counts: NDArray[int32],
        mean: NDArray[float64],
        weight: NDArray[float64],
        scatter: NDArray[float64],
    ) -> bool: ...
    squared_threshold: float
    @property
    def n_entries(self) -> int: ...
    @property
    def n_nodes(self) -> int: ...
    @property
    def depth(self) -> int: ...
    @property
    def bytes(self) -> int: ...
