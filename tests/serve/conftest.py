"""Models to serve: of a table with categories, and of vectors alone."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pa_csv
import pytest

import shoal
from shoal.engines.stream.run import StreamRun
from shoal.engines.stream.settings import Span, StreamSettings
from shoal.features.spec import RecipeSpec
from shoal.model.build import build_model
from shoal.model.cluster_model import Provenance
from shoal.model.persistence import save_model
from shoal.solve.k_means import k_means
from shoal.sources.drifting import DriftingStream
from shoal.sources.options import ReadOptions
from shoal.sources.stream_open import open_stream

START = 1_767_225_600.0
"""Of the stream's time."""


@pytest.fixture(scope="session")
def frame():
    rng = np.random.default_rng(0)
    n = 300
    kinds = rng.choice(["flat", "house"], n)
    price = rng.normal(100, 5, n) + 400 * (kinds == "house")
    return pd.DataFrame({"price": price, "kind": kinds, "rooms": rng.integers(1, 9, n).astype(float)})


@pytest.fixture(scope="session")
def houses(frame, tmp_path_factory):
    """A saved model with scaling and one-hot columns, and its clustering."""
    path = tmp_path_factory.mktemp("models") / "houses"
    return path, shoal.fit(frame, 3, columns=("price", "rooms"), one_hot=("kind",)).save(path)


@pytest.fixture(scope="session")
def rows():
    return np.random.default_rng(1).normal(size=(50, 4)).astype(np.float32)


@pytest.fixture(scope="session")
def plain(rows, tmp_path_factory):
    """A saved model of vectors, without a recipe."""
    path = tmp_path_factory.mktemp("models") / "plain"
    model = build_model(rows, np.ones(50), k_means(rows, 3), provenance=Provenance(rows_seen=50))
    return path, save_model(model, path)


@pytest.fixture(scope="session")
def embedded(rows, tmp_path_factory):
    """A saved model of one column of vectors."""
    path = tmp_path_factory.mktemp("models") / "embedded"
    return path, shoal.fit(rows, 3).save(path)


@pytest.fixture(scope="session")
def stream_state(tmp_path_factory):
    """The state of a stream of two columns that has ended: 20,000 rows in 40 minutes, a bucket every five."""
    folder = tmp_path_factory.mktemp("stream")
    X, times, _ = DriftingStream(20_000, seconds=2400.0, start=START).rows(0, 20_000)
    pa_csv.write_csv(pa.table({"at": times, "x": X[:, 0], "y": X[:, 1]}), folder / "rows.csv")
    settings = StreamSettings(
        k=(2, 8),
        time="at",
        half_life=Span(seconds=90.0),
        every=Span(seconds=60.0),
        recipe=RecipeSpec(columns=("x", "y"), scale="none"),
        bucket=300.0,
    )
    rows = open_stream(
        str(folder / "rows.csv"), follow=False, options=ReadOptions(on_error="skip"), state=folder / "clicks"
    )
    StreamRun(rows, settings, folder / "clicks").run()
    return folder / "clicks"


@pytest.fixture(scope="session")
def topic_file(tmp_path_factory):
    """Topics of hashed words, which need no language model."""
    path = tmp_path_factory.mktemp("topics") / "tickets.shoal"
    about = ("lost card stolen", "exchange rate euro", "top up failed", "transfer pending bank")
    texts = [
        f"{said} {word}" for said in about for word in ["today", "now", "please", "help", "again", "here"]
    ]
    shoal.TopicModel(4, embedder="hashed").fit(texts).save(path)
    return path
