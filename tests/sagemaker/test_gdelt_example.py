"""The example of world news: features as the tutorial's, and all its steps on a cut of a day."""

from __future__ import annotations

import gzip
import importlib.util
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest

pd = pytest.importorskip("pandas")
pytest.importorskip("boto3")
pytest.importorskip("moto.server")

EXAMPLE = Path(__file__).parents[2] / "examples" / "gdelt" / "gdelt.py"
DAY = Path(__file__).parents[3] / "shared/data/gdelt/20130401.export.CSV.gz"
CUT = 4000
needs_data = pytest.mark.skipif(not DAY.exists(), reason="../shared/data is not here")

spec = importlib.util.spec_from_file_location("gdelt_example", EXAMPLE)
gdelt = importlib.util.module_from_spec(spec)
spec.loader.exec_module(gdelt)


@pytest.fixture(scope="module")
def events():
    return gdelt.read_events(DAY)


def tutorials_features(events):
    """As the tutorial prepares a year: crosstab for the kinds, get_dummies over a column of objects."""
    kinds = pd.crosstab(events["EventCode"], "count").sort_values("count", ascending=False).index[:20]
    order = ["AvgTone", "EventCode", "NumArticles"]
    order += [f"Actor{i}Geo_{axis}" for i in (1, 2) for axis in ("Lat", "Long")]
    table = events[order].assign(EventCode=events["EventCode"].astype(object))
    table = table[np.isin(table["EventCode"].astype(int), kinds.astype(int))]
    nowhere = [(table[f"Actor{i}Geo_Lat"] == 0) & (table[f"Actor{i}Geo_Long"] == 0) for i in (1, 2)]
    # the tutorial's years have 0 where this day has nothing at all
    return pd.get_dummies(table[~nowhere[0] & ~nowhere[1]].dropna(), columns=["EventCode"])


@needs_data
def test_features_are_those_of_the_tutorial(events):
    ours, theirs = gdelt.features(events), tutorials_features(events)
    assert list(ours.columns) == list(theirs.columns)
    assert ours.shape == (12_338, 26)
    np.testing.assert_array_equal(ours.to_numpy(), theirs.to_numpy().astype(np.float32))
    assert list(ours.index) == list(theirs.index)


def test_events_without_a_place_are_left_out():
    frame = pd.DataFrame(
        {
            "EventCode": [10, 10, 20, 20, 20],
            "NumArticles": [1, 2, 3, 4, 5],
            "AvgTone": 0.5,
            "Actor1Geo_Lat": [1.0, 0.0, np.nan, 0.0, 4.0],
            "Actor1Geo_Long": [1.0, 0.0, np.nan, 7.0, 4.0],
            "Actor2Geo_Lat": [1.0, 1.0, 1.0, 1.0, 0.0],
            "Actor2Geo_Long": [1.0, 1.0, 1.0, 0.0, 0.0],
        }
    )
    found = gdelt.features(frame)
    assert found["NumArticles"].tolist() == [1, 4]  # 0 for one coordinate is a place
    assert found[["EventCode_10", "EventCode_20"]].to_numpy().tolist() == [[1, 0], [0, 1]]


@needs_data
def test_all_steps_run_on_a_cut_of_a_day(tmp_path, capsys):
    cut, out = tmp_path / "cut.CSV", tmp_path / "out"
    with gzip.open(DAY) as day:
        cut.write_bytes(b"".join(line for line, _ in zip(day, range(CUT), strict=False)))
    found = gdelt.run([str(cut), "--out", str(out), "--k", "7"])
    assert found["k"] == 7
    assert 0 < found["same"] == found["asked"] == found["rows"] // 10
    assert found["apart"] < 1e-3
    assert found["tuning"].ks == list(range(2, 13))
    msd = [trial.train_msd for trial in found["tuning"].trials]
    assert msd == sorted(msd, reverse=True)
    for picture in ("elbow.png", "tsne.png"):
        assert (out / picture).read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert json.loads((out / "job.json").read_text())["HyperParameters"]["k"] == "7"
    with tarfile.open(out / "model.tar.gz") as archive:
        assert "model_algo-1" in archive.getnames()
    assert "6. boto3 asked the endpoint" in capsys.readouterr().out
