"""The report: one HTML file that needs nothing else, for people who enjoy reading.

Everything is drawn as SVG and tables by the templates, so the page is whole without JavaScript; the script makes
the map one to explore. All names in it come from files of unknown origin: the templates escape everything, and the
page forbids itself to load anything.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from shoal.model.cluster_model import ClusterModel
from shoal.report.page import page
from shoal.report.view import View
from shoal.report.writing import whole_file
from shoal.summary.protocol import WeightedPoints


def write_report(
    model: ClusterModel,
    points: WeightedPoints,
    path: str | os.PathLike[str],
    *,
    choice: Mapping[str, Any] | None = None,
    called: Mapping[int, str] | None = None,
) -> Path:
    """Write the report of a model; the file appears whole or not at all.

    Parameters
    ----------
    points : of the summary the model was solved on; (m, d), may be empty.
    choice : the answer to "which k"; default the model's own, if it has one.
    called : names that people gave to clusters, by id.

    Raises
    ------
    ShoalError : the points do not belong to the model, its recipe is damaged, or the file cannot be written.
    """
    text = render(View.of(model, points, choice, called=called))
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="replace")
    return Path(path)


def render(view: View) -> str:
    """The page as text."""
    environment = _environment()
    return environment.get_template("report.html").render(page(view))


@lru_cache(maxsize=1)
def _environment() -> Environment:
    out = Environment(
        loader=PackageLoader("shoal.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # The style sheet and the script are ours and go in as they are; nothing else does.
    for name in ("report.css", "report.js"):
        source = out.loader.get_source(out, name)[0] if out.loader is not None else ""
        out.globals[name.replace(".", "_")] = source
    return out
