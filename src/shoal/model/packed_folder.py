"""A model as Spark saves it: a directory of Parquet files whose rows are the parts of the model."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as pads

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
