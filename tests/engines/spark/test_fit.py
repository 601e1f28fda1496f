"""``fit`` on Spark: the same summary and the same model as the embedded engine, and the same errors."""

from __future__ import annotations

import dataclasses
import pickle

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

pytest.importorskip("pyspark", reason="pyspark is not installed: pip install 'shoal[spark]'")

from shoal.engines import file_parts, local
from shoal.engines.spark import sessions
from shoal.engines.spark.files import fit, sweep
from shoal.engines.spark.frames import with_lists
from shoal.errors import BadInputError
from shoal.features.spec import RecipeSpec
from shoal.sources.locate import locate
from shoal.sources.options import ReadOptions

K = 4


@pytest.fixture
def small_tasks(monkeypatch):
    """Files of a few KiB are cut up as large ones are."""
    monkeypatch.setattr(file_parts, "LEAST_BYTES", 1)


def frame(rows=3000, seed=0):
    rng = np.random.default_rng(seed)
    centres = np.array([[0, 0], [20, 0], [0, 20], [20, 20]])
    X = centres[rng.integers(K, size=rows)] + rng.normal(size=(rows, 2))
    out = pd.DataFrame(X, columns=["a", "b"])
    out["kind"] = np.where(X[:, 0] > 10, "east", "west")
    out["w"] = rng.integers(1, 4, size=rows).astype(float)
    return out


def points_of(clustering):
    points = clustering.summary.points()
    rows = np.column_stack([points.X.astype(np.float64), points.weights])
    return rows[np.lexsort(rows.T)]


def same(found, due):
    """Bit for bit where the rows are the same; the model may differ by the order in which points stand."""
    np.testing.assert_array_equal(points_of(found), points_of(due))
    a, b = found.summary.totals, due.summary.totals
    assert (a.count, a.weight) == (b.count, b.weight)
    np.testing.assert_array_equal(a.mean(), b.mean())
    np.testing.assert_array_equal(a.scatter(), b.scatter())
    assert found.model.inertia == pytest.approx(due.model.inertia, rel=0.005)
    assert found.model.recipe == due.model.recipe
    ours, theirs = found.model.provenance, due.model.provenance
    for name in ("rows_seen", "rows_filtered", "rejects", "seed", "sources", "left_out"):
        assert getattr(ours, name) == getattr(theirs, name), name


def test_files_give_the_summary_of_the_embedded_engine(spark, tmp_path, small_tasks):
    data = frame()
    for i in range(5):
        data[600 * i : 600 * (i + 1)].to_csv(tmp_path / f"part-{i}.csv", index=False)
    options = {"columns": ("a", "b"), "one_hot": ("kind",), "where": "b < 15 or a > 5", "weight": "w"}
    found = fit([tmp_path / "*.csv"], K, spark=spark, **options)
    same(found, local.fit([tmp_path / "*.csv"], K, **options))
    assert found.model.provenance.rows_filtered > 0
    # It goes on as any other clustering does.
    assert len(found.assign(str(tmp_path / "part-0.csv")).ids) > 0


def test_row_groups_are_read_apart(spark, tmp_path, small_tasks):
    table = pa.Table.from_pandas(frame()[["a", "b"]], preserve_index=False)
    pq.write_table(table.slice(0, 2500), tmp_path / "x.parquet", row_group_size=200)
    pq.write_table(table.slice(2500), tmp_path / "y.parquet", row_group_size=100)
    (tmp_path / "z.csv").write_text("a,b\n1,2\n")
    cut = file_parts.tasks_of(locate([tmp_path]), ReadOptions(), tasks=8, least=1)
    assert sum(part.groups is not None for task in cut for part in task) >= 4
    same(fit(tmp_path, K, spark=spark), local.fit(tmp_path, K))


def test_parts_cover_every_row_once_in_order(tmp_path):
    table = pa.table({"a": np.arange(1000.0)})
    pq.write_table(table, tmp_path / "x.parquet", row_group_size=37)
    (tmp_path / "y.csv").write_text("a\n1000\n1001\n")
    for wanted in (1, 3, 50):
        seen = []
        for task in file_parts.tasks_of(locate([tmp_path]), ReadOptions(), tasks=wanted, least=1):
            located = [part.located() for part in task]
            for batch in file_parts.PartSource(located, ReadOptions(), table.schema).batches(["a"]):
                seen += batch.table.column("a").to_pylist()
                if batch.origin.endswith("x.parquet"):
                    assert batch.row_numbers.tolist() == batch.table.column("a").to_pylist()
        assert seen == list(range(1002))


def test_tasks_hold_about_equal_bytes(tmp_path):
    for i, rows in enumerate((4000, 50, 50, 50, 2000)):
        (tmp_path / f"{i}.csv").write_text("a\n" + "1\n" * rows)
    cut = file_parts.tasks_of(locate([tmp_path]), ReadOptions(), tasks=3, least=1)
    assert [[part.origin[-5:] for part in task] for task in cut] == [
        ["0.csv"],
        ["1.csv", "2.csv", "3.csv", "4.csv"],
    ]
    one = file_parts.tasks_of(locate([tmp_path]), ReadOptions(), tasks=3)
    assert len(one) == 1  # all of it is less than a task is worth


def test_bad_rows_are_named_by_file_row_and_column_or_counted(spark, tmp_path, small_tasks):
    data = frame(70_000)[["a", "b"]]
    data.to_parquet(tmp_path / "a.parquet")
    bad = data[:50].astype(object)
    bad.loc[7, "b"] = "x7"
    bad.to_csv(tmp_path / "b.csv", index=False)
    with pytest.raises(BadInputError, match=r"b\.csv, row 8, column 'b'") as told:
        fit(tmp_path, K, spark=spark)
    with pytest.raises(BadInputError) as due:
        local.fit(tmp_path, K)
    assert str(told.value) == str(due.value)
    skip = ReadOptions(on_error="skip")
    found, due = fit(tmp_path, K, spark=spark, read=skip), local.fit(tmp_path, K, read=skip)
    assert found.summary.count == 70_049
    assert found.model.provenance.rejects == due.model.provenance.rejects
    assert found.summary.totals.count == due.summary.totals.count
    np.testing.assert_array_equal(found.summary.totals.mean(), due.summary.totals.mean())


def test_a_file_that_workers_do_not_see(tmp_path):
    (tmp_path / "a.csv").write_text("a,b\n1,2\n")
    part = file_parts.FilePart.whole(locate([tmp_path / "a.csv"])[0])
    (tmp_path / "a.csv").write_text("a,b\n1,2\n3,4\n")
    with pytest.raises(BadInputError, match=r"a\.csv: a worker sees 12 bytes where there were 8; "):
        part.located()
    (tmp_path / "a.csv").unlink()
    with pytest.raises(BadInputError, match=r"a\.csv: a worker does not find the file; all"):
        part.located()
    with pytest.raises(BadInputError, match=r"no such file"):
        fit(str(tmp_path / "a.csv"), K)


def test_what_fit_refuses_before_spark_is_asked(tmp_path):
    with pytest.raises(BadInputError, match="k is 0"):
        fit("x.csv", 0)
    with pytest.raises(BadInputError, match="cannot read rows from ndarray"):
        fit(np.zeros((3, 2)), 2)
    with pytest.raises(BadInputError, match="table:t: a table cannot be mixed with others"):
        fit(["table:t", "x.csv"], 2)
    with pytest.raises(BadInputError, match="no k to try"):
        sweep("x.csv", [])


def test_a_data_frame_with_text_vectors_condition_and_weights(spark):
    from pyspark.ml.functions import array_to_vector

    data = frame()
    df = spark.createDataFrame(data).repartition(3)
    options = {"one_hot": ("kind",), "where": "b < 15", "weight": "w", "scale": "none"}
    due = local.fit(data, K, columns=("a", "b"), **options)
    vectors = df.select(array_to_vector(_array("a", "b")).alias("v"), "b", "kind", "w")
    found = fit(vectors, K, columns=("v",), **options)
    assert found.model.feature_names == ("v[0]", "v[1]", "kind=east", "kind=west", "kind=other")
    assert found.model.provenance.rows_filtered == due.model.provenance.rows_filtered
    np.testing.assert_array_equal(points_of(found), points_of(due))
    np.testing.assert_array_equal(found.summary.totals.mean(), due.summary.totals.mean())
    assert found.model.inertia == pytest.approx(due.model.inertia, rel=0.005)
    assert found.model.provenance.sources == ("the DataFrame",)


def test_sweep_and_tables_of_the_catalogue(spark):
    df = spark.createDataFrame(frame()[["a", "b", "kind"]])
    df.createOrReplaceTempView("blobs")
    choice, best = sweep("table:blobs", [2, 4, 6], spark=spark, scale="none")
    assert choice.suggested == best.model.k == K
    assert best.model.provenance.sources == ("table:blobs",)
    assert best.model.provenance.left_out == ("kind (text)",)
    with pytest.raises(BadInputError, match="table:bl0bs: cannot be used"):
        fit("table:bl0bs", K, spark=spark)
    with pytest.raises(BadInputError, match="no column named 'c'"):
        fit(df, K, columns=("a", "c"))
    with pytest.raises(BadInputError, match="no row meets the condition 'a > 1000'"):
        fit(df, K, columns=("a",), where="a > 1000")


def test_a_bad_row_of_a_data_frame_is_named(spark):
    df = spark.createDataFrame([(1.0, 2.0), (3.0, float("nan")), (5.0, 6.0)], "a double, b double").coalesce(
        1
    )
    with pytest.raises(BadInputError, match="partition 0 of the DataFrame, row 2, column 'b': missing value"):
        fit(df, 2)
    found = fit(df, 2, recipe=RecipeSpec(nulls="skip"))
    assert found.model.provenance.rejects.total == 1
    again = fit(df, 2, recipe=dataclasses.replace(found.recipe))  # a recipe that was learned before
    np.testing.assert_array_equal(points_of(again), points_of(found))


def test_spark_vectors_become_lists():
    kind = pa.struct(
        [
            ("type", pa.int8()),
            ("size", pa.int32()),
            ("indices", pa.list_(pa.int32())),
            ("values", pa.list_(pa.float64())),
        ]
    )
    dense = {"type": 1, "size": None, "indices": None, "values": [1.0, 2.0]}
    sparse = {"type": 0, "size": 2, "indices": [1], "values": [5.0]}
    batch = pa.record_batch({"v": pa.array([dense, None, sparse, dense], kind), "x": pa.array([1, 2, 3, 4])})
    for part, due in (
        (batch, [[1.0, 2.0], None, [0.0, 5.0], [1.0, 2.0]]),
        (batch.slice(2), [[0.0, 5.0], [1.0, 2.0]]),
        (batch.slice(3), [[1.0, 2.0]]),
        (batch.slice(0, 2), [[1.0, 2.0], None]),
    ):
        out = with_lists(part)
        assert out.column("v").to_pylist() == due
        assert out.column("x").to_pylist() == part.column("x").to_pylist()


def _array(*names):
    from pyspark.sql.functions import array

    return array(*names)


def test_parts_of_an_object_store_travel_with_their_address(monkeypatch):
    boto3 = pytest.importorskip("boto3")
    server = pytest.importorskip("moto.server").ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    try:
        address = "{}:{}".format(*server.get_host_and_port())
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "testing")
        client = boto3.client("s3", endpoint_url=f"http://{address}", region_name="us-east-1")
        client.create_bucket(Bucket="rows")
        sink = pa.BufferOutputStream()
        pq.write_table(pa.table({"a": np.arange(100.0)}), sink, row_group_size=10)
        client.put_object(Bucket="rows", Key="x.parquet", Body=sink.getvalue().to_pybytes())
        found = locate([f"s3://rows/x.parquet?endpoint_override={address}&scheme=http"])
        cut = pickle.loads(pickle.dumps(file_parts.tasks_of(found, ReadOptions(), tasks=4, least=1)))
        assert len(cut) >= 3
        seen = []
        for task in cut:
            source = file_parts.PartSource(
                [p.located() for p in task], ReadOptions(), pa.schema([("a", "double")])
            )
            for batch in source.batches(["a"]):
                assert batch.row_numbers.tolist() == batch.table.column("a").to_pylist()
                seen += batch.row_numbers.tolist()
        assert seen == list(range(100))
    finally:
        server.stop()


def test_slots_are_what_the_settings_say():
    def slots(**settings):
        return sessions.slots_of({n.replace("_", "."): v for n, v in settings.items()}.get)

    assert slots(spark_master="local[3]") == slots(spark_master="local[3,2]") == 3
    assert slots(spark_master="local") == 1
    assert slots(spark_default_parallelism="12", spark_master="local[3]") == 12
    assert slots(spark_executor_instances="4", spark_executor_cores="8", spark_master="yarn") == 32
    assert slots(spark_master="spark://h:7077") is None


def test_the_active_session_is_taken(spark):
    assert sessions.session() is spark
    assert sessions.slots(spark) == 2
    with pytest.raises(BadInputError, match="a master and a remote are given"):
        sessions.session("local[1]", "sc://x")
