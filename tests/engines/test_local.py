"""fit, sweep, update, merge and load: one read, any format, equal answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import shoal
from shoal.engines.reading import read_ahead
from shoal.errors import BadInputError, ShoalError

DATA = Path(__file__).parents[3] / "shared/data"
HOUSES = DATA / "california_housing/housing.csv"
COLUMNS = ("longitude", "latitude", "median_income")


def blobs(n=3000, k=4, seed=0):
    rng = np.random.default_rng(seed)
    centres = np.array([[0, 0], [20, 0], [0, 200], [20, 200]], float)[:k]
    return centres[rng.integers(k, size=n)] + rng.normal(size=(n, 2)) * [1, 10]


@pytest.fixture
def csv(tmp_path):
    path = tmp_path / "blobs.csv"
    pd.DataFrame(blobs(), columns=["a", "b"]).to_csv(path, index=False)
    return path


def centres(clustering):
    return clustering.recipe.to_original(clustering.model.centres)


def test_files_and_frames_of_every_kind_give_the_same_clusters(tmp_path):
    frame = pd.DataFrame(blobs().astype(np.float32), columns=["a", "b"])
    table = pa.Table.from_pandas(frame)
    pq.write_table(table, tmp_path / "x.parquet", row_group_size=700)
    frame.to_json(tmp_path / "x.jsonl", orient="records", lines=True, double_precision=15)
    frame.to_csv(tmp_path / "x.csv", index=False)
    pl.from_arrow(table).write_ipc(tmp_path / "x.arrow")
    found = [centres(shoal.fit(d, 4)) for d in (frame, table, pl.from_arrow(table))]
    found += [centres(shoal.fit(tmp_path / f"x.{s}", 4)) for s in ("parquet", "jsonl", "csv", "arrow")]
    for other in found[1:]:
        np.testing.assert_allclose(other, found[0], rtol=1e-4)
    np.testing.assert_allclose(np.sort(found[0][:, 0]), [0, 0, 20, 20], atol=0.3)


def test_batch_rows_do_not_change_a_bit(csv):
    a, b = (shoal.fit(csv, 4, read=shoal.ReadOptions(batch_rows=n)) for n in (65536, 97))
    assert a.summary.to_bytes() == b.summary.to_bytes()
    np.testing.assert_array_equal(a.model.centres, b.model.centres)


def test_the_file_is_read_once(csv, monkeypatch):
    """Every batch is asked for once; learning the recipe does not read the first block again."""
    from shoal.sources.files import FileSource

    passes = []
    real = FileSource.batches
    monkeypatch.setattr(FileSource, "batches", lambda self, *a, **k: passes.append(1) or real(self, *a, **k))
    monkeypatch.setattr(FileSource, "peek", lambda *a, **k: pytest.fail("peeked"))
    choice, _ = shoal.sweep(csv, range(2, 7))
    assert choice.suggested == 4
    assert len(passes) == 1


def test_a_copy_of_a_file_elsewhere_has_the_same_rows(csv, tmp_path):
    (tmp_path / "copy").mkdir()
    copy = tmp_path / "copy" / csv.name
    copy.write_bytes(csv.read_bytes())
    once, both = shoal.fit(csv, 4), shoal.fit([csv, copy], 4)
    assert both.summary.count == 2 * once.summary.count
    assert len(both.summary.points().X) == len(once.summary.points().X)


def test_update_equals_fitting_all_at_once(tmp_path):
    X = pd.DataFrame(blobs(6000), columns=["a", "b"])
    first, second = tmp_path / "1.csv", tmp_path / "2.csv"
    X[:3000].to_csv(first, index=False)
    X[3000:].to_csv(second, index=False)
    spec = shoal.RecipeSpec(scale="none")
    parts = shoal.fit(first, 4, recipe=spec).save(tmp_path / "m").update(second)
    whole = shoal.fit([first, second], 4, recipe=spec)
    np.testing.assert_allclose(parts.model.centres, whole.model.centres, rtol=1e-6)
    assert parts.model.provenance.rows_seen == 6000
    assert parts.model.parent == shoal.load(tmp_path / "m").model.version


def test_merge_equals_fitting_all_at_once(tmp_path):
    X = pd.DataFrame(blobs(6000), columns=["a", "b"])
    files = [tmp_path / f"{i}.csv" for i in range(3)]
    for i, f in enumerate(files):
        X[i * 2000 : (i + 1) * 2000].to_csv(f, index=False)
    a = shoal.fit(files[0], 4)
    b, c = (shoal.fit(f, 4, recipe=a.recipe) for f in files[1:])
    whole = shoal.fit(files, 4, recipe=a.recipe)
    for merged in (a.merge(b).merge(c), c.merge(a.merge(b))):
        np.testing.assert_allclose(merged.model.centres, whole.model.centres, rtol=1e-6)
        assert merged.summary.count == 6000
    assert a.merge(b).summary.to_bytes() == b.merge(a).summary.to_bytes()


def test_models_that_see_rows_differently_do_not_merge(tmp_path):
    a = shoal.fit(blobs(seed=1), 4, scale="standard")
    b = shoal.fit(blobs(seed=2), 4, scale="standard")
    with pytest.raises(ShoalError, match="--like"):
        a.merge(b)


def test_another_k_needs_no_data(csv):
    found = shoal.fit(csv, 4)
    csv.unlink()
    assert found.solve(2).model.k == 2


def test_sweep_keeps_the_curves_with_the_model(csv, tmp_path):
    choice, best = shoal.sweep(csv, [2, 4, 6])
    best.save(tmp_path / "m")
    again = shoal.load(tmp_path / "m").model
    assert again.k == choice.suggested == 4
    assert [c["k"] for c in again.choice["candidates"]] == [2, 4, 6]


@pytest.mark.skipif(not HOUSES.exists(), reason="../shared/data is not here")
def test_houses_are_clustered_as_well_as_by_scikit_learn():
    from sklearn.cluster import KMeans

    found = shoal.fit(HOUSES, 6, columns=COLUMNS)
    frame = pd.read_csv(HOUSES)[list(COLUMNS)]
    X = ((frame - frame.mean()) / frame.std(ddof=0)).to_numpy()
    peer = KMeans(6, n_init=10, random_state=0).fit(X)
    assert found.model.inertia <= peer.inertia_ * 1.002
    labels = found.assign(frame)
    assert np.bincount(labels.ids).tolist() == found.model.weights.round().astype(int).tolist()


def test_weight_column_counts(tmp_path):
    X = blobs(1000)
    frame = pd.DataFrame({"a": X[:, 0], "b": X[:, 1], "w": np.random.default_rng(0).integers(1, 4, 1000)})
    repeated = frame.loc[frame.index.repeat(frame.w)]
    a = shoal.fit(frame, 4, columns=["a", "b"], weight="w", scale="none")
    b = shoal.fit(repeated, 4, columns=["a", "b"], scale="none")
    np.testing.assert_allclose(a.model.centres, b.model.centres, rtol=1e-5)
    assert a.model.weights.sum() == frame.w.sum()


BAD = {
    "k is text": (lambda: shoal.fit(blobs(), "6"), "k is '6'"),
    "too few rows": (lambda: shoal.fit(blobs(3), 5), "k=5 clusters asked of 3 rows"),
    "identical rows": (lambda: shoal.fit(np.ones((50, 2)), 3), "only 1 differ"),
    "all filtered": (
        lambda: shoal.fit(pd.DataFrame({"a": [1.0, 2.0]}), 1, where="a > 5"),
        "no row of 2 meets the condition",
    ),
    "missing value": (lambda: shoal.fit(pd.DataFrame({"a": [1.0, None, 2.0]}), 1), "row 2, column 'a'"),
    "unknown keyword": (lambda: shoal.fit(blobs(), 2, colums=["a"]), "colums"),
    "recipe and keywords": (
        lambda: shoal.fit(blobs(), 2, recipe=shoal.RecipeSpec(), scale="none"),
        "not both",
    ),
    "no file": (lambda: shoal.fit("nowhere.csv", 2), "nowhere.csv"),
    "zero vector": (lambda: shoal.fit(np.eye(5)[:, :3], 2, metric="cosine"), "zero vector"),
    "no k": (lambda: shoal.sweep(blobs(), []), "no k to try"),
}


@pytest.mark.parametrize(("act", "words"), BAD.values(), ids=BAD.keys())
def test_bad_input_names_the_place_and_the_remedy(act, words):
    with pytest.raises(ShoalError) as error:
        act()
    assert words in str(error.value)


def test_a_condition_that_is_met_late_is_no_trouble(tmp_path):
    frame = pd.DataFrame({"yr": [2023] * 70_000 + [2024] * 3000, "a": np.r_[np.zeros(70_000), blobs()[:, 0]]})
    frame.to_csv(tmp_path / "sorted.csv", index=False)
    found = shoal.fit(tmp_path / "sorted.csv", 2, columns=["a"], where="yr = 2024")
    assert found.summary.count == 3000
    assert found.model.provenance.rows_filtered == 70_000
    np.testing.assert_allclose(np.sort(centres(found).ravel()), [0, 20], atol=0.3)


@pytest.mark.parametrize("scale", ["auto", "none"])
def test_a_column_far_from_zero_keeps_its_differences(scale):
    rng = np.random.default_rng(0)
    seconds = 1.7e9 + rng.choice([0, 300, 600], 300) + rng.normal(size=300) * 20
    found = shoal.fit(pd.DataFrame({"t": seconds}), 3, scale=scale)
    np.testing.assert_allclose(np.sort(centres(found).ravel()) - 1.7e9, [0, 300, 600], atol=10)


def test_columns_that_cannot_be_used_are_told(tmp_path):
    frame = pd.DataFrame(blobs(300), columns=["a", "b"]).assign(name="x", day=pd.Timestamp("2026-01-01"))
    found = shoal.fit(frame, 4)
    assert [text.split(" ")[0] for text in found.model.provenance.left_out] == ["name", "day"]


def test_a_scale_learned_from_an_unlike_beginning_is_doubted():
    X = np.r_[np.c_[np.random.default_rng(0).normal(size=(70_000, 1)), np.zeros((70_000, 1))], blobs(5000)]
    late = shoal.fit(pd.DataFrame(X, columns=["a", "b"]), 3)
    assert any("'b'" in doubt for doubt in late.doubts())
    assert shoal.fit(pd.DataFrame(blobs(), columns=["a", "b"]), 3).doubts() == []
    assert shoal.fit(pd.DataFrame({"a": range(200), "b": 7.0}), 3).doubts() == []


def test_small_tables_are_solved_to_the_best_that_many_restarts_find():
    from sklearn.cluster import KMeans

    for seed in range(6):
        X = np.random.default_rng(seed).normal(size=(900, 4))
        best = KMeans(3, n_init=20, random_state=0).fit(X).inertia_
        assert shoal.fit(X, 3, seed=seed).model.inertia <= best * 1.004


def test_skipping_counts_what_was_left_out():
    frame = pd.DataFrame({"a": [1.0, None, 2.0, np.inf, 3.0], "b": range(5)})
    found = shoal.fit(frame, 2, read=shoal.ReadOptions(on_error="skip"))
    assert found.summary.count == 3
    assert found.model.provenance.rejects.total == 2


def test_errors_of_the_reader_thread_reach_the_caller():
    def broken():
        yield 1
        raise BadInputError("broken")

    got = []
    with pytest.raises(BadInputError, match="broken"):
        got.extend(read_ahead(broken()))
    assert got in ([], [1])


def test_leaving_early_stops_the_reader():
    import threading

    def endless():
        while True:
            yield 1

    ahead = read_ahead(endless())
    assert next(ahead) == 1
    ahead.close()
    assert not any(t.name == "shoal-reader" for t in threading.enumerate())
