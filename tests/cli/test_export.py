"""Exports: other readers label rows as the model does, and what a format cannot say is told."""

from __future__ import annotations

import csv
import json
import sys
import tarfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

import shoal
from shoal.cli.export import run
from shoal.engines.export_csv import read_centres, write_centres
from shoal.engines.export_mllib import read_mllib_folder, write_mllib_folder
from shoal.engines.export_onnx import write_onnx
from shoal.engines.local import Clustering
from shoal.errors import BadInputError, ShoalError
from shoal.features.recipe import Recipe
from shoal.model.names import give_name
from shoal.sagemaker.artefact import read_artefact

HOUSES = Path(__file__).parents[3] / "shared/data/california_housing/housing.csv"
GDELT = Path(__file__).parents[3] / "shared/data/gdelt"
needs_onnx = pytest.mark.skipif(
    find_spec("onnx") is None or find_spec("onnxruntime") is None, reason="pip install onnx onnxruntime"
)
APP = typer.Typer(pretty_exceptions_enable=False)
APP.command()(run)


def export(*arguments, ok=True):
    done = CliRunner().invoke(APP, [str(a) for a in arguments])
    if ok:
        assert done.exit_code == 0, (done.output, done.exception)
    return done


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(3)
    n = 3000
    kind = rng.choice(["red", "grün", "blue", "rare"], n, p=[0.4, 0.3, 0.25, 0.05])
    place = rng.integers(3, size=n)
    return pd.DataFrame(
        {
            "a": rng.normal(size=n) + 9 * place,
            "time": 1.7e9 + 1000 * rng.normal(size=n) + 5000 * place,
            "kind": kind,
            "cluster": rng.normal(size=n) ** 2,
        }
    )


def answers(path, table):
    """What the graph says of the rows of a frame."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    feed = {}
    for put in session.get_inputs():
        column = table[put.name]
        if put.type == "tensor(string)":
            feed[put.name] = column.to_numpy(object)[:, None]
        else:
            dtype = np.float64 if put.type == "tensor(double)" else np.float32
            values = np.stack(column.to_numpy()) if column.dtype == object else column.to_numpy()[:, None]
            feed[put.name] = values.astype(dtype)
    return session.run(None, feed)


RECIPES = {
    "scaled": {"columns": ("a", "time", "cluster")},
    "minmax": {"columns": ("a", "time"), "scale": "minmax"},
    "other is a column": {"columns": ("a",), "one_hot": ("kind",), "top": 2},
    "categories between numbers": {"columns": ("a", "kind", "time"), "one_hot": ("kind",)},
    "cosine": {"columns": ("a", "cluster"), "metric": "cosine", "scale": "standard"},
    "one column as it is": {"columns": ("a",)},
}


@needs_onnx
@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_onnx_labels_as_assign_does(tmp_path, frame, recipe):
    made = shoal.fit(frame, 5, **recipe)
    model = made.model.replace(ids=np.array([4, 9, 0, 7, 1]))
    told = write_onnx(model, tmp_path / "m.onnx")
    ids, distance, distances = answers(tmp_path / "m.onnx", frame)
    known = Clustering(model, made.summary).assign(frame)
    np.testing.assert_array_equal(ids, known.ids)
    np.testing.assert_allclose(distance, known.distances, rtol=1e-5, atol=2e-6)
    assert told.ids == (4, 9, 0, 7, 1)
    assert distances.shape == (len(frame), 5)
    np.testing.assert_allclose(np.sort(distances)[:, 1], known.second_distances, rtol=1e-5, atol=2e-6)
    np.testing.assert_array_equal(np.array(told.ids)[distances.argmin(axis=1)], ids)


@needs_onnx
def test_onnx_in_single_precision_labels_nearly_all_rows_alike(tmp_path, frame):
    made = shoal.fit(frame, 4, columns=("a", "cluster"), one_hot=("kind",))
    write_onnx(made.model, tmp_path / "m.onnx", precision="float32")
    ids, distance, _ = answers(tmp_path / "m.onnx", frame)
    known = made.assign(frame)
    assert (ids != known.ids).mean() < 0.001
    np.testing.assert_allclose(distance, known.distances, rtol=1e-3, atol=1e-4)


@needs_onnx
def test_onnx_gives_no_label_where_shoal_gives_none(tmp_path, frame):
    made = shoal.fit(frame, 3, columns=("a",), one_hot=("kind",), top=3, other="drop", nulls="skip")
    write_onnx(made.model, tmp_path / "m.onnx")
    few = frame.head(50).copy()
    few["kind"] = "red"
    few.loc[1, "a"], few.loc[2, "a"], few.loc[3, "a"] = np.nan, np.inf, 1e300
    few.loc[4, "kind"], few.loc[5, "kind"] = "rare", ""
    ids, distance, distances = answers(tmp_path / "m.onnx", few)
    np.testing.assert_array_equal(np.flatnonzero(ids == -1), [1, 2, 3, 4, 5])
    np.testing.assert_array_equal(np.isnan(distance), ids == -1)
    np.testing.assert_array_equal(np.isnan(distances).all(axis=1), ids == -1)


@needs_onnx
@pytest.mark.parametrize("nulls", ["mean", "zero"])
def test_onnx_fills_gaps_as_the_recipe_does(tmp_path, frame, nulls):
    gaps = frame[["a", "time"]].copy()
    gaps.loc[::7, "a"] = np.nan
    made = shoal.fit(gaps, 3, nulls=nulls)
    write_onnx(made.model, tmp_path / "m.onnx")
    np.testing.assert_array_equal(answers(tmp_path / "m.onnx", gaps)[0], made.assign(gaps).ids)


@needs_onnx
def test_onnx_of_zero_vectors_under_cosine_and_of_vector_columns(tmp_path):
    rng = np.random.default_rng(0)
    X = np.abs(rng.normal(size=(400, 6))).astype(np.float32)
    made = shoal.fit(X, 3, metric="cosine")
    write_onnx(made.model, tmp_path / "m.onnx")
    table = pd.DataFrame({"vector": list(np.vstack([X, np.zeros(6)]))})
    ids = answers(tmp_path / "m.onnx", table)[0]
    np.testing.assert_array_equal(ids[:-1], made.assign(X).ids)
    assert ids[-1] == -1
    bare = made.model.replace(recipe=None)
    write_onnx(bare, tmp_path / "bare.onnx")
    table = table.rename(columns={"vector": "features"})[:-1]
    np.testing.assert_array_equal(answers(tmp_path / "bare.onnx", table)[0], bare.predict(X))


@needs_onnx
def test_equal_models_give_equal_graphs(tmp_path, frame):
    model = shoal.fit(frame, 3, columns=("a",), one_hot=("kind",)).model
    for name in ("a", "b"):
        write_onnx(model, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@needs_onnx
@pytest.mark.skipif(not HOUSES.exists(), reason="../shared/data is not here")
def test_onnx_of_real_houses(tmp_path):
    houses = pd.read_csv(HOUSES)
    made = shoal.fit(str(HOUSES), 8, one_hot=("ocean_proximity",), nulls="mean")
    write_onnx(made.model, tmp_path / "m.onnx")
    np.testing.assert_array_equal(answers(tmp_path / "m.onnx", houses)[0], made.assign(str(HOUSES)).ids)


def test_without_onnx_the_error_names_the_extra(tmp_path, frame, monkeypatch):
    model = shoal.fit(frame, 2, columns=("a",)).model
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ShoalError, match=r"shoal\[onnx\]"):
        write_onnx(model, tmp_path / "m.onnx")


def test_csv_has_original_units_names_and_shares(tmp_path, frame):
    made = shoal.fit(frame, 3, columns=("a", "time", "cluster"))
    file = write_centres(made.model, tmp_path / "out", names={1: 'night, "owls"'})
    assert file == tmp_path / "out" / "clusters.csv"
    with file.open(newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    assert list(rows[0])[6:] == ["a", "time", "cluster_in"]
    assert rows[1]["name"] == 'night, "owls"'
    assert sum(float(r["share"]) for r in rows) == pytest.approx(1, abs=1e-5)
    assert sum(float(r["rows"]) for r in rows) == pytest.approx(len(frame))
    ids = made.assign(frame).ids
    for row in rows:
        mine = frame[ids == int(row["cluster"])]
        assert float(row["time"]) == pytest.approx(mine["time"].mean(), rel=1e-6)
        assert float(row["rows"]) == len(mine)
        assert float(row["radius_50"]) <= float(row["radius_95"])


def test_csv_read_again_is_exact(tmp_path, frame):
    model = shoal.fit(frame, 4, columns=("a", "time", "cluster"), scale="none").model
    model = model.replace(ids=np.array([3, 8, 0, 1]))
    found = read_centres(write_centres(model, tmp_path / "c.csv", names={8: "late"}))
    original = Recipe.from_dict(dict(model.recipe)).to_original(model.centres)
    np.testing.assert_array_equal(found.model.centres, original)
    np.testing.assert_array_equal(found.model.ids, model.ids)
    np.testing.assert_array_equal(found.model.weights, model.weights)
    assert found.model.feature_names == model.feature_names
    assert found.names == {8: "late"}


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_mllib_folder_read_again_is_exact(tmp_path, metric):
    X = np.abs(np.random.default_rng(1).normal(size=(300, 3))) + 1
    model = shoal.fit(X, 4, metric=metric).model.replace(ids=np.array([3, 1, 0, 2]))
    ids = write_mllib_folder(model, tmp_path / "m")
    assert ids.tolist() == [0, 1, 2, 3]
    (centres, told_metric, k), told = read_mllib_folder(tmp_path / "m")
    np.testing.assert_array_equal(centres, model.centres[np.argsort(model.ids)])
    assert (told_metric, k, told["ids"]) == (metric, 4, [0, 1, 2, 3])


def test_a_recipe_that_mllib_cannot_do_is_refused(tmp_path, frame):
    made = shoal.fit(frame, 2, columns=("a", "time"))
    with pytest.raises(ShoalError, match="onnx"):
        write_mllib_folder(made.model, tmp_path / "m")
    assert not (tmp_path / "m").exists()


@pytest.fixture
def saved(tmp_path, frame):
    shoal.fit(frame, 3, columns=("a", "time"), where="a > -2").save(tmp_path / "m")
    give_name(tmp_path / "m", 0, "the many")
    return tmp_path / "m"


@needs_onnx
def test_command_writes_each_format_and_tells_what_is_lost(tmp_path, saved):
    graph = export(saved, "--to", "onnx", "--out", tmp_path / "new" / "m.onnx")
    assert "inputs: a, time" in graph.output
    assert "careful: Rows are not filtered: leave out those that are not a > -2" in graph.output
    table = export(saved, "--to", "csv", "--out", tmp_path / "c.csv")
    assert "between scaled columns" in table.output
    assert "the many" in (tmp_path / "c.csv").read_text()
    export(saved, "--to", "sagemaker", "--out", tmp_path / "model.tar.gz")
    with tarfile.open(tmp_path / "model.tar.gz") as archive:
        assert "model_algo-1" in archive.getnames()
    found = read_artefact(tmp_path / "model.tar.gz")
    assert found.summary is not None
    np.testing.assert_array_equal(found.model.centres, shoal.load(saved).model.centres)


@needs_onnx
def test_json_tells_ids_inputs_and_differences(tmp_path, saved):
    told = json.loads(export(saved, "--to", "onnx", "-o", tmp_path / "m.onnx", "--json").stdout)
    assert told["ids"] == [0, 1, 2]
    assert told["inputs"] == ["a", "time"]
    assert any("a > -2" in d for d in told["differences"])


@needs_onnx
@pytest.mark.parametrize("to", ["onnx", "csv", "sagemaker", "mllib"])
def test_nothing_is_replaced_unasked(tmp_path, frame, to):
    shoal.fit(frame, 2, columns=("a",)).save(tmp_path / "m")
    target = tmp_path / {"csv": "x.csv", "sagemaker": "x.tgz"}.get(to, "x")
    export(tmp_path / "m", "--to", to, "--out", target)
    again = export(tmp_path / "m", "--to", to, "--out", target, ok=False)
    assert isinstance(again.exception, BadInputError)
    assert str(target) in str(again.exception)
    assert "--overwrite" in str(again.exception)
    export(tmp_path / "m", "--to", to, "--out", target, "--overwrite")


@pytest.mark.parametrize("to", ["mllib", "sagemaker"])
def test_what_is_there_stays_until_the_new_one_is_whole(tmp_path, frame, to, monkeypatch):
    for name, k in (("m", 2), ("n", 3)):
        shoal.fit(frame, k, columns=("a",), scale="none").save(tmp_path / name)
    target = tmp_path / "x"

    def k_of_target() -> int:
        found = read_mllib_folder(target)[0] if to == "mllib" else read_artefact(target).model
        return len(found.centres)

    export(tmp_path / "m", "--to", to, "--out", target)

    def fails(*given, **more):
        raise OSError("disk full")

    with monkeypatch.context() as broken:
        broken.setattr("pyarrow.parquet.write_table", fails)
        broken.setattr("shoal.sagemaker.artefact.replace_durably", fails)
        done = export(tmp_path / "n", "--to", to, "--out", target, "--overwrite", ok=False)
    assert done.exception is not None
    assert k_of_target() == 2
    export(tmp_path / "n", "--to", to, "--out", target, "--overwrite")
    assert k_of_target() == 3
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m", "n", "x"]


def test_overwrite_spares_folders_of_another_kind(tmp_path, frame):
    shoal.fit(frame, 2, columns=("a",)).save(tmp_path / "m")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter").write_text("dear")
    kinds = (("mllib", "no model of MLlib"), ("onnx", "is a folder"), ("sagemaker", "holds letter too"))
    for to, match in kinds:
        done = export(tmp_path / "m", "--to", to, "--out", tmp_path / "mine", "--overwrite", ok=False)
        assert isinstance(done.exception, ShoalError)
        assert match in str(done.exception)
    assert (tmp_path / "mine" / "letter").read_text() == "dear"


def test_unknown_format_and_missing_model_are_told(tmp_path, saved):
    wrong = export(saved, "--to", "pmml", "--out", tmp_path / "x", ok=False)
    assert wrong.exit_code == 2
    assert "onnx" in wrong.output
    missing = export(tmp_path / "nowhere", "--to", "csv", "--out", tmp_path / "x.csv", ok=False)
    assert isinstance(missing.exception, ShoalError)
    assert "nowhere" in str(missing.exception)


def test_topics_are_refused_with_what_is_possible(tmp_path):
    from shoal.text.topic_model import TopicModel

    texts = [f"{w} {i % 7}" for i, w in enumerate(["sun moon star", "cat dog horse", "bread milk salt"] * 40)]
    TopicModel(n_topics=3, embedder="hashed").fit(texts).save(tmp_path / "topics")
    done = export(tmp_path / "topics", "--to", "onnx", "--out", tmp_path / "x.onnx", ok=False)
    assert isinstance(done.exception, BadInputError)
    assert "shoal topics show" in str(done.exception)


def test_help_shows_an_example_of_each_format():
    shown = export("--help").output
    for to in ("sagemaker", "onnx", "csv", "mllib"):
        assert f"--to {to}" in shown
