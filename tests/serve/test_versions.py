"""Versions of a model by number and alias."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from fastapi import Request
from fastapi.testclient import TestClient

import shoal.serve.version_cache as module
from shoal.engines.stream.versions import Versions
from shoal.model.aliases import ALIASES, set_alias
from shoal.model.build import build_model
from shoal.model.cluster_model import Provenance
from shoal.model.persistence import save_model
from shoal.model.store import ModelStore
from shoal.serve.app import app_of
from shoal.serve.models import Models
from shoal.serve.refused import RefusedError
from shoal.serve.service import Service
from shoal.serve.version_cache import VersionCache, folder_of, version_cards
from shoal.solve.k_means import k_means
from shoal.summary.coreset import Coreset

LOCAL = "http://127.0.0.1"


def model_of(rows, k):
    was = Provenance(rows_seen=len(rows), created="2026-01-01T00:00:00+00:00")
    return build_model(rows, np.ones(len(rows)), k_means(rows, k), provenance=was)


@pytest.fixture
def store(tmp_path, rows):
    """Version n has n + 1 clusters."""
    store = ModelStore(tmp_path / "s", keep=20)
    for k in range(2, 9):
        store.publish(model_of(rows, k), Coreset().update(rows) if k == 2 else None)
    return store


@pytest.fixture
def reads(monkeypatch):
    """The numbers read from disk."""
    read, real = [], module._read
    monkeypatch.setattr(module, "_read", lambda n, f, number: read.append(number) or real(n, f, number))
    return read


def test_every_address_gives_its_version(store):
    set_alias(store.folder, "champion", 3)
    cache = VersionCache(Models.of_path(store.folder))
    assert [cache.resolve(f"s@{n}").model.k for n in range(1, 8)] == list(range(2, 9))
    found = cache.resolve("s@champion")
    assert (found.name, found.version, found.model.k) == ("s", "3", 4)
    assert cache.resolve("s").version == "7"
    assert cache.resolve("s@7") is cache.resolve("s")
    assert cache.resolve("s@3") is found


def test_a_moved_alias_counts_at_once(store):
    cache = VersionCache(Models.of_path(store.folder))
    for number in (2, 5, 2):
        set_alias(store.folder, "champion", number)
        assert cache.resolve("s@champion").version == str(number)


def test_only_so_many_versions_stay_loaded(store, reads):
    cache = VersionCache(Models.of_path(store.folder), most=2)
    for number in (1, 2, 1, 3, 1, 2):
        cache.resolve(f"s@{number}")
    assert reads == [1, 2, 3, 2]


def test_a_version_published_anew_under_its_number_is_read_anew(store, rows):
    cache = VersionCache(Models.of_path(store.folder))
    assert cache.resolve("s@1").model.k == 2
    shutil.rmtree(store.path(1))
    with pytest.raises(RefusedError, match="no version 1"):
        cache.resolve("s@1")
    save_model(model_of(rows, 6), store.path(1))
    assert cache.resolve("s@1").model.k == 6


def test_the_summary_comes_with_the_version_that_has_one(store, rows):
    cache = VersionCache(Models.of_path(store.folder))
    assert cache.resolve("s@1").summary.to_bytes() == Coreset().update(rows).to_bytes()
    assert cache.resolve("s@2").summary is None


@pytest.mark.parametrize(
    ("address", "error", "remedy"),
    [
        ("nobody@1", "no model", "/v1/models"),
        ("s@99", "no version 99", "there are 1, 2, 3, 4, 5, 6, 7"),
        ("s@" + "9" * 5000, "no version", "there are"),
        ("s@²", "no such alias", "there are champion, gone"),
        ("s@", "no such alias", "champion"),
        ("s@../../etc", "no such alias", "champion"),
        ("s@gone", "version 50, which is gone", "there are 1"),
    ],
)
def test_what_there_is_is_told_where_nothing_is_found(store, address, error, remedy):
    (store.folder / ALIASES).write_text('{"gone": 50, "champion": 1}')
    cache = VersionCache(Models.of_path(store.folder))
    with pytest.raises(RefusedError, match=error) as caught:
        cache.resolve(address)
    assert caught.value.status == 404
    assert remedy in caught.value.remedy


def test_a_damaged_version_is_refused_and_the_others_are_not(store):
    next(store.path(2).glob("arrays-*")).write_bytes(b"x")
    cache = VersionCache(Models.of_path(store.folder))
    with pytest.raises(RefusedError, match="version 2 cannot be read"):
        cache.resolve("s@2")
    assert cache.resolve("s@3").model.k == 4


def test_models_without_numbers_say_what_has_them(houses):
    models = Models.of_path(houses[0])
    with pytest.raises(RefusedError, match="no numbered versions") as caught:
        VersionCache(models).resolve("houses@1")
    assert "store" in caught.value.remedy


def test_older_models_of_a_stream_are_served(tmp_path, rows):
    from dataclasses import replace

    kept = Versions(tmp_path / "models", 10)
    for number in (1, 2):
        kept.write(number, model_of(rows, number + 1))
    store = ModelStore(tmp_path / "s")
    store.publish(model_of(rows, 3))
    models = Models({"s": tmp_path / "s"})
    models._served = {"s": replace(models.get("s"), kind="stream", home=tmp_path)}
    cache = VersionCache(models)
    assert [cache.resolve(f"s@{n}").model.k for n in (1, 2)] == [2, 3]
    assert cache.resolve("s@1").summary is None
    assert folder_of(cache.resolve("s@1")) == tmp_path / "models"


def client_of(path):
    return TestClient(app_of(Service(Models.of_path(path))), LOCAL, raise_server_exceptions=False)


def test_versions_are_listed_newest_first_with_their_aliases(store):
    set_alias(store.folder, "champion", 3)
    set_alias(store.folder, "best", 3)
    (store.path(1) / "manifest.json").write_text("{")
    told = client_of(store.folder).get("/v1/models/s/versions").json()
    assert told["model"] == "s"
    assert [(v["number"], v["k"]) for v in told["versions"]] == [(n, n + 1) for n in range(7, 1, -1)]
    assert [v["number"] for v in told["versions"] if v["is_latest"]] == [7]
    third = told["versions"][4]
    assert (third["aliases"], third["rows"], third["created"]) == (
        ["best", "champion"],
        50,
        "2026-01-01T00:00:00+00:00",
    )
    assert third["content"] == store.load(3).model.version
    assert len(version_cards(store.folder)) == 6


def test_requests_by_address_get_their_version(store, rows):
    set_alias(store.folder, "champion", 2)
    client = client_of(store.folder)
    for address, number in [("s", 7), ("s@champion", 2), ("s@1", 1), ("s%402", 2)]:
        got = client.post(
            f"/v1/models/{address}/assign",
            params={"width": 4},
            content=rows.tobytes(),
            headers={"content-type": "application/octet-stream"},
        )
        assert got.status_code == 200, got.text
        assert got.headers["x-model-version"] == str(number)
        assert [r["id"] for r in got.json()["rows"]] == store.load(number).model.assign(rows).ids.tolist()
    assert client.get("/v1/models/s@99").status_code == 404
    assert client.get("/v1/models/s@champion/versions").json() == client.get("/v1/models/s/versions").json()


def test_the_version_is_read_before_the_route_runs(store, reads):
    client = client_of(store.folder)
    import threading

    seen = []
    real = VersionCache._held_or_read

    def spy(self, *arguments):
        seen.append(threading.current_thread().name)
        return real(self, *arguments)

    VersionCache._held_or_read = spy
    try:
        assert client.get("/v1/models/s@1").json()["k"] == 2
    finally:
        VersionCache._held_or_read = real
    assert reads == [1]
    assert seen == ["AnyIO worker thread"]


def test_a_request_keeps_the_version_it_began_with_however_many_rotate(store, reads):
    service = Service(Models.of_path(store.folder))
    app, found = app_of(service), []

    @app.get("/v1/models/{name}/rotated")
    async def rotated(request: Request, name: str):
        for number in range(2, 7):  # which pushes out the one that was read for this request
            service.versions.resolve(f"s@{number}")
        del reads[:]
        found.append(service.versions.of_request(request, name))

    client = TestClient(app, LOCAL)
    assert client.get("/v1/models/s@1/rotated").status_code == 200
    assert (found[0].version, reads) == ("1", [])
    assert client.get("/v1/models/s@99/rotated").status_code == 404
    assert client.get("/v1/models/s/rotated").status_code == 200
    assert found[-1].version == "7"
