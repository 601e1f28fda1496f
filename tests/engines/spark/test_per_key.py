"""A model for each key: what is fitted, applied and updated on Spark is what the same summary says locally."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from shoal.engines.shares import SummarySettings, solved
from shoal.engines.spark.key_groups import Group
from shoal.engines.spark.key_task import KeyTask, per_key_settings
from shoal.engines.spark.per_key import assign_per_key, fit_per_key, update_per_key
from shoal.engines.spark.per_key_stream import ROCKSDB, KeyLearner, _plain, stream_per_key
from shoal.engines.spark.rows import RowColumns
from shoal.errors import BadInputError, Rejects, ShoalError
from shoal.model.cluster_model import ClusterModel
from shoal.model.packed import pack_model, unpack_model

ROWS = RowColumns(("v",))
Matrix = np.ndarray[Any, Any]


def _rows(seed: int, n: int, at: float) -> Matrix:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, 2)) + at + 20.0 * rng.integers(0, 3, (n, 1))


GROUPS: dict[str | None, Matrix] = {
    "a": _rows(1, 90, 0.0),
    "b": _rows(2, 60, 500.0),
    None: _rows(3, 30, -90.0),
}


def _frame(spark: Any, groups: dict[str | None, Matrix]) -> Any:
    rows = [(key, i, row) for key, X in groups.items() for i, row in enumerate(X.tolist())]
    np.random.default_rng(9).shuffle(rows)  # type: ignore[arg-type]
    return spark.createDataFrame(rows, "tenant string, i int, v array<double>").repartition(3)


def _models(table: Any) -> dict[str | None, dict[str, Any]]:
    return {row["tenant"]: row for row in table.toArrow().to_pylist()}


def _local(X: Matrix, k: int) -> tuple[Matrix, Matrix]:
    """Centres and weights as the same summary and solver say here, largest cluster first."""
    summary = per_key_settings(k).new().update(X)
    found = solved(summary, k)
    order = found.largest_first()
    return found.centres[order], found.counts[order]


@pytest.fixture(scope="module")
def fitted(spark: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Models as they come back from a table."""
    path = str(tmp_path_factory.mktemp("models") / "t")
    bad = {
        "bad": np.array([[1.0, 2.0], [np.nan, 0.0], [3.0, 4.0]]),
        "few": np.array([[1.0, 2.0]] * 3 + [[5.0, 6.0]]),
    }
    fit_per_key(_frame(spark, GROUPS | bad), "tenant", 3, ROWS).write.parquet(path)
    return spark.read.parquet(path)


def test_each_key_has_the_model_of_its_rows(fitted: Any) -> None:
    found = _models(fitted)
    assert set(found) == {"a", "b", None, "bad", "few"}
    for key, X in GROUPS.items():
        row = found[key]
        assert (row["rows"], row["k"], row["error"], row["note"]) == (len(X), 3, None, None)
        model, summary = unpack_model(row["model"])
        centres, weights = _local(X, 3)
        np.testing.assert_allclose(model.centres, centres)
        np.testing.assert_array_equal(model.weights, weights)
        assert summary is not None
        assert summary.count == len(X)


def test_a_key_that_fails_says_why_and_others_go_on(fitted: Any) -> None:
    found = _models(fitted)
    assert found["bad"]["model"] is None
    assert "NaN" in found["bad"]["error"]
    assert "of the group" in found["bad"]["error"]
    assert found["few"]["k"] == 2
    assert found["few"]["note"] == "k lowered from 3 to 2: no more rows differ"


def test_rows_are_labelled_by_the_model_of_their_key(spark: Any, fitted: Any) -> None:
    from pyspark.ml.functions import array_to_vector
    from pyspark.sql import functions as F  # noqa: N812

    df = _frame(spark, GROUPS | {"new": _rows(7, 5, 3.0)})
    df = df.select(
        "*", array_to_vector("v").alias("vec"), F.array("i").alias("arr"), F.current_timestamp().alias("at")
    )
    out = assign_per_key(df, fitted, "tenant", RowColumns(("vec",)), outputs=("cluster", "far", "odd"))
    assert out.columns == ["tenant", "i", "v", "vec", "arr", "at", "cluster", "far", "odd"]
    table = out.where("vec is not null and at is not null and arr[0] = i").toArrow().to_pylist()
    assert len(table) == sum(map(len, GROUPS.values())) + 5
    models = _models(fitted)
    for key, X in GROUPS.items():
        mine = sorted((row for row in table if row["tenant"] == key), key=lambda row: row["i"])
        wanted = unpack_model(models[key]["model"])[0].assign(X)
        assert [row["cluster"] for row in mine] == wanted.ids.tolist()
        np.testing.assert_array_equal([row["far"] for row in mine], wanted.distances)
        np.testing.assert_array_equal([row["odd"] for row in mine], wanted.outlier_scores)
    assert {row["cluster"] for row in table if row["tenant"] == "new"} == {None}


def test_models_go_on_learning(spark: Any, fitted: Any) -> None:
    more = {"a": _rows(11, 50, 0.0), "new": _rows(12, 40, 7.0), "b": np.array([[np.inf, 1.0]])}
    found = _models(update_per_key(fitted, _frame(spark, more), "tenant", 3, ROWS))
    before = _models(fitted)
    model, _ = unpack_model(found["a"]["model"])
    was = unpack_model(before["a"]["model"])[0]
    both = np.concatenate([GROUPS["a"], more["a"]])
    centres, _ = _local(both, 3)
    order = np.lexsort(centres.T)
    np.testing.assert_allclose(model.centres[np.lexsort(model.centres.T)], centres[order])
    assert (found["a"]["rows"], model.parent) == (140, was.version)
    by_id = {int(i): c for i, c in zip(model.ids, model.centres, strict=True)}
    for i, centre in zip(was.ids, was.centres, strict=True):  # clusters that live on keep their ids
        assert np.linalg.norm(by_id[int(i)] - centre) < 3
    np.testing.assert_allclose(unpack_model(found["new"]["model"])[0].centres, _local(more["new"], 3)[0])
    assert found["b"]["model"] == before["b"]["model"]  # bad news do not spoil it
    assert "NaN or infinite" in found["b"]["error"]
    for key in (None, "few"):
        assert found[key]["model"] == before[key]["model"]
        assert found[key]["error"] is None


def test_two_keys_columns_weights_and_cosine(spark: Any) -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 2)) + 3
    w = rng.integers(1, 4, 40)
    rows = [(i % 2, "x", *map(float, x), int(n)) for i, (x, n) in enumerate(zip(X, w, strict=True))]
    df = spark.createDataFrame(rows, "a int, `b.c` string, p double, q double, w int")
    settings = SummarySettings(k_max=2, rows=100)
    table = fit_per_key(
        df,
        ["a", "b.c"],
        2,
        RowColumns(("p", "q"), weight="w"),
        metric="cosine",
        settings=settings,
        keep_summary=False,
    )
    found = {(row["a"], row["b.c"]): row for row in table.toArrow().to_pylist()}
    assert set(found) == {(0, "x"), (1, "x")}
    for a in (0, 1):
        model, summary = unpack_model(found[a, "x"]["model"])
        assert summary is None
        assert (model.metric, model.feature_names) == ("cosine", ("p", "q"))
        assert model.weights.sum() == pytest.approx(w[a::2].sum())
        np.testing.assert_allclose(np.linalg.norm(model.centres, axis=1), 1.0)
    labelled = assign_per_key(df, table, ["a", "b.c"], RowColumns(("p", "q")))
    best = {row["distance"] < 2 and row["prediction"] in (0, 1) for row in labelled.toArrow().to_pylist()}
    assert best == {True}


def test_wrong_requests_are_errors_before_any_job(spark: Any) -> None:
    df = spark.createDataFrame([("a", [1.0], 1)], "tenant string, v array<double>, k int")
    with pytest.raises(BadInputError, match="tenant"):
        fit_per_key(df, "tenent", 2, ROWS)
    with pytest.raises(BadInputError, match="k is 0"):
        fit_per_key(df, "tenant", 0, ROWS)
    with pytest.raises(BadInputError, match="column of the result"):
        fit_per_key(df, "k", 2, ROWS)
    with pytest.raises(BadInputError, match="event time"):
        fit_per_key(df, "tenant", 2, ROWS, settings=per_key_settings(2, half_life=5.0))
    with pytest.raises(BadInputError, match="there already"):
        assign_per_key(df, df, "tenant", ROWS, outputs=("k", "d", "o"))
    with pytest.raises(BadInputError, match="table of models"):
        update_per_key(df, df, "tenant", 2, ROWS)
    with (
        pytest.raises(ShoalError, match="RocksDB"),
        _setting(spark, "org.example.HDFSBackedStateStoreProvider"),
    ):
        stream_per_key(df, "tenant", 2, ROWS)


SENSORS = (2**53 + 1, None)  # a null beside it must not make it a float


@contextmanager
def _setting(spark: Any, provider: str) -> Iterator[None]:
    name = "spark.sql.streaming.stateStore.providerClass"
    before = spark.conf.get(name)
    spark.conf.set(name, provider)
    try:
        yield
    finally:
        spark.conf.set(name, before)


def _stream(spark: Any, folder: Path) -> list[dict[str, Any]]:
    """Run until all files are read; rows in the order of batches."""
    source = (
        spark.readStream.schema("sensor bigint, n int, at timestamp, v array<double>")
        .option("maxFilesPerTrigger", 1)
        .parquet(str(folder / "in"))
    )
    columns = RowColumns(("v",), time="at", id="n", invalid="skip")
    settings = per_key_settings(2, half_life=3600.0)
    source = source.withColumnRenamed("sensor", "the.sensor")
    labelled = stream_per_key(
        source, "the.sensor", 2, columns, settings=settings, keep=["n"]
    ).withColumnRenamed("the.sensor", "sensor")
    with _setting(spark, ROCKSDB):
        query = (
            labelled.writeStream.format("parquet")
            .option("checkpointLocation", str(folder / "state"))
            .trigger(availableNow=True)
            .start(str(folder / "out"))
        )
        assert query.awaitTermination(180)
    out = spark.read.parquet(str(folder / "out"))
    assert out.dtypes[:3] == [("sensor", "bigint"), ("n", "int"), ("prediction", "int")]
    return sorted(out.toArrow().to_pylist(), key=lambda r: (str(r["sensor"]), r["n"]))


def _drop(spark: Any, folder: Path, first: int, at: str, *, odd: bool = False) -> Matrix:
    rng = np.random.default_rng(first)
    X = np.where(np.arange(20)[:, None] % 2, 10.0, 0.0) + rng.normal(size=(20, 2))
    rows = [
        (s, first + i, at, row) for s in SENSORS for i, row in enumerate((X + 100 * (s is None)).tolist())
    ]
    if odd:
        rows.append((SENSORS[0], first + 20, at, [float("nan"), 0.0]))
    df = spark.createDataFrame(rows, "sensor bigint, n int, at string, v array<double>")
    df.selectExpr("sensor", "n", "cast(at as timestamp) at", "v").coalesce(1).write.mode("append").parquet(
        str(folder / "in")
    )
    return X


def test_a_stream_keeps_a_model_for_each_key(spark: Any, tmp_path: Path) -> None:
    with _setting(spark, ROCKSDB):
        first = _drop(spark, tmp_path, 0, "2026-01-01 00:00:00")
        _drop(spark, tmp_path, 20, "2026-01-01 01:00:00", odd=True)
        out = _stream(spark, tmp_path)
        assert len(out) == 81
        odd = [row for row in out if row["n"] == 40]
        assert [(r["prediction"], r["distance"], r["version"]) for r in odd] == [(None, None, None)]
        wanted = np.arange(20) % 2
        for sensor in SENSORS:
            mine = [r for r in out if r["sensor"] == sensor and r["n"] < 40]
            labels = np.array([r["prediction"] for r in mine])
            assert np.array_equal(labels[:20], wanted) or np.array_equal(labels[:20], 1 - wanted)
            np.testing.assert_array_equal(labels[:20], labels[20:])  # ids live on
            assert (
                len({r["version"] for r in mine}) == 1
            )  # the second batch was labelled before it was learnt
        far = {r["n"]: r["distance"] for r in out if r["sensor"] == SENSORS[0]}
        centres, _ = _local(first, 2)
        near = np.sqrt(((first[:, None] - centres[None]) ** 2).sum(axis=2)).min(axis=1)
        np.testing.assert_allclose([far[i] for i in range(20)], near, atol=1e-6)
        _drop(spark, tmp_path, 60, "2026-01-01 02:00:00")
        again = _stream(spark, tmp_path)  # another query from the same checkpoint
    assert len(again) == 121
    new = [r for r in again if r["sensor"] == SENSORS[0] and r["n"] >= 60]
    labels = {r["n"] % 2: r["prediction"] for r in out if r["sensor"] == SENSORS[0] and r["n"] < 20}
    assert [r["prediction"] for r in new] == [labels[r["n"] % 2] for r in new]
    (version,) = {r["version"] for r in new}
    assert version is not None
    assert version not in {r["version"] for r in out}


def _task(**more: Any) -> KeyTask:
    settings = per_key_settings(2)
    given = {"keys": ("key",), "k": 2, "columns": ROWS, "settings": settings, "metric": "euclidean"}
    return KeyTask(**(given | {"too_few": "lower", "keep_summary": True} | more))


def _batches(*lists: list[Any]) -> Iterator[pa.RecordBatch]:
    return iter([pa.record_batch({"v": pa.array(rows, pa.list_(pa.float64()))}) for rows in lists])


def test_batches_do_not_matter_and_retries_give_equal_bytes() -> None:
    X = _rows(4, 40, 0.0).tolist()
    whole, parts = _task().learn(None, _batches(X)), _task().learn(None, _batches(X[:7], X[7:30], X[30:]))
    assert whole == parts
    assert whole.model is not None


def test_few_rows_may_be_an_error() -> None:
    learnt = _task(too_few="error").learn(None, _batches([[1.0], [1.0], [1.0]]))
    assert learnt.model is None
    assert "only 1 differ" in str(learnt.error)
    nothing = _task(columns=RowColumns(("v",), invalid="skip")).learn(None, _batches([None, [float("nan")]]))
    assert "no row could be used" in str(nothing.error)


def test_a_damaged_model_and_one_without_summary_are_told() -> None:
    good = _task().learn(None, _batches([[0.0], [1.0], [9.0]]))
    assert good.model is not None
    damaged = _task().learn(good.model[:-1], _batches([[2.0]]))
    assert "packed model cannot be read" in str(damaged.error)
    model: ClusterModel = unpack_model(good.model)[0]
    bare = pack_model(model)
    kept = _task().learn(bare, _batches([[2.0]]))
    assert kept.model == bare
    assert "without its summary" in str(kept.error)
    wide = _task().learn(good.model, _batches([[2.0, 3.0]]))
    assert wide.model == good.model
    assert "has 2 numbers" in str(wide.error)


class _State:
    """A state store of one key."""

    def __init__(self) -> None:
        self.held: Any = None

    def getValueState(self, name: str, schema: str, idle: int | None) -> _State:  # noqa: N802 - Spark's name
        return self

    def exists(self) -> bool:
        return self.held is not None

    def get(self) -> Any:
        return self.held

    def update(self, value: tuple[Any, ...]) -> None:
        self.held = value


def _micro_batch(
    state: _State, task: KeyTask, *lists: list[Any], solve_every: int = 1
) -> list[dict[str, Any]]:
    """What a new process, with nothing but the state, makes of one micro-batch."""
    import pandas as pd

    learner = KeyLearner(task, ("n",), solve_every, None)
    learner.init(state)
    frames = (
        pd.DataFrame({"_1": ["x"] * len(rows), "_2": range(len(rows)), "_3": pd.Series(rows, dtype=object)})
        for rows in lists
    )
    out = list(learner.handleInputRows(("x",), frames, None))
    return [row for frame in out for row in frame.to_dict("records")]


def test_rows_wait_for_a_model_and_it_is_not_solved_again_for_nothing() -> None:
    state, task = _State(), _task(columns=RowColumns(("v",), invalid="skip"))
    first = _micro_batch(state, task, [[0.0], None], solve_every=4)
    assert [row["version"] for row in first] == [None, None]
    second = _micro_batch(state, task, [[1.0], [9.0]], [[10.0], [float("nan")]], solve_every=4)
    assert [int(row["prediction"]) for row in second[:3]] == [0, 1, 1]
    assert second[3]["version"] is None
    version = second[0]["version"]
    third = _micro_batch(state, task, [[0.5], [9.5]], solve_every=4)
    assert [row["version"] for row in third] == [version] * 2
    held, waiting, _ = state.get()
    model, summary = unpack_model(held)
    assert (model.version, waiting) == (version, None)
    assert (model.provenance.rows_seen, model.provenance.rejects.total) == (4, 2)
    assert summary is not None
    assert summary.count == 6
    _micro_batch(state, task, [[0.5], [9.5]], solve_every=4)
    later, _ = unpack_model(state.get()[0])
    assert (later.parent, later.provenance.rows_seen) == (version, 8)
    np.testing.assert_allclose(np.sort(later.centres.ravel()), [0.5, 9.5])


def test_a_stream_forgets_by_event_time() -> None:
    columns = RowColumns(("v",), time="t")
    task = _task(columns=columns, k=1, settings=per_key_settings(1, half_life=10.0))
    summary = task.settings.new()
    summary.update([[0.0]] * 8, times=[0.0] * 8).update([[9.0]], times=[30.0])
    model, _ = task.solve(summary, Rejects())
    assert model.centres[0, 0] == pytest.approx(4.5)  # eight rows, three half-lives old, against one


def test_models_come_before_rows() -> None:
    def batch(*turns: int) -> pa.RecordBatch:
        cells = [b"m" if turn == 0 else None for turn in turns]
        return pa.record_batch({"_shoal_turn": list(turns), "_shoal_model": pa.array(cells, pa.binary())})

    group = Group(iter([batch(0, 1, 1), batch(1)]))
    assert (group.model, sum(b.num_rows for b in group.rows())) == (b"m", 3)
    assert Group(iter([batch(1)])).model is None
    with pytest.raises(ShoalError, match="several models"):
        Group(iter([batch(0, 0, 1)]))
    with pytest.raises(ShoalError, match="several models"):
        list(Group(iter([batch(0, 1), batch(0)])).rows())


def test_a_stream_takes_vectors_columns_and_dates(spark: Any) -> None:
    from pyspark.ml.functions import array_to_vector

    df = spark.createDataFrame(
        [("a", 1, 2.5, [3.0, 4.0], 7)], "key string, p int, q double, v array<double>, i int"
    )
    df = df.select("*", array_to_vector("v").alias("vec")).selectExpr("*", "date '1970-01-02' day")
    kinds = (RowColumns(("vec",), id="i"), RowColumns(("p", "q"), time="day"), RowColumns(("v",), weight="q"))
    made = [_plain(df, _task(columns=columns), ["i"]) for columns in kinds]
    assert [plain.task.columns.names()[1:] for plain in made] == [["_id"], ["_time"], ["_weight"]]
    out = made[0].df.crossJoin(made[1].df.select("_features", "_time").toDF("f", "t"))
    (row,) = out.crossJoin(made[2].df.select("_features", "_weight").toDF("g", "w")).toArrow().to_pylist()
    assert (row["c0"], row["c1"], row["_features"], row["_id"]) == ("a", "7", [3.0, 4.0], "7")
    assert (row["f"], row["t"], row["g"], row["w"]) == ([1.0, 2.5], 86400.0, [3.0, 4.0], 2.5)


def test_models_of_other_columns_are_refused(spark: Any) -> None:
    df = spark.createDataFrame(
        [("x", float(i), float(i % 2)) for i in range(9)], "tenant string, a double, b double"
    )
    models = fit_per_key(df, "tenant", 2, RowColumns(("a", "b")))
    (row,) = update_per_key(models, df, "tenant", 2, RowColumns(("b", "a"))).toArrow().to_pylist()
    assert "the model is of a, b, not of b, a" in row["error"]
    assert row["model"] is not None
