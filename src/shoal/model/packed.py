"""A model, and the summary it can go on learning from, as one run of bytes: a cell of a table, a state of a stream.

The same parts as in a saved directory (:mod:`shoal.model.persistence`), in the byte format of summaries: a checksum over
all, arrays and plain JSON. Nothing is pickled and nothing in it is ever executed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from shoal.errors import DamagedFileError, NewerFormatError, ShoalError
from shoal.model.cluster_model import ClusterModel
from shoal.model.model_parts import FORMAT as PARTS_FORMAT
from shoal.model.model_parts import arrays_of, check_arrays, manifest_of, model_of
from shoal.model.persistence import version_of
from shoal.summary import wire
from shoal.summary.coreset import Coreset

KIND = "shoal.model"
FORMAT = 1
_SUMMARY = "summary"
_PLACE = "the packed model"


def pack_model(
    model: ClusterModel, summary: Coreset | None = None, *, note: Mapping[str, Any] | None = None
) -> bytes:
    """One blob of a model, its summary, and plain data for JSON that somebody wants to keep with them.

    A model that has no version yet, because it was never saved, is given one: it names what the blob says.

    >>> from shoal.model.build import build_model
    >>> from shoal.model.cluster_model import Provenance
    >>> from shoal.solve.k_means import k_means
    >>> X = np.array([[0.0], [1.0], [8.0], [9.0]])
    >>> model = build_model(X, np.ones(4), k_means(X, 2), provenance=Provenance(rows_seen=4))
    >>> back, summary = unpack_model(pack_model(model)); back.centres.ravel(), summary
    (array([0.5, 8.5]), None)
    """
    arrays = arrays_of(model)
    if summary is not None:
        arrays[_SUMMARY] = np.frombuffer(summary.to_bytes(), np.uint8)
    manifest = manifest_of(model)
    version = model.version or version_of(manifest | {"files": _digests(arrays)})
    meta: dict[str, Any] = {"packed": FORMAT, "manifest": manifest | {"version": version}}
    return wire.pack(KIND, meta | ({} if note is None else {"note": dict(note)}), arrays)


def unpack_model(data: bytes) -> tuple[ClusterModel, Coreset | None]:
    """The model, and the summary if the blob has one.

    Raises
    ------
    DamagedFileError : these bytes are something else, were cut short, or changed since they were packed.
    NewerFormatError : a newer release packed them.
    """
    meta, arrays = _opened(bytes(data))
    held = arrays.pop(_SUMMARY, None)
    try:
        check_arrays(_PLACE, arrays)
        model = model_of(meta["manifest"], arrays)
        return model, None if held is None else Coreset.from_bytes(held.tobytes())
    except ShoalError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise DamagedFileError(f"{_PLACE} cannot be read: {error!r}") from error


def unpack_note(data: bytes) -> dict[str, Any]:
    """What was kept with a model; empty if nothing was. Errors as in :func:`unpack_model`."""
    meta, _ = _opened(bytes(data))
    return dict(meta.get("note") or {})


def _opened(data: bytes) -> tuple[dict[str, Any], wire.Arrays]:
    try:
        meta, arrays = wire.unpack(KIND, data)
    except NewerFormatError:
        raise
    except DamagedFileError as error:
        raise DamagedFileError(f"{_PLACE} cannot be read: {error}") from error
    if not isinstance(meta.get("packed"), int):
        raise DamagedFileError(f"{_PLACE} has no format number")
    newest = {"packed": FORMAT, "format": PARTS_FORMAT}
    manifest = meta.get("manifest")
    told = {"packed": meta["packed"], "format": manifest.get("format") if isinstance(manifest, dict) else 0}
    if any(isinstance(told[name], int) and told[name] > number for name, number in newest.items()):
        raise NewerFormatError(f"{_PLACE} was written by a newer release; upgrade shoal to read it")
    return meta, arrays


def _digests(arrays: wire.Arrays) -> dict[str, str]:
    return {name: hashlib.blake2b(a.tobytes(), digest_size=16).hexdigest() for name, a in arrays.items()}
