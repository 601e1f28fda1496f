"""``shoal events`` as a user runs it."""

from __future__ import annotations

import json
import subprocess
import sys

import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from shoal.cli.events import when
from shoal.model.events import Event

BEGAN = 1_767_225_600.0  # 2026-01-01 UTC
EVENTS = [
    Event("born", BEGAN, 0, 5.0, 0.5),
    Event("split", BEGAN + 86_400, 0, 5.0, 0.5, parents=(0,), children=(0, 3)),
    Event("grew", BEGAN + 2 * 86_400, 3, 4.0, 0.4, detail={"before": 0.2}),
]


def shoal_events(*arguments, cwd, ok=True):
    command = [sys.executable, "-c", "from shoal.cli import main; main()", "events", *map(str, arguments)]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300)
    assert (done.returncode == 0) == ok, done.stderr
    return done


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "state").mkdir()
    text = "".join(json.dumps(e.to_dict()) + "\n" for e in EVENTS)
    (tmp_path / "state/events.jsonl").write_text(text + '{"kind": "bo')
    return tmp_path


def test_lines_of_a_state_and_of_a_log(folder):
    said = shoal_events("state", cwd=folder).stdout
    assert said == shoal_events("state/events.jsonl", cwd=folder).stdout
    assert said.splitlines() == [
        "2026-01-01 00:00:00  cluster 0 born (50.0% of the weight)",
        "2026-01-02 00:00:00  cluster 0 split into 0 and 3 (50.0% of the weight)",
        "2026-01-03 00:00:00  cluster 3 grew from 20.0% to 40.0% of the weight",
    ]


def test_only_some_as_json(folder):
    def kinds(*options):
        return [e["kind"] for e in json.loads(shoal_events("state", "--json", *options, cwd=folder).stdout)]

    assert kinds() == ["born", "split", "grew"]
    assert kinds("--kind", "born", "--kind", "grew") == ["born", "grew"]
    assert kinds("--cluster", 3) == ["split", "grew"]
    assert kinds("--from", "2026-01-02", "--to", "2026-01-03") == ["split"]


def test_tables(folder):
    for name in ("t.parquet", "t.csv", "t.jsonl"):
        assert "3 events" in shoal_events("state", "--out", name, cwd=folder).stdout
    assert pq.read_table(folder / "t.parquet").column("children").to_pylist() == [[], [0, 3], []]
    assert pa_csv.read_csv(folder / "t.csv").column("kind").to_pylist() == ["born", "split", "grew"]
    assert json.loads((folder / "t.jsonl").read_text().splitlines()[1])["cluster"] == 0


def test_wrong_words_are_one_clear_line(folder):
    for options in (("state", "--kind", "exploded"), ("state", "--from", "yesterday-ish"), ("nowhere",)):
        done = shoal_events(*options, cwd=folder, ok=False)
        assert done.stderr.startswith("shoal: ")
        assert "Traceback" not in done.stderr


def test_small_times_are_no_dates():
    assert when(None) == ""
    assert when(1234.0) == "1,234  "
