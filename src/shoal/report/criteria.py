"""The criteria for k, as a reader meets them: name, direction, one line of meaning."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

NAN = math.nan


@dataclass(frozen=True)
class Curve:
    """One criterion over the candidates."""

    key: str
    title: str
    better: str
    """``higher``, ``lower`` or empty if the curve does not decide."""
    meaning: str
    ks: tuple[int, ...]
    values: tuple[float, ...]
    """NaN where there is none."""
    errors: tuple[float, ...]
    """Standard errors; empty if there are none."""
    best: int | None
    """The k this criterion would choose."""


_KINDS = (
    (
        "inertia",
        "Inertia (elbow)",
        "",
        "Drawn because people expect it. It always falls and does not decide.",
        "",
    ),
    (
        "calinski_harabasz",
        "Calinski-Harabasz",
        "higher",
        "Variance between clusters over variance within.",
        "Calinski-Harabasz",
    ),
    (
        "davies_bouldin",
        "Davies-Bouldin",
        "lower",
        "How much each cluster resembles the one most like it.",
        "Davies-Bouldin",
    ),
    ("silhouette", "Silhouette", "higher", "How much nearer the own centre is than the next.", "silhouette"),
    ("bic", "BIC", "lower", "Fit of round clusters, less a price for each.", "BIC"),
    ("gap", "Gap", "higher", "Better fit than on like data without clusters.", "gap"),
    ("stability", "Stability", "higher", "Agreement of clusterings of separate samples.", "stability"),
)


def curves(choice: Mapping[str, Any]) -> tuple[Curve, ...]:
    """The curves of ``KChoice.to_dict()``, those without any figure left out.

    >>> data = {"votes": {}, "candidates": [{"k": 2, "silhouette": 0.5}, {"k": 3, "silhouette": 0.7}]}
    >>> [(c.title, c.best) for c in curves(data)]
    [('Silhouette', 3)]
    """
    candidates = sorted(choice.get("candidates") or (), key=lambda row: int(row["k"]))
    ks = tuple(int(row["k"]) for row in candidates)
    votes = choice.get("votes") or {}
    out = []
    for key, title, better, meaning, vote in _KINDS:
        values = tuple(_number(row.get(key)) for row in candidates)
        if not any(map(math.isfinite, values)):
            continue
        errors = tuple(_number(row.get("gap_error")) for row in candidates) if key == "gap" else ()
        # A criterion that has no vote abstains, as the BIC does where it only falls; without votes we look ourselves.
        best = votes.get(vote) if votes else _extreme(ks, values, better)
        out.append(
            Curve(key, title, better, meaning, ks, values, errors, None if best is None else int(best))
        )
    return tuple(out)


def _extreme(ks: tuple[int, ...], values: tuple[float, ...], better: str) -> int | None:
    real = [(v, k) for v, k in zip(values, ks, strict=True) if math.isfinite(v) and k > 1]
    if not better or not real:
        return None
    return max(real)[1] if better == "higher" else min(real)[1]


def _number(value: Any) -> float:
    return NAN if value is None else float(value)
