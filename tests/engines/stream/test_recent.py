"""The rows a stream leaves for watchers: chosen well, cheap, and without a trace in what it learns."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest
from tests.engines.stream.made import lines, run, what_it_left

from shoal.engines.stream.learner import Learner
from shoal.engines.stream.parts import Piece
from shoal.engines.stream.recent import OUTLIERS, RECENT, ROWS, Recent, read_recent
from shoal.engines.stream.settings import Span, StreamSettings
from shoal.engines.stream.state import is_stream_state
from shoal.features.spec import RecipeSpec


def learner_of(path, clock, **changes):
    settings = StreamSettings(
        **{"k": 3, "learn_rows": 300, "every": Span(rows=5000), "n_threads": 1, "keep": ("id",)}
        | {"recipe": RecipeSpec(columns=("a", "b"))}
        | changes
    )
    learner = Learner(settings)
    learner.recent = Recent(path / RECENT, clock)
    return learner


def pieces(n, size, seed=0, far=()):
    rng = np.random.default_rng(seed)
    X = np.array([[0.0, 0.0], [9.0, 0.0], [0.0, 9.0]])[rng.integers(3, size=n)] + rng.normal(size=(n, 2))
    X[list(far)] += 500.0
    table = pa.record_batch({"id": [f"r{i}" for i in range(n)], "a": X[:, 0], "b": X[:, 1]})
    for start in range(0, n, size):
        part = table.slice(start, size)
        yield Piece(part, "made", 5, np.arange(start, start + part.num_rows))


def test_the_farthest_rows_are_there_and_the_others_evenly(tmp_path):
    now = [0.0]
    far = range(3000, 19_000, 2000)
    learner = learner_of(tmp_path, lambda: now[0], every=Span(rows=100_000))
    for piece in pieces(20_000, 700, far=far):
        learner.feed([piece])
        now[0] += 0.26
    learner.recent.write_if_due()
    table = read_recent(tmp_path / RECENT)
    rows = np.array(table["row"].to_pylist())
    is_far = np.array(table["far"].to_pylist())
    assert table.num_rows == ROWS
    assert set(far) <= set(rows[is_far].tolist())
    assert is_far.sum() <= OUTLIERS
    even = np.sort(rows[~is_far])
    assert len(even) >= ROWS - OUTLIERS
    assert np.diff(even).max() < 6 * np.diff(even).mean()  # no stretch is left out
    assert even[0] < 1000
    assert even[-1] > 19_000


def test_a_row_comes_with_its_own_values_also_if_it_waited_for_the_first_model(tmp_path):
    learner = learner_of(tmp_path, lambda: 9.0)
    source = list(pieces(300, 90))
    learner.feed(source)
    learner.feed(list(pieces(300, 90, seed=1)))
    learner.finish()
    learner.recent.write_if_due()
    table = read_recent(tmp_path / RECENT)
    whole = pa.Table.from_batches([p.table for p in source]).to_pylist()
    first = [r for r in table.to_pylist() if r["model"] == 1][:20]
    assert first
    assert all(json.loads(r["values"]) in (whole[r["row"]],) or r["values"] for r in first)
    assert all(set(json.loads(r["values"])) == {"id", "a", "b"} for r in first)
    assert len(first[0]["vector"]) == 2


def test_it_is_written_at_most_once_a_second_and_not_without_news(tmp_path):
    now = [0.0]
    learner = learner_of(tmp_path, lambda: now[0])
    source = pieces(2000, 500)
    learner.feed([next(source)])
    learner.recent.write_if_due()
    first = (tmp_path / RECENT).read_bytes()
    learner.feed([next(source)])
    now[0] = 0.9
    learner.recent.write_if_due()
    assert (tmp_path / RECENT).read_bytes() == first
    now[0] = 1.1
    learner.recent.write_if_due()
    second = (tmp_path / RECENT).stat()
    assert read_recent(tmp_path / RECENT)["row"].to_pylist()[-1] >= 900
    now[0] = 5.0
    learner.recent.write_if_due()
    assert (tmp_path / RECENT).stat().st_ino == second.st_ino


def test_few_new_rows_leave_older_ones_beside_them(tmp_path):
    now = [0.0]
    learner = learner_of(tmp_path, lambda: now[0])
    for i, piece in enumerate(pieces(1010, 10)):
        now[0] += 0.26
        learner.feed([piece])
        if i % 10 == 0:
            now[0] += 1.5
            learner.recent.write_if_due()
    rows = read_recent(tmp_path / RECENT)["row"].to_pylist()
    assert len(rows) == ROWS
    assert max(rows) == 1009


def test_a_damaged_file_is_no_file(tmp_path):
    learner = learner_of(tmp_path, lambda: 0.0)
    learner.feed(pieces(1000, 500))
    learner.recent.write_if_due()
    whole = (tmp_path / RECENT).read_bytes()
    assert read_recent(tmp_path / RECENT) is not None
    for damaged in (b"", whole[:100], whole[:-10], b"x" * 500):
        (tmp_path / RECENT).write_bytes(damaged)
        assert read_recent(tmp_path / RECENT) is None


def test_a_disk_that_refuses_does_not_stop_the_stream(tmp_path):
    learner = learner_of(tmp_path / "gone", lambda: 0.0)
    learner.feed(pieces(1000, 500))
    learner.recent.write_if_due()
    learner.feed(pieces(1000, 500, seed=2))
    assert learner.learned == 2000


def test_watching_leaves_no_trace_in_what_is_learned(tmp_path, monkeypatch):
    (tmp_path / "rows.jsonl").write_text("\n".join(lines(6000)) + "\n")
    left = []
    for name in ("with", "without"):
        state, labels = tmp_path / name, tmp_path / f"{name}.jsonl"
        if name == "with":
            done = run(tmp_path / "rows.jsonl", state, labels)
            assert done.returncode == 0, done.stderr
            assert 50 < read_recent(state / RECENT).num_rows <= ROWS
        else:
            code = "import shoal.engines.stream.run as r; r.Recent = type('N', (), {'__init__': lambda s, p: None, "
            code += "'came': lambda s, p, waits: None, 'labelled': lambda s, *a: None, 'write_if_due': lambda s, ends=False: None}); "
            code += "from shoal.cli import main; main()"
            import subprocess
            import sys

            from tests.engines.stream.made import command

            asked = command(tmp_path / "rows.jsonl", state, labels)
            subprocess.run([sys.executable, "-c", code, *asked[3:]], check=True, capture_output=True)
            assert not (state / RECENT).exists()
        assert is_stream_state(state)
        left.append(what_it_left(state, labels))
    for name, value in left[0].items():
        assert left[1][name] == value, name


@pytest.mark.parametrize("width", [2])
def test_vectors_are_shown_by_what_goes_with_them(tmp_path, width):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(800, width))
    flat = pa.FixedSizeListArray.from_arrays(pa.array(X.ravel()), width)
    table = pa.record_batch({"title": ["x" * 999] * 800, "v": flat})
    learner = learner_of(tmp_path, lambda: 0.0, keep=("title",), recipe=RecipeSpec(columns=("v",)))
    learner.feed([Piece(table, "made", 5, np.arange(800))])
    learner.recent.write_if_due()
    row = read_recent(tmp_path / RECENT).to_pylist()[0]
    assert json.loads(row["values"]) == {"title": "x" * 300}
    np.testing.assert_allclose(row["vector"], X[row["row"]], rtol=1e-6)


@pytest.mark.parametrize(
    ("kind", "shown"),
    [
        (pa.timestamp("us"), "<value out of range: 1000000000000000000>"),
        (pa.timestamp("ns"), "2001-09-09 01:46:40.000000000"),
    ],
)
def test_dates_that_python_has_no_word_for_are_shown_as_text(tmp_path, kind, shown):
    X = np.random.default_rng(0).normal(size=800)
    table = pa.record_batch({"a": X, "far": pa.array([10**18] * 800, pa.int64()).cast(kind)})
    learner = learner_of(tmp_path, lambda: 0.0, keep=("far",), recipe=RecipeSpec(columns=("a",)))
    learner.feed([Piece(table, "made", 5, np.arange(800))])
    learner.recent.write_if_due()
    assert json.loads(read_recent(tmp_path / RECENT)["values"][0].as_py())["far"] == shown


def test_what_cannot_be_shown_at_all_is_told_once_and_ends_nothing(tmp_path, caplog):
    caplog.set_level("WARNING")
    X = np.random.default_rng(0).normal(size=800)
    far = pa.array([[10**18]] * 800, pa.list_(pa.timestamp("us")))
    table = pa.record_batch({"a": X, "far": far})
    now = [0.0]
    learner = learner_of(tmp_path, lambda: now[0], keep=("far",), recipe=RecipeSpec(columns=("a",)))
    for i in range(3):
        now[0] += 2.0
        learner.feed([Piece(table, "made", 5, np.arange(800 * i, 800 * (i + 1)))])
        learner.recent.write_if_due()
    assert learner.learned == 2400
    assert len([r for r in caplog.records if "recent" in r.name]) == 1
