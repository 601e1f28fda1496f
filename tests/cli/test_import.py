"""Imports: centres found elsewhere label rows as they did there, and what they do not say is not made up."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import typer
from typer.testing import CliRunner

import shoal
from shoal.cli.import_model import run
from shoal.engines.export_csv import write_centres
from shoal.engines.export_mllib import read_mllib_folder, write_mllib_folder
from shoal.engines.local import Clustering
from shoal.errors import BadInputError, DamagedFileError, ShoalError
from shoal.model.names import read_names
from shoal.model.persistence import load_summary, save_model
from shoal.sagemaker.artefact import write_artefact
from shoal.sagemaker.ndarray_file import ndarray_bytes

DIGITS = Path(__file__).parents[3] / "shared/data/mnist/t10k-images-idx3-ubyte.gz"
CENTRES = np.array([[0.0, 0.0], [10.0, 10.0], [3.0, 4.0]])
APP = typer.Typer(pretty_exceptions_enable=False)
APP.command()(run)


def bring(*arguments, ok=True):
    done = CliRunner().invoke(APP, [str(a) for a in arguments])
    if ok:
        assert done.exit_code == 0, (done.output, done.exception)
    return done


@pytest.fixture
def rows():
    return np.random.default_rng(0).uniform(-2, 12, (500, 2)).astype(np.float32)


def nearest(rows, centres=CENTRES):
    return ((rows[:, None].astype(float) - centres) ** 2).sum(axis=2).argmin(axis=1)


@pytest.fixture
def elsewhere(tmp_path):
    (tmp_path / "model_algo-1").write_bytes(ndarray_bytes([CENTRES.astype(np.float32)]))
    return tmp_path / "model_algo-1"


def test_an_artefact_made_elsewhere_labels_and_says_what_is_unknown(tmp_path, elsewhere, rows):
    said = bring(elsewhere, "--out", tmp_path / "m", "--columns", "a,b")
    assert "sizes and spread are unknown" in said.output
    found = shoal.load(tmp_path / "m")
    known = found.assign(pd.DataFrame(rows, columns=["a", "b"]))
    np.testing.assert_array_equal(known.ids, nearest(rows))
    assert known.outlier_scores.max() == 0.0
    assert found.model.provenance.rows_seen == 0
    assert np.unique(found.model.weights).size == 1
    assert found.doubts() == []


def test_without_columns_rows_are_vectors_as_in_recordio(tmp_path, elsewhere):
    bring(elsewhere, "--out", tmp_path / "m")
    found = shoal.load(tmp_path / "m")
    assert found.recipe.columns_needed == ("values",)
    assert found.assign(pd.DataFrame({"values": [[9.0, 9.0], [3.0, 3.0]]})).ids.tolist() == [1, 2]


def test_an_imported_model_of_unknown_sizes_learns_from_new_rows_alone(tmp_path, elsewhere, rows):
    bring(elsewhere, "--out", tmp_path / "m", "--columns", "a,b")
    later = shoal.load(tmp_path / "m").update(pd.DataFrame(rows, columns=["a", "b"]))
    assert later.model.provenance.rows_seen == len(rows)
    assert later.model.weights.sum() == pytest.approx(len(rows))
    assert later.model.scatter.min() > 0


def test_ids_of_an_imported_model_live_on_when_it_learns(tmp_path):
    (tmp_path / "c.csv").write_text("cluster,a,b\n7,0,0\n3,10,10\n5,-9,4\n")
    bring(tmp_path / "c.csv", "--out", tmp_path / "m")
    known = shoal.load(tmp_path / "m")
    rng = np.random.default_rng(0)
    rows = known.model.centres[rng.integers(3, size=400)] + rng.normal(size=(400, 2))
    frame = pd.DataFrame(rows, columns=["a", "b"])
    np.testing.assert_array_equal(known.update(frame).assign(frame).ids, known.assign(frame).ids)


def test_known_sizes_weigh_when_it_goes_on_learning(tmp_path):
    table = pd.DataFrame(CENTRES, columns=["a", "b"]).assign(cluster=[5, 2, 9], rows=[1000, 2000, 3000])
    table.to_csv(tmp_path / "c.csv", index=False)
    bring(tmp_path / "c.csv", "--out", tmp_path / "m")
    found = shoal.load(tmp_path / "m")
    assert found.model.provenance.rows_seen == 6000
    later = found.update(pd.DataFrame(CENTRES + 0.1, columns=["a", "b"]))
    np.testing.assert_allclose(np.sort(later.model.weights), [1001, 2001, 3001])
    assert set(later.model.ids) == {5, 2, 9}


def test_an_artefact_of_ours_comes_back_whole(tmp_path, rows):
    frame = pd.DataFrame(rows, columns=["a", "b"])
    made = shoal.fit(frame, 3)
    write_artefact(tmp_path / "model.tar.gz", made.model, made.summary)
    said = bring(tmp_path / "model.tar.gz", "--out", tmp_path / "m")
    assert "unknown" not in said.output
    found = shoal.load(tmp_path / "m")
    assert found.model.recipe == made.model.recipe
    assert found.summary.to_bytes() == made.summary.to_bytes()
    np.testing.assert_array_equal(found.assign(frame).outlier_scores, made.assign(frame).outlier_scores)
    named = bring(tmp_path / "model.tar.gz", "--out", tmp_path / "n", "--columns", "a,b", ok=False)
    assert "leave out --columns" in str(named.exception)


def test_mllib_round_trip_keeps_labels_ids_and_the_column(tmp_path, rows):
    made = shoal.fit(rows, 3)
    model = made.model.replace(ids=np.array([7, 0, 4]))
    write_mllib_folder(model, tmp_path / "spark", features_col="v")
    bring(tmp_path / "spark", "--out", tmp_path / "m")
    found = shoal.load(tmp_path / "m")
    np.testing.assert_array_equal(found.assign(pd.DataFrame({"v": list(rows)})).ids, model.predict(rows))


def test_mllib_of_shifted_columns_is_in_units_of_the_data(tmp_path):
    rng = np.random.default_rng(2)
    times = pd.DataFrame({"t": 1.7e9 + 5000.0 * rng.integers(3, size=300) + rng.normal(size=300)})
    made = shoal.fit(times, 3)
    write_mllib_folder(made.model, tmp_path / "spark")
    centres = read_mllib_folder(tmp_path / "spark")[0].centres
    np.testing.assert_allclose(np.sort(centres.ravel()), 1.7e9 + np.array([0, 5000, 10000]), atol=1)
    bring(tmp_path / "spark", "--out", tmp_path / "m", "--columns", "t")
    found = shoal.load(tmp_path / "m").assign(times)
    np.testing.assert_array_equal(found.ids, made.assign(times).ids)
    assert 0 < found.distances.max() < 10  # float32 alone would be 64 off


def test_csv_round_trip_keeps_labels_ids_and_names(tmp_path, rows):
    frame = pd.DataFrame(rows, columns=["share", "b"])
    made = shoal.fit(frame, 3, scale="none")
    model = made.model.replace(ids=np.array([2, 0, 8]))
    write_centres(model, tmp_path / "c.csv", names={8: "far", 0: "near"})
    bring(tmp_path / "c.csv", "--out", tmp_path / "m")
    found = shoal.load(tmp_path / "m")
    known = Clustering(model, made.summary).assign(frame)
    np.testing.assert_array_equal(found.assign(frame).ids, known.ids)
    np.testing.assert_array_equal(found.model.weights, model.weights)
    assert read_names(tmp_path / "m") == {0: "near", 8: "far"}


def test_like_gives_a_table_changed_by_hand_its_scaling_and_categories(tmp_path):
    rng = np.random.default_rng(4)
    frame = pd.DataFrame({"a": rng.normal(size=600), "b": 1000 * rng.normal(size=600)})
    frame["kind"] = rng.choice(["x", "y"], 600)
    made = shoal.fit(frame, 4, columns=("a", "b"), one_hot=("kind",)).save(tmp_path / "first")
    write_centres(made.model, tmp_path / "c.csv")
    bring(tmp_path / "c.csv", "--like", tmp_path / "first", "--out", tmp_path / "same")
    np.testing.assert_array_equal(shoal.load(tmp_path / "same").assign(frame).ids, made.assign(frame).ids)
    table = pd.read_csv(tmp_path / "c.csv")
    table.loc[0, "b"] += 5000
    table.to_csv(tmp_path / "c.csv", index=False)
    bring(tmp_path / "c.csv", "--like", tmp_path / "first", "--out", tmp_path / "moved")
    moved = shoal.load(tmp_path / "moved")
    centre = moved.recipe.to_original(moved.model.centres)[0]
    assert centre[1] == pytest.approx(table.loc[0, "b"])


def test_names_of_a_model_that_is_replaced_do_not_linger(tmp_path):
    for name, more in (("one", []), ("", ["--overwrite"])):
        (tmp_path / "c.csv").write_text(f"cluster,name,a\n0,{name},1\n1,two,5\n")
        bring(tmp_path / "c.csv", "--out", tmp_path / "m", *more)
    assert read_names(tmp_path / "m") == {1: "two"}


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "holds no centres"),
        ("a,b\n", "holds no centres"),
        ("1,2\n3,4\n", "header"),
        ("a,a\n1,2\n", "two columns are named 'a'"),
        ("a,b\n1\n", "line 2: has 1 cells where 2 are due"),
        ("a,b\n1,x\n", "line 2, column 'b': 'x' is not a number"),
        ("a,b\n1,nan\n", "line 2, column 'b'"),
        ("cluster,a\n0,1\n0,2\n", "not all different"),
        ("cluster,a\n-1,1\n", "'-1' is no id"),
        ("cluster,rows,a\n0,-4,1\n", "not numbers of rows"),
        ("cluster,name\n0,x\n", "no columns of centres"),
    ],
)
def test_bad_tables_are_told_with_their_place(tmp_path, text, match):
    (tmp_path / "c.csv").write_text(text)
    done = bring(tmp_path / "c.csv", "--out", tmp_path / "m", ok=False)
    assert isinstance(done.exception, BadInputError)
    assert match in str(done.exception)
    assert str(tmp_path / "c.csv") in str(done.exception)
    assert not (tmp_path / "m").exists()


def test_unknown_columns_and_a_wrong_number_of_them_are_told(tmp_path, elsewhere):
    done = bring(elsewhere, "--out", tmp_path / "m", "--columns", "a,b,c", ok=False)
    assert "3 columns are named, the centres have 2" in str(done.exception)
    (tmp_path / "c.csv").write_text("width,height\n1,2\n")
    done = bring(tmp_path / "c.csv", "--out", tmp_path / "m", "--columns", "widht", ok=False)
    assert "did you mean width" in str(done.exception)


def test_what_cannot_be_read_is_refused_with_a_remedy(tmp_path, elsewhere):
    (tmp_path / "m.onnx").write_bytes(b"x")
    assert "as csv" in str(bring(tmp_path / "m.onnx", "--out", tmp_path / "n", ok=False).exception)
    gone = bring(tmp_path / "gone", "--out", tmp_path / "n", ok=False)
    assert isinstance(gone.exception, BadInputError)
    bring(elsewhere, "--out", tmp_path / "m")
    again = bring(elsewhere, "--out", tmp_path / "m", ok=False)
    assert "holds a model already" in str(again.exception)
    itself = bring(tmp_path / "m", "--out", tmp_path / "n", ok=False)
    assert "already" in str(itself.exception)


def test_damaged_folders_of_mllib_are_noticed(tmp_path, rows):
    write_mllib_folder(shoal.fit(rows, 3).model, tmp_path / "whole")
    with pytest.raises(ShoalError, match="no metadata"):
        read_mllib_folder(tmp_path)
    part = tmp_path / "whole" / "data" / "part-00000.parquet"
    pq.write_table(pq.read_table(part).slice(1), part)
    with pytest.raises(DamagedFileError, match="missing"):
        read_mllib_folder(tmp_path / "whole")
    part.write_bytes(b"PAR1")
    with pytest.raises(DamagedFileError, match="cannot be read"):
        read_mllib_folder(tmp_path / "whole")
    told = tmp_path / "whole" / "metadata" / "part-00000"
    told.write_text(told.read_text().replace("KMeansModel", "LDAModel"))
    with pytest.raises(ShoalError, match="LDAModel"):
        read_mllib_folder(tmp_path / "whole")


def test_a_model_without_its_summary_gets_one_of_its_centres(tmp_path, rows):
    made = shoal.fit(rows, 3)
    write_artefact(tmp_path / "folder", made.model)
    bring(tmp_path / "folder", "--out", tmp_path / "m")
    assert load_summary(tmp_path / "m").weight == pytest.approx(len(rows))
    save_model(made.model, tmp_path / "bare")
    with pytest.raises(ShoalError, match="without its summary"):
        shoal.load(tmp_path / "bare")


def test_json_tells_the_model(tmp_path, elsewhere):
    told = json.loads(bring(elsewhere, "--out", tmp_path / "m", "--json").stdout)
    assert (told["from"], told["k"], told["rows_seen"]) == ("sagemaker", 3, 0)


@pytest.mark.skipif(not DIGITS.exists(), reason="../shared/data is not here")
def test_real_digits_go_through_every_format_with_equal_labels(tmp_path):
    import gzip

    pixels = np.frombuffer(gzip.decompress(DIGITS.read_bytes())[16:], np.uint8)
    X = pixels.reshape(-1, 784)[:2000].astype(np.float32)
    made = shoal.fit(X, 10)
    want = made.assign(X).ids
    write_artefact(tmp_path / "theirs.tar.gz", made.model)
    (tmp_path / "model_algo-1").write_bytes(ndarray_bytes([made.model.centres.astype(np.float32)]))
    write_mllib_folder(made.model, tmp_path / "spark", features_col="vector")
    write_centres(made.model, tmp_path / "c.csv")
    for name in ("theirs.tar.gz", "spark", "c.csv", "model_algo-1"):
        more = ["--columns", "vector"] if name == "model_algo-1" else []
        bring(tmp_path / name, "--out", tmp_path / "m", "--overwrite", *more)
        assert (shoal.load(tmp_path / "m").assign(X).ids != want).mean() < 0.001


SPARK = """
import sys
from pyspark.sql import SparkSession
from pyspark.ml.clustering import KMeans, KMeansModel
from pyspark.ml.linalg import Vectors
spark = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false").getOrCreate()
rows = [[float(x) for x in line.split(",")] for line in open("rows.csv")]
df = spark.createDataFrame([(Vectors.dense(r),) for r in rows], ["features"])
model = KMeansModel.load("ours")
print("predicted", *[model.predict(Vectors.dense(r)) for r in rows])
fitted = KMeans(k=3, seed=1).fit(df)
fitted.save("theirs")
print("centre", *[x for c in fitted.clusterCenters() for x in c])
"""


@pytest.mark.slow
def test_spark_reads_what_we_write_and_we_read_what_it_writes(tmp_path, rows):
    pytest.importorskip("pyspark")
    if shutil.which("java") is None and "JAVA_HOME" not in os.environ:
        pytest.skip("no Java")
    few = rows[:50]
    few[:3, 1] = 0.0  # Spark may store such vectors sparsely
    np.savetxt(tmp_path / "rows.csv", few, delimiter=",", fmt="%.9g")
    made = shoal.fit(few, 3)
    write_mllib_folder(made.model, tmp_path / "ours")
    env = os.environ | {"SPARK_LOCAL_IP": "127.0.0.1", "PYSPARK_PYTHON": sys.executable}
    done = subprocess.run(
        [sys.executable, "-c", SPARK], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=240
    )
    told = dict(line.split(" ", 1) for line in done.stdout.splitlines() if " " in line)
    assert done.returncode == 0, done.stderr[-2000:]
    assert [int(p) for p in told["predicted"].split()] == made.assign(few).ids.tolist()
    centres = np.array(told["centre"].split(), float).reshape(3, 2)
    np.testing.assert_array_equal(read_mllib_folder(tmp_path / "theirs")[0].centres, centres)
    bring(tmp_path / "theirs", "--out", tmp_path / "m")
    ids = shoal.load(tmp_path / "m").assign(pd.DataFrame({"features": list(few)})).ids
    np.testing.assert_array_equal(ids, nearest(few, centres))


def test_help_shows_an_example_of_each_format():
    shown = bring("--help").output
    for example in ("shoal import model.tar.gz", "shoal import centres.csv", "--from mllib", "--like houses"):
        assert example in shown
