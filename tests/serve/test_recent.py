"""Recent rows: those of a stream and of requests, with places, reasons and their own values."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import shoal
from shoal.engines.stream.recent import RECENT, SCHEMA
from shoal.serve.chart import Charts
from shoal.serve.feed import Feed
from shoal.serve.models import Models
from shoal.serve.recent import OUTLIERS, PER_REQUEST, RecentRows, reason
from shoal.serve.rows import read_rows
from shoal.serve.scene import Scenes

BANKING = Path(__file__).parents[3] / "shared/data/banking77/train.csv"


def watched(path):
    served = Models({"m": path}).get("m")
    scenes, feed = Scenes(Charts()), Feed(after=0)
    return served, scenes, feed, RecentRows(scenes, feed)


def label(served, recent, rows, texts=None):
    body = json.dumps({"rows": rows}).encode()
    vectors = read_rows(served, "application/json", body)
    recent.labelled(served, vectors.matrix, served.model.assign(vectors.matrix), texts)
    recent.look(served)
    return vectors.matrix


def test_an_outlier_comes_with_its_values_its_place_and_the_column_that_makes_it_one(houses):
    served, scenes, feed, recent = watched(houses[0])
    far = {"price": 9000.0, "rooms": 3.0, "kind": "flat"}
    matrix = label(served, recent, [far, {"price": 100.0, "rooms": 4.0, "kind": "flat"}])
    (message,) = feed.since(0)
    assert message.kind == "points"
    points = message.data["points"]
    assert [p["outlier"] is not None for p in points] == [True, False]
    outlier = points[0]["outlier"]
    assert outlier["row"] == pytest.approx(far, abs=0.01)
    assert outlier["reason"].startswith("price 9,000, centre ")
    assert "of the distance" in outlier["reason"]
    place = scenes.get(served).chart.place(matrix)[0]
    assert outlier["at"] == pytest.approx(place.tolist(), rel=1e-4)
    assert recent.outliers(served) == [outlier]
    found = served.model.assign(matrix)
    assert outlier["cluster"] == found.ids[0]
    assert outlier["distance"] == pytest.approx(found.distances[0], rel=1e-4)


def test_a_category_is_a_reason_too(houses):
    served, scenes, _, _ = watched(houses[0])
    names = list(served.recipe.feature_names)
    house = names.index("kind=house")
    position = int(served.model.centres[:, house].argmin())
    vector = served.model.centres[position].copy()
    vector[house] += 1.0
    vector[names.index("kind=flat")] -= 1.0
    told = reason(scenes.get(served), vector, position, 0.999)
    assert told == "kind = house, as 0% of its cluster (100% of the distance)"


def test_a_sample_of_a_request_is_even_and_small(plain):
    served, _, feed, recent = watched(plain[0])
    X = np.random.default_rng(0).normal(size=(5000, 4))
    X[-1] = 50.0
    recent.labelled(served, X, served.model.assign(X))
    recent.look(served)
    (message,) = feed.since(0)
    assert len(message.data["points"]) == PER_REQUEST
    assert message.data["points"][-1]["outlier"]["row"] == {f"x{j}": 50.0 for j in range(4)}
    recent.look(served)
    assert len(feed.since(0)) == 1  # told once


def test_the_newest_outliers_are_kept_newest_first_and_not_without_end(plain):
    served, _, _, recent = watched(plain[0])
    for i in range(80):
        X = np.full((1, 4), 20.0 + i)
        recent.labelled(served, X, served.model.assign(X))
    recent.look(served)
    kept = recent.outliers(served)
    assert [o["row"]["x0"] for o in kept] == [99.0 - i for i in range(OUTLIERS)]


def write(path, rows):
    table = pa.Table.from_pylist(rows, schema=SCHEMA)
    temporary = path.with_name(".new")
    with pa.OSFile(str(temporary), "wb") as sink, pa.ipc.new_file(sink, SCHEMA) as writer:
        writer.write_table(table)
    temporary.replace(path)


def row(i, far=False, vector=(0.0, 0.0), **values):
    held = {"row": i, "time": 1.7e9 + i, "cluster": 0, "model": 1, "distance": 1.0, "outlier_score": 0.5}
    return held | {"far": far, "vector": list(vector), "values": json.dumps(values)}


def test_rows_that_a_stream_leaves_are_told_once(stream_state, tmp_path):
    served, _, feed, recent = watched(stream_state)
    kept = (stream_state / RECENT).read_bytes()
    try:
        write(stream_state / RECENT, [row(i) for i in range(5)])
        recent.look(served)
        write(
            stream_state / RECENT,
            [*(row(i) for i in range(2, 5)), row(9, True, (500.0, 0.0), x=500.0, y=0.0)],
        )
        recent.look(served)
        recent.look(served)
        first, second = (m.data["points"] for m in feed.since(0))
        assert (len(first), len(second)) == (5, 1)
        outlier = second[0]["outlier"]
        assert (outlier["time"], outlier["row"]) == (1.7e9 + 9, {"x": 500.0, "y": 0.0})
        assert outlier["reason"].startswith("x 500")
        write(stream_state / RECENT, [row(11, vector=(1.0, 2.0, 3.0))])  # of another space
        (stream_state / RECENT).with_name("x").write_bytes(b"nonsense")
        recent.look(served)
        (stream_state / "x").replace(stream_state / RECENT)
        recent.look(served)
        assert len(feed.since(0)) == 2
    finally:
        (stream_state / RECENT).write_bytes(kept)


def test_what_a_real_stream_left_is_shown_in_its_own_columns(stream_state):
    served, _, feed, recent = watched(stream_state)
    recent.look(served)
    points = feed.since(0)[0].data["points"]
    assert 100 <= len(points) <= 200
    assert {p["cluster"] for p in points} <= set(range(served.model.next_id))
    for outlier in recent.outliers(served):
        assert set(outlier["row"]) == {"x", "y"}
        assert outlier["score"] > 0.9


@pytest.mark.skipif(not BANKING.exists(), reason="../shared/data is not here")
def test_texts_are_shown_as_texts(tmp_path):
    with BANKING.open() as file:
        texts = [r["text"] for r in csv.DictReader(file)][:400]
    shoal.TopicModel(6, embedder="hashed").fit(texts).save(tmp_path / "bank.shoal")
    served, _, feed, recent = watched(tmp_path / "bank.shoal")
    odd = "quetzalcoatl sonata for bassoon"
    label(served, recent, [texts[0], odd], [texts[0], odd])
    points = feed.since(0)[0].data["points"]
    assert {p["cluster"] for p in points} <= {t.id for t in served.topics.topics}
    assert points[1]["score"] > points[0]["score"]
    for outlier in recent.outliers(served):
        assert outlier["row"] == {"text": odd}
        assert outlier["reason"].startswith("farther from its topic than ")
