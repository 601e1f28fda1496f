"""The smaller charts of the report: criteria, heat table, convergence; geometry here, drawing in the templates."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from shoal.report.criteria import Curve, curves
from shoal.report.layout import ticks
from shoal.report.traits import telling_columns
from shoal.report.view import View
from shoal.report.wording import compact, percent_text

WIDTH, HEIGHT = 250, 150
LEFT, RIGHT, TOP, BOTTOM = 42, 10, 10, 22
MOST_COLUMNS = 30
MOST_WITH_VALUES = 12
REACH = 2.5
"""Standard deviations at which a cell of the heat table has its full colour."""


def criteria_panels(choice: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A panel for each criterion."""
    return [_panel(curve, choice.get("suggested")) for curve in curves(choice)]


def _panel(curve: Curve, suggested: int | None) -> dict[str, Any]:
    errors = [e if math.isfinite(e) else 0.0 for e in curve.errors] or [0.0] * len(curve.ks)
    known = [(v, e) for v, e in zip(curve.values, errors, strict=True) if math.isfinite(v)]
    low, high = min(v - e for v, e in known), max(v + e for v, e in known)
    margin = 0.12 * (high - low) or max(abs(high) * 0.1, 0.5)
    low, high = low - margin, high + margin
    first, last = curve.ks[0], curve.ks[-1]

    def x(k: float) -> float:
        share = (k - first) / (last - first) if last > first else 0.5
        return round(LEFT + 8 + share * (WIDTH - LEFT - RIGHT - 16), 1)

    def y(value: float) -> float:
        return round(TOP + (1 - (value - low) / (high - low)) * (HEIGHT - TOP - BOTTOM), 1)

    at = [(x(k), y(v)) if math.isfinite(v) else None for k, v in zip(curve.ks, curve.values, strict=True)]
    up = ticks(low, high, 4)
    wide = min(max(6.0, 0.6 * (x(first + 1) - x(first)) if last > first else 12.0), 16.0)
    best = curve.ks.index(curve.best) if curve.best in curve.ks else None
    return {
        "title": curve.title,
        "better": f"{curve.better.capitalize()} is better." if curve.better else "",
        "meaning": curve.meaning,
        "path": _path(at),
        "points": [p for p in at if p is not None],
        "errors": [
            (x(k), y(v - e), y(v + e))
            for k, v, e in zip(curve.ks, curve.values, errors, strict=True)
            if math.isfinite(v) and e > 0
        ],
        "band": None if suggested is None else (round(x(suggested) - wide / 2, 1), round(wide, 1)),
        "best": None if best is None else at[best],
        "best_k": curve.best,
        "ticks_x": [(x(k), f"{k:g}") for k in _whole(first, last)],
        "ticks_y": [(y(v), compact(v, up[1] - up[0] if len(up) > 1 else 0.0)) for v in up],
    }


def _whole(first: int, last: int) -> list[int]:
    step = max(1, math.ceil((last - first) / 6))
    return list(range(first, last + 1, step))


def _path(at: Sequence[tuple[float, float] | None]) -> str:
    """SVG path through the points, broken where one is missing."""
    parts, pen = [], "M"
    for point in at:
        if point is None:
            pen = "M"
            continue
        parts.append(f"{pen}{point[0]:g} {point[1]:g}")
        pen = "L"
    return "".join(parts)


_TABLE = (
    ("inertia", "Inertia"), ("explained", "Explained"), ("calinski_harabasz", "Calinski-Harabasz"),
    ("davies_bouldin", "Davies-Bouldin"), ("silhouette", "Silhouette"), ("bic", "BIC"), ("gap", "Gap"),
    ("gap_error", "± error"), ("stability", "Stability"),
)  # fmt: skip


def candidates_table(choice: Mapping[str, Any]) -> dict[str, Any]:
    """All figures of all k, as text."""
    rows = sorted(choice.get("candidates") or (), key=lambda row: int(row["k"]))
    return {
        "columns": [name for _, name in _TABLE],
        "rows": [
            {"k": int(row["k"]), "cells": [_figure(key, row.get(key)) for key, _ in _TABLE]} for row in rows
        ],
    }


def _figure(key: str, value: Any) -> str:
    number = math.nan if value is None else float(value)
    return percent_text(number) if key == "explained" and math.isfinite(number) else compact(number)


def heat_table(view: View) -> dict[str, Any]:
    """Deviations as strength of colour in percent, and values as text; the most telling columns only."""
    shown = telling_columns(view.deviations, view.shares, MOST_COLUMNS)
    return {
        "columns": [view.columns[j].label for j in shown],
        "left": view.d - len(shown),
        "values": len(shown) <= MOST_WITH_VALUES,
        "rows": [
            {
                "number": view.numbers[c],
                "name": view.names[c],
                "colour": view.colours[c],
                "cells": [_cell(view, c, int(j)) for j in shown],
            }
            for c in range(view.k)
        ],
    }


def _cell(view: View, c: int, j: int) -> dict[str, Any]:
    deviation, column = float(view.deviations[c, j]), view.columns[j]
    signed = f"{deviation:+.1f}".replace("-", "−")
    return {
        "side": "above" if deviation > 0 else "below",
        "strength": round(100 * float(np.clip(abs(deviation) / REACH, 0, 1))),
        "value": column.text(float(view.centres[c, j])),
        "tip": f"{view.names[c]}, {column.label}: {column.text(float(view.centres[c, j]))} ({signed} standard deviations)",
    }


def spark(values: Sequence[float]) -> dict[str, Any] | None:
    """A small line of falling inertia; None for fewer than two steps."""
    known = [v for v in values if math.isfinite(v)]
    if len(known) < 2:
        return None
    low, high = min(known), max(known)
    span = high - low or 1.0
    at = [
        (round(4 + 232 * i / (len(known) - 1), 1), round(6 + 44 * (1 - (v - low) / span), 1))
        for i, v in enumerate(known)
    ]
    return {
        "path": _path(at),
        "last": at[-1],
        "saved": percent_text((known[0] - known[-1]) / max(abs(known[0]), 1e-300)),
    }
