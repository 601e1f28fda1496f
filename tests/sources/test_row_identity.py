"""A row is the same row wherever its file lies; part files of different folders are not confused."""

from __future__ import annotations

import hashlib
import shutil

import numpy as np
import pytest

from shoal.sources.files import open_files
from shoal.sources.protocol import content_key


def keys(*specs):
    return [b.key for b in open_files(specs).batches()]


def test_a_copy_elsewhere_has_the_same_key(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "a.csv").write_text("x\n1\n")
    shutil.copy(tmp_path / "a.csv", tmp_path / "there" / "a.csv")
    assert keys(tmp_path / "a.csv") == keys(tmp_path / "there" / "a.csv")


def test_part_files_of_two_days_have_two_keys_and_their_own_row_numbers(tmp_path):
    for day, value in (("day=1", 1), ("day=2", 2)):
        (tmp_path / day).mkdir()
        (tmp_path / day / "part-0.csv").write_text(f"x\n{value}\n{value}\n")
    batches = list(open_files([tmp_path]).batches())
    assert len({b.key for b in batches}) == 2
    assert [b.row_numbers.tolist() for b in batches] == [[0, 1], [0, 1]]


@pytest.mark.parametrize("size", [10, 65_536, 200_000])
def test_the_key_is_what_the_documentation_says(tmp_path, size):
    data = b"x\n" + b"7" * 8 + b"\n" + b"1\n" * ((size - 11) // 2) if size > 10 else b"x\n1\n2\n3\n4\n"
    path = tmp_path / "a.csv"
    path.write_bytes(data)
    digest = hashlib.blake2b(b"a.csv\0" + len(data).to_bytes(8, "little"), digest_size=8)
    digest.update(data[:65_536])
    digest.update(data[-65_536:])
    assert keys(path)[0] == int.from_bytes(digest.digest(), "little")


def test_a_change_at_either_end_changes_the_key():
    base = content_key("a", 9, b"head", b"tail")
    assert (
        len(
            {
                base,
                content_key("a", 9, b"hEad", b"tail"),
                content_key("a", 9, b"head", b"taiL"),
                content_key("a", 8, b"head", b"tail"),
            }
        )
        == 4
    )


def test_arrays_of_one_archive_have_their_own_keys(tmp_path):
    np.savez(tmp_path / "a.npz", u=np.zeros((2, 2)), v=np.zeros((2, 2)))
    u, v = keys(f"{tmp_path}/a.npz::u", f"{tmp_path}/a.npz::v")
    assert u != v
