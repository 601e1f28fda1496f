"""A model in one blob: the round trip is exact, and damage is noticed."""

from __future__ import annotations

import json
import math
from dataclasses import fields

import numpy as np
import pytest

import shoal
from shoal.engines.local import Clustering
from shoal.errors import DamagedFileError, NewerFormatError
from shoal.model.packed import KIND, pack_model, unpack_model
from shoal.summary import wire


@pytest.fixture(scope="module")
def clustering() -> Clustering:
    X = np.random.default_rng(0).normal(size=(300, 3)) + np.arange(300)[:, None] % 3 * 9
    return shoal.fit(X, 3)


def test_model_and_summary_come_back_exactly(clustering: Clustering) -> None:
    model, summary = unpack_model(pack_model(clustering.model, clustering.summary))
    assert summary is not None
    assert summary.to_bytes() == clustering.summary.to_bytes()
    for field in fields(model):
        got, want = getattr(model, field.name), getattr(clustering.model, field.name)
        if field.name == "version":
            continue
        if isinstance(want, np.ndarray):
            np.testing.assert_array_equal(got, want)
            assert got.dtype == want.dtype
        elif field.name == "outliers":
            for name in ("excess", "spread", "reach"):
                np.testing.assert_array_equal(getattr(got, name), getattr(want, name))
        elif field.name in ("recipe", "choice", "quality", "steps"):
            assert json.dumps(got, sort_keys=True) == json.dumps(want, sort_keys=True)
        else:
            assert got == want or (isinstance(want, float) and math.isnan(want)), field.name
    X = np.random.default_rng(1).normal(size=(50, 3))
    for ours, theirs in zip(model.assign(X), clustering.model.assign(X), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_version_names_the_content_and_is_kept(clustering: Clustering) -> None:
    bare, _ = unpack_model(pack_model(clustering.model))
    again, _ = unpack_model(pack_model(clustering.model))
    moved, _ = unpack_model(pack_model(clustering.model.replace(centres=clustering.model.centres + 1)))
    kept, _ = unpack_model(pack_model(clustering.model.replace(version="v7")))
    assert bare.version
    assert bare.version == again.version
    assert moved.version != bare.version
    assert kept.version == "v7"
    assert pack_model(bare) == pack_model(again)


def test_model_without_summary_says_so(clustering: Clustering) -> None:
    assert unpack_model(pack_model(clustering.model))[1] is None


@pytest.mark.parametrize("spoil", ["cut", "flip", "empty", "other", "summary"])
def test_damage_is_noticed(clustering: Clustering, spoil: str) -> None:
    blob = pack_model(clustering.model, clustering.summary)
    middle = len(blob) // 2
    spoiled = {
        "cut": blob[:-1],
        "flip": blob[:middle] + bytes([blob[middle] ^ 1]) + blob[middle + 1 :],
        "empty": b"",
        "other": b"PAR1" * 40,
        "summary": clustering.summary.to_bytes(),
    }[spoil]
    with pytest.raises(DamagedFileError, match="the packed model"):
        unpack_model(spoiled)


def test_any_changed_byte_is_noticed(clustering: Clustering) -> None:
    blob = pack_model(clustering.model)
    for at in range(10, len(blob), max(1, len(blob) // 97)):
        with pytest.raises(DamagedFileError):
            unpack_model(blob[:at] + bytes([blob[at] ^ 0x40]) + blob[at + 1 :])


def test_well_formed_nonsense_is_damage(clustering: Clustering) -> None:
    meta, arrays = wire.unpack(KIND, pack_model(clustering.model))
    meta.pop("kind")
    with pytest.raises(DamagedFileError, match="'weights'"):
        unpack_model(wire.pack(KIND, meta, arrays | {"weights": np.ones(7)}))
    without = {**meta, "manifest": {n: v for n, v in meta["manifest"].items() if n != "metric"}}
    with pytest.raises(DamagedFileError, match="metric"):
        unpack_model(wire.pack(KIND, without, arrays))
    with pytest.raises(DamagedFileError):
        unpack_model(wire.pack(KIND, {**meta, "manifest": 3}, arrays))
    with pytest.raises(DamagedFileError):
        unpack_model(wire.pack(KIND, meta, {n: a for n, a in arrays.items() if n != "centres"}))


def test_newer_release_is_named(clustering: Clustering) -> None:
    meta, arrays = wire.unpack(KIND, pack_model(clustering.model))
    meta.pop("kind")
    for newer in (
        {**meta, "packed": 99},
        {**meta, "manifest": {**meta["manifest"], "format": 99}},
    ):
        with pytest.raises(NewerFormatError, match="upgrade shoal"):
            unpack_model(wire.pack(KIND, newer, arrays))
