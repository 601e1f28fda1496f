"""The client against a real service."""

from __future__ import annotations

import asyncio
import inspect
import subprocess
import sys

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from shoal.client import AsyncClient, Client, RequestError
from shoal.client.refusals import NoAnswerError
from shoal.errors import BadInputError, ShoalError


@pytest.fixture(scope="module")
def client(address):
    with Client(address, token="s3cret") as client:
        yield client


def assert_answers(told, expected):
    assert told.ids.tolist() == expected.ids.tolist()
    assert told.distances.tolist() == expected.distances.tolist()
    assert told.second_distances.tolist() == expected.second_distances.tolist()
    assert told.outlier_scores.tolist() == expected.outlier_scores.tolist()


TABLES = {
    "pandas": lambda f: f,
    "pandas with an odd index": lambda f: f.set_index(f.index[::-1]),
    "pandas categories": lambda f: f.astype({"kind": "category"}),
    "polars": lambda f: pl.from_pandas(f),
    "polars categories": lambda f: pl.from_pandas(f).with_columns(pl.col("kind").cast(pl.Categorical)),
    "polars enums": lambda f: pl.from_pandas(f).with_columns(pl.col("kind").cast(pl.Enum(["flat", "house"]))),
    "arrow": lambda f: pa.Table.from_pandas(f),
    "batch": lambda f: pa.RecordBatch.from_pandas(f),
    "dicts": lambda f: f.to_dict("records"),
    "lists": lambda f: f[["price", "rooms", "kind"]].values.tolist(),
}


@pytest.mark.parametrize("form", TABLES)
def test_every_form_of_rows_is_answered_as_the_model_would(client, found, frame, form):
    told = client.assign("houses", TABLES[form](frame))
    assert_answers(told, found[1]["houses"].assign(frame))
    assert told.version == found[1]["houses"].model.version
    assert len(told) == 300


@pytest.mark.parametrize("name", ["numbers", "embedded", "plain"])
def test_arrays_keep_their_precision(client, found, rows, name):
    model = found[1][name]
    asked = {"numbers": lambda X: pd.DataFrame(X, columns=list("abcd"))}.get(name, lambda X: X)
    assert_answers(client.assign(name, rows), model.assign(asked(rows)))
    assert_answers(client.assign(name, rows.astype(np.float32)), model.assign(asked(rows.astype(np.float32))))
    whole = np.round(rows * 10).astype(np.int64)
    assert_answers(client.assign(name, whole), model.assign(asked(whole.astype(np.float64))))
    assert_answers(client.assign(name, rows.tolist()), model.assign(asked(rows)))


def test_arrays_need_not_be_contiguous(client, found, rows):
    turned = np.asfortranarray(rows)[::2]
    assert_answers(client.assign("plain", turned), found[1]["plain"].assign(rows[::2]))


def test_models_clusters_and_versions_are_told(client, found):
    assert {m["name"] for m in client.models()} == set(found[1])
    assert client.model("houses")["k"] == 3
    assert [i["kind"] for i in client.model("houses")["inputs"]] == ["number", "number", "text"]
    assert sum(c["share"] for c in client.clusters("houses")) == pytest.approx(1)


def test_rows_left_out_have_no_label(client, found, frame):
    spoiled = frame[:3].copy()
    spoiled.loc[1, "price"] = np.nan
    for rows in (spoiled, spoiled.to_dict("records")):
        told = client.assign("houses", rows, on_error="skip")
        assert told.ids[1] == -1
        assert np.isnan(told.distances[1])
        assert told.ids[[0, 2]].tolist() == found[1]["houses"].assign(frame).ids[[0, 2]].tolist()
        with pytest.raises(RequestError) as caught:
            client.assign("houses", rows)
        assert caught.value.status == 422
        assert caught.value.place == "request, row 2, column 'price'"
        assert "row 2" in str(caught.value)


def test_the_nearest_clusters_and_all_distances_are_told(client, found, rows):
    model = found[1]["plain"]
    labels, all_of_them = client.assign("plain", rows, n=2), client.transform("plain", rows)
    expected = np.linalg.norm(rows[:, None] - model.centres[None], axis=2)
    order = np.argsort(expected, axis=1)[:, :2]
    assert labels.nearest.tolist() == model.ids[order].tolist()
    assert labels.nearest_distances == pytest.approx(np.take_along_axis(expected, order, axis=1))
    assert all_of_them.ids.tolist() == model.ids.tolist()
    assert all_of_them.distances == pytest.approx(expected)
    assert labels.version == all_of_them.version == "2"


def test_a_row_is_explained_and_a_cluster_named(client, found, frame):
    labels = client.assign("houses", frame[:1])
    told = client.explain("houses", frame.iloc[0].to_dict())
    assert told["cluster"] == labels.ids[0]
    assert told["distance"] == pytest.approx(labels.distances[0], rel=1e-4)  # it is shown, so rounded
    assert client.rename("houses", labels.ids[0], "large") == {"id": labels.ids[0], "name": "large"}
    assert client.explain("houses", frame.iloc[0].to_dict())["label"] == "large"
    assert client.rename("houses", labels.ids[0], None)["name"] is None


def test_what_cannot_be_rows_is_told_before_anything_is_sent(client):
    for rows in (
        "text",
        [1, 2],
        [{"a": 1}, [2]],
        np.zeros(3),
        np.array([["a"]]),
        object(),
        [{"a": object()}],
    ):
        with pytest.raises(BadInputError):
            client.assign("houses", rows)
    with pytest.raises(BadInputError, match="more than numbers"):
        client.assign("houses", np.zeros((2, 3)))
    with pytest.raises(BadInputError, match="the model takes 4"):
        client.assign("plain", np.zeros((2, 3)))
    for name in ("", ".", ".."):
        with pytest.raises(BadInputError, match="no name"):
            client.model(name)


def test_a_wrong_token_and_an_unknown_model_are_refused(address, client):
    with pytest.raises(RequestError, match="no model of this name") as caught:
        client.model("nobody?x#y")
    assert caught.value.status == 404
    with Client(address, token="wrong") as other, pytest.raises(RequestError) as caught:
        other.models()
    assert caught.value.status == 401
    assert isinstance(caught.value, ShoalError)


def test_a_service_that_is_not_there_is_told():
    with (
        Client("http://127.0.0.1:9", retries=1) as client,
        pytest.raises(NoAnswerError, match=r"127\.0\.0\.1:9"),
    ):
        client.models()


def test_the_same_calls_without_waiting_give_the_same(address, found, frame, rows):
    async def ask():
        async with AsyncClient(address, token="s3cret") as client:
            labels = await asyncio.gather(client.assign("houses", frame), client.assign("plain", rows))
            with pytest.raises(RequestError):
                await client.model("nobody")
            return labels, await client.models(), await client.clusters("houses")

    (houses, plain), models, clusters = asyncio.run(ask())
    assert_answers(houses, found[1]["houses"].assign(frame))
    assert_answers(plain, found[1]["plain"].assign(rows))
    assert len(models) == 4
    assert len(clusters) == 3


def test_both_clients_have_the_same_calls():
    def calls(kind):
        public = {n: f for n, f in inspect.getmembers(kind, inspect.isfunction) if not n.startswith("_")}
        return {name: list(inspect.signature(f).parameters) for name, f in public.items()}

    assert calls(Client) == calls(AsyncClient)


def test_without_httpx_the_extra_is_named():
    code = "import sys; sys.modules['httpx'] = None; from shoal.client import Client; Client()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert "pip install 'shoal[client]'" in done.stderr
