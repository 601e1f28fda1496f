"""Model artefacts: ``model.tar.gz``, or the folder it is made of, with the centres where k-means clients look for them.

``model_algo-1`` holds the (k, d) centres in float32 as MXNet saves them, which is all that other readers know. Beside it,
the folder ``shoal`` is the whole model: sizes, spread, recipe, quality, and the summary to go on learning from.
"""

from __future__ import annotations

import gzip
import io
import os
import re
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from shoal.errors import BadInputError, DamagedFileError, ShoalError
from shoal.features.recipe import Recipe
from shoal.model.cluster_model import QUANTILES, ClusterModel, Provenance
from shoal.model.durable import replace_durably
from shoal.model.outliers import LEVELS, OutlierScale
from shoal.model.persistence import load_model, load_summary, save_model
from shoal.sagemaker.ndarray_file import ndarray_bytes, read_ndarrays
from shoal.summary.coreset import Coreset

CENTRES = "model_algo-1"
OURS = "shoal"
LARGEST = 8 << 30
"""Bytes that an archive may hold, unpacked."""
_MOST_FILES = 10_000
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
        saved = save_model(model, Path(scratch) / OURS, summary=summary)
        (Path(scratch) / CENTRES).write_bytes(centres)
        replace_durably(target, _packed(Path(scratch)))
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


def read_artefact(path: str | os.PathLike[str]) -> Artefact:
    """Read an artefact: an archive, its folder, or the file ``model_algo-1`` by itself.

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
        return _of_folder(source, str(source))
    if not source.is_file():
        raise ShoalError(f"{source} is not there")
    with source.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    if not packed and not tarfile.is_tarfile(source):
        return _elsewhere(source.read_bytes(), str(source))
    with _unpacked(source) as folder:
        return _of_folder(folder, str(source))


def _of_folder(folder: Path, place: str) -> Artefact:
    names = sorted(p.name for p in folder.iterdir() if p.is_file() and _CENTRES.fullmatch(p.name))
    raw = (folder / names[0]).read_bytes() if names else None
    if not (folder / OURS).is_dir():
        if raw is None:
            raise ShoalError(f"{place}: holds no {CENTRES}, so it is no artefact of k-means")
        return _elsewhere(raw, place)
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


def _elsewhere(raw: bytes, place: str) -> Artefact:
    """Centres of which nothing else is known."""
    arrays = read_ndarrays(raw, place=place)
    if len(arrays) != 1 or arrays[0].ndim != 2 or not arrays[0].size or arrays[0].dtype.kind != "f":
        shapes = ", ".join(f"{a.dtype} {a.shape}" for a in arrays[:4])
        raise BadInputError(f"holds {shapes or 'no arrays'} where centres (k, d) are due", place=place)
    centres = arrays[0].astype(np.float64)
    if not np.isfinite(centres).all():
        raise BadInputError("a centre is not finite", place=place)
    k = len(centres)
    # With no row seen, none is farther out than those seen: all scores are 0, not all 1.
    reach = np.full(len(LEVELS), np.sqrt(np.finfo(np.float64).max))
    model = ClusterModel(
        centres=centres,
        weights=np.full(k, 1.0 / k),
        scatter=np.zeros(k),
        radii=np.zeros((k, len(QUANTILES))),
        provenance=Provenance(rows_seen=0, sources=(f"{place} (centres only; sizes and spread unknown)",)),
        quality={"sizes_known": 0.0},
        outliers=OutlierScale(np.zeros(k), np.ones(k), reach),
    )
    return Artefact(model, None, made_here=False)


def _packed(folder: Path) -> bytes:
    """A folder as ``tar.gz``, without times and owners."""
    out = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=out, mode="wb", mtime=0, filename="") as packer,
        tarfile.open(fileobj=packer, mode="w", format=tarfile.USTAR_FORMAT) as archive,
    ):
        for file in sorted(p for p in folder.rglob("*") if p.is_file()):
            entry = tarfile.TarInfo(file.relative_to(folder).as_posix())
            entry.size, entry.mode = file.stat().st_size, 0o644
            with file.open("rb") as content:
                archive.addfile(entry, content)
    return out.getvalue()


@contextmanager
def _unpacked(source: Path) -> Iterator[Path]:
    """The files of an archive that matter, in a folder of their own."""
    with tempfile.TemporaryDirectory(prefix="shoal-") as scratch:
        try:
            with tarfile.open(source, "r|*") as archive:
                _unpack(archive, Path(scratch), source)
        except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
            raise DamagedFileError(f"{source}: cannot be unpacked ({error}); use another copy") from error
        yield Path(scratch)


def _unpack(archive: tarfile.TarFile, folder: Path, source: Path) -> None:
    total = 0
    for count, entry in enumerate(archive, 1):
        name = PurePosixPath(entry.name)
        if name.is_absolute() or ".." in name.parts or not (entry.isfile() or entry.isdir()):
            raise DamagedFileError(f"{source}: holds {entry.name!r}, which is unsafe to unpack")
        total += entry.size
        if total > LARGEST or count > _MOST_FILES:
            raise DamagedFileError(f"{source}: unpacks to too much ({total} bytes, {count} files so far)")
        content = archive.extractfile(entry)
        if content is None or not _matters(name):
            continue
        to = folder / name
        to.parent.mkdir(parents=True, exist_ok=True)
        with to.open("wb") as file:
            shutil.copyfileobj(content, file)


def _matters(name: PurePosixPath) -> bool:
    return bool(len(name.parts) == 1 and _CENTRES.fullmatch(name.name)) or name.parts[:1] == (OURS,)
