"""Recipes over real files: the public data sets, and every format giving one matrix."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shoal.errors import BadInputError, Rejects
from shoal.features.recipe import RecipeSpec
from shoal.features.recipe_file import read_names
from shoal.sources.files import open_files
from shoal.sources.options import ReadOptions
from shoal.sources.tables import open_table

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


def data_file(name: str) -> Path:
    path = DATA / name
    if not path.exists():
        pytest.skip(f"real data not present: {path}")
    return path


def run(source, spec, on_error="raise"):
    """Everything a pass gives: the recipe, the matrix, rejects and filtered rows."""
    recipe = spec.learn(source.peek(), place=source.names[0])
    log, parts, filtered = Rejects(), [], 0
    for batch in source.batches(recipe.columns_needed):
        out = recipe.apply(
            batch.table, origin=batch.origin, rows=batch.row_numbers, rejects=log, on_error=on_error
        )
        parts.append(out.matrix)
        filtered += out.filtered
    return recipe, np.concatenate(parts), log, filtered


def test_california_housing_has_207_rows_without_bedrooms():
    path = data_file("california_housing/housing.csv")
    with pytest.raises(BadInputError, match=r"housing\.csv, row 291, column 'total_bedrooms': missing value"):
        run(open_files([path]), RecipeSpec())
    recipe, X, log, _ = run(open_files([path]), RecipeSpec(nulls="skip", one_hot=("ocean_proximity",)))
    assert X.shape == (20_640 - 207, 9 + 6)
    assert log.counts == {"missing value": 207}
    assert recipe.feature_names[-1] == "ocean_proximity=other"
    np.testing.assert_allclose(X[:, :9].std(axis=0), 1, rtol=0.02)
    _, filled, log, _ = run(open_files([path]), RecipeSpec(nulls="mean"))
    assert filled.shape == (20_640, 9)
    assert log.total == 0


def test_gdelt_gives_the_26_features_of_the_published_example():
    path = data_file("gdelt/20130401.export.CSV.gz")
    spec = RecipeSpec(
        columns=(
            "numarticles",
            "avgtone",
            "actor1geo_lat",
            "actor1geo_long",
            "actor2geo_lat",
            "actor2geo_long",
        ),
        one_hot=("eventcode",),
        top=20,
        other="drop",
        where="not (actor1geo_lat == 0 and actor1geo_long == 0)",
        scale="none",
        nulls="skip",
    )
    names = (*read_names(data_file("gdelt/events_column_names.csv")),)
    source = open_files([path], options=ReadOptions(names=names, text_columns=spec.text_columns))
    recipe, X, log, filtered = run(source, spec)
    assert len(recipe.feature_names) == X.shape[1] == 26
    assert "eventcode=043" in recipe.feature_names
    assert len(X) + log.total + filtered == 27_758
    assert (X[:, 6:].sum(axis=1) == 1).all()
    assert not ((X[:, 2] == 0) & (X[:, 3] == 0)).any()


def test_kddcup_is_read_whole_with_its_text_columns():
    path = data_file("kddcup99/kddcup.data_10_percent.gz")
    spec = RecipeSpec(one_hot=("c1", "c2", "c3"), top=5)
    source = open_files([path], options=ReadOptions(text_columns=spec.text_columns))
    recipe, X, log, _ = run(source, spec)
    assert (len(X), log.total) == (494_021, 0)
    assert X.shape[1] == 38 + sum(min(n, 5) + 1 for n in (3, 66, 11))
    assert "c1=tcp" in recipe.feature_names


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    values=st.lists(
        st.tuples(
            st.floats(-1e6, 1e6, width=32), st.one_of(st.none(), st.integers(-9, 9)), st.sampled_from("uvw")
        ),
        min_size=1,
        max_size=60,
    ),
    batch_rows=st.integers(1, 70),
)
def test_every_format_gives_the_same_matrix(tmp_path, values, batch_rows):
    a, b, c = zip(*values)
    table = pa.table({"a": pa.array(a, pa.float64()), "b": pa.array(b, pa.float64()), "c": list(c)})
    pq.write_table(table, tmp_path / "x.parquet", row_group_size=13)
    with pa.ipc.new_file(tmp_path / "x.arrow", table.schema) as out:
        out.write_table(table, max_chunksize=11)
    pacsv.write_csv(table, tmp_path / "x.csv")
    table.to_pandas().to_json(tmp_path / "x.jsonl", orient="records", lines=True, double_precision=15)
    spec = RecipeSpec(columns=("a", "b"), one_hot=("c",), nulls="zero")
    options = ReadOptions(batch_rows=batch_rows)
    expected = run(open_table(table), spec)[1]
    for suffix in ("parquet", "arrow", "csv"):
        np.testing.assert_array_equal(
            run(open_files([tmp_path / f"x.{suffix}"], options=options), spec)[1], expected
        )
    # pandas writes 15 decimals, not the shortest exact form
    got = run(open_files([tmp_path / "x.jsonl"], options=options), spec)[1]
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


def test_a_vector_column_is_the_same_from_arrays_and_parquet(tmp_path):
    X = np.random.default_rng(0).normal(size=(100, 7)).astype(np.float32)
    np.save(tmp_path / "x.npy", X)
    np.savez_compressed(tmp_path / "x.npz", X=X)
    pq.write_table(
        pa.table({"vector": pa.FixedSizeListArray.from_arrays(pa.array(X.ravel()), 7)}),
        tmp_path / "x.parquet",
    )
    for suffix in ("npy", "npz", "parquet"):
        recipe, got, _, _ = run(open_files([tmp_path / f"x.{suffix}"]), RecipeSpec())
        np.testing.assert_array_equal(got, X)
        assert recipe.feature_names[0] == "vector[0]"
    np.testing.assert_array_equal(run(open_table(X), RecipeSpec())[1], X)


@pytest.mark.parametrize("library", ["pandas", "polars", "views", "categories"])
def test_text_of_any_library_is_text(library):
    data = {"s": ["a", "b", "c", None], "n": [1, 2, 3, 4]}
    if library == "views":
        frame = pa.table({"s": pa.array(data["s"], pa.string_view()), "n": data["n"]})
    elif library == "categories":
        polars = pytest.importorskip("polars")
        frame = polars.DataFrame(data, schema={"s": polars.Categorical, "n": polars.Int64})
    else:
        frame = pytest.importorskip(library).DataFrame(data)
    spec = RecipeSpec(columns=("n",), one_hot=("s",), where="s in ('a', 'b') and s <> 'z'", scale="none")
    recipe, X, _, filtered = run(open_table(frame), spec)
    assert recipe.feature_names == ("n", "s=a", "s=b", "s=other")
    assert X.tolist() == [[1, 1, 0, 0], [2, 0, 1, 0]]
    assert filtered == 2
