"""Spans, settings, and the moments at which a model is solved."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.engines.stream.parts import Part
from shoal.engines.stream.schedule import Schedule
from shoal.engines.stream.settings import Span, StreamSettings
from shoal.errors import BadInputError


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("500", Span(rows=500)),
        ("20_000 rows", Span(rows=20_000)),
        ("1e4 rows", Span(rows=10_000)),
        ("90s", Span(seconds=90.0)),
        ("1.5h", Span(seconds=5400.0)),
        ("7d", Span(seconds=604800.0)),
    ],
)
def test_spans_are_read(text, span):
    assert Span.parse(text) == span
    assert Span.parse(str(span)) == span


@pytest.mark.parametrize("text", ["", "soon", "-5m", "0", "0s", "5 parsecs", "1..5h", "nan", "1e999 rows"])
def test_spans_that_are_none(text):
    with pytest.raises(BadInputError, match="no stretch"):
        Span.parse(text)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"k": 0}, "k is 0"),
        ({"k": (5, 2)}, "k is"),
        ({"time_unit": "weeks"}, "time unit"),
        ({"bucket": -1.0}, "bucket"),
        ({"learn_rows": 0}, "learn_rows"),
    ],
)
def test_settings_are_checked(change, told):
    with pytest.raises(BadInputError, match=told):
        StreamSettings(**change)


def part(times):
    n = len(times)
    empty = pa.RecordBatch.from_pylist([{}] * n) if n else pa.record_batch({"x": []})
    return Part(np.zeros((n, 1), np.float32), None, np.arange(n), np.asarray(times, float), empty, "o", 1)


def solves(times, sizes, every):
    """Row numbers before which a solve happens, fed in batches of these sizes."""
    schedule, learned, newest, found, start = Schedule(10, every), 0, None, [], 0
    while start < len(times):
        size = sizes[len(found) % len(sizes)]
        batch, start = times[start : start + size], start + size
        at = 0
        while at < len(batch):
            ahead = part(batch[at:])
            until = schedule.rows_until(learned, ahead)
            if until <= 0:
                found.append(learned)
                seen = max(t for t in (newest, batch[at]) if t is not None)
                schedule.solved(learned, seen)
                continue
            step = min(until, len(batch) - at)
            newest = max([*batch[at : at + step], *([] if newest is None else [newest])])
            learned, at = learned + step, at + step
    return found


@given(
    st.lists(st.floats(0, 1000), min_size=1, max_size=80),
    st.lists(st.integers(1, 30), min_size=1, max_size=5),
    st.sampled_from([Span(rows=15), Span(seconds=100.0)]),
)
def test_batches_do_not_move_a_solve(times, sizes, every):
    assert solves(times, sizes, every) == solves(times, [1], every)


def test_a_solve_every_tick_of_event_time():
    assert solves(np.arange(0, 100.0).tolist(), [7], Span(seconds=25.0)) == [10, 25, 50, 75]
