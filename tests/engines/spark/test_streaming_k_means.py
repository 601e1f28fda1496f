"""StreamingKMeans: forgetting by event time, whatever the batches."""

from typing import Any

import numpy as np
import pytest

pytest.importorskip("pyspark")

import itertools

from shoal.engines.spark import StreamingKMeans, StreamingKMeansModel
from shoal.errors import BadInputError

RNG = np.random.default_rng(7)
T = np.sort(RNG.uniform(0, 40_000, 400))
X = RNG.normal(size=(400, 2)) + np.where(T < 20_000, -6.0, 6.0)[:, None]
WEIGHTS = 2.0 ** ((T - T.max()) / 3600)


@pytest.fixture(scope="module")
def df(spark: Any) -> Any:
    import pyarrow as pa

    return spark.createDataFrame(pa.table({"id": np.arange(400), "v": list(X), "t": T})).repartition(3)


def estimator(**more: Any) -> StreamingKMeans:
    return StreamingKMeans(k=2, featuresCol="v", timeCol="t", idCol="id", halfLife="1h", **more)


def test_rows_count_half_after_the_half_life(df: Any) -> None:
    found = estimator().fit(df)
    points = found.coreset.points()
    mine = {tuple(x): w for x, w in zip(points.X, points.weights, strict=True)}
    expected = {tuple(x): w for x, w in zip(X, WEIGHTS, strict=True)}
    assert mine.keys() == expected.keys()
    assert all(mine[x] == pytest.approx(expected[x], rel=1e-9) for x in mine)
    assert sum(found.summary.clusterSizes) == pytest.approx(WEIGHTS.sum())


@pytest.mark.parametrize("cuts", [[200], [50, 51, 300]])
def test_how_rows_came_does_not_matter(df: Any, cuts: list[int]) -> None:
    """Late rows too: the parts are learned last first."""
    bounds = [0, *cuts, 400]
    parts = [df.where(f"id >= {a} and id < {b}") for a, b in itertools.pairwise(bounds)][::-1]
    model: StreamingKMeansModel = estimator().fit(parts[0])
    for part in parts[1:]:
        model = model.update(part)
    at_once = estimator().fit(df).coreset
    a, b = (dict(zip(map(tuple, c.points().X), c.points().weights)) for c in (model.coreset, at_once))
    assert a.keys() == b.keys()
    assert all(a[x] == pytest.approx(b[x], rel=1e-12) for x in a)
    assert model.coreset.totals.mean() == pytest.approx(at_once.totals.mean(), rel=1e-12)


def test_saved_models_go_on(spark: Any, df: Any, tmp_path: Any) -> None:
    first = estimator().fit(df.where("id < 200"))
    first.save(str(tmp_path / "m"))
    again = StreamingKMeansModel.load(str(tmp_path / "m"))
    assert again.coreset.half_life == 3600
    rest = df.where("id >= 200")
    assert again.update(rest).coreset.to_bytes() == first.update(rest).coreset.to_bytes()


def test_a_half_life_needs_times() -> None:
    with pytest.raises(BadInputError, match="'soon' is no stretch"):
        StreamingKMeans(halfLife="soon")
    with pytest.raises(BadInputError, match="halfLife is '500'"):
        StreamingKMeans(halfLife="500")


def test_no_time_column(df: Any) -> None:
    with pytest.raises(BadInputError, match="name their column in timeCol"):
        StreamingKMeans(k=2, featuresCol="v", halfLife=60.0).fit(df)
