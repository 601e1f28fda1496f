"""The commands as a user runs them: real processes, real files, exit codes and one clear line for an error."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

DATA = Path(__file__).parents[3] / "shared/data"
HOUSES = DATA / "california_housing/housing.csv"
GDELT = DATA / "gdelt"
needs_data = pytest.mark.skipif(not DATA.exists(), reason="../shared/data is not here")


def shoal(*arguments, cwd, ok=True, stdin=None):
    command = [sys.executable, "-c", "from shoal.cli import main; main()", *map(str, arguments)]
    done = subprocess.run(command, cwd=cwd, input=stdin, capture_output=True, text=True, timeout=300)
    if ok:
        assert done.returncode == 0, done.stderr
    return done


@pytest.fixture
def blobs(tmp_path):
    rng = np.random.default_rng(0)
    X = np.array([[0, 0], [20, 0], [0, 20]])[rng.integers(3, size=900)] + rng.normal(size=(900, 2))
    frame = pd.DataFrame(X, columns=["a", "b"])
    frame["kind"] = np.where(X[:, 0] > 10, "east", "west")
    frame.to_csv(tmp_path / "blobs.csv", index=False)
    frame[:400].to_csv(tmp_path / "first.csv", index=False)
    frame[400:].to_csv(tmp_path / "rest.csv", index=False)
    return tmp_path


def test_ctrl_c_while_the_command_is_loaded_is_no_error(tmp_path):
    code = """
import sys

class Interrupted:
    def find_spec(self, name, path=None, target=None):
        if name == "pyarrow":  # as if it had come then
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupted())
from shoal.cli import main
main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (130, "")


def test_all_that_the_package_offers_is_there():
    import shoal as package

    for name in package.__all__:
        assert getattr(package, name).__name__ == name
        assert name in dir(package)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = package.nothing


def test_fit_assign_inspect_plot_report(blobs):
    said = shoal("fit", "blobs.csv", "-k", 3, "--out", "m", cwd=blobs)
    assert "900 rows from 1 file" in said.stdout
    assert said.stderr == "not used: kind (text)\n"  # and no progress bar in a pipe
    shoal("assign", "m", "blobs.csv", "--keep", "kind", "--out", "labels.parquet", cwd=blobs)
    labels = pq.read_table(blobs / "labels.parquet").to_pandas()
    assert len(labels) == 900
    assert labels.groupby("cluster")["kind"].nunique().max() == 1
    data = json.loads(shoal("inspect", "m", "--json", cwd=blobs).stdout)
    assert data["k"] == 3
    assert sum(c["share"] for c in data["clusters"]) == pytest.approx(1)
    assert sorted(round(c["centre"]["a"]) for c in data["clusters"]) == [0, 0, 20]
    assert "Calinski" in shoal("inspect", "m", cwd=blobs).stdout.title()
    for kind in ("map", "sizes", "centres", "steps"):
        shoal("plot", "m", "--kind", kind, "--out", f"{kind}.png", cwd=blobs)
        assert (blobs / f"{kind}.png").read_bytes().startswith(b"\x89PNG")
    shoal("plot", "m", "--x", "b", "--y", "a", "--out", "map.svg", cwd=blobs)
    assert "<svg" in (blobs / "map.svg").read_text()
    shoal("report", "m", "--out", "m.html", cwd=blobs)
    page = (blobs / "m.html").read_text()
    assert "blobs.csv" in page
    assert "900" in page


def test_names_given_to_clusters_are_shown_and_stay(blobs):
    shoal("fit", "blobs.csv", "-k", 3, "--out", "m", cwd=blobs)
    assert shoal("name", "m", 1, " night  owls", cwd=blobs).stdout == "1  night owls\n"
    shoal("update", "m", "blobs.csv", cwd=blobs)
    shoal("name", "m", 2, "$x_2$ " + "long " * 30, cwd=blobs)
    assert "night owls" in shoal("inspect", "m", cwd=blobs).stdout
    shoal("report", "m", "--out", "m.html", cwd=blobs)
    assert "night owls (1)" in (blobs / "m.html").read_text()
    shoal("plot", "m", "--kind", "sizes", "--out", "sizes.svg", cwd=blobs)
    assert "night owls (1)" in (blobs / "sizes.svg").read_text()
    shoal("name", "m", 1, "--drop", cwd=blobs)
    assert list(json.loads(shoal("name", "m", "--json", cwd=blobs).stdout)["names"]) == ["2"]
    for wrong, told in (
        (["m", 9, "far"], "there is no cluster 9; use one of 0, 1, 2"),
        (["m", 1, "--drop"], "cluster 1 has no name"),
        (["m", "--drop"], "--drop needs a cluster"),
        (["m", 2, "x", "--drop"], "--drop takes no name"),
        (["m", 2, " "], "a name has 1 to 200 characters"),
    ):
        done = shoal("name", *wrong, cwd=blobs, ok=False)
        assert (done.returncode, told in done.stderr) == (2, True), done.stderr


def test_sweep_finds_k_and_draws_the_elbow(blobs):
    said = shoal("sweep", "blobs.csv", "-k", "2:6", "--columns", "a,b", "--out", "s", cwd=blobs)
    assert "suggested k = 3" in said.stdout
    assert (blobs / "s/elbow.png").read_bytes().startswith(b"\x89PNG")
    data = json.loads(
        shoal("sweep", "blobs.csv", "-k", "2,3,5", "--columns", "a,b", "--json", cwd=blobs).stdout
    )
    assert [c["k"] for c in data["choice"]["candidates"]] == [2, 3, 5]
    shoal("plot", "s", "--kind", "choice", "--out", "c.png", cwd=blobs)
    again = shoal("sweep", "blobs.csv", "-k", "2:4", "--columns", "a,b", "--out", "s", cwd=blobs)
    assert "saved to s" in again.stdout


def test_update_and_merge_reach_what_one_fit_reaches(blobs):
    options = ("-k", 3, "--columns", "a,b", "--scale", "none")
    shoal("fit", "blobs.csv", *options, "--out", "whole", cwd=blobs)
    shoal("fit", "first.csv", *options, "--out", "a", cwd=blobs)
    shoal("fit", "rest.csv", "-k", 3, "--like", "a", "--out", "b", cwd=blobs)
    shoal("merge", "a", "b", "--out", "merged", cwd=blobs)
    shoal("update", "a", "rest.csv", cwd=blobs)

    def centres(model):
        data = json.loads(shoal("inspect", model, "--json", cwd=blobs).stdout)
        assert data["rows_seen"] == 900
        return sorted((c["centre"]["a"], c["centre"]["b"]) for c in data["clusters"])

    whole = np.array(centres("whole"))
    np.testing.assert_allclose(centres("merged"), whole, rtol=1e-5)
    np.testing.assert_allclose(centres("a"), whole, rtol=1e-5)


def test_one_hot_where_and_recipe_file(blobs):
    shoal(
        "fit",
        "blobs.csv",
        "-k",
        2,
        "--columns",
        "a",
        "--one-hot",
        "kind",
        "--where",
        "b < 10",
        "--out",
        "m",
        cwd=blobs,
    )
    data = json.loads(shoal("inspect", "m", "--json", cwd=blobs).stdout)
    assert {"a", "kind=east", "kind=west"} <= set(data["clusters"][0]["centre"])
    assert data["rows_filtered"] > 200
    (blobs / "r.toml").write_text('columns = ["a"]\none_hot = ["kind"]\nwhere = "b < 10"\n')
    shoal("fit", "blobs.csv", "-k", 2, "--recipe", "r.toml", "--out", "n", cwd=blobs)
    assert json.loads(shoal("inspect", "n", "--json", cwd=blobs).stdout)["clusters"] == data["clusters"]


def test_standard_input(blobs):
    text = (blobs / "blobs.csv").read_text()
    said = shoal("fit", "-", "-k", 3, "--columns", "a,b", "--out", "m", cwd=blobs, stdin=text)
    assert "900 rows" in said.stdout
    for keep in ("", "kind", "*"):
        shoal("assign", "m", "-", "--keep", keep, "--out", "l.parquet", cwd=blobs, stdin=text)
        assert pq.read_metadata(blobs / "l.parquet").num_rows == 900


@needs_data
def test_houses_as_in_the_readme(tmp_path):
    columns = "longitude,latitude,median_income"
    shoal("fit", HOUSES, "-k", 6, "--columns", columns, "--out", "houses", cwd=tmp_path)
    shoal("assign", "houses", HOUSES, "--out", "labels.parquet", cwd=tmp_path)
    labels = pq.read_table(tmp_path / "labels.parquet")
    assert labels.num_rows == 20640
    assert labels["cluster"].null_count == 0
    assert len(set(labels["cluster"].to_pylist())) == 6


@needs_data
def test_gdelt_as_in_the_readme(tmp_path):
    said = shoal(
        "sweep", GDELT / "20130401.export.CSV.gz", "-k", "2:12", "--out", "gdelt-k",
        "--names", GDELT / "events_column_names.csv",
        "--columns", "numarticles,avgtone,actor1geo_lat,actor1geo_long,actor2geo_lat,actor2geo_long",
        "--one-hot", "eventcode", "--top", 20, "--other", "drop", "--nulls", "skip",
        "--where", "not (actor1geo_lat = 0 and actor1geo_long = 0) and not (actor2geo_lat = 0 and actor2geo_long = 0)",
        cwd=tmp_path,
    )  # fmt: skip
    assert "12,3" in said.stdout  # rows left
    data = json.loads(shoal("inspect", "gdelt-k", "--json", cwd=tmp_path).stdout)
    assert len(data["clusters"][0]["centre"]) == 26  # as in the example this follows
    assert [c["k"] for c in data["choice"]["candidates"]] == list(range(2, 13))
    assert (tmp_path / "gdelt-k/elbow.png").exists()


ERRORS = {
    "no file": (("fit", "nowhere.csv", "-k", 2, "--out", "m"), ["nowhere.csv"]),
    "unknown column": (
        ("fit", "blobs.csv", "-k", 2, "--columns", "a,bb", "--out", "m"),
        ["'bb'", "did you mean b"],
    ),
    "text column": (("fit", "blobs.csv", "-k", 2, "--columns", "kind", "--out", "m"), ["kind", "--one-hot"]),
    "too many clusters": (("fit", "blobs.csv", "-k", 5000, "--out", "m"), ["900 rows", "choose k"]),
    "bad condition": (("fit", "blobs.csv", "-k", 2, "--where", "a >", "--out", "m"), ["a >"]),
    "bad range": (("sweep", "blobs.csv", "-k", "9:2"), ["9:2", "2:12"]),
    "no model": (("inspect", "nowhere"), ["nowhere", "manifest.json"]),
    "bad size": (("fit", "blobs.csv", "-k", 2, "--max-bytes", "lots", "--out", "m"), ["lots", "64MB"]),
    "bad picture": (("plot", "whole", "--out", "x.bmp"), ["bmp"]),
    "one to merge": (("merge", "whole", "--out", "m"), ["two or more"]),
    "foreign directory": (("fit", "blobs.csv", "-k", 2, "--out", "."), ["not a Shoal model"]),
}


@pytest.mark.parametrize(("command", "words"), ERRORS.values(), ids=ERRORS.keys())
def test_errors_are_one_clear_line_with_exit_code_2(blobs, command, words):
    if "whole" in command:
        shoal("fit", "blobs.csv", "-k", 2, "--out", "whole", cwd=blobs)
    before = sorted(p.name for p in blobs.iterdir())
    done = shoal(*command, cwd=blobs, ok=False)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("shoal: ")
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr
    assert sorted(p.name for p in blobs.iterdir()) == before  # nothing half-written


def test_a_bad_value_is_named_and_skipped_on_request(blobs):
    lines = (blobs / "blobs.csv").read_text().splitlines()
    lines[17] = "oops,1.0,west"
    (blobs / "bad.csv").write_text("\n".join(lines))
    done = shoal("fit", "bad.csv", "-k", 3, "--out", "m", cwd=blobs, ok=False)
    assert done.returncode == 2
    assert "bad.csv, row 17, column 'a'" in done.stderr
    assert "oops" in done.stderr
    assert "--on-error skip" in done.stderr
    assert not (blobs / "m").exists()
    said = shoal("fit", "bad.csv", "-k", 3, "--out", "m", "--on-error", "skip", cwd=blobs)
    assert "899 rows" in said.stdout
    assert "rejected 1" in said.stderr


@pytest.mark.parametrize(
    "command", ["fit", "sweep", "update", "merge", "assign", "inspect", "plot", "report", "demo"]
)
def test_help_teaches_with_an_example(command, tmp_path):
    text = shoal(command, "--help", cwd=tmp_path).stdout
    assert "Usage" in text
    assert command == "demo" or f"shoal {command}" in text


def test_closed_standard_streams_are_no_crash(blobs):
    command = f"{sys.executable} -c 'from shoal.cli import main; main()'"
    done = subprocess.run(
        f"{command} fit - -k 2 --out m <&-", shell=True, cwd=blobs, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "standard input is closed" in done.stderr


def test_stopping_leaves_nothing_half_written(tmp_path):
    command = [
        sys.executable,
        "-c",
        "from shoal.cli import main; main()",
        "fit",
        "-",
        "-k",
        "2",
        "--out",
        "m",
    ]
    running = subprocess.Popen(
        command, cwd=tmp_path, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1
    )
    running.stdin.write("a,b\n" + "1.5,2.5\n" * 1_000_000)  # more than a pipe holds: written means being read
    running.send_signal(signal.SIGINT)
    said = running.stderr.read()
    assert running.wait(timeout=60) == 130
    assert said.startswith("shoal: stopped")
    assert list(tmp_path.iterdir()) == []


def test_usage_errors_have_exit_code_2(tmp_path):
    done = shoal("fit", "x.csv", cwd=tmp_path, ok=False)
    assert done.returncode == 2
    assert "--k" in done.stderr or "-k" in done.stderr


@pytest.mark.slow
def test_the_demo_runs(tmp_path):
    said = shoal("demo", "--out", "d", cwd=tmp_path).stdout
    assert "suggested k" in said
    made = {p.name for p in (tmp_path / "d").iterdir()}
    assert {"china.html", "digits.html", "china-map.png", "digits-choice.png", "china-labels.parquet"} <= made
    assert pq.read_metadata(tmp_path / "d/china-labels.parquet").num_rows == 273_280
