"""A log of events is read as it was written, in part if wished, and whatever a crash left at its end."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.errors import DamagedFileError, ShoalError
from shoal.model.event_log import SCHEMA, as_table, read_events, read_shares
from shoal.model.events import Event

EVENTS = [
    Event("born", 10.0, 0, 5.0, 0.5),
    Event("split", 20.0, 0, 5.0, 0.5, parents=(0,), children=(0, 3)),
    Event("merged", 30.0, 1, 4.0, 0.4, parents=(1, 3)),
    Event("moved", 40.0, 1, 4.0, 0.4, detail={"distance": 2.0, "from": [0.0], "to": [1.0]}),
]
TEXT = "".join(json.dumps(e.to_dict()) + "\n" for e in EVENTS).encode()


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "events.jsonl"
    path.write_bytes(TEXT)
    return path


def test_all_in_order(log):
    assert list(read_events(log)) == EVENTS


def test_only_some(log):
    assert [e.kind for e in read_events(log, kinds=["born", "moved"])] == ["born", "moved"]
    assert [e.kind for e in read_events(log, clusters=[3])] == ["split", "merged"]  # as a child, as a parent
    assert [e.time for e in read_events(log, since=20.0, until=40.0)] == [20.0, 30.0]
    assert list(read_events(log, kinds=["died"])) == []


@given(st.integers(0, len(TEXT)))
def test_wherever_a_write_ended_whole_lines_are_read(tmp_path_factory, size):
    path = tmp_path_factory.mktemp("torn") / "events.jsonl"
    path.write_bytes(TEXT[:size])
    assert list(read_events(path)) == EVENTS[: TEXT[:size].count(b"\n")]


@pytest.mark.parametrize(
    "line", [b"{", b"[]", b"7", b"{}", b'{"kind": "exploded"}', b"\xff\xfe", b'{"kind": "born", "time": "x"}']
)
def test_a_whole_line_that_is_no_event_is_an_error_with_its_number(log, line):
    log.write_bytes(TEXT + line + b"\n" + TEXT)
    with pytest.raises(DamagedFileError, match="line 5"):
        list(read_events(log))


def test_no_log(tmp_path):
    for path in (tmp_path / "none.jsonl", tmp_path):
        with pytest.raises(ShoalError, match="not a log"):
            list(read_events(path))


def test_a_table_keeps_everything():
    table = as_table(EVENTS)
    assert table.schema == SCHEMA
    back = [Event.from_dict(row | {"detail": json.loads(row["detail"])}) for row in table.to_pylist()]
    assert back == EVENTS
    assert table.column("text").to_pylist() == [str(e) for e in EVENTS]
    assert as_table([]).schema == SCHEMA


def test_shares_of_a_history(tmp_path):
    path = tmp_path / "history.jsonl"
    entries = [
        {"time": 1.0, "ids": [0, 1], "shares": [0.75, 0.25]},
        {"time": 2.0, "ids": [1], "shares": [1.0]},
    ]
    path.write_text("".join(json.dumps(e) + "\n" for e in entries) + '{"time": 3.0, "ids"')
    rows = read_shares(path).to_pylist()
    assert [(r["time"], r["cluster"], r["share"]) for r in rows] == [
        (1.0, 0, 0.75),
        (1.0, 1, 0.25),
        (2.0, 1, 1.0),
    ]
    path.write_text('{"time": 1.0, "ids": [0, 1], "shares": [1.0]}\n')
    with pytest.raises(DamagedFileError):
        read_shares(path)
    with pytest.raises(ShoalError, match="history"):
        read_shares(tmp_path / "none")
