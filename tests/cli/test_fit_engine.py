"""``shoal fit --engine``: the options, and one whole run on Spark."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from shoal.cli.app import app
from shoal.engines.local import load

has_java = shutil.which("java") is not None or "JAVA_HOME" in os.environ
has_pyspark = importlib.util.find_spec("pyspark") is not None
needs_pyspark = pytest.mark.skipif(not has_pyspark, reason="pyspark is not installed")
needs_spark = pytest.mark.skipif(not (has_pyspark and has_java), reason="pyspark or Java is missing")


@pytest.fixture
def blobs(tmp_path):
    rng = np.random.default_rng(0)
    X = np.array([[0, 0], [20, 0], [0, 20]])[rng.integers(3, size=900)] + rng.normal(size=(900, 2))
    pd.DataFrame(X, columns=["a", "b"]).to_csv(tmp_path / "blobs.csv", index=False)
    return tmp_path


def refused(*arguments, stdin=None):
    """The error a command ends with, in this process."""
    found = CliRunner().invoke(app, [str(a) for a in arguments], input=stdin)
    assert found.exit_code != 0
    return str(found.exception) if not isinstance(found.exception, SystemExit) else found.output


def test_options_of_the_other_engine_are_refused(blobs):
    fit = ("fit", blobs / "blobs.csv", "-k", 3, "--out", blobs / "m")
    assert refused(*fit, "--master", "local[2]") == "--master is for --engine spark; add --engine spark"
    assert refused(*fit, "--remote", "sc://x") == "--remote is for --engine spark; add --engine spark"
    spark = (*fit, "--engine", "spark")
    assert "--threads is for --engine local" in refused(*spark, "--threads", 2)
    assert "both given" in refused(*spark, "--master", "local", "--remote", "sc://x")
    assert "'flink' is not one of" in refused(*fit, "--engine", "flink")
    assert "table:t: only Spark has tables" in refused("fit", "table:t", "-k", 3, "--out", blobs / "m")
    assert not (blobs / "m").exists()


def test_the_local_engine_stays_the_default(blobs):
    done = CliRunner().invoke(app, ["fit", str(blobs / "blobs.csv"), "-k", "3", "--out", str(blobs / "m")])
    assert done.exit_code == 0
    assert load(blobs / "m").summary.count == 900


def test_a_missing_package_is_one_line(blobs, monkeypatch):
    import shoal.engines.spark as spark

    monkeypatch.setattr(spark, "find_spec", lambda name: None)
    said = refused("fit", blobs / "blobs.csv", "-k", 3, "--engine", "spark", "--out", blobs / "m")
    assert said == "Spark's Python package is missing: pip install 'shoal[spark]'"


@needs_pyspark
def test_wrong_files_are_found_before_spark_starts(blobs, monkeypatch):
    from shoal.engines.spark import sessions

    monkeypatch.setattr(sessions, "_started", lambda master, remote: pytest.fail("Spark was started"))
    monkeypatch.setattr(sessions, "active", lambda: None)
    spark = ("-k", 3, "--engine", "spark", "--out", blobs / "m")
    assert "nope.csv: no such file" in refused("fit", blobs / "nope.csv", *spark)
    assert "no column named 'c'" in refused("fit", blobs / "blobs.csv", "--columns", "a,c", *spark)
    assert "a pipe cannot be read by workers on other machines" in refused(
        "fit", "-", *spark, stdin="a,b\n1,2\n"
    )


@needs_pyspark
def test_no_java_and_nobody_listening_are_one_line(blobs, monkeypatch):
    from shoal.engines.spark import sessions

    monkeypatch.setattr(sessions, "active", lambda: None)
    spark = ("fit", blobs / "blobs.csv", "-k", 3, "--engine", "spark", "--out", blobs / "m")
    said = refused(*spark, "--remote", "sc://127.0.0.1:1")
    assert said.startswith("Spark at sc://127.0.0.1:1 cannot be reached (")
    monkeypatch.setenv("JAVA_HOME", str(blobs))
    assert "where there is no bin/java; install one" in refused(*spark)
    monkeypatch.delenv("JAVA_HOME")
    monkeypatch.setenv("PATH", str(blobs))
    assert "Java of version 17 or later, and there is none" in refused(*spark)


@needs_spark
def test_fit_on_spark_from_end_to_end(blobs):
    """A process of its own: what Spark prints must not be seen."""
    arguments = ["fit", "blobs.csv", "-k", "3", "--out", "m", "--json"]
    run = [sys.executable, "-c", "from shoal.cli import main; main()", *arguments]
    spark = ["--engine", "spark", "--master", "local[2]"]
    environment = {n: v for n, v in os.environ.items() if n not in ("PYSPARK_PYTHON", "SPARK_REMOTE")}
    done = subprocess.run(
        [*run, *spark], cwd=blobs, capture_output=True, text=True, timeout=300, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    found = json.loads(done.stdout)
    due = json.loads(
        subprocess.run(run, cwd=blobs, capture_output=True, text=True, timeout=300, check=True).stdout
    )
    for of_the_run in ("seconds", "created", "version"):  # the version is a hash that takes in the others
        del found[of_the_run], due[of_the_run]
    assert found == due
    assert load(blobs / "m").model.k == 3
