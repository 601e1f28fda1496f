"""What the report says, as plain data for its templates."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from shoal.model.cluster_model import QUANTILES
from shoal.report.page_charts import candidates_table, criteria_panels, heat_table, spark
from shoal.report.page_map import map_of
from shoal.report.strips import strip
from shoal.report.traits import telling_columns
from shoal.report.view import View
from shoal.report.wording import (
    compact,
    count_text,
    date_text,
    percent_text,
    seconds_text,
    short,
    sources_text,
    value_text,
)

MOST_CARDS = 24
"""Cards shown at once; those of smaller clusters unfold."""
MOST_VALUES = 6
MOST_SOURCES = 20


def page(view: View) -> dict[str, Any]:
    """The context of ``report.html``."""
    cards = [_card(view, c) for c in range(view.k)]
    return {
        "title": _headline(view),
        "summary": _summary(view),
        "map": map_of(view),
        "ribbon": [
            {"colour": view.colours[c], "width": round(100 * float(view.shares[c]), 3)} for c in range(view.k)
        ],
        "cards": cards[:MOST_CARDS],
        "more_cards": cards[MOST_CARDS:],
        "heat": heat_table(view),
        "choice": _choice(view),
        "quality": _quality(view),
        "spark": spark([float(s.get("inertia", math.nan)) for s in view.model.steps]),
        "steps": len(view.model.steps),
        "outliers": _outliers(view),
        "provenance": _provenance(view),
        "rejects": _rejects(view),
        "sources": [short(s, 160) for s in view.model.provenance.sources[:MOST_SOURCES]],
        "sources_left": max(0, len(view.model.provenance.sources) - MOST_SOURCES),
    }


def _headline(view: View) -> str:
    """``6 groups in 20,640 rows of housing.csv, read once, in 0.4 s``."""
    origin = view.model.provenance
    text = f"{count_text(view.k, 'group')} in {count_text(origin.rows_seen, 'row')}"
    source = sources_text(origin.sources)
    if source:
        text += f" of {short(source, 60)}"
    text += ", read once"
    if math.isfinite(origin.seconds):
        text += f", in {seconds_text(origin.seconds)}"
    return text


def _summary(view: View) -> list[str]:
    live = view.shares[view.shares > 0]
    out = []
    if len(live) > 1:
        most, least = percent_text(float(live.max())), percent_text(float(live.min()))
        same = f"Each group holds {most} of the rows."
        out.append(
            same if most == least else f"The largest group holds {most} of the rows, the smallest {least}."
        )
    explained = view.model.quality.get("explained", math.nan)
    if math.isfinite(explained) and view.k > 1:
        out.append(f"Knowing a row’s group explains {percent_text(explained)} of the variance.")
    empty = view.k - len(live)
    if empty:
        out.append(f"{count_text(empty, 'group is', 'groups are')} empty.")
    if view.choice is not None and view.choice.get("suggested") is None:
        out.append(
            "The criteria found no cluster structure: take the groups as a partition, not as a discovery."
        )
    return out


def _card(view: View, c: int) -> dict[str, Any]:
    empty = bool(view.shares[c] <= 0)
    return {
        "position": c,
        "number": view.numbers[c],
        "name": view.names[c],
        "colour": view.colours[c],
        "share": percent_text(float(view.shares[c])),
        "width": round(100 * float(view.shares[c] / max(view.shares.max(), 1e-300)), 2),
        "rows": count_text(float(view.model.weights[c]), "row"),
        "empty": empty,
        "traits": [{"trait": t, "strip": strip(view, c, t.column)} for t in view.traits[c]],
        "radius": "" if empty else _radius(view, c),
    }


def _radius(view: View, c: int) -> str:
    half, most = (float(view.model.radii[c, int(np.searchsorted(QUANTILES, q - 1e-9))]) for q in (0.5, 0.95))
    if most <= 0:
        return "all its rows are alike"
    unit = " (cosine distance)" if view.model.metric == "cosine" else ""
    return f"half its rows within {value_text(half, most)} of the centre, 95% within {value_text(most, most)}{unit}"


def _choice(view: View) -> dict[str, Any] | None:
    choice = view.choice
    if choice is None or not choice.get("candidates"):
        return None
    confidence = choice.get("confidence")
    known = confidence is not None and math.isfinite(confidence)
    ks = sorted(int(row["k"]) for row in choice["candidates"])
    return {
        "suggested": choice.get("suggested"),
        "same": choice.get("suggested") == view.k,
        "k": view.k,
        "confidence": percent_text(float(confidence or 0.0)) if known else "",
        "width": round(100 * float(confidence or 0.0), 1) if known else 0,
        "range": f"{ks[0]} to {ks[-1]}" if len(ks) > 1 else str(ks[0]),
        "reasons": [str(reason) for reason in choice.get("reasons") or ()],
        "panels": criteria_panels(choice),
        "table": candidates_table(choice),
    }


_FIGURES = (
    ("explained", "Variance explained", "Share of the variance that lies between groups. It always grows with k."),
    ("silhouette", "Silhouette", "How much nearer rows are to their own centre than to the next: 0 is no difference, 1 is best."),
    ("davies_bouldin", "Davies-Bouldin", "Mean likeness of each group to the one most like it. Smaller is better."),
    ("calinski_harabasz", "Calinski-Harabasz", "Variance between groups over variance within. Larger is better; compare only on the same data."),
    ("bic", "BIC", "Fit of round groups less a price for each. Smaller is better; compare only on the same data."),
    ("inertia", "Inertia", "Weighted sum of squared distances to the nearest centre: what k-means makes small."),
)  # fmt: skip


def _quality(view: View) -> list[dict[str, str]]:
    figures = {"inertia": view.model.inertia, **view.model.quality}
    out = []
    for key, name, meaning in _FIGURES:
        value = float(figures.get(key, math.nan))
        if math.isfinite(value):
            text = percent_text(value) if key == "explained" else compact(value)
            out.append({"name": name, "value": text, "meaning": meaning})
    return out


def _outliers(view: View) -> dict[str, Any]:
    shown = telling_columns(view.deviations, view.shares, MOST_VALUES)
    rows = [
        {
            "number": view.numbers[o.cluster],
            "colour": view.colours[o.cluster],
            "times": f"{o.times:.1f}×",
            "values": [value_text(float(view.points[o.position, j]), view.columns[j].spread) for j in shown],
        }
        for o in view.outliers
    ]
    return {"columns": [view.columns[j].label for j in shown], "rows": rows, "left": view.d - len(shown)}


def _provenance(view: View) -> list[tuple[str, str]]:
    model, origin = view.model, view.model.provenance
    out = [("Rows read", f"{origin.rows_seen + origin.rows_filtered + origin.rejects.total:,}")]
    if origin.rows_filtered:
        out.append(("Left out by a condition", f"{origin.rows_filtered:,}"))
    out += [
        ("Rejected", f"{origin.rejects.total:,}"),
        ("Clustered", f"{origin.rows_seen:,}"),
        ("Distance", model.metric),
        ("Seed", str(origin.seed)),
    ]
    if math.isfinite(origin.seconds):
        out.append(("Time", seconds_text(origin.seconds)))
    if origin.created:
        out.append(("Made", date_text(origin.created)))
    if origin.library_version:
        out.append(("Shoal", origin.library_version))
    if model.version:
        out.append(("Model version", model.version))
    if model.parent:
        out.append(("Updated from", model.parent))
    return out + _recipe(view)


def _recipe(view: View) -> list[tuple[str, str]]:
    recipe = view.model.recipe
    names = ", ".join(column.label for column in view.columns[:30])
    out = [("Features", f"{view.d:,}: {names}{', …' if view.d > 30 else ''}")]
    spec = recipe.get("spec", {}) if recipe is not None else {}
    if spec.get("one_hot"):
        out.append(("One-hot", f"{', '.join(map(str, spec['one_hot']))} (top {spec.get('top')})"))
    if spec.get("where"):
        out.append(("Condition", str(spec["where"])))
    for key, name in (("scale", "Scaling"), ("nulls", "Missing values"), ("weight", "Row weights")):
        if spec.get(key):
            out.append((name, str(spec[key])))
    return out


def _rejects(view: View) -> list[tuple[str, str, str]]:
    rejects = view.model.provenance.rejects
    return [
        (reason, f"{rows:,}", rejects.first.get(reason, ""))
        for reason, rows in sorted(rejects.counts.items(), key=lambda item: -item[1])
    ]
