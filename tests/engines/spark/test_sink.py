"""Structured Streaming: the sink ``shoal``, labels by the newest model, foreachBatch."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pyspark")

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.errors import PySparkException

from shoal.engines.shares import KEY, Summarised, SummarySettings
from shoal.engines.spark import batch_learner, label_stream, register
from shoal.engines.spark.live import LiveSettings, advance
from shoal.engines.spark.rows import RowColumns
from shoal.engines.spark.streaming import newest
from shoal.errors import BadInputError, Rejects, ShoalError
from shoal.model.store import ModelStore
from shoal.summary.coreset import Coreset

RNG = np.random.default_rng(3)
N = 1200
CENTRES = np.array([[-8.0, 0.0], [0.0, 8.0], [8.0, 0.0]])
X = CENTRES[RNG.integers(3, size=N)] + RNG.normal(size=(N, 2))
T = np.sort(RNG.uniform(0, 36_000, N))
SCHEMA = "id long, v array<double>, t double"


def write(folder: Path, parts: int) -> None:
    """Files in the order of their rows."""
    folder.mkdir(exist_ok=True)
    for i, index in enumerate(np.array_split(np.arange(N), parts)):
        table = pa.table({"id": index, "v": list(X[index]), "t": T[index]})
        pq.write_table(table, folder / f"{i:03d}.parquet")


def stream(spark: Any, folder: Path) -> Any:
    return spark.readStream.schema(SCHEMA).option("maxFilesPerTrigger", 1).parquet(str(folder))


def run(writer: Any) -> None:
    query = writer.trigger(availableNow=True).start()
    assert query.awaitTermination(120)


def into(df: Any, tmp_path: Path, name: str, **options: Any) -> Any:
    options = {"k": 3, "featuresCol": "v", "idCol": "id"} | options
    options["checkpointLocation"] = str(tmp_path / f"{name}-checkpoint")
    options["path"] = str(tmp_path / name)
    return df.writeStream.format("shoal").options(**options)


@pytest.fixture(autouse=True)
def registered(spark: Any) -> None:
    register(spark)


def weights(summary: Coreset) -> dict[tuple[float, ...], float]:
    points = summary.points()
    return dict(zip(map(tuple, points.X), points.weights, strict=True))


def test_every_row_is_learned_once_and_ids_stay(spark: Any, tmp_path: Path) -> None:
    write(tmp_path / "rows", 4)
    run(into(stream(spark, tmp_path / "rows"), tmp_path, "store"))
    store = ModelStore(tmp_path / "store")
    held = store.load()
    assert held.summary.count == N
    assert set(weights(held.summary)) == set(map(tuple, X))
    found = held.model.centres[np.argsort(held.model.centres[:, 0])]
    assert np.abs(found - CENTRES).max() < 0.3
    assert store.numbers() == [1, 2, 3, 4]
    first = store.load(1).model
    assert (first.predict(X[:300]) == held.model.predict(X[:300])).mean() > 0.99
    assert [event["kind"] for event in store.load(1).note["events"]] == ["born"] * 3
    run(into(stream(spark, tmp_path / "rows"), tmp_path, "store"))  # nothing new: nothing happens
    assert ModelStore(tmp_path / "store").latest_number() == 4


def test_forgetting_does_not_know_about_triggers(spark: Any, tmp_path: Path) -> None:
    found = []
    for parts in (1, 5):
        rows = tmp_path / f"rows{parts}"
        write(rows, parts)
        name = f"store{parts}"
        run(into(stream(spark, rows), tmp_path, name, timeCol="t", halfLife="1h"))
        found.append(weights(ModelStore(tmp_path / name).load().summary))
    at_once, in_parts = found
    expected = 2.0 ** ((T - T.max()) / 3600)
    assert at_once.keys() == in_parts.keys()
    for x, w in zip(map(tuple, X), expected, strict=True):
        assert at_once[x] == pytest.approx(w, rel=1e-9)
        assert in_parts[x] == pytest.approx(w, rel=1e-9)


def test_foreach_batch_learns_the_same(spark: Any, tmp_path: Path) -> None:
    write(tmp_path / "rows", 2)
    run(into(stream(spark, tmp_path / "rows"), tmp_path, "sink"))
    learner = batch_learner(str(tmp_path / "each"), query="q", k=3, featuresCol="v", idCol="id")
    writer = stream(spark, tmp_path / "rows").writeStream.foreachBatch(learner)
    run(writer.option("checkpointLocation", str(tmp_path / "c")))
    a, b = (ModelStore(tmp_path / name).load() for name in ("sink", "each"))
    assert weights(a.summary) == weights(b.summary)
    assert np.allclose(np.sort(a.model.centres, axis=0), np.sort(b.model.centres, axis=0), atol=1e-9)


def test_labels_by_the_newest_model(spark: Any, tmp_path: Path) -> None:
    write(tmp_path / "rows", 2)
    store = str(tmp_path / "store")
    df = spark.read.schema(SCHEMA).parquet(str(tmp_path / "rows"))
    before = label_stream(df, store, featuresCol="v").collect()
    assert {row["prediction"] for row in before} == {None}
    df.write.format("shoal").mode("append").options(k=3, featuresCol="v").save(store)
    live = label_stream(stream(spark, tmp_path / "rows"), store, featuresCol="v").writeStream
    live = live.format("parquet").option("path", str(tmp_path / "out"))
    run(live.option("checkpointLocation", str(tmp_path / "c")))
    rows = pq.read_table(tmp_path / "out", partitioning=None).to_pandas().sort_values("id")
    held = ModelStore(store).load()
    assert rows["prediction"].tolist() == held.model.predict(X).tolist()
    assert rows["model_version"].unique().tolist() == [1]
    df.write.format("shoal").mode("append").options(k=3, featuresCol="v").save(store)
    after = label_stream(df, store, featuresCol="v").limit(5).collect()
    assert {row["model_version"] for row in after} == {2}


def test_a_bad_row_stops_the_stream_with_one_line(spark: Any, tmp_path: Path) -> None:
    (tmp_path / "rows").mkdir()
    table = pa.table({"id": [1, 2], "v": [[1.0, 2.0], [1.0, None]], "t": [0.0, 1.0]})
    pq.write_table(table, tmp_path / "rows/0.parquet")
    with pytest.raises(PySparkException, match="column 'v', position 1, row 2 of partition 0: value is NaN"):
        run(into(stream(spark, tmp_path / "rows"), tmp_path, "stopped"))
    assert ModelStore(tmp_path / "stopped").latest_number() is None
    run(into(stream(spark, tmp_path / "rows"), tmp_path, "skipping", handleInvalid="skip"))
    held = ModelStore(tmp_path / "skipping").load()
    assert (held.summary.count, held.model.provenance.rejects.total) == (1, 1)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"k": "many"}, "k is 'many'"),
        ({"featuresCol": "w"}, "no column named 'w'"),
        ({"halfLife": "6h"}, "halfLife needs event times"),
        ({"neighbours": "3"}, "no column named 'neighbours'|unknown option"),
    ],
)
def test_bad_options_are_told_at_the_start(spark: Any, tmp_path: Path, options: dict, says: str) -> None:
    write(tmp_path / "rows", 1)
    with pytest.raises(PySparkException, match=says):
        run(into(stream(spark, tmp_path / "rows"), tmp_path, "store", **options))


def settings(path: Path) -> LiveSettings:
    columns = RowColumns(("v",), id="id")
    return LiveSettings(str(path), columns, k=2, summary=SummarySettings(), query="q")


def batch(a: int, b: int) -> Summarised:
    return Summarised(Coreset().update(X[a:b], key=KEY, rows=np.arange(a, b)), Rejects())


def test_a_batch_that_comes_twice_is_counted_once(tmp_path: Path) -> None:
    live = settings(tmp_path)
    assert advance(live, "q", 0, batch(0, 100)).version == 1
    assert advance(live, "q", 1, batch(100, 300)).version == 2
    assert advance(live, "q", 1, batch(100, 300)).version is None
    assert advance(live, "other", 0, batch(300, 400)).version == 3
    assert advance(live, "q", 1, batch(100, 300)).version is None
    assert advance(live, "q", 2, None).version is None
    held = ModelStore(tmp_path).load()
    assert held.summary.count == 400
    assert held.note["queries"] == {"q": 1, "other": 0}


def test_a_new_checkpoint_under_an_old_name_is_not_taken_for_old_batches(tmp_path: Path) -> None:
    live = settings(tmp_path)
    for n in range(3):
        advance(live, "q", n, batch(n * 10, n * 10 + 10))
    with pytest.raises(
        ShoalError, match=r"holds batch 2 of query 'q', and now batch 0 of a new checkpoint comes; give"
    ):
        advance(live, "q", 0, batch(100, 200))


@pytest.mark.parametrize("number", [0, 1])
def test_the_checkpoint_tells_a_new_numbering(tmp_path: Path, number: int) -> None:
    live = settings(tmp_path)
    assert advance(live, "q", 0, batch(0, 10), checkpoint="a").version == 1
    assert advance(live, "q", 0, batch(0, 10), checkpoint="a").version is None
    with pytest.raises(ShoalError, match=f"now batch {number} of a new checkpoint comes"):
        advance(live, "q", number, batch(10, 20), checkpoint="b")
    assert advance(live, "q", 1, batch(10, 20), checkpoint="a").version == 2


def test_a_named_stream_with_a_new_checkpoint_is_stopped(spark: Any, tmp_path: Path) -> None:
    write(tmp_path / "rows", 1)
    rows = stream(spark, tmp_path / "rows")
    run(into(rows, tmp_path, "store", query="q"))
    again = into(rows, tmp_path, "store", query="q").option("checkpointLocation", str(tmp_path / "new"))
    with pytest.raises(PySparkException, match="batch 0 of a new checkpoint comes"):
        run(again)


def test_another_width_is_refused(tmp_path: Path) -> None:
    live = settings(tmp_path)
    advance(live, "q", 0, batch(0, 50))
    wide = Summarised(Coreset().update(np.ones((3, 5))), Rejects())
    with pytest.raises(BadInputError, match="some rows have 2 numbers, others 5"):
        advance(live, "q", 1, wide)


def test_other_columns_are_refused(tmp_path: Path) -> None:
    live = LiveSettings(str(tmp_path), RowColumns(("a", "b")), k=2, summary=SummarySettings())
    advance(live, "q", 0, batch(0, 50))
    with pytest.raises(BadInputError, match="holds models of a, b, not of b, a; name the same columns"):
        advance(replace(live, columns=RowColumns(("b", "a"))), "q", 1, batch(50, 60))


def test_a_batch_of_refused_rows_is_counted(tmp_path: Path) -> None:
    live = settings(tmp_path)
    advance(live, "q", 0, batch(0, 50))
    refused = Rejects()
    refused.add("value is NaN or infinite", 7, "row 1")
    assert advance(live, "q", 1, Summarised(Coreset(), refused)).version == 2
    assert ModelStore(tmp_path).load().model.provenance.rejects.total == 7
    assert advance(live, "q", 1, Summarised(Coreset(), refused)).version is None


def test_rows_without_weight_are_no_rows_yet(tmp_path: Path) -> None:
    nothing = Coreset().update(X[:3], np.zeros(3))
    assert advance(settings(tmp_path), "q", 0, Summarised(nothing, Rejects())).version is None


def test_a_store_that_is_made_anew_is_read_anew(tmp_path: Path) -> None:
    live = settings(tmp_path / "s")
    advance(live, "q", 0, batch(0, 50))
    first = newest(live.path)
    shutil.rmtree(live.path)
    advance(live, "q", 0, batch(100, 150))
    second = newest(live.path)
    assert first[0] == second[0] == 1
    assert first[1].version != second[1].version


def test_for_each_batch_goes_on_after_a_batch_of_nothing(spark: Any, tmp_path: Path) -> None:
    learn = batch_learner(str(tmp_path), query="q", k=2, featuresCol="v", weightCol="w", handleInvalid="skip")

    def rows(*given: tuple[list[float], float]) -> Any:
        return spark.createDataFrame(list(given), "v array<double>, w double")

    learn(rows(([0.0], 1.0), ([9.0], 1.0)), 0)
    learn(rows(([float("nan")], 1.0)), 1)
    learn(rows(([5.0], 0.0)), 2)
    learn(rows(([8.0], 1.0)).limit(0), 3)
    learn(rows(([8.0], 1.0)), 4)
    held = ModelStore(tmp_path).load()
    assert held.note["queries"] == {"q": 4}
    assert held.summary.weight == 3.0
    assert held.model.provenance.rejects.total == 1
