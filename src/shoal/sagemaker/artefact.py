"""Model artefacts: ``model.tar.gz``, or the folder it is made of, with the centres where k-means clients look for them.

``model_algo-1`` holds the (k, d) centres in float32 as MXNet saves them, which is all that other readers know. Beside it,
the folder ``shoal`` is the whole model: sizes, spread, recipe, quality, and the summary to go on learning from.
"""

from __future__ import annotations

import io
import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from shoal.errors import BadInputError, DamagedFileError, ShoalError
from shoal.features.recipe import Recipe
from shoal.model.centres_only import model_of_centres
from shoal.model.cluster_model import ClusterModel
from shoal.model.durable import replace_durably
from shoal.model.persistence import load_model, load_summary, save_model
from shoal.sagemaker.ndarray_file import ndarray_bytes, read_ndarrays
from shoal.sagemaker.tar_file import is_archive, packed, unpack
from shoal.solve.lloyd import Metric
from shoal.summary.coreset import Coreset

CENTRES = "model_algo-1"
OURS = "shoal"
_STATE = "state_"
"""The files that others keep beside the centres begin with this."""
_CENTRES = re.compile(r"model_algo-\d+")
_TAR_NAMES = (".tar.gz", ".tgz")


@dataclass(frozen=True)
class Artefact:
    """What an artefact holds."""

    model: ClusterModel
    summary: Coreset | None
    """None where it was made elsewhere, or without."""
    made_here: bool
    """False: only the centres are known. Then sizes are equal shares of nothing seen, and no row is an outlier."""


def write_artefact(
    path: str | os.PathLike[str], model: ClusterModel, summary: Coreset | None = None
) -> ClusterModel:
    """Write an artefact; answers the model with its version set. Equal models give equal bytes.

    Parameters
    ----------
    path : ``*.tar.gz`` or ``*.tgz`` for an archive; else a folder, which is made if it is not there.

    The centres in ``model_algo-1`` are those of the space the rows were clustered in. If the recipe only moved the rows,
    they are moved back, so that rows need no preparation; if it scaled them, or made categories into columns, or the metric
    is the cosine, a reader that knows the centres only has to prepare rows likewise.

    Raises
    ------
    ShoalError : the centres do not fit into float32, or the folder's ``shoal`` is something else.
    """
    target = Path(path)
    centres = ndarray_bytes([portable_centres(model)])
    if not target.name.endswith(_TAR_NAMES):
        target.mkdir(parents=True, exist_ok=True)
        saved = save_model(model, target / OURS, summary=summary)
        replace_durably(target / CENTRES, centres)
        return saved
    with tempfile.TemporaryDirectory(prefix="shoal-") as scratch:
        folder, out = Path(scratch), io.BytesIO()
        saved = save_model(model, folder / OURS, summary=summary)
        (folder / CENTRES).write_bytes(centres)
        packed({p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}, out)
        replace_durably(target, out.getvalue())
    return saved


def portable_centres(model: ClusterModel) -> NDArray[np.float32]:
    """(k, d) centres as ``model_algo-1`` has them; see :func:`write_artefact`."""
    centres = model.centres
    if model.recipe is not None:
        recipe = Recipe.from_dict(dict(model.recipe))
        if model.metric == "euclidean" and (recipe.scale == 1).all():
            centres = recipe.to_original(centres)
    with np.errstate(over="ignore"):
        out = centres.astype(np.float32)
    if not np.isfinite(out).all():
        raise ShoalError("centres beyond float32 fit into no artefact; scale the columns")
    return out


def read_artefact(path: str | os.PathLike[str], *, metric: Metric = "euclidean") -> Artefact:
    """Read an artefact: an archive, its folder, or the file ``model_algo-1`` by itself.

    Parameters
    ----------
    metric : of centres that were made elsewhere, which do not say it.

    Raises
    ------
    ShoalError : nothing is there, or no centres are in it.
    DamagedFileError : it is damaged, unsafe to unpack, or its two parts hold different centres.

    >>> folder = Path(tempfile.mkdtemp()); _ = (folder / CENTRES).write_bytes(ndarray_bytes([np.float32([[1], [5]])]))
    >>> found = read_artefact(folder); found.model.centres.ravel().tolist(), found.made_here, found.model.feature_names
    ([1.0, 5.0], False, ('x0',))
    """
    source = Path(path)
    if source.is_dir():
        return _of_folder(source, str(source), metric)
    if not source.is_file():
        raise ShoalError(f"{source} is not there")
    if not is_archive(source):
        return _elsewhere(source.read_bytes(), str(source), metric)
    with tempfile.TemporaryDirectory(prefix="shoal-") as scratch:
        unpack(source, Path(scratch), _matters)
        return _of_folder(Path(scratch), str(source), metric)


def _of_folder(folder: Path, place: str, metric: Metric) -> Artefact:
    names = sorted(p.name for p in folder.iterdir() if p.is_file() and _CENTRES.fullmatch(p.name))
    raw = (folder / names[0]).read_bytes() if names else None
    if not (folder / OURS).is_dir():
        if raw is None:
            raise ShoalError(f"{place}: holds no {CENTRES}, so it is no artefact of k-means")
        return _elsewhere(raw, place, metric)
    model = load_model(folder / OURS)
    if raw is not None and raw != ndarray_bytes([portable_centres(model)]):
        raise DamagedFileError(
            f"{place}: {names[0]} and {OURS} hold different centres; remove the one that is not meant"
        )
    try:
        summary: Coreset | None = load_summary(folder / OURS)
    except DamagedFileError:
        raise
    except ShoalError:  # it was saved without one
        summary = None
    return Artefact(model, summary, made_here=True)


def _elsewhere(raw: bytes, place: str, metric: Metric) -> Artefact:
    """Centres of which nothing else is known."""
    arrays = read_ndarrays(raw, place=place)
    if len(arrays) != 1 or arrays[0].ndim != 2 or not arrays[0].size or arrays[0].dtype.kind != "f":
        shapes = ", ".join(f"{a.dtype} {a.shape}" for a in arrays[:4])
        raise BadInputError(f"holds {shapes or 'no arrays'} where centres (k, d) are due", place=place)
    return Artefact(model_of_centres(arrays[0], place=place, metric=metric), None, made_here=False)


def _matters(name: PurePosixPath) -> bool:
    return bool(len(name.parts) == 1 and _CENTRES.fullmatch(name.name)) or name.parts[:1] == (OURS,)


def is_part(name: str) -> bool:
    """Whether a name in a folder is one that artefacts have.

    >>> [is_part(name) for name in ("model_algo-1", "shoal", "state_1f2e", "letters")]
    [True, True, True, False]
    """
    return name == OURS or name.startswith(_STATE) or _CENTRES.fullmatch(name) is not None
