"""The walkthrough tells the truth: by hand, in one call, in one pass, as a script and as a notebook."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pyspark")

HERE = Path(__file__).parent
EXAMPLES = HERE.parents[2] / "examples"
GOLDEN = json.loads((HERE / "golden_walkthrough.json").read_text())["trajectory"]


def by_path(name: str) -> ModuleType:
    """Examples are no package."""
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def walk() -> ModuleType:
    return by_path("spark_walkthrough")


@pytest.fixture(scope="module")
def notebooks() -> ModuleType:
    return by_path("make_notebook")


@pytest.fixture(scope="module")
def df(spark: Any, walk: ModuleType) -> Any:
    made = walk.to_spark(spark, walk.points()).persist()
    yield made
    made.unpersist()


@pytest.fixture(scope="module")
def done(df: Any, walk: ModuleType) -> Any:
    X = walk.points()
    return walk.until_none_moves(df, X, X[:3].copy(), tell=lambda _: None)


def test_what_the_script_compares_with_is_the_golden_trajectory(walk: ModuleType) -> None:
    assert len(walk.KNOWN) == len(GOLDEN) == 6
    for known, golden in zip(walk.KNOWN, GOLDEN, strict=True):
        assert known.sizes == golden["counts"]
        assert known.reassigned == golden["reassigned"]
        assert known.inertia == golden["inertia"]
        assert known.shift == golden["shift"]
        assert known.centres == golden["centroids_out"]
        assert known.first10 == golden["first10"]


def test_first_steps(df: Any, walk: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    X = walk.points()
    assert walk.cost_function(X[205], X[978]) == 0.9590304461225516
    walk.tell_first_steps(df, X, X[:3].copy())
    told = capsys.readouterr().out
    assert "[0.0, 1.7740516007978733, 2.646451758613209]" in told
    assert "[1124, 57, 319]" in told


def test_by_hand_every_number_is_golden(done: Any) -> None:
    assert len(done.story) == len(GOLDEN)
    for i, golden in enumerate(GOLDEN):
        moved = done.moves[i]
        assert moved.sizes == golden["counts"]
        assert moved.reassigned == golden["reassigned"] == done.story.steps[i].moved
        assert moved.inertia == pytest.approx(golden["inertia"], rel=1e-12)
        assert done.shifts[i] == pytest.approx(golden["shift"], rel=1e-11, abs=1e-11)
        np.testing.assert_allclose(done.story.centres[i], golden["centroids_in"], rtol=1e-12)
        np.testing.assert_allclose(moved.centres, golden["centroids_out"], rtol=1e-12)
        assert done.story.labels[i, :10].tolist() == golden["first10"]
        assert np.bincount(done.story.labels[i]).tolist() == golden["counts"]
    np.testing.assert_allclose(done.moves[0].sums[0], [1912.08080524, -3537.79137713], atol=5e-9)


def test_the_check_by_hand_notices_any_other_number(done: Any, walk: ModuleType) -> None:
    walk.check_by_hand(done)
    last = done.moves[-1]
    for other in (
        last._replace(sizes=[500, 499, 501]),
        last._replace(reassigned=1),
        last._replace(inertia=last.inertia * (1 + 1e-7)),
        last._replace(centres=last.centres[::-1]),
    ):
        with pytest.raises(walk.DifferentError, match="in iteration 6: found"):
            walk.check_by_hand(done._replace(moves=[*done.moves[:-1], other]))


def test_a_centre_without_points_stays(df: Any, walk: ModuleType) -> None:
    start = np.array([[0.0, 0.0], [1e6, 1e6]])
    moved = walk.iteration(df, start)[1]
    assert moved.sizes == [1500, 0]
    np.testing.assert_array_equal(moved.centres[1], start[1])
    np.testing.assert_allclose(moved.centres[0], walk.points().mean(axis=0))


def test_pictures_are_written(done: Any, walk: ModuleType, tmp_path: Path) -> None:
    made = walk.draw(done.story, tmp_path / "new")
    assert [p.name for p in made] == [f"iteration_{i}.png" for i in range(7)] + [
        "spark_walkthrough.png",
        "spark_walkthrough.gif",
    ]
    assert all(p.stat().st_size > 10_000 for p in made)


def test_exact_plan_goes_the_golden_way(df: Any, walk: ModuleType) -> None:
    model = walk.in_one_call(df, walk.points()[:3].copy())
    walk.check_in_one_call(model)
    assert model.summary.numIter == 6
    for step, centres, golden in zip(model.summary.steps, model.summary.trajectory, GOLDEN, strict=True):
        assert step["inertia"] == pytest.approx(golden["inertia"], rel=1e-10)
        assert step["moved"] == golden["reassigned"]
        np.testing.assert_allclose(centres, golden["centroids_out"], rtol=1e-10)
    labels = [row.prediction for row in model.transform(df).orderBy("id").limit(10).collect()]
    assert labels == GOLDEN[-1]["first10"]


def test_one_pass_finds_the_clouds_and_how_many(df: Any, walk: ModuleType) -> None:
    model = walk.in_one_pass(df)
    walk.check_in_one_pass(model)
    assert model.summary.clusterSizes == [500.0] * 3
    assert model.summary.trainingCost == pytest.approx(GOLDEN[-1]["inertia"], rel=1e-9)
    assert walk.which_k(model).suggested == 3


def test_checks_of_models_notice_other_numbers(walk: ModuleType) -> None:
    bad = SimpleNamespace(steps=[], trajectory=[], clusterSizes=[500.0, 499.0, 501.0], trainingCost=1.0)
    model = SimpleNamespace(summary=bad)
    with pytest.raises(walk.DifferentError, match="number of steps: found 0, where 6 is known"):
        walk.check_in_one_call(model)
    with pytest.raises(walk.DifferentError, match="the sizes: found"):
        walk.check_in_one_pass(model)


def test_the_notebook_is_that_of_the_script(notebooks: ModuleType) -> None:
    cells = notebooks.cells_of(notebooks.SCRIPT.read_text(encoding="utf-8"))
    assert notebooks.sources_of(notebooks.NOTEBOOK) == [cell.source for cell in cells]
    code = [cell.source for cell in cells if not cell.markdown]
    assert any(source.startswith("by_hand = until_none_moves") for source in code)
    assert not any("argparse.ArgumentParser" in source for source in code)


def test_the_notebook_runs(
    spark: Any, notebooks: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import nbformat

    monkeypatch.chdir(tmp_path)
    written = nbformat.read(notebooks.NOTEBOOK, as_version=4)
    nbformat.validate(written)
    cells = [notebooks.Cell(c.cell_type == "markdown", c.source) for c in written.cells]
    # A module of its own, as classes with annotations look theirs up.
    module = ModuleType("walkthrough_cells")
    monkeypatch.setitem(sys.modules, "walkthrough_cells", module)
    outputs = notebooks.run(cells, vars(module))
    nbformat.validate(notebooks.notebook_of(cells, outputs))
    assert module.spark is spark or module.spark == spark  # type: ignore[attr-defined]
    kinds = [kind for found in outputs.values() for o in found for kind in o.get("data", {})]
    assert kinds.count("image/png") == 3
    assert kinds.count("image/gif") == 1
    told = "".join(o.text for found in outputs.values() for o in found if o.output_type == "stream")
    assert "iteration 6: sizes [500, 500, 500],    0 reassigned" in told
    assert "suggested:\n3" in told


def test_the_script_teaches_and_tells_what_is_wrong() -> None:
    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(EXAMPLES / "spark_walkthrough.py"), *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    helped = run("--help")
    assert helped.returncode == 0
    assert "--remote sc://HOST:15002" in helped.stdout
    wrong = run("--remote", "sc://127.0.0.1:1")
    assert wrong.returncode == 1
    assert "cannot be reached" in wrong.stderr
    assert "Traceback" not in wrong.stderr
