"""Names that people give to clusters."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from shoal.errors import BadInputError, DamagedFileError, ShoalError
from shoal.model.names import give_name, names_path, read_names


def test_names_are_kept_changed_and_taken_away(tmp_path):
    assert read_names(tmp_path) == {}
    give_name(tmp_path, 3, "night owls")
    give_name(tmp_path, 4, "early birds")
    give_name(tmp_path, 3, "owls")
    give_name(tmp_path, 4, None)
    assert read_names(tmp_path) == {3: "owls"}


def test_a_file_has_its_names_beside_it(tmp_path):
    model = tmp_path / "m.shoal"
    model.write_bytes(b"a model")
    give_name(model, 0, "a")
    assert read_names(model) == {0: "a"}
    assert model.read_bytes() == b"a model"


def test_many_who_name_at_once_lose_nothing(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: give_name(tmp_path, i, f"name {i}"), range(40)))
    assert read_names(tmp_path) == {i: f"name {i}" for i in range(40)}


def test_a_name_is_one_line(tmp_path):
    assert give_name(tmp_path, 1, "a\n\x00 b\u202e") == "a b"


@pytest.mark.parametrize("name", ["", "  \n ", "x" * 201])
def test_what_is_no_name_is_refused(tmp_path, name):
    with pytest.raises(BadInputError, match="1 to 200"):
        give_name(tmp_path, 1, name)
    assert read_names(tmp_path) == {}


@pytest.mark.parametrize("content", [b"[1]", b"{", b'{"names": {"x": "y"}}', b'{"names": 3}'])
def test_a_damaged_file_is_told(tmp_path, content):
    names_path(tmp_path).write_bytes(content)
    with pytest.raises(DamagedFileError, match=r"names\.json"):
        read_names(tmp_path)


def test_where_nobody_can_write_it_is_told(tmp_path):
    with pytest.raises(ShoalError, match="cannot be written"):
        give_name(tmp_path / "gone" / "m.shoal", 1, "a")
