"""The map of the report: drawn here once as SVG, and as data for the script to redraw on other axes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.report.layout import limits, part_labels, ticks
from shoal.report.projection import Projection, principal_axes, project
from shoal.report.thinning import thin
from shoal.report.traits import telling_columns
from shoal.report.view import View
from shoal.report.wording import compact, percent_text, sample_text

FloatArray = NDArray[np.float64]

WIDTH, HEIGHT = 900, 600
LEFT, RIGHT, TOP, BOTTOM = 64, 14, 14, 48
MOST_POINTS = 3000
MOST_COLUMNS = 24
MOST_CELLS = 60_000
"""Numbers embedded in the page."""


def map_of(view: View) -> dict[str, Any]:
    """The static picture and the data behind it."""
    placed = project(view)
    telling = telling_columns(view.deviations, view.shares, MOST_COLUMNS)
    shown = np.union1d(telling, np.array(placed.columns or (), np.int64))
    rows, weights = thin(view.labels, view.weights, view.k, min(MOST_POINTS, MOST_CELLS // (len(shown) + 2)))
    rows, weights = _shuffled(rows, weights)
    axes, start, aspect = _axes(view, placed, rows, weights, shown)
    relative = weights / max(float(np.median(weights)), 1e-300) if len(weights) else weights
    radii = np.round(2.4 * np.clip(relative**0.25, 0.75, 2.2), 2)
    data = {
        "frame": {
            "width": WIDTH,
            "height": HEIGHT,
            "left": LEFT,
            "right": RIGHT,
            "top": TOP,
            "bottom": BOTTOM,
        },
        "axes": axes,
        "start": start,
        "aspect": aspect,
        "labels": view.labels[rows].tolist(),
        "weights": [_brief(w) for w in weights],
        "disc": _disc(view),
        "clusters": [
            {
                "name": view.names[c],
                "number": view.numbers[c],
                "share": percent_text(float(view.shares[c])),
                "colour": view.colours[c],
                "traits": [t.text for t in view.traits[c]],
                "empty": bool(view.shares[c] <= 0),
            }
            for c in range(view.k)
        ],
    }
    note = sample_text(len(rows), view.model.provenance.rows_seen)
    return {"data": data, "note": note, "columns_left": view.d - len(shown), **_picture(view, data, radii)}


def _axes(
    view: View, placed: Projection, rows: NDArray[np.int64], weights: FloatArray, shown: NDArray[np.int64]
) -> tuple[list[dict[str, Any]], list[int], dict[str, Any] | None]:
    """The axes to choose from, the two to start with, and the one pair that is a map."""
    axes = [
        _axis(view.columns[j].label, view.points[rows, j], view.centres[:, j], weights) | {"column": int(j)}
        for j in shown
    ]
    if view.d == 1:
        axes.append(
            _axis("height at random", placed.points[rows, 1], placed.centres[:, 1], weights) | {"plain": True}
        )
        return axes, [0, 1], None
    directions, explained = principal_axes(view)
    for i, (axis, share) in enumerate(zip(directions, explained, strict=True)):
        label = f"principal component {i + 1} ({percent_text(share)} of the variance)"
        at, centres = (view.vectors[rows] - view.mean) @ axis, (view.model.centres - view.mean) @ axis
        axes.append(_axis(label, at, centres, weights))
    start = [len(shown), len(shown) + 1]
    if placed.columns is not None:
        start = np.searchsorted(shown, np.array(placed.columns)).tolist()
    aspect = None if placed.aspect is None else {"pair": start, "ratio": placed.aspect}
    return axes, start, aspect


def _axis(label: str, values: FloatArray, centres: FloatArray, weights: FloatArray) -> dict[str, Any]:
    low, high = limits(values, weights, centres)
    return {
        "label": label,
        "low": low,
        "high": high,
        "values": [_brief(v) for v in values],
        "centres": [_brief(v) for v in centres],
    }


def _picture(view: View, data: dict[str, Any], radii: FloatArray) -> dict[str, Any]:
    """Circles, ticks and numbered discs on the first two axes."""
    x, y = (data["axes"][i] for i in data["start"])
    (left, right), (bottom, top) = _frame(x, y, data["aspect"])
    across, down = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def place(px: FloatArray, py: FloatArray) -> FloatArray:
        ax = LEFT + np.clip((px - left) / (right - left), 0, 1) * across
        ay = TOP + (1 - np.clip((py - bottom) / (top - bottom), 0, 1)) * down
        return np.asarray(np.round(np.column_stack([ax, ay]), 1), np.float64)

    at = place(np.array(x["values"], float), np.array(y["values"], float))
    anchors = place(np.array(x["centres"], float), np.array(y["centres"], float))
    anchors[view.shares <= 0] = np.nan
    discs = np.round(part_labels(anchors, 2.0 * data["disc"] + 2), 1)
    return {
        "points": [
            (float(px), float(py), float(r), view.colours[c])
            for (px, py), r, c in zip(at, radii, data["labels"], strict=True)
        ],
        "centres": [
            {"c": c, "anchor": anchors[c].tolist(), "at": discs[c].tolist(), "number": view.numbers[c],
             "colour": view.colours[c], "moved": bool(np.hypot(*(discs[c] - anchors[c])) > data["disc"])}
            for c in range(view.k)
            if np.isfinite(anchors[c]).all()
        ],
        "ticks_x": [(float(place(np.array([t]), np.array([bottom]))[0, 0]), _tick(t, v)) for v in [ticks(left, right, 7)] for t in v],
        "ticks_y": [] if y.get("plain") else [(float(place(np.array([left]), np.array([t]))[0, 1]), _tick(t, v)) for v in [ticks(bottom, top, 6)] for t in v],
        "label_x": x["label"],
        "label_y": y["label"],
    }  # fmt: skip


def _frame(
    x: dict[str, Any], y: dict[str, Any], aspect: dict[str, Any] | None
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Limits of both axes, widened where a map would be out of shape."""
    (left, right), (bottom, top) = (x["low"], x["high"]), (y["low"], y["high"])
    if aspect is None:
        return (left, right), (bottom, top)
    per_x = (WIDTH - LEFT - RIGHT) / (right - left)
    per_y = (HEIGHT - TOP - BOTTOM) / (top - bottom)
    if per_y > aspect["ratio"] * per_x:
        half, middle = (HEIGHT - TOP - BOTTOM) / (aspect["ratio"] * per_x) / 2, (bottom + top) / 2
        return (left, right), (middle - half, middle + half)
    half, middle = (WIDTH - LEFT - RIGHT) / (per_y / aspect["ratio"]) / 2, (left + right) / 2
    return (middle - half, middle + half), (bottom, top)


def _disc(view: View) -> float:
    """Radius of the numbered discs."""
    longest = max(len(n) for n in view.numbers)
    return (11.0 if view.k <= 20 else 9.5 if view.k <= 50 else 8.5) + max(0, longest - 2) * 2.5


def _shuffled(rows: NDArray[np.int64], weights: FloatArray) -> tuple[NDArray[np.int64], FloatArray]:
    order = np.random.default_rng(0).permutation(len(rows))  # no cluster is drawn on top of all others
    return rows[order], weights[order]


def _tick(value: float, among: list[float]) -> str:
    return compact(value, among[1] - among[0]) if len(among) > 1 else compact(value)


def _brief(value: float) -> float:
    """Five digits are finer than the eye; the page stays small."""
    return float(f"{value:.5g}")
