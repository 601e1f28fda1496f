"""The parts of a saved model: a manifest of plain data, and arrays; directories and packed bytes have the same."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.errors import DamagedFileError, Rejects
from shoal.model.cluster_model import QUANTILES, ClusterModel, Provenance
from shoal.model.outliers import LEVELS, OutlierScale

FORMAT = 1
_ARRAYS = ("centres", "weights", "scatter", "radii", "ids")
_OUTLIERS = {f"outlier_{name}": name for name in ("excess", "spread", "reach")}


def model_of(manifest: Mapping[str, Any], arrays: dict[str, NDArray[Any]]) -> ClusterModel:
    """The model of a manifest and arrays that :func:`check_arrays` has seen.

    Raises
    ------
    LookupError, TypeError, ValueError, AttributeError : the manifest is not one; the caller knows where it came from.
    """
    provenance = dict(manifest["provenance"])
    provenance["rejects"] = Rejects.from_dict(provenance["rejects"])
    provenance["sources"] = tuple(provenance["sources"])
    provenance["left_out"] = tuple(provenance.get("left_out", ()))
    provenance["seconds"] = _number(provenance["seconds"])
    return ClusterModel(
        **{name: arrays[name] for name in _ARRAYS},
        outliers=_outliers(arrays),
        provenance=Provenance(**provenance),
        metric=manifest["metric"],
        feature_names=tuple(manifest["feature_names"]),
        recipe=manifest["recipe"],
        quality={name: _number(v) for name, v in manifest["quality"].items()},
        steps=tuple(manifest["steps"]),
        choice=manifest.get("choice"),
        version=manifest["version"],
        parent=manifest["parent"],
        next_id=int(manifest.get("next_id", 0)),
    )


def arrays_of(model: ClusterModel) -> dict[str, NDArray[Any]]:
    """Its arrays by the names they are stored under."""
    arrays = {name: getattr(model, name) for name in _ARRAYS}
    if model.outliers is not None:
        arrays |= {stored: getattr(model.outliers, name) for stored, name in _OUTLIERS.items()}
    return {name: np.ascontiguousarray(array) for name, array in arrays.items()}


def _outliers(arrays: dict[str, NDArray[Any]]) -> OutlierScale | None:
    """What the scores come from; models of before it have none of the arrays."""
    if not any(stored in arrays for stored in _OUTLIERS):
        return None
    return OutlierScale(**{name: arrays[stored] for stored, name in _OUTLIERS.items()})


def check_arrays(place: Path | str, arrays: dict[str, NDArray[Any]]) -> None:
    """Raises :class:`DamagedFileError` where shapes, kinds or values do not fit together."""
    centres = arrays["centres"]
    k = len(centres) if centres.ndim == 2 else 0
    shapes = {
        "centres": centres.shape,
        "weights": (k,),
        "scatter": (k,),
        "ids": (k,),
        "radii": (k, len(QUANTILES)),
    }
    if any(stored in arrays for stored in _OUTLIERS):
        shapes |= {"outlier_excess": (k,), "outlier_spread": (k,), "outlier_reach": (len(LEVELS),)}
    for name, shape in shapes.items():
        whole = name == "ids" or np.isfinite(arrays[name]).all()
        kind = "i" if name == "ids" else "f"
        if not k or arrays[name].shape != shape or arrays[name].dtype.kind != kind or not whole:
            raise DamagedFileError(f"{place}: the array {name!r} of the model does not fit; use another copy")


def manifest_of(model: ClusterModel) -> dict[str, Any]:
    """All but the arrays and the version."""
    provenance = asdict(model.provenance)
    provenance["rejects"] = model.provenance.rejects.to_dict()
    provenance["seconds"] = _plain(provenance["seconds"])
    return {
        "format": FORMAT,
        "kind": "shoal.model",
        "metric": model.metric,
        "k": model.k,
        "n_features": model.n_features,
        "feature_names": list(model.feature_names),
        "recipe": model.recipe,
        "quality": {name: _plain(v) for name, v in model.quality.items()},
        "steps": [dict(step) for step in model.steps],
        "provenance": provenance,
        "choice": model.choice,
        "parent": model.parent,
        "next_id": model.next_id,
    }


def _plain(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)
