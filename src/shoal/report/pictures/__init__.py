"""Pictures of a model as matplotlib figures, by the object API alone: no pyplot, no global state.

Each function answers a :class:`matplotlib.figure.Figure`; :func:`save_picture` writes one to a file.
"""

from shoal.report.pictures.bars import size_bars
from shoal.report.pictures.canvas import FORMATS, save_picture
from shoal.report.pictures.convergence import convergence
from shoal.report.pictures.criteria import criteria_curves
from shoal.report.pictures.events_timeline import events_timeline
from shoal.report.pictures.heat import centre_heatmap
from shoal.report.pictures.lineage import lineage
from shoal.report.pictures.map import cluster_map

__all__ = [
    "FORMATS",
    "centre_heatmap",
    "cluster_map",
    "convergence",
    "criteria_curves",
    "events_timeline",
    "lineage",
    "save_picture",
    "size_bars",
]
