"""``shoal window`` as a user runs it: real processes, real stores."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from shoal.cli.window import parse_time, parse_window
from shoal.engines.local import fit
from shoal.errors import BadInputError
from shoal.features.spec import RecipeSpec
from shoal.model.persistence import load_both
from shoal.model.time_pyramid import Pyramid
from shoal.model.time_store import TimeStore

HOUR = 3600.0
BEGAN = datetime(2026, 1, 1, tzinfo=UTC).timestamp()


def shoal_window(*arguments, cwd, ok=True):
    command = [sys.executable, "-c", "from shoal.cli import main; main()", "window", *map(str, arguments)]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300)
    assert (done.returncode == 0) == ok, done.stderr
    return done


@pytest.fixture(scope="module")
def state(tmp_path_factory):
    """Twelve hours of 2026-01-01: three places, of which the last moves away after six."""
    folder = tmp_path_factory.mktemp("stream")
    rng = np.random.default_rng(0)
    tables = []
    for hour in range(12):
        places = np.array([[0, 0], [2000, 0], [0, 20] if hour < 6 else [2000, 20]])
        X = places[rng.integers(3, size=200)] + rng.normal(size=(200, 2)) * [100, 1]
        tables.append(pa.table({"price": X[:, 0], "rooms": X[:, 1]}))
    recipe = RecipeSpec().learn(pa.concat_tables(tables), place="t")
    with TimeStore(folder / "state/buckets", pyramid=Pyramid(newest=8, then=4)) as store:
        store.set_recipe(recipe.to_dict(), "euclidean")
        for hour, table in enumerate(tables):
            store.add(BEGAN + hour * HOUR, fit(table, 1, recipe=recipe).summary, piece="1")
        store.settle()
    return folder


def test_alone_it_lists_what_is_held(state):
    said = shoal_window("state", cwd=state)
    lines = [line.split() for line in said.stdout.splitlines()]
    assert lines[0] == ["resolution", "from", "to", "buckets", "rows", "kept", "bytes"]
    assert lines[1][:7] == ["1", "h", "2026-01-01T04:00:00", "2026-01-01T12:00:00", "8", "1,600", "1,600"]
    assert lines[2][:7] == ["2", "h", "2026-01-01T00:00:00", "2026-01-01T04:00:00", "2", "800", "800"]
    assert "2,400 rows in" in said.stdout
    data = json.loads(shoal_window("state/buckets", "--json", cwd=state).stdout)
    assert data["rows"] == 2400
    assert [x["resolution"] for x in data["levels"]] == [HOUR, 2 * HOUR]
    assert data["given_up"] == []
    assert data["over_budget"] is False


def test_a_window_is_clustered_saved_reported_and_drawn(state):
    said = shoal_window(
        "state", "--from", "2026-01-01T04:00", "--to", "2026-01-01T06:00", "-k", 3, "--out", "m",
        "--report", "m.html", "--plot", "m.png", cwd=state,
    )  # fmt: skip
    assert "400 rows from 2026-01-01T04:00:00 to 2026-01-01T06:00:00" in said.stdout
    assert "price" in said.stdout
    assert said.stderr == ""
    model, summary = load_both(state / "m")
    assert (model.k, summary.count) == (3, 400)
    assert (state / "m.html").read_text().startswith("<!")
    assert (state / "m.png").read_bytes().startswith(b"\x89PNG")
    data = json.loads(shoal_window("state", "--from", "-6h", "-k", "2:5", "--json", cwd=state).stdout)
    assert data["clustering"]["k"] == 3
    assert data["clustering"]["rows_seen"] == 1200
    assert (data["from"], data["to"], data["widened"]) == (BEGAN + 6 * HOUR, BEGAN + 12 * HOUR, False)
    centres = sorted(round(c["centre"]["price"] / 1000) for c in data["clustering"]["clusters"])
    assert centres == [0, 2, 2]  # in the units of the data


def test_a_window_wider_than_asked_says_so(state):
    said = shoal_window("state", "--from", "2026-01-01T01:00", "--to", "2026-01-01T02:00", "-k", 2, cwd=state)
    assert "400 rows from 2026-01-01T00:00:00 to 2026-01-01T02:00:00" in said.stdout
    assert "2026-01-01T01:00:00 to 2026-01-01T02:00:00 lies inside buckets kept as a whole" in said.stderr


def test_two_windows_are_compared(state):
    arguments = ("state", "--from", "-6h", "--compare", "..-6h", "-k", "3")
    data = json.loads(shoal_window(*arguments, "--json", cwd=state).stdout)
    assert data["before"]["clustering"]["rows_seen"] == 1200
    ids, earlier = ({c["id"] for c in d["clustering"]["clusters"]} for d in (data, data["before"]))
    assert len(ids & earlier) == 2
    told = {e["kind"]: e["cluster"] for e in data["events"]}
    assert {told["born"]} == ids - earlier
    assert {told["died"]} == earlier - ids
    said = shoal_window(*arguments, cwd=state).stdout
    assert f"{told['born']}" in said
    assert "born" in said or "new" in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nowhere",), "nowhere is neither a store of time buckets nor the state of a stream"),
        (("state", "--from", "yesterday"), "'yesterday' is no time; write 2026-01-31"),
        (("state", "--from", "2027-01-01"), "holds no rows of that time; it holds 2026-01-01T00:00:00 to"),
        (("state", "--compare", "-4h"), "'-4h' is no window; write FROM..TO"),
        (("state", "-k", "x"), "'x' is no range"),
        (("state", "-k", "500", "--from", "-1h"), "k=500"),
        (("state", "--give-up", "f.shoal"), "knows no file f.shoal"),
        (("state", "--from", "2026-01-01T01:00", "--compare", "..2026-01-01T01:00", "-k", "2"), "both windows have a part in"),
    ],
)  # fmt: skip
def test_what_a_user_gets_wrong_is_one_clear_line(state, arguments, message):
    said = shoal_window(*arguments, cwd=state, ok=False)
    assert said.returncode == 2
    assert message in said.stderr
    assert "Traceback" not in said.stderr
    assert said.stdout == ""


def test_a_damaged_file_is_given_up(tmp_path):
    with TimeStore(tmp_path / "s") as store:
        part = fit(np.arange(40.0).reshape(20, 2), 1)
        store.set_recipe(part.model.recipe)
        store.add(0, part.summary, piece="1")
        store.add(HOUR, part.summary, piece="2")
        store.remove_pieces("2")
        store.add(HOUR, fit(np.arange(60.0).reshape(30, 2), 1, recipe=part.recipe).summary, piece="2")
    largest = max((tmp_path / "s").glob("*.shoal"), key=lambda p: p.stat().st_size)
    largest.write_bytes(b"")
    said = shoal_window("s", "-k", 2, cwd=tmp_path, ok=False).stderr
    assert f"{largest.name} was cut short" in said
    assert "30 rows" in said
    listed = shoal_window("s", "--give-up", largest.name, cwd=tmp_path)
    assert "20 rows in" in listed.stdout
    assert "damaged: 1 time, 30 rows" in listed.stderr
    found = shoal_window("s", "-k", 2, cwd=tmp_path)
    assert "20 rows from" in found.stdout


def test_times_and_windows_in_all_spellings():
    assert parse_time("2026-01-01", 0.0) == BEGAN
    assert parse_time("2026-01-01T02:00+02:00", 0.0) == BEGAN
    assert parse_time("2026-01-01 00:00:00Z", 0.0) == BEGAN
    assert parse_time(str(BEGAN), 0.0) == BEGAN
    assert parse_time("-90min", BEGAN) == BEGAN - 1.5 * HOUR
    assert parse_time("-1.5h", BEGAN) == parse_time("-90m", BEGAN)
    assert parse_time("-5", BEGAN) == -5.0
    assert parse_window("-4h..-2h", BEGAN) == (BEGAN - 4 * HOUR, BEGAN - 2 * HOUR)
    assert parse_window("..", BEGAN) == (None, None)
    with pytest.raises(BadInputError, match="empty"):
        parse_time("-2h", None)
    for wrong in ("2h..", "2h", "", "h", "2026-13-01", "-2 parsecs", "nan", "inf", "1e999"):
        with pytest.raises(BadInputError, match=r"no time|no window"):
            parse_time(wrong, 1.0)


def test_help_shows_every_option():
    said = shoal_window("--help", cwd=Path.cwd()).stdout
    for option in ("--from", "--to", "--compare", "--report", "--plot", "--give-up", "--json"):
        assert option in said
