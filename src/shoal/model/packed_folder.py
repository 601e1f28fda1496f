"""Packed models in files: as Spark saves one, a directory of Parquet files; and as Beam keeps versions, a file for each."""

from __future__ import annotations

import re
from pathlib import Path

import pyarrow as pa

from shoal.errors import DamagedFileError, ShoalError
from shoal.model.cluster_model import ClusterModel
from shoal.model.packed import unpack_model
from shoal.summary.coreset import Coreset


def is_packed_folder(folder: Path) -> bool:
    """Whether a directory was saved by Spark."""
    return (folder / "data").is_dir() and (folder / "metadata").is_dir()


def load_packed_folder(folder: Path) -> tuple[ClusterModel, Coreset]:
    """The model and its summary.

    Raises
    ------
    ShoalError : a model of another kind: without a Coreset, or MLlib's own.
    DamagedFileError, NewerFormatError : see :func:`shoal.model.packed.unpack_model`.
    """
    import pyarrow.dataset as pads  # loads pandas: only for such folders

    try:
        files = sorted(str(p) for p in (folder / "data").glob("*.parquet"))
        table = pads.dataset(files, format="parquet").to_table()
    except (OSError, pa.ArrowException) as error:
        raise DamagedFileError(f"{folder / 'data'} cannot be read: {error}") from error
    if table.schema.names != ["name", "content"]:
        raise ShoalError(f"{folder} is no model of Shoal's; MLlib's own can be an initialModel on Spark")
    parts = dict(zip(table["name"].to_pylist(), table["content"].to_pylist(), strict=True))
    if "model" not in parts:
        raise DamagedFileError(f"{folder / 'data'} lacks the model; use another copy")
    model, summary = unpack_model(parts["model"])
    if summary is None:
        raise ShoalError(f"{folder} has no sample of rows (it is BIRCH's), so only Spark can go on with it")
    return model, summary


_VERSION = re.compile(r"v(\d{8,})-[0-9a-f]{8}\.shoal")


def newest_version(folder: Path) -> Path | None:
    """The file of the newest version in a folder of them; None if it holds none.

    Where two writers made one number, the one that came first counts.
    """
    found = [(int(m[1]), path) for path in folder.iterdir() if (m := _VERSION.fullmatch(path.name))]
    return max(found, key=lambda one: (one[0], -one[1].stat().st_mtime))[1] if found else None


def load_packed_file(path: Path) -> tuple[ClusterModel, Coreset]:
    """The model in a file ``*.shoal`` and its summary.

    Raises
    ------
    ShoalError : it has no summary.
    DamagedFileError, NewerFormatError : see :func:`shoal.model.packed.unpack_model`.
    """
    model, summary = unpack_model(path.read_bytes())
    if summary is None:
        raise ShoalError(
            f"{path} holds a model without its summary, as BIRCH's; shoal.engines.beam.FileStore opens it: .load().model"
        )
    return model, summary
