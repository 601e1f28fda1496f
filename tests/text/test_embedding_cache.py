"""Vectors kept on disk: the same, bit for bit, and computed once."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.errors import BadInputError, DamagedFileError, ShoalError
from shoal.text.embedding import load_embedder
from shoal.text.embedding_cache import CHUNK, FILE, CachedEmbedder, default_cache_folder
from shoal.text.hashed_terms import HashedTerms


class Counting(HashedTerms):
    """Notes what it is asked."""

    asked: list[str]

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        self.asked = [*getattr(self, "asked", []), *texts]
        return super().embed(texts)


def numbered(n: int, start: int = 0) -> list[str]:
    return [f"request number n{i} of the day" for i in range(start, start + n)]


def test_no_text_is_computed_twice(tmp_path: Path) -> None:
    inner = Counting(32)
    cached = CachedEmbedder(inner, tmp_path)
    texts = [*numbered(2 * CHUNK + 3), *numbered(5)]
    first = cached.embed(texts)
    assert (cached.hits, cached.misses) == (0, len(texts))
    assert inner.asked == texts[: 2 * CHUNK + 3]
    again = CachedEmbedder(inner, tmp_path)
    assert again.embed(texts[::-1]).tobytes() == first[::-1].tobytes()
    assert (again.hits, again.misses, len(inner.asked)) == (len(texts), 0, 2 * CHUNK + 3)
    assert first.tobytes() == HashedTerms(32).embed(texts).tobytes()


@settings(deadline=None, max_examples=20)
@given(
    calls=st.lists(
        st.lists(st.sampled_from(["a card", "cards\0", "é\ud800", "我的卡", "x" * 30_000])), max_size=4
    )
)
def test_vectors_are_those_of_no_cache(
    tmp_path_factory: pytest.TempPathFactory, calls: list[list[str]]
) -> None:
    cached = CachedEmbedder(HashedTerms(16), tmp_path_factory.mktemp("cache"))
    for texts in calls:
        found = cached.embed(texts)
        assert (found.shape, found.dtype) == ((len(texts), 16), np.float32)
        assert found.tobytes() == HashedTerms(16).embed(texts).tobytes()
    assert cached.hits + cached.misses == sum(map(len, calls))


def test_models_do_not_share_vectors(tmp_path: Path) -> None:
    plain, learnt = HashedTerms(32), HashedTerms(32).learn(["my card", "my rate"])
    CachedEmbedder(plain, tmp_path).embed(["my card is lost"])
    other = CachedEmbedder(learnt, tmp_path)
    assert other.embed(["my card is lost"]).tobytes() == learnt.embed(["my card is lost"]).tobytes()
    assert other.misses == 1


def test_texts_are_not_stored_and_files_are_private(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    load_embedder("hashed:16", cache=folder).embed(["the secret of rumpelstilzchen"])
    file = folder / FILE
    assert file.stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700
    assert b"rumpel" not in b"".join(p.read_bytes() for p in folder.iterdir())


def test_processes_write_at_once(tmp_path: Path) -> None:
    code = """
import sys
from shoal.text.embedding_cache import CachedEmbedder
from shoal.text.hashed_terms import HashedTerms
for i in range(int(sys.argv[2]), 400, 2):
    cached = CachedEmbedder(HashedTerms(32), sys.argv[1])
    cached.embed([f"request n{j}" for j in range(i, i + 5)])
"""
    running = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path), str(i % 2)], stderr=subprocess.PIPE)
        for i in range(3)
    ]
    for process in running:
        _, said = process.communicate(timeout=120)
        assert (process.returncode, said) == (0, b"")
    cached = CachedEmbedder(HashedTerms(32), tmp_path)
    texts = [f"request n{j}" for j in range(404)]
    assert cached.embed(texts).tobytes() == HashedTerms(32).embed(texts).tobytes()
    assert cached.misses == 0


def test_the_oldest_are_dropped(tmp_path: Path) -> None:
    most = 1 << 20
    cached = CachedEmbedder(HashedTerms(256), tmp_path, max_bytes=most)
    for start in range(0, 6000, 400):
        cached.embed(numbered(400, start))
    assert (tmp_path / FILE).stat().st_size <= most
    before = cached.misses
    cached.embed(numbered(100, 5900))
    assert cached.misses == before
    cached.embed(numbered(100))
    assert cached.misses == before + 100
    with pytest.raises(ShoalError, match="too small"):
        CachedEmbedder(HashedTerms(256), tmp_path, max_bytes=1000)


@pytest.mark.parametrize("content", [b"no database at all" * 100, b"SQLite format 3\0" + b"\x07" * 5000])
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises(DamagedFileError, match=rf"{FILE}: the cache .* is damaged .*; delete it"):
        CachedEmbedder(HashedTerms(16), tmp_path)


@pytest.mark.parametrize(
    "change", ["substr(vector, 1, 8)", "zeroblob(length(vector))", "'text'", "NULL || 'x'"]
)
def test_a_changed_vector_is_noticed(tmp_path: Path, change: str) -> None:
    cached = CachedEmbedder(HashedTerms(16), tmp_path)
    cached.embed(["my card"])
    with sqlite3.connect(tmp_path / FILE) as file:
        file.execute(f"UPDATE OR IGNORE vectors SET vector = coalesce({change}, 7)")
    with pytest.raises(DamagedFileError, match="is damaged"):
        cached.embed(["my card"])


def test_a_foreign_database_is_left_alone(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / FILE) as file:
        file.execute("CREATE TABLE mine (x)")
    before = (tmp_path / FILE).read_bytes()
    with pytest.raises(ShoalError, match="is no cache of embeddings"):
        CachedEmbedder(HashedTerms(16), tmp_path)
    assert (tmp_path / FILE).read_bytes() == before


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(ShoalError, match=r"cannot be used .* give a folder"):
        CachedEmbedder(HashedTerms(16), tmp_path / "file" / "folder")
    if os.geteuid() == 0:
        pytest.skip("root may write anywhere")
    tmp_path.chmod(0o500)
    with pytest.raises(ShoalError, match=r"cannot be used .* give a folder"):
        CachedEmbedder(HashedTerms(16), tmp_path)


def test_texts_are_checked_before_any_is_computed(tmp_path: Path) -> None:
    inner = Counting(16)
    with pytest.raises(BadInputError, match="text 2: empty text"):
        CachedEmbedder(inner, tmp_path).embed(["a card", ""])
    assert not hasattr(inner, "asked")


def test_the_default_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/some/where")
    assert default_cache_folder() == Path("/some/where/shoal/embeddings")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert default_cache_folder() == Path.home() / ".cache/shoal/embeddings"
