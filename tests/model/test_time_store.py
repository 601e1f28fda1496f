"""A store of summaries by time: what goes in comes out once, whatever was merged, replayed or given up."""

from __future__ import annotations

import os
import sqlite3
import tempfile
import threading
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shoal.errors import BadInputError, DamagedFileError, NewerFormatError, ShoalError
from shoal.model.time_catalogue import CATALOGUE
from shoal.model.time_files import merge_all, resized
from shoal.model.time_pyramid import Block, Pyramid
from shoal.model.time_store import TimeStore
from shoal.model.time_upkeep import FEWEST_ROWS
from shoal.summary.coreset import Coreset

SMALL = Pyramid(newest=4, then=2, factor=2)


@pytest.fixture
def tmp_path(tmp_path):
    """In memory, where there is such a place: every change is synced, which takes a disk its time."""
    memory = Path("/dev/shm")
    if not (memory.is_dir() and os.access(memory, os.W_OK)):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=memory, prefix="shoal-test-") as folder:
        yield Path(folder)


def rows_of(bucket, n=20, d=2):
    """Rows that are different in every bucket."""
    return np.random.default_rng(bucket + 10_000).normal(size=(n, d)) + bucket


def summary_of(bucket, n=20, part=slice(None), **settings):
    X, numbers = rows_of(bucket, n)[part], np.arange(n)[part]
    return Coreset(**settings).update(X, key=bucket + 10_000, rows=numbers)


def same(summary, X):
    """The summary is, bit for bit, of these rows: totals, and the sample where it holds all rows."""
    whole = Coreset().update(X)
    assert summary.count == len(X)
    assert summary.weight == len(X)
    np.testing.assert_array_equal(summary.totals.mean(), whole.totals.mean())
    np.testing.assert_array_equal(summary.totals.scatter(), whole.totals.scatter())
    points = summary.points()
    if summary.tau == 0:
        order, expected = np.lexsort(points.X.T), X[np.lexsort(X.T)]
        np.testing.assert_array_equal(points.X[order], expected)
        np.testing.assert_array_equal(points.weights, np.ones(len(X)))
    else:
        assert points.weights.sum() == pytest.approx(len(X), rel=1e-12)


def all_rows(buckets, n=20):
    return np.concatenate([rows_of(b, n) for b in buckets])


def files(store):
    return sorted(p.name for p in store.path.glob("*.shoal"))


def test_window_merges_the_rows_of_the_interval(tmp_path):
    with TimeStore(tmp_path / "s", bucket=10.0) as store:
        for b in range(6):
            assert store.add(10.0 * b, summary_of(b), piece="p")
        found = store.window(20, 40)
        same(found.summary, all_rows([2, 3]))
        assert (found.start, found.end, found.widened, found.gaps) == (20, 40, False, False)
        assert found.buckets == ((20, 30), (30, 40))
        same(store.window().summary, all_rows(range(6)))
        inside = store.window(25, 31)
        same(inside.summary, all_rows([2, 3]))
        assert (inside.start, inside.end, inside.widened, inside.asked) == (20, 40, True, (25, 31))
        wide = store.window(-100, 10)
        same(wide.summary, all_rows([0]))
        assert (wide.start, wide.end, wide.widened) == (-100, 10, False)


def test_it_is_all_there_after_opening_again(tmp_path):
    with TimeStore(tmp_path, bucket=10.0) as store:
        store.set_recipe({"a": [1, 2]}, "cosine")
        store.add(-5.0, summary_of(-1), piece="p")
    with TimeStore(tmp_path, read_only=True) as store:
        assert (store.bucket, store.recipe, store.metric) == (10.0, {"a": [1, 2]}, "cosine")
        same(store.window().summary, rows_of(-1))
        with pytest.raises(ShoalError, match="look only"):
            store.add(0, summary_of(0), piece="p")


def test_a_piece_added_twice_counts_once(tmp_path):
    with TimeStore(tmp_path, bucket=10.0) as store:
        store.add(0, summary_of(0, part=slice(0, 5)), piece="a")
        store.add(1, summary_of(0, part=slice(5, 20)), piece="b")
        store.add(2, summary_of(0, part=slice(0, 5)), piece="a")
        same(store.window().summary, rows_of(0))
        assert len(files(store)) == 2
        store.add(0, summary_of(0, part=slice(0, 3)), piece="a")  # replaced, not added
        assert store.window().summary.count == 18
        store.add(0, Coreset(), piece="a")  # nothing replaces it
        assert store.window().summary.count == 15
        assert len(files(store)) == 1


def test_a_settled_and_merged_piece_is_not_counted_again(tmp_path):
    with TimeStore(tmp_path, bucket=10.0, pyramid=SMALL) as store:
        for b in range(20):
            store.add(10.0 * b, summary_of(b), piece="a")
        store.settle()
        assert store.add(0, summary_of(0), piece="a") is False
        same(store.window().summary, all_rows(range(20)))
        with pytest.raises(ShoalError, match="'a' of 1970-01-01T00:00:00 was settled"):
            store.remove_pieces("a")
        same(store.window().summary, all_rows(range(20)))


def test_remove_pieces_takes_back_what_came_after_a_checkpoint(tmp_path):
    with TimeStore(tmp_path, bucket=10.0, pyramid=SMALL) as store:
        for b in range(12):
            store.add(10.0 * b, summary_of(b, part=slice(0, 10)), piece="0001")
        store.settle()
        for b in range(12, 14):
            store.add(10.0 * b, summary_of(b), piece="0002")
        store.add(0, summary_of(0, part=slice(10, 20)), piece="0002")
        assert store.remove_pieces(lambda name: name > "0001") == 3
        assert store.window().summary.count == 120
        assert store.remove_pieces("0002") == 0
        assert set(files(store)) == {s.file for s in store._catalogue.segments()}


def test_compaction_keeps_answers_and_resolution_falls_with_age(tmp_path):
    with TimeStore(tmp_path, bucket=10.0, pyramid=SMALL) as store:
        for b in range(60):
            store.add(10.0 * b, summary_of(b), piece="a")
            store.settle()
        assert len(files(store)) < 20
        same(store.window().summary, all_rows(range(60)))
        held = store.describe()
        assert [x.resolution for x in held.levels] == [10.0 * 2**i for i in range(len(held.levels))]
        assert held.levels[0].buckets >= SMALL.newest
        assert all(fine.start >= coarse.start for fine, coarse in pairwise(held.levels))
        assert (held.start, held.end, held.rows, held.given_up) == (0, 600, 1200, ())
        for b in range(56, 60):  # the newest are as they were
            same(store.window(10.0 * b, 10.0 * (b + 1)).summary, rows_of(b))
        old = store.window(100, 110)
        first, last = int(old.start // 10), int(old.end // 10)
        assert old.widened
        assert last - first > 1
        same(old.summary, all_rows(range(first, last)))


def test_late_pieces_of_a_compacted_bucket_go_into_the_coarser_one(tmp_path):
    with TimeStore(tmp_path, bucket=10.0, pyramid=SMALL) as store:
        for b in range(40):
            store.add(10.0 * b, summary_of(b, part=slice(0, 15)), piece="a")
        store.settle()
        before = len(files(store))
        for b in (0, 7, 13):
            store.add(10.0 * b, summary_of(b, part=slice(15, 20)), piece="late")
        assert len(files(store)) == before + 3
        assert store.window().summary.count == 40 * 15 + 15
        store.settle()
        assert len(files(store)) == before
        assert store.window().summary.count == 40 * 15 + 15
        whole = np.concatenate([rows_of(b)[: 20 if b in (0, 7, 13) else 15] for b in range(40)])
        same(store.window().summary, whole)


def test_many_pieces_of_the_newest_bucket_are_merged_now_and_then(tmp_path):
    with TimeStore(tmp_path, bucket=10.0) as store:
        for i in range(40):
            store.add(0, summary_of(0, 40, part=slice(i, i + 1)), piece=f"{i}")
            store.settle()
            assert len(files(store)) <= 8
        same(store.window().summary, rows_of(0, 40))


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    order=st.permutations([(b, part) for b in (-9, -3, -1, 0, 1, 2, 5, 9, 17, 30) for part in (0, 1)]),
    settle=st.sets(st.integers(0, 19)),
    again=st.sets(st.integers(0, 19), max_size=5),
)
def test_order_of_adding_settling_and_replaying_leaves_no_trace(tmp_path, order, settle, again):
    parts = slice(0, 12), slice(12, 20)
    with TimeStore(tempfile.mkdtemp(dir=tmp_path), bucket=10.0, pyramid=SMALL) as store:
        for i, (b, part) in enumerate(order):
            store.add(10.0 * b, summary_of(b, part=parts[part]), piece=f"{part}")
            if i in again:
                store.add(10.0 * b, summary_of(b, part=parts[part]), piece=f"{part}")
            if i in settle:
                store.settle()
        same(store.window().summary, all_rows(sorted({b for b, _ in order})))
        held = store.describe()
        assert held.rows == 200
        assert set(files(store)) == {s.file for s in store._catalogue.segments()}


@settings(deadline=None)
@given(
    blocks=st.sets(st.integers(-300, 300), min_size=1),
    newest=st.integers(1, 9),
    then=st.integers(1, 5),
    factor=st.integers(2, 4),
)
def test_pyramid_blocks_are_apart_hold_all_and_are_no_wider_than_old(blocks, newest, then, factor):
    pyramid, now = Pyramid(newest, then, factor), max(blocks)
    due = pyramid.group([Block(0, b) for b in blocks], now)
    spans = sorted(pyramid.span(b) for b in due)
    assert all(a[1] <= b[0] for a, b in pairwise(spans))
    assert sorted(m.number for members in due.values() for m in members) == sorted(blocks)
    for place, members in due.items():
        low, high = pyramid.span(place)
        assert all(low <= m.number < high for m in members)
        assert place.level == 0 or now - (high - 1) >= newest
        again = pyramid.group(list(due), now)
        assert again[place] == [place]  # doing it twice changes nothing


def test_a_thinned_sample_is_a_priority_sample():
    full = Coreset(rows=5000).update(
        np.random.default_rng(0).normal(size=(5000, 2)), key=1, rows=np.arange(5000)
    )
    small, direct = resized(full, 300), resized(resized(full, 800), 300)
    assert small.to_bytes() == direct.to_bytes()
    top = full.points().X[:300]  # highest priority first
    np.testing.assert_array_equal(small.points().X, top)
    assert small.tau > 0
    assert small.count == 5000
    assert small.points().weights.sum() == pytest.approx(5000)
    means = []
    for seed in range(60):
        X = np.random.default_rng(seed).exponential(size=(2000, 1))
        thin = resized(Coreset(rows=1000, seed=seed).update(X, key=seed, rows=np.arange(2000)), 100)
        points = thin.points()
        means.append(np.average(points.X[:, 0], weights=points.weights) - X.mean())
    assert abs(np.mean(means)) < 3 * np.std(means) / np.sqrt(60)


def test_a_thin_old_bucket_does_not_thin_a_whole_window(tmp_path):
    thin, fresh = resized(summary_of(0, 4000), 100), [summary_of(b, 4000) for b in range(1, 6)]
    merged = merge_all([resized(s, 4000) for s in (thin, *fresh)])
    assert merged.count == 24_000
    assert len(merged.points().X) > 400  # the smallest sample alone would leave 100


def test_samples_are_cut_to_the_rows_of_a_bucket(tmp_path):
    with TimeStore(tmp_path, bucket=10.0, rows=50) as store:
        store.add(0, summary_of(0, 400), piece="a")
        found = store.window().summary
        assert len(found.points().X) == 50
        same(found, rows_of(0, 400))


def test_disk_budget_holds_and_what_it_costs_is_told(tmp_path):
    budget = 120_000
    with TimeStore(tmp_path, bucket=10.0, rows=1000, pyramid=SMALL, disk_budget=budget) as store:
        for b in range(80):
            store.add(10.0 * b, summary_of(b, 700), piece="a")
            store.settle()
            held = store.describe()
            assert held.bytes <= budget
            assert sum((store.path / name).stat().st_size for name in files(store)) == held.bytes
            dropped = sum(g.rows for g in held.given_up if g.how == "dropped")
            assert held.rows + dropped == 700 * (b + 1)
        how = {g.how: g for g in held.given_up}
        assert "coarsened" in how
        newest = store.window(790, 800)
        assert newest.summary.count == 700
        assert not newest.gaps
    with TimeStore(tmp_path, pyramid=SMALL, rows=1000, disk_budget=60_000) as store:
        store.settle()
        held = store.describe()
        assert held.bytes <= 60_000
        assert "thinned" in {g.how for g in held.given_up}
        assert min(s.kept for s in store._catalogue.segments()) >= FEWEST_ROWS
    with TimeStore(tmp_path, pyramid=SMALL, rows=1000, disk_budget=30_000) as store:
        store.settle()
        held = store.describe()
        assert held.bytes <= 30_000
        gone = next(g for g in held.given_up if g.how == "dropped")
        assert gone.start == 0
        assert gone.rows + held.rows == 700 * 80
        assert store.window(0, 800).gaps
    with TimeStore(tmp_path, pyramid=SMALL, rows=1000, disk_budget=1) as store:
        store.settle()
        held = store.describe()  # the newest bucket stays
        assert held.over_budget
        assert held.rows == 700
        assert held.start == 790


def test_sparse_buckets_are_merged_for_room_too(tmp_path):
    with TimeStore(tmp_path, bucket=10.0, pyramid=SMALL, disk_budget=300_000) as store:
        for b in range(0, 4000, 97):
            store.add(10.0 * b, summary_of(b, 400), piece="a")
            store.settle()
        held = store.describe()
        assert held.bytes <= 300_000
        how = {g.how for g in held.given_up}
        assert "coarsened" in how
        assert "dropped" not in how
        assert held.rows == 400 * len(range(0, 4000, 97))


def test_a_time_from_the_far_future_can_be_kept_from_making_all_old(tmp_path):
    with TimeStore(tmp_path, bucket=10.0, pyramid=SMALL) as store:
        for b in range(4):
            store.add(10.0 * b, summary_of(b), piece="a")
        store.add(1e6, summary_of(99), piece="a")
        store.settle(now=35.0)
        assert [x.resolution for x in store.describe().levels] == [10.0]
        store.settle()
        assert store.describe().levels[-1].resolution > 10.0


def test_what_does_not_merge_is_refused_at_the_door(tmp_path):
    with TimeStore(tmp_path, bucket=10.0) as store:
        store.add(0, summary_of(0), piece="a")
        with pytest.raises(ShoalError, match=r"columns 3 \(held: 2\)"):
            store.add(0, Coreset().update(np.ones((3, 3))), piece="b")
        with pytest.raises(ShoalError, match=r"seed 5 \(held: 0\)"):
            store.add(0, Coreset(seed=5).update(np.ones((3, 2))), piece="b")
        with pytest.raises(ShoalError, match="half-life"):
            store.add(0, Coreset(half_life=5.0).update(np.ones((1, 2)), times=[1.0]), piece="b")
        store.set_recipe({"x": 1})
        store.set_recipe({"x": 1})
        with pytest.raises(ShoalError, match="another recipe"):
            store.set_recipe({"x": 2})
        with pytest.raises(ShoalError, match="another recipe"):
            store.set_recipe({"x": 1}, "cosine")
        for wrong in (np.nan, np.inf, 1e300):
            with pytest.raises(BadInputError, match="no bucket"):
                store.add(wrong, summary_of(0), piece="b")
        same(store.window().summary, rows_of(0))
        store.remove_pieces("a")
        store.set_recipe({"x": 2})  # an empty store takes another
        assert store.add(0, Coreset(seed=5).update(np.ones((3, 3))), piece="b")


def test_windows_that_cannot_be_answered(tmp_path):
    with TimeStore(tmp_path, bucket=10.0) as store:
        with pytest.raises(BadInputError, match="still empty"):
            store.window()
        store.settle()
        store.add(0, summary_of(0), piece="a")
        with pytest.raises(BadInputError, match="it holds 1970-01-01T00:00:00 to 1970-01-01T00:00:10"):
            store.window(10, 20)
        with pytest.raises(BadInputError, match="exchange"):
            store.window(20, 10)
        with pytest.raises(BadInputError, match="edge"):
            store.window(0, np.inf)


def test_bucket_edges_are_sharp_for_awkward_widths(tmp_path):
    with TimeStore(tmp_path, bucket=0.1) as store:
        for n in [*range(-50, 50), 10**7 + 3]:
            edge = n * store.bucket
            assert store.bucket_of(edge) == n
            assert store.bucket_of(np.nextafter(edge, -np.inf)) == n - 1


def test_a_damaged_or_missing_file_is_named_and_can_be_given_up(tmp_path):
    with TimeStore(tmp_path, bucket=10.0) as store:
        store.add(0, summary_of(0), piece="a")
        (name,) = files(store)
        store.add(10, summary_of(1), piece="a")
        other = next(f for f in files(store) if f != name)
        good = (tmp_path / name).read_bytes()
        for bad in (
            good[:-1],
            good[:100],
            b"",
            good[:-9] + b"!" + good[-8:],
            (tmp_path / other).read_bytes(),
        ):
            (tmp_path / name).write_bytes(bad)
            with pytest.raises(
                DamagedFileError,
                match=f"{name} was cut short.*20 rows from 1970-01-01T00:00:00 to 1970-01-01T00:00:10.*--give-up",
            ):
                store.window()
        (tmp_path / name).unlink()
        with pytest.raises(DamagedFileError, match=f"{name} is missing"):
            store.window()
        same(store.window(10, 20).summary, rows_of(1))
        store.give_up(name)
        found = store.window(0, 20)
        same(found.summary, rows_of(1))
        assert found.gaps
        assert [(g.how, g.rows) for g in store.describe().given_up] == [("damaged", 20)]
        with pytest.raises(ShoalError, match="knows no file"):
            store.give_up(name)


def test_foreign_newer_and_damaged_catalogues(tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full/notes.txt").write_text("mine")
    with pytest.raises(ShoalError, match="is not a store"):
        TimeStore(tmp_path / "full")
    with pytest.raises(ShoalError, match="is not a store"):
        TimeStore(tmp_path / "nowhere", read_only=True)
    assert not (tmp_path / "nowhere").exists()
    for name, content in (("text", b"not a database at all" * 99), ("cut", b"SQLite format 3\0" + bytes(50))):
        (tmp_path / name).mkdir()
        (tmp_path / name / CATALOGUE).write_bytes(content)
        with pytest.raises(DamagedFileError, match=CATALOGUE):
            TimeStore(tmp_path / name)
    (tmp_path / "other").mkdir()
    with sqlite3.connect(tmp_path / "other" / CATALOGUE) as db:
        db.execute("CREATE TABLE birds (name)")
    with pytest.raises(DamagedFileError, match="not the catalogue"):
        TimeStore(tmp_path / "other")
    TimeStore(tmp_path / "new").close()
    with sqlite3.connect(tmp_path / "new" / CATALOGUE) as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(NewerFormatError, match="format 99"):
        TimeStore(tmp_path / "new")


def test_settings_of_a_store_do_not_change(tmp_path):
    TimeStore(tmp_path, bucket=60).close()
    with TimeStore(tmp_path) as store:
        assert store.bucket == 60.0
    with pytest.raises(ShoalError, match="bucket=60, which cannot become 61"):
        TimeStore(tmp_path, bucket=61)
    with pytest.raises(ShoalError, match="factor=2, which cannot become 3"):
        TimeStore(tmp_path, pyramid=Pyramid(factor=3))
    for wrong in ({"bucket": 0}, {"bucket": np.nan}, {"rows": 0}, {"disk_budget": 0}):
        with pytest.raises(ShoalError, match="must be"):
            TimeStore(tmp_path / "new", **wrong)
    with pytest.raises(ShoalError, match="pyramid"):
        Pyramid(factor=1)


def test_one_writes_others_look(tmp_path):
    with TimeStore(tmp_path, bucket=10.0, pyramid=SMALL) as store:
        with pytest.raises(ShoalError, match="another process writes"):
            TimeStore(tmp_path)
        with TimeStore(tmp_path, read_only=True) as reader:
            for b in range(30):
                store.add(10.0 * b, summary_of(b), piece="a")
            assert reader.window().summary.count == 600
            listed = reader._catalogue.segments()
            store.settle()
            catalogue = reader._catalogue
            stale = [listed, catalogue.segments()]
            catalogue.segments = lambda: stale.pop(0)  # merged between looking and reading
            same(reader.window().summary, all_rows(range(30)))
            assert not stale
    TimeStore(tmp_path).close()


def test_a_reader_beside_a_writer_always_sees_whole_buckets(tmp_path):
    done = threading.Event()

    def work():
        with TimeStore(tmp_path, bucket=10.0, pyramid=SMALL) as store:
            for b in range(60):
                store.add(10.0 * b, summary_of(b), piece="a")
                store.settle()
        done.set()

    TimeStore(tmp_path, bucket=10.0, pyramid=SMALL).close()
    writer = threading.Thread(target=work)
    writer.start()
    seen = [0]
    with TimeStore(tmp_path, read_only=True) as reader:
        while not done.is_set() or seen[-1] < 1200:
            if reader.describe().rows:
                found = reader.window().summary
                assert found.points().weights.sum() == found.count
                seen.append(found.count)
    writer.join()
    assert all(n % 20 == 0 for n in seen)
    assert seen == sorted(seen)
