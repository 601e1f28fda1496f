"""Aliases of versions: on disk, and over HTTP."""

from __future__ import annotations

import json
import threading

import pytest
from fastapi.testclient import TestClient
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.errors import BadInputError, DamagedFileError, ShoalError
from shoal.model.aliases import ALIASES, aliases, drop_alias, folder_of_versions, set_alias, versions
from shoal.model.store import ModelStore
from shoal.serve.app import app_of
from shoal.serve.models import Models
from shoal.serve.routes.aliases import add_aliases
from shoal.serve.service import Service
from shoal.serve.settings import Settings

LOCAL = "http://127.0.0.1"
PATH = "/v1/models/s/aliases"


@pytest.fixture
def store(tmp_path, plain):
    store = ModelStore(tmp_path / "s", keep=2)
    for _ in range(2):
        store.publish(plain[1])
    return store


def client_of(path, **options):
    service = Service(Models.of_path(path), Settings(**options))
    app = app_of(service)
    if "/v1/models/{name}/aliases" not in app.openapi()["paths"]:
        app.openapi_schema = None
        add_aliases(app, service)
    return TestClient(app, LOCAL, raise_server_exceptions=False)


def test_a_version_with_an_alias_is_kept_while_others_leave(store, plain):
    set_alias(store.folder, "champion", 1)
    for _ in range(4):
        store.publish(plain[1])
    assert store.numbers() == [1, 5, 6]
    assert store.load(1).number == 1
    assert drop_alias(store.folder, "champion")
    store.publish(plain[1])
    assert store.numbers() == [6, 7]


def test_while_the_aliases_cannot_be_read_no_version_leaves(store, plain):
    (store.folder / ALIASES).write_bytes(b'{"champion"')
    assert store.publish(plain[1]) == 3
    assert store.numbers() == [1, 2, 3]
    with pytest.raises(DamagedFileError, match="remove it"):
        aliases(store.folder)
    (store.folder / ALIASES).write_bytes(b'{"champion": true}')
    with pytest.raises(DamagedFileError):
        aliases(store.folder)


@pytest.mark.parametrize("name", ["", "12", "Champion", "a" * 65, "-a", "a@b", "a/b", "../a", "a\n"])
def test_odd_names_are_refused(store, name):
    with pytest.raises(BadInputError, match="no alias"):
        set_alias(store.folder, name, 1)


def test_only_versions_that_are_there_get_one(store, tmp_path):
    with pytest.raises(BadInputError, match="there are 1, 2"):
        set_alias(store.folder, "champion", 3)
    with pytest.raises(ShoalError, match="no folder of versions"):
        set_alias(tmp_path / "nothing", "champion", 1)
    assert aliases(tmp_path / "nothing") == {}


@settings(deadline=None, max_examples=20)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from([None, 1, 2])), max_size=12))
def test_what_is_read_is_the_last_that_was_set(tmp_path_factory, steps):
    folder = tmp_path_factory.mktemp("s")
    for number in (1, 2):
        (folder / f"v{number:08d}").mkdir()
    expected = {}
    for name, number in steps:
        if number is None:
            assert drop_alias(folder, name) == (name in expected)
            expected.pop(name, None)
        else:
            set_alias(folder, name, number)
            expected[name] = number
    assert aliases(folder) == expected


def test_writers_at_the_same_time_all_count(store):
    def write(start):
        for i in range(start, 20, 4):
            set_alias(store.folder, f"a{i}", 1 + i % 2)

    threads = [threading.Thread(target=write, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert aliases(store.folder) == {f"a{i}": 1 + i % 2 for i in range(20)}
    assert not list(store.folder.glob(".tmp-*"))


def test_the_versions_of_a_stream_are_found_in_its_state(tmp_path):
    (tmp_path / "models/000007").mkdir(parents=True)
    assert folder_of_versions(tmp_path) == tmp_path / "models"
    assert versions(tmp_path / "models") == {7: tmp_path / "models/000007"}
    with pytest.raises(BadInputError, match="no numbered versions"):
        folder_of_versions(tmp_path / "models/000007")


def test_aliases_are_made_moved_listed_and_removed_over_http(store):
    client = client_of(store.folder)
    assert client.get(PATH).json() == {"model": "s", "aliases": {}}
    for number in (1, 2):
        got = client.put(f"{PATH}/champion", json={"version": number})
        assert (got.status_code, got.json()) == (200, {"model": "s", "alias": "champion", "version": number})
        assert client.get(PATH).json()["aliases"] == {"champion": number}
    assert client.delete(f"{PATH}/champion").status_code == 204
    assert client.delete(f"{PATH}/champion").status_code == 404
    assert aliases(store.folder) == {}


@pytest.mark.parametrize(
    ("alias", "body", "status"),
    [
        ("champion", {"version": 9}, 422),
        ("champion", {"version": "1"}, 422),
        ("champion", {"version": True}, 422),
        ("champion", {"version": -1}, 422),
        ("champion", {"version": 1, "more": 2}, 422),
        ("champion", [], 422),
        ("Champion", {"version": 1}, 422),
        ("..%2f..%2fx", {"version": 1}, 404),
    ],
)
def test_what_is_no_alias_changes_nothing(store, alias, body, status):
    client = client_of(store.folder)
    got = client.put(f"{PATH}/{alias}", json=body)
    assert got.status_code == status, got.text
    assert set(got.json()) == {"error", "place", "remedy"}
    assert not (store.folder / ALIASES).exists()


def test_a_model_without_numbers_has_no_aliases(houses):
    got = client_of(houses[0]).put("/v1/models/houses/aliases/a", content=json.dumps({"version": 1}))
    assert got.status_code == 404
    assert "store" in got.json()["remedy"]


def test_aliases_are_changed_with_the_token_that_may_write_alone(store):
    client = client_of(store.folder, read_token="look", write_token="touch")
    body, path = {"version": 1}, f"{PATH}/champion"
    assert client.put(path, json=body).status_code == 401
    look, touch = ({"authorization": f"Bearer {t}"} for t in ("look", "touch"))
    assert client.put(path, json=body, headers=look).status_code == 403
    assert client.delete(path, headers=look).status_code == 403
    assert client.get(PATH, headers=look).json()["aliases"] == {}
    assert client.put(path, json=body, headers=touch).status_code == 200
    assert client.get(PATH, headers=look).json()["aliases"] == {"champion": 1}


def test_damaged_aliases_are_told_with_a_remedy(store):
    (store.folder / ALIASES).write_text("{")
    client = client_of(store.folder)
    for got in (
        client.get(PATH),
        client.put(f"{PATH}/champion", json={"version": 1}),
        client.get("/v1/models/s/versions"),
        client.get("/v1/models/s@champion"),
    ):
        assert got.status_code == 503, got.text
        assert got.json()["error"].startswith("aliases.json is not valid JSON")
        assert got.json()["remedy"]
