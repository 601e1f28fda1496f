"""Labels in files: a row for every row, whole files only."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest

import shoal
from shoal.engines.labelling import label_files
from shoal.errors import BadInputError


@pytest.fixture
def table(tmp_path):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"name": [f"r{i}" for i in range(500)], "a": rng.normal(size=500), "b": rng.normal(size=500)}
    )
    frame.loc[250:, "a"] += 30
    frame.to_csv(tmp_path / "t.csv", index=False)
    return tmp_path / "t.csv"


@pytest.fixture
def found(table):
    return shoal.fit(table, 2)


READERS = {
    ".parquet": lambda p: pq.read_table(p).to_pandas(),
    ".csv": pd.read_csv,
    ".csv.gz": pd.read_csv,
    ".arrow": lambda p: feather.read_table(p).to_pandas(),
    ".jsonl": lambda p: pd.DataFrame([json.loads(line) for line in p.read_text().splitlines()]),
}


@pytest.mark.parametrize("suffix", READERS)
def test_every_format_holds_the_same_labels(found, table, tmp_path, suffix):
    out = tmp_path / f"labels{suffix}"
    done = label_files(found, table, out, keep=["name"], read=shoal.ReadOptions(batch_rows=64))
    got = READERS[suffix](out)
    want = found.assign(pd.read_csv(table))
    assert list(got["cluster"]) == list(want.ids)
    np.testing.assert_allclose(got["distance"], want.distances, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(got["outlier_score"], want.outlier_scores, rtol=1e-4, atol=1e-4)
    assert list(got["row"]) == list(range(1, 501))
    assert list(got["name"]) == [f"r{i}" for i in range(500)]
    assert set(got["file"]) == {str(table)}
    assert done.assigned == done.rows == 500
    assert done.sizes == {0: 250, 1: 250}


def test_rows_without_cluster_are_kept_as_nulls(table, tmp_path):
    found = shoal.fit(table, 2, where="a < 25 or a > 29.5", read=shoal.ReadOptions(on_error="skip"))
    frame = pd.read_csv(table)
    frame.loc[3, "b"] = None
    frame.to_csv(table, index=False)
    done = label_files(found, table, tmp_path / "l.parquet", read=shoal.ReadOptions(on_error="skip"))
    got = pq.read_table(tmp_path / "l.parquet").to_pandas()
    meant = (frame.a < 25) | (frame.a > 29.5)
    assert len(got) == 500
    assert list(got.cluster.notna()) == list(meant & frame.b.notna())
    assert done.rejects.total == 1
    assert done.filtered == int((~meant).sum())


def test_ids_and_codes_are_carried_as_they_were_written(found, tmp_path):
    rows = ["uid,code,a,b", "9007199254740993,007,0.5,1", "1000000000000,010,30.5,2"]
    (tmp_path / "ids.csv").write_text("\n".join(rows))
    label_files(found, tmp_path / "ids.csv", tmp_path / "l.csv", keep=["uid", "code"])
    lines = (tmp_path / "l.csv").read_text().replace('"', "").splitlines()
    assert [line.split(",")[:2] for line in lines[1:]] == [
        ["9007199254740993", "007"],
        ["1000000000000", "010"],
    ]


def test_an_input_is_never_overwritten(found, table):
    before = table.read_bytes()
    with pytest.raises(BadInputError, match="one of the files to be labelled"):
        label_files(found, table, table)
    assert table.read_bytes() == before


def test_columns_of_the_input_with_names_of_ours_are_kept(found, table, tmp_path):
    frame = pd.read_csv(table).rename(columns={"name": "cluster"})
    frame.to_csv(tmp_path / "c.csv", index=False)
    label_files(found, tmp_path / "c.csv", tmp_path / "l.parquet", keep=["cluster"])
    got = pq.read_table(tmp_path / "l.parquet").to_pandas()
    assert list(got["cluster_in"]) == list(frame["cluster"])
    assert set(got["cluster"]) == {0, 1}


def test_all_columns_can_be_carried_along(found, table, tmp_path):
    label_files(found, table, tmp_path / "l.parquet", keep=["*"])
    names = pq.read_schema(tmp_path / "l.parquet").names
    assert names == [
        "name",
        "a",
        "b",
        "file",
        "row",
        "cluster",
        "distance",
        "second_distance",
        "outlier_score",
    ]


def test_an_error_leaves_no_half_written_file(found, table, tmp_path):
    lines = table.read_text().splitlines()
    lines[400] = "x,not a number,1"
    table.write_text("\n".join(lines))
    with pytest.raises(BadInputError, match="row 400, column 'a'"):
        label_files(found, table, tmp_path / "l.parquet", read=shoal.ReadOptions(batch_rows=50))
    assert [p.name for p in tmp_path.iterdir()] == ["t.csv"]


def test_an_unknown_format_names_the_known(found, table, tmp_path):
    with pytest.raises(BadInputError, match=r"\.parquet"):
        label_files(found, table, tmp_path / "l.xlsx")
