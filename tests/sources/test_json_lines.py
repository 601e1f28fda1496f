"""Lines of JSON, whatever they hold: every one is a row or a bad record, and nothing ends the reading."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import shoal
from shoal.sources.jsonlines import infer_block, parse_lines
from shoal.sources.options import ReadOptions

TEXT = st.text(st.characters(), max_size=4) | st.sampled_from(["\ud800", "a\udfff", "\x00"])
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.floats(width=32) | st.sampled_from([10**400, -(10**30), 7]) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
OBJECTS = st.dictionaries(st.sampled_from(["x", "t", "\ud800"]), ANYTHING)
LINES = st.lists(OBJECTS | ANYTHING | st.just(...), max_size=12)


@settings(deadline=None, max_examples=300)
@given(LINES)
def test_every_line_is_a_row_or_a_bad_record(items):
    lines = [b"{not json" if item is ... else json.dumps(item).encode() for item in items]
    block = b"".join(line + b"\n" for line in lines)
    for schema in (infer_block(block), pa.schema({"x": pa.float64(), "t": pa.string()})):
        if not len(schema):  # sources refuse such a block before they read it
            continue
        found = parse_lines(block, schema)
        assert found.count == len(lines)
        rows, bad = found.row_numbers.tolist(), [b.number for b in found.bad]
        assert sorted(rows + bad) == list(range(len(lines)))
        assert [b.raw for b in found.bad] == [lines[i] for i in bad]


@pytest.mark.parametrize("columns", [["x"], ["x", "y"]])
def test_half_a_surrogate_pair_spoils_its_row_only_where_it_is_asked_for(tmp_path, columns):
    file = tmp_path / "rows.jsonl"
    rows = [{"x": float(i % 2), "y": float(i), "t": "fine"} for i in range(20)]
    rows[3] |= {"t": "\ud800"}
    rows[7] |= {"\ud800": 1}
    rows[9] |= {"y": "\ud800"}
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = shoal.fit(file, 2, columns=columns, read=ReadOptions(on_error="skip"))
    assert found.summary.count == 21 - len(columns)
    assert np.isfinite(found.model.centres).all()
