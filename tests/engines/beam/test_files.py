"""Files read by a Beam runner's workers, and ``shoal fit --engine beam``."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from typer.testing import CliRunner

import shoal
from shoal.cli.app import app
from shoal.engines.beam import fit, sweep
from shoal.engines.beam.files import check_options
from shoal.errors import BadInputError

RNG = np.random.default_rng(2)
CENTRES = np.array([[0.0, 0.0], [20.0, 0.0], [0.0, 20.0]])


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rows")
    for i in range(4):
        X = CENTRES[RNG.integers(3, size=500)] + RNG.normal(size=(500, 2))
        table = pa.table({"a": X[:, 0], "b": X[:, 1], "kind": [f"k{j % 3}" for j in range(500)]})
        pq.write_table(table, folder / f"{i}.parquet", row_group_size=100)
    return folder


def same(a: Any, b: Any) -> bool:
    return bool(a.summary.to_bytes() == b.summary.to_bytes())


@pytest.mark.parametrize("flags", [[], ["--direct_running_mode=multi_processing", "--direct_num_workers=2"]])
def test_the_summary_is_the_embedded_engines(files: Path, flags: list[str]) -> None:
    pattern = str(files / "*.parquet")
    found = fit(pattern, 3, options=PipelineOptions(flags), one_hot=("kind",))
    here = shoal.fit(pattern, 3, one_hot=("kind",))
    assert same(found, here)
    assert found.model.provenance.rows_seen == 2000
    assert np.allclose(np.sort(found.model.centres, axis=0), np.sort(here.model.centres, axis=0))


def test_sweep_chooses_as_the_embedded_engine(files: Path) -> None:
    choice, best = sweep(str(files), range(2, 6), columns=("a", "b"))
    assert choice.suggested == 3
    assert best.model.k == 3


def test_errors_of_workers_are_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a,b\n" + "1,2\n" * 30_000 + "3,x\n")
    with pytest.raises(BadInputError, match=r"a\.csv, row 30001, column 'b': not a number: 'x'"):
        fit(tmp_path / "a.csv", 2)
    with pytest.raises(BadInputError, match="not ndarray; give paths"):
        fit(np.ones((3, 2)), 2)


def command(*arguments: str) -> Any:
    return CliRunner().invoke(app, list(arguments))


def test_the_command(files: Path, tmp_path: Path) -> None:
    done = command(
        "fit",
        str(files),
        "-k",
        "3",
        "--engine",
        "beam",
        "--runner",
        "direct_num_workers=1",
        "--columns",
        "a,b",
        "--out",
        str(tmp_path / "m"),
    )
    assert done.exit_code == 0, done.output
    assert same(shoal.load(tmp_path / "m"), shoal.fit(str(files), 3, columns=("a", "b")))


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--engine", "beam", "--master", "local[2]"], "--master is for --engine spark"),
        (["--runner", "DirectRunner"], "--runner is for --engine beam"),
        (["--engine", "beam", "--threads", "2"], "--runner direct_num_workers=2"),
        (["--engine", "beam", "--runner", "NoRunner"], "Beam failed"),
        (["--engine", "beam", "--runner", "direct_num_wrkers=2"], "did you mean direct_num_workers"),
    ],
)
def test_wrong_options_are_told(files: Path, more: list[str], says: str) -> None:
    done = command("fit", str(files), "-k", "3", "--out", str(files.parent / "none"), *more)
    assert done.exit_code != 0
    assert says in f"{done.exception} {done.output}"


def test_names_of_the_package_are_what_they_say() -> None:
    import shoal.engines.beam as package

    for name in package.__all__:
        assert callable(getattr(package, name)), name


def test_words_of_ones_own_command_line_are_no_wrong_options(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["program", "--verbosity=3", "input.csv"])
    check_options(PipelineOptions())
    with pytest.raises(BadInputError, match="no option 'verbosity'"):
        check_options(PipelineOptions(["--verbosity=3"]))
