"""The column of outliers in files of labels, from Python and the command line."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

import shoal
from shoal.cli.app import app
from shoal.engines.labelling import label_files
from shoal.errors import BadInputError


@pytest.fixture
def table(tmp_path):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        rng.normal(size=(5000, 2)) + 9.0 * rng.integers(2, size=(5000, 1)), columns=["a", "b"]
    )
    frame.to_csv(tmp_path / "t.csv", index=False)
    return tmp_path / "t.csv"


def test_rows_beyond_the_rate_are_marked(table, tmp_path):
    found = shoal.fit(table, 2)
    done = label_files(found, table, tmp_path / "l.parquet", outlier_rate=0.02)
    got = pq.read_table(tmp_path / "l.parquet").to_pandas()
    assert got["outlier"].mean() == pytest.approx(0.02, abs=0.002)
    assert done.outliers == got["outlier"].sum()
    assert got.loc[got["outlier"], "outlier_score"].min() > got.loc[~got["outlier"], "outlier_score"].max()


def test_rows_without_a_cluster_are_no_outliers_and_no_others(table, tmp_path):
    found = shoal.fit(table, 2, where="a < 5")
    label_files(found, table, tmp_path / "l.parquet", outlier_rate=0.02)
    got = pq.read_table(tmp_path / "l.parquet").to_pandas()
    assert list(got["outlier"].isna()) == list(got["cluster"].isna())
    assert got["outlier"].isna().any()


def test_without_a_rate_there_is_no_such_column(table, tmp_path):
    done = label_files(shoal.fit(table, 2), table, tmp_path / "l.parquet")
    assert "outlier" not in pq.read_schema(tmp_path / "l.parquet").names
    assert done.outliers is None


def test_a_wrong_rate_writes_nothing(table, tmp_path):
    with pytest.raises(BadInputError, match="outlier rate is 3"):
        label_files(shoal.fit(table, 2), table, tmp_path / "l.parquet", outlier_rate=3)
    assert not (tmp_path / "l.parquet").exists()


def test_the_command_marks_and_counts_them(table, tmp_path):
    shoal.fit(table, 2).save(tmp_path / "m")
    words = [
        "assign",
        str(tmp_path / "m"),
        str(table),
        "--out",
        str(tmp_path / "l.csv"),
        "--outlier-rate",
        "0.01",
    ]
    told = CliRunner().invoke(app, [*words, "--json"])
    assert told.exit_code == 0, told.output
    marked = pd.read_csv(tmp_path / "l.csv")["outlier"]
    assert json.loads(told.stdout)["outliers"] == marked.sum()
    assert marked.mean() == pytest.approx(0.01, abs=0.002)
    assert f"outliers: {marked.sum()} " in CliRunner().invoke(app, words).output
    assert CliRunner().invoke(app, [*words[:-1], "1.5"]).exit_code == 2
